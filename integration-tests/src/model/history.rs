//! What was written so far, and what the guard said to it.

use nfs_guard_policies::{Effect, Leniency, Verdict, cluster::Key};

/// The writes that passed, oldest first.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// The writes.
    pub writes: Vec<Write>,
    /// How many the guard denied.
    pub denied: u64,
}

/// A write that passed.
#[derive(Clone, Debug)]
pub struct Write {
    /// The number of the operation it came of, from one.
    pub operation: usize,
    /// Who made it.
    pub user: String,
    /// What was written.
    pub key: Key,
    /// What the guard made of it.
    pub seen: Seen,
}

/// What the guard made of a write that passed.
#[derive(Clone, Debug)]
pub enum Seen {
    /// There was no guard yet.
    BeforeTheGuard,
    /// No webhook asks it about such a write: a controller takes in what nobody owned.
    NotAsked,
    /// It was down, and the webhook's `failurePolicy` is to ignore that.
    WhileDown,
    /// It found this; nothing, mostly.
    Judged(Vec<(Effect, Option<Leniency>)>),
}

impl History {
    /// Whether a write to one of those objects passed that is known to let critical pods
    /// on NFS: the guard was not asked, or warned about it, or an exemption spoke for it.
    #[must_use]
    pub fn explains(&self, of: impl Fn(&Key) -> bool) -> bool {
        self.writes.iter().any(|write| of(&write.key) && write.seen.explains())
    }
}

impl Seen {
    /// What a verdict that does not deny comes to.
    #[must_use]
    pub fn judged(verdict: &Verdict) -> Self {
        let findings = verdict.findings.iter();
        Self::Judged(findings.map(|found| (found.effect, found.leniency.clone())).collect())
    }

    fn explains(&self) -> bool {
        match self {
            Self::BeforeTheGuard | Self::NotAsked | Self::WhileDown => true,
            Self::Judged(findings) => findings.iter().any(|(effect, leniency)| {
                *effect == Effect::Warn || matches!(leniency, Some(Leniency::Exempt { .. }))
            }),
        }
    }
}
