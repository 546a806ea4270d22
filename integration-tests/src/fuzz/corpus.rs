//! What the guard reads, as it should be.

use nfs_guard_policies::{
    Snapshot,
    facts::{Kind, Object},
    text::{Reduce as _, Strings},
};
use serde_json::{Value, json};

pub(super) const HEADS: [&str; 3] = [
    "timeout=10s\ncontent-type: application/json\nhost: guard",
    "timeout=2.5s&dryRun=All\ncontent-type: application/json; charset=utf-8\naccept: */*",
    "\ncontent-type: application/json",
];

pub(super) const CONFIGS: [&str; 3] = [
    "# nothing but a comment\n",
    "apiVersion: nfs-guard.io/v1alpha1\nkind: GuardConfig\ncritical:\n  objectSelectors:\n    - matchLabels: {nfs-guard.io/critical: \"true\"}\n  namespaceSelectors:\n    - matchExpressions: [{key: tier, operator: In, values: [db, queue]}]\n  namespaces: [vault, \"db-*\"]\n  priorityClasses: []\nexcludedNamespaces: [kube-system]\n",
    "rules:\n  critical-on-nfs:\n    mode: enforce\n    onUnknown: warn\n    forbid: [nfs]\ndrivers:\n  - names: [x]\n    patterns: [\"x-.*\"]\n    otherwise: nfs\n",
];

/// The audit logs of two replicas, each with three decisions.
pub(super) const LOGS: [&str; 2] =
    [include_str!("logs/guard-0.jsonl"), include_str!("logs/guard-1.jsonl")];

/// A cluster with one of everything the reviews name.
pub(super) fn cluster() -> Snapshot {
    let mut cluster = Snapshot::complete();
    let labels = json!({"nfs-guard.io/critical": "true"});
    for (kind, object) in [
        (Kind::Namespace, json!({"metadata": {"name": "vault", "labels": labels}})),
        (Kind::Class, json!({"metadata": {"name": "nas"}, "provisioner": "nfs.csi.k8s.io"})),
        (
            Kind::Class,
            json!({"metadata": {"name": "block"}, "provisioner": "csi.proxmox.sinextra.dev"}),
        ),
        (Kind::Volume, volume()),
    ] {
        let object = Object::read(kind, &object).expect("the objects are such");
        cluster.insert(object.into_stored(&mut Strings::default()));
    }
    cluster
}

fn volume() -> Value {
    json!({"metadata": {"name": "static"}, "spec": {
        "capacity": {"storage": "10Gi"},
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": "nas",
        "claimRef": {"namespace": "vault", "name": "data", "uid": "c"},
        "nfs": {"server": "nas", "path": "/x"},
    }})
}

/// Reviews of every kind that is judged, created and updated.
pub(super) fn reviews() -> Vec<Vec<u8>> {
    let set = json!({
        "metadata": {"name": "db", "labels": {"app": "db"}, "creationTimestamp": "2026-01-02T03:04:05Z"},
        "spec": {
            "serviceName": "db",
            "selector": {"matchLabels": {"app": "db"}},
            "template": {
                "metadata": {"labels": {"nfs-guard.io/critical": "true"}},
                "spec": {
                    "priorityClassName": "high",
                    "securityContext": {"fsGroup": 1000},
                    "containers": [{"name": "db", "image": "db", "volumeMounts": [{"name": "data", "mountPath": "/d"}]}],
                    "volumes": [
                        {"name": "a", "nfs": {"server": "nas", "path": "/x"}},
                        {"name": "b", "csi": {"driver": "nfs.csi.k8s.io", "volumeAttributes": {"server": "n"}}},
                        {"name": "c", "persistentVolumeClaim": {"claimName": "data"}},
                        {"name": "d", "ephemeral": {"volumeClaimTemplate": {"spec": {"storageClassName": "nas"}}}},
                        {"name": "e", "configMap": {"name": "e"}},
                    ],
                },
            },
            "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": {
                "accessModes": ["ReadWriteOnce"],
                "storageClassName": "block",
                "resources": {"requests": {"storage": "10Gi"}},
            }}],
        },
    });
    let claim = json!({
        "metadata": {"name": "data", "annotations": {"volume.beta.kubernetes.io/storage-class": "nas"}},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": "nas",
            "volumeName": "static",
            "volumeMode": "Filesystem",
            "selector": {"matchLabels": {"a": "b"}},
            "resources": {"requests": {"storage": "1Gi"}},
        },
        "status": {"phase": "Bound"},
    });
    let class = json!({
        "metadata": {"name": "nas"}, "provisioner": "nfs.csi.k8s.io",
        "parameters": {"server": "nas"}, "mountOptions": ["nfsvers=4.1"],
    });
    let namespace =
        json!({"metadata": {"name": "vault", "labels": {"nfs-guard.io/critical": "true"}}});
    let template = &set["spec"]["template"];
    let pod = json!({"metadata": {"name": "db-0"}, "spec": template["spec"]});
    let cron_job = json!({
        "metadata": {"name": "dump"},
        "spec": {"jobTemplate": {"spec": {"template": template}}},
    });
    let mut reviews = Vec::new();
    for (kind, object) in [
        (json!({"group": "", "version": "v1", "kind": "Pod"}), pod),
        (json!({"group": "batch", "version": "v1", "kind": "CronJob"}), cron_job),
        (json!({"group": "apps", "version": "v1", "kind": "StatefulSet"}), set),
        (json!({"group": "", "version": "v1", "kind": "PersistentVolumeClaim"}), claim),
        (json!({"group": "", "version": "v1", "kind": "PersistentVolume"}), volume()),
        (json!({"group": "storage.k8s.io", "version": "v1", "kind": "StorageClass"}), class),
        (json!({"group": "", "version": "v1", "kind": "Namespace"}), namespace),
    ] {
        for (operation, old) in [("CREATE", Value::Null), ("UPDATE", object.clone())] {
            let review = json!({
                "apiVersion": "admission.k8s.io/v1",
                "kind": "AdmissionReview",
                "request": {
                    "uid": "0d9e4a5c-5b7e-4c1b-9a3f-0c5d3a3f8c11",
                    "kind": kind,
                    "resource": {"group": "", "version": "v1", "resource": "things"},
                    "namespace": "vault",
                    "name": "db",
                    "operation": operation,
                    "userInfo": {"username": "developer", "groups": ["system:authenticated"]},
                    "object": object,
                    "oldObject": old,
                    "dryRun": false,
                },
            });
            reviews.push(review.to_string().into_bytes());
        }
    }
    reviews
}
