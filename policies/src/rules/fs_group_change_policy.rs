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
        Change::Create(_) => true,
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
        Change::Update { .. } => false,
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
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::{
        Effect,
        facts::Kind,
        testing::{Judge, class, cluster, incident, pod, set, wrapped},
    };

    /// A set with a claim template of that class.
    fn on(class: &str, context: &Value) -> Value {
        let mut set = set(&[("data", class)], &json!([]));
        set["spec"]["template"]["spec"]["securityContext"] = context.clone();
        set
    }

    fn mutating() -> Judge {
        Judge { gate: Gate::Mutating, ..Judge::incident() }
    }

    /// The paths that are added to.
    fn added(judge: &Judge, manifest: &Value) -> Vec<String> {
        let verdict = judge.create("web", manifest).verdict;
        verdict.amendments().map(|Amendment { path, .. }| format!("/{}", path.join("/"))).collect()
    }

    #[test]
    fn adds_the_policy_where_it_is_missing_and_the_kubelet_would_walk() {
        let volume = |source: Value| {
            let mut volume = json!({"name": "v"});
            volume.as_object_mut().unwrap().extend(source.as_object().unwrap().clone());
            let mut manifest = set(&[], &json!([volume]));
            manifest["spec"]["template"]["spec"]["securityContext"] = json!({"fsGroup": 1000});
            manifest
        };
        let group = json!({"fsGroup": 1000});
        let mut windows = on("nfs-proxmox", &group);
        windows["spec"]["template"]["spec"]["os"] = json!({"name": "windows"});
        let mut many = on("proxmox-lvm-encrypted", &group);
        many["spec"]["volumeClaimTemplates"][0]["spec"]["accessModes"] = json!(["ReadWriteMany"]);
        let mut raw = on("nfs-proxmox", &group);
        raw["spec"]["volumeClaimTemplates"][0]["spec"]["volumeMode"] = json!("Block");
        let inline = |driver: &str, more: Value| {
            let mut csi = json!({"driver": driver});
            csi.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            volume(json!({"csi": csi}))
        };
        for (name, manifest, expected) in [
            ("fsGroup on NFS, whose driver has the kubelet do it", on("nfs-proxmox", &group), true),
            ("group 0 is a group", on("nfs-proxmox", &json!({"fsGroup": 0})), true),
            ("one writer and a filesystem type", on("proxmox-lvm-encrypted", &group), true),
            ("many writers, under the default policy", many, false),
            ("no fsGroup", on("nfs-proxmox", &json!({"runAsUser": 7})), false),
            ("no security context", on("nfs-proxmox", &json!(null)), false),
            (
                "the policy is there",
                on("nfs-proxmox", &json!({"fsGroup": 1, "fsGroupChangePolicy": "OnRootMismatch"})),
                false,
            ),
            (
                "Always, on purpose",
                on("nfs-proxmox", &json!({"fsGroup": 1, "fsGroupChangePolicy": "Always"})),
                false,
            ),
            ("Windows knows no groups", windows, false),
            ("a raw device has no files", raw, false),
            ("a class nobody knows may be such a one", on("gone", &group), true),
            (
                "in-tree nfs never changes owners",
                volume(json!({"nfs": {"server": "n", "path": "/"}})),
                false,
            ),
            ("nor does hostPath", volume(json!({"hostPath": {"path": "/"}})), false),
            ("iscsi does", volume(json!({"iscsi": {}})), true),
            ("what does not outlive the pod", volume(json!({"emptyDir": {}})), false),
            ("inline CSI under File", inline("nfs.csi.k8s.io", json!({})), true),
            (
                "inline CSI that is only read",
                inline("nfs.csi.k8s.io", json!({"readOnly": true})),
                false,
            ),
            (
                "inline CSI with a type",
                inline("inline.example.com", json!({"fsType": "ext4"})),
                true,
            ),
            ("inline CSI without one", inline("inline.example.com", json!({})), false),
            (
                "a generic ephemeral volume",
                volume(
                    json!({"ephemeral": {"volumeClaimTemplate": {"spec": {"storageClassName": "nfs-proxmox"}}}}),
                ),
                true,
            ),
        ] {
            let path = "/spec/template/spec/securityContext/fsGroupChangePolicy";
            let expected = if expected { vec![path] } else { vec![] };
            assert_eq!(added(&mutating(), &manifest), expected, "{name}");
        }
    }

    #[test]
    fn the_drivers_own_object_decides_over_the_catalogue() {
        let on_nfs = on("nfs-proxmox", &json!({"fsGroup": 1000}));
        let on_disk = on("proxmox-lvm-encrypted", &json!({"fsGroup": 1000}));
        for (policy, nfs, disk) in [
            (Some("File"), true, true),
            (Some("None"), false, false),
            (Some("ReadWriteOnceWithFSType"), false, true),
            (None, false, true),
        ] {
            let mut objects = incident();
            for name in ["nfs.csi.k8s.io", "csi.proxmox.sinextra.dev"] {
                objects.push(json!({"apiVersion": "storage.k8s.io/v1", "kind": "CSIDriver",
                    "metadata": {"name": name}, "spec": {"fsGroupPolicy": policy}}));
            }
            let judge = Judge { cluster: cluster(&objects), ..mutating() };
            assert_eq!(!added(&judge, &on_nfs).is_empty(), nfs, "nfs, {policy:?}");
            assert_eq!(!added(&judge, &on_disk).is_empty(), disk, "disk, {policy:?}");
        }
    }

    #[test]
    fn a_claims_volume_decides_and_who_only_reads_changes_no_owner() {
        let mounts = |claim: &str, read_only: bool| {
            let claim = json!({"claimName": claim, "readOnly": read_only});
            let mut pod = pod(&json!([{"name": "v", "persistentVolumeClaim": claim}]));
            pod["spec"]["securityContext"] = json!({"fsGroup": 1000});
            pod
        };
        let mut objects = incident();
        for (claim, volume) in [("csi", "vault-old"), ("in-tree", "in-tree")] {
            objects.push(json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim",
                "metadata": {"name": claim, "namespace": "web"}, "spec": {"volumeName": volume}}));
        }
        let judge = Judge { cluster: cluster(&objects), ..mutating() };
        for (claim, read_only, expected) in
            [("csi", false, true), ("csi", true, false), ("in-tree", false, false)]
        {
            let added = added(&judge, &mounts(claim, read_only));
            assert_eq!(!added.is_empty(), expected, "{claim}, read only: {read_only}");
        }
    }

    #[test]
    fn one_of_several_claims_that_changes_owners_is_enough() {
        let mut objects = incident();
        objects.push(json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim",
            "metadata": {"name": "data-vault-0", "namespace": "web"},
            "spec": {"volumeName": "in-tree"}}));
        objects.push(class("manila", "nfs.manila.csi.openstack.org", false));
        let judge = Judge { cluster: cluster(&objects), ..mutating() };
        for (class, expected) in [("proxmox-lvm-encrypted", true), ("manila", false)] {
            let added = added(&judge, &on(class, &json!({"fsGroup": 1000})));
            assert_eq!(!added.is_empty(), expected, "{class}, beside a claim on in-tree nfs");
        }
    }

    #[test]
    fn every_kind_is_amended_where_its_pods_are_described() {
        let volumes = json!([{"name": "v", "csi": {"driver": "nfs.csi.k8s.io"}}]);
        for kind in WorkloadKind::ALL {
            let expected = match kind {
                WorkloadKind::Pod => "/spec/securityContext/fsGroupChangePolicy",
                WorkloadKind::CronJob => {
                    "/spec/jobTemplate/spec/template/spec/securityContext/fsGroupChangePolicy"
                }
                _ => "/spec/template/spec/securityContext/fsGroupChangePolicy",
            };
            let manifest =
                wrapped(kind, &json!({"securityContext": {"fsGroup": 1}, "volumes": volumes}));
            assert_eq!(added(&mutating(), &manifest), [expected], "{}", Kind::Workload(kind));
        }
    }

    #[test]
    fn what_a_controller_made_is_left_alone_but_for_pods() {
        let volumes = json!([{"name": "v", "csi": {"driver": "nfs.csi.k8s.io"}}]);
        for kind in WorkloadKind::ALL {
            let mut manifest =
                wrapped(kind, &json!({"securityContext": {"fsGroup": 1}, "volumes": volumes}));
            manifest["metadata"]["ownerReferences"] = json!([
                {"apiVersion": "v1", "kind": "Owner", "name": "o", "uid": "1", "controller": true}]);
            let expected = usize::from(kind == WorkloadKind::Pod);
            assert_eq!(added(&mutating(), &manifest).len(), expected, "{}", Kind::Workload(kind));
        }
    }

    #[test]
    fn a_template_is_amended_when_it_changes_anyway_and_never_rolled_out_for_it() {
        let without = on("nfs-proxmox", &json!({"fsGroup": 1000}));
        let with =
            on("nfs-proxmox", &json!({"fsGroup": 1000, "fsGroupChangePolicy": "OnRootMismatch"}));
        let mut scaled = without.clone();
        scaled["spec"]["replicas"] = json!(5);
        let mut image = without.clone();
        image["spec"]["template"]["spec"]["containers"] = json!([{"image": "vault:2"}]);
        let mut grouped = without.clone();
        grouped["spec"]["template"]["spec"]["securityContext"] = json!({"fsGroup": 2000});
        for (name, old, new, expected) in [
            ("nothing changes", &without, &without, false),
            ("only its size", &without, &scaled, false),
            ("its image, which no fact shows", &without, &image, true),
            ("its group", &without, &grouped, true),
            ("our value is taken out again", &with, &without, true),
            ("our value stays", &with, &with, false),
        ] {
            let verdict = mutating().update("web", old, new).verdict;
            assert_eq!(verdict.amendments().count() == 1, expected, "{name}");
            let expected = if expected { Effect::Patch } else { Effect::Allow };
            assert_eq!(verdict.effect(), expected, "{name}");
        }
    }

    #[test]
    fn a_job_that_exists_gets_back_what_it_had_and_nothing_more() {
        let job = |context: Value, queue: &str| {
            let volumes = json!([{"name": "v", "csi": {"driver": "nfs.csi.k8s.io"}}]);
            let selector = json!({"queue": queue});
            let spec =
                json!({"securityContext": context, "volumes": volumes, "nodeSelector": selector});
            wrapped(WorkloadKind::Job, &spec)
        };
        let without = |queue| job(json!({"fsGroup": 1}), queue);
        let with = job(json!({"fsGroup": 1, "fsGroupChangePolicy": "OnRootMismatch"}), "none");
        for (name, old, new, expected) in [
            ("a queue says where it runs", without("none"), without("fast"), false),
            ("our value is taken out again", with, without("none"), true),
        ] {
            let verdict = mutating().update("web", &old, &new).verdict;
            assert_eq!(verdict.amendments().count() == 1, expected, "{name}");
        }
    }

    #[test]
    fn the_configuration_says_what_is_amended_and_for_which_volumes() {
        let (nfs, disk) = (
            on("nfs-proxmox", &json!({"fsGroup": 1})),
            on("proxmox-lvm-encrypted", &json!({"fsGroup": 1})),
        );
        let volumes = json!([{"name": "v", "csi": {"driver": "nfs.csi.k8s.io"}}]);
        let mut pod = pod(&volumes);
        pod["spec"]["securityContext"] = json!({"fsGroup": 1});
        for (rule, on_nfs, on_disk, pods) in [
            (json!({}), true, true, true),
            (json!({"scope": "nfs"}), true, false, true),
            (json!({"inject": ["pods"]}), false, false, true),
            (json!({"inject": ["templates"]}), true, true, false),
            (json!({"mode": "warn"}), false, false, false),
            (json!({"mode": "off"}), false, false, false),
        ] {
            let config = json!({"rules": {"fs-group-change-policy": rule}});
            let judge = mutating().configured(config);
            let amended = [&nfs, &disk, &pod].map(|manifest| !added(&judge, manifest).is_empty());
            assert_eq!(amended, [on_nfs, on_disk, pods], "{rule}");
        }
    }

    #[test]
    fn tells_what_was_added_and_where_a_policy_does_nothing() {
        let missing = on("nfs-proxmox", &json!({"fsGroup": 1000}));
        let idle = on("nfs-proxmox", &json!({"fsGroupChangePolicy": "OnRootMismatch"}));
        let warnings = |gate, manifest: &Value| {
            let judge = Judge { gate, ..Judge::incident() };
            judge.create("web", manifest).verdict.warnings()
        };
        let added = "fs-group-change-policy: added fsGroupChangePolicy: OnRootMismatch; \
                     put it in the source too";
        let walks = "fs-group-change-policy: fsGroup without fsGroupChangePolicy: OnRootMismatch: \
                     every mount of data visits all its files";
        let nothing =
            "fs-group-change-policy: fsGroupChangePolicy does nothing while fsGroup is not set";
        assert_eq!(warnings(Gate::Mutating, &missing), [added]);
        assert!(warnings(Gate::Validating, &missing).is_empty(), "the other webhook tells");
        assert_eq!(warnings(Gate::Inspection, &missing), [walks]);
        assert!(warnings(Gate::Mutating, &idle).is_empty());
        assert_eq!(warnings(Gate::Validating, &idle), [nothing]);
        assert_eq!(warnings(Gate::Inspection, &idle), [nothing]);
        let again = Judge::incident().update("web", &idle, &idle).verdict;
        assert!(again.warnings().is_empty(), "told once, when it was written");
    }
}
