use serde_json::{Value, json};

use super::*;
use crate::{
    facts::Object,
    testing,
    text::{Reduce, Strings},
};

mod choice;

/// What Kubernetes does with one claim, as a sentence.
struct Case {
    name: &'static str,
    claim: Value,
    volumes: Vec<Value>,
    expected: &'static [&'static str],
    certain: bool,
}

impl Case {
    fn check(&self, delay_binding: bool, n: u64) {
        let mut claim = testing::claim(&json!({
            "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "5Gi"}},
        }));
        merge(&mut claim, &self.claim);
        let Object::Claim(claim) = testing::object(&claim) else { panic!("not a claim") };
        let volumes: Vec<_> = self.volumes.iter().map(stored).collect();
        let is_template = claim.metadata.name == *"template";
        let wanted = Wanted {
            claim: &claim,
            namespace: "vault",
            name: (!is_template).then_some("data"),
            class: claim.spec.storage_class_name.as_deref().unwrap_or_default(),
            delay_binding,
        };
        // The choice is the same in whatever order the volumes come.
        for volumes in [volumes.iter().collect::<Vec<_>>(), volumes.iter().rev().collect()] {
            let Candidates { volumes, certain } = takes(&wanted, n, volumes);
            let mut names: Vec<&str> =
                volumes.iter().map(|volume| volume.metadata.name.as_str()).collect();
            names.sort_unstable();
            assert_eq!((&names[..], certain), (self.expected, self.certain), "{}", self.name);
        }
    }
}

fn case(
    name: &'static str,
    claim: Value,
    volumes: &[Value],
    expected: &'static [&'static str],
    certain: bool,
) -> Case {
    Case { name, claim, volumes: volumes.to_vec(), expected, certain }
}

/// Whether the volume is taken, in either binding mode.
fn check_one(name: &'static str, claim: &Value, volume: Value, fits: bool) {
    let expected: &[&str] = if fits { &["v"] } else { &[] };
    let case = case(name, claim.clone(), &[volume], expected, fits);
    case.check(false, 1);
    case.check(true, 1);
}

/// A volume of that size that one node can write to, but for what is said else.
fn volume(name: &str, size: &str, but: &Value) -> Value {
    let mut volume = json!({
        "apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name},
        "spec": {"accessModes": ["ReadWriteOnce"], "capacity": {"storage": size}},
        "status": {"phase": "Available"},
    });
    merge(&mut volume, but);
    volume
}

fn plain(name: &str, size: &str) -> Value {
    volume(name, size, &json!({}))
}

fn modes(name: &str, size: &str, modes: &[&str]) -> Value {
    volume(name, size, &json!({"spec": {"accessModes": modes}}))
}

fn promised(name: &str, size: &str, but: &Value) -> Value {
    let mut volume =
        volume(name, size, &json!({"spec": {"claimRef": {"namespace": "vault", "name": "data"}}}));
    merge(&mut volume, but);
    volume
}

/// A volume that only some nodes can mount.
fn local(name: &str, size: &str) -> Value {
    volume(name, size, &json!({"spec": {"nodeAffinity": {"required": {"nodeSelectorTerms": []}}}}))
}

fn merge(into: &mut Value, from: &Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from.clone(),
    }
}

fn stored(manifest: &Value) -> PersistentVolume<'static> {
    match testing::object(manifest).into_stored(&mut Strings::default()) {
        Object::Volume(volume) => volume,
        other => panic!("{other:?} is no volume"),
    }
}

const RWO: &str = "ReadWriteOnce";
const ROX: &str = "ReadOnlyMany";
const RWX: &str = "ReadWriteMany";

#[test]
fn nothing_is_certain_that_rests_on_a_volume_nobody_has_looked_at_yet() {
    let unseen = |name, size, phase: Value| volume(name, size, &json!({"status": phase}));
    let pending = json!({"phase": "Pending"});
    let large = || volume("large", "20Gi", &json!({}));
    for (name, volumes, expected, certain) in [
        ("in a manifest", vec![unseen("v", "5Gi", json!(null))], &["v"][..], false),
        ("new", vec![unseen("v", "5Gi", pending.clone())], &["v"], false),
        (
            "new, and smaller than one that is ready",
            vec![unseen("v", "5Gi", pending.clone()), large()],
            &["large", "v"],
            true,
        ),
        (
            "new, and larger than one that is ready",
            vec![unseen("v", "50Gi", pending), large()],
            &["large"],
            true,
        ),
    ] {
        let case = case(name, json!({}), &volumes, expected, certain);
        case.check(false, 1);
        case.check(true, 1);
    }
}

#[test]
fn what_a_volume_must_have_whoever_chooses() {
    for (name, but, fits) in [
        ("as large as asked", json!({}), true),
        ("a byte too small", json!({"spec": {"capacity": {"storage": "5368709119"}}}), false),
        ("of no size", json!({"spec": {"capacity": null}}), false),
        ("without the access mode", json!({"spec": {"accessModes": [ROX, RWX]}}), false),
        ("with more access modes", json!({"spec": {"accessModes": [ROX, RWX, RWO]}}), true),
        ("a raw device", json!({"spec": {"volumeMode": "Block"}}), false),
        ("a filesystem, as it says", json!({"spec": {"volumeMode": "Filesystem"}}), true),
        ("with attributes", json!({"spec": {"volumeAttributesClassName": "gold"}}), false),
        ("with attributes of no name", json!({"spec": {"volumeAttributesClassName": ""}}), true),
        (
            "on its way out",
            json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}}),
            false,
        ),
        ("another's", json!({"spec": {"claimRef": {"namespace": "web", "name": "data"}}}), false),
        ("nobody's, but claimed", json!({"spec": {"claimRef": {}}}), false),
        ("of another class", json!({"spec": {"storageClassName": "nfs"}}), false),
        (
            "of another class by its annotation",
            json!({"metadata": {"annotations": {"volume.beta.kubernetes.io/storage-class": "nfs"}}}),
            false,
        ),
        ("released", json!({"status": {"phase": "Released"}}), false),
        ("in a phase nobody knows", json!({"status": {"phase": "Lent"}}), false),
    ] {
        check_one(name, &json!({}), volume("v", "5Gi", &but), fits);
    }
}

#[test]
fn what_else_a_claim_may_ask_for() {
    for (name, spec, but, fits) in [
        ("no size", json!({"resources": null}), json!({"spec": {"capacity": null}}), true),
        ("no access mode", json!({"accessModes": null}), json!({}), true),
        (
            "a device",
            json!({"volumeMode": "Block"}),
            json!({"spec": {"volumeMode": "Block"}}),
            true,
        ),
        ("a device, not a filesystem", json!({"volumeMode": "Block"}), json!({}), false),
        (
            "attributes",
            json!({"volumeAttributesClassName": "gold"}),
            json!({"spec": {"volumeAttributesClassName": "gold"}}),
            true,
        ),
        ("attributes it lacks", json!({"volumeAttributesClassName": "gold"}), json!({}), false),
        (
            "a class",
            json!({"storageClassName": "nfs"}),
            json!({"spec": {"storageClassName": "nfs"}}),
            true,
        ),
        ("a class it lacks", json!({"storageClassName": "nfs"}), json!({}), false),
        (
            "a label",
            json!({"selector": {"matchLabels": {"disk": "fast"}}}),
            json!({"metadata": {"labels": {"disk": "fast"}}}),
            true,
        ),
        (
            "a label it lacks",
            json!({"selector": {"matchLabels": {"disk": "fast"}}}),
            json!({}),
            false,
        ),
        ("any labels", json!({"selector": {}}), json!({}), true),
    ] {
        check_one(name, &json!({"spec": spec}), volume("v", "5Gi", &but), fits);
    }
}

#[test]
fn what_a_promised_volume_need_not_have() {
    for (name, but, fits) in [
        ("the class", json!({"spec": {"storageClassName": "nfs"}}), true),
        ("the phase", json!({"status": {"phase": "Bound"}}), true),
        ("the labels", json!({"metadata": {"labels": {"disk": "slow"}}}), true),
        ("the uid of a claim that has none yet", json!({"spec": {"claimRef": {"uid": ""}}}), true),
        ("but the size", json!({"spec": {"capacity": {"storage": "4Gi"}}}), false),
        ("but the mode", json!({"spec": {"volumeMode": "Block"}}), false),
        ("but the attributes", json!({"spec": {"volumeAttributesClassName": "gold"}}), false),
        ("but a future", json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}}), false),
        ("but the uid, where there is one", json!({"spec": {"claimRef": {"uid": "old"}}}), false),
    ] {
        let claim = json!({"spec": {"selector": {"matchLabels": {"disk": "fast"}}}});
        check_one(name, &claim, promised("v", "5Gi", &but), fits);
    }
}

#[test]
fn the_default_class_is_the_newest() {
    let class = |name: &str, created: Option<&str>, default: bool| {
        let mut class = testing::class(name, "nfs.csi.k8s.io", default);
        class["metadata"]["creationTimestamp"] = json!(created);
        class
    };
    let (old, new) = (Some("2024-01-01T00:00:00Z"), Some("2026-01-01T00:00:00Z"));
    for (classes, expected) in [
        (vec![], None),
        (vec![class("a", new, false)], None),
        (vec![class("a", old, true), class("b", new, true), class("c", new, false)], Some("b")),
        (vec![class("b", new, true), class("a", new, true)], Some("a")),
        (vec![class("b", None, true), class("c", old, true)], Some("c")),
    ] {
        let classes: Vec<StorageClass<'_>> = classes
            .iter()
            .map(|class| match testing::object(class) {
                Object::Class(class) => class,
                other => panic!("{other:?} is no class"),
            })
            .collect();
        let found = default_class(&classes).map(|class| class.metadata.name.as_str());
        assert_eq!(found, expected);
    }
}
