//! Runs sequences and tells what came of them.

use std::{
    fmt::{self, Write as _},
    sync::atomic::{AtomicU64, Ordering},
    thread,
};

use nfs_guard_policies::{
    GuardConfig, Policy,
    config::{Mode, Reverse, ScaleUp},
    rules::CriticalOnNfs,
};

use crate::ControlPlane;

use super::{
    Guard, History, Real, Sequence, Setting, Simulated, World, generate, invariant,
    operation::Operation, shrink::shrunk,
};

/// What many sequences came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ran {
    /// How many sequences.
    pub sequences: u64,
    /// How many of them strict.
    pub strict: u64,
    /// How many operations.
    pub operations: u64,
    /// How many writes passed.
    pub writes: u64,
    /// How many writes were denied.
    pub denied: u64,
    /// How often a pod was found on NFS at rest, critical or not.
    pub on_nfs: u64,
}

/// What is wrong, and after which operation of a sequence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// How many operations had been done.
    pub after: usize,
    /// What is wrong.
    pub what: String,
}

/// A violation, with the shortest sequence that shows it.
#[derive(Clone, Debug)]
pub struct Found {
    /// The sequence.
    pub sequence: Sequence,
    /// What it shows.
    pub violation: Violation,
}

/// What the sequences of many seeds came to.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// All of them together.
    pub ran: Ran,
    /// How many sequences showed a violation.
    pub violations: u64,
    /// The first of those, made as short as they can be, the shortest first.
    pub found: Vec<Found>,
}

/// Most violations that each thread makes shorter: the next ones are mostly the same.
const MOST_SHRUNK: usize = 4;

/// Looks after objects of a kind of its own.
pub(super) const OPERATOR: &str = "system:serviceaccount:pg:pg-operator";

/// Has a policy be the one of that setting.
pub(super) fn configured(policy: &mut Policy, setting: &Setting) {
    let rule = &mut policy.settings.critical_on_nfs;
    rule.mode = Mode::Enforce;
    rule.reverse = if setting.reverse_denies { Reverse::Deny } else { Reverse::Warn };
    policy.ratchet.scale_up = if setting.scale_up_denies { ScaleUp::Deny } else { ScaleUp::Warn };
    policy.ratchet.since = None;
    policy.ratchet.controllers =
        if setting.knows_operator { vec![OPERATOR.into()] } else { Vec::new() };
}

/// A policy for sequences to be run by; each sets its own switches.
#[must_use]
pub fn policy() -> Policy {
    Policy::with_rules(GuardConfig::default(), &[&CriticalOnNfs])
}

/// Runs one sequence against that guard.
pub fn run(sequence: &Sequence, guard: &dyn Guard, policy: &mut Policy) -> Result<Ran, Violation> {
    let mut world = Simulated::new(&sequence.setting, guard, policy);
    let ran = run_in(&mut world, sequence, &mut |_, _| {})?;
    let after = sequence.operations.len();
    let rests = world.remove_guard();
    match invariant::unbound(&world.look()) {
        None if rests => Ok(ran),
        None => Err(Violation { after, what: "the cluster does not come to rest".into() }),
        Some(what) => Err(Violation { after, what }),
    }
}

fn run_in(
    world: &mut dyn World,
    sequence: &Sequence,
    tell: &mut dyn FnMut(&Operation, &History),
) -> Result<Ran, Violation> {
    let mut on_nfs = 0;
    for (at, operation) in sequence.operations.iter().enumerate() {
        let after = at + 1;
        let violation = |what| Violation { after, what };
        if !world.apply(operation) {
            return Err(violation("the cluster does not come to rest".into()));
        }
        let state = world.look();
        tell(operation, state.history);
        on_nfs += invariant::pods_on_nfs(&state);
        if let Some(what) = invariant::broken(&state, &sequence.setting) {
            return Err(violation(what));
        }
    }
    let state = world.look();
    let after = sequence.operations.len();
    if let Some(what) = invariant::stuck(&state) {
        return Err(Violation { after, what });
    }
    Ok(Ran {
        sequences: 1,
        strict: u64::from(sequence.setting.strict),
        operations: after as u64,
        writes: state.history.writes.len() as u64,
        denied: state.history.denied,
        on_nfs,
    })
}

/// Runs one sequence and tells every write that passed, and what the guard said to it.
#[must_use]
pub fn replay(sequence: &Sequence, guard: &dyn Guard, policy: &mut Policy) -> String {
    let mut world = Simulated::new(&sequence.setting, guard, policy);
    let (mut told, mut known, mut denied) = (String::new(), 0, 0);
    let result = run_in(&mut world, sequence, &mut |operation, history| {
        let _ = writeln!(told, "{operation}");
        for write in &history.writes[known..] {
            let _ = writeln!(told, "    {write}");
        }
        if history.denied > denied {
            let _ = writeln!(told, "    {} times denied", history.denied - denied);
        }
        (known, denied) = (history.writes.len(), history.denied);
    });
    match result {
        Ok(_) => told + "no violation",
        Err(violation) => told + &violation.what,
    }
}

/// Runs the sequences of that many seeds on a real control plane, several at a time. None of
/// them stops the guard, or moves the default class: all others would notice.
#[must_use]
pub fn search_real(control_plane: &ControlPlane, first: u64, sequences: u64) -> Report {
    let next = AtomicU64::new(0);
    let work = || {
        let mut policy = policy();
        let mut report = Report::default();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= sequences {
                return report;
            }
            let sequence = generate::shareable(first.wrapping_add(number));
            match run_real(control_plane, &sequence, &mut policy) {
                Ok(ran) => report.ran = report.ran.and(ran),
                Err(violation) => {
                    report.ran.sequences += 1;
                    report.violations += 1;
                    report.found.push(Found { sequence, violation });
                }
            }
        }
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..AT_A_TIME).map(|_| scope.spawn(work)).collect();
        let reports = threads.into_iter().map(|thread| thread.join().expect("does not panic"));
        Report::of(reports)
    })
}

/// Sequences that share a control plane at a time: most of it they wait.
const AT_A_TIME: u64 = 10;

/// Runs one sequence on a real control plane.
pub fn run_real(
    control_plane: &ControlPlane,
    sequence: &Sequence,
    policy: &mut Policy,
) -> Result<Ran, Violation> {
    let after = sequence.operations.len();
    let broken = |error: anyhow::Error| Violation { after, what: format!("{error:#}") };
    let prefix = format!("model-{}", sequence.seed);
    let mut world = Real::new(control_plane, &prefix, &sequence.setting, policy).map_err(broken)?;
    let ran = run_in(&mut world, sequence, &mut |_, _| {})?;
    world.finish().map_err(broken)?;
    let last = invariant::broken(&world.look(), &sequence.setting);
    last.map_or(Ok(ran), |what| Err(Violation { after, what }))
}

/// Runs the sequences of that many seeds.
#[must_use]
pub fn search(first: u64, sequences: u64, guard: &dyn Guard) -> Report {
    search_until(u64::MAX, first, sequences, guard)
}

/// Runs the sequences of that many seeds, until so many have shown a violation.
#[must_use]
pub fn search_until(enough: u64, first: u64, sequences: u64, guard: &dyn Guard) -> Report {
    let seen = AtomicU64::new(0);
    let next = AtomicU64::new(0);
    let work = || {
        let mut policy = policy();
        let mut report = Report::default();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= sequences || seen.load(Ordering::Relaxed) >= enough {
                return report;
            }
            let sequence = generate::sequence(first.wrapping_add(number));
            if let Ok(ran) = run(&sequence, guard, &mut policy) {
                report.ran = report.ran.and(ran);
                continue;
            }
            seen.fetch_add(1, Ordering::Relaxed);
            report.ran.sequences += 1;
            report.violations += 1;
            if report.found.len() < MOST_SHRUNK {
                report.found.push(shortest(sequence, guard, &mut policy));
            }
        }
    };
    let reports: Vec<_> = thread::scope(|scope| {
        let threads = thread::available_parallelism().map_or(1, usize::from);
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        threads.into_iter().map(|thread| thread.join().expect("does not panic")).collect()
    });
    Report::of(reports)
}

fn shortest(sequence: Sequence, guard: &dyn Guard, policy: &mut Policy) -> Found {
    let sequence = shrunk(sequence, &mut |shorter| run(shorter, guard, policy).is_err());
    let violation = run(&sequence, guard, policy).expect_err("it was seen to fail");
    Found { sequence, violation }
}

impl Report {
    fn of(reports: impl IntoIterator<Item = Self>) -> Self {
        let mut all = Self::default();
        for Self { ran, violations, found } in reports {
            all.ran = all.ran.and(ran);
            all.violations += violations;
            all.found.extend(found);
        }
        all.found.sort_by_key(|found| found.sequence.operations.len());
        all
    }
}

impl Ran {
    fn and(self, other: Self) -> Self {
        let Self { sequences, strict, operations, writes, denied, on_nfs } = other;
        Self {
            sequences: self.sequences + sequences,
            strict: self.strict + strict,
            operations: self.operations + operations,
            writes: self.writes + writes,
            denied: self.denied + denied,
            on_nfs: self.on_nfs + on_nfs,
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { ran, violations, found } = self;
        let Ran { sequences, strict, operations, writes, denied, on_nfs } = ran;
        for found in found {
            writeln!(f, "{found}\n")?;
        }
        writeln!(
            f,
            "{strict} strict; {operations} operations, {writes} writes, {denied} denied; \
             pods on NFS after an operation: {on_nfs}"
        )?;
        write!(f, "{sequences} sequences, {violations} violations")
    }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sequence, violation } = self;
        let Sequence { seed, setting, operations } = sequence;
        writeln!(f, "violation, seed {seed}: {}", violation.what)?;
        let json = |value: serde_json::Result<String>| value.unwrap_or_default();
        writeln!(f, "setting: {}", json(serde_json::to_string(setting)))?;
        for (at, operation) in operations.iter().enumerate() {
            writeln!(f, "{:3}. {operation}", at + 1)?;
        }
        write!(f, "replay: make model SEQUENCE='{}'", json(serde_json::to_string(sequence)))
    }
}
