//! What came in while nobody looked is found by a scan, by the same rules.

use std::{fs, path::PathBuf, process::Command};

use nfs_guard_integration_tests::{Harness, Ran, TestNamespace, User, binaries};
use serde_json::{Value, json};

use crate::manifests::{claim, set};

/// A guard that is as old as this finds everything else older.
const LONG_AGO: &str = "2999-01-01T00:00:00Z";

fn scan(cluster: &Harness, user: User, arguments: &[&str]) -> Ran {
    let kubeconfig: PathBuf = cluster.control_plane().credentials().kubeconfig(user);
    let mut command = Command::new(binaries::nfs_guard().unwrap());
    command.arg("scan").arg("--kubeconfig").arg(kubeconfig).args(arguments);
    Ran::new(&mut command, "")
}

/// What is found in that namespace: category, object, and what excuses it.
fn found(ran: &Ran) -> Vec<[String; 3]> {
    let report: Value = serde_json::from_str(&ran.stdout).unwrap();
    let findings = report["findings"].as_array().unwrap().iter();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    findings
        .map(|finding| {
            let object = format!("{} {}", text(&finding["kind"]), text(&finding["name"]));
            [text(&finding["category"]), object, text(&finding["excuse"])]
        })
        .collect()
}

fn critical_set() -> Value {
    let mut set = set("db", Some("nfs-proxmox"));
    set["metadata"]["labels"] = json!({"nfs-guard.io/critical": "true"});
    set
}

/// A set on NFS that came in while the guard was down, its first pod with it.
fn missed(cluster: &Harness) -> TestNamespace<'static> {
    // Its label alone makes the set critical, so that it waits for no guard that is away.
    let namespace = cluster.namespace("missed", &[]);
    cluster.guard().stop().unwrap();
    namespace.kubectl().apply(&critical_set().to_string()).expect_success();
    namespace.kubectl().wait(&["--for=create", "pvc/data-db-0"]);
    namespace.kubectl().wait(&["--for=create", "pod/db-0"]);
    cluster.guard().start().unwrap();
    namespace
}

#[test]
fn what_came_in_while_the_guard_was_down_is_found_and_told_apart() {
    let cluster = Harness::exclusive();
    let namespace = missed(&cluster);
    let within = ["--namespace", namespace.name(), "--output", "json"];
    let objects = ["StatefulSet db", "PersistentVolumeClaim data-db-0", "Pod db-0"];

    let ran = scan(&cluster, User::Operator, &within);
    assert_eq!(ran.code, 1, "{ran}");
    let told = found(&ran);
    for object in objects {
        let expected = ["violation", object, ""].map(str::to_owned);
        assert!(told.contains(&expected), "{object}: {told:?}");
    }
    let by_configmap = "judged by: ConfigMap nfs-guard/nfs-guard";
    assert!(ran.stderr.contains(by_configmap), "the guard's own configuration: {ran}");
    let denied = namespace.kubectl().create(&{
        let mut another = critical_set();
        another["metadata"]["name"] = json!("another");
        another.to_string()
    });
    assert!(denied.stderr.contains("denied the request"), "the webhook says the same: {denied}");

    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config.yaml");
    fs::write(&config, format!("ratchet: {{since: {LONG_AGO}}}\n")).unwrap();
    let config = config.to_str().unwrap();
    let ran = scan(&cluster, User::Operator, &[&within[..], &["--config", config]].concat());
    assert_eq!(ran.code, 0, "{ran}");
    let told = found(&ran);
    for object in objects {
        let is_old =
            |[category, name, _]: &&[String; 3]| category == "grandfathered" && name == object;
        assert!(told.iter().any(|found| is_old(&found)), "{object}: {told:?}");
    }

    let exemption = json!({"apiVersion": "nfs-guard.io/v1alpha1", "kind": "StorageExemption",
    "metadata": {"name": "until-migrated"}, "spec": {
        "target": {"kind": "StatefulSet", "name": "db", "volumes": ["data", "data-db-*"]},
        "rules": ["critical-on-nfs"], "reason": "is being migrated",
        "expiresAt": "2999-01-01T00:00:00Z",
    }});
    namespace.kubectl_as(User::Operator).create(&exemption.to_string()).expect_success();
    let ran = scan(&cluster, User::Operator, &within);
    assert_eq!(ran.code, 0, "{ran}");
    let told = found(&ran);
    for object in objects {
        let is_exempt = |[category, name, excuse]: &[String; 3]| {
            category == "exempt" && name == object && excuse.starts_with("exempt by until-migrated")
        };
        assert!(told.iter().any(is_exempt), "{object}: {told:?}");
    }

    let table = scan(&cluster, User::Operator, &["--namespace", namespace.name()]);
    assert!(table.stdout.contains("violations: 0"), "{table}");
}

#[test]
fn who_may_not_see_is_told_what_to_ask_for_and_who_is_not_there_is_unreachable() {
    let cluster = Harness::shared();
    let namespace = cluster.namespace("unseen", &[]);
    namespace
        .kubectl()
        .apply(&claim("data", Some("proxmox-lvm-encrypted")).to_string())
        .expect_success();
    let ran = scan(&cluster, User::Developer, &["--namespace", namespace.name()]);
    assert_eq!(ran.code, 2, "{ran}");
    for kind in ["persistentvolumes", "storageclasses"] {
        assert!(ran.stderr.contains(kind), "{kind}: {ran}");
    }
    assert!(ran.stderr.contains("needs the verb list"), "{ran}");
    assert_eq!(ran.stdout, "", "half a cluster is not judged");

    let folder = tempfile::tempdir().unwrap();
    let kubeconfig = folder.path().join("kubeconfig");
    let there = cluster.control_plane().credentials().kubeconfig(User::Operator);
    let elsewhere = fs::read_to_string(there).unwrap();
    let server = cluster.control_plane().credentials().server();
    fs::write(&kubeconfig, elsewhere.replace(server, "https://127.0.0.1:1")).unwrap();
    let mut command = Command::new(binaries::nfs_guard().unwrap());
    command.args(["scan", "--kubeconfig", kubeconfig.to_str().unwrap()]);
    let ran = Ran::new(&mut command, "");
    assert_eq!(ran.code, 3, "{ran}");
}
