//! The webhook entries: which writes the API server sends, kind by kind, shown by a
//! guard that is not there.

use nfs_guard_integration_tests::{ControlPlane, Kubectl, User};
use serde_json::{Value, json};

use super::{RELEASE, Release, render, text, wait_for_webhook};
use crate::manifests::{CRITICAL, claim, every_kind};

#[test]
fn no_entry_reaches_the_namespaces_a_cluster_starts_from() {
    let control_plane = ControlPlane::shared();
    let _turn = control_plane.share();
    let namespace = control_plane.namespace("reach", &[]);
    let objects = render(&namespace, RELEASE, &[]);
    let entries: Vec<_> =
        objects.iter().filter_map(|object| object["webhooks"].as_array()).flatten().collect();
    assert_eq!(entries.len(), 3);
    for entry in entries {
        let excluded = json!({
            "key": "kubernetes.io/metadata.name",
            "operator": "NotIn",
            "values": ["kube-system", "kube-node-lease", namespace.name()],
        });
        let selector = entry["namespaceSelector"]["matchExpressions"].as_array().unwrap();
        assert!(selector.contains(&excluded), "{entry}");
        for rule in entry["rules"].as_array().unwrap() {
            assert_eq!(rule["scope"], "Namespaced", "{entry}");
            for operation in rule["operations"].as_array().unwrap() {
                assert!(["CREATE", "UPDATE"].contains(&operation.as_str().unwrap()), "{entry}");
            }
        }
    }
}

#[test]
fn of_every_kind_only_what_a_rule_reads_waits_for_the_guard() {
    let control_plane = ControlPlane::shared();
    let _turn = control_plane.reserve();
    let critical = control_plane.namespace("conditions", CRITICAL);
    let kubectl = critical.kubectl();
    let mut manifests = every_kind(&json!({"name": "v", "emptyDir": {}}));
    manifests.push(claim("db", Some("nfs-proxmox")));
    for manifest in &manifests {
        kubectl.create(&manifest.to_string()).expect_success();
    }
    kubectl.wait(&["--for=jsonpath={.status.phase}=Bound", "pvc/db"]);
    let release = Release::install(control_plane, "conditions-guard");
    wait_for_webhook(&critical, true);

    let kubelets = critical.kubectl_as(User::Kubelets);
    let admin = critical.kubectl_as(User::Admin);
    for manifest in &manifests {
        let kind = text(&manifest["kind"]);
        let object = format!("{}/db", kind.to_ascii_lowercase());
        let patch_as = |kubectl: &Kubectl, patch: &Value, more: &[&str]| {
            let patch = patch.to_string();
            let arguments = ["patch", &object, "--type=merge", "--patch", &patch];
            kubectl.run(&[&arguments, more].concat())
        };
        let patch = |patch: &Value, more: &[&str]| patch_as(&kubectl, patch, more);
        let label = ["label", &object, "tier=db"];
        for waiting in [
            kubectl.run(&label),
            kubectl.run(&["annotate", &object, "note=x"]),
            patch(&change(&kind), &["--dry-run=server"]),
        ] {
            assert!(waiting.stderr.contains("failed calling webhook"), "{kind}: {waiting}");
        }
        kubelets.run(&label).expect_success();
        let owner = json!({"apiVersion": "v1", "kind": "ConfigMap", "name": "o", "uid": "u"});
        patch(&json!({"metadata": {"ownerReferences": [owner]}}), &["--dry-run=server"])
            .expect_success();
        if kind == "Pod" {
            let status = json!({"status": {"message": "as a kubelet would say"}});
            patch_as(&admin, &status, &["--subresource=status"]).expect_success();
        }
        patch(&json!({"metadata": {"finalizers": ["example.com/hold"]}}), &[]).expect_success();
        kubectl.run(&["delete", &object, "--wait=false"]).expect_success();
        kubectl.run(&["annotate", &object, "note=going"]).expect_success();
        patch(&json!({"metadata": {"finalizers": null}}), &[]).expect_success();
    }
    drop(release);
}

/// A change of what that kind of object is meant to be, as far as it may be changed.
fn change(kind: &str) -> Value {
    match kind {
        "Pod" => json!({"spec": {"activeDeadlineSeconds": 3600}}),
        "DaemonSet" => json!({"spec": {"minReadySeconds": 1}}),
        "Job" | "CronJob" => json!({"spec": {"suspend": true}}),
        "PersistentVolumeClaim" => json!({"spec": {"volumeAttributesClassName": "fast"}}),
        _ => json!({"spec": {"replicas": 2}}),
    }
}
