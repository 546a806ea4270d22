//! Exemptions: who may write them, what the API server takes, and what they let through.

use std::time::Duration;

use nfs_guard_integration_tests::{
    Harness, Kubectl, User, http,
    wait::{Progress, wait_for},
};
use serde_json::{Value, json};

use crate::manifests::{CRITICAL, claim};

const DOCUMENT: &str = include_str!("../../../docs/exemptions.md");

/// The example of the documents, in whatever namespace, until a day that is far off.
fn exemption() -> Value {
    let (_, example) = DOCUMENT.split_once("```yaml\n").unwrap();
    let (example, _) = example.split_once("```").unwrap();
    let mut exemption: Value = serde_saphyr::from_str(example).unwrap();
    exemption["metadata"].as_object_mut().unwrap().remove("namespace").unwrap();
    exemption["spec"]["expiresAt"] = json!("2999-01-31T00:00:00Z");
    exemption
}

fn dump() -> Value {
    json!([{"name": "dump", "persistentVolumeClaim": {"claimName": "vault-dumps"}}])
}

fn backup() -> Value {
    let container = json!({"name": "dump", "image": "dump"});
    let pod = json!({"restartPolicy": "Never", "containers": [container], "volumes": dump()});
    json!({"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "vault-backup"}, "spec": {
        "schedule": "0 3 * * *",
        "jobTemplate": {"spec": {"template": {
            "metadata": {"labels": {"app": "backup"}}, "spec": pod,
        }}},
    }})
}

/// What the guard says once it knows of the exemption, or no longer does.
fn until(kubectl: &Kubectl, manifest: &Value, allowed: bool) -> String {
    wait_for("the guard to be told", Duration::from_secs(10), || {
        let ran = kubectl.feed(&["create", "--dry-run=server", "-f", "-"], &manifest.to_string());
        Ok(if ran.succeeded() == allowed {
            Progress::Done(ran.stderr)
        } else {
            Progress::NotYet(ran.stderr)
        })
    })
    .unwrap()
}

#[test]
fn a_nightly_backup_runs_with_one_exemption_and_nothing_else_does() {
    let cluster = Harness::shared();
    let namespace = cluster.namespace("backup", CRITICAL);
    let kubectl = namespace.kubectl();
    let operator = namespace.kubectl_as(User::Operator);
    let dumps = claim("vault-dumps", Some("nfs-proxmox"));
    let denied = kubectl.apply(&dumps.to_string());
    assert!(denied.stderr.contains("for a StorageExemption."), "{denied}");

    operator.create(&exemption().to_string()).expect_success();
    let warning = until(&kubectl, &dumps, true);
    assert!(warning.contains("(exempt by nightly-dumps until "), "{warning}");
    kubectl.apply(&dumps.to_string()).expect_success();
    kubectl.apply(&backup().to_string()).expect_success();
    // As its controller makes it every night; the pod is the job controller's own.
    let cron_job = kubectl.get(&["cronjob", "vault-backup"]);
    let mut job = json!({"apiVersion": "batch/v1", "kind": "Job",
        "metadata": {"name": "vault-backup-29"}, "spec": cron_job["spec"]["jobTemplate"]["spec"]});
    job["metadata"]["ownerReferences"] = json!([{"apiVersion": "batch/v1", "kind": "CronJob",
        "name": "vault-backup", "uid": cron_job["metadata"]["uid"], "controller": true}]);
    let forged = kubectl.create(&job.to_string());
    assert!(forged.stderr.contains("denied the request"), "not its controller: {forged}");
    let controller = "--as=system:serviceaccount:kube-system:cronjob-controller";
    operator.feed(&["create", controller, "-f", "-"], &job.to_string()).expect_success();
    let pod = cluster.guard().wait_for_audit("the backup's pod", |line| {
        line["namespace"] == namespace.name() && line["kind"] == "Pod"
    });
    assert_eq!(pod["decision"], "allow", "{pod}");
    assert_eq!(pod["findings"][0]["exemption"], "nightly-dumps", "{pod}");

    let (_, metrics) = http::get(&format!("{}/metrics", cluster.guard().admin_url()));
    let counted = r#"nfs_guard_findings_total{rule="critical-on-nfs",decision="exempt"}"#;
    assert!(metrics.contains(counted), "{metrics}");

    let intruder = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "intruder"}, "spec": {
        "containers": [{"name": "c", "image": "sh"}], "volumes": dump(),
    }});
    let denied = kubectl.create(&intruder.to_string());
    assert!(denied.stderr.contains("denied the request"), "{denied}");

    operator.run(&["delete", "storageexemption", "nightly-dumps"]).expect_success();
    let mut another = dumps;
    another["metadata"]["name"] = json!("vault-dumps-2");
    until(&kubectl, &another, false);
}

#[test]
fn who_may_edit_a_namespace_may_read_exemptions_and_not_write_them() {
    let cluster = Harness::shared();
    let namespace = cluster.namespace("editors", &[]);
    let operator = namespace.kubectl_as(User::Operator);
    operator.create(&exemption().to_string()).expect_success();
    let developer = namespace.kubectl();
    developer.run(&["get", "stex", "nightly-dumps"]).expect_success();
    let mut another = exemption();
    another["metadata"]["name"] = json!("another");
    for ran in [
        developer.create(&another.to_string()),
        developer.run(&["delete", "stex", "nightly-dumps"]),
        developer.run(&["label", "stex", "nightly-dumps", "a=b"]),
    ] {
        assert_eq!(ran.code, 1, "{ran}");
        assert!(ran.stderr.contains("User \"developer\" cannot"), "{ran}");
    }

    let role = "--clusterrole=nfs-guard-edit-exemptions";
    operator.run(&["create", "rolebinding", "decides", role, "--user=developer"]).expect_success();
    wait_for("the right to be known", Duration::from_secs(10), || {
        let ran = developer.create(&another.to_string());
        Ok(if ran.succeeded() { Progress::Done(()) } else { Progress::NotYet(ran.to_string()) })
    })
    .unwrap();
}

#[test]
fn the_api_server_takes_no_exemption_without_a_reason_or_an_end() {
    let cluster = Harness::shared();
    let namespace = cluster.namespace("malformed", &[]);
    let operator = namespace.kubectl_as(User::Operator);
    for (pointer, value, expected) in [
        ("/spec/reason", json!("  "), "is blank: say why it has to be this storage"),
        ("/spec/expiresAt", json!(null), "spec.expiresAt: Required value"),
        ("/spec/expiresAt", json!("soon"), "spec.expiresAt"),
        ("/spec/target/kind", json!("Secret"), "Unsupported value: \"Secret\""),
        ("/spec/target/name", json!("Vault Backup"), "is no name"),
        ("/spec/rules", json!([]), "spec.rules"),
        ("/spec/rules", json!(["no-such-rule"]), "Unsupported value: \"no-such-rule\""),
    ] {
        let mut broken = exemption();
        *broken.pointer_mut(pointer).unwrap() = value;
        let ran = operator.create(&broken.to_string());
        assert!(!ran.succeeded() && ran.stderr.contains(expected), "{pointer}: {ran}");
    }
    operator.create(&exemption().to_string()).expect_success();
    let later = r#"{"spec": {"expiresAt": "2999-02-28T00:00:00Z"}}"#;
    let ran = operator.run(&["patch", "stex", "nightly-dumps", "--type=merge", "-p", later]);
    assert!(ran.stderr.contains("cannot be changed: write another exemption"), "{ran}");
    let table = operator.run(&["get", "stex", "-o", "wide"]).expect_success().stdout;
    for column in ["KIND", "TARGET", "RULES", "EXPIRES", "AGE", "REASON", "vault-backup"] {
        assert!(table.contains(column), "no {column} in {table}");
    }
}
