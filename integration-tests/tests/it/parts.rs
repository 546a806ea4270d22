//! Writes to a part of an object, and to what lies beside all namespaces.

use std::time::Duration;

use jiff::Timestamp;
use nfs_guard_integration_tests::{
    Harness, Kubectl, User, http,
    wait::{Progress, wait_for},
};
use serde_json::{Value, json};

use crate::manifests::{CRITICAL, every_kind, set};

#[test]
fn a_scaling_is_judged_as_an_update_of_its_workload() {
    let cluster = Harness::shared();
    let namespace = cluster.namespace("scaling", CRITICAL);
    let kubectl = namespace.kubectl();
    kubectl.apply(&set("db", Some("proxmox-lvm-encrypted")).to_string()).expect_success();
    kubectl.run(&["scale", "statefulset/db", "--replicas=2"]).expect_success();
    let record = cluster.guard().wait_for_audit("the scaling", |line| {
        line["namespace"] == namespace.name()
            && line["operation"] == "UPDATE"
            && line["kind"] == "StatefulSet"
            && line["user"] == "developer"
    });
    assert_eq!(
        ["apiVersion", "name", "decision"].map(|field| record[field].as_str().unwrap()),
        ["apps/v1", "db", "allow"],
        "{record}"
    );
    assert!(record["critical"].is_string(), "the live set tells what the Scale does not: {record}");
}

#[test]
fn an_ephemeral_container_brings_no_volume() {
    let cluster = Harness::shared();
    let namespace = cluster.namespace("ephemeral", CRITICAL);
    // Nobody else may write that part of a pod.
    let kubectl = namespace.kubectl_as(User::Operator);
    let pod = every_kind(&json!({"name": "v", "emptyDir": {}})).remove(0);
    kubectl.create(&pod.to_string()).expect_success();
    let patch = |spec: Value| {
        let patch = json!({"spec": spec}).to_string();
        let part = ["--subresource=ephemeralcontainers", "--type=strategic", "--patch", &patch];
        kubectl.run(&[&["patch", "pod", "db"][..], &part].concat())
    };
    let volumes = |kubectl: &Kubectl| kubectl.get(&["pod", "db"])["spec"]["volumes"].clone();
    let before = volumes(&kubectl);
    let nfs = json!([{"name": "nfs", "nfs": {"server": "nas", "path": "/srv"}}]);
    let container =
        |mounts: &Value| json!([{"name": "debug", "image": "sh", "volumeMounts": mounts}]);

    // The API server takes nothing from such a write but the containers, so there is no
    // such volume to mount.
    let mounts = json!([{"name": "nfs", "mountPath": "/mnt"}]);
    let refused = patch(json!({"volumes": nfs, "ephemeralContainers": container(&mounts)}));
    assert_eq!(refused.code, 1, "{refused}");
    assert!(refused.stderr.contains("volumeMounts[0].name: Not found: \"nfs\""), "{refused}");
    assert_eq!(volumes(&kubectl), before);

    patch(json!({"volumes": nfs, "ephemeralContainers": container(&json!([]))})).expect_success();
    let spec = &kubectl.get(&["pod", "db"])["spec"];
    assert_eq!(spec["ephemeralContainers"][0]["name"], "debug", "{spec}");
    assert_eq!(spec["volumes"], before, "{spec}");
}

#[test]
fn the_deletion_of_a_class_reaches_the_guard() {
    let cluster = Harness::shared();
    let operator = cluster.kubectl(User::Operator);
    let class = json!({
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": "short-lived"},
        "provisioner": "example.com/none",
    });
    let counted =
        "nfs_guard_reviews_total{webhook=\"validating\",kind=\"StorageClass\",operation=\"DELETE\"";
    let deletions = || -> u64 {
        let (_, metrics) = http::get(&format!("{}/metrics", cluster.guard().admin_url()));
        let lines = metrics.lines().filter(|line| line.starts_with(counted));
        lines.map(|line| line.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap()).sum()
    };
    let before = deletions();
    operator.create(&class.to_string()).expect_success();
    operator.run(&["delete", "storageclass", "short-lived"]).expect_success();
    assert!(deletions() > before);
}

#[test]
fn what_was_there_before_the_installation_is_old() {
    let cluster = Harness::shared();
    let operator = cluster.kubectl(User::Operator);
    let configuration = operator.get(&["validatingwebhookconfiguration", "nfs-guard"]);
    let created = configuration["metadata"]["creationTimestamp"].as_str().unwrap();
    let created: Timestamp = created.parse().unwrap();
    let since = format!("nfs_guard_ratchet_since_timestamp_seconds {}\n", created.as_second());
    // Ready, it has been told; what it judges by follows at once.
    wait_for("the policy to have the time", Duration::from_secs(10), || {
        let (_, metrics) = http::get(&format!("{}/metrics", cluster.guard().admin_url()));
        Ok(if metrics.contains(&since) { Progress::Done(()) } else { Progress::NotYet(metrics) })
    })
    .unwrap();
}
