//! A release from its installation to its end, its pods really running.

use nfs_guard_integration_tests::LiveCluster;

use crate::manifests::{CRITICAL, set};

#[test]
fn an_installed_release_has_two_replicas_that_judge() {
    let cluster = LiveCluster::installed();
    let ready: Vec<_> = cluster
        .replicas()
        .iter()
        .map(|pod| pod["status"]["containerStatuses"][0]["ready"].clone())
        .collect();
    assert_eq!(ready, [true, true]);

    let vault = cluster.namespace("vault", CRITICAL);
    let ran = vault.kubectl().apply(&set("db", Some("nfs-proxmox")).to_string());
    assert!(ran.stderr.contains("denied the request"), "{ran}");
}
