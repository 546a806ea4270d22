//! Replicas are replaced, and no write is lost or let through for it.

use nfs_guard_integration_tests::LiveCluster;

use super::load::{Load, Tally};
use crate::manifests::CRITICAL;

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

/// Writes to a critical namespace while that happens, and until the replicas that
/// were there before are gone.
fn under_load(cluster: &LiveCluster, happens: impl FnOnce()) -> Tally {
    let vault = cluster.namespace("load", CRITICAL);
    let before: Vec<String> = cluster
        .replicas()
        .iter()
        .map(|pod| format!("pod/{}", pod["metadata"]["name"].as_str().unwrap()))
        .collect();
    let load = Load::start(cluster, vault.name(), PER_SECOND);
    happens();
    let before: Vec<&str> = before.iter().map(String::as_str).collect();
    cluster.kubectl().wait(&[&["--for=delete"], &before[..]].concat());
    load.stop()
}
