//! Where the policy is added, where it is not, and what is told.

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
        ("inline CSI with a type", inline("inline.example.com", json!({"fsType": "ext4"})), true),
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
fn what_a_driver_ships_with_decides_where_the_cluster_does_not_say() {
    let group = json!({"fsGroup": 1000});
    for (name, driver, modes, expected) in [
        ("every volume", "nfs.csi.k8s.io", "ReadWriteMany", true),
        (
            "one writer, and a type by default",
            "nasplugin.csi.alibabacloud.com",
            "ReadWriteOnce",
            true,
        ),
        ("many writers", "nasplugin.csi.alibabacloud.com", "ReadWriteMany", false),
        ("one writer, and no type", "efs.csi.aws.com", "ReadWriteOnce", false),
        ("none, as it makes in-tree volumes", "fuseim.pri/ifs", "ReadWriteOnce", false),
        ("none, as it takes the group over", "file.csi.azure.com", "ReadWriteOnce", false),
        ("one whose default nobody knows", "storage.example.com", "ReadWriteOnce", true),
    ] {
        let mut objects = incident();
        let mut class = class("made", driver, false);
        class["parameters"] = json!({"protocol": "nfs"});
        objects.push(class);
        let judge = Judge { cluster: cluster(&objects), ..mutating() };
        let mut manifest = on("made", &group);
        manifest["spec"]["volumeClaimTemplates"][0]["spec"]["accessModes"] = json!([modes]);
        assert_eq!(!added(&judge, &manifest).is_empty(), expected, "{driver}: {name}");
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
