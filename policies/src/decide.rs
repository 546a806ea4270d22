//! The one call every judgement is made by: of a request, a file, a cluster.

use std::collections::HashMap;

use jiff::Timestamp;

use crate::{
    cluster::{Cluster, Missed},
    config::{Mode, OnUnknown, Reverse},
    critical::{self, Criticality},
    excuse::{self, Used},
    facts::{Kind, MIRROR_POD, Object, WorkloadKind},
    finding::{Effect, Finding, Leniency, Wrong},
    mode,
    policy::Policy,
    ratchet,
    resolve::Resolver,
    rules::{Case, Found, Rule, Setting},
    subject::{Change, Gate, Subject},
    terms::{Asked, Terms},
    verdict::{Unjudged, Verdict},
};

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
    let terms = Terms { policy, resolver: &resolver, now };
    let (critical, sheds_criticality) = match subject.gate {
        // What can be mended is, whether critical or not.
        Gate::Mutating => (None, false),
        Gate::Validating | Gate::Inspection => criticality(subject, terms),
    };
    let case = |object| Case {
        subject,
        object,
        critical: critical.as_ref(),
        policy,
        resolver: &resolver,
        now,
    };
    let judge = |object| {
        let case = case(object);
        let rules = policy.rules.iter().filter(|rule| rule.applies_to(subject));
        rules.flat_map(|rule| findings(*rule, &case)).collect::<Vec<_>>()
    };
    let mut findings = judge(subject.object());
    let is_denied = |finding: &Finding| finding.effect == Effect::Deny;
    if let Change::Update { old, new, .. } = &subject.change
        && matches!(new, Object::Workload(_) | Object::Claim(_))
        && findings.iter().any(is_denied)
        && !moves_claim(old, new)
        && !ratchet::forgives_no_more(&case(new))
    {
        forgive_what_is_not_new(&mut findings, &judge(old), |volume| {
            has_as_before(old, new, volume)
        });
    }
    if subject.gate == Gate::Validating {
        findings.extend(mode::findings(subject, policy));
    }

    // An update of nothing that rules read cannot add anything: what the caches
    // know is told, and nothing is waited for. What is to be mended may lie in
    // parts that facts leave out.
    let unread = subject.gate != Gate::Mutating && subject.change.is_unread();
    let missed = if unread { Missed::default() } else { resolver.into_missed() };
    let settled = unread
        || matches!(subject.change, Change::Create(_))
            && findings.iter().any(|finding| is_denied(finding) && !finding.wrong.is_unknown())
            && !could_excuse(&missed);
    let verdict =
        Verdict { subject: subject.name(), unjudged: None, critical, sheds_criticality, findings };
    Outcome { verdict, missed, settled }
}

/// Whether some of what was missed may tell why a denial is not due: who made the
/// object, and what that is allowed.
fn could_excuse(Missed { keys, not_synced }: &Missed) -> bool {
    let kinds = keys.iter().map(|key| key.kind).chain(not_synced.iter().copied());
    kinds.into_iter().any(|kind| matches!(kind, Kind::Workload(_) | Kind::Exemption))
}

/// What is allowed whatever it holds, before anything is looked up.
fn unjudged(subject: &Subject<'_>, policy: &Policy) -> Option<Unjudged> {
    // On CREATE the apiserver drops the timestamp; it excuses nothing there.
    if let Change::Update { new, .. } = &subject.change
        && new.metadata().deletion_timestamp.is_some()
    {
        return Some(Unjudged::BeingDeleted);
    }
    if let Object::Workload(workload) = subject.object()
        && workload.kind == WorkloadKind::Pod
        && workload.metadata.annotations.get(MIRROR_POD).is_some()
    {
        return Some(Unjudged::MirrorPod);
    }
    let namespace = match subject.object() {
        Object::Namespace(namespace) => &namespace.metadata.name,
        Object::Volume(volume) => match &volume.spec.claim_ref {
            Some(claim) => &claim.namespace,
            None => return None,
        },
        Object::Class(_) => return None,
        _ => &subject.namespace,
    };
    let mut excluded = policy.excluded_namespaces.iter();
    excluded.any(|glob| glob.matches(namespace)).then_some(Unjudged::ExcludedNamespace)
}

/// Why the subject is critical, and whether the write takes that away. Who sheds
/// the label in the change that adds NFS is judged all the same.
fn criticality(subject: &Subject<'_>, terms: Terms<'_>) -> (Option<Criticality>, bool) {
    let why = |object| critical::why(terms, Asked::of(subject, object));
    let is_critical = why(subject.object());
    let was_critical = match &subject.change {
        // Of a volume only the claim counts that it is promised to.
        Change::Update { old, .. } if is_critical.is_none() => {
            Some(old).filter(|old| !matches!(old, Object::Volume(_))).and_then(why)
        }
        _ => None,
    };
    let sheds_criticality = was_critical.is_some();
    (is_critical.or(was_critical), sheds_criticality)
}

/// What a rule finds wrong, and what that leads to: the rule's mode, milder
/// where it rests on something unknown, no more than is due to what is wrong,
/// nothing where it is excused, and a warning where a denial would do harm.
fn findings(rule: &dyn Rule, case: &Case<'_>) -> Vec<Finding> {
    let Setting { mode, on_unknown } = rule.setting(&case.policy.settings);
    // A volume is in no namespace; the claim is that it is promised to.
    let namespace = match case.object {
        Object::Volume(volume) => volume.spec.claim_ref.as_ref().map(|claim| &claim.namespace),
        _ => Some(&case.subject.namespace),
    };
    let namespace = namespace.map_or("", |namespace| namespace);
    let mode = match mode::in_namespace(case.terms(), rule.name(), mode, namespace) {
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
    let found = rule.judge(case).into_iter();
    let findings = found.map(|Found { field, wrong, leniency }| {
        let effect = mode.min(match &wrong {
            Wrong::Storage { .. } if wrong.is_unknown() => on_unknown,
            Wrong::Storage { .. } => Effect::Deny,
            Wrong::Turned { .. } => turned(case),
            Wrong::OwnerChangedAtEveryMount { .. } if case.subject.gate == Gate::Mutating => {
                Effect::Patch
            }
            Wrong::OwnerChangedAtEveryMount { .. } | Wrong::PolicyWithoutGroup => Effect::Warn,
            Wrong::ModeChanged { .. } => Effect::Audit,
        });
        let excused = excuse(rule, case, &wrong);
        let leniency = leniency.filter(|_| effect == Effect::Deny);
        let effect = match (&excused, &leniency) {
            (Some(_), _) => Effect::Allow,
            (None, Some(_)) => Effect::Warn,
            (None, None) => effect,
        };
        Finding { rule: rule.name(), effect, leniency: excused.or(leniency), field, wrong }
    });
    findings.collect()
}

/// What it leads to that a write turns others to forbidden storage. A namespace that
/// becomes critical is never denied it.
fn turned(case: &Case<'_>) -> Effect {
    match case.policy.settings.critical_on_nfs.reverse {
        Reverse::Deny
            if matches!(case.object, Object::Class(_) | Object::Volume(_)) && !releases(case) =>
        {
            Effect::Deny
        }
        Reverse::Allow | Reverse::Warn | Reverse::Deny => Effect::Warn,
    }
}

/// Whether a volume's promise is taken back, which is never denied: it would be kept
/// from whoever may have it.
fn releases(case: &Case<'_>) -> bool {
    let Change::Update { new: Object::Volume(new), old: Object::Volume(old), .. } =
        &case.subject.change
    else {
        return false;
    };
    new.spec.claim_ref.is_none() && old.spec.claim_ref.is_some()
}

/// Why what is wrong with the subject's own storage is allowed beforehand, if so.
fn excuse(rule: &dyn Rule, case: &Case<'_>, wrong: &Wrong) -> Option<Leniency> {
    let Wrong::Storage { volume, resolved, .. } = wrong else { return None };
    let used = Used { volume, claim: resolved.claim() };
    let Object::Volume(promised) = case.object else {
        return excuse::excuse(
            case.terms(),
            Asked::of(case.subject, case.object),
            rule.name(),
            used,
        );
    };
    // A promised volume is excused by what excuses the claim.
    let to = promised.spec.claim_ref.as_ref()?;
    let claim = case.resolver.claim_called(&to.namespace, &to.name)?;
    let claim = Object::Claim((*claim).clone());
    let asked = Asked { object: &claim, namespace: &to.namespace, owner_is_maker: true };
    excuse::excuse(case.terms(), asked, rule.name(), used)
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

/// Whether the volume of that name is written as it was. Another claim, or another
/// source, is new, wherever the one before went, or might have gone.
fn has_as_before(old: &Object<'_>, new: &Object<'_>, volume: &str) -> bool {
    match (old, new) {
        (Object::Workload(old), Object::Workload(new)) => {
            old.volume(volume) == new.volume(volume)
                && old.claim_template(volume) == new.claim_template(volume)
        }
        _ => true,
    }
}

/// Denying an update over what the object has had all along would only keep
/// its owner from mending anything else about it.
fn forgive_what_is_not_new<'f>(
    findings: &mut [Finding],
    before: &'f [Finding],
    has_as_before: impl Fn(&str) -> bool,
) {
    let mut by_volume: HashMap<_, Vec<_>> = HashMap::new();
    let volume = |finding: &'f Finding| finding.wrong.volume().map(|(volume, _)| volume);
    for old in before {
        by_volume.entry((old.rule, volume(old))).or_default().push(old);
    }
    for finding in findings.iter_mut().filter(|finding| finding.effect == Effect::Deny) {
        let of = finding.wrong.volume().map(|(volume, _)| volume);
        let old = by_volume.get(&(finding.rule, of));
        if of.is_none_or(&has_as_before)
            && old.into_iter().flatten().any(|old| finding.wrong.is_as(&old.wrong))
        {
            finding.effect = Effect::Warn;
            finding.leniency = Some(Leniency::NotNew);
        }
    }
}

#[cfg(test)]
mod always_allowed;
