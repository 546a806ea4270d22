//! What is written: decisions, and what happened to the log itself.

use std::time::Duration;

use jiff::Timestamp;
use nfs_guard_policies::{Effect, Subject, Unjudged, Verdict};
use schemars::JsonSchema;
use serde::Serialize;

use super::chain::{ChainId, Digest, Torn};
use crate::{config::Fingerprint, report::FindingReport, review::Request};

/// Version of the form of all records.
const VERSION: u32 = 1;

/// Most findings of one record. A line is for a log, not for a book; the object
/// itself is where the rest can be read.
const MOST_FINDINGS: usize = 100;

/// Most bytes of a record before it is sealed; findings beyond that are left out.
/// containerd splits a line of more than 16 KiB (`max_container_log_line_size`), and
/// something else may come between its parts. A seal takes under 600 bytes.
pub(super) const LONGEST: usize = 15 << 10;

/// Most groups of one record. The apiserver's own log has them all.
const MOST_GROUPS: usize = 32;

/// A line of the audit log, as `nfs-guard schema audit` describes it.
#[derive(Debug, JsonSchema)]
#[schemars(untagged, rename = "AuditLine")]
pub enum Line {
    /// A write was judged.
    Decision(Box<Sealed<Decision>>),
    /// A guard began to write.
    Opened(Sealed<Opened>),
    /// The chain goes on in a new file.
    Rotated(Sealed<Rotated>),
    /// Records were lost.
    Dropped(Sealed<Dropped>),
    /// A guard ended in good order.
    Closed(Sealed<Closed>),
}

/// A record and its place in a chain.
#[derive(Debug, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "{T}")]
#[expect(dead_code, reason = "lines are put together from the parts; this is their schema")]
pub struct Sealed<T> {
    #[serde(flatten)]
    record: T,
    /// The replica that wrote the line: the name of its pod.
    instance: String,
    /// The chain the line belongs to: 16 hexadecimal digits.
    #[schemars(with = "String", regex(pattern = "^[0-9a-f]{16}$"))]
    chain_id: ChainId,
    /// Its number in the chain, from 0.
    sequence: u64,
    /// The hash of the line before; zeros in the first.
    #[schemars(with = "String", regex(pattern = "^[0-9a-f]{64}$"))]
    previous: Digest,
    /// SHA-256 of the bytes of this line before `,"hash":`.
    #[schemars(with = "String", regex(pattern = "^[0-9a-f]{64}$"))]
    hash: Digest,
}

/// One decision.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::struct_field_names, reason = "fields are named for whoever reads the JSON")]
pub struct Decision {
    /// What the line is.
    #[schemars(extend("const" = "decision"))]
    event: &'static str,
    /// Version of this form.
    version: u32,
    /// When it was decided.
    time: String,
    /// The request's uid. The apiserver's audit log has it as an annotation.
    pub(super) uid: String,
    /// Who made the write.
    user: String,
    /// The groups the user is in: the first 32.
    groups: Vec<String>,
    /// CREATE, UPDATE or DELETE. Where a workload was scaled, it is the UPDATE of that.
    operation: &'static str,
    /// Whether the write would not have been kept anyway.
    dry_run: bool,
    /// Group and version of the object's kind.
    api_version: String,
    /// Kind of the object.
    kind: &'static str,
    /// Its namespace; empty for cluster-scoped kinds.
    namespace: String,
    /// Its name.
    name: String,
    /// mutating or validating: which of the guard's two webhooks it came to.
    webhook: &'static str,
    /// deny, patch, warn, audit or allow.
    pub(super) decision: &'static str,
    /// Why the object is critical, if it is.
    critical: Option<String>,
    /// What was found: the first hundred findings, or as many as fit into a line.
    findings: Vec<FindingReport>,
    /// How many more there were.
    findings_omitted: usize,
    /// Fingerprint of the configuration it was judged by.
    #[schemars(with = "String")]
    config: Fingerprint,
    /// How long it took from the whole body to the decision.
    duration_microseconds: u64,
}

impl Decision {
    /// Whether a verdict is recorded: everything but the plain allow of what is
    /// not critical.
    #[must_use]
    pub fn is_due(verdict: &Verdict) -> bool {
        let Verdict { subject: _, unjudged, critical, sheds_criticality: _, findings: _ } = verdict;
        match unjudged {
            Some(Unjudged::BeingDeleted | Unjudged::ExcludedNamespace | Unjudged::MirrorPod) => {
                false
            }
            None => critical.is_some() || verdict.effect() > Effect::Allow,
        }
    }

    /// The record of that verdict.
    #[must_use]
    pub fn of(
        request: &Request<'_>,
        subject: &Subject<'_>,
        verdict: &Verdict,
        config: Fingerprint,
        took: Duration,
    ) -> Self {
        let name = &verdict.subject;
        let mut findings = FindingReport::all(verdict);
        findings.truncate(MOST_FINDINGS);
        Self {
            event: "decision",
            version: VERSION,
            time: now(),
            uid: request.uid.to_string(),
            user: subject.user.to_string(),
            groups: request.groups().take(MOST_GROUPS).map(ToString::to_string).collect(),
            operation: subject.change.operation().as_str(),
            dry_run: request.dry_run.unwrap_or(false),
            api_version: request.api_version(),
            kind: name.kind.as_str(),
            namespace: name.namespace.clone(),
            name: name.name.clone(),
            webhook: subject.gate.as_str(),
            decision: verdict.effect().as_str(),
            critical: verdict.critical.as_ref().map(ToString::to_string),
            findings_omitted: verdict.findings.len().saturating_sub(MOST_FINDINGS),
            findings,
            config,
            duration_microseconds: took.as_micros().try_into().unwrap_or(u64::MAX),
        }
    }

    /// As JSON, without the findings for which there is no room in a line.
    pub(super) fn fit(&mut self) -> Vec<u8> {
        loop {
            let text = json(self);
            let findings = self.findings.len();
            if text.len() <= LONGEST || findings == 0 {
                return text;
            }
            let kept = (findings * LONGEST / text.len()).min(findings - 1);
            self.findings.truncate(kept);
            self.findings_omitted += findings - kept;
        }
    }
}

/// A guard began to write.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Opened {
    #[schemars(extend("const" = "opened"))]
    event: &'static str,
    version: u32,
    time: String,
    /// Version of the guard.
    guard: &'static str,
    /// Fingerprint of the configuration it started with.
    #[schemars(with = "String")]
    config: Fingerprint,
    /// Whether the file held a chain already, which goes on; else this is the
    /// first line of one.
    continued: bool,
    /// What lay after the last whole line of the file, if anything did: whoever
    /// wrote it was interrupted. It is still there.
    torn: Option<Torn>,
}

impl Opened {
    pub(super) fn new(config: Fingerprint, continued: bool, torn: Option<Torn>) -> Self {
        let guard = env!("CARGO_PKG_VERSION");
        Self { event: "opened", version: VERSION, time: now(), guard, config, continued, torn }
    }
}

/// The chain goes on in a new file: this is its first line.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Rotated {
    #[schemars(extend("const" = "rotated"))]
    event: &'static str,
    version: u32,
    time: String,
    /// How many older files are kept.
    keep: u32,
}

impl Rotated {
    pub(super) fn new(keep: u32) -> Self {
        Self { event: "rotated", version: VERSION, time: now(), keep }
    }
}

/// Records were lost: so many could not be written that no more could wait.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Dropped {
    #[schemars(extend("const" = "dropped"))]
    event: &'static str,
    version: u32,
    time: String,
    /// How many.
    count: u64,
    /// When the first was.
    since: String,
    /// When the last was.
    until: String,
}

impl Dropped {
    pub(super) fn new(count: u64, since: Timestamp, until: Timestamp) -> Self {
        let (since, until) = (since.to_string(), until.to_string());
        Self { event: "dropped", version: VERSION, time: now(), count, since, until }
    }
}

/// A guard ended in good order: it wrote all it had.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Closed {
    #[schemars(extend("const" = "closed"))]
    event: &'static str,
    version: u32,
    time: String,
}

impl Closed {
    pub(super) fn new() -> Self {
        Self { event: "closed", version: VERSION, time: now() }
    }
}

fn now() -> String {
    Timestamp::now().to_string()
}

/// As long as a record with one finding is as JSON; a longer one makes more room.
const USUAL: usize = 1024;

/// A record as JSON.
pub(super) fn json(record: &impl Serialize) -> Vec<u8> {
    let mut text = Vec::with_capacity(USUAL);
    serde_json::to_writer(&mut text, record).expect("a record holds nothing JSON cannot");
    text
}
