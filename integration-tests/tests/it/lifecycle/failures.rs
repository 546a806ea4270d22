//! Replicas, nodes and the whole cluster fail, and come back.

use std::time::{Duration, Instant};

use nfs_guard_integration_tests::{LiveCluster, Relay, TestNamespace};
use serde_json::Value;

use super::load::Load;
use crate::manifests::{CRITICAL, set};

#[test]
fn a_killed_replica_fails_writes_until_endpoints_notice_and_lets_none_through() {
    let cluster = LiveCluster::installed();
    let vault = cluster.namespace("killed", CRITICAL);
    let load = Load::start(&cluster, vault.name(), 200);
    let started = Instant::now();
    let killed = cluster.replicas().swap_remove(0);
    cluster.kill(&killed);
    let (at, kill) = (started.elapsed(), Instant::now());
    let name = format!("pod/{}", killed["metadata"]["name"].as_str().unwrap());
    let again = restarts(&[killed])[0] + 1;
    let restarted = format!("jsonpath={{.status.containerStatuses[0].restartCount}}={again}");
    cluster.kubectl().wait(&["--for", &restarted, &name]);
    cluster.kubectl().wait(&["--for=condition=Ready", &name]);
    let ready = kill.elapsed();
    // Whoever is ready is reached that much later.
    std::thread::sleep(Relay::DELAY);
    let tally = load.stop();

    let last = tally.failed.last().map_or(Duration::ZERO, |(failed, _)| failed.saturating_sub(at));
    println!(
        "a replica killed, ready again after {:.1} s: {tally}; the last failure {:.1} s after the kill",
        ready.as_secs_f32(),
        last.as_secs_f32()
    );
    assert!(tally.unjudged.is_empty(), "{:?}", tally.unjudged.first());
    // As long as endpoints need to notice, and a busy machine a moment more.
    assert!(last < Relay::DELAY + Duration::from_secs(1), "{last:?}: {:?}", tally.failed.last());
}

#[test]
fn without_a_guard_objects_go_and_kube_system_and_the_guard_itself_come() {
    let cluster = LiveCluster::installed();
    let vault = cluster.namespace("dead", CRITICAL);
    running_set(&vault);
    let kubectl = cluster.kubectl();
    // Even where somebody has labelled what must never depend on the guard.
    let _labelled =
        [Labelled::critical(&cluster, "kube-system"), Labelled::critical(&cluster, "nfs-guard")];
    let pods = cluster.replicas();
    kubectl.run(&["scale", "deployment/nfs-guard", "--replicas=0"]).expect_success();
    for pod in &pods {
        kubectl
            .wait(&["--for=delete", &format!("pod/{}", pod["metadata"]["name"].as_str().unwrap())]);
    }

    let developer = vault.kubectl();
    let on_block = set("more", Some("proxmox-lvm-encrypted")).to_string();
    let ran = developer.feed(&["create", "-f", "-"], &on_block);
    assert!(ran.stderr.contains("failed calling webhook"), "the guard is still reached: {ran}");

    let finalizers = r#"{"metadata": {"finalizers": ["example.com/wait"]}}"#;
    let none = r#"{"metadata": {"finalizers": null}}"#;
    for patch in [finalizers, none, finalizers] {
        developer.run(&["patch", "pvc", "data-db-0", "-p", patch]).expect_success();
    }
    developer.run(&["delete", "statefulset/db", "--timeout=60s"]).expect_success();
    developer.wait(&["--for=delete", "pod/db-0"]);
    developer.run(&["delete", "pvc", "data-db-0", "--wait=false"]).expect_success();
    developer.run(&["patch", "pvc", "data-db-0", "-p", none]).expect_success();
    developer.wait(&["--for=delete", "pvc/data-db-0"]);

    let system = kubectl.in_namespace("kube-system");
    system.feed(&["create", "-f", "-"], &on_block).expect_success();
    system.run(&["delete", "statefulset/more"]).expect_success();

    kubectl.run(&["scale", "deployment/nfs-guard", "--replicas=2"]).expect_success();
    kubectl.run(&["rollout", "status", "deployment/nfs-guard", "--timeout=60s"]).expect_success();
    cluster.wait_until_reached();
}

#[test]
fn a_cluster_that_lost_power_starts_with_its_guard_dead_and_guards_again() {
    let mut cluster = LiveCluster::installed();
    {
        let vault = cluster.namespace("cold", CRITICAL);
        running_set(&vault);
    }
    let before = cluster.replicas();

    cluster.cut_power();
    let started = Instant::now();
    cluster.start().unwrap();
    let control_plane = started.elapsed();
    cluster.wait_until_reached();
    let guarded = started.elapsed();

    let after = cluster.replicas();
    assert_eq!(names(&after), names(&before), "the pods are those of before");
    let again: Vec<u64> = restarts(&before).iter().map(|count| count + 1).collect();
    assert_eq!(restarts(&after), again, "with other processes");
    println!(
        "cold start: control plane and nodes after {:.1} s, guarded again after {:.1} s",
        control_plane.as_secs_f32(),
        guarded.as_secs_f32()
    );
}

/// A set of one pod on block storage that runs, in a critical namespace.
fn running_set(namespace: &TestNamespace) {
    let mut db = set("db", Some("proxmox-lvm-encrypted"));
    db["spec"]["template"]["spec"]["nodeSelector"] = serde_json::json!({"type": "kwok"});
    let kubectl = namespace.kubectl();
    kubectl.apply(&db.to_string()).expect_success();
    kubectl.run(&["rollout", "status", "statefulset/db", "--timeout=60s"]).expect_success();
}

fn restarts(pods: &[Value]) -> Vec<u64> {
    let count = |pod: &Value| pod["status"]["containerStatuses"][0]["restartCount"].as_u64();
    pods.iter().map(|pod| count(pod).unwrap()).collect()
}

fn names(pods: &[Value]) -> Vec<Value> {
    pods.iter().map(|pod| pod["metadata"]["name"].clone()).collect()
}

/// A namespace that is labelled critical for a while.
struct Labelled<'a> {
    cluster: &'a LiveCluster,
    namespace: &'a str,
}

impl<'a> Labelled<'a> {
    fn critical(cluster: &'a LiveCluster, namespace: &'a str) -> Self {
        let label = ["label", "namespace", namespace, "nfs-guard.io/critical=true"];
        cluster.kubectl().run(&label).expect_success();
        Self { cluster, namespace }
    }
}

impl Drop for Labelled<'_> {
    fn drop(&mut self) {
        let label = ["label", "namespace", self.namespace, "nfs-guard.io/critical-"];
        let _ = self.cluster.kubectl().run(&label);
    }
}
