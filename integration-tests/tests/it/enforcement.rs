//! What users and controllers of a real cluster can write, with the guard in
//! the way.

use std::{fs, time::Duration};

use nfs_guard_integration_tests::{
    Harness, Kubectl, Ran, User, http,
    wait::{Progress, wait_for},
};
use serde_json::{Value, json};

use crate::manifests::{CRITICAL, VAULT_ON_NFS, claim, set, static_volume};

const DENIED: &str = "denied the request: critical-on-nfs: ";
const NFS_CHAIN: &str =
    "StorageClass nfs-proxmox → provisioner nfs.csi.k8s.io → NFS 192.168.1.127:/srv/nfs";

#[test]
fn the_readme_shows_what_kubectl_prints_for_the_incidents_vault() {
    let cluster = Harness::shared();
    let operator = cluster.kubectl(User::Operator);
    let namespace = json!({
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": "vault", "labels": {"nfs-guard.io/critical": "true"}},
    });
    operator.create(&namespace.to_string()).expect_success();
    let ran =
        cluster.kubectl(User::Developer).run_on_file(&["apply"], "vault-on-nfs.yaml", VAULT_ON_NFS);

    let readme = concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md");
    let readme = fs::read_to_string(readme).unwrap();
    let (_, after) = readme.split_once("<!-- denial -->").unwrap();
    let (block, _) = after.split_once("<!-- /denial -->").unwrap();
    let shown = block.trim().trim_start_matches("```text\n").trim_end_matches("```");
    let printed = format!("$ kubectl apply -f vault-on-nfs.yaml\n{}", ran.stderr);
    assert_eq!(shown, printed, "the README shows something else than kubectl prints");
    assert_eq!(ran.code, 1);
    operator.run(&["delete", "namespace", "vault", "--wait=false"]).expect_success();
}

#[test]
fn every_way_to_write_a_set_on_nfs_is_denied_and_recorded() {
    let cluster = Harness::shared();
    let namespace = cluster.namespace("verbs", CRITICAL);
    let kubectl = namespace.kubectl();
    let manifest = |name| set(name, Some("nfs-proxmox")).to_string();
    for (name, dry_run, ran) in [
        ("apply", false, kubectl.apply(&manifest("apply"))),
        ("create", false, kubectl.create(&manifest("create"))),
        ("server-side", false, kubectl.apply_server_side(&manifest("server-side"))),
        (
            "dry-run",
            true,
            kubectl.feed(&["apply", "--dry-run=server", "-f", "-"], &manifest("dry-run")),
        ),
    ] {
        assert_denied(&ran, &format!("volumeClaimTemplate data → {NFS_CHAIN}"));
        let record = cluster.guard().wait_for_audit(name, |line| {
            line["namespace"] == namespace.name() && line["name"] == name
        });
        assert_eq!(record["decision"], "deny", "{record}");
        assert_eq!(record["dryRun"], dry_run, "{record}");
        assert_eq!(record["user"], "developer", "{record}");
        assert_eq!(record["findings"][0]["backing"], "nfs", "{record}");
    }
    assert_eq!(kubectl.get(&["statefulsets"])["items"], json!([]));
}

#[test]
fn a_critical_set_on_block_storage_runs() {
    let cluster = Harness::shared();
    let namespace = cluster.namespace("block", CRITICAL);
    let kubectl = namespace.kubectl();
    let ran = kubectl.apply(&set("db", Some("proxmox-lvm-encrypted")).to_string());
    assert_eq!(ran.expect_success().stderr, "");
    kubectl.run(&["rollout", "status", "statefulset/db", "--timeout=60s"]).expect_success();
    kubectl.wait(&["--for=jsonpath={.status.phase}=Bound", "pvc/data-db-0"]);
}

#[test]
fn what_is_not_critical_is_none_of_its_business() {
    let cluster = Harness::shared();
    let namespace = cluster.namespace("web", &[]);
    let kubectl = namespace.kubectl();
    let ran = kubectl.apply(&set("web", Some("nfs-proxmox")).to_string()).expect_success();
    assert_eq!(ran.stderr, "");
    kubectl.run(&["rollout", "status", "statefulset/web", "--timeout=60s"]).expect_success();
    // The log is in order: once a later record is there, nothing earlier comes.
    let critical = cluster.namespace("later", CRITICAL);
    assert_denied(&critical.kubectl().apply(&set("db", Some("nfs-proxmox")).to_string()), "db");
    let of_later = |line: &Value| line["namespace"] == critical.name();
    let _ = cluster.guard().wait_for_audit("the later set", of_later);
    let audit = cluster.guard().audit();
    assert!(audit.iter().all(|line| line["namespace"] != namespace.name()), "{audit:?}");
}

#[test]
fn a_label_makes_a_set_critical_wherever_it_is() {
    let cluster = Harness::shared();
    let namespace = cluster.namespace("labels", &[]);
    let labels = json!({"nfs-guard.io/critical": "true"});
    let mut on_object = set("object", Some("nfs-proxmox"));
    on_object["metadata"]["labels"] = labels.clone();
    let mut on_template = set("template", Some("nfs-proxmox"));
    on_template["spec"]["template"]["metadata"]["labels"]["nfs-guard.io/critical"] = json!("true");
    let kubectl = namespace.kubectl();
    assert_denied(&kubectl.apply(&on_object.to_string()), "because it has the label");
    assert_denied(&kubectl.apply(&on_template.to_string()), "because its pods have the label");
}

#[test]
fn a_claim_is_judged_by_its_class_or_its_volume() {
    let cluster = Harness::shared();
    let namespace = cluster.namespace("claims", CRITICAL);
    let kubectl = namespace.kubectl();
    let volume = volume_of_namespace(&cluster, namespace.name());

    let ran = kubectl.apply(&claim("by-class", Some("nfs-proxmox")).to_string());
    assert_denied(&ran, &format!("claim by-class → {NFS_CHAIN}"));

    let mut by_name = claim("by-name", Some("nfs-truenas"));
    by_name["spec"]["volumeName"] = json!(volume);
    let chain = format!(
        "PersistentVolume {volume} → driver nfs.csi.k8s.io → NFS 192.168.1.127:/srv/nfs/{volume}"
    );
    assert_denied(&kubectl.apply(&by_name.to_string()), &format!("claim by-name → {chain}"));

    let ran = kubectl.apply(&claim("nowhere", Some("fast-ssd")).to_string()).expect_success();
    let warning = "Warning: critical-on-nfs: volume nowhere: backing unknown: StorageClass fast-ssd does not exist";
    assert_eq!(ran.stderr.trim(), warning);

    let ran = kubectl.apply(&claim("block", Some("proxmox-lvm-encrypted")).to_string());
    assert_eq!(ran.expect_success().stderr, "");
}

#[test]
fn a_person_cannot_point_a_claim_at_an_nfs_volume_later() {
    let cluster = Harness::shared();
    let namespace = cluster.namespace("patch", CRITICAL);
    let kubectl = namespace.kubectl();
    let volume = volume_of_namespace(&cluster, namespace.name());
    kubectl.apply(&claim("data", Some("fast-ssd")).to_string()).expect_success();
    let patch = json!({"spec": {"volumeName": volume}}).to_string();
    let ran = kubectl.run(&["patch", "pvc", "data", "-p", &patch]);
    assert_denied(&ran, &format!("PersistentVolume {volume}"));
    assert_eq!(kubectl.get(&["pvc", "data"])["spec"]["volumeName"], json!(null));
}

#[test]
fn a_volume_is_not_promised_to_a_critical_claim_and_binds_once_it_may() {
    let cluster = Harness::shared();
    let namespace = cluster.namespace("binding", CRITICAL);
    let kubectl = namespace.kubectl();
    let operator = cluster.kubectl(User::Operator);
    // Nobody makes volumes of this class; the one that fits appears later.
    let class = format!("static-{}", namespace.name());
    kubectl.apply(&claim("data", Some(&class)).to_string()).expect_success();
    let name = format!("volume-{}", namespace.name());
    let ran = operator.apply(&static_volume(&name, &class).to_string()).expect_success();
    let turned = format!("turns PersistentVolumeClaim {}/data", namespace.name());
    assert!(ran.stderr.contains(&turned), "{ran}");
    let record = cluster.guard().wait_for_audit("the promise", |line| {
        line["kind"] == "PersistentVolume" && line["name"] == *name && line["operation"] == "UPDATE"
    });
    assert_eq!(record["user"], "system:serviceaccount:kube-system:persistent-volume-binder");
    assert_eq!(record["decision"], "deny", "{record}");
    assert_eq!(operator.get(&["pv", &name])["spec"]["claimRef"], json!(null));
    assert_eq!(kubectl.get(&["pvc", "data"])["spec"]["volumeName"], json!(null));

    let label = &["label", "namespace", namespace.name(), "nfs-guard.io/critical-"];
    operator.run(label).expect_success();
    kubectl.wait(&["--for=jsonpath={.status.phase}=Bound", "pvc/data"]);
    assert_eq!(operator.get(&["pv", &name])["spec"]["claimRef"]["name"], "data");
}

#[test]
fn a_set_that_was_there_first_can_be_changed_but_not_made_worse() {
    let cluster = Harness::shared();
    let namespace = cluster.namespace("ratchet", &[]);
    let kubectl = namespace.kubectl();
    let mut manifest = set("db", Some("nfs-proxmox"));
    kubectl.apply(&manifest.to_string()).expect_success();
    let label = &["label", "namespace", namespace.name(), "nfs-guard.io/critical=true"];
    cluster.kubectl(User::Operator).run(label).expect_success();
    wait_until_critical(&kubectl);

    let template = &mut manifest["spec"]["template"];
    template["spec"]["containers"][0]["image"] = json!("db:2");
    let ran = kubectl.apply(&manifest.to_string()).expect_success();
    assert!(ran.stderr.contains("(not new with this update)"), "{ran}");

    let logs =
        json!([{"name": "logs", "nfs": {"server": "192.168.1.127", "path": "/srv/nfs/logs"}}]);
    manifest["spec"]["template"]["spec"]["volumes"] = logs;
    assert_denied(
        &kubectl.apply(&manifest.to_string()),
        "volume logs → volume source nfs → NFS 192.168.1.127:/srv/nfs/logs",
    );
    let chain = format!("volumeClaimTemplate data → {NFS_CHAIN}");
    let ran = kubectl.apply(&manifest.to_string());
    assert!(!ran.stderr.contains(&chain), "what was there before is no reason to deny: {ran}");
}

#[test]
fn a_class_made_a_moment_ago_is_known() {
    let cluster = Harness::shared();
    let namespace = cluster.namespace("fresh", CRITICAL);
    let operator = namespace.kubectl_as(User::Operator);
    for attempt in 0..5 {
        let class = format!("fresh-{attempt}-{}", namespace.name());
        let both = json!({"apiVersion": "v1", "kind": "List", "items": [
            {"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": class}, "provisioner": "nfs.csi.k8s.io"},
            claim("data", Some(&class)),
        ]});
        let ran = operator.create(&both.to_string());
        assert_denied(&ran, &format!("StorageClass {class} → provisioner nfs.csi.k8s.io → NFS"));
    }
}

#[test]
fn without_a_class_the_default_decides() {
    // The default class is everybody's.
    let cluster = Harness::exclusive();
    let namespace = cluster.namespace("default-class", CRITICAL);
    let kubectl = namespace.kubectl();
    let operator = cluster.kubectl(User::Operator);
    let annotate = |value: &str| {
        let annotation = format!("storageclass.kubernetes.io/is-default-class{value}");
        operator.run(&["annotate", "storageclass", "nfs-proxmox", &annotation]).expect_success();
    };
    // Admitted while nothing says what it will be: a warning.
    let ran = kubectl.apply(&claim("early", None).to_string()).expect_success();
    assert!(ran.stderr.contains("no class named and the cluster has no default"), "{ran}");
    annotate("=true");
    // The controller gives the early claim the class that is the default now, at
    // its next sync. Where that is denied the claim goes on waiting.
    let record = cluster.guard().wait_for_audit("the late class", |line| {
        line["namespace"] == namespace.name()
            && line["name"] == "early"
            && line["operation"] == "UPDATE"
    });
    // The apiserver fills in the class of a claim, and leaves a template alone.
    let set = kubectl.apply(&set("db", None).to_string());
    let claim = kubectl.apply(&claim("data", None).to_string());
    annotate("-");
    assert_eq!(record["decision"], "deny", "{record}");
    assert_eq!(record["user"], "system:serviceaccount:kube-system:persistent-volume-binder");
    let early = kubectl.get(&["pvc", "early"]);
    assert_eq!(early["spec"]["storageClassName"], json!(null), "{early}");
    assert_denied(
        &set,
        "volumeClaimTemplate data → StorageClass nfs-proxmox (cluster default) → provisioner",
    );
    assert_denied(&claim, "claim data → StorageClass nfs-proxmox");
}

#[test]
fn the_guard_tells_what_it_did() {
    let cluster = Harness::shared();
    let namespace = cluster.namespace("metrics", CRITICAL);
    let ran = namespace.kubectl().apply(&set("db", Some("nfs-proxmox")).to_string());
    assert_denied(&ran, "StatefulSet");
    let admin = cluster.guard().admin_url();
    let (status, ready) = http::get(&format!("{admin}/readyz"));
    assert_eq!(status, 200, "{ready}");
    assert!(ready.contains("[+] caches synced"), "{ready}");
    let (_, metrics) = http::get(&format!("{admin}/metrics"));
    let reviews = "nfs_guard_reviews_total{webhook=\"validating\",kind=\"StatefulSet\",operation=\"CREATE\",decision=\"deny\"}";
    assert!(metrics.contains(reviews), "{metrics}");
    assert!(!metrics.contains(namespace.name()), "no name of an object is a label: {metrics}");
}

#[test]
fn the_apiserver_was_told_which_ca_to_trust() {
    let cluster = Harness::shared();
    let operator = cluster.kubectl(User::Operator);
    let secret = operator.in_namespace("nfs-guard").get(&["secret", "nfs-guard-tls"]);
    // Helm made it, empty.
    assert_eq!(secret["type"], "Opaque");
    for (kind, names) in CONFIGURATIONS {
        let entries = entries(&operator, kind);
        let found: Vec<_> = entries.iter().map(|entry| entry["name"].as_str().unwrap()).collect();
        assert_eq!(found, *names);
        for entry in entries {
            let ca_bundle = &entry["clientConfig"]["caBundle"];
            assert_eq!(ca_bundle, &secret["data"]["ca.crt"], "{}", entry["name"]);
        }
    }
}

/// The chart's webhook configurations: their kind, and the names of their entries.
const CONFIGURATIONS: [(&str, &[&str]); 2] = [
    (
        "validatingwebhookconfiguration",
        &[
            "critical.validate.nfs-guard.io",
            "validate.nfs-guard.io",
            "cluster.validate.nfs-guard.io",
        ],
    ),
    ("mutatingwebhookconfiguration", &["mutate.nfs-guard.io"]),
];

fn entries(operator: &Kubectl, kind: &str) -> Vec<Value> {
    operator.get(&[kind, "nfs-guard"])["webhooks"].as_array().unwrap().clone()
}

/// Waits until the guard's watch has told it of a namespace's new label.
fn wait_until_critical(kubectl: &Kubectl) {
    let probe = set("probe", Some("nfs-proxmox")).to_string();
    wait_for("the guard to know the label", Duration::from_secs(10), || {
        let ran = kubectl.feed(&["create", "--dry-run=server", "-f", "-"], &probe);
        let seen = ran.stderr.contains(DENIED);
        Ok(if seen { Progress::Done(()) } else { Progress::NotYet(ran.to_string()) })
    })
    .unwrap();
}

/// A static NFS volume for that namespace's test alone.
fn volume_of_namespace(cluster: &Harness, namespace: &str) -> String {
    let name = format!("static-{namespace}");
    let operator: Kubectl = cluster.kubectl(User::Operator);
    operator.apply(&static_volume(&name, "nfs-truenas").to_string()).expect_success();
    name
}

#[track_caller]
fn assert_denied(ran: &Ran, because: &str) {
    assert_eq!(ran.code, 1, "{ran}");
    assert!(ran.stderr.contains(DENIED), "{ran}");
    assert!(ran.stderr.contains(because), "no {because:?} in {ran}");
}
