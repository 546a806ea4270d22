//! The command as a person runs it: output and exit codes.

use std::{fs, process::Command};

use nfs_guard_integration_tests::{Ran, binaries};
use serde_json::Value;

const INCIDENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../webhook/incident");

fn nfs_guard(arguments: &[&str], input: &str) -> Ran {
    let mut command = Command::new(binaries::nfs_guard().unwrap());
    command.args(arguments).env_remove("KUBECONFIG").env("HOME", "/nonexistent");
    Ran::new(&mut command, input)
}

#[test]
fn the_demo_replays_the_incident_and_ends_well() {
    let ran = nfs_guard(&["demo"], "").expect_success();
    for expected in [
        "volumeClaimTemplate data → StorageClass nfs-proxmox → provisioner nfs.csi.k8s.io → NFS 192.168.1.127:/srv/nfs",
        "volumeClaimTemplate audit → StorageClass nfs-proxmox → provisioner nfs.csi.k8s.io → NFS 192.168.1.127:/srv/nfs",
        r#"[{"op":"add","path":"/spec/template/spec/securityContext/fsGroupChangePolicy","value":"OnRootMismatch"}]"#,
        "statefulset.apps/vault created",
        "CREATE Pod vault/vault-1",
        r#"[{"op":"add","path":"/spec/securityContext/fsGroupChangePolicy","value":"OnRootMismatch"}]"#,
        "claim vault-scratch → StorageClass nfs-proxmox (cluster default) → ",
        "claim vault-snapshots → PersistentVolume vault-snapshots → driver nfs.csi.k8s.io → NFSv4 ",
        "statefulset.apps/web created",
        "Warning: critical-on-nfs: volume vault-cache: backing unknown: StorageClass fast-ssd does not exist",
        "demo: 7 requests over TLS: 3 denied, 3 allowed, 1 allowed with a warning",
    ] {
        assert!(ran.stdout.contains(expected), "no {expected:?} in {ran}");
    }
}

#[test]
fn check_answers_by_its_exit_code_and_in_json() {
    let cluster = format!("{INCIDENT}/cluster.yaml");
    let file = |name: &str| format!("{INCIDENT}/requests/{name}.yaml");
    for (name, code) in [("vault-on-nfs", 1), ("vault-on-block", 0), ("claim-of-no-class", 0)] {
        let ran = nfs_guard(&["check", &file(name), "--cluster", &cluster], "");
        assert_eq!(ran.code, code, "{ran}");
    }
    let requests = format!("{INCIDENT}/requests");
    let ran = nfs_guard(&["check", &requests, "--cluster", &cluster, "-o", "json"], "");
    let report: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(report["version"], 1);
    let summary = serde_json::json!({"objects": 7, "denied": 3, "warned": 2, "unknown": 1});
    assert_eq!(report["summary"], summary);
    assert_eq!(report["findings"].as_array().unwrap().len(), 7);
    assert_eq!(ran.code, 1);
}

#[test]
fn check_reads_standard_input_and_judges_what_it_can() {
    let folder = tempfile::tempdir().unwrap();
    let broken = folder.path().join("broken.yaml");
    fs::write(&broken, "kind: [unclosed\n").unwrap();
    let cluster = format!("{INCIDENT}/cluster.yaml");
    let vault = fs::read_to_string(format!("{INCIDENT}/requests/vault-on-nfs.yaml")).unwrap();
    let arguments = ["check", "-", "missing.yaml", broken.to_str().unwrap(), "--cluster", &cluster];
    let ran = nfs_guard(&arguments, &vault);
    assert_eq!(ran.code, 2, "unreadable input beats a denial: {ran}");
    assert!(ran.stdout.contains("denied: 1"), "{ran}");
    assert!(ran.stderr.contains("missing.yaml: "), "{ran}");
    assert!(ran.stderr.contains("broken.yaml:1:"), "{ran}");
}

#[test]
fn a_bad_configuration_is_named_with_its_place_and_what_was_expected() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.yaml");
    fs::write(&file, "rules:\n  critical-on-nfs:\n    mode: deny\n").unwrap();
    let file = file.to_str().unwrap();
    for arguments in [
        &["serve", "--config", file][..],
        &["serve", "--embedded", "--config", file],
        &["check", "-", "--config", file],
    ] {
        let ran = nfs_guard(arguments, "");
        assert_eq!(ran.code, 2, "{ran}");
        assert!(ran.stderr.contains("config.yaml:3:11: "), "{ran}");
        assert!(ran.stderr.contains("enforce"), "what was expected: {ran}");
    }
}

#[test]
fn bad_usage_and_an_unreachable_cluster_have_codes_of_their_own() {
    let folder = tempfile::tempdir().unwrap();
    let kubeconfig = folder.path().join("kubeconfig");
    // Port 1 of this machine: nobody listens there.
    fs::write(
        &kubeconfig,
        "apiVersion: v1\nkind: Config\ncurrent-context: c\ncontexts: [{name: c, context: {cluster: c, user: u}}]\n\
         clusters: [{name: c, cluster: {server: 'https://127.0.0.1:1'}}]\nusers: [{name: u, user: {}}]\n",
    )
    .unwrap();
    let kubeconfig = kubeconfig.to_str().unwrap();
    for (arguments, code) in [
        (&["serve", "--no-such-flag"][..], 2),
        (&["serve", "--cluster", "x.yaml"], 2),
        (&["serve", "--kubeconfig", "/nonexistent"], 2),
        (&["serve", "--kubeconfig", kubeconfig], 3),
    ] {
        let ran = nfs_guard(arguments, "");
        assert_eq!(ran.code, code, "{ran}");
        assert!(!ran.stderr.is_empty(), "{ran}");
    }
}

#[test]
fn schemas_completions_and_the_manual_are_printed() {
    for (arguments, expected) in [
        (&["schema"][..], "\"title\": \"GuardConfig\""),
        (&["schema", "audit"], "\"dryRun\""),
        (&["schema", "check"], "\"summary\""),
        (&["completions", "bash"], "_nfs__guard"),
        (&["man"], ".TH nfs-guard 1"),
    ] {
        let ran = nfs_guard(arguments, "").expect_success();
        assert!(ran.stdout.contains(expected), "no {expected:?} in {ran}");
    }
}

#[test]
fn what_is_known_of_a_driver_is_explained() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config.yaml");
    fs::write(&config, "drivers: [{names: [acme.example.com], otherwise: nfs}]\n").unwrap();
    let config = config.to_str().unwrap();
    for (arguments, expected) in [
        (&["NFS.csi.k8s.io"][..], "always NFS"),
        (&["driver.longhorn.io"], "otherwise block device"),
        (&["acme.example.com", "--config", config], "always NFS"),
        (&["nfs.csi.k8s.io", "-o", "json"], "\"otherwise\": \"nfs\""),
        (&["-o", "markdown"], "# Drivers"),
    ] {
        let ran = nfs_guard(&[&["explain-driver"], arguments].concat(), "").expect_success();
        assert!(ran.stdout.contains(expected), "no {expected:?} in {ran}");
    }
    let ran = nfs_guard(&["explain-driver", "nfs.csi.k8s"], "");
    assert_eq!(ran.code, 2, "{ran}");
    assert!(ran.stderr.contains("nfs.csi.k8s.io"), "the closest name is told: {ran}");
}
