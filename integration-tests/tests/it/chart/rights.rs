//! What the chart grants, held against what the guard reads.

use std::collections::BTreeSet;

use jiff::Timestamp;
use nfs_guard::cluster::CACHED;
use nfs_guard_integration_tests::ControlPlane;
use nfs_guard_policies::{
    Change, Gate, Policy, Snapshot, Subject, decide,
    facts::{Kind, Object, WorkloadKind},
    rules::{RULES, Reads},
    text::{Reduce as _, Strings},
};
use serde_json::{Value, json};

use super::{RELEASE, render, text};
use crate::manifests::{claim, every_kind};

/// Where the guard writes its CA: rights of another kind, held by
/// [`super::grants_what_the_guard_needs_and_no_more`].
const CONFIGURATIONS: &str = "admissionregistration.k8s.io";

#[test]
fn what_the_caches_hold_and_what_is_scaled_may_be_read_and_nothing_else() {
    let control_plane = ControlPlane::shared();
    let _turn = control_plane.share();
    let namespace = control_plane.namespace("reading", &[]);
    let objects = render(&namespace, RELEASE, &[]);
    let role = objects.iter().find(|object| object["kind"] == "ClusterRole").unwrap();
    let mut granted = BTreeSet::new();
    for rule in role["rules"].as_array().unwrap() {
        for group in texts(&rule["apiGroups"]).filter(|group| group != CONFIGURATIONS) {
            assert_eq!(rule["resourceNames"], Value::Null, "a watch has no name: {rule}");
            for resource in texts(&rule["resources"]) {
                let verbs = texts(&rule["verbs"]);
                granted.extend(verbs.map(|verb| [group.clone(), resource.clone(), verb]));
            }
        }
    }
    let mut needed = BTreeSet::new();
    for kind in CACHED {
        let object = [kind.group(), kind.resource()].map(str::to_owned);
        needed.extend(["get", "list", "watch"].map(|verb| {
            let [group, resource] = object.clone();
            [group, resource, verb.to_owned()]
        }));
    }
    let reads = RULES.iter().flat_map(|rule| rule.reads(Gate::Validating));
    needed.extend(
        reads
            .filter(|reads| reads.scale)
            .map(|Reads { kind, .. }| [kind.group(), kind.resource(), "get"].map(str::to_owned)),
    );
    assert_eq!(granted, needed);
}

#[test]
fn what_is_looked_up_is_what_the_caches_hold() {
    let mut snapshot = Snapshot::complete();
    let mut bound = claim("bound", None);
    bound["metadata"]["namespace"] = json!("web");
    bound["spec"]["volumeName"] = json!("gone");
    let bound = Object::read(Kind::Claim, &bound).unwrap();
    snapshot.insert(bound.into_stored(&mut Strings::default()));
    let ephemeral = json!({"volumeClaimTemplate": {"spec": {"storageClassName": "gone"}}});
    let mut looked_up = BTreeSet::new();
    for volume in [
        json!({"name": "v", "nfs": {"server": "nas", "path": "/srv"}}),
        json!({"name": "v", "csi": {"driver": "gone.example.com"}}),
        json!({"name": "v", "iscsi": {}}),
        json!({"name": "v", "ephemeral": ephemeral}),
        json!({"name": "v", "persistentVolumeClaim": {"claimName": "gone"}}),
        json!({"name": "v", "persistentVolumeClaim": {"claimName": "bound"}}),
    ] {
        for mut manifest in every_kind(&volume) {
            manifest["metadata"]["ownerReferences"] = json!([
                {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "gone", "uid": "u", "controller": true},
            ]);
            manifest["metadata"]["labels"] = json!({"nfs-guard.io/critical": "true"});
            looked_up.extend(missed(&manifest, &snapshot));
            manifest["metadata"]["labels"] = Value::Null;
            looked_up.extend(missed(&manifest, &snapshot));
        }
    }
    let looked_up: Vec<_> = looked_up.into_iter().collect();
    let owner = Kind::Workload(WorkloadKind::StatefulSet);
    assert_eq!(looked_up, [owner, Kind::Claim, Kind::Volume, Kind::Class, Kind::Namespace]);
    assert!(looked_up.iter().all(|kind| CACHED.contains(kind)));
}

/// The kinds of object that have to be asked for to judge the creation of that one.
fn missed(manifest: &Value, snapshot: &Snapshot) -> BTreeSet<Kind> {
    let (version, kind) = (text(&manifest["apiVersion"]), text(&manifest["kind"]));
    let kind = Kind::of_manifest(&version, &kind).unwrap();
    let mut kinds = BTreeSet::new();
    for gate in [Gate::Mutating, Gate::Validating] {
        let subject = Subject {
            gate,
            change: Change::Create(Object::read(kind, manifest).unwrap()),
            namespace: "web".into(),
            user: "developer".into(),
        };
        let outcome = decide(&subject, snapshot, &Policy::default(), Timestamp::now());
        kinds.extend(outcome.missed.keys.into_iter().map(|key| key.kind));
    }
    kinds
}

fn texts(list: &Value) -> impl Iterator<Item = String> {
    list.as_array().unwrap().iter().map(text)
}
