//! The admission review, as the apiserver writes it and wants it answered
//! (`admission.k8s.io/v1`).

use std::collections::BTreeMap;

use json_patch::{AddOperation, Patch, PatchOperation, jsonptr::PointerBuf};
use k8s_openapi::ByteString;
use nfs_guard_policies::{
    Amendment, Change, Finding, Gate, MOST_TOLD, Subject, Texts, Verdict,
    facts::{Kind, Object, Scope},
    text::Text,
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{fault::Fault, manifest};

const API_VERSION: &str = "admission.k8s.io/v1";
const KIND: &str = "AdmissionReview";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AdmissionReview<'a> {
    #[serde(borrow)]
    api_version: Text<'a>,
    #[serde(borrow)]
    kind: Text<'a>,
    #[serde(borrow)]
    request: Option<Request<'a>>,
}

/// Longer than any uid: those of an apiserver have 36 characters.
const LONGEST_UID: usize = 128;

/// The request of a review. The objects stay text until it is known what they
/// are.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Request<'a> {
    /// Names the request; the answer must repeat it.
    #[serde(borrow)]
    pub uid: Text<'a>,
    /// Kind of the object.
    #[serde(borrow)]
    kind: GroupVersionKind<'a>,
    /// Part of the object that is addressed, e.g. `scale`.
    #[serde(borrow, default)]
    sub_resource: Option<Text<'a>>,
    #[serde(borrow, default)]
    namespace: Option<Text<'a>>,
    #[serde(borrow)]
    operation: Text<'a>,
    #[serde(borrow, default)]
    user_info: UserInfo<'a>,
    #[serde(borrow, default)]
    object: Option<&'a RawValue>,
    #[serde(borrow, default)]
    old_object: Option<&'a RawValue>,
    /// Whether the write will not be kept.
    #[serde(default)]
    pub dry_run: Option<bool>,
}

#[derive(Debug, Deserialize)]
struct GroupVersionKind<'a> {
    #[serde(borrow, default)]
    group: Text<'a>,
    #[serde(borrow)]
    kind: Text<'a>,
}

#[derive(Debug, Default, Deserialize)]
struct UserInfo<'a> {
    #[serde(borrow, default)]
    username: Text<'a>,
}

impl<'a> Request<'a> {
    /// Reads a review's envelope.
    ///
    /// # Errors
    /// [`Fault::NotAReview`] when it is none, or lacks the uid that every
    /// answer needs.
    pub fn read(body: &'a [u8]) -> Result<Self, Fault> {
        let not_a_review = |why: &str| Fault::NotAReview(why.to_owned());
        let review: AdmissionReview<'a> = serde_json::from_slice(body)
            .map_err(|error| not_a_review(&manifest::without_values(&error)))?;
        if review.api_version != *API_VERSION || review.kind != *KIND {
            let found = format!("it is a {} {}", review.api_version, review.kind);
            return Err(not_a_review(&manifest::clip(&found)));
        }
        let request = review.request.ok_or_else(|| not_a_review("it has no request"))?;
        if request.uid.is_empty() {
            return Err(not_a_review("its request has no uid"));
        }
        if request.uid.len() > LONGEST_UID {
            return Err(not_a_review("its request's uid is none of an apiserver's"));
        }
        Ok(request)
    }

    /// What the request writes, as that gate sees it; `None` when it is nothing
    /// the engine judges.
    ///
    /// # Errors
    /// [`Fault::Object`] when an object is not what the request says.
    pub fn subject(&self, gate: Gate) -> Result<Option<Subject<'a>>, Fault> {
        let Some(kind) = Kind::find(&self.kind.group, &self.kind.kind) else { return Ok(None) };
        if self.sub_resource.as_ref().is_some_and(|part| !part.is_empty()) {
            return Ok(None);
        }
        let new = || self.object(kind, "object", self.object);
        let change = match self.operation.as_str() {
            "CREATE" => Change::Create(new()?),
            "UPDATE" => Change::Update {
                new: new()?,
                old: self.object(kind, "oldObject", self.old_object)?,
                texts: Texts { new: text(self.object), old: text(self.old_object) },
            },
            "DELETE" | "CONNECT" => return Ok(None),
            other => {
                let found = manifest::clip(&format!("no operation is called {other}"));
                return Err(Fault::NotAReview(found));
            }
        };
        // Of a Namespace the apiserver says it lies in itself.
        let namespace = match kind.scope() {
            Scope::Namespaced => {
                let namespace = self.namespace.clone().filter(|namespace| !namespace.is_empty());
                let missing =
                    || Fault::NotAReview(format!("its request names no namespace for a {kind}"));
                namespace.ok_or_else(missing)?
            }
            Scope::Cluster => Text::default(),
        };
        Ok(Some(Subject { gate, change, namespace, user: self.user_info.username.clone() }))
    }

    fn object(
        &self,
        kind: Kind,
        field: &'static str,
        object: Option<&'a RawValue>,
    ) -> Result<Object<'a>, Fault> {
        let text = text(object);
        Object::read(kind, &mut serde_json::Deserializer::from_str(text)).map_err(|_| {
            Fault::Object {
                uid: self.uid.to_string(),
                field,
                kind: kind.as_str(),
                problem: manifest::problem(kind, text),
            }
        })
    }
}

fn text(object: Option<&RawValue>) -> &str {
    object.map_or("null", RawValue::get)
}

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

    /// The answer that verdict comes to.
    #[must_use]
    pub fn of(uid: &str, verdict: &Verdict) -> Self {
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
        Self::new(uid, status, patch, verdict.warnings(), audit_annotations(verdict))
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
