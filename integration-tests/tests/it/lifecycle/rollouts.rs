//! Replicas are replaced, and no write is lost or let through for it.

use std::collections::BTreeSet;

use nfs_guard_integration_tests::LiveCluster;
use serde_json::Value;

use super::load::{Load, Tally};
use crate::manifests::{CRITICAL, set};

const PER_SECOND: u32 = 200;

#[test]
fn a_rolling_restart_fails_no_write_and_leaves_none_unjudged() {
    let cluster = LiveCluster::installed();
    let tally = under_load(&cluster, || {
        let kubectl = cluster.kubectl();
        kubectl.run(&["rollout", "restart", "deployment/nfs-guard"]).expect_success();
        kubectl
            .run(&["rollout", "status", "deployment/nfs-guard", "--timeout=60s"])
            .expect_success();
    });
    tally.expect_all_judged("rolling restart of two replicas");
}

#[test]
fn an_upgrade_and_its_rollback_fail_no_write_and_leave_none_unjudged() {
    let cluster = LiveCluster::installed();
    let tally = under_load(&cluster, || {
        cluster.upgrade(&["--set", "image.tag=next"]).expect_success();
        assert_eq!(images(&cluster), ["nfs-guard:next"]);
        cluster.helm("rollback", &["--wait", "--timeout=60s"]).expect_success();
        assert_ne!(images(&cluster), ["nfs-guard:next"]);
    });
    tally.expect_all_judged("upgrade and rollback of two replicas");
}

#[test]
fn an_upgrade_that_cannot_start_takes_no_replica_away() {
    let cluster = LiveCluster::installed();
    let before = names(&cluster.replicas());
    let tally = under_load_of(&cluster, &[], || {
        let ran = cluster.upgrade(&["--set", "image.tag=missing", "--timeout=5s"]);
        assert!(!ran.succeeded(), "{ran}");
        let replicas = names(&cluster.replicas());
        assert_eq!(replicas.len(), 3, "one more was begun: {replicas:?}");
        let begun = replicas.iter().find(|name| !before.contains(name)).unwrap();
        let state = "jsonpath={.status.containerStatuses[0].state.waiting.reason}=ErrImagePull";
        cluster.kubectl().wait(&["--for", state, begun]);
        cluster.helm("rollback", &["--wait", "--timeout=60s"]).expect_success();
        cluster.kubectl().wait(&["--for=delete", begun]);
    });
    tally.expect_all_judged("an upgrade to an image that is not there, and its rollback");
    assert_eq!(names(&cluster.replicas()), before, "who judged before judges still");
}

#[test]
fn a_drained_node_fails_no_write_and_leaves_none_unjudged() {
    let cluster = LiveCluster::installed();
    let node = cluster.replicas()[0]["spec"]["nodeName"].as_str().unwrap().to_owned();
    let on_it: Vec<Value> = cluster
        .replicas()
        .into_iter()
        .filter(|pod| pod["spec"]["nodeName"] == node.as_str())
        .collect();
    let tally = under_load_of(&cluster, &names(&on_it), || {
        cluster.kubectl().run(&["drain", &node, "--timeout=60s"]).expect_success();
    });
    cluster.kubectl().run(&["uncordon", &node]).expect_success();
    tally.expect_all_judged("drain of a node with a replica");
    cluster.kubectl().wait(&["--for=condition=Available", "deployment/nfs-guard"]);
}

#[test]
fn a_changed_configuration_reaches_replicas_that_go_on_running() {
    let cluster = LiveCluster::installed();
    let before = names(&cluster.replicas());
    let vault = cluster.namespace("config", CRITICAL);
    let on_nfs = set("db", Some("nfs-proxmox")).to_string();
    let create = || vault.kubectl().feed(&["create", "--dry-run=server", "-f", "-"], &on_nfs);
    assert!(create().stderr.contains("denied the request"));

    let warn = r#"config={"rules": {"critical-on-nfs": {"mode": "warn"}}}"#;
    cluster.upgrade(&["--set-json", warn]).expect_success();
    cluster.wait_for_configuration();
    create().expect_success();
    assert_eq!(names(&cluster.replicas()), before);
}

/// Writes to a critical namespace while that happens, and until the replicas that
/// were there before are gone.
fn under_load(cluster: &LiveCluster, happens: impl FnOnce()) -> Tally {
    under_load_of(cluster, &names(&cluster.replicas()), happens)
}

fn under_load_of(cluster: &LiveCluster, until_gone: &[String], happens: impl FnOnce()) -> Tally {
    let vault = cluster.namespace("load", CRITICAL);
    let load = Load::start(cluster, vault.name(), PER_SECOND);
    happens();
    for pod in until_gone {
        cluster.kubectl().wait(&["--for=delete", pod]);
    }
    load.stop()
}

fn names(pods: &[Value]) -> Vec<String> {
    pods.iter().map(name).collect()
}

fn name(pod: &Value) -> String {
    format!("pod/{}", pod["metadata"]["name"].as_str().unwrap())
}

/// Those of the replicas that stay, each once.
fn images(cluster: &LiveCluster) -> Vec<String> {
    let stays = |pod: &&Value| pod["metadata"]["deletionTimestamp"].is_null();
    let replicas = cluster.replicas();
    let images = replicas.iter().filter(stays);
    let images = images.map(|pod| pod["spec"]["containers"][0]["image"].as_str().unwrap());
    images.map(str::to_owned).collect::<BTreeSet<_>>().into_iter().collect()
}
