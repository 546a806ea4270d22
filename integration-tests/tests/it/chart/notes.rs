//! What `helm install` says at its end: it holds, and its commands do what it says.

use nfs_guard_integration_tests::{ControlPlane, Guard, Harness, User, chart::CHART};

#[test]
fn the_pod_of_the_notes_is_denied() {
    let cluster = Harness::shared();
    let helm = cluster.control_plane().helm();
    let notes = helm.run(&["get", "notes", Guard::NAME, "--namespace", Guard::NAME]);
    let notes = notes.expect_success().stdout;
    let (_, example) = notes.split_once("<<'END'\n").expect("the notes have an example");
    let (pod, _) = example.split_once("\n  END").expect("the example ends");
    let kubectl = cluster.kubectl(User::Developer);
    let ran = kubectl.feed(&["create", "--dry-run=server", "-f", "-"], pod);
    let denied = "denied the request: critical-on-nfs: Pod default/on-nfs";
    assert!(ran.stderr.contains(denied), "{ran}");
}

#[test]
fn the_notes_say_what_happens_while_nobody_serves() {
    for (values, said, unsaid) in [
        ("replicas=2", "with 2 replicas", "starts no server"),
        ("replicas=2", "critical namespaces\nare refused", "away whenever its node is"),
        ("replicas=1", "A single replica is away whenever its node is.", "starts no server"),
        ("replicas=0", "nfs-guard starts no server", "rollout status"),
        ("webhook.critical.failurePolicy=Ignore", "pass unseen", "denies anything"),
        ("config.rules.critical-on-nfs.mode=audit", "No rule of `config` denies", "are refused"),
        ("mutating.enabled=false", "Nothing is added", "replicas is 0"),
    ] {
        let helm = ControlPlane::shared().helm();
        let install = ["install", "guard", CHART, "--dry-run=client", "--set", values];
        let output = helm.run(&install).expect_success().stdout;
        let (_, notes) = output.split_once("\nNOTES:\n").expect("it ends with the notes");
        assert!(notes.contains(said), "{values}: no {said:?} in {notes}");
        assert!(!notes.contains(unsaid), "{values}: {unsaid:?} in {notes}");
    }
}
