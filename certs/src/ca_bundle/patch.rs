//! The JSON Patch that gives the CA bundle to the entries which lack it.

use json_patch::jsonptr::PointerBuf;
use json_patch::{AddOperation, Patch as JsonPatch, PatchOperation, TestOperation};
use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::WebhookClientConfig;
use serde_json::{Value, json};

/// The part of a webhook entry that matters here, the same for validating and
/// for mutating ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(super) name: String,
    pub(super) ca_bundle: Option<ByteString>,
}

impl Entry {
    pub(super) fn new(name: &str, client_config: &WebhookClientConfig) -> Self {
        Self { name: name.to_owned(), ca_bundle: client_config.ca_bundle.clone() }
    }
}

/// The patch which gives `ca_bundle` to the entries that lack it; `None` when all
/// carry it.
pub(super) fn patch(
    resource_version: &str,
    entries: &[Entry],
    ca_bundle: &str,
) -> Option<JsonPatch> {
    // In JSON the field is the base64 of the PEM, as a ByteString serializes.
    let ca_bundle = Some(ByteString(ca_bundle.as_bytes().to_vec()));
    let entries = entries.iter().enumerate();
    let lacking: Vec<_> = entries.filter(|(_, entry)| entry.ca_bundle != ca_bundle).collect();
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

#[cfg(test)]
mod tests {
    use super::*;

    const PEM: &str = "pem";
    const PEM_BASE64: &str = "cGVt";

    /// Name of an entry, and its caBundle in PEM.
    type Given<'a> = (&'a str, Option<&'a str>);

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
            ("all carry it", &[("a", Some(PEM)), ("b", Some(PEM))], Value::Null),
            ("one without", &[("a", None)], json!([version, name(0, "a"), add(0)])),
            ("one blanked", &[("a", Some(""))], json!([version, name(0, "a"), add(0)])),
            ("one with another", &[("a", Some("other"))], json!([version, name(0, "a"), add(0)])),
            (
                "the outer two of three",
                &[("a", None), ("b", Some(PEM)), ("c", Some("other"))],
                json!([version, name(0, "a"), name(2, "c"), add(0), add(2)]),
            ),
        ];

        for (case, entries, expected) in cases {
            let entries: Vec<_> = entries
                .iter()
                .map(|(name, pem)| Entry {
                    name: (*name).to_owned(),
                    ca_bundle: pem.map(|pem| ByteString(pem.as_bytes().to_vec())),
                })
                .collect();
            let patch = patch("7", &entries, PEM);
            assert_eq!(json!(patch), expected, "{case}");
        }
    }
}
