//! Writes that are judged by everything in the cluster, and those who ask meanwhile.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use nfs_guard_policies::{
    Gate,
    facts::{Kind, WorkloadKind},
};
use serde_json::{Value, json};

use super::tests::{TIME, absent, reviewer_of};

/// So many that all of them take a hundred times as long as a thread to start.
const SETS: usize = 2_000;

fn set(n: usize) -> (Kind, Value) {
    let object = json!({
        "metadata": {"name": format!("db-{n}"), "namespace": "vault"},
        "spec": {
            "replicas": 1,
            "template": {"spec": {"volumes": []}},
            "volumeClaimTemplates": [
                {"metadata": {"name": "data"}, "spec": {"storageClassName": "nas"}},
            ],
        },
    });
    (Kind::Workload(WorkloadKind::StatefulSet), object)
}

fn class_created() -> Vec<u8> {
    json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
        "uid": "u",
        "kind": {"group": "storage.k8s.io", "version": "v1", "kind": "StorageClass"},
        "operation": "CREATE",
        "userInfo": {"username": "admin"},
        "object": {"metadata": {"name": "nas"}, "provisioner": "nfs.csi.k8s.io"},
    }})
    .to_string()
    .into_bytes()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn who_asks_meanwhile_does_not_wait_for_a_class_that_turns_many() {
    let sets: Vec<_> = (0..SETS).map(set).collect();
    let (reviewer, _) = reviewer_of(|_| Some(absent()), &sets);
    // On the only thread there is for tasks.
    let task = tokio::spawn(async move {
        let was_served = Arc::new(AtomicBool::default());
        let another = Arc::clone(&was_served);
        tokio::spawn(async move { another.store(true, Ordering::SeqCst) });
        let answer = reviewer.review(Gate::Validating, &class_created(), TIME).await.unwrap();
        (answer, was_served.load(Ordering::SeqCst))
    });
    let (answer, was_served) = task.await.unwrap();
    let response = serde_json::to_value(answer).unwrap()["response"].take();
    let warnings = response["warnings"].as_array().unwrap();
    assert_eq!(*warnings.last().unwrap(), "nfs-guard: and 1980 more like these", "{response}");
    assert!(was_served, "another waits until all sets are resolved");
}
