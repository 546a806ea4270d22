//! `nfs-guard self-test`, which `helm test` runs, against the guard that serves.

use std::{fs, path::Path, process::Command};

use k8s_openapi::ByteString;
use nfs_guard_integration_tests::{Harness, Kubectl, Ran, User, binaries};
use serde_json::{Value, json};

#[test]
fn a_guard_that_serves_answers_every_review_as_expected() {
    let cluster = Harness::shared();
    let guard = cluster.guard();
    let ran =
        self_test(&cluster, guard.kubeconfig(), &["-o", "json", "--config", text(guard.config())]);
    let report = report(&ran);
    assert_eq!(ran.code, 0, "{ran}");
    let decisions: Vec<_> = report["answers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|answer| ["entry", "expected", "answered"].map(|key| answer[key].as_str().unwrap()))
        .collect();
    assert_eq!(
        decisions,
        [
            ["critical.validate.nfs-guard.io", "deny", "deny"],
            ["critical.validate.nfs-guard.io", "allow", "allow"],
            ["validate.nfs-guard.io", "deny", "deny"],
            ["validate.nfs-guard.io", "allow", "allow"],
            ["cluster.validate.nfs-guard.io", "allow", "allow"],
            ["mutate.nfs-guard.io", "patch", "patch"],
            ["mutate.nfs-guard.io", "allow", "allow"],
        ]
    );
    let asked_of_both_gates =
        |line: &Value| line["user"] == "nfs-guard-self-test" && line["dryRun"] == true;
    let record = guard.wait_for_audit("the self-test's denial", asked_of_both_gates);
    assert_eq!(record["decision"], "deny", "{record}");
}

#[test]
fn another_configuration_than_the_guards_is_told_by_what_it_answers() {
    let cluster = Harness::shared();
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config.yaml");
    fs::write(&config, "rules: {critical-on-nfs: {mode: warn}}\n").unwrap();
    let kubeconfig = cluster.guard().kubeconfig();
    let ran = self_test(&cluster, kubeconfig, &["-o", "json", "--config", text(&config)]);
    assert_eq!(ran.code, 1, "{ran}");
    let differences = &report(&ran)["answers"][0]["differences"];
    assert_eq!(differences[0], "allowed: false, expected true");
    assert_eq!(report(&ran)["answers"][1]["differences"], json!([]));
}

#[test]
fn a_guard_the_apiserver_would_not_trust_is_not_trusted_here() {
    let cluster = Harness::shared();
    let admin = cluster.control_plane().credentials().kubeconfig(User::Admin);
    let other_ca = fs::read(cluster.control_plane().credentials().ca()).unwrap();
    let own_ca = fs::read(cluster.guard().ca()).unwrap();
    for (name, service, ca, code, told) in [
        ("other-ca", "nfs-guard", &other_ca[..], 3, "invalid peer certificate: UnknownIssuer"),
        ("other-name", "other", &own_ca, 3, "not valid for name \"other.nfs-guard.svc\""),
        ("no-ca", "nfs-guard", &[], 1, "the entry has no caBundle"),
        ("good", "nfs-guard", &own_ca, 0, "2 reviews over TLS, 0 with an unexpected answer"),
    ] {
        let configuration = Configuration::create(&cluster, name, service, ca);
        let arguments = ["--webhook-configuration", configuration.name, "--output=table"];
        let ran = self_test(&cluster, &admin, &arguments);
        assert_eq!(ran.code, code, "{name}: {ran}");
        assert!(format!("{}{}", ran.stdout, ran.stderr).contains(told), "{name}: {ran}");
    }
}

#[test]
fn what_is_not_there_is_told_from_what_is_wrong() {
    let cluster = Harness::shared();
    let credentials = cluster.control_plane().credentials();
    let admin = credentials.kubeconfig(User::Admin);
    let guard = cluster.guard().kubeconfig();
    for (kubeconfig, arguments, code, told) in [
        (&*admin, &["--webhook-configuration=none"][..], 2, "is called none"),
        (guard, &["--webhook-configuration=none"], 1, "forbidden"),
        (guard, &["--url=https://127.0.0.1:1"], 3, "https://127.0.0.1:1/validate"),
        (guard, &["--url=http://127.0.0.1:1"], 2, "does not begin with https://"),
        (Path::new("/nonexistent"), &[], 2, "/nonexistent"),
    ] {
        let ran = run(kubeconfig, arguments);
        assert_eq!(ran.code, code, "{arguments:?}: {ran}");
        assert!(ran.stderr.contains(told), "{arguments:?}: {ran}");
    }
}

/// A webhook configuration that the API server calls for nothing; it goes when
/// dropped.
struct Configuration<'a> {
    admin: Kubectl,
    name: &'a str,
}

impl<'a> Configuration<'a> {
    fn create(cluster: &Harness, name: &'a str, service: &str, ca: &[u8]) -> Self {
        let manifest = json!({
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "ValidatingWebhookConfiguration",
            "metadata": {"name": name},
            "webhooks": [{
                "name": "unused.nfs-guard.io",
                "admissionReviewVersions": ["v1"],
                "sideEffects": "None",
                "clientConfig": {
                    "service": {"name": service, "namespace": "nfs-guard", "path": "/validate"},
                    "caBundle": ByteString(ca.to_owned()),
                },
                "rules": [{
                    "apiGroups": ["apps"],
                    "apiVersions": ["v1"],
                    "resources": ["statefulsets"],
                    "operations": ["CREATE"],
                }],
                "objectSelector": {"matchLabels": {"nobody": "has-this"}},
            }],
        });
        let admin = cluster.kubectl(User::Admin);
        admin.create(&manifest.to_string()).expect_success();
        Self { admin, name }
    }
}

impl Drop for Configuration<'_> {
    fn drop(&mut self) {
        let _ = self.admin.run(&["delete", "validatingwebhookconfiguration", self.name]);
    }
}

/// Asks the guard that serves where it listens: its Service's name is known inside a
/// cluster only.
fn self_test(cluster: &Harness, kubeconfig: &Path, arguments: &[&str]) -> Ran {
    let url = cluster.guard().url().replace("/validate", "");
    run(kubeconfig, &[&["--url", &url], arguments].concat())
}

fn run(kubeconfig: &Path, arguments: &[&str]) -> Ran {
    let mut command = Command::new(binaries::nfs_guard().unwrap());
    command.args(["self-test", "--kubeconfig"]).arg(kubeconfig).args(arguments);
    Ran::new(&mut command, "")
}

fn report(ran: &Ran) -> Value {
    serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {ran}"))
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}
