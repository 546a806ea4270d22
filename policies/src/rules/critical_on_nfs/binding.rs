//! What a claim comes to that an existing volume may be bound to.

use serde_json::{Value, json};

use super::*;
use crate::{
    Effect,
    testing::{Judge, claim, class, cluster, incident, object, pod, set, wrapped},
    text::{Reduce, Strings},
};

const BLOCK: &str = "proxmox-lvm-encrypted";
const NFS: &str = "nfs-proxmox";

/// A volume that can be had, of that class and source.
fn volume(name: &str, class: &str, source: &Value) -> Value {
    let mut volume = json!({
        "apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name},
        "spec": {
            "storageClassName": class, "capacity": {"storage": "10Gi"},
            "accessModes": ["ReadWriteOnce", "ReadWriteMany"],
        },
        "status": {"phase": "Available"},
    });
    volume["spec"].as_object_mut().unwrap().extend(source.as_object().unwrap().clone());
    volume
}

fn nfs(class: &str) -> Value {
    volume("share", class, &json!({"nfs": {"server": "nas", "path": "/x"}}))
}

fn disk(class: &str) -> Value {
    volume("lun", class, &json!({"iscsi": {}}))
}

fn but(mut volume: Value, at: &str, value: Value) -> Value {
    volume["spec"][at] = value;
    volume
}

/// A disk that only one node can mount.
fn local(class: &str) -> Value {
    but(disk(class), "nodeAffinity", json!({"required": {"nodeSelectorTerms": []}}))
}

/// The classes of the incident, bound by the scheduler.
fn waiting(mut class: Value) -> Value {
    class["volumeBindingMode"] = json!("WaitForFirstConsumer");
    class
}

/// The cluster of the incident and these objects, or other states of its own.
fn judge(objects: &[Value]) -> Judge {
    let objects = [&incident()[..], objects].concat();
    Judge { cluster: cluster(&objects), ..Judge::incident() }
}

/// A claim of that class for five gigabytes.
fn wants(class: Option<&str>) -> Value {
    claim(&json!({
        "storageClassName": class, "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "5Gi"}},
    }))
}

fn no_default() -> Value {
    class(NFS, "nfs.csi.k8s.io", false)
}

#[test]
fn a_volume_that_can_be_had_comes_before_what_the_class_would_make() {
    let small = json!({"storage": "4Gi"});
    let kept = json!({"namespace": "vault", "name": "data"});
    let mut selecting = wants(Some(BLOCK));
    selecting["spec"]["selector"] = json!({"matchLabels": {"disk": "fast"}});
    let on_block = wants(Some(BLOCK));
    let on_nfs = wants(Some(NFS));
    for (name, claim, volumes, expected) in [
        ("an NFS volume of a class on block", &on_block, vec![nfs(BLOCK)], Effect::Deny),
        ("a disk of a class on NFS", &on_nfs, vec![disk(NFS)], Effect::Allow),
        ("of another class", &on_block, vec![nfs(NFS)], Effect::Allow),
        ("too small", &on_block, vec![but(nfs(BLOCK), "capacity", small.clone())], Effect::Allow),
        (
            "of other access modes",
            &on_block,
            vec![but(nfs(BLOCK), "accessModes", json!(["ReadWriteMany"]))],
            Effect::Allow,
        ),
        ("not selected", &selecting, vec![nfs(BLOCK)], Effect::Allow),
        (
            "the smaller one is a disk",
            &on_block,
            vec![but(nfs(BLOCK), "capacity", json!({"storage": "11Gi"})), disk(BLOCK)],
            Effect::Allow,
        ),
        ("one of two equals is NFS", &on_block, vec![nfs(BLOCK), disk(BLOCK)], Effect::Deny),
        (
            "another is promised",
            &on_block,
            vec![nfs(BLOCK), but(disk(""), "claimRef", kept.clone())],
            Effect::Allow,
        ),
        (
            "the promised one is too small",
            &on_block,
            vec![but(but(nfs(""), "claimRef", kept.clone()), "capacity", small)],
            Effect::Allow,
        ),
        (
            "the promised one has more access modes",
            &on_nfs,
            vec![
                but(nfs(NFS), "claimRef", kept),
                but(disk(NFS), "accessModes", json!(["ReadWriteOnce"])),
            ],
            Effect::Allow,
        ),
    ] {
        let told = judge(&volumes).create("vault", claim).told();
        assert_eq!(told.0, expected, "{name}: {told:?}");
    }
    let (_, chains) = judge(&[nfs(BLOCK)]).create("vault", &on_block).told();
    assert_eq!(chains, ["claim data → PersistentVolume share → volume source nfs → NFS nas:/x"]);
}

#[test]
fn what_waits_for_its_pod_may_find_its_node_without_a_volume() {
    let on_nfs = waiting(class(NFS, "nfs.csi.k8s.io", false));
    let on_block = waiting(class(BLOCK, "csi.proxmox.sinextra.dev", false));
    for (name, wanted, objects, expected) in [
        ("a disk within every node's reach", NFS, vec![on_nfs.clone(), disk(NFS)], Effect::Allow),
        ("a disk of one node, or NFS", NFS, vec![on_nfs, local(NFS)], Effect::Deny),
        (
            "a disk of one node, or a smaller NFS volume",
            BLOCK,
            vec![
                on_block.clone(),
                local(BLOCK),
                but(nfs(BLOCK), "capacity", json!({"storage": "9Gi"})),
            ],
            Effect::Deny,
        ),
        (
            "a disk, and a larger NFS volume of one node",
            BLOCK,
            vec![
                on_block,
                disk(BLOCK),
                but(
                    but(nfs(BLOCK), "capacity", json!({"storage": "11Gi"})),
                    "nodeAffinity",
                    json!({"required": {}}),
                ),
            ],
            Effect::Allow,
        ),
    ] {
        let told = judge(&objects).create("vault", &wants(Some(wanted))).told();
        assert_eq!(told.0, expected, "{name}: {told:?}");
    }
}

#[test]
fn a_class_that_makes_nothing_gives_the_volumes_that_name_it() {
    let class = class("static", "kubernetes.io/no-provisioner", false);
    for (name, wanted, volumes, expected) in [
        ("none", "static", vec![], Effect::Warn),
        ("NFS", "static", vec![nfs("static")], Effect::Deny),
        ("a disk", "static", vec![disk("static")], Effect::Allow),
        ("no such class, and no volume", "gone", vec![], Effect::Warn),
        ("no such class, and an NFS volume", "gone", vec![nfs("gone")], Effect::Deny),
        ("no such class, and a disk", "gone", vec![disk("gone")], Effect::Allow),
        ("no class, and no volume", "", vec![nfs("gone")], Effect::Warn),
        ("no class, and an NFS volume", "", vec![nfs("")], Effect::Deny),
        ("no class, and a disk", "", vec![disk("")], Effect::Allow),
    ] {
        let objects = [std::slice::from_ref(&class), &volumes[..]].concat();
        let told = judge(&objects).create("vault", &wants(Some(wanted))).told();
        assert_eq!(told.0, expected, "{name}: {told:?}");
    }
}

#[test]
fn a_claim_that_names_no_class_may_go_either_way() {
    let on_block = class(BLOCK, "csi.proxmox.sinextra.dev", true);
    let stored = wants(None);
    let mut template = set(&[("data", "")], &json!([]));
    template["spec"]["volumeClaimTemplates"][0]["spec"]["storageClassName"] = json!(null);
    for (name, manifest, objects, expected) in [
        ("a disk without a class, or the default", &stored, vec![disk("")], Effect::Deny),
        (
            "an NFS volume without a class, or the default",
            &stored,
            vec![no_default(), on_block.clone(), nfs("")],
            Effect::Deny,
        ),
        ("a disk, as there is no default", &stored, vec![no_default(), disk("")], Effect::Allow),
        ("nothing, as there is no default", &stored, vec![no_default()], Effect::Warn),
        (
            "the default for a template, whose claims get it as they are made",
            &template,
            vec![no_default(), on_block, nfs("")],
            Effect::Allow,
        ),
        (
            "an NFS volume for a template, as there is no default",
            &template,
            vec![no_default(), nfs("")],
            Effect::Deny,
        ),
        ("a volume of the default class", &template, vec![disk(NFS)], Effect::Allow),
    ] {
        let told = judge(&objects).create("vault", manifest).told();
        assert_eq!(told.0, expected, "{name}: {told:?}");
    }
}

#[test]
fn each_claim_of_a_set_takes_another_volume() {
    let replicas = |n: u64, templates: &[(&str, &str)]| {
        let mut set = set(templates, &json!([]));
        set["spec"]["replicas"] = json!(n);
        set
    };
    let data = [("data", NFS)];
    let bound = json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim",
        "metadata": {"name": "data-vault-0", "namespace": "vault"},
        "spec": {"storageClassName": NFS, "volumeName": "disk"}});
    for (name, manifest, objects, expected) in [
        ("one disk for one replica", replicas(1, &data), vec![disk(NFS)], Effect::Allow),
        ("one disk for none yet", replicas(0, &data), vec![disk(NFS)], Effect::Allow),
        ("one disk for two replicas", replicas(2, &data), vec![disk(NFS)], Effect::Deny),
        (
            "one disk for two replicas, one of which has its own",
            replicas(2, &data),
            vec![disk(NFS), bound],
            Effect::Allow,
        ),
        (
            "one disk for two templates",
            replicas(1, &[("data", NFS), ("audit", NFS)]),
            vec![disk(NFS)],
            Effect::Deny,
        ),
        (
            "the second smallest is NFS",
            replicas(2, &[("data", BLOCK)]),
            vec![disk(BLOCK), but(nfs(BLOCK), "capacity", json!({"storage": "11Gi"}))],
            Effect::Deny,
        ),
        (
            "the second smallest is NFS, for one replica",
            replicas(1, &[("data", BLOCK)]),
            vec![disk(BLOCK), but(nfs(BLOCK), "capacity", json!({"storage": "11Gi"}))],
            Effect::Allow,
        ),
    ] {
        let told = judge(&objects).create("vault", &manifest).told();
        assert_eq!(told.0, expected, "{name}: {told:?}");
    }
}

#[test]
fn a_volume_promised_to_a_claim_that_a_set_will_make_is_not_for_another() {
    let on_block = |replicas: u64| {
        let mut set = set(&[("data", BLOCK)], &json!([]));
        set["spec"]["replicas"] = json!(replicas);
        set
    };
    let promised = |volume: Value, claim: &Value| but(volume, "claimRef", claim.clone());
    let to = |name: &str| json!({"namespace": "vault", "name": name});
    let (second, mut before) = (to("data-vault-1"), to("data-vault-1"));
    before["uid"] = json!("1");
    let own = json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim",
        "metadata": {"name": "data-vault-1", "namespace": "vault"},
        "spec": {"storageClassName": BLOCK, "volumeName": "disk"}});
    for (name, replicas, objects, expected) in [
        ("NFS, of whatever class", 2, vec![promised(nfs("manual"), &second)], Effect::Deny),
        ("NFS, of a million", 1_000_000, vec![promised(nfs(""), &second)], Effect::Deny),
        ("beyond its replicas", 1, vec![promised(nfs(""), &second)], Effect::Allow),
        ("to another set's", 2, vec![promised(nfs(""), &to("data-web-1"))], Effect::Allow),
        ("to a claim that was", 2, vec![promised(nfs(""), &before)], Effect::Allow),
        ("to one that has its own", 2, vec![promised(nfs(""), &second), own], Effect::Allow),
        ("a disk", 2, vec![promised(disk(""), &second)], Effect::Allow),
        (
            "NFS, of other access modes",
            2,
            vec![but(promised(nfs(""), &second), "accessModes", json!(["ReadOnlyMany"]))],
            Effect::Allow,
        ),
    ] {
        let told = judge(&objects).create("vault", &on_block(replicas)).told();
        assert_eq!(told.0, expected, "{name}: {told:?}");
    }
    let (_, chains) = judge(&[promised(nfs(""), &second)]).create("vault", &on_block(2)).told();
    let chain = "volumeClaimTemplate data → claim data-vault-1 → PersistentVolume share → \
                 volume source nfs → NFS nas:/x";
    assert_eq!(chains, [chain]);
}

#[test]
fn each_pod_takes_another_volume_for_what_it_calls_ephemeral() {
    let ephemeral = |names: &[&str]| -> Vec<Value> {
        let spec = wants(Some(NFS))["spec"].clone();
        let template = json!({"volumeClaimTemplate": {"spec": spec}});
        names.iter().map(|name| json!({"name": name, "ephemeral": template})).collect()
    };
    let one = json!({"volumes": ephemeral(&["tmp"])});
    for (name, manifest, expected) in [
        ("one pod", pod(&one["volumes"]), Effect::Allow),
        ("one pod with two", pod(&json!(ephemeral(&["tmp", "more"]))), Effect::Deny),
        ("a set of one", wrapped(WorkloadKind::StatefulSet, &one), Effect::Allow),
        ("who knows how many", wrapped(WorkloadKind::Deployment, &one), Effect::Deny),
    ] {
        let told = judge(&[disk(NFS)]).create("vault", &manifest).told();
        assert_eq!(told.0, expected, "{name}: {told:?}");
    }
}

#[test]
fn who_names_the_default_class_and_who_names_none_compete() {
    let of = |class: Value| {
        let mut spec = wants(Some(NFS))["spec"].clone();
        spec["storageClassName"] = class;
        json!({"volumeClaimTemplate": {"spec": spec}})
    };
    let two = |first: Value, second: Value| {
        pod(&json!([{"name": "a", "ephemeral": of(first)}, {"name": "b", "ephemeral": of(second)}]))
    };
    for (name, manifest, expected) in [
        ("one disk for both", two(json!(null), json!(NFS)), Effect::Deny),
        ("another class", two(json!(null), json!(BLOCK)), Effect::Allow),
    ] {
        let told = judge(&[disk(NFS)]).create("vault", &manifest).told();
        assert_eq!(told.0, expected, "{name}: {told:?}");
    }
}

#[test]
fn a_volume_may_be_promised_to_what_a_pod_calls_ephemeral() {
    let spec = wants(Some(BLOCK))["spec"].clone();
    let tmp = json!([{"name": "tmp", "ephemeral": {"volumeClaimTemplate": {"spec": spec}}}]);
    for (name, claim, expected) in [
        ("to its claim", "vault-0-tmp", Effect::Deny),
        ("to another pod's", "vault-1-tmp", Effect::Allow),
    ] {
        let share = but(nfs(""), "claimRef", json!({"namespace": "vault", "name": claim}));
        let told = judge(&[share]).create("vault", &pod(&tmp)).told();
        assert_eq!(told.0, expected, "{name}: {told:?}");
    }
}

#[test]
fn no_class_is_proposed_that_has_an_nfs_volume_to_give() {
    let proposes = |volumes: &[Value]| {
        let denial = judge(volumes).create("vault", &wants(Some(NFS))).verdict.denial().unwrap();
        denial.message.contains(BLOCK)
    };
    assert!(proposes(&[nfs("")]));
    assert!(proposes(&[disk(BLOCK)]));
    assert!(!proposes(&[disk(BLOCK), nfs(BLOCK)]));
}

#[test]
fn without_the_volumes_only_the_class_can_tell() {
    let mut snapshot = crate::Snapshot::default();
    for kind in facts::Kind::ALL.into_iter().filter(|kind| *kind != facts::Kind::Volume) {
        snapshot.replace(kind, []);
    }
    for manifest in incident() {
        let object = object(&manifest).into_stored(&mut Strings::default());
        if object.kind() != facts::Kind::Volume {
            snapshot.insert(object);
        }
    }
    let judge = Judge { cluster: snapshot, ..Judge::incident() };
    for (class, effect, chain) in [
        (BLOCK, Effect::Warn, "claim data → unknown: persistentvolumes not read yet"),
        (
            NFS,
            Effect::Deny,
            "claim data → StorageClass nfs-proxmox → provisioner nfs.csi.k8s.io → NFS",
        ),
    ] {
        let outcome = judge.create("vault", &wants(Some(class)));
        assert_eq!(outcome.told(), (effect, vec![chain.to_owned()]));
        assert!(outcome.missed.not_synced.contains(&facts::Kind::Volume));
        assert_eq!(outcome.settled, effect == Effect::Deny);
    }
}
