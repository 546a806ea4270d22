//! Scalings, which say nothing of their workload but its name.

use std::{sync::atomic::Ordering, time::Duration};

use nfs_guard_policies::{Gate, Policy};
use serde_json::{Value, json};

use super::tests::{TIME, absent, reviewer};
use crate::fault::Fault;

/// The scaling of that set from one replica to so many.
fn scaling(name: &str, replicas: u32) -> Vec<u8> {
    let scale = |replicas: u32| json!({"metadata": {"name": name}, "spec": {"replicas": replicas}});
    json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
        "uid": "u",
        "kind": {"group": "autoscaling", "version": "v1", "kind": "Scale"},
        "resource": {"group": "apps", "version": "v1", "resource": "statefulsets"},
        "subResource": "scale",
        "namespace": "vault",
        "operation": "UPDATE",
        "userInfo": {"username": "developer"},
        "object": scale(replicas),
        "oldObject": scale(1),
    }})
    .to_string()
    .into_bytes()
}

/// A set whose claims are of that class.
fn set(class: &str) -> Value {
    json!({
        "metadata": {"name": "db", "namespace": "vault"},
        "spec": {
            "replicas": 1,
            "template": {"spec": {"volumes": []}},
            "volumeClaimTemplates": [
                {"metadata": {"name": "data"}, "spec": {"storageClassName": class}},
            ],
        },
    })
}

fn on_nfs(path: &str) -> (u16, Value) {
    match path {
        "/apis/apps/v1/namespaces/vault/statefulsets/db" => (200, set("nas")),
        "/apis/storage.k8s.io/v1/storageclasses/nas" => {
            (200, json!({"metadata": {"name": "nas"}, "provisioner": "nfs.csi.k8s.io"}))
        }
        _ => absent(),
    }
}

#[tokio::test]
async fn the_workload_is_looked_up_and_judged_as_it_will_be() {
    let (reviewer, asked) = reviewer(|path| Some(on_nfs(path)));
    let answer = reviewer.review(Gate::Validating, &scaling("db", 5), TIME).await.unwrap();
    let response = serde_json::to_value(answer).unwrap()["response"].take();
    assert_eq!(response["auditAnnotations"]["decision"], "warn", "{response}");
    let findings = response["auditAnnotations"]["findings"].as_str().unwrap();
    assert!(findings.contains("volumeClaimTemplate data → StorageClass nas"), "{findings}");
    assert_eq!(asked.load(Ordering::Relaxed), 2, "the set and its class");
}

#[tokio::test]
async fn a_workload_that_is_gone_is_for_the_apiserver_to_refuse() {
    let (reviewer, asked) = reviewer(|_| Some(absent()));
    for round in 1..=2 {
        let answer = reviewer.review(Gate::Validating, &scaling("gone", 5), TIME).await.unwrap();
        let response = serde_json::to_value(answer).unwrap()["response"].take();
        assert_eq!(response["auditAnnotations"]["decision"], "unjudged", "{response}");
        assert_eq!(response["allowed"], true);
        assert_eq!(asked.load(Ordering::Relaxed), round, "it may have come to be meanwhile");
    }
}

#[tokio::test(start_paused = true)]
async fn a_workload_nobody_can_tell_of_is_a_fault() {
    let (broken, _) =
        reviewer(|_| Some((500, json!({"kind": "Status", "status": "Failure", "code": 500}))));
    let fault = broken.review(Gate::Validating, &scaling("db", 5), TIME).await.unwrap_err();
    assert!(matches!(&fault, Fault::LookUp { key, .. } if key.name == "db"), "{fault:?}");
    let (hanging, _) = reviewer(|_| None);
    let time = Duration::from_millis(800);
    let fault = hanging.review(Gate::Validating, &scaling("db", 5), time).await.unwrap_err();
    assert!(
        matches!(&fault, Fault::Deadline { keys, .. } if keys == "StatefulSet vault/db"),
        "{fault:?}"
    );
}

#[tokio::test]
async fn nothing_is_looked_up_where_nothing_is_judged() {
    let (reviewer, asked) = reviewer(|path| panic!("nobody should ask for {path}"));
    let excluded = json!({"excludedNamespaces": ["vau*"]});
    reviewer.adopt(Policy::new(serde_json::from_value(excluded).unwrap()));
    for gate in [Gate::Validating, Gate::Mutating] {
        let answer = reviewer.review(gate, &scaling("db", 5), TIME).await.unwrap();
        let response = serde_json::to_value(answer).unwrap()["response"].take();
        assert_eq!(response["auditAnnotations"]["decision"], "unjudged", "{response}");
    }
    assert_eq!(asked.load(Ordering::Relaxed), 0);
}
