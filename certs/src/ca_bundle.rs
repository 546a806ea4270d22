//! Tells the API server which CA to trust when it calls the webhook.

use std::fmt;

use json_patch::jsonptr::PointerBuf;
use json_patch::{AddOperation, Patch as JsonPatch, PatchOperation, TestOperation};
use k8s_openapi::ByteString;
use k8s_openapi::ClusterResourceScope;
use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingWebhookConfiguration, WebhookClientConfig,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Api, Patch, PatchParams};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::apiserver::{FIELD_MANAGER, status_code};

/// How often to read and patch. A refused patch means that another writer came
/// first: a replica with the same bundle, after which nothing is left to do, or an
/// upgrade of the chart, which writes once. The same refusal three times in a row
/// is no race, and its cause is reported.
const ROUNDS: usize = 3;

/// What [`publish`] had to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Published {
    /// Every entry carried the bundle already; nothing was written.
    Unchanged,
    /// At least one entry did not, and does now.
    Changed,
}

/// A webhook configuration, by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Configuration {
    /// A `ValidatingWebhookConfiguration`.
    Validating(String),
    /// A `MutatingWebhookConfiguration`.
    Mutating(String),
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
    match configuration {
        Configuration::Validating(name) => {
            publish_in::<ValidatingWebhookConfiguration>(client, name, ca_bundle).await
        }
        Configuration::Mutating(name) => {
            publish_in::<MutatingWebhookConfiguration>(client, name, ca_bundle).await
        }
    }
}

async fn publish_in<K: Entries>(
    client: kube::Client,
    configuration: &str,
    ca_bundle: &str,
) -> Result<Published, PublishError> {
    let api = Api::<K>::all(client);
    let params =
        PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
    let mut round = 1;
    loop {
        let read = api
            .get(configuration)
            .await
            .map_err(|error| refused::<K>("get", configuration, error))?;
        let version = read.metadata().resource_version.as_deref().unwrap_or_default();
        let Some(patch) = patch(version, read.entries(), ca_bundle) else {
            return Ok(Published::Unchanged);
        };
        match api.patch(configuration, &params, &Patch::<()>::Json(patch)).await {
            Ok(_) => {
                tracing::info!(kind = K::KIND, configuration, "published the CA bundle");
                return Ok(Published::Changed);
            }
            Err(error) if conflicts(&error) && round < ROUNDS => {
                tracing::debug!(kind = K::KIND, configuration, "another writer came first");
                round += 1;
            }
            Err(error) => return Err(refused::<K>("patch", configuration, error)),
        }
    }
}

/// Why the API server does not trust our CA.
#[derive(Debug, thiserror::Error)]
#[error("cannot {verb} {kind} {configuration}: {advice}")]
pub struct PublishError {
    kind: &'static str,
    verb: &'static str,
    configuration: String,
    advice: &'static str,
    source: kube::Error,
}

/// The two kinds of configuration, whose entries are alike as far as it matters
/// here.
trait Entries:
    k8s_openapi::Metadata<Ty = ObjectMeta>
    + k8s_openapi::Resource<Scope = ClusterResourceScope>
    + Clone
    + fmt::Debug
    + DeserializeOwned
{
    fn entries(&self) -> impl Iterator<Item = Entry<'_>>;
}

impl Entries for ValidatingWebhookConfiguration {
    fn entries(&self) -> impl Iterator<Item = Entry<'_>> {
        let webhooks = self.webhooks.iter().flatten();
        webhooks.map(|webhook| Entry::new(&webhook.name, &webhook.client_config))
    }
}

impl Entries for MutatingWebhookConfiguration {
    fn entries(&self) -> impl Iterator<Item = Entry<'_>> {
        let webhooks = self.webhooks.iter().flatten();
        webhooks.map(|webhook| Entry::new(&webhook.name, &webhook.client_config))
    }
}

/// The part of a webhook entry that matters here.
struct Entry<'a> {
    name: &'a str,
    ca_bundle: Option<&'a ByteString>,
}

impl<'a> Entry<'a> {
    fn new(name: &'a str, client: &'a WebhookClientConfig) -> Self {
        Self { name, ca_bundle: client.ca_bundle.as_ref() }
    }
}

/// The patch which gives `ca_bundle` to the entries that lack it; `None` when all
/// carry it.
fn patch<'a>(
    resource_version: &str,
    entries: impl Iterator<Item = Entry<'a>>,
    ca_bundle: &str,
) -> Option<JsonPatch> {
    // In JSON the field is the base64 of the PEM, as a ByteString serializes.
    let ca_bundle = ByteString(ca_bundle.as_bytes().to_vec());
    let lacking: Vec<_> =
        entries.enumerate().filter(|(_, entry)| entry.ca_bundle != Some(&ca_bundle)).collect();
    if lacking.is_empty() {
        return None;
    }

    let index = |index: usize| index.to_string();
    let mut operations = vec![test(
        PointerBuf::from_tokens(["metadata", "resourceVersion"]),
        json!(resource_version),
    )];
    operations.extend(lacking.iter().map(|(i, entry)| {
        test(PointerBuf::from_tokens(["webhooks", &index(*i), "name"]), json!(entry.name))
    }));
    // `add` replaces a member that is there and makes one that is not.
    operations.extend(lacking.iter().map(|(i, _)| {
        PatchOperation::Add(AddOperation {
            path: PointerBuf::from_tokens(["webhooks", &index(*i), "clientConfig", "caBundle"]),
            value: json!(ca_bundle),
        })
    }));
    Some(JsonPatch(operations))
}

fn test(path: PointerBuf, value: Value) -> PatchOperation {
    PatchOperation::Test(TestOperation { path, value })
}

/// Whether the object is not the one that was read: a failed `test` is answered
/// by 422, a write that came between the API server's own read and write by 409.
fn conflicts(error: &kube::Error) -> bool {
    matches!(status_code(error), Some(409 | 422))
}

fn refused<K: Entries>(
    verb: &'static str,
    configuration: &str,
    source: kube::Error,
) -> PublishError {
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
    PublishError { kind: K::KIND, verb, configuration: configuration.to_owned(), advice, source }
}

#[cfg(test)]
mod tests {
    use hyper::{Method, StatusCode};

    use super::*;
    use crate::fake_apiserver::FakeApiserver;

    const PATH: &str =
        "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/nfs-guard";

    fn validating() -> Configuration {
        Configuration::Validating("nfs-guard".to_owned())
    }

    const PEM: &str = "pem";
    const PEM_BASE64: &str = "cGVt";
    const OTHER_BASE64: &str = "b3RoZXI=";

    /// Name of an entry, and its caBundle in base64.
    type Given<'a> = (&'a str, Option<&'a str>);

    fn configuration(entries: &[Given<'_>]) -> Value {
        let webhooks: Vec<_> = entries
            .iter()
            .map(|(name, ca_bundle)| {
                let mut entry = json!({
                    "name": name,
                    "admissionReviewVersions": ["v1"],
                    "sideEffects": "None",
                    "clientConfig": { "service": { "namespace": "storage", "name": "nfs-guard" } },
                });
                if let Some(ca_bundle) = ca_bundle {
                    entry["clientConfig"]["caBundle"] = json!(ca_bundle);
                }
                entry
            })
            .collect();
        json!({
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "ValidatingWebhookConfiguration",
            "metadata": { "name": "nfs-guard" },
            "webhooks": webhooks,
        })
    }

    fn ca_bundles(server: &FakeApiserver) -> Vec<(String, Value)> {
        let object = server.object(PATH);
        let webhooks = object["webhooks"].as_array().expect("has entries");
        webhooks
            .iter()
            .map(|entry| {
                let name = entry["name"].as_str().expect("is named").to_owned();
                (name, entry["clientConfig"]["caBundle"].clone())
            })
            .collect()
    }

    fn methods(server: &FakeApiserver) -> Vec<String> {
        let requests = server.requests();
        requests.iter().map(|request| request.replace(&format!(" {PATH}"), "")).collect()
    }

    #[test]
    fn the_patch_tests_what_was_read_and_touches_what_differs() {
        let version = json!({
            "op": "test", "path": "/metadata/resourceVersion", "value": "7",
        });
        let name = |index: usize, name: &str| json!({ "op": "test", "path": format!("/webhooks/{index}/name"), "value": name });
        let add = |index: usize| {
            json!({
                "op": "add",
                "path": format!("/webhooks/{index}/clientConfig/caBundle"),
                "value": PEM_BASE64,
            })
        };
        let cases: [(&str, &[Given<'_>], Value); 6] = [
            ("no entries", &[], Value::Null),
            ("all carry it", &[("a", Some(PEM_BASE64)), ("b", Some(PEM_BASE64))], Value::Null),
            ("one without", &[("a", None)], json!([version, name(0, "a"), add(0)])),
            ("one blanked", &[("a", Some(""))], json!([version, name(0, "a"), add(0)])),
            (
                "one with another",
                &[("a", Some(OTHER_BASE64))],
                json!([version, name(0, "a"), add(0)]),
            ),
            (
                "the outer two of three",
                &[("a", None), ("b", Some(PEM_BASE64)), ("c", Some(OTHER_BASE64))],
                json!([version, name(0, "a"), name(2, "c"), add(0), add(2)]),
            ),
        ];

        for (case, entries, expected) in cases {
            let read: ValidatingWebhookConfiguration =
                serde_json::from_value(configuration(entries)).expect(case);
            let patch = patch("7", read.entries(), PEM);
            assert_eq!(json!(patch), expected, "{case}");
        }
    }

    #[tokio::test]
    async fn writes_the_bundle_into_every_entry_once() {
        let server = FakeApiserver::default();
        server.put(PATH, configuration(&[("a", None), ("b", Some(OTHER_BASE64))]));

        let first = publish(server.client(), &validating(), PEM).await;
        let second = publish(server.client(), &validating(), PEM).await;

        assert_eq!(first.expect("publishes"), Published::Changed);
        assert_eq!(second.expect("publishes"), Published::Unchanged);
        assert_eq!(
            ca_bundles(&server),
            [("a".to_owned(), json!(PEM_BASE64)), ("b".to_owned(), json!(PEM_BASE64)),]
        );
        assert_eq!(methods(&server), ["GET", "PATCH", "GET"]);
    }

    #[tokio::test]
    async fn a_mutating_configuration_is_told_just_as_well() {
        let path = PATH.replace("validating", "mutating");
        let server = FakeApiserver::default();
        let mut object = configuration(&[("a", None)]);
        object["kind"] = json!("MutatingWebhookConfiguration");
        server.put(&path, object);

        let mutating = Configuration::Mutating("nfs-guard".to_owned());
        let published = publish(server.client(), &mutating, PEM).await;

        assert_eq!(published.expect("publishes"), Published::Changed);
        let told = &server.object(&path)["webhooks"][0]["clientConfig"]["caBundle"];
        assert_eq!(told, PEM_BASE64);

        let other = Configuration::Mutating("other".to_owned());
        let error = publish(server.client(), &other, PEM).await.expect_err("is not there");
        let message = "cannot get MutatingWebhookConfiguration other: \
                       install it, or give the name of the one that is installed";
        assert_eq!(error.to_string(), message);
    }

    #[tokio::test]
    async fn an_entry_that_an_upgrade_puts_first_gets_its_own() {
        let server = FakeApiserver::default();
        server.put(PATH, configuration(&[("b", None)]));
        let mut upgrade = Some(configuration(&[("a", None), ("b", None)]));
        server.before(Method::PATCH, move |objects| {
            if let Some(upgraded) = upgrade.take() {
                objects.put(PATH, upgraded);
            }
        });

        let published = publish(server.client(), &validating(), PEM).await;

        assert_eq!(published.expect("publishes"), Published::Changed);
        assert_eq!(
            ca_bundles(&server),
            [("a".to_owned(), json!(PEM_BASE64)), ("b".to_owned(), json!(PEM_BASE64)),]
        );
        assert_eq!(methods(&server), ["GET", "PATCH", "GET", "PATCH"]);
    }

    #[tokio::test]
    async fn leaves_it_to_the_replica_that_published_first() {
        let server = FakeApiserver::default();
        server.put(PATH, configuration(&[("a", None)]));
        server.before(Method::PATCH, |objects| {
            objects.put(PATH, configuration(&[("a", Some(PEM_BASE64))]));
        });

        let published = publish(server.client(), &validating(), PEM).await;

        assert_eq!(published.expect("publishes"), Published::Unchanged);
        assert_eq!(methods(&server), ["GET", "PATCH", "GET"]);
    }

    #[tokio::test]
    async fn an_error_names_the_configuration_and_what_to_do() {
        let forbidden = (StatusCode::FORBIDDEN, "Forbidden", "no");
        let invalid = (StatusCode::UNPROCESSABLE_ENTITY, "Invalid", "bad caBundle");
        let missing = (StatusCode::NOT_FOUND, "NotFound", "not found");
        let conflict = (StatusCode::CONFLICT, "Conflict", "modified");

        for (case, method, refusal, requests, message) in [
            (
                "not installed",
                Method::GET,
                missing,
                1,
                "cannot get ValidatingWebhookConfiguration nfs-guard: \
                 install it, or give the name of the one that is installed",
            ),
            (
                "not allowed to read",
                Method::GET,
                forbidden,
                1,
                "cannot get ValidatingWebhookConfiguration nfs-guard: \
                 grant the service account the verb `get` on it by a ClusterRole",
            ),
            (
                "not allowed to patch",
                Method::PATCH,
                forbidden,
                2,
                "cannot patch ValidatingWebhookConfiguration nfs-guard: \
                 grant the service account the verb `patch` on it by a ClusterRole",
            ),
            (
                "refused as invalid every time",
                Method::PATCH,
                invalid,
                2 * ROUNDS,
                "cannot patch ValidatingWebhookConfiguration nfs-guard: \
                 see what the API server says, and find what else writes it if that is a conflict",
            ),
            (
                "in conflict every time",
                Method::PATCH,
                conflict,
                2 * ROUNDS,
                "cannot patch ValidatingWebhookConfiguration nfs-guard: \
                 see what the API server says, and find what else writes it if that is a conflict",
            ),
        ] {
            let server = FakeApiserver::default();
            server.put(PATH, configuration(&[("a", None)]));
            server.refuse(method, refusal);

            let error = publish(server.client(), &validating(), PEM).await.expect_err(case);

            assert_eq!(error.to_string(), message, "{case}");
            assert_eq!(server.requests().len(), requests, "{case}");
        }
    }
}
