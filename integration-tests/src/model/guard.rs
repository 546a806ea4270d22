//! What a simulated API server asks before it stores anything.

use std::fmt;

use jiff::Timestamp;
use nfs_guard_policies::{Policy, Snapshot, Subject, Verdict, decide};

/// Judges writes. The engine does; a test of the model has others that are broken.
pub trait Guard: fmt::Debug + Sync {
    /// What it says to a write; `scale` if it is one of that sub-resource.
    fn judge(&self, asked: &Asked<'_>) -> Verdict;
}

/// A write, and the cluster it is made in.
#[derive(Debug)]
pub struct Asked<'a> {
    /// The write.
    pub subject: &'a Subject<'a>,
    /// Whether the sub-resource `scale` is written.
    pub scale: bool,
    /// The cluster as it is before.
    pub cluster: &'a Snapshot,
    /// The policy.
    pub policy: &'a Policy,
    /// The time.
    pub now: Timestamp,
}

/// The engine as it is.
#[derive(Clone, Copy, Debug)]
pub struct Engine;

impl Guard for Engine {
    fn judge(&self, asked: &Asked<'_>) -> Verdict {
        let Asked { subject, scale: _, cluster, policy, now } = asked;
        // The cluster is known whole: nothing that is missed could be found elsewhere.
        decide(subject, *cluster, policy, *now).verdict
    }
}
