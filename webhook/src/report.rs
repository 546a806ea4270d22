//! Findings as JSON: the same form in `check`, in the audit log and wherever
//! else a machine reads them.

use nfs_guard_policies::{Finding, Leniency, Verdict, Wrong, backing};
use schemars::JsonSchema;
use serde::Serialize;

/// One finding.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FindingReport {
    /// Name of the rule.
    pub rule: &'static str,
    /// deny, patch, warn, audit or allow.
    pub decision: &'static str,
    /// Kind of the object.
    pub kind: &'static str,
    /// Its namespace; empty for cluster-scoped kinds.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Name of the volume it is about, if it is about one.
    pub volume: Option<String>,
    /// What the volume ends up on.
    pub backing: Option<backing::Kind>,
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
    /// What a person reads first: the way to the storage, or else the message.
    #[serde(skip)]
    pub why: String,
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
        let volume = finding.wrong.volume();
        let why = match &finding.wrong {
            Wrong::Storage { resolved, .. } => resolved.to_string(),
            Wrong::Turned { .. }
            | Wrong::ModeChanged { .. }
            | Wrong::OwnerChangedAtEveryMount { .. }
            | Wrong::PolicyWithoutGroup => finding.message(),
        };
        Self {
            rule: finding.rule,
            decision: finding.effect.as_str(),
            kind: subject.kind.as_str(),
            namespace: subject.namespace.clone(),
            name: subject.name.clone(),
            volume: volume.map(|(name, _)| name.to_owned()),
            backing: volume.map(|(_, resolved)| resolved.backing.kind()),
            chain: volume.map(|(_, resolved)| resolved.chain().collect()).unwrap_or_default(),
            critical: verdict.critical.as_ref().map(ToString::to_string),
            exemption: finding.leniency.as_ref().and_then(Leniency::exemption).map(Into::into),
            field: finding.field.clone(),
            message: finding.message(),
            why,
            source: None,
        }
    }
}
