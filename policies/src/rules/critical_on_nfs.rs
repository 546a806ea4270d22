//! `critical-on-nfs`: no critical workload on NFS.

mod promise;
mod turned;

use super::{Case, Found, Reads, Rule, Setting};
use crate::{
    backing, config,
    facts::{self, Claim, Object, WorkloadKind},
    finding::{Leniency, Wrong},
    ratchet::Ratchet,
    resolve::Volume,
    subject::{Change, Gate},
    terms::users,
    verdict::MOST_TOLD,
};

/// Finds every volume of a critical subject that ends up on forbidden storage,
/// or on storage nobody can name; the promise of such a volume to a critical claim;
/// and what turns others there.
#[derive(Debug)]
pub struct CriticalOnNfs;

impl Rule for CriticalOnNfs {
    fn name(&self) -> &'static str {
        "critical-on-nfs"
    }

    fn can_be_exempted(&self) -> bool {
        true
    }

    fn reads(&self, gate: Gate) -> &'static [Reads] {
        /// How many of them are judged by volumes of their own.
        const OWN: usize = 9;
        const ALL: &[Reads] = &[
            Reads::workload(WorkloadKind::StatefulSet),
            Reads::workload(WorkloadKind::Deployment),
            Reads::workload(WorkloadKind::DaemonSet),
            Reads::workload(WorkloadKind::ReplicaSet),
            Reads::workload(WorkloadKind::ReplicationController),
            Reads::workload(WorkloadKind::Job),
            Reads::workload(WorkloadKind::CronJob),
            Reads::workload(WorkloadKind::Pod),
            Reads::writes(facts::Kind::Claim),
            Reads::scale(WorkloadKind::StatefulSet),
            Reads::scale(WorkloadKind::Deployment),
            Reads::scale(WorkloadKind::ReplicaSet),
            Reads::scale(WorkloadKind::ReplicationController),
            Reads::writes(facts::Kind::Volume),
            Reads::writes(facts::Kind::Namespace),
            Reads::all(facts::Kind::Class),
        ];
        match gate {
            Gate::Mutating => &[],
            Gate::Validating => ALL,
            // Whoever else is turned by an object is inspected as well.
            Gate::Inspection => &ALL[..OWN],
        }
    }

    fn setting(&self, settings: &config::Rules) -> Setting {
        let config::CriticalOnNfs { mode, on_unknown, reverse: _, forbid: _ } =
            settings.critical_on_nfs;
        Setting { mode, on_unknown }
    }

    fn judge(&self, case: &Case<'_>) -> Vec<Found> {
        let forbid = &case.policy.settings.critical_on_nfs.forbid;
        let passes = |kind| {
            kind != backing::Kind::Unknown && !forbid.iter().any(|forbidden| forbidden.covers(kind))
        };
        match case.object {
            Object::Workload(_) | Object::Claim(_) => {
                let mut found = own_volumes(case, passes);
                found.extend(turned::pods_of_who_becomes_critical(case, passes));
                found
            }
            Object::Volume(volume) => match &case.subject.change {
                Change::Standing(_) | Change::Delete(_) => Vec::new(),
                change if promise::is_new(change) => promise::judge(case, volume, passes),
                _ => turned::judge(case, passes),
            },
            Object::Class(_) | Object::Namespace(_) => turned::judge(case, passes),
            Object::CsiDriver(_) | Object::Exemption(_) => Vec::new(),
        }
    }
}

/// The volumes of a critical workload or claim that do not pass.
fn own_volumes(case: &Case<'_>, passes: impl Fn(backing::Kind) -> bool) -> Vec<Found> {
    if case.critical.is_none() {
        return Vec::new();
    }
    let is_binding = is_binding(case);
    let ratchet = Ratchet::new(case, CriticalOnNfs.name(), &passes);
    let volumes = case.resolver.volumes(&case.subject.namespace, case.object);
    let wrong = volumes.into_iter().filter(|v| !passes(v.resolved.backing.kind()));
    let found = wrong.enumerate().map(|(at, volume)| {
        // Every class and its volumes are gone through for it, so that only
        // those are helped that are told.
        let classes = |claim| case.resolver.classes_for(claim, &passes);
        let passing_classes = claim_to_change(&volume).filter(|_| at < MOST_TOLD).map(classes);
        let leniency = if is_binding { Some(Leniency::Binding) } else { ratchet.leniency(&volume) };
        let (name, field) = (volume.name.to_owned(), volume.place.to_string());
        let resolved = volume.resolved;
        let wrong = Wrong::Storage { volume: name, resolved, passing_classes };
        Found { field, wrong, leniency }
    });
    found.collect()
}

/// The claim that another class would help: none that names its volume.
fn claim_to_change<'s>(volume: &Volume<'s>) -> Option<&'s Claim<'s>> {
    volume.claim.filter(|claim| claim.volume_name().is_none())
}

/// Whether the write only completes a binding: the volume names the claim
/// already, or a binder says so that may be ahead of the caches. Denied here,
/// the volume would stay bound to a claim that does not know of it.
fn is_binding(case: &Case<'_>) -> bool {
    let (Change::Update { old: Object::Claim(old), .. }, Object::Claim(claim)) =
        (&case.subject.change, case.object)
    else {
        return false;
    };
    let Some(volume) = claim.volume_name() else { return false };
    let set_now = old.volume_name().is_none();
    let by_binder = users::is_binder(&case.subject.user);
    (set_now && by_binder) || case.resolver.promised(volume, &case.subject.namespace, claim)
}

#[cfg(test)]
mod binding;
#[cfg(test)]
mod kinds;
#[cfg(test)]
mod tables;
#[cfg(test)]
mod updates;
