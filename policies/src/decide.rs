//! The one call every judgement is made by: of a request, a file, a cluster.

use std::{collections::HashMap, fmt};

use jiff::Timestamp;

use crate::{
    backing,
    cluster::{Cluster, Missed},
    config::{Mode, OnUnknown},
    critical,
    facts::Object,
    policy::Policy,
    resolve::Resolver,
    rules::{Case, Rule, Setting, Wrong},
    text::Text,
    verdict::{Effect, Finding, Leniency, SubjectName, Unjudged, Verdict},
};

/// A write under judgement.
#[derive(Clone, Debug)]
pub struct Subject<'a> {
    /// What is written.
    pub change: Change<'a>,
    /// Namespace it is written to; empty for cluster-scoped kinds. The request
    /// says so, an object may leave it out.
    pub namespace: Text<'a>,
    /// Name of the user who writes it; empty when nobody does, as in a file.
    pub user: Text<'a>,
}

impl<'a> Subject<'a> {
    /// The object as it will be.
    #[must_use]
    pub fn object(&self) -> &Object<'a> {
        match &self.change {
            Change::Create(object) | Change::Update { new: object, .. } => object,
        }
    }

    /// What it is called.
    #[must_use]
    pub fn name(&self) -> SubjectName {
        SubjectName {
            kind: self.object().kind(),
            namespace: self.namespace.to_string(),
            name: self.object().metadata().display_name().to_owned(),
        }
    }
}

/// What a write does.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "one lives at a time, on the stack of its request")]
pub enum Change<'a> {
    /// A new object.
    Create(Object<'a>),
    /// Another state of an object.
    Update {
        /// As it will be.
        new: Object<'a>,
        /// As it was.
        old: Object<'a>,
    },
}

impl Change<'_> {
    /// The operation it comes from.
    #[must_use]
    pub fn operation(&self) -> Operation {
        match self {
            Self::Create(_) => Operation::Create,
            Self::Update { .. } => Operation::Update,
        }
    }

    /// Whether it changes nothing that any rule reads: finalizers, status, or
    /// anything else that facts leave out.
    fn is_unread(&self) -> bool {
        matches!(self, Self::Update { new, old } if new == old)
    }
}

/// The operations of an admission review that make a subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Operation {
    /// A new object.
    Create,
    /// Another state of an object.
    Update,
}

impl Operation {
    /// The name used in reviews and webhook rules.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "CREATE",
            Self::Update => "UPDATE",
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A judgement, and what it had to do without.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The judgement on what is known.
    pub verdict: Verdict,
    /// What was looked for and not there. Whoever can find some of it decides
    /// again with it.
    pub missed: Missed,
    /// Whether nothing that was missed could turn the judgement: it denies
    /// something new, on storage that is known, or nothing was at stake.
    pub settled: bool,
}

/// Judges a subject in its cluster, by a policy, at a time. No I/O, no clock:
/// the same four values give the same outcome.
#[must_use]
pub fn decide(
    subject: &Subject<'_>,
    cluster: &dyn Cluster,
    policy: &Policy,
    now: Timestamp,
) -> Outcome {
    if let Some(unjudged) = unjudged(subject, policy) {
        let verdict = Verdict::unjudged(subject.name(), unjudged);
        return Outcome { verdict, missed: Missed::default(), settled: true };
    }

    let resolver = Resolver::new(cluster, &policy.catalogue);
    let why = |object| critical::why(object, &subject.namespace, policy, &resolver);
    let is_critical = why(subject.object());
    // Who sheds the label in the change that adds NFS is judged all the same.
    let was_critical = match &subject.change {
        Change::Update { old, .. } if is_critical.is_none() => why(old),
        _ => None,
    };
    let sheds_criticality = was_critical.is_some();
    let critical = is_critical.or(was_critical);

    let judge = |object| {
        let case =
            Case { subject, object, critical: critical.as_ref(), policy, resolver: &resolver, now };
        let rules = policy.rules.iter().filter(|rule| rule.applies_to(subject));
        rules.flat_map(|rule| findings(*rule, &case)).collect::<Vec<_>>()
    };
    let mut findings = judge(subject.object());
    let is_denied = |finding: &Finding| finding.effect == Effect::Deny;
    if let Change::Update { old, new } = &subject.change
        && findings.iter().any(is_denied)
        && !moves_claim(old, new)
    {
        forgive_what_is_not_new(&mut findings, &judge(old));
    }

    // An update of nothing that rules read cannot add anything: what the caches
    // know is told, and nothing is waited for.
    let unread = subject.change.is_unread();
    let is_known = |finding: &Finding| finding.resolved.backing.kind() != backing::Kind::Unknown;
    let settled = unread
        || matches!(subject.change, Change::Create(_))
            && findings.iter().any(|finding| is_denied(finding) && is_known(finding));
    let missed = if unread { Missed::default() } else { resolver.into_missed() };
    let verdict =
        Verdict { subject: subject.name(), unjudged: None, critical, sheds_criticality, findings };
    Outcome { verdict, missed, settled }
}

/// What is allowed whatever it holds, before anything is looked up.
fn unjudged(subject: &Subject<'_>, policy: &Policy) -> Option<Unjudged> {
    // On CREATE the apiserver drops the timestamp; it excuses nothing there.
    if let Change::Update { new, .. } = &subject.change
        && new.metadata().deletion_timestamp.is_some()
    {
        return Some(Unjudged::BeingDeleted);
    }
    let mut excluded = policy.excluded_namespaces.iter();
    excluded.any(|glob| glob.matches(&subject.namespace)).then_some(Unjudged::ExcludedNamespace)
}

/// What a rule finds wrong, and what that leads to: the rule's mode, milder
/// where it rests on something unknown, and a warning where a denial would do
/// harm.
fn findings(rule: &dyn Rule, case: &Case<'_>) -> Vec<Finding> {
    let Setting { mode, on_unknown } = rule.setting(&case.policy.settings);
    let mode = match mode {
        Mode::Off => return Vec::new(),
        Mode::Audit => Effect::Audit,
        Mode::Warn => Effect::Warn,
        Mode::Enforce => Effect::Deny,
    };
    let on_unknown = match on_unknown {
        OnUnknown::Allow => Effect::Allow,
        OnUnknown::Warn => Effect::Warn,
        OnUnknown::Deny => Effect::Deny,
    };
    let wrongs = rule.judge(case).into_iter();
    let findings = wrongs.map(|Wrong { volume, field, resolved, passing_classes, leniency }| {
        let effect = match resolved.backing.kind() {
            backing::Kind::Unknown => mode.min(on_unknown),
            _ => mode,
        };
        let leniency = leniency.filter(|_| effect == Effect::Deny);
        let effect = if leniency.is_some() { Effect::Warn } else { effect };
        Finding { rule: rule.name(), effect, leniency, volume, field, resolved, passing_classes }
    });
    findings.collect()
}

/// Whether a claim is given another class or volume. Where it was to go before
/// is no excuse then: only now it is decided where it goes, by a default class
/// that came late, or by a person.
fn moves_claim(old: &Object<'_>, new: &Object<'_>) -> bool {
    match (old, new) {
        (Object::Claim(old), Object::Claim(new)) => {
            old.class() != new.class() || old.volume_name() != new.volume_name()
        }
        _ => false,
    }
}

/// Denying an update over what the object has had all along would only keep
/// its owner from mending anything else about it.
fn forgive_what_is_not_new(findings: &mut [Finding], before: &[Finding]) {
    let mut by_volume: HashMap<_, Vec<_>> = HashMap::new();
    for old in before {
        by_volume.entry((old.rule, &*old.volume)).or_default().push(old);
    }
    for finding in findings.iter_mut().filter(|finding| finding.effect == Effect::Deny) {
        let old = by_volume.get(&(finding.rule, &*finding.volume));
        if old.into_iter().flatten().any(|old| old.is_as_wrong_as(finding)) {
            finding.effect = Effect::Warn;
            finding.leniency = Some(Leniency::NotNew);
        }
    }
}
