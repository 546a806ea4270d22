//! An API server in memory, as far as this crate's tests speak to one: it gets,
//! lists, watches, replaces and patches objects, and minds their resourceVersion.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard};

use futures::{Stream, future, stream};
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::{Bytes, Frame};
use hyper::{Method, Request, Response, StatusCode, Uri};
use kube::client::{Body, Client};
use kube::core::Status;
use serde_json::{Value, json};
use tokio::sync::watch;

/// What goes wrong with a request: `(status, reason, message)`, as in a `Status`.
type Refusal = (StatusCode, &'static str, &'static str);

type Answer = Response<UnsyncBoxBody<Bytes, Infallible>>;

#[derive(Clone, Default)]
pub(crate) struct FakeApiserver(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    objects: Objects,
    requests: Vec<String>,
    refusals: Vec<(Method, Refusal)>,
    /// Told whenever an object changes or a request is served.
    news: watch::Sender<()>,
}

/// When the process ends that a client belongs to: at its write of that number, before
/// the API server has heard of it or after.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fate {
    pub(crate) write: usize,
    pub(crate) heard: bool,
}

impl FakeApiserver {
    pub(crate) fn client(&self) -> Client {
        self.doomed_client(Fate { write: usize::MAX, heard: true }).0
    }

    /// A client of a process that ends by `fate`; the receiver changes when it does.
    pub(crate) fn doomed_client(&self, fate: Fate) -> (Client, watch::Receiver<bool>) {
        let (end, ended) = watch::channel(false);
        let (server, writes) = (self.clone(), Arc::new(Mutex::new(0)));
        let service = tower::service_fn(move |request: Request<Body>| {
            let (server, writes, end) = (server.clone(), Arc::clone(&writes), end.clone());
            async move {
                let (parts, body) = request.into_parts();
                let body = body.collect_bytes().await.expect("is in memory");
                // Lets the other clients of a test come in between.
                tokio::task::yield_now().await;
                let is_last = {
                    let mut writes = writes.lock().expect("no test panics inside");
                    *writes += usize::from(parts.method != Method::GET);
                    *writes == fate.write
                };
                if is_last && !fate.heard {
                    end.send_replace(true);
                    future::pending::<()>().await;
                }
                let answer = server.answer(&parts.method, &parts.uri, &body);
                if is_last || *end.borrow() {
                    end.send_replace(true);
                    future::pending::<()>().await;
                }
                Ok::<_, Infallible>(answer)
            }
        });
        (Client::new(service, "default"), ended)
    }

    /// Stores an object as some other client would.
    pub(crate) fn put(&self, path: &str, object: Value) {
        let mut state = self.state();
        state.objects.put(path, object);
        state.news.send_replace(());
    }

    /// Deletes an object as some other client would.
    pub(crate) fn delete(&self, path: &str) {
        let mut state = self.state();
        state.objects.delete(path);
        state.news.send_replace(());
    }

    pub(crate) fn object(&self, path: &str) -> Value {
        self.state().objects.objects[path].clone()
    }

    /// The writes served or refused so far: `METHOD path`.
    pub(crate) fn writes(&self) -> Vec<String> {
        self.state()
            .requests
            .iter()
            .filter(|request| !request.starts_with("GET"))
            .cloned()
            .collect()
    }

    /// Refuses every request of this method.
    pub(crate) fn refuse(&self, method: Method, refusal: Refusal) {
        self.state().refusals.push((method, refusal));
    }

    /// Refuses nothing any more.
    pub(crate) fn relent(&self) {
        self.state().refusals.clear();
    }

    /// Waits until what is stored is as wanted.
    pub(crate) async fn until(&self, mut wanted: impl FnMut(&Self) -> bool) {
        let mut news = self.state().news.subscribe();
        while !wanted(self) {
            news.changed().await.expect("the server outlives its subscribers");
        }
    }

    fn answer(&self, method: &Method, uri: &Uri, body: &[u8]) -> Answer {
        let query = uri.query().unwrap_or_default();
        let name = query.split('&').find_map(|pair| {
            let selector = pair.strip_prefix("fieldSelector=")?;
            let name = selector.strip_prefix("metadata.name").expect("selects by name");
            Some(name.trim_start_matches('=').trim_start_matches("%3D"))
        });
        let Some(name) = name else {
            let mut state = self.state();
            let served = state.serve(method, uri.path(), body);
            state.news.send_replace(());
            return whole(served);
        };
        let path = format!("{}/{name}", uri.path());
        if !query.contains("watch=true") {
            return whole(self.state().list(method, &path));
        }
        if let Err(refusal) = self.state().admit(method, &path) {
            return whole(Err(refusal));
        }
        let version = query.split('&').find_map(|pair| pair.strip_prefix("resourceVersion="));
        let after = version.and_then(|version| version.parse().ok()).expect("watches after a list");
        Response::new(StreamBody::new(self.clone().events(path, after)).boxed_unsync())
    }

    /// What happens to that object after that revision.
    fn events(
        self,
        path: String,
        after: u64,
    ) -> impl Stream<Item = Result<Frame<Bytes>, Infallible>> + Send {
        let news = self.state().news.subscribe();
        stream::unfold((self, news, path, after), async |(server, mut news, path, after)| {
            loop {
                let next = server.state().objects.next(&path, after);
                if let Some((revision, event)) = next {
                    let line = Frame::data(Bytes::from(format!("{event}\n")));
                    return Some((Ok(line), (server, news, path, revision)));
                }
                news.changed().await.ok()?;
            }
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no test panics inside")
    }
}

fn whole(served: Result<(StatusCode, Value), Refusal>) -> Answer {
    let (status, answer) = served.unwrap_or_else(|(status, reason, message)| {
        let failure = Status::failure(message, reason).with_code(status.as_u16());
        (status, serde_json::to_value(failure).expect("is JSON"))
    });
    let body = Full::new(Bytes::from(answer.to_string()));
    Response::builder().status(status).body(body.boxed_unsync()).expect("is a response")
}

impl State {
    fn admit(&mut self, method: &Method, path: &str) -> Result<(), Refusal> {
        self.requests.push(format!("{method} {path}"));
        match self.refusals.iter().find(|(refused, _)| refused == method) {
            Some((_, refusal)) => Err(*refusal),
            None => Ok(()),
        }
    }

    fn list(&mut self, method: &Method, path: &str) -> Result<(StatusCode, Value), Refusal> {
        self.admit(method, path)?;
        let items: Vec<_> = self.objects.objects.get(path).into_iter().collect();
        let version = self.objects.log.len().to_string();
        let list = json!({ "metadata": { "resourceVersion": version }, "items": items });
        Ok((StatusCode::OK, list))
    }

    fn serve(
        &mut self,
        method: &Method,
        path: &str,
        body: &[u8],
    ) -> Result<(StatusCode, Value), Refusal> {
        self.admit(method, path)?;
        let objects = &mut self.objects;
        let object = match *method {
            Method::GET => objects.get(path)?,
            Method::PUT => objects.replace(path, parse(body))?,
            Method::PATCH => objects.patch(path, body)?,
            ref other => unreachable!("this crate never sends {other}"),
        };
        Ok((StatusCode::OK, object))
    }
}

/// Objects by path, and what happened to them: the n-th event is revision n.
#[derive(Default)]
struct Objects {
    objects: BTreeMap<String, Value>,
    log: Vec<(String, Value)>,
}

impl Objects {
    fn put(&mut self, path: &str, mut object: Value) -> Value {
        let Self { objects, log } = self;
        object["metadata"]["resourceVersion"] = json!((log.len() + 1).to_string());
        let replaced = objects.insert(path.to_owned(), object.clone());
        let kind = if replaced.is_some() { "MODIFIED" } else { "ADDED" };
        log.push((path.to_owned(), json!({ "type": kind, "object": object.clone() })));
        object
    }

    fn delete(&mut self, path: &str) {
        let Self { objects, log } = self;
        let mut object = objects.remove(path).expect("is there");
        object["metadata"]["resourceVersion"] = json!((log.len() + 1).to_string());
        log.push((path.to_owned(), json!({ "type": "DELETED", "object": object })));
    }

    /// The first event of that object after that revision.
    fn next(&self, path: &str, after: u64) -> Option<(u64, Value)> {
        let events = (1..).zip(&self.log).skip_while(|(revision, _)| *revision <= after);
        let mut events = events.filter(|(_, (changed, _))| changed == path);
        events.next().map(|(revision, (_, event))| (revision, event.clone()))
    }

    fn get(&self, path: &str) -> Result<Value, Refusal> {
        let missing = (StatusCode::NOT_FOUND, "NotFound", "not found");
        self.objects.get(path).cloned().ok_or(missing)
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
