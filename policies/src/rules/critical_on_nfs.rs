//! `critical-on-nfs`: no critical workload on NFS.

use super::{Case, Found, Reads, Rule, Setting};
use crate::{
    backing::Kind,
    config,
    facts::{self, Claim, Object, WorkloadKind},
    finding::{Leniency, Wrong},
    resolve::Volume,
    subject::{Change, Gate},
    verdict::MOST_TOLD,
};

/// Users that finish a binding. Which of them writes depends on the binding
/// mode and on `--use-service-account-credentials`.
const BINDERS: [&str; 3] = [
    "system:serviceaccount:kube-system:persistent-volume-binder",
    "system:kube-controller-manager",
    "system:kube-scheduler",
];

/// Users that make pods, and what makes pods, from the spec of an owner
/// (`pkg/controller`; the last one for all of them where the controller manager
/// runs without `--use-service-account-credentials`).
const CONTROLLERS: [&str; 8] = [
    "system:serviceaccount:kube-system:statefulset-controller",
    "system:serviceaccount:kube-system:deployment-controller",
    "system:serviceaccount:kube-system:replicaset-controller",
    "system:serviceaccount:kube-system:replication-controller",
    "system:serviceaccount:kube-system:daemon-set-controller",
    "system:serviceaccount:kube-system:job-controller",
    "system:serviceaccount:kube-system:cronjob-controller",
    "system:kube-controller-manager",
];

/// Finds every volume of a critical subject that ends up on forbidden storage,
/// or on storage nobody can name.
#[derive(Debug)]
pub struct CriticalOnNfs;

impl Rule for CriticalOnNfs {
    fn name(&self) -> &'static str {
        "critical-on-nfs"
    }

    fn reads(&self, gate: Gate) -> &'static [Reads] {
        const ALL: &[Reads] = &[
            Reads::workload(WorkloadKind::StatefulSet),
            Reads::workload(WorkloadKind::Deployment),
            Reads::workload(WorkloadKind::DaemonSet),
            Reads::workload(WorkloadKind::ReplicaSet),
            Reads::workload(WorkloadKind::ReplicationController),
            Reads::workload(WorkloadKind::Job),
            Reads::workload(WorkloadKind::CronJob),
            Reads::workload(WorkloadKind::Pod),
            Reads::scale(WorkloadKind::StatefulSet),
            Reads::scale(WorkloadKind::Deployment),
            Reads::scale(WorkloadKind::ReplicaSet),
            Reads::scale(WorkloadKind::ReplicationController),
            Reads::writes(facts::Kind::Claim),
            Reads::writes(facts::Kind::Volume),
            Reads::writes(facts::Kind::Namespace),
            Reads::all(facts::Kind::Class),
        ];
        match gate {
            Gate::Mutating => &[],
            Gate::Validating | Gate::Inspection => ALL,
        }
    }

    fn setting(&self, settings: &config::Rules) -> Setting {
        let config::CriticalOnNfs { mode, on_unknown, reverse: _, forbid: _ } =
            settings.critical_on_nfs;
        Setting { mode, on_unknown }
    }

    fn judge(&self, case: &Case<'_>) -> Vec<Found> {
        if case.critical.is_none() {
            return Vec::new();
        }
        let leniency = leniency(case);
        let forbid = &case.policy.settings.critical_on_nfs.forbid;
        let passes =
            |kind| kind != Kind::Unknown && !forbid.iter().any(|forbidden| forbidden.covers(kind));
        let volumes = case.resolver.volumes(&case.subject.namespace, case.object);
        let wrong = volumes.into_iter().filter(|v| !passes(v.resolved.backing.kind()));
        let found = wrong.enumerate().map(|(at, volume)| {
            // Every class and its volumes are gone through for it, so that only
            // those are helped that are told.
            let classes = |claim| case.resolver.classes_for(claim, passes);
            let passing_classes = claim_to_change(&volume).filter(|_| at < MOST_TOLD).map(classes);
            let volume_name = volume.name.to_owned();
            let field = volume.place.to_string();
            let resolved = volume.resolved;
            let wrong = Wrong::Storage { volume: volume_name, resolved, passing_classes };
            Found { field, wrong, leniency: leniency.clone() }
        });
        found.collect()
    }
}

/// The claim that another class would help: none that names its volume.
fn claim_to_change<'s>(volume: &Volume<'s>) -> Option<&'s Claim<'s>> {
    volume.claim.filter(|claim| claim.volume_name().is_none())
}

fn leniency(case: &Case<'_>) -> Option<Leniency> {
    if is_binding(case) {
        Some(Leniency::Binding)
    } else if is_made_by_controller(case) {
        Some(Leniency::OwnersSpec)
    } else {
        None
    }
}

/// Whether a controller makes the object for an owner whose own spec was judged
/// when it was written. Denied here, a workload that runs would lose the next of
/// its pods: the outage that the rule is there to prevent. The user name says
/// who it is; an ownerReference alone anybody can write.
fn is_made_by_controller(case: &Case<'_>) -> bool {
    let Object::Workload(workload) = case.object else { return false };
    matches!(case.subject.change, Change::Create(_))
        && workload.metadata.is_controlled()
        && CONTROLLERS.iter().any(|controller| case.subject.user == **controller)
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
    let by_binder = BINDERS.iter().any(|binder| case.subject.user == **binder);
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
