//! The control plane behaves as a cluster does, with no guard in the way.

use nfs_guard_integration_tests::{ControlPlane, TestNamespace, User};
use serde_json::Value;

#[test]
fn kubectl_reaches_a_server_of_the_pinned_version() {
    if std::env::var_os("KUBEBUILDER_ASSETS").is_some() {
        // Whoever brings their own control plane has chosen its version.
        return;
    }
    let control_plane = ControlPlane::shared();
    let _turn = control_plane.share();
    let ran = control_plane.kubectl(User::Developer).run(&["version"]).expect_success();
    assert!(ran.stdout.contains("Server Version: v1.37.2"), "{ran}");
}

#[test]
fn a_stateful_set_runs_on_block_volumes_made_for_the_node_of_its_pod() {
    let control_plane = ControlPlane::shared();
    let _turn = control_plane.share();
    let namespace = control_plane.namespace("block", &[]);
    let claims = claims_of_running_set(&namespace, "proxmox-lvm-encrypted");
    for claim in &claims {
        let annotations = &claim["metadata"]["annotations"];
        let node = annotations["volume.kubernetes.io/selected-node"].as_str().unwrap();
        assert!(node.starts_with("k8s-node"), "{node}");
    }
    let volume = volume_of(&namespace, &claims[0]);
    assert_eq!(volume["spec"]["csi"]["driver"], "csi.proxmox.sinextra.dev");
    assert_eq!(volume["spec"]["csi"]["fsType"], "ext4");
}

#[test]
fn a_stateful_set_runs_on_nfs_volumes_with_the_options_of_their_class() {
    let control_plane = ControlPlane::shared();
    let _turn = control_plane.share();
    let namespace = control_plane.namespace("nfs", &[]);
    let claims = claims_of_running_set(&namespace, "nfs-proxmox");
    let volume = volume_of(&namespace, &claims[0]);
    let spec = &volume["spec"];
    assert_eq!(spec["csi"]["driver"], "nfs.csi.k8s.io");
    assert_eq!(spec["csi"]["volumeAttributes"]["server"], "192.168.1.127");
    assert_eq!(spec["csi"]["volumeAttributes"]["share"], "/srv/nfs");
    assert_eq!(spec["mountOptions"].to_string(), r#"["soft","timeo=30","retrans=3","actimeo=5"]"#);
}

#[test]
fn a_volume_goes_with_its_claim_and_a_job_comes_to_its_end() {
    let control_plane = ControlPlane::shared();
    let _turn = control_plane.share();
    let namespace = control_plane.namespace("life", &[]);
    let kubectl = namespace.kubectl();
    kubectl.apply(CLAIM_AND_JOB).expect_success();
    kubectl.wait(&["--for=condition=Complete", "job/backup"]);
    kubectl.wait(&["--for=jsonpath={.status.phase}=Bound", "pvc/backup"]);
    let volume = kubectl.get(&["pvc", "backup"])["spec"]["volumeName"].clone();
    kubectl.run(&["delete", "job/backup", "pvc/backup"]).expect_success();
    let volume = format!("pv/{}", volume.as_str().unwrap());
    control_plane.kubectl(User::Operator).wait(&["--for=delete", &volume]);
}

#[test]
fn a_developer_makes_workloads_but_neither_volumes_nor_classes() {
    let control_plane = ControlPlane::shared();
    let _turn = control_plane.share();
    let can = |user, verb, kind| {
        let kubectl = control_plane.kubectl(user);
        kubectl.run(&["auth", "can-i", verb, kind]).stdout.trim().to_owned()
    };
    for (user, verb, kind, answer) in [
        (User::Developer, "create", "statefulsets.apps", "yes"),
        (User::Developer, "create", "persistentvolumeclaims", "yes"),
        (User::Developer, "create", "persistentvolumes", "no"),
        (User::Developer, "update", "namespaces", "no"),
        (User::Developer, "create", "storageclasses.storage.k8s.io", "no"),
        (User::Operator, "create", "persistentvolumes", "yes"),
        (User::Operator, "delete", "storageclasses.storage.k8s.io", "yes"),
    ] {
        assert_eq!(can(user, verb, kind), answer, "{user:?} {verb} {kind}");
    }
}

/// Rolls out a set of two and returns its claims, all bound.
fn claims_of_running_set(namespace: &TestNamespace, class: &str) -> Vec<Value> {
    let kubectl = namespace.kubectl();
    kubectl.apply(&STATEFUL_SET.replace("CLASS", class)).expect_success();
    kubectl.run(&["rollout", "status", "statefulset/db", "--timeout=60s"]).expect_success();
    let claims = kubectl.get(&["pvc"])["items"].as_array().unwrap().clone();
    let bound: Vec<_> = claims.iter().map(|claim| claim["status"]["phase"].as_str()).collect();
    assert_eq!(bound, [Some("Bound"); 2]);
    claims
}

fn volume_of(namespace: &TestNamespace, claim: &Value) -> Value {
    let volume = claim["spec"]["volumeName"].as_str().unwrap();
    namespace.kubectl_as(User::Operator).get(&["pv", volume])
}

const STATEFUL_SET: &str = r"
apiVersion: apps/v1
kind: StatefulSet
metadata:
  name: db
spec:
  replicas: 2
  serviceName: db
  selector: {matchLabels: {app: db}}
  template:
    metadata:
      labels: {app: db}
    spec:
      initContainers:
        - {name: prepare, image: db}
      containers:
        - name: db
          image: db
          volumeMounts: [{name: data, mountPath: /data}]
  volumeClaimTemplates:
    - metadata: {name: data}
      spec:
        accessModes: [ReadWriteOnce]
        storageClassName: CLASS
        resources: {requests: {storage: 1Gi}}
";

const CLAIM_AND_JOB: &str = r"
apiVersion: v1
kind: PersistentVolumeClaim
metadata:
  name: backup
spec:
  accessModes: [ReadWriteMany]
  storageClassName: nfs-proxmox
  resources: {requests: {storage: 1Gi}}
---
apiVersion: batch/v1
kind: Job
metadata:
  name: backup
spec:
  template:
    spec:
      restartPolicy: Never
      containers:
        - name: dump
          image: db
          volumeMounts: [{name: backup, mountPath: /backup}]
      volumes:
        - name: backup
          persistentVolumeClaim: {claimName: backup}
";
