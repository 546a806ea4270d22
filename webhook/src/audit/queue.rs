//! Records that wait to be written: bounded, and never waited for.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicUsize, Ordering},
};

use jiff::Timestamp;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::{
    record::{Decision, Dropped},
    writer::AuditWriter,
};
use crate::metrics::Metrics;

/// Most bytes of records that wait to be written: a quarter of a second of them,
/// were every review of a busy replica (15,000 a second) one to record, at a KiB
/// each. A full queue means that the output does not drain. Bytes and not
/// records, since one may be twenty times as large as another; and as they lie in
/// memory, which may be twice their length.
pub(super) const MOST_WAITING: usize = 4 << 20;

/// Takes records and never waits: admission must not hang on a log.
#[derive(Clone, Debug)]
pub struct Audit {
    records: UnboundedSender<Vec<u8>>,
    waiting: Arc<Waiting>,
}

/// An audit log and the writer behind it.
#[must_use]
pub fn audit(metrics: Arc<Metrics>) -> (Audit, AuditWriter) {
    let (sender, receiver) = unbounded_channel();
    let waiting = Arc::new(Waiting { bytes: AtomicUsize::new(0), lost: Mutex::default(), metrics });
    let records = Records { records: receiver, waiting: Arc::clone(&waiting) };
    (Audit { records: sender, waiting }, AuditWriter::new(records))
}

impl Audit {
    /// Queues a record; one that does not fit is lost, counted and logged, and
    /// the chain says so when there is room again.
    pub fn record(&self, mut record: Decision) {
        if !self.queue(record.fit()) {
            tracing::error!(uid = record.uid, decision = record.decision, "audit record lost");
        }
    }

    /// Queues a record, if there is room and somebody writes.
    pub(super) fn queue(&self, record: Vec<u8>) -> bool {
        if !self.waiting.admit(record.capacity()) {
            return false;
        }
        let sent = self.records.send(record).is_ok();
        if !sent {
            // Its writer panicked.
            self.waiting.metrics.audit_dropped();
        }
        sent
    }
}

/// What both ends of the queue know of it.
#[derive(Debug)]
struct Waiting {
    bytes: AtomicUsize,
    lost: Mutex<Option<Lost>>,
    metrics: Arc<Metrics>,
}

/// Records that did not fit.
#[derive(Clone, Copy, Debug)]
struct Lost {
    count: u64,
    since: Timestamp,
    until: Timestamp,
}

impl Waiting {
    /// Takes room for a record, or counts it as lost.
    fn admit(&self, bytes: usize) -> bool {
        if self.try_admit(bytes) {
            return true;
        }
        // Asked again with the lock held: the writer makes room first and looks for
        // losses then, so it sees any that is counted here.
        let mut lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        if self.try_admit(bytes) {
            return true;
        }
        let now = Timestamp::now();
        let so_far = lost.unwrap_or(Lost { count: 0, since: now, until: now });
        *lost = Some(Lost { count: so_far.count + 1, until: now, ..so_far });
        self.metrics.audit_dropped();
        false
    }

    fn try_admit(&self, bytes: usize) -> bool {
        let admitted = self.bytes.fetch_update(Ordering::AcqRel, Ordering::Acquire, |waiting| {
            waiting.checked_add(bytes).filter(|waiting| *waiting <= MOST_WAITING)
        });
        if admitted.is_ok() {
            self.metrics.audit_queued(bytes);
        }
        admitted.is_ok()
    }
}

/// The writer's end of the queue.
#[derive(Debug)]
pub(super) struct Records {
    records: UnboundedReceiver<Vec<u8>>,
    waiting: Arc<Waiting>,
}

impl Records {
    /// Waits for records and takes up to that many; none once there will be no
    /// more. They count as waiting until they are [`Records::written`].
    pub(super) fn take(&mut self, most: usize) -> Vec<Vec<u8>> {
        let mut records = Vec::new();
        self.records.blocking_recv_many(&mut records, most);
        records
    }

    /// Makes room again; what was lost meanwhile, if anything was.
    pub(super) fn written(&self, records: &[Vec<u8>]) -> Option<Dropped> {
        let Waiting { bytes, lost, metrics } = &*self.waiting;
        let written = records.iter().map(Vec::capacity).sum();
        bytes.fetch_sub(written, Ordering::AcqRel);
        metrics.audit_written(records.len(), written);
        let lost = lost.lock().unwrap_or_else(PoisonError::into_inner).take();
        lost.map(|Lost { count, since, until }| Dropped::new(count, since, until))
    }

    pub(super) fn metrics(&self) -> &Metrics {
        &self.waiting.metrics
    }
}
