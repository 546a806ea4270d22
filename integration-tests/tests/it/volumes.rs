//! How claims come to volumes, with the real binder and scheduler: which write is
//! denied, which only warned about, and what that leaves.

use std::time::Duration;

use nfs_guard_integration_tests::{
    Harness, Kubectl, TestNamespace, User,
    wait::{Progress, wait_for},
};
use serde_json::{Value, json};

use crate::manifests::{CRITICAL, claim, set, static_volume};

const BINDER: &str = "system:serviceaccount:kube-system:persistent-volume-binder";

fn class(name: &str, provisioner: &str, mode: &str) -> Value {
    json!({"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": name},
        "provisioner": provisioner, "volumeBindingMode": mode})
}

fn pod(name: &str, claim: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": {
        "containers": [{"name": "c", "image": "c"}],
        "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": claim}}],
    }})
}

fn unmark(cluster: &Harness, namespace: &TestNamespace<'_>) {
    let label = ["label", "namespace", namespace.name(), "nfs-guard.io/critical-"];
    cluster.kubectl(User::Operator).run(&label).expect_success();
}

/// Marks a namespace, and waits until the guard's watch has told it.
fn mark(cluster: &Harness, namespace: &TestNamespace<'_>) {
    let label = ["label", "namespace", namespace.name(), "nfs-guard.io/critical=true"];
    cluster.kubectl(User::Operator).run(&label).expect_success();
    let probe = set("probe", Some("nfs-proxmox")).to_string();
    wait_for("the guard to know the label", Duration::from_secs(10), || {
        let ran = namespace.kubectl().feed(&["create", "--dry-run=server", "-f", "-"], &probe);
        let seen = ran.stderr.contains("denied the request");
        Ok(if seen { Progress::Done(()) } else { Progress::NotYet(ran.to_string()) })
    })
    .unwrap();
}

/// The claim a volume is promised to, and the volume a claim names.
fn bound(operator: &Kubectl, volume: &str, kubectl: &Kubectl, claim: &str) -> [Value; 2] {
    let claim_ref = operator.get(&["pv", volume])["spec"]["claimRef"]["name"].clone();
    [claim_ref, kubectl.get(&["pvc", claim])["spec"]["volumeName"].clone()]
}

#[test]
fn the_scheduler_is_denied_the_promise_and_says_why_in_an_event() {
    let cluster = Harness::shared();
    let namespace = cluster.namespace("scheduled", CRITICAL);
    let (kubectl, operator) = (namespace.kubectl(), cluster.kubectl(User::Operator));
    let name = format!("waits-{}", namespace.name());
    let waits = class(&name, "kubernetes.io/no-provisioner", "WaitForFirstConsumer");
    operator.create(&waits.to_string()).expect_success();
    // While no volume is there nobody can say what it will be: warnings.
    kubectl.create(&claim("data", Some(&name)).to_string()).expect_success();
    kubectl.create(&pod("db", "data").to_string()).expect_success();

    let ran = operator.create(&static_volume(&name, &name).to_string()).expect_success();
    let turned = format!("turns PersistentVolumeClaim {}/data", namespace.name());
    assert!(ran.stderr.contains(&turned), "{ran}");
    let denied = wait_for("the scheduler's event", Duration::from_secs(40), || {
        let events = kubectl.get(&["events", "--field-selector=reason=FailedScheduling"]);
        let events = events["items"].as_array().cloned().unwrap_or_default();
        let texts = events.iter().filter_map(|event| event["message"].as_str());
        let ours = texts.clone().find(|text| text.contains("critical-on-nfs: PersistentVolume"));
        Ok(match ours {
            Some(text) => Progress::Done(text.to_owned()),
            None => Progress::NotYet(texts.collect::<Vec<_>>().join("\n")),
        })
    })
    .unwrap();
    assert!(denied.contains("would put a critical claim on NFS"), "{denied}");
    assert_eq!(bound(&operator, &name, &kubectl, "data"), [json!(null), json!(null)]);

    unmark(&cluster, &namespace);
    kubectl.wait(&["--for=jsonpath={.status.phase}=Bound", "pvc/data"]);
    kubectl.wait(&["--for=jsonpath={.status.phase}=Running", "pod/db"]);
    assert_eq!(bound(&operator, &name, &kubectl, "data"), [json!("data"), json!(name)]);
    operator.run(&["delete", "storageclass", &name]).expect_success();
}

#[test]
fn a_promise_by_hand_is_denied_and_can_be_taken_back() {
    let cluster = Harness::shared();
    let namespace = cluster.namespace("by-hand", CRITICAL);
    let operator = cluster.kubectl(User::Operator);
    let name = format!("by-hand-{}", namespace.name());
    operator.create(&static_volume(&name, &name).to_string()).expect_success();
    let promise = |claim_ref: Value| {
        let patch = json!({"spec": {"claimRef": claim_ref}}).to_string();
        operator.run(&["patch", "pv", &name, "--type=merge", "-p", &patch])
    };
    let to = |namespace: &str| json!({"namespace": namespace, "name": "data"});
    let denied = promise(to(namespace.name()));
    assert!(denied.stderr.contains("would put a critical claim on NFS"), "{denied}");
    promise(to("default")).expect_success();
    promise(json!(null)).expect_success();
}

#[test]
fn what_a_provisioner_made_is_bound_and_the_pod_is_denied() {
    let cluster = Harness::shared();
    let namespace = cluster.namespace("provisioned", CRITICAL);
    let (kubectl, operator) = (namespace.kubectl(), cluster.kubectl(User::Operator));
    let name = format!("provisioned-{}", namespace.name());
    // Of a class nobody knows: a warning, and a volume that some provisioner makes.
    kubectl.create(&claim("data", Some(&name)).to_string()).expect_success();
    let uid = kubectl.get(&["pvc", "data"])["metadata"]["uid"].clone();
    let mut volume = static_volume(&name, &name);
    volume["spec"]["claimRef"] = json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": namespace.name(), "name": "data", "uid": uid});
    let ran = operator.create(&volume.to_string()).expect_success();
    assert!(ran.stderr.contains("(made for its claim"), "{ran}");
    kubectl.wait(&["--for=jsonpath={.status.phase}=Bound", "pvc/data"]);
    assert_eq!(bound(&operator, &name, &kubectl, "data"), [json!("data"), json!(name)]);
    let record = cluster.guard().wait_for_audit("the binder's write", |line| {
        line["namespace"] == namespace.name() && line["user"] == BINDER
    });
    assert_eq!(record["decision"], "warn", "{record}");
    let denied = kubectl.create(&pod("db", "data").to_string());
    assert!(denied.stderr.contains("denied the request"), "{denied}");
}

#[test]
fn what_was_promised_is_bound_again_after_somebody_took_it_out() {
    let cluster = Harness::shared();
    let namespace = cluster.namespace("rebound", &[]);
    let (kubectl, operator) = (namespace.kubectl(), cluster.kubectl(User::Operator));
    let name = format!("rebound-{}", namespace.name());
    operator.create(&static_volume(&name, &name).to_string()).expect_success();
    kubectl.create(&claim("data", Some(&name)).to_string()).expect_success();
    kubectl.wait(&["--for=jsonpath={.status.phase}=Bound", "pvc/data"]);
    mark(&cluster, &namespace);
    let taken = r#"{"spec": {"claimRef": null}}"#;
    operator.run(&["patch", "pv", &name, "--type=merge", "-p", taken]).expect_success();
    let record = cluster.guard().wait_for_audit("the binder's repair", |line| {
        line["kind"] == "PersistentVolume" && line["name"] == *name && line["user"] == BINDER
    });
    assert_eq!(record["decision"], "warn", "{record}");
    let promised = "--for=jsonpath={.spec.claimRef.name}=data";
    operator.wait(&[promised, &format!("pv/{name}")]);
    assert_eq!(bound(&operator, &name, &kubectl, "data"), [json!("data"), json!(name)]);
}

#[test]
fn a_class_made_anew_warns_of_whom_it_turns_and_their_next_claims_are_recorded() {
    let cluster = Harness::shared();
    let namespace = cluster.namespace("anew", CRITICAL);
    let (kubectl, operator) = (namespace.kubectl(), cluster.kubectl(User::Operator));
    let name = format!("anew-{}", namespace.name());
    let of = |provisioner: &str| class(&name, provisioner, "Immediate").to_string();
    operator.create(&of("csi.proxmox.sinextra.dev")).expect_success();
    kubectl.apply(&set("db", Some(&name)).to_string()).expect_success();
    kubectl.wait(&["--for=create", "pvc/data-db-0"]);
    kubectl.wait(&["--for=jsonpath={.status.phase}=Bound", "pvc/data-db-0"]);

    operator.run(&["delete", "storageclass", &name]).expect_success();
    let ran = operator.create(&of("nfs.csi.k8s.io")).expect_success();
    let turned = format!("turns StatefulSet {}/db: volume data ends up on NFS", namespace.name());
    assert!(ran.stderr.contains(&turned), "{ran}");
    let ran = kubectl.run(&["scale", "statefulset/db", "--replicas=2"]).expect_success();
    assert!(ran.stderr.contains("(not new with this update)"), "{ran}");
    let record = cluster.guard().wait_for_audit("the next claim", |line| {
        line["namespace"] == namespace.name() && line["name"] == "data-db-1"
    });
    assert_eq!(record["decision"], "warn", "its set says so: {record}");
    let by_person = kubectl.create(&claim("mine", Some(&name)).to_string());
    assert!(by_person.stderr.contains("denied the request"), "{by_person}");
    kubectl.run(&["delete", "statefulset", "db"]).expect_success();
    operator.run(&["delete", "storageclass", &name]).expect_success();
}

#[test]
fn the_legacy_annotation_wins_over_the_field_and_no_class_is_none() {
    let cluster = Harness::shared();
    let namespace = cluster.namespace("legacy", CRITICAL);
    let kubectl = namespace.kubectl();
    let mut annotated = claim("annotated", Some("proxmox-lvm-encrypted"));
    annotated["metadata"]["annotations"] =
        json!({"volume.beta.kubernetes.io/storage-class": "nfs-proxmox"});
    let ran = kubectl.create(&annotated.to_string());
    assert!(ran.stderr.contains("claim annotated → StorageClass nfs-proxmox"), "{ran}");
    let ran = kubectl.create(&claim("classless", Some("")).to_string()).expect_success();
    assert!(ran.stderr.contains("bound to no volume yet"), "{ran}");
}

#[test]
fn a_namespace_raises_the_mode_by_a_label_whose_change_is_recorded() {
    let cluster = Harness::shared();
    let namespace = cluster.namespace("raised", CRITICAL);
    let operator = cluster.kubectl(User::Operator);
    let label = |value: &str| {
        let label = format!("nfs-guard.io/critical-on-nfs={value}");
        operator.run(&["label", "--overwrite", "namespace", namespace.name(), &label])
    };
    let ran = label("audit").expect_success();
    assert!(ran.stderr.contains("which changes nothing: a label can only raise it"), "{ran}");
    let record = cluster.guard().wait_for_audit("the label", |line| {
        line["kind"] == "Namespace"
            && line["name"] == namespace.name()
            && line["operation"] == "UPDATE"
    });
    assert_eq!(record["user"], "operator", "{record}");
    assert_eq!(record["decision"], "warn", "{record}");
    let denied = namespace.kubectl().create(&claim("data", Some("nfs-proxmox")).to_string());
    assert!(denied.stderr.contains("denied the request"), "never lowered: {denied}");
}
