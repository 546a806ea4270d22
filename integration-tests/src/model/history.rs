//! What was written so far, and what the guard said to it.

use std::fmt;

use nfs_guard_policies::{Effect, Leniency, Verdict, cluster::Key, facts::Kind};

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
    /// Whether what is written became critical by it, and what it made before with it.
    pub turns_critical: bool,
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
    /// Whether a class or a volume was warned about that turns others to NFS, and then a
    /// write to one of those objects was borne with: where the one is no more than warned
    /// about, the other is not new. Another volume than theirs counts that a provisioner
    /// made: what was to end there was on NFS by then, and a class that turns it is not
    /// new either.
    #[must_use]
    pub fn was_warned_of(&self, of: impl Fn(&Key) -> bool) -> bool {
        let judged = |write: &Write, lenient: bool| match &write.seen {
            Seen::Judged(findings) => findings
                .iter()
                .any(|(effect, leniency)| *effect == Effect::Warn && leniency.is_some() == lenient),
            Seen::BeforeTheGuard | Seen::NotAsked | Seen::WhileDown => false,
        };
        let mut writes = self.writes.iter();
        let turns = |write: &Write| match write.key.kind {
            Kind::Class => judged(write, false),
            Kind::Volume => judged(write, false) || judged(write, true) && !of(&write.key),
            _ => false,
        };
        writes.any(turns) && writes.any(|write| of(&write.key) && judged(write, true))
    }

    /// Whether a write to one of those objects passed that is known to let critical pods
    /// on NFS: the guard was not asked, or warned about it, or an exemption spoke for it, or what is there became critical.
    #[must_use]
    pub fn explains(&self, of: impl Fn(&Key) -> bool) -> bool {
        self.writes
            .iter()
            .any(|write| of(&write.key) && (write.turns_critical || write.seen.explains()))
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

impl fmt::Display for Write {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { operation: _, user, key, turns_critical: _, seen } = self;
        write!(f, "{key} by {user}: ")?;
        match seen {
            Seen::BeforeTheGuard => f.write_str("before the guard"),
            Seen::NotAsked => f.write_str("taken in, nobody asked"),
            Seen::WhileDown => f.write_str("while the guard is down"),
            Seen::Judged(findings) if findings.is_empty() => f.write_str("passes"),
            Seen::Judged(findings) => {
                for (at, (effect, leniency)) in findings.iter().enumerate() {
                    let separator = if at == 0 { "" } else { ", " };
                    write!(f, "{separator}{}", effect.as_str())?;
                    if let Some(leniency) = leniency {
                        write!(f, " ({leniency})")?;
                    }
                }
                Ok(())
            }
        }
    }
}
