//! The webhook entries: which writes the API server sends, kind by kind, shown by a
//! guard that is not there.

use std::{collections::BTreeSet, time::Duration};

use nfs_guard_integration_tests::{
    ControlPlane, Kubectl, User,
    wait::{Progress, wait_for},
};
use nfs_guard_policies::{
    Gate,
    facts::Scope,
    rules::{RULES, Reads},
};
use serde_json::{Value, json};

use super::{RELEASE, Release, render, text, wait_for_webhook};
use crate::manifests::{CRITICAL, claim, every_kind, static_volume};

#[test]
fn no_entry_reaches_the_namespaces_a_cluster_starts_from() {
    let control_plane = ControlPlane::shared();
    let _turn = control_plane.share();
    let namespace = control_plane.namespace("reach", &[]);
    let objects = render(&namespace, RELEASE, &[]);
    let entries: Vec<_> =
        objects.iter().filter_map(|object| object["webhooks"].as_array()).flatten().collect();
    assert_eq!(entries.len(), 4);
    for entry in entries {
        let excluded = json!({
            "key": "kubernetes.io/metadata.name",
            "operator": "NotIn",
            "values": ["kube-system", "kube-node-lease", namespace.name()],
        });
        let selector = entry["namespaceSelector"]["matchExpressions"].as_array().unwrap();
        assert!(selector.contains(&excluded), "{entry}");
    }
}

#[test]
fn the_entries_send_what_the_rules_read() {
    let control_plane = ControlPlane::shared();
    let _turn = control_plane.share();
    let namespace = control_plane.namespace("sent", &[]);
    let objects = render(&namespace, RELEASE, &[]);
    for (gate, kind) in [
        (Gate::Validating, "ValidatingWebhookConfiguration"),
        (Gate::Mutating, "MutatingWebhookConfiguration"),
    ] {
        let configuration = objects.iter().find(|object| object["kind"] == kind).unwrap();
        let wanted = wanted(gate);
        let mut sent_by_any = BTreeSet::new();
        for entry in configuration["webhooks"].as_array().unwrap() {
            let sent = sent(entry);
            let scopes: BTreeSet<_> = sent.iter().map(|[.., scope]| scope.as_str()).collect();
            let [scope] = scopes.into_iter().collect::<Vec<_>>()[..] else {
                panic!("an entry is for one scope: {entry}")
            };
            let wanted = wanted.iter().filter(|[.., of]| of == scope).cloned().collect();
            assert_eq!(sent, wanted, "{}", entry["name"]);
            let never_in_the_way = scope == "Cluster" || gate == Gate::Mutating;
            assert!(!never_in_the_way || entry["failurePolicy"] == "Ignore", "{entry}");
            let deletes = sent.iter().any(|[_, _, operation, _]| operation == "DELETE");
            assert!(!deletes || entry["failurePolicy"] == "Ignore", "{entry}");
            sent_by_any.extend(sent);
        }
        assert_eq!(sent_by_any, wanted, "{kind}");
    }
}

/// Group, resource, operation and scope of a write.
type Sent = [String; 4];

/// Every write that a rule reads at that gate.
fn wanted(gate: Gate) -> BTreeSet<Sent> {
    let reads = RULES.iter().flat_map(|rule| rule.reads(gate));
    let sent = reads.flat_map(|Reads { kind, operations, scale }| {
        let part = if *scale { "/scale" } else { "" };
        let scope = match kind.scope() {
            Scope::Namespaced => "Namespaced",
            Scope::Cluster => "Cluster",
        };
        operations.iter().map(move |operation| {
            let resource = format!("{}{part}", kind.resource());
            [kind.group().to_owned(), resource, operation.to_string(), scope.to_owned()]
        })
    });
    sent.collect()
}

/// Every write that entry is called for.
fn sent(entry: &Value) -> BTreeSet<Sent> {
    let texts =
        |list: &Value| -> Vec<String> { list.as_array().unwrap().iter().map(text).collect() };
    let mut sent = BTreeSet::new();
    for rule in entry["rules"].as_array().unwrap() {
        let scope = text(&rule["scope"]);
        for group in texts(&rule["apiGroups"]) {
            for resource in texts(&rule["resources"]) {
                for operation in texts(&rule["operations"]) {
                    sent.insert([group.clone(), resource.clone(), operation, scope.clone()]);
                }
            }
        }
    }
    sent
}

#[test]
fn of_every_kind_only_what_a_rule_reads_waits_for_the_guard() {
    let control_plane = ControlPlane::shared();
    let _turn = control_plane.reserve();
    let critical = control_plane.namespace("conditions", CRITICAL);
    let kubectl = critical.kubectl();
    let mut manifests = every_kind(&json!({"name": "v", "emptyDir": {}}));
    manifests.push(claim("db", Some("nfs-proxmox")));
    for manifest in &manifests {
        kubectl.create(&manifest.to_string()).expect_success();
    }
    kubectl.wait(&["--for=jsonpath={.status.phase}=Bound", "pvc/db"]);
    let release = Release::install(control_plane, "conditions-guard");
    wait_for_webhook(&critical, true);

    let kubelets = critical.kubectl_as(User::Kubelets);
    let admin = critical.kubectl_as(User::Admin);
    for manifest in &manifests {
        let kind = text(&manifest["kind"]);
        let object = format!("{}/db", kind.to_ascii_lowercase());
        let patch_as = |kubectl: &Kubectl, patch: &Value, more: &[&str]| {
            let patch = patch.to_string();
            let arguments = ["patch", &object, "--type=merge", "--patch", &patch];
            kubectl.run(&[&arguments, more].concat())
        };
        let patch = |patch: &Value, more: &[&str]| patch_as(&kubectl, patch, more);
        let label = ["label", &object, "tier=db"];
        for waiting in [
            kubectl.run(&label),
            kubectl.run(&["annotate", &object, "note=x"]),
            patch(&change(&kind), &["--dry-run=server"]),
        ] {
            assert!(waiting.stderr.contains("failed calling webhook"), "{kind}: {waiting}");
        }
        kubelets.run(&label).expect_success();
        let owner = json!({"apiVersion": "v1", "kind": "ConfigMap", "name": "o", "uid": "u"});
        patch(&json!({"metadata": {"ownerReferences": [owner]}}), &["--dry-run=server"])
            .expect_success();
        if kind == "Pod" {
            let status = json!({"status": {"message": "as a kubelet would say"}});
            patch_as(&admin, &status, &["--subresource=status"]).expect_success();
        }
        patch(&json!({"metadata": {"finalizers": ["example.com/hold"]}}), &[]).expect_success();
        kubectl.run(&["delete", &object, "--wait=false"]).expect_success();
        kubectl.run(&["annotate", &object, "note=going"]).expect_success();
        patch(&json!({"metadata": {"finalizers": null}}), &[]).expect_success();
    }
    drop(release);
}

#[test]
fn only_who_scales_up_waits_for_the_guard() {
    let control_plane = ControlPlane::shared();
    let _turn = control_plane.reserve();
    let critical = control_plane.namespace("scaled", CRITICAL);
    let kubectl = critical.kubectl();
    let manifests = every_kind(&json!({"name": "v", "emptyDir": {}}));
    let scaled: BTreeSet<_> = RULES
        .iter()
        .flat_map(|rule| rule.reads(Gate::Validating))
        .filter(|reads| reads.scale)
        .map(|reads| reads.kind.as_str())
        .collect();
    let manifests = manifests.iter().filter(|manifest| scaled.contains(&*text(&manifest["kind"])));
    let manifests: Vec<_> = manifests.collect();
    assert_eq!(manifests.len(), scaled.len());
    for manifest in &manifests {
        kubectl.create(&manifest.to_string()).expect_success();
    }
    let release = Release::install(control_plane, "scaled-guard");
    wait_for_webhook(&critical, true);
    for manifest in manifests {
        let object = format!("{}/db", text(&manifest["kind"]).to_ascii_lowercase());
        let scale = |replicas: &str| kubectl.run(&["scale", &object, "--replicas", replicas]);
        let up = scale("2");
        assert!(up.stderr.contains("failed calling webhook"), "{object}: {up}");
        scale("0").expect_success();
        let from_nothing = scale("1");
        assert!(from_nothing.stderr.contains("failed calling webhook"), "{object}: {from_nothing}");
    }
    drop(release);
}

#[test]
fn of_what_lies_beside_namespaces_only_what_a_rule_reads_is_sent() {
    let control_plane = ControlPlane::shared();
    let _turn = control_plane.reserve();
    let own = control_plane.namespace("beside", &[]);
    let admin = own.kubectl_as(User::Admin);
    let release = Release::install(control_plane, "beside-guard");
    let labels = json!({"beside": own.name()});
    let labelled = |mut manifest: Value| {
        manifest["metadata"]["labels"] = labels.clone();
        manifest
    };
    let name = |prefix: &str| format!("{prefix}-{}", own.name());
    let volume = static_volume(&name("volume"), "nowhere");
    let class = json!({
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": name("class")},
        "provisioner": "example.com/none",
    });
    let namespace =
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name("ns")}});
    let manifests = [volume, class, namespace].map(labelled);
    // The guard is away, and nobody waits.
    for manifest in &manifests {
        admin.create(&manifest.to_string()).expect_success();
    }
    demand_the_guard(&admin, "beside-guard-nfs-guard", &labels);
    let probe = manifests[1].to_string().replace(&name("class"), "probe");
    wait_for("the API server to demand the guard", Duration::from_secs(30), || {
        let ran = admin.feed(&["create", "--dry-run=server", "-f", "-"], &probe);
        let demanded = ran.stderr.contains("failed calling webhook");
        Ok(if demanded { Progress::Done(()) } else { Progress::NotYet(ran.to_string()) })
    })
    .unwrap();

    for manifest in &manifests {
        let kind = text(&manifest["kind"]);
        let object = format!("{kind}/{}", text(&manifest["metadata"]["name"]));
        let patch = |patch: Value| {
            let patch = patch.to_string();
            admin.run(&["patch", &object, "--type=merge", "--patch", &patch])
        };
        let mut sent = vec![
            admin.run(&["label", &object, "tier=db"]),
            admin.run(&["annotate", &object, "storageclass.kubernetes.io/is-default-class=false"]),
        ];
        match &*kind {
            "PersistentVolume" => {
                sent.push(patch(json!({"spec": {"mountOptions": ["nfsvers=4.1"]}})));
                let status = r#"{"status": {"message": "seen"}}"#;
                let status =
                    ["patch", &object, "--subresource=status", "--type=merge", "-p", status];
                admin.run(&status).expect_success();
            }
            "StorageClass" => {
                sent.push(patch(json!({"mountOptions": ["nfsvers=4.1"]})));
                sent.push(patch(json!({"allowedTopologies": [
                    {"matchLabelExpressions": [{"key": "zone", "values": ["a"]}]},
                ]})));
                patch(json!({"allowVolumeExpansion": true})).expect_success();
                sent.push(admin.run(&["delete", &object, "--wait=false"]));
            }
            _ => {}
        }
        for ran in sent {
            assert!(ran.stderr.contains("failed calling webhook"), "{ran}");
        }
        patch(json!({"metadata": {"finalizers": ["example.com/hold"]}})).expect_success();
        patch(json!({"metadata": {"finalizers": null}})).expect_success();
        if kind != "StorageClass" {
            admin.run(&["delete", &object, "--wait=false"]).expect_success();
        }
    }
    drop(release);
    admin.run(&["delete", "storageclass", &name("class")]).expect_success();
}

/// Makes the API server refuse what the guard does not answer for, of objects with those
/// labels: only so can be seen what it would have been asked about.
fn demand_the_guard(admin: &Kubectl, configuration: &str, labels: &Value) {
    let patch = json!([
        {"op": "test", "path": "/webhooks/2/name", "value": "cluster.validate.nfs-guard.io"},
        {"op": "replace", "path": "/webhooks/2/failurePolicy", "value": "Fail"},
        {"op": "replace", "path": "/webhooks/2/objectSelector", "value": {"matchLabels": labels}},
    ]);
    let kind = "validatingwebhookconfiguration";
    let patch = ["patch", kind, configuration, "--type=json", "--patch", &patch.to_string()];
    admin.run(&patch).expect_success();
}

/// A change of what that kind of object is meant to be, as far as it may be changed.
fn change(kind: &str) -> Value {
    match kind {
        "Pod" => json!({"spec": {"activeDeadlineSeconds": 3600}}),
        "DaemonSet" => json!({"spec": {"minReadySeconds": 1}}),
        "Job" | "CronJob" => json!({"spec": {"suspend": true}}),
        "PersistentVolumeClaim" => json!({"spec": {"volumeAttributesClassName": "fast"}}),
        _ => json!({"spec": {"replicas": 2}}),
    }
}
