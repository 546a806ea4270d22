//! Tells the API server which CA to trust when it calls the webhook.

mod patch;

use std::fmt;

use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingWebhookConfiguration,
};
use kube::Client;
use kube::api::{Api, Patch, PatchParams};
use serde::de::DeserializeOwned;

pub(crate) use self::patch::Entry;
use self::patch::patch;
use crate::apiserver::{FIELD_MANAGER, status_code};

/// A webhook configuration, by its name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
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

/// The webhook entries of a configuration, as one version of it has them.
#[derive(Clone, Debug)]
pub(crate) struct Entries {
    pub(crate) version: String,
    entries: Vec<Entry>,
}

impl Entries {
    pub(crate) fn of<C: WebhookConfiguration>(configuration: &C) -> Self {
        let version = configuration.meta().resource_version.clone().unwrap_or_default();
        Self { version, entries: configuration.entries() }
    }

    /// Entries of these names and bundles; an empty bundle is none.
    #[cfg(test)]
    pub(crate) fn given(version: String, entries: &[(String, String)]) -> Self {
        let entries = entries.iter().map(|(name, pem)| Entry {
            name: name.clone(),
            ca_bundle: (!pem.is_empty()).then(|| ByteString(pem.as_bytes().to_vec())),
        });
        Self { version, entries: entries.collect() }
    }

    /// Whether every entry carries that bundle.
    pub(crate) fn all_carry(&self, ca_bundle: &str) -> bool {
        let carries = |entry: &Entry| {
            entry.ca_bundle.as_ref().is_some_and(|ByteString(pem)| pem == ca_bundle.as_bytes())
        };
        self.entries.iter().all(carries)
    }
}

/// How a patch ended that was not refused for good.
#[derive(Debug)]
pub(crate) enum Published {
    /// The entries as they are now; every one carries the bundle.
    Done(Entries),
    /// The configuration is not what was read any more, or the patch is not taken for
    /// another reason; what it is now, if it is.
    Conflict(Option<Entries>, PublishError),
}

/// Writes `ca_bundle`, in PEM, into every entry of a webhook configuration, if it still is
/// what was read as `entries`.
///
/// It sends a JSON Patch and not a server-side apply: an applied entry would be
/// co-owned by us, so that once the chart drops it a stub with nothing but our
/// caBundle remains, which is invalid and fails `helm upgrade`. The patch first
/// tests that the object is the one which was read and that each index still is
/// the entry of that name.
pub(crate) async fn publish(
    client: &Client,
    configuration: &Configuration,
    entries: &Entries,
    ca_bundle: &str,
) -> Result<Published, PublishError> {
    let published = match configuration {
        Configuration::Validating(name) => {
            let api = Api::<ValidatingWebhookConfiguration>::all(client.clone());
            publish_through(&api, name, entries, ca_bundle).await
        }
        Configuration::Mutating(name) => {
            let api = Api::<MutatingWebhookConfiguration>::all(client.clone());
            publish_through(&api, name, entries, ca_bundle).await
        }
    };
    let named = |refusal| PublishError::new(configuration.clone(), refusal);
    match published {
        Ok(Sent::Done(entries)) => Ok(Published::Done(entries)),
        Ok(Sent::Conflict(entries, refusal)) => Ok(Published::Conflict(entries, named(refusal))),
        Err(refusal) => Err(named(refusal)),
    }
}

/// Why the API server does not trust our CA.
#[derive(Debug, thiserror::Error)]
#[error("cannot {verb} {configuration}: {advice}")]
pub(crate) struct PublishError {
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
            (_, Some(409 | 422)) => {
                "see what the API server says, and find what else writes it if that is a conflict"
            }
            (_, Some(_)) => "see what the API server says",
            (_, None) => "check that the API server can be reached",
        };
        Self { verb, configuration, advice, source }
    }
}

/// A kind of webhook configuration.
pub(crate) trait WebhookConfiguration:
    kube::Resource<DynamicType = ()> + Clone + fmt::Debug + DeserializeOwned + Send + 'static
{
    /// Its webhook entries, in order.
    fn entries(&self) -> Vec<Entry>;
}

impl WebhookConfiguration for ValidatingWebhookConfiguration {
    fn entries(&self) -> Vec<Entry> {
        let webhooks = self.webhooks.iter().flatten();
        webhooks.map(|webhook| Entry::new(&webhook.name, &webhook.client_config)).collect()
    }
}

impl WebhookConfiguration for MutatingWebhookConfiguration {
    fn entries(&self) -> Vec<Entry> {
        let webhooks = self.webhooks.iter().flatten();
        webhooks.map(|webhook| Entry::new(&webhook.name, &webhook.client_config)).collect()
    }
}

/// A call the API server did not answer as hoped.
struct Refusal {
    verb: &'static str,
    error: kube::Error,
}

enum Sent {
    Done(Entries),
    Conflict(Option<Entries>, Refusal),
}

async fn publish_through<C: WebhookConfiguration>(
    api: &Api<C>,
    name: &str,
    entries: &Entries,
    ca_bundle: &str,
) -> Result<Sent, Refusal> {
    let params =
        PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
    let Some(patch) = patch(&entries.version, &entries.entries, ca_bundle) else {
        return Ok(Sent::Done(entries.clone()));
    };
    let refusal = match api.patch(name, &params, &Patch::<()>::Json(patch)).await {
        Ok(patched) => return Ok(Sent::Done(Entries::of(&patched))),
        Err(error) => Refusal { verb: "patch", error },
    };
    // A failed `test` is answered by 422, a write that came between the API server's own
    // read and write by 409.
    if !matches!(status_code(&refusal.error), Some(404 | 409 | 422)) {
        return Err(refusal);
    }
    let read = api.get_opt(name).await.map_err(|error| Refusal { verb: "get", error })?;
    Ok(Sent::Conflict(read.as_ref().map(Entries::of), refusal))
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

        fn entries(&self, server: &FakeApiserver) -> Entries {
            let object = server.object(&self.path);
            match self.configuration {
                Configuration::Validating(_) => {
                    Entries::of(&parse::<ValidatingWebhookConfiguration>(object))
                }
                Configuration::Mutating(_) => {
                    Entries::of(&parse::<MutatingWebhookConfiguration>(object))
                }
            }
        }
    }

    fn parse<T: DeserializeOwned>(object: Value) -> T {
        serde_json::from_value(object).expect("is of that kind")
    }

    #[tokio::test]
    async fn writes_the_bundle_into_every_entry_of_that_configuration() {
        for (kept, other) in both().iter().zip(both().iter().rev()) {
            let server = FakeApiserver::default();
            let given = [("a", None), ("b", Some(OTHER_BASE64))];
            for kept in both() {
                server.put(&kept.path, kept.object(&given));
            }
            let entries = kept.entries(&server);
            assert!(!entries.all_carry(PEM), "{}", kept.kind);

            let published = publish(&server.client(), &kept.configuration, &entries, PEM).await;

            let Published::Done(entries) = published.expect("publishes") else {
                panic!("{}: nothing came between", kept.kind)
            };
            assert!(entries.all_carry(PEM), "{}", kept.kind);
            assert!(kept.entries(&server).all_carry(PEM), "{}", kept.kind);
            assert_eq!(entries.version, kept.entries(&server).version, "{}", kept.kind);
            assert!(!other.entries(&server).all_carry(PEM), "{}: is left alone", other.kind);
        }
    }

    #[tokio::test]
    async fn an_entry_that_an_upgrade_put_first_is_never_mistaken_for_another() {
        for kept in both() {
            let server = FakeApiserver::default();
            server.put(&kept.path, kept.object(&[("b", None)]));
            let read = kept.entries(&server);
            server.put(&kept.path, kept.object(&[("a", None), ("b", None)]));

            let published = publish(&server.client(), &kept.configuration, &read, PEM).await;
            let Published::Conflict(Some(now), _) = published.expect("is no refusal") else {
                panic!("{}: what was read is no more", kept.kind)
            };
            assert_eq!(kept.ca_bundles(&server)[0], ("a".to_owned(), Value::Null), "{}", kept.kind);

            let published = publish(&server.client(), &kept.configuration, &now, PEM).await;
            assert!(matches!(published, Ok(Published::Done(_))), "{}", kept.kind);
            let expected = ["a", "b"].map(|name| (name.to_owned(), json!(PEM_BASE64)));
            assert_eq!(kept.ca_bundles(&server), expected, "{}", kept.kind);
        }
    }

    #[tokio::test]
    async fn a_configuration_that_was_taken_away_is_a_conflict_with_nothing() {
        for kept in both() {
            let server = FakeApiserver::default();
            server.put(&kept.path, kept.object(&[("a", None)]));
            let read = kept.entries(&server);
            server.delete(&kept.path);

            let published = publish(&server.client(), &kept.configuration, &read, PEM).await;

            assert!(matches!(published, Ok(Published::Conflict(None, _))), "{}", kept.kind);
        }
    }

    #[tokio::test]
    async fn an_error_names_the_configuration_and_what_to_do() {
        let forbidden = (StatusCode::FORBIDDEN, "Forbidden", "no");
        let conflict = (StatusCode::CONFLICT, "Conflict", "modified");
        let broken = (StatusCode::INTERNAL_SERVER_ERROR, "InternalError", "etcd");
        for (case, refusals, verb, advice) in [
            (
                "not allowed to patch",
                &[(Method::PATCH, forbidden)][..],
                "patch",
                "grant the service account the verb `patch` on it by a ClusterRole",
            ),
            (
                "not allowed to read what came between",
                &[(Method::PATCH, conflict), (Method::GET, forbidden)],
                "get",
                "grant the service account the verb `get` on it by a ClusterRole",
            ),
            (
                "an API server in trouble",
                &[(Method::PATCH, broken)],
                "patch",
                "see what the API server says",
            ),
        ] {
            for kept in both() {
                let server = FakeApiserver::default();
                server.put(&kept.path, kept.object(&[("a", None)]));
                let read = kept.entries(&server);
                for (method, refusal) in refusals {
                    server.refuse(method.clone(), *refusal);
                }

                let published = publish(&server.client(), &kept.configuration, &read, PEM).await;

                let error = published.expect_err(case);
                let message = format!("cannot {verb} {} nfs-guard: {advice}", kept.kind);
                assert_eq!(error.to_string(), message, "{case}");
            }
        }
    }
}
