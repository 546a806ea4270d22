//! The guard is away: failurePolicy decides, and nothing is forgotten.

use nfs_guard_integration_tests::{Harness, User};

use crate::manifests::{CRITICAL, claim, set};

#[test]
fn while_the_guard_is_stopped_its_failure_policy_decides() {
    let cluster = Harness::exclusive();
    let critical = cluster.namespace("outage", CRITICAL);
    let ordinary = cluster.namespace("outage-web", &[]);
    let block = claim("block", Some("proxmox-lvm-encrypted")).to_string();
    critical.kubectl().apply(&block).expect_success();
    let secret = || {
        let operator = cluster.kubectl(User::Operator).in_namespace("nfs-guard");
        operator.get(&["secret", "nfs-guard-tls"])["data"].clone()
    };
    let certificate = secret();

    let stopped = cluster.guard().stop().unwrap();
    assert_eq!(stopped.code, Some(0), "a guard that is told to stop ends well");

    let ran = critical.kubectl().apply(&set("db", Some("proxmox-lvm-encrypted")).to_string());
    assert!(
        ran.stderr.contains("failed calling webhook \"critical.validate.nfs-guard.io\""),
        "{ran}"
    );
    let ran = ordinary.kubectl().apply(&set("web", Some("nfs-proxmox")).to_string());
    ran.expect_success();
    let finalizers = r#"{"metadata": {"finalizers": null}}"#;
    critical.kubectl().run(&["patch", "pvc", "block", "-p", finalizers]).expect_success();
    critical.kubectl().run(&["delete", "pvc", "block"]).expect_success();

    cluster.guard().start().unwrap();
    let ran = critical.kubectl().apply(&set("db", Some("nfs-proxmox")).to_string());
    assert!(ran.stderr.contains("denied the request"), "{ran}");
    assert_eq!(secret(), certificate, "a restart keeps the CA the apiserver trusts");
}
