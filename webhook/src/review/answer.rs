use std::collections::BTreeMap;

use json_patch::{AddOperation, Patch, PatchOperation, jsonptr::PointerBuf};
use k8s_openapi::ByteString;
use nfs_guard_policies::{Amendment, Finding, MOST_TOLD, Verdict};
use serde::Serialize;

use super::{API_VERSION, KIND};

/// The answer to a review.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Answer {
    api_version: &'static str,
    kind: &'static str,
    response: Response,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Response {
    uid: String,
    allowed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<Status>,
    /// A JSON Patch (RFC 6902), in base64 as every `[]byte` of the API.
    #[serde(skip_serializing_if = "Option::is_none")]
    patch: Option<ByteString>,
    #[serde(skip_serializing_if = "Option::is_none")]
    patch_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    audit_annotations: BTreeMap<&'static str, String>,
}

/// The part of a Kubernetes `Status` that a denial carries.
#[derive(Debug, Serialize)]
struct Status {
    code: u16,
    reason: &'static str,
    message: String,
    details: Details,
}

#[derive(Debug, Serialize)]
struct Details {
    causes: Vec<Cause>,
}

#[derive(Debug, Serialize)]
struct Cause {
    reason: &'static str,
    field: String,
    message: String,
}

impl Answer {
    /// The answer to a request the engine has nothing to say about.
    #[must_use]
    pub fn unjudged(uid: &str) -> Self {
        let annotations = BTreeMap::from([("decision", "unjudged".to_owned())]);
        Self::new(uid, None, None, Vec::new(), annotations)
    }

    /// The answer that verdict comes to; `recorded` if the audit log has it.
    #[must_use]
    pub fn of(uid: &str, verdict: &Verdict, recorded: bool) -> Self {
        let status = verdict.denial().map(|denial| Status {
            code: 403,
            reason: "Forbidden",
            message: denial.message,
            details: Details {
                causes: denial
                    .causes
                    .into_iter()
                    .map(|(field, message)| Cause { reason: "FieldValueForbidden", field, message })
                    .collect(),
            },
        });
        let patch = patch(verdict.amendments());
        let mut annotations = audit_annotations(verdict);
        if recorded {
            // By it a line of the apiserver's audit log is found in ours: it makes up
            // a uid for each review, and has no other field for it.
            annotations.insert("uid", uid.to_owned());
        }
        Self::new(uid, status, patch, verdict.warnings(), annotations)
    }

    fn new(
        uid: &str,
        status: Option<Status>,
        patch: Option<Patch>,
        warnings: Vec<String>,
        audit_annotations: BTreeMap<&'static str, String>,
    ) -> Self {
        let patch = patch.map(|patch| {
            ByteString(serde_json::to_vec(&patch).expect("a patch holds nothing JSON cannot"))
        });
        let response = Response {
            uid: uid.to_owned(),
            allowed: status.is_none(),
            status,
            patch_type: patch.as_ref().map(|_| "JSONPatch"),
            patch,
            warnings,
            audit_annotations,
        };
        Self { api_version: API_VERSION, kind: KIND, response }
    }
}

/// The patch that makes those amendments, if there are any.
fn patch<'a>(amendments: impl Iterator<Item = &'a Amendment>) -> Option<Patch> {
    let add = |Amendment { path, value }: &Amendment| {
        let (path, value) = (PointerBuf::from_tokens(path.iter().copied()), (*value).into());
        PatchOperation::Add(AddOperation { path, value })
    };
    let operations: Vec<_> = amendments.map(add).collect();
    (!operations.is_empty()).then_some(Patch(operations))
}

/// What the apiserver keeps in its own audit log. It prefixes each key with the
/// webhook's name.
fn audit_annotations(verdict: &Verdict) -> BTreeMap<&'static str, String> {
    let mut annotations = BTreeMap::from([("decision", verdict.effect().as_str().to_owned())]);
    if let Some(critical) = &verdict.critical {
        annotations.insert("critical", critical.to_string());
    }
    if !verdict.findings.is_empty() {
        let findings = verdict.findings.iter();
        let told = findings
            .take(MOST_TOLD)
            .map(|finding| format!("{}: {}", finding.rule, evidence(finding)));
        annotations.insert("findings", told.collect::<Vec<_>>().join("\n"));
    }
    annotations
}

fn evidence(finding: &Finding) -> String {
    let volume = finding.wrong.volume();
    volume.map_or_else(|| finding.message(), |(_, resolved)| resolved.to_string())
}
