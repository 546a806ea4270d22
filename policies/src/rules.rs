//! The rules, one file each; a rule's table of cases is where it is learned.

mod critical_on_nfs;
mod fs_group_change_policy;

use std::fmt;

use jiff::Timestamp;

pub use critical_on_nfs::CriticalOnNfs;
pub use fs_group_change_policy::FsGroupChangePolicy;

use crate::{
    config::{Mode, OnUnknown, Rules},
    critical::Criticality,
    facts::{Kind, Object, WorkloadKind},
    finding::{Leniency, Wrong},
    policy::{Policy, RuleList},
    resolve::Resolver,
    subject::{Gate, Operation, Subject},
    terms::Terms,
};

/// The label that makes an object, a pod template or a namespace critical.
pub const CRITICAL_LABEL: &str = "nfs-guard.io/critical";

/// Every rule there is.
pub const RULES: RuleList = &[&CriticalOnNfs, &FsGroupChangePolicy];

/// One rule. It is asked about every subject it reads, and says what is wrong;
/// what that leads to is decided in one place for all rules
/// (see [`crate::decide()`]).
pub trait Rule: fmt::Debug + Send + Sync {
    /// Its name, in configuration and output.
    fn name(&self) -> &'static str;

    /// The writes it has to see at that gate; the chart's webhook rules are held
    /// to these.
    fn reads(&self, gate: Gate) -> &'static [Reads];

    /// How its findings are taken.
    fn setting(&self, settings: &Rules) -> Setting;

    /// Whether an exemption may name it.
    fn can_be_exempted(&self) -> bool {
        false
    }

    /// What is wrong with one state of the subject.
    fn judge(&self, case: &Case<'_>) -> Vec<Found>;

    /// Whether that write is one it has to see.
    fn applies_to(&self, subject: &Subject<'_>) -> bool {
        let (kind, operation) = (subject.object().kind(), subject.change.operation());
        let mut reads = self.reads(subject.gate).iter();
        reads.any(|reads| reads.kind == kind && reads.operations.contains(&operation))
    }
}

/// How a rule's findings are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setting {
    /// What a finding leads to.
    pub mode: Mode,
    /// What a finding leads to that rests on something unknown.
    pub on_unknown: OnUnknown,
}

/// What a rule found in one state of a subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Where in the subject it is written.
    pub field: String,
    /// What is wrong.
    pub wrong: Wrong,
    /// Why it must not be denied, if so.
    pub leniency: Option<Leniency>,
}

/// Writes a rule has to see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reads {
    /// Kind of the object written.
    pub kind: Kind,
    /// The operations on it.
    pub operations: &'static [Operation],
    /// Whether its sub-resource `scale` is written, instead of the object. Whoever
    /// asks makes of it the update of the object that it stands for.
    pub scale: bool,
}

impl Reads {
    /// Every write of that kind.
    const fn writes(kind: Kind) -> Self {
        Self { kind, operations: &[Operation::Create, Operation::Update], scale: false }
    }

    /// Writes to the sub-resource `scale` of that kind of workload.
    const fn scale(kind: WorkloadKind) -> Self {
        Self { kind: Kind::Workload(kind), operations: &[Operation::Update], scale: true }
    }

    /// Everything that is done to that kind.
    const fn all(kind: Kind) -> Self {
        let operations = &[Operation::Create, Operation::Update, Operation::Delete];
        Self { kind, operations, scale: false }
    }

    /// Every write of that kind of workload.
    const fn workload(kind: WorkloadKind) -> Self {
        Self::writes(Kind::Workload(kind))
    }

    /// The creation of that kind of workload.
    const fn new_workload(kind: WorkloadKind) -> Self {
        Self { kind: Kind::Workload(kind), operations: &[Operation::Create], scale: false }
    }
}

/// What a rule is asked.
pub struct Case<'c> {
    /// The write.
    pub subject: &'c Subject<'c>,
    /// The state of the object that is judged: of an update first the new, then
    /// the old one, to tell what was wrong before.
    pub object: &'c Object<'c>,
    /// Why the subject is critical, before or after the write.
    pub critical: Option<&'c Criticality>,
    /// The policy it is judged by.
    pub policy: &'c Policy,
    /// What volumes end up on.
    pub resolver: &'c Resolver<'c>,
    /// The time of the judgement.
    pub now: Timestamp,
}

impl<'c> Case<'c> {
    pub(crate) fn terms(&self) -> Terms<'c> {
        Terms { policy: self.policy, resolver: self.resolver, now: self.now }
    }
}
