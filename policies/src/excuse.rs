//! What is excused beforehand: by the configuration, which excepts it, or by an
//! exemption.

use jiff::{SignedDuration, Timestamp};

use crate::{
    config::Exception,
    critical,
    facts::{Exemption, Kind, Object, Workload, WorkloadKind},
    finding::Leniency,
    glob::Glob,
    policy::Policy,
    terms::{Asked, Terms},
};

/// A volume of an object that something is asked about.
#[derive(Clone, Copy)]
pub(crate) struct Used<'u> {
    /// What the pod, the template or the claim calls it.
    pub(crate) volume: &'u str,
    /// The claim that it is, where its name is known.
    pub(crate) claim: Option<&'u str>,
}

/// Whether the workload is not critical at all, whatever says that it is.
pub(crate) fn excepts_workload(terms: Terms<'_>, asked: Asked<'_>, of: &Workload<'_>) -> bool {
    let mut whole = terms.policy.critical.except.iter().filter(|except| except.claims.is_empty());
    whole.any(|except| covers(terms, asked, of, except))
}

/// Whether a claim of that name is not critical for its own sake.
pub(crate) fn excepts_claim(policy: &Policy, name: &str) -> bool {
    policy.critical.except.iter().any(|except| any(&except.claims, name))
}

/// Why that use of a claim is not critical, if the configuration says so.
pub(crate) fn exception<'t>(
    terms: Terms<'t>,
    asked: Asked<'_>,
    claim: &str,
) -> Option<&'t Exception> {
    let workload = asked.workload()?;
    let mut excepts = terms.policy.critical.except.iter();
    excepts.find(|except| any(&except.claims, claim) && covers(terms, asked, workload, except))
}

/// Why that use of a volume is excused from a rule, if it is.
pub(crate) fn excuse(
    terms: Terms<'_>,
    asked: Asked<'_>,
    rule: &str,
    used: Used<'_>,
) -> Option<Leniency> {
    let excepted = || {
        let Exception { reason, .. } = exception(terms, asked, used.claim?)?;
        Some(Leniency::Excepted { reason: reason.clone() })
    };
    excepted().or_else(|| exempt(terms, asked, rule, used))
}

fn exempt(terms: Terms<'_>, asked: Asked<'_>, rule: &str, used: Used<'_>) -> Option<Leniency> {
    let exemptions = terms.resolver.exemptions(asked.namespace);
    let in_force = exemptions.iter().filter_map(|exemption| {
        let until = end(exemption, terms.policy)?;
        let names_rule = exemption.spec.rules.iter().any(|name| **name == *rule);
        (terms.now < until && names_rule).then_some((&**exemption, until))
    });
    let in_force: Vec<_> = in_force.collect();
    let (exemption, until) = match asked.object {
        Object::Workload(workload) => *in_force
            .iter()
            .find(|(exemption, _)| exempts_workload(terms, asked, workload, exemption, used))?,
        Object::Claim(_) => *in_force.iter().find(|(exemption, _)| {
            exempts_claim(exemption, used.volume)
                || names_volume(exemption, used)
                    && others_are_excused(terms, asked.namespace, rule, used.volume)
        })?,
        _ => return None,
    };
    Some(Leniency::Exempt { exemption: exemption.metadata.name.to_string(), until })
}

/// Whether an exemption is for the claim itself.
fn exempts_claim(exemption: &Exemption<'_>, claim: &str) -> bool {
    let target = &exemption.spec.target;
    *target.kind == *Kind::Claim.as_str() && target.name.matches(claim)
}

/// Whether an exemption of a workload names one of its volumes, or its claim.
fn names_volume(exemption: &Exemption<'_>, used: Used<'_>) -> bool {
    let volumes = &exemption.spec.target.volumes;
    any(volumes, used.volume) || used.claim.is_some_and(|claim| any(volumes, claim))
}

/// Whether nobody who is critical uses the claim without being excused: an exemption
/// is for its target alone.
fn others_are_excused(terms: Terms<'_>, namespace: &str, rule: &str, claim: &str) -> bool {
    critical::critical_consumers(terms, namespace, claim).all(|(consumer, _)| {
        let asked = Asked { object: &consumer, namespace, owner_is_maker: true };
        exempt(terms, asked, rule, Used { volume: claim, claim: Some(claim) }).is_some()
    })
}

fn exempts_workload(
    terms: Terms<'_>,
    asked: Asked<'_>,
    workload: &Workload<'_>,
    exemption: &Exemption<'_>,
    used: Used<'_>,
) -> bool {
    let target = &exemption.spec.target;
    let names = |kind: WorkloadKind, name: &str| {
        *target.kind == *Kind::Workload(kind).as_str() && target.name.matches(name)
    };
    (target.volumes.is_empty() || names_volume(exemption, used))
        && is_or_is_made_by(terms, asked, workload, names)
}

fn covers(terms: Terms<'_>, asked: Asked<'_>, workload: &Workload<'_>, except: &Exception) -> bool {
    let Exception { kinds, names, claims: _, reason: _ } = except;
    is_or_is_made_by(terms, asked, workload, |kind, name| {
        (kinds.is_empty() || kinds.contains(&kind)) && (names.is_empty() || any(names, name))
    })
}

/// Whether the workload, or what made it, is one that is meant.
fn is_or_is_made_by(
    terms: Terms<'_>,
    asked: Asked<'_>,
    workload: &Workload<'_>,
    meant: impl Fn(WorkloadKind, &str) -> bool,
) -> bool {
    if meant(workload.kind, workload.metadata.display_name()) {
        return true;
    }
    if !asked.owner_is_maker || !workload.metadata.is_controlled() {
        return false;
    }
    let owners = terms.resolver.owners(asked.namespace, &workload.metadata);
    let mut makers = owners.chain.iter().scan(workload.kind, |made, owner| {
        makes(owner.kind, std::mem::replace(made, owner.kind)).then_some(owner)
    });
    makers.any(|owner| meant(owner.kind, &owner.metadata.name))
}

/// Whether the controller of one kind makes objects of the other. What names another
/// owner, no controller counts as its own, or deletes for being one too many.
fn makes(owner: WorkloadKind, made: WorkloadKind) -> bool {
    match owner {
        WorkloadKind::StatefulSet
        | WorkloadKind::DaemonSet
        | WorkloadKind::ReplicaSet
        | WorkloadKind::ReplicationController
        | WorkloadKind::Job => made == WorkloadKind::Pod,
        WorkloadKind::Deployment => made == WorkloadKind::ReplicaSet,
        WorkloadKind::CronJob => made == WorkloadKind::Job,
        WorkloadKind::Pod => false,
    }
}

/// When an exemption ends: on its day, or when it is as old as one may be.
fn end(exemption: &Exemption<'_>, policy: &Policy) -> Option<Timestamp> {
    let spec = &exemption.spec;
    if policy.exemptions.require_ticket && spec.ticket.as_deref().is_none_or(str::is_empty) {
        return None;
    }
    let expires = spec.expires_at?;
    let Some(created) = exemption.metadata.creation_timestamp else { return Some(expires) };
    let longest = SignedDuration::from_hours(24 * i64::from(policy.exemptions.max_days));
    Some(created.checked_add(longest).map_or(expires, |oldest| expires.min(oldest)))
}

fn any(globs: &[Glob], name: &str) -> bool {
    globs.iter().any(|glob| glob.matches(name))
}

#[cfg(test)]
mod tests;
