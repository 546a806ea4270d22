//! The audit log: one JSON line for every decision but the plain
//! allow of what is not critical.

use std::{io::Write, sync::Arc, thread, time::Duration};

use jiff::Timestamp;
use nfs_guard_policies::{Effect, Subject, Unjudged, Verdict};
use schemars::JsonSchema;
use serde::Serialize;
use tokio::sync::mpsc;

use crate::{metrics::Metrics, report::FindingReport, review::Request};

/// Records that wait to be written: a quarter of a second of them, were every
/// review of a busy replica (15,000 a second) one to record. At half a KiB each
/// they take 2 MiB. A full queue means that the output does not drain.
const QUEUE: usize = 4096;

/// How long the writer rests after each write. A record that comes alone is
/// written at once; what comes meanwhile goes out together. To wake the writer
/// and whoever reads costs as much as to judge, and under load would be paid
/// for every review.
const REST: Duration = Duration::from_millis(5);

/// Most findings of one record. A line is for a log, not for a book; the object
/// itself is where the rest can be read.
const MOST_FINDINGS: usize = 100;

/// One decision, as it is written.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// What the line is: always `decision`.
    event: &'static str,
    /// Version of this form.
    version: u32,
    /// When it was decided.
    time: String,
    /// The request's uid, as in the apiserver's audit log.
    uid: String,
    /// Who made the write.
    user: String,
    /// CREATE or UPDATE.
    operation: &'static str,
    /// Whether the write would not have been kept anyway.
    dry_run: bool,
    /// Kind of the object.
    kind: &'static str,
    /// Its namespace; empty for cluster-scoped kinds.
    namespace: String,
    /// Its name.
    name: String,
    /// mutating or validating: which of the guard's two webhooks it came to.
    webhook: &'static str,
    /// deny, patch, warn, audit or allow.
    decision: &'static str,
    /// Why the object is critical, if it is.
    critical: Option<String>,
    /// What was found: the first hundred findings.
    findings: Vec<FindingReport>,
    /// How many more there were.
    findings_omitted: usize,
}

impl Record {
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
    pub fn of(request: &Request<'_>, subject: &Subject<'_>, verdict: &Verdict) -> Self {
        let name = &verdict.subject;
        let mut findings = FindingReport::all(verdict);
        findings.truncate(MOST_FINDINGS);
        Self {
            event: "decision",
            version: 1,
            time: Timestamp::now().to_string(),
            uid: request.uid.to_string(),
            user: subject.user.to_string(),
            operation: subject.change.operation().as_str(),
            dry_run: request.dry_run.unwrap_or(false),
            kind: name.kind.as_str(),
            namespace: name.namespace.clone(),
            name: name.name.clone(),
            webhook: subject.gate.as_str(),
            decision: verdict.effect().as_str(),
            critical: verdict.critical.as_ref().map(ToString::to_string),
            findings_omitted: verdict.findings.len().saturating_sub(MOST_FINDINGS),
            findings,
        }
    }
}

/// Takes records and never waits: admission must not hang on a log.
#[derive(Clone, Debug)]
pub struct Audit {
    lines: mpsc::Sender<Vec<u8>>,
    metrics: Arc<Metrics>,
}

/// Writes the records; ends when every [`Audit`] is gone.
#[derive(Debug)]
pub struct AuditWriter {
    lines: mpsc::Receiver<Vec<u8>>,
}

impl Audit {
    /// An audit log and the writer behind it.
    #[must_use]
    pub fn new(metrics: Arc<Metrics>) -> (Self, AuditWriter) {
        let (sender, receiver) = mpsc::channel(QUEUE);
        (Self { lines: sender, metrics }, AuditWriter { lines: receiver })
    }

    /// Queues a record; one that does not fit is lost, counted and logged.
    pub fn record(&self, record: &Record) {
        let mut line = serde_json::to_vec(record).expect("a record holds nothing JSON cannot");
        line.push(b'\n');
        if self.lines.try_send(line).is_err() {
            self.metrics.audit_dropped();
            tracing::error!(uid = record.uid, decision = record.decision, "audit record lost");
        }
    }
}

impl AuditWriter {
    /// Writes records until there will be no more, on a thread of its own:
    /// a pipe that nobody reads must hold up nothing else.
    ///
    /// # Errors
    /// The output does not take them.
    pub fn run(mut self, output: &mut dyn Write) -> std::io::Result<()> {
        let mut lines = Vec::new();
        while self.lines.blocking_recv_many(&mut lines, QUEUE) > 0 {
            output.write_all(&lines.concat())?;
            output.flush()?;
            lines.clear();
            thread::sleep(REST);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    /// Every piece that was written, by itself.
    #[derive(Default)]
    struct Pieces(Vec<Vec<u8>>);

    impl Write for Pieces {
        fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
            self.0.push(piece.to_vec());
            Ok(piece.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_that_wait_together_are_written_together_and_in_order() {
        let (audit, writer) = Audit::new(Arc::default());
        for line in ["first\n", "second\n", "third\n"] {
            audit.lines.try_send(line.into()).expect("the queue has room");
        }
        drop(audit);
        let mut pieces = Pieces::default();
        writer.run(&mut pieces).expect("it takes everything");
        assert_eq!(pieces.0, [b"first\nsecond\nthird\n"]);
    }
}
