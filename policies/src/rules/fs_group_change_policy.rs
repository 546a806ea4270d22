//! `fs-group-change-policy`: no walk over every file of a volume at each mount.

use super::{Case, Found, Reads, Rule, Setting};
use crate::{
    backing,
    config::{self, FsGroupScope, Inject, OnUnknown},
    facts::{Object, PodSecurityContext, Workload, WorkloadKind},
    finding::{Amendment, Wrong},
    resolve::Volume,
    subject::{Change, Gate},
};

const MEMBER: &str = "fsGroupChangePolicy";

/// The kubelet looks at a volume's root first, and walks on only if that does
/// not belong to the group (KEP-695, `pkg/volume/volume_linux.go`).
const ON_ROOT_MISMATCH: &str = "OnRootMismatch";

/// Finds pods and pod templates that set fsGroup and leave it to the default
/// when owners are changed: at every mount, file by file. The mutating side adds
/// the milder policy; what says it already, in whatever words, is left alone.
#[derive(Debug)]
pub struct FsGroupChangePolicy;

impl Rule for FsGroupChangePolicy {
    fn name(&self) -> &'static str {
        "fs-group-change-policy"
    }

    fn reads(&self, _everywhere_alike: Gate) -> &'static [Reads] {
        const ALL: &[Reads] = &[
            Reads::workload(WorkloadKind::StatefulSet),
            Reads::workload(WorkloadKind::Deployment),
            Reads::workload(WorkloadKind::DaemonSet),
            Reads::workload(WorkloadKind::ReplicaSet),
            Reads::workload(WorkloadKind::ReplicationController),
            Reads::workload(WorkloadKind::Job),
            Reads::workload(WorkloadKind::CronJob),
            // A pod's security context cannot be changed once it exists.
            Reads::new_workload(WorkloadKind::Pod),
        ];
        ALL
    }

    fn setting(&self, settings: &config::Rules) -> Setting {
        let config::FsGroupChangePolicy { mode, scope: _, inject: _ } =
            settings.fs_group_change_policy;
        Setting { mode, on_unknown: OnUnknown::Warn }
    }

    fn judge(&self, case: &Case<'_>) -> Vec<Found> {
        let Object::Workload(workload) = case.object else { return Vec::new() };
        let found = match case.subject.gate {
            Gate::Mutating => missing_policy(case, workload, is_ours_to_change),
            Gate::Validating => policy_without_group(case, workload),
            // What has an owner is mended there.
            Gate::Inspection => missing_policy(case, workload, |_, w| !w.metadata.is_controlled())
                .or_else(|| policy_without_group(case, workload)),
        };
        found.into_iter().collect()
    }
}

/// The first volume for whose sake the policy has to be set; `may` is asked
/// once it is certain that it is not.
fn missing_policy(
    case: &Case<'_>,
    workload: &Workload<'_>,
    may: impl FnOnce(&Case<'_>, &Workload<'_>) -> bool,
) -> Option<Found> {
    let spec = &workload.template.spec;
    let PodSecurityContext { fs_group, fs_group_change_policy } = &spec.security_context;
    let missing = fs_group.is_some() && fs_group_change_policy.is_none() && !spec.is_windows();
    if !missing || !may(case, workload) {
        return None;
    }
    let volumes = case.resolver.volumes(&case.subject.namespace, case.object);
    let volume = volumes.into_iter().find(|volume| {
        let scope = case.policy.settings.fs_group_change_policy.scope;
        is_in(scope, volume) && case.resolver.changes_owner(volume)
    })?;
    let wrong = Wrong::OwnerChangedAtEveryMount {
        volume: volume.name.to_owned(),
        resolved: volume.resolved,
        amendment: Amendment::of_security_context(workload.kind, MEMBER, ON_ROOT_MISMATCH),
    };
    Some(Found { field: field(workload.kind), wrong, leniency: None })
}

fn is_in(scope: FsGroupScope, volume: &Volume<'_>) -> bool {
    match scope {
        FsGroupScope::Persistent => true,
        FsGroupScope::Nfs => volume.resolved.backing.kind() == backing::Kind::Nfs,
    }
}

/// Whether the policy may be added to this object by this write.
fn is_ours_to_change(case: &Case<'_>, workload: &Workload<'_>) -> bool {
    let inject = &case.policy.settings.fs_group_change_policy.inject;
    if workload.kind == WorkloadKind::Pod {
        return inject.contains(&Inject::Pods);
    }
    // What a controller made it compares with its owner's template, and makes
    // anew when they differ: a ReplicaSet changed under its Deployment is
    // replaced by another without end.
    inject.contains(&Inject::Templates)
        && !workload.metadata.is_controlled()
        && changes_template(&case.subject.change, workload)
}

/// Whether the write changes the pod template anyway: adding to one that stays
/// as it is would replace every pod for the sake of the policy alone. A write
/// that takes the policy out again changes it, and what is added then is what
/// was there.
fn changes_template(change: &Change<'_>, workload: &Workload<'_>) -> bool {
    match change {
        Change::Create(_) | Change::Standing(_) => true,
        // Of a job's template only where its pods are scheduled may change, and
        // only until it starts (`validatePodTemplateUpdate` in
        // `pkg/apis/batch/validation/validation.go`). With the policy added, the
        // apiserver would refuse what a queue writes to start it; without what
        // was there, it would refuse the manifest it was made from.
        Change::Update { old: Object::Workload(old), .. } if workload.kind == WorkloadKind::Job => {
            let policy = old.template.spec.security_context.fs_group_change_policy.as_deref();
            policy == Some(ON_ROOT_MISMATCH)
        }
        Change::Update { old: Object::Workload(old), texts, .. } => {
            workload.template != old.template || texts.differ_at(workload.kind.template_path())
        }
        Change::Update { .. } | Change::Delete(_) => false,
    }
}

/// A policy that says when owners are changed, where nobody asked to change
/// them; told when it is written, not at every update.
fn policy_without_group(case: &Case<'_>, workload: &Workload<'_>) -> Option<Found> {
    let is_idle = |workload: &Workload<'_>| {
        let PodSecurityContext { fs_group, fs_group_change_policy } =
            &workload.template.spec.security_context;
        fs_group_change_policy.is_some() && fs_group.is_none()
    };
    let was_idle = match &case.subject.change {
        Change::Update { old: Object::Workload(old), .. } => is_idle(old),
        _ => false,
    };
    let idle = is_idle(workload) && !was_idle;
    idle.then(|| Found {
        field: field(workload.kind),
        wrong: Wrong::PolicyWithoutGroup,
        leniency: None,
    })
}

fn field(kind: WorkloadKind) -> String {
    format!("{}.securityContext.{MEMBER}", kind.pod_spec_path())
}

#[cfg(test)]
mod tables;
