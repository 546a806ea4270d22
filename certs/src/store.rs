//! Reads and writes the one Secret that all replicas share.

use std::fmt;

use k8s_openapi::api::core::v1::Secret;
use kube::Client;
use kube::api::{Api, PostParams};

use crate::apiserver::{FIELD_MANAGER, status_code};
use crate::material::Material;
use crate::plan::{Request, Step};

/// Annotation by which a person asks for a new certificate: `ca` or `leaf`. The step
/// that meets it takes it away.
pub const ROTATE: &str = "nfs-guard.io/rotate";

/// The Secret that holds the certificates.
///
/// It is never created here: whoever installs the guard does that, so that it goes when
/// the guard is uninstalled, and so that no right to create Secrets is needed.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    api: Api<Secret>,
    name: String,
}

impl Store {
    /// A store in that Secret.
    pub(crate) fn new(client: Client, namespace: &str, name: impl Into<String>) -> Self {
        Self { api: Api::namespaced(client, namespace), name: name.into() }
    }

    /// The Secret as it is; `None` if there is none.
    pub(crate) async fn read(&self) -> Result<Option<Secret>, StoreError> {
        // Without a resourceVersion the API server answers from its store, never from a
        // cache that lags: after a lost race this is what the winner wrote.
        self.api.get_opt(&self.name).await.map_err(|error| self.refused("get", error))
    }

    /// Replaces the Secret, and only while it still is what `secret` was made from.
    /// The Secret as it is then; `None` if another writer came first.
    pub(crate) async fn write(&self, secret: &Secret) -> Result<Option<Secret>, StoreError> {
        let params =
            PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
        match self.api.replace(&self.name, &params, secret).await {
            Ok(secret) => Ok(Some(secret)),
            // Conflict, or it was deleted.
            Err(error) if matches!(status_code(&error), Some(404 | 409)) => Ok(None),
            Err(error) => Err(self.refused("update", error)),
        }
    }

    fn refused(&self, verb: &'static str, source: kube::Error) -> StoreError {
        let advice = match (verb, status_code(&source)) {
            ("get", Some(403)) => "grant the service account the verb `get` on it by a Role",
            (_, Some(403)) => "grant the service account the verb `update` on it by a Role",
            (_, Some(401)) => "check that the pod mounts a service account token",
            ("update", Some(422)) => "if it is immutable, delete it and let Helm make it anew",
            (_, Some(_)) => "see what the API server says",
            (_, None) => "check that the API server can be reached",
        };
        StoreError { verb, secret: self.to_string(), advice, source }
    }
}

/// The Secret as `namespace/name`.
impl fmt::Display for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { api, name } = self;
        write!(f, "{}/{name}", api.namespace().unwrap_or_default())
    }
}

/// Why the Secret could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("cannot {verb} Secret {secret}: {advice}")]
pub(crate) struct StoreError {
    verb: &'static str,
    secret: String,
    advice: &'static str,
    source: kube::Error,
}

/// What a person asks for by an annotation of the Secret.
pub(crate) fn request(secret: &Secret) -> Option<Request> {
    Request::parse(annotation(secret)?)
}

/// What a person asks for that cannot be done.
pub(crate) fn unknown_request(secret: &Secret) -> Option<String> {
    let value = annotation(secret)?;
    Request::parse(value).is_none().then(|| value.to_owned())
}

fn annotation(secret: &Secret) -> Option<&str> {
    secret.metadata.annotations.as_ref()?.get(ROTATE).map(String::as_str)
}

/// `secret` with `material` in its data, as that step left it, and without the request that is
/// met by it. All else it has stays: its resourceVersion, upon which the write succeeds, its type,
/// which the API server never lets change, and its labels, by which Helm knows it.
pub(crate) fn filled(mut secret: Secret, material: &Material, step: Step) -> Secret {
    if request(&secret).is_some_and(|request| request.is_met_by(step))
        && let Some(annotations) = &mut secret.metadata.annotations
    {
        annotations.remove(ROTATE);
    }
    material.write_to(secret.data.get_or_insert_default());
    secret
}

#[cfg(test)]
mod tests {
    use hyper::{Method, StatusCode};
    use jiff::Timestamp;
    use serde_json::{Value, json};

    use super::*;
    use crate::fake_apiserver::FakeApiserver;
    use crate::{ServerNames, issue};

    const SECRET: &str = "/api/v1/namespaces/storage/secrets/nfs-guard-tls";

    fn store(server: &FakeApiserver) -> Store {
        Store::new(server.client(), "storage", "nfs-guard-tls")
    }

    fn material() -> Material {
        issue(&ServerNames::loopback(), Timestamp::UNIX_EPOCH).expect("issues")
    }

    /// The Secret as Helm makes it.
    fn empty() -> Value {
        json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {
                "name": "nfs-guard-tls",
                "namespace": "storage",
                "labels": { "app.kubernetes.io/managed-by": "Helm" },
                "annotations": { "team": "storage" },
            },
            "type": "Opaque",
        })
    }

    #[tokio::test]
    async fn fills_the_secret_and_leaves_what_is_not_ours() {
        let server = FakeApiserver::default();
        let mut secret = empty();
        secret["data"] = json!({ "note": "aGVsbG8=", "next-ca.key": "b2xk" });
        server.put(SECRET, secret);

        let read = store(&server).read().await.expect("reads").expect("is there");
        let material = material();
        let written = store(&server).write(&filled(read, &material, Step::Issue)).await;

        assert!(written.expect("writes").is_some());
        let mut stored = server.object(SECRET);
        let data = stored["data"].as_object().expect("has data");
        let keys = ["ca.crt", "ca.key", "note", "tls.crt", "tls.key"];
        assert_eq!(data.keys().collect::<Vec<_>>(), keys);
        stored["data"] = Value::Null;
        let mut expected = empty();
        expected["data"] = Value::Null;
        expected["metadata"]["resourceVersion"] = stored["metadata"]["resourceVersion"].clone();
        assert_eq!(stored, expected);
    }

    #[tokio::test]
    async fn loses_to_a_writer_that_came_first_and_to_one_that_deletes() {
        let server = FakeApiserver::default();
        server.put(SECRET, empty());
        let read = store(&server).read().await.expect("reads").expect("is there");
        server.put(SECRET, empty());

        assert!(store(&server).write(&read).await.expect("loses").is_none());
        server.delete(SECRET);
        assert!(store(&server).write(&read).await.expect("loses").is_none());
        assert!(store(&server).read().await.expect("reads").is_none());
    }

    #[test]
    fn a_request_goes_with_the_step_that_meets_it() {
        for (value, step, stays) in [
            ("ca", Step::Publish, false),
            ("ca", Step::Issue, false),
            ("ca", Step::Reissue, true),
            ("ca", Step::Serve, true),
            ("ca", Step::Retire, true),
            ("leaf", Step::Reissue, false),
            ("leaf", Step::Serve, false),
            ("leaf", Step::Publish, true),
            ("certificate", Step::Reissue, true),
        ] {
            let mut secret: Secret = serde_json::from_value(empty()).expect("is a Secret");
            let annotations = secret.metadata.annotations.as_mut().expect("has some");
            annotations.insert(ROTATE.to_owned(), value.to_owned());
            let secret = filled(secret, &material(), step);
            let annotations = secret.metadata.annotations.expect("has some");
            assert_eq!(annotations.contains_key(ROTATE), stays, "{value}, {step:?}");
            assert_eq!(annotations["team"], "storage", "{value}, {step:?}");
        }
    }

    #[tokio::test]
    async fn an_error_names_the_secret_and_what_to_do() {
        let forbidden = (StatusCode::FORBIDDEN, "Forbidden", "no");
        let invalid = (StatusCode::UNPROCESSABLE_ENTITY, "Invalid", "immutable");
        let broken = (StatusCode::INTERNAL_SERVER_ERROR, "InternalError", "etcd");
        for (method, refusal, message) in [
            (
                Method::GET,
                forbidden,
                "get|grant the service account the verb `get` on it by a Role",
            ),
            (
                Method::PUT,
                forbidden,
                "update|grant the service account the verb `update` on it by a Role",
            ),
            (
                Method::PUT,
                invalid,
                "update|if it is immutable, delete it and let Helm make it anew",
            ),
            (Method::GET, broken, "get|see what the API server says"),
        ] {
            let server = FakeApiserver::default();
            server.put(SECRET, empty());
            let secret = store(&server).read().await.expect("reads").expect("is there");
            server.refuse(method.clone(), refusal);

            let error = match method {
                Method::GET => store(&server).read().await.err(),
                _ => store(&server).write(&secret).await.err(),
            };

            let (verb, advice) = message.split_once('|').expect("has two parts");
            assert_eq!(
                error.expect(message).to_string(),
                format!("cannot {verb} Secret storage/nfs-guard-tls: {advice}")
            );
        }
    }
}
