//! A critical pod and its claim, made at the same instant through two replicas whose
//! caches know of neither: what admission misses then, and where it is found.

use std::sync::atomic::Ordering;

use nfs_guard_policies::{
    Change, Effect, Gate, Policy, Snapshot, Subject, decide,
    facts::{Kind, Object, WorkloadKind},
    text::{Reduce as _, Strings},
};
use serde_json::{Value, json};

use super::tests::{TIME, absent, reviewer_of};

const POD: Kind = Kind::Workload(WorkloadKind::Pod);

fn namespace() -> Value {
    json!({"metadata": {"name": "web"}})
}

fn class() -> Value {
    json!({"metadata": {"name": "nas"}, "provisioner": "nfs.csi.k8s.io"})
}

/// Critical by its own label, so that its claim is critical for its sake alone.
fn pod() -> Value {
    json!({
        "metadata": {"name": "db", "namespace": "web", "labels": {"nfs-guard.io/critical": "true"}},
        "spec": {"volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]},
    })
}

fn claim() -> Value {
    json!({"metadata": {"name": "data", "namespace": "web"}, "spec": {"storageClassName": "nas"}})
}

fn volume(claim_ref: &Value) -> Value {
    json!({"metadata": {"name": "share"}, "spec": {
        "storageClassName": "nas", "nfs": {"server": "nas", "path": "/x"}, "claimRef": claim_ref,
    }})
}

fn review(kind: &str, namespace: &str, operation: &str, object: &Value, old: &Value) -> Vec<u8> {
    json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
        "uid": "u",
        "kind": {"group": "", "version": "v1", "kind": kind},
        "namespace": namespace,
        "operation": operation,
        "userInfo": {"username": "developer"},
        "object": object,
        "oldObject": old,
    }})
    .to_string()
    .into_bytes()
}

/// What a replica says whose caches hold these objects, and whose apiserver has stored
/// nothing else.
async fn told(caches: &[(Kind, Value)], review: &[u8]) -> Value {
    let around = [&[(Kind::Namespace, namespace()), (Kind::Class, class())], caches].concat();
    let (reviewer, _) = reviewer_of(|_| Some(absent()), &around);
    let answer = reviewer.review(Gate::Validating, review, TIME).await.unwrap();
    serde_json::to_value(answer).unwrap()["response"].take()
}

#[tokio::test]
async fn a_pod_and_its_claim_at_once_are_missed_and_found_where_the_claim_is_bound() {
    let nothing = json!(null);
    let new_claim = review("PersistentVolumeClaim", "web", "CREATE", &claim(), &nothing);
    let new_pod = review("Pod", "web", "CREATE", &pod(), &nothing);

    // Neither replica knows of the other's object, and the apiserver has none of them yet.
    let first = told(&[], &new_claim).await;
    assert_eq!(first["allowed"], true, "nobody critical uses it, as far as anybody knows");
    assert_eq!(first["warnings"], nothing);
    let second = told(&[], &new_pod).await;
    assert_eq!(second["allowed"], true);
    let warning = second["warnings"][0].as_str().unwrap();
    assert!(warning.contains("claim data does not exist"), "{warning}");

    // The watches catch up; the claim is about to get its volume.
    let caught_up = [(POD, pod()), (Kind::Claim, claim())];
    let promised = volume(&json!({"namespace": "web", "name": "data", "uid": "u"}));
    let binding = review("PersistentVolume", "", "UPDATE", &promised, &volume(&nothing));
    let bound = told(&caught_up, &binding).await;
    assert_eq!(bound["allowed"], false, "{bound}");

    // Whichever comes a moment later is denied, as the other is known by then.
    let late_pod = told(&caught_up[1..], &new_pod).await;
    assert_eq!(late_pod["allowed"], false, "{late_pod}");
    let late_claim = told(&caught_up[..1], &new_claim).await;
    assert_eq!(late_claim["allowed"], false, "{late_claim}");
}

#[tokio::test]
async fn an_owner_that_was_made_anew_is_looked_up() {
    fn set(uid: &str, critical: &str) -> Value {
        let labels = json!({"nfs-guard.io/critical": critical});
        json!({"metadata": {"name": "db", "namespace": "web", "uid": uid, "labels": labels},
            "spec": {"replicas": 1, "template": {"spec": {"volumes": []}}}})
    }
    let owner = json!([{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "db",
        "uid": "new", "controller": true}]);
    let pod = json!({
        "metadata": {"name": "db-x", "namespace": "web", "ownerReferences": owner},
        "spec": {"volumes": [{"name": "data", "nfs": {"server": "nas", "path": "/x"}}]},
    });
    let caches = [
        (Kind::Namespace, namespace()),
        (Kind::Workload(WorkloadKind::ReplicaSet), set("old", "false")),
    ];
    let (reviewer, asked) = reviewer_of(
        |path| {
            assert_eq!(path, "/apis/apps/v1/namespaces/web/replicasets/db");
            Some((200, set("new", "true")))
        },
        &caches,
    );
    let new_pod = review("Pod", "web", "CREATE", &pod, &json!(null));
    let answer = reviewer.review(Gate::Validating, &new_pod, TIME).await.unwrap();
    let response = serde_json::to_value(answer).unwrap()["response"].take();
    assert_eq!(response["allowed"], false, "critical as its owner is: {response}");
    assert_eq!(asked.load(Ordering::Relaxed), 1);
}

#[test]
fn what_no_gate_saw_is_found_by_a_scan() {
    // A provisioner made the volume for the claim: no write of that may be denied.
    let mut bound = claim();
    bound["spec"]["volumeName"] = json!("share");
    let promised = volume(&json!({"namespace": "web", "name": "data"}));
    let mut cluster = Snapshot::complete();
    for (kind, object) in [
        (Kind::Namespace, namespace()),
        (Kind::Class, class()),
        (Kind::Claim, bound),
        (Kind::Volume, promised),
    ] {
        cluster.insert(Object::read(kind, &object).unwrap().into_stored(&mut Strings::default()));
    }
    let pod = pod();
    let change = Change::Standing(Object::read(POD, &pod).unwrap());
    let subject =
        Subject { gate: Gate::Inspection, change, namespace: "web".into(), user: "".into() };
    let now = jiff::Timestamp::UNIX_EPOCH;
    let verdict = decide(&subject, &cluster, &Policy::default(), now).verdict;
    assert_eq!(verdict.effect(), Effect::Deny, "{verdict:?}");
}
