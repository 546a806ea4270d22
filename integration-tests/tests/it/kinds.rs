//! Every kind that runs pods, written by people and by controllers.

use std::time::Duration;

use nfs_guard_integration_tests::{
    Harness, Kubectl, Ran,
    wait::{Progress, wait_for},
};
use serde_json::{Value, json};

use crate::manifests::{CRITICAL, claim, every_kind, set};

fn dry_run(kubectl: &Kubectl, manifest: &Value) -> Ran {
    kubectl.feed(&["create", "--dry-run=server", "-f", "-"], &manifest.to_string())
}

#[test]
fn no_kind_runs_pods_on_nfs_where_critical() {
    let cluster = Harness::shared();
    let namespace = cluster.namespace("kinds", CRITICAL);
    let kubectl = namespace.kubectl();
    let nfs = json!({"name": "v", "nfs": {"server": "nas", "path": "/srv"}});
    let ephemeral = json!({"name": "v", "ephemeral": {"volumeClaimTemplate": {"spec": {
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": "nfs-proxmox",
        "resources": {"requests": {"storage": "1Gi"}},
    }}}});
    let csi = json!({"name": "v", "csi": {"driver": "nfs.csi.k8s.io",
        "volumeAttributes": {"server": "nas", "share": "/srv"}}});
    for (chain, volume) in [
        ("volume v → volume source nfs → NFS nas:/srv", &nfs),
        ("volume v → StorageClass nfs-proxmox → provisioner nfs.csi.k8s.io → NFS", &ephemeral),
        ("volume v → driver nfs.csi.k8s.io → NFS nas:/srv", &csi),
    ] {
        for manifest in every_kind(volume) {
            let kind = manifest["kind"].as_str().unwrap();
            let ran = dry_run(&kubectl, &manifest);
            let denied = format!("denied the request: critical-on-nfs: {kind} {namespace}/db");
            assert!(ran.stderr.contains(&denied), "{kind}: {ran}");
            assert!(ran.stderr.contains(chain), "{kind}: {ran}");
        }
    }
    for manifest in every_kind(&json!({"name": "v", "emptyDir": {}})) {
        let ran = dry_run(&kubectl, &manifest).expect_success();
        assert_eq!(ran.stderr, "", "{}", manifest["kind"]);
    }
}

#[test]
fn a_workload_of_before_keeps_its_pods_and_each_is_recorded() {
    let cluster = Harness::shared();
    let namespace = cluster.namespace("before", &[]);
    let kubectl = namespace.kubectl();
    let nfs = json!({"name": "v", "nfs": {"server": "nas", "path": "/srv"}});
    let kinds = every_kind(&nfs);
    let deployment = kinds.iter().find(|object| object["kind"] == "Deployment").unwrap();
    kubectl.apply(&deployment.to_string()).expect_success();
    kubectl.run(&["rollout", "status", "deployment/db", "--timeout=60s"]).expect_success();
    make_critical(&cluster, namespace.name());
    wait_for("the guard to know the label", Duration::from_secs(10), || {
        let ran = dry_run(&kubectl, deployment);
        let knows = ran.stderr.contains("denied the request");
        Ok(if knows { Progress::Done(()) } else { Progress::NotYet(ran.to_string()) })
    })
    .unwrap();

    kubectl.run(&["delete", "pod", "-l", "app=db"]).expect_success();
    kubectl.run(&["rollout", "status", "deployment/db", "--timeout=60s"]).expect_success();
    let record = cluster.guard().wait_for_audit("the new pod", |line| {
        line["namespace"] == namespace.name() && line["kind"] == "Pod"
    });
    assert_eq!(record["decision"], "warn", "{record}");
    assert_eq!(record["user"], "system:serviceaccount:kube-system:replicaset-controller");
    let message = record["findings"][0]["message"].as_str().unwrap();
    assert!(message.ends_with("(as in the spec of its owner)"), "{record}");
}

#[test]
fn a_claim_that_waits_under_a_sets_name_is_found() {
    let cluster = Harness::shared();
    let namespace = cluster.namespace("waiting", &[]);
    let kubectl = namespace.kubectl();
    kubectl.apply(&claim("data-db-2", Some("nfs-proxmox")).to_string()).expect_success();
    make_critical(&cluster, namespace.name());
    let sized = |replicas: u32, start: u32| {
        let mut set = set("db", Some("proxmox-lvm-encrypted"));
        set["spec"]["replicas"] = json!(replicas);
        set["spec"]["ordinals"] = json!({"start": start});
        set
    };
    let denied = "volumeClaimTemplate data → claim data-db-2 → ";
    wait_for("the guard to know label and claim", Duration::from_secs(10), || {
        let ran = dry_run(&kubectl, &sized(3, 0));
        let knows = ran.stderr.contains(denied);
        Ok(if knows { Progress::Done(()) } else { Progress::NotYet(ran.to_string()) })
    })
    .unwrap();
    assert!(dry_run(&kubectl, &sized(1, 2)).stderr.contains(denied), "it starts to count there");
    dry_run(&kubectl, &sized(2, 0)).expect_success();
}

fn make_critical(cluster: &Harness, namespace: &str) {
    let operator = cluster.kubectl(nfs_guard_integration_tests::User::Operator);
    let label = ["label", "namespace", namespace, "nfs-guard.io/critical=true"];
    operator.run(&label).expect_success();
}
