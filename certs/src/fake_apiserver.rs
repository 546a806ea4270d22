//! An API server in memory, as far as this crate's tests speak to one: it gets,
//! creates, replaces and patches objects, and minds their resourceVersion.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard};

use hyper::{Method, Request, Response, StatusCode};
use kube::client::{Body, Client};
use kube::core::Status;
use serde_json::{Value, json};

/// What goes wrong with a request: `(status, reason, message)`, as in a `Status`.
type Refusal = (StatusCode, &'static str, &'static str);

/// What another client does just before a request is served.
type Rival = Box<dyn FnMut(&mut Objects) + Send>;

#[derive(Clone, Default)]
pub(crate) struct FakeApiserver(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    objects: Objects,
    requests: Vec<String>,
    refusals: Vec<(Method, Refusal)>,
    rivals: Vec<(Method, Rival)>,
}

impl FakeApiserver {
    pub(crate) fn client(&self) -> Client {
        let server = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let server = server.clone();
            async move {
                let (parts, body) = request.into_parts();
                let body = body.collect_bytes().await.expect("is in memory");
                // Lets the other clients of a test come in between.
                tokio::task::yield_now().await;
                let (status, answer) =
                    match server.state().serve(&parts.method, parts.uri.path(), &body) {
                        Ok((status, object)) => (status, object),
                        Err((status, reason, message)) => {
                            let failure =
                                Status::failure(message, reason).with_code(status.as_u16());
                            (status, serde_json::to_value(failure).expect("is JSON"))
                        }
                    };
                let response = Response::builder()
                    .status(status)
                    .body(Body::from(answer.to_string().into_bytes()))
                    .expect("is a response");
                Ok::<_, Infallible>(response)
            }
        });
        Client::new(service, "default")
    }

    /// Stores an object as some other client would.
    pub(crate) fn put(&self, path: &str, object: Value) {
        self.state().objects.put(path, object);
    }

    pub(crate) fn object(&self, path: &str) -> Value {
        self.state().objects.0[path].clone()
    }

    /// The requests served so far: `METHOD path`.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.state().requests.clone()
    }

    /// Refuses every request of this method.
    pub(crate) fn refuse(&self, method: Method, refusal: Refusal) {
        self.state().refusals.push((method, refusal));
    }

    /// Lets another client act before every request of this method.
    pub(crate) fn before(&self, method: Method, rival: impl FnMut(&mut Objects) + Send + 'static) {
        self.state().rivals.push((method, Box::new(rival)));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no test panics inside")
    }
}

impl State {
    fn serve(
        &mut self,
        method: &Method,
        path: &str,
        body: &[u8],
    ) -> Result<(StatusCode, Value), Refusal> {
        let Self { objects, requests, refusals, rivals } = self;
        requests.push(format!("{method} {path}"));
        for (_, rival) in rivals.iter_mut().filter(|(rivals, _)| rivals == method) {
            rival(objects);
        }
        if let Some((_, refusal)) = refusals.iter().find(|(refused, _)| refused == method) {
            return Err(*refusal);
        }
        match *method {
            Method::GET => Ok((StatusCode::OK, objects.get(path)?)),
            Method::POST => Ok((StatusCode::CREATED, objects.create(path, parse(body))?)),
            Method::PUT => Ok((StatusCode::OK, objects.replace(path, parse(body))?)),
            Method::PATCH => Ok((StatusCode::OK, objects.patch(path, body)?)),
            ref other => unreachable!("this crate never sends {other}"),
        }
    }
}

/// Objects by path, with one revision counter as etcd has.
#[derive(Default)]
pub(crate) struct Objects(BTreeMap<String, Value>, u64);

impl Objects {
    pub(crate) fn put(&mut self, path: &str, mut object: Value) -> Value {
        let Self(objects, revision) = self;
        *revision += 1;
        object["metadata"]["resourceVersion"] = json!(revision.to_string());
        objects.insert(path.to_owned(), object.clone());
        object
    }

    pub(crate) fn delete(&mut self, path: &str) {
        self.0.remove(path);
    }

    pub(crate) fn get(&self, path: &str) -> Result<Value, Refusal> {
        let missing = (StatusCode::NOT_FOUND, "NotFound", "not found");
        self.0.get(path).cloned().ok_or(missing)
    }

    fn create(&mut self, collection: &str, object: Value) -> Result<Value, Refusal> {
        let name = object["metadata"]["name"].as_str().expect("is named");
        let path = format!("{collection}/{name}");
        if self.0.contains_key(&path) {
            return Err((StatusCode::CONFLICT, "AlreadyExists", "already exists"));
        }
        Ok(self.put(&path, object))
    }

    fn replace(&mut self, path: &str, object: Value) -> Result<Value, Refusal> {
        let stored = self.get(path)?;
        if object["metadata"]["resourceVersion"] != stored["metadata"]["resourceVersion"] {
            let message = "the object has been modified";
            return Err((StatusCode::CONFLICT, "Conflict", message));
        }
        Ok(self.put(path, object))
    }

    /// A JSON Patch whose test fails is answered by 422, not 409.
    fn patch(&mut self, path: &str, operations: &[u8]) -> Result<Value, Refusal> {
        let mut object = self.get(path)?;
        let operations: json_patch::Patch =
            serde_json::from_slice(operations).expect("is a JSON Patch");
        if json_patch::patch(&mut object, &operations).is_err() {
            let message = "the server rejected our request due to an error in our request";
            return Err((StatusCode::UNPROCESSABLE_ENTITY, "Invalid", message));
        }
        Ok(self.put(path, object))
    }
}

fn parse(body: &[u8]) -> Value {
    serde_json::from_slice(body).expect("is JSON")
}
