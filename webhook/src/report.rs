//! Findings as JSON: the same form in `check`, in the audit log and wherever
//! else a machine reads them.

use nfs_guard_policies::{Finding, Verdict, backing};
use schemars::JsonSchema;
use serde::Serialize;

/// One finding.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FindingReport {
    /// Name of the rule.
    pub rule: &'static str,
    /// deny, warn, audit or allow.
    pub decision: &'static str,
    /// Kind of the object.
    pub kind: &'static str,
    /// Its namespace; empty for cluster-scoped kinds.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Name of the volume.
    pub volume: String,
    /// What the volume ends up on.
    pub backing: backing::Kind,
    /// The way there, hop by hop.
    pub chain: Vec<String>,
    /// Why the object is critical, if it is.
    pub critical: Option<String>,
    /// Name of the exemption that allows it, if one does.
    pub exemption: Option<String>,
    /// Where in the object the volume is written.
    pub field: String,
    /// What is wrong, in one line.
    pub message: String,
    /// Where the object was read, if from a file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,
}

/// A place in a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Source {
    /// The file; `-` is standard input.
    pub path: String,
    /// Line the object starts at, from 1.
    pub line: u64,
}

impl FindingReport {
    /// Every finding of a verdict.
    #[must_use]
    pub fn all(verdict: &Verdict) -> Vec<Self> {
        verdict.findings.iter().map(|finding| Self::of(verdict, finding)).collect()
    }

    fn of(verdict: &Verdict, finding: &Finding) -> Self {
        let subject = &verdict.subject;
        Self {
            rule: finding.rule,
            decision: finding.effect.as_str(),
            kind: subject.kind.as_str(),
            namespace: subject.namespace.clone(),
            name: subject.name.clone(),
            volume: finding.volume.clone(),
            backing: finding.resolved.backing.kind(),
            chain: finding.resolved.chain().collect(),
            critical: verdict.critical.as_ref().map(ToString::to_string),
            exemption: None,
            field: finding.field.clone(),
            message: finding.message(),
            source: None,
        }
    }
}
