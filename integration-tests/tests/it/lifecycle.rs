//! A release from its installation to its end, its pods really running.

mod failures;
mod load;
mod operations;
mod rollouts;
mod uninstall;

use nfs_guard_integration_tests::LiveCluster;

use crate::manifests::{CRITICAL, set};

#[test]
fn an_installed_release_has_two_replicas_that_judge() {
    let cluster = LiveCluster::installed();
    let replicas = cluster.replicas();
    let ready = replicas.iter().map(|pod| &pod["status"]["containerStatuses"][0]["ready"]);
    assert_eq!(ready.collect::<Vec<_>>(), [true, true]);

    let vault = cluster.namespace("vault", CRITICAL);
    let ran = vault.kubectl().apply(&set("db", Some("nfs-proxmox")).to_string());
    assert!(ran.stderr.contains("denied the request"), "{ran}");
}

#[test]
fn helm_test_asks_the_guard_from_a_pod_of_its_own_and_leaves_none() {
    let cluster = LiveCluster::installed();
    let ran = cluster.helm("test", &["--logs"]).expect_success();
    assert!(ran.stdout.contains("7 reviews over TLS, 0 with an unexpected answer"), "{ran}");
    let tests = cluster.kubectl().get(&["pods", "-l", "app.kubernetes.io/component=self-test"]);
    assert_eq!(tests["items"].as_array().map(Vec::len), Some(0), "{tests}");
}
