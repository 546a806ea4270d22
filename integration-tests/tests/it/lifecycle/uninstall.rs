//! A release that goes leaves nothing, and may come again.

use std::collections::BTreeSet;

use nfs_guard_integration_tests::{LiveCluster, User};

use crate::manifests::{CRITICAL, set};

#[test]
fn an_uninstalled_release_leaves_nothing_and_may_be_installed_again() {
    let cluster = LiveCluster::take();
    // What is there without a release.
    cluster.helm("uninstall", &["--wait", "--ignore-not-found"]).expect_success();
    cluster.kubectl().wait(&["--for=delete", "pods", "--all"]);
    let before = objects(&cluster);
    assert_eq!(ours(&before), Vec::<&String>::new(), "left by a release before");

    cluster.upgrade(&["--install"]).expect_success();
    cluster.wait_until_reached();
    assert!(ours(&objects(&cluster)).len() > 10, "the objects of a release are found");
    cluster.helm("test", &[]).expect_success();
    cluster.helm("uninstall", &["--wait", "--timeout=60s"]).expect_success();
    cluster.kubectl().wait(&["--for=delete", "pods", "--all"]);
    let after = objects(&cluster);
    assert_eq!(ours(&after), Vec::<&String>::new());

    let vault = cluster.namespace("unguarded", CRITICAL);
    vault.kubectl().apply(&set("db", Some("nfs-proxmox")).to_string()).expect_success();

    cluster.upgrade(&["--install"]).expect_success();
    cluster.wait_until_reached();
    let replicas = cluster.replicas();
    let mut nodes: Vec<_> =
        replicas.iter().map(|pod| pod["spec"]["nodeName"].as_str().unwrap()).collect();
    nodes.sort_unstable();
    assert_eq!(nodes, ["host-1", "host-2"], "one node may go");
}

/// Every object of every kind, as `kind namespace/name labels`.
fn objects(cluster: &LiveCluster) -> BTreeSet<String> {
    let kubectl = cluster.control_plane().kubectl(User::Admin);
    let kinds = kubectl.run(&["api-resources", "--verbs=list", "-o", "name"]).expect_success();
    // Reports of what happened go by themselves.
    let kinds: Vec<&str> =
        kinds.stdout.lines().filter(|kind| !kind.starts_with("events")).collect();
    let listed = kubectl.get(&[&kinds.join(","), "--all-namespaces"]);
    let items = listed["items"].as_array().unwrap();
    items
        .iter()
        .map(|item| {
            let metadata = &item["metadata"];
            let [kind, namespace, name] =
                [&item["kind"], &metadata["namespace"], &metadata["name"]]
                    .map(|text| text.as_str().unwrap_or_default());
            format!("{kind} {namespace}/{name} {}", metadata["labels"])
        })
        .collect()
}

/// Those that a release made, by name or by label. The namespace is not helm's, and the
/// definition of exemptions outlives a release, as they do.
fn ours(objects: &BTreeSet<String>) -> Vec<&String> {
    const NOT_OURS: [&str; 3] = [
        "Namespace /nfs-guard ",
        "CustomResourceDefinition /storageexemptions.nfs-guard.io ",
        "APIService /v1alpha1.nfs-guard.io ",
    ];
    let is_ours = |object: &&String| {
        of_release(object) && !NOT_OURS.iter().any(|other| object.starts_with(other))
    };
    objects.iter().filter(is_ours).collect()
}

fn of_release(object: &str) -> bool {
    // What every namespace has lies in ours too, whose name it thereby carries.
    object.replace(" nfs-guard/", " /").contains("nfs-guard")
}
