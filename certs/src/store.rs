//! Keeps the material in one Secret which all replicas share.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Api, PostParams};

use crate::apiserver::{FIELD_MANAGER, status_code};
use crate::issue::{IssueError, issue, reissue};
use crate::material::{Material, SECRET_TYPE};
use crate::names::ServerNames;
use crate::plan::{Plan, plan};

/// Label that says whose the Secret is.
const MANAGED_BY: (&str, &str) = ("app.kubernetes.io/managed-by", "nfs-guard");

/// How often to read, plan and write. Alone, one round suffices; after losing to a
/// replica, a second, which finds that its material serves. Further ones are lost
/// only to writers that disagree with us (other names, a far-off clock) or delete
/// the Secret. Whoever loses four in a row will not win by trying on.
const ROUNDS: usize = 4;

/// The Secret that holds the material.
#[derive(Clone)]
pub struct Store {
    api: Api<Secret>,
    name: String,
}

impl Store {
    /// A store in the Secret `name` of the namespace that `api` is for.
    #[must_use]
    pub fn new(api: Api<Secret>, name: impl Into<String>) -> Self {
        let name = name.into();
        Self { api, name }
    }

    /// The stored material if it serves `names` at `now`; otherwise issues new
    /// material and stores it.
    ///
    /// Any number of replicas may call this at once: a write succeeds only upon
    /// what was read before, so one of them wins and all return what it stored.
    pub async fn ensure(
        &self,
        names: &ServerNames,
        now: Timestamp,
    ) -> Result<Material, StoreError> {
        for _ in 0..ROUNDS {
            // Without a resourceVersion the API server answers from its store, never
            // from a cache that lags: after a lost race this is what the winner wrote.
            let secret = match self.api.get_opt(&self.name).await {
                Ok(secret) => secret,
                Err(error) => return Err(self.refused(Verb::Get, error)),
            };
            let stored = secret
                .as_ref()
                .map(|secret| Material::from_secret_data(&secret.data.clone().unwrap_or_default()));
            let (issued, reason) = match plan(stored.as_ref(), names, now) {
                Plan::Keep(material) => return Ok(material.clone()),
                Plan::Reissue(material, reason) => (reissue(material, names, now), reason),
                Plan::Issue(reason) => (issue(names, now), reason),
            };
            let material =
                issued.map_err(|source| StoreError::Issue { secret: self.to_string(), source })?;
            match self.write(secret, &material).await? {
                Write::Done => {
                    tracing::info!(secret = %self, %reason, "issued certificates");
                    return Ok(material);
                }
                Write::Lost => {
                    tracing::debug!(secret = %self, %reason, "another writer came first");
                }
            }
        }
        Err(StoreError::Contended { secret: self.to_string() })
    }

    /// Writes `material` where `read` was read: creates what was absent, replaces
    /// what was there and only while it is still that.
    async fn write(&self, read: Option<Secret>, material: &Material) -> Result<Write, StoreError> {
        let params =
            PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
        let (verb, written) = match read {
            None => {
                let secret = updated(self.empty(), material);
                (Verb::Create, self.api.create(&params, &secret).await)
            }
            Some(secret) => {
                let secret = updated(secret, material);
                let written = self.api.replace(&self.name, &params, &secret).await;
                (Verb::Update, written)
            }
        };
        match written {
            Ok(_) => Ok(Write::Done),
            Err(error) if lost(verb, &error) => Ok(Write::Lost),
            Err(error) => Err(self.refused(verb, error)),
        }
    }

    fn empty(&self) -> Secret {
        Secret {
            metadata: ObjectMeta { name: Some(self.name.clone()), ..ObjectMeta::default() },
            type_: Some(SECRET_TYPE.to_owned()),
            ..Secret::default()
        }
    }

    fn refused(&self, verb: Verb, source: kube::Error) -> StoreError {
        StoreError::Refused {
            verb: verb.as_str(),
            secret: self.to_string(),
            advice: advice(verb, &source),
            source,
        }
    }
}

/// The Secret as `namespace/name`.
impl fmt::Display for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { api, name } = self;
        write!(f, "{}/{name}", api.namespace().unwrap_or_default())
    }
}

/// Why the Secret holds no material that serves.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The API server refused, or could not be reached.
    #[error("cannot {verb} Secret {secret}: {advice}")]
    Refused {
        /// What was asked of the API server, by its RBAC verb.
        verb: &'static str,
        /// The Secret, as `namespace/name`.
        secret: String,
        /// What to do about it.
        advice: &'static str,
        /// What the API server said.
        source: kube::Error,
    },
    /// New material could not be issued.
    #[error("cannot issue certificates for Secret {secret}")]
    Issue {
        /// The Secret, as `namespace/name`.
        secret: String,
        /// What went wrong.
        source: IssueError,
    },
    /// Other writers came first every time, and none left material that serves.
    #[error(
        "gave up on Secret {secret}: it was changed {ROUNDS} times before it could be written; \
         find what else writes it, such as a second release with the same Secret"
    )]
    Contended {
        /// The Secret, as `namespace/name`.
        secret: String,
    },
}

/// What is asked of the API server; the verb of its RBAC.
#[derive(Clone, Copy)]
enum Verb {
    Get,
    Create,
    Update,
}

impl Verb {
    fn as_str(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Create => "create",
            Self::Update => "update",
        }
    }
}

/// How a write ended that was not refused.
enum Write {
    Done,
    /// Another writer came first.
    Lost,
}

/// `secret` with our four keys and our label; all else it has stays, notably its
/// resourceVersion, upon which the write succeeds, and its type, which the API
/// server never lets change.
fn updated(mut secret: Secret, material: &Material) -> Secret {
    secret.data.get_or_insert_with(BTreeMap::new).extend(material.to_secret_data());
    let (label, value) = MANAGED_BY;
    secret
        .metadata
        .labels
        .get_or_insert_with(BTreeMap::new)
        .insert(label.to_owned(), value.to_owned());
    secret
}

/// Whether another writer came between our read and our write.
fn lost(verb: Verb, error: &kube::Error) -> bool {
    match status_code(error) {
        // AlreadyExists when creating, Conflict when replacing.
        Some(409) => true,
        // When replacing, it was deleted; when creating, there is no namespace.
        Some(404) => matches!(verb, Verb::Update),
        _ => false,
    }
}

fn advice(verb: Verb, error: &kube::Error) -> &'static str {
    match (verb, status_code(error)) {
        (Verb::Get, Some(403)) => "grant the service account the verb `get` on it by a Role",
        (Verb::Create, Some(403)) => {
            "grant the service account the verb `create` on secrets by a Role"
        }
        (Verb::Update, Some(403)) => "grant the service account the verb `update` on it by a Role",
        (_, Some(401)) => "check that the pod mounts a service account token",
        (Verb::Create, Some(404)) => "create its namespace first",
        (_, Some(422)) => "delete it, unless it is in use elsewhere, to have it made anew",
        (_, Some(_)) => "see what the API server says",
        (_, None) => "check that the API server can be reached",
    }
}

#[cfg(test)]
mod tests {
    use futures::future::join_all;
    use hyper::{Method, StatusCode};
    use jiff::SignedDuration;
    use serde_json::{Value, json};

    use super::*;
    use crate::fake_apiserver::FakeApiserver;

    const SECRET: &str = "/api/v1/namespaces/storage/secrets/nfs-guard-tls";
    const GET: &str = "GET /api/v1/namespaces/storage/secrets/nfs-guard-tls";
    const POST: &str = "POST /api/v1/namespaces/storage/secrets";
    const PUT: &str = "PUT /api/v1/namespaces/storage/secrets/nfs-guard-tls";

    fn store(server: &FakeApiserver) -> Store {
        Store::new(Api::namespaced(server.client(), "storage"), "nfs-guard-tls")
    }

    fn names() -> ServerNames {
        ServerNames::for_service("nfs-guard", "storage").expect("valid")
    }

    fn now() -> Timestamp {
        "2026-03-01T12:00:00Z".parse().expect("valid")
    }

    fn years_ago(years: i64) -> Timestamp {
        now() - SignedDuration::from_hours(years * 365 * 24)
    }

    fn issued(at: Timestamp) -> Material {
        issue(&names(), at).expect("issues")
    }

    /// The Secret as another replica would have written it.
    fn secret(material: &Material) -> Value {
        json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": { "name": "nfs-guard-tls", "namespace": "storage" },
            "type": "kubernetes.io/tls",
            "data": material.to_secret_data(),
        })
    }

    fn data(server: &FakeApiserver) -> Value {
        server.object(SECRET)["data"].clone()
    }

    #[tokio::test]
    async fn creates_the_secret_when_absent() {
        let server = FakeApiserver::default();

        let material = store(&server).ensure(&names(), now()).await.expect("stores");

        assert_eq!(server.requests(), [GET, POST]);
        let secret = server.object(SECRET);
        assert_eq!(secret["type"], "kubernetes.io/tls");
        assert_eq!(
            secret["metadata"]["labels"],
            json!({ "app.kubernetes.io/managed-by": "nfs-guard" })
        );
        assert_eq!(secret["data"], json!(material.to_secret_data()));
    }

    #[tokio::test]
    async fn keeps_what_serves_without_writing() {
        let server = FakeApiserver::default();
        let stored = issued(now());
        server.put(SECRET, secret(&stored));

        let material = store(&server).ensure(&names(), now()).await.expect("reads");

        assert_eq!(material.to_secret_data(), stored.to_secret_data());
        assert_eq!(server.requests(), [GET]);
    }

    #[tokio::test]
    async fn takes_the_material_of_the_replica_that_wrote_first() {
        let expired = secret(&issued(years_ago(2)));
        for (stored, write, method) in
            [(None, POST, Method::POST), (Some(expired), PUT, Method::PUT)]
        {
            let server = FakeApiserver::default();
            if let Some(stored) = stored {
                server.put(SECRET, stored);
            }
            let winner = issued(now());
            let theirs = secret(&winner);
            server.before(method, move |objects| {
                objects.put(SECRET, theirs.clone());
            });

            let material = store(&server).ensure(&names(), now()).await.expect("reads");

            assert_eq!(material.ca_bundle(), winner.ca_bundle());
            assert_eq!(server.requests(), [GET, write, GET]);
        }
    }

    #[tokio::test]
    async fn replaces_an_expired_one_upon_the_version_it_read() {
        let server = FakeApiserver::default();
        let mut expired = secret(&issued(years_ago(2)));
        expired["metadata"]["annotations"] = json!({ "team": "storage" });
        expired["data"]["notes"] = json!("aGVsbG8=");
        expired["type"] = json!("Opaque");
        server.put(SECRET, expired);
        let read = server.object(SECRET);

        let material = store(&server).ensure(&names(), now()).await.expect("stores");

        assert_eq!(server.requests(), [GET, PUT]);
        let written = server.object(SECRET);
        assert_ne!(written["metadata"]["resourceVersion"], read["metadata"]["resourceVersion"]);
        assert_eq!(written["data"]["tls.crt"], json!(material.to_secret_data()["tls.crt"]));
        // Clients that trust the CA go on: it is the same.
        assert_eq!(written["data"]["ca.crt"], read["data"]["ca.crt"]);
        // What is not ours stays, and the type, which cannot change.
        assert_eq!(written["data"]["notes"], "aGVsbG8=");
        assert_eq!(written["type"], "Opaque");
        assert_eq!(written["metadata"]["annotations"]["team"], "storage");
    }

    #[tokio::test]
    async fn creates_what_was_deleted_while_it_was_to_be_replaced() {
        let server = FakeApiserver::default();
        server.put(SECRET, secret(&issued(years_ago(2))));
        server.before(Method::PUT, |objects| objects.delete(SECRET));

        let material = store(&server).ensure(&names(), now()).await.expect("stores");

        assert_eq!(data(&server), json!(material.to_secret_data()));
        assert_eq!(server.requests(), [GET, PUT, GET, POST]);
    }

    #[tokio::test]
    async fn repairs_a_secret_without_data() {
        let server = FakeApiserver::default();
        let mut empty = secret(&issued(now()));
        empty["data"] = Value::Null;
        server.put(SECRET, empty);

        let material = store(&server).ensure(&names(), now()).await.expect("stores");

        assert_eq!(data(&server), json!(material.to_secret_data()));
    }

    #[tokio::test]
    async fn replicas_that_start_at_once_agree() {
        let expired = secret(&issued(years_ago(2)));
        for (case, stored, write) in
            [("none is stored", None, POST), ("an expired one is stored", Some(expired), PUT)]
        {
            let server = FakeApiserver::default();
            if let Some(stored) = stored {
                server.put(SECRET, stored);
            }
            let stores: Vec<_> = (0..5).map(|_| store(&server)).collect();
            let names = names();

            let ensured = join_all(stores.iter().map(|store| store.ensure(&names, now()))).await;

            for material in ensured {
                let material = material.expect(case);
                assert_eq!(data(&server), json!(material.to_secret_data()), "{case}");
            }
            let requests = server.requests();
            let writes = requests.iter().filter(|request| *request == write);
            assert!(writes.count() > 1, "{case}: raced: {requests:?}");
        }
    }

    #[tokio::test]
    async fn gives_up_when_others_keep_writing_what_does_not_serve() {
        let server = FakeApiserver::default();
        server.put(SECRET, secret(&issued(years_ago(2))));
        let theirs = secret(&issued(years_ago(2)));
        server.before(Method::PUT, move |objects| {
            objects.put(SECRET, theirs.clone());
        });

        let error = store(&server).ensure(&names(), now()).await.expect_err("loses");

        assert_eq!(
            error.to_string(),
            "gave up on Secret storage/nfs-guard-tls: it was changed 4 times before it could be \
             written; find what else writes it, such as a second release with the same Secret"
        );
        assert_eq!(server.requests().len(), 2 * ROUNDS);
    }

    #[tokio::test]
    async fn an_error_names_the_secret_and_what_to_do() {
        let forbidden = (StatusCode::FORBIDDEN, "Forbidden", "no");
        let missing = (StatusCode::NOT_FOUND, "NotFound", "no such namespace");
        let invalid = (StatusCode::UNPROCESSABLE_ENTITY, "Invalid", "immutable");
        let broken = (StatusCode::INTERNAL_SERVER_ERROR, "InternalError", "etcd");
        let expired = secret(&issued(years_ago(2)));

        for (case, method, refusal, stored, message) in [
            (
                "not allowed to read",
                Method::GET,
                forbidden,
                None,
                "cannot get Secret storage/nfs-guard-tls: \
                 grant the service account the verb `get` on it by a Role",
            ),
            (
                "not allowed to create",
                Method::POST,
                forbidden,
                None,
                "cannot create Secret storage/nfs-guard-tls: \
                 grant the service account the verb `create` on secrets by a Role",
            ),
            (
                "not allowed to replace",
                Method::PUT,
                forbidden,
                Some(&expired),
                "cannot update Secret storage/nfs-guard-tls: \
                 grant the service account the verb `update` on it by a Role",
            ),
            (
                "no namespace",
                Method::POST,
                missing,
                None,
                "cannot create Secret storage/nfs-guard-tls: create its namespace first",
            ),
            (
                "an immutable one",
                Method::PUT,
                invalid,
                Some(&expired),
                "cannot update Secret storage/nfs-guard-tls: \
                 delete it, unless it is in use elsewhere, to have it made anew",
            ),
            (
                "an API server in trouble",
                Method::GET,
                broken,
                None,
                "cannot get Secret storage/nfs-guard-tls: see what the API server says",
            ),
        ] {
            let server = FakeApiserver::default();
            server.refuse(method, refusal);
            if let Some(stored) = stored {
                server.put(SECRET, stored.clone());
            }

            let error = store(&server).ensure(&names(), now()).await.expect_err(case);

            assert_eq!(error.to_string(), message, "{case}");
        }
    }
}
