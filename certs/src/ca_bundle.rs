//! Tells the API server which CA to trust when it calls the webhook.

mod patch;

use std::fmt;

use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingWebhookConfiguration,
};
use kube::api::{Api, Patch, PatchParams};
use serde::de::DeserializeOwned;

use self::patch::{Entry, patch};
use crate::apiserver::{FIELD_MANAGER, status_code};

/// How often to read and patch. A refused patch means that another writer came
/// first: a replica with the same bundle, after which nothing is left to do, or an
/// upgrade of the chart, which writes once. The same refusal three times in a row
/// is no race, and its cause is reported.
const ROUNDS: usize = 3;

/// A webhook configuration, by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Configuration {
    /// A `ValidatingWebhookConfiguration`.
    Validating(String),
    /// A `MutatingWebhookConfiguration`.
    Mutating(String),
}

impl fmt::Display for Configuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Validating(name) => write!(f, "ValidatingWebhookConfiguration {name}"),
            Self::Mutating(name) => write!(f, "MutatingWebhookConfiguration {name}"),
        }
    }
}

/// What [`publish`] had to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Published {
    /// Every entry carried the bundle already; nothing was written.
    Unchanged,
    /// At least one entry did not, and does now.
    Changed,
}

/// Writes `ca_bundle`, in PEM, into every entry of a webhook configuration.
///
/// It sends a JSON Patch and not a server-side apply: an applied entry would be
/// co-owned by us, so that once the chart drops it a stub with nothing but our
/// caBundle remains, which is invalid and fails `helm upgrade`. The patch first
/// tests that the object is the one which was read and that each index still is
/// the entry of that name.
pub async fn publish(
    client: kube::Client,
    configuration: &Configuration,
    ca_bundle: &str,
) -> Result<Published, PublishError> {
    let published = match configuration {
        Configuration::Validating(name) => {
            let api = Api::<ValidatingWebhookConfiguration>::all(client);
            publish_through(&api, name, ca_bundle).await
        }
        Configuration::Mutating(name) => {
            let api = Api::<MutatingWebhookConfiguration>::all(client);
            publish_through(&api, name, ca_bundle).await
        }
    };
    published.map_err(|refusal| PublishError::new(configuration.clone(), refusal))
}

/// Why the API server does not trust our CA.
#[derive(Debug, thiserror::Error)]
#[error("cannot {verb} {configuration}: {advice}")]
pub struct PublishError {
    verb: &'static str,
    configuration: Configuration,
    advice: &'static str,
    source: kube::Error,
}

impl PublishError {
    fn new(configuration: Configuration, Refusal { verb, error: source }: Refusal) -> Self {
        let advice = match (verb, status_code(&source)) {
            ("get", Some(403)) => "grant the service account the verb `get` on it by a ClusterRole",
            (_, Some(403)) => "grant the service account the verb `patch` on it by a ClusterRole",
            (_, Some(401)) => "check that the pod mounts a service account token",
            (_, Some(404)) => "install it, or give the name of the one that is installed",
            (_, Some(409 | 422)) => {
                "see what the API server says, and find what else writes it if that is a conflict"
            }
            (_, Some(_)) => "see what the API server says",
            (_, None) => "check that the API server can be reached",
        };
        Self { verb, configuration, advice, source }
    }

    /// Whether there is no such configuration.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        status_code(&self.source) == Some(404)
    }
}

/// A kind of webhook configuration.
trait WebhookConfiguration:
    kube::Resource<DynamicType = ()> + Clone + fmt::Debug + DeserializeOwned
{
    /// Its webhook entries, in order.
    fn entries(&self) -> Vec<Entry<'_>>;
}

impl WebhookConfiguration for ValidatingWebhookConfiguration {
    fn entries(&self) -> Vec<Entry<'_>> {
        let webhooks = self.webhooks.iter().flatten();
        webhooks.map(|webhook| Entry::new(&webhook.name, &webhook.client_config)).collect()
    }
}

impl WebhookConfiguration for MutatingWebhookConfiguration {
    fn entries(&self) -> Vec<Entry<'_>> {
        let webhooks = self.webhooks.iter().flatten();
        webhooks.map(|webhook| Entry::new(&webhook.name, &webhook.client_config)).collect()
    }
}

/// A call the API server did not answer as hoped.
struct Refusal {
    verb: &'static str,
    error: kube::Error,
}

async fn publish_through<C: WebhookConfiguration>(
    api: &Api<C>,
    name: &str,
    ca_bundle: &str,
) -> Result<Published, Refusal> {
    let params =
        PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
    let mut round = 1;
    loop {
        let read = api.get(name).await.map_err(|error| Refusal { verb: "get", error })?;
        let version = read.meta().resource_version.as_deref().unwrap_or_default();
        let Some(patch) = patch(version, read.entries(), ca_bundle) else {
            return Ok(Published::Unchanged);
        };
        match api.patch(name, &params, &Patch::<()>::Json(patch)).await {
            Ok(_) => return Ok(Published::Changed),
            Err(error) if conflicts(&error) && round < ROUNDS => {
                tracing::debug!(kind = %C::kind(&()), name, "another writer came first");
                round += 1;
            }
            Err(error) => return Err(Refusal { verb: "patch", error }),
        }
    }
}

/// Whether the object is not the one that was read: a failed `test` is answered
/// by 422, a write that came between the API server's own read and write by 409.
fn conflicts(error: &kube::Error) -> bool {
    matches!(status_code(error), Some(409 | 422))
}

#[cfg(test)]
mod tests {
    use hyper::{Method, StatusCode};
    use serde_json::{Value, json};

    use super::*;
    use crate::fake_apiserver::FakeApiserver;

    const PEM: &str = "pem";
    const PEM_BASE64: &str = "cGVt";
    const OTHER_BASE64: &str = "b3RoZXI=";

    /// Name of an entry, and its caBundle in base64.
    type Given<'a> = (&'a str, Option<&'a str>);

    /// A configuration, and where an API server keeps it.
    struct Kept {
        configuration: Configuration,
        kind: &'static str,
        path: String,
    }

    /// One of each kind, both of the same name.
    fn both() -> [Kept; 2] {
        let kept = |configuration, kind, resource| {
            let path = format!("/apis/admissionregistration.k8s.io/v1/{resource}/nfs-guard");
            Kept { configuration, kind, path }
        };
        let name = "nfs-guard".to_owned();
        [
            kept(
                Configuration::Validating(name.clone()),
                "ValidatingWebhookConfiguration",
                "validatingwebhookconfigurations",
            ),
            kept(
                Configuration::Mutating(name),
                "MutatingWebhookConfiguration",
                "mutatingwebhookconfigurations",
            ),
        ]
    }

    impl Kept {
        fn object(&self, entries: &[Given<'_>]) -> Value {
            let webhooks: Vec<_> = entries
                .iter()
                .map(|(name, ca_bundle)| {
                    let service = json!({ "namespace": "storage", "name": "nfs-guard" });
                    let mut entry = json!({
                        "name": name,
                        "admissionReviewVersions": ["v1"],
                        "sideEffects": "None",
                        "clientConfig": { "service": service },
                    });
                    if let Some(ca_bundle) = ca_bundle {
                        entry["clientConfig"]["caBundle"] = json!(ca_bundle);
                    }
                    entry
                })
                .collect();
            json!({
                "apiVersion": "admissionregistration.k8s.io/v1",
                "kind": self.kind,
                "metadata": { "name": "nfs-guard" },
                "webhooks": webhooks,
            })
        }

        fn ca_bundles(&self, server: &FakeApiserver) -> Vec<(String, Value)> {
            let object = server.object(&self.path);
            let webhooks = object["webhooks"].as_array().expect("has entries");
            webhooks
                .iter()
                .map(|entry| {
                    let name = entry["name"].as_str().expect("is named").to_owned();
                    (name, entry["clientConfig"]["caBundle"].clone())
                })
                .collect()
        }

        fn requests(&self, methods: &[&str]) -> Vec<String> {
            methods.iter().map(|method| format!("{method} {}", self.path)).collect()
        }
    }

    #[tokio::test]
    async fn writes_the_bundle_into_every_entry_of_that_configuration_once() {
        let server = FakeApiserver::default();
        let given = [("a", None), ("b", Some(OTHER_BASE64))];
        for kept in both() {
            server.put(&kept.path, kept.object(&given));
        }

        let mut requests = Vec::new();
        for kept in both() {
            let first = publish(server.client(), &kept.configuration, PEM).await;
            let second = publish(server.client(), &kept.configuration, PEM).await;

            assert_eq!(first.expect("publishes"), Published::Changed, "{}", kept.kind);
            assert_eq!(second.expect("publishes"), Published::Unchanged, "{}", kept.kind);
            let published = ["a", "b"].map(|name| (name.to_owned(), json!(PEM_BASE64)));
            assert_eq!(kept.ca_bundles(&server), published, "{}", kept.kind);
            requests.extend(kept.requests(&["GET", "PATCH", "GET"]));
            assert_eq!(server.requests(), requests, "{}: the other is left alone", kept.kind);
        }
    }

    #[tokio::test]
    async fn an_entry_that_an_upgrade_puts_first_gets_its_own() {
        for kept in both() {
            let server = FakeApiserver::default();
            server.put(&kept.path, kept.object(&[("b", None)]));
            let path = kept.path.clone();
            let mut upgrade = Some(kept.object(&[("a", None), ("b", None)]));
            server.before(Method::PATCH, move |objects| {
                if let Some(upgraded) = upgrade.take() {
                    objects.put(&path, upgraded);
                }
            });

            let published = publish(server.client(), &kept.configuration, PEM).await;

            assert_eq!(published.expect("publishes"), Published::Changed, "{}", kept.kind);
            let published = ["a", "b"].map(|name| (name.to_owned(), json!(PEM_BASE64)));
            assert_eq!(kept.ca_bundles(&server), published, "{}", kept.kind);
            let requests = kept.requests(&["GET", "PATCH", "GET", "PATCH"]);
            assert_eq!(server.requests(), requests, "{}", kept.kind);
        }
    }

    #[tokio::test]
    async fn leaves_it_to_the_replica_that_published_first() {
        for kept in both() {
            let server = FakeApiserver::default();
            server.put(&kept.path, kept.object(&[("a", None)]));
            let (path, published) = (kept.path.clone(), kept.object(&[("a", Some(PEM_BASE64))]));
            server.before(Method::PATCH, move |objects| {
                objects.put(&path, published.clone());
            });

            let published = publish(server.client(), &kept.configuration, PEM).await;

            assert_eq!(published.expect("publishes"), Published::Unchanged, "{}", kept.kind);
            let requests = kept.requests(&["GET", "PATCH", "GET"]);
            assert_eq!(server.requests(), requests, "{}", kept.kind);
        }
    }

    #[tokio::test]
    async fn an_error_names_the_configuration_and_what_to_do() {
        let forbidden = (StatusCode::FORBIDDEN, "Forbidden", "no");
        let invalid = (StatusCode::UNPROCESSABLE_ENTITY, "Invalid", "bad caBundle");
        let missing = (StatusCode::NOT_FOUND, "NotFound", "not found");
        let conflict = (StatusCode::CONFLICT, "Conflict", "modified");
        let refusals = "see what the API server says, \
                        and find what else writes it if that is a conflict";

        for (case, method, refusal, requests, advice) in [
            (
                "not installed",
                Method::GET,
                missing,
                1,
                "install it, or give the name of the one that is installed",
            ),
            (
                "not allowed to read",
                Method::GET,
                forbidden,
                1,
                "grant the service account the verb `get` on it by a ClusterRole",
            ),
            (
                "not allowed to patch",
                Method::PATCH,
                forbidden,
                2,
                "grant the service account the verb `patch` on it by a ClusterRole",
            ),
            ("refused as invalid every time", Method::PATCH, invalid, 2 * ROUNDS, refusals),
            ("in conflict every time", Method::PATCH, conflict, 2 * ROUNDS, refusals),
        ] {
            for kept in both() {
                let server = FakeApiserver::default();
                server.put(&kept.path, kept.object(&[("a", None)]));
                server.refuse(method.clone(), refusal);

                let published = publish(server.client(), &kept.configuration, PEM).await;

                let error = published.expect_err(case);
                let verb = method.as_str().to_lowercase();
                let message = format!("cannot {verb} {} nfs-guard: {advice}", kept.kind);
                assert_eq!(error.to_string(), message, "{case}");
                assert_eq!(error.is_missing(), refusal == missing, "{case}");
                assert_eq!(server.requests().len(), requests, "{case}");
            }
        }
    }
}
