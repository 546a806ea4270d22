//! What the tests write, as a person would.

use nfs_guard_integration_tests::Kubectl;
use serde_json::{Value, json};

/// Labels of a namespace in which everything is critical.
pub(crate) const CRITICAL: &[(&str, &str)] = &[("nfs-guard.io/critical", "true")];

/// The incident's Vault, as the file a person would apply.
pub(crate) const VAULT_ON_NFS: &str =
    include_str!("../../../webhook/incident/requests/vault-on-nfs.yaml");

/// A set of that name whose one claim template names that class, or none.
pub(crate) fn set(name: &str, class: Option<&str>) -> Value {
    let mut claim = claim("data", class);
    claim.as_object_mut().unwrap().retain(|key, _| key == "metadata" || key == "spec");
    json!({
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": name},
        "spec": {
            "replicas": 1,
            "serviceName": name,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"containers": [{"name": "db", "image": "db"}], "volumes": []},
            },
            "volumeClaimTemplates": [claim],
        },
    })
}

/// A claim of that name and class, or of none.
pub(crate) fn claim(name: &str, class: Option<&str>) -> Value {
    let mut claim = json!({
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    });
    if let Some(class) = class {
        claim["spec"]["storageClassName"] = json!(class);
    }
    claim
}

/// Applies, where all is critical, an object of each name: `denied`, `warned`, and
/// `added-to`, whose `fsGroup` brings a change policy with it.
#[track_caller]
pub(crate) fn apply_denied_warned_and_added_to(kubectl: &Kubectl) {
    assert_eq!(kubectl.apply(&set("denied", Some("nfs-proxmox")).to_string()).code, 1);
    kubectl.apply(&claim("warned", Some("fast-ssd")).to_string()).expect_success();
    let mut added_to = set("added-to", Some("proxmox-lvm-encrypted"));
    added_to["spec"]["template"]["spec"]["securityContext"] = json!({"fsGroup": 1000});
    kubectl.apply(&added_to.to_string()).expect_success();
}

/// A static volume on NFS, of a class that exists in name only.
pub(crate) fn static_volume(name: &str, class: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name},
        "spec": {
            "capacity": {"storage": "10Gi"},
            "accessModes": ["ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany"],
            "persistentVolumeReclaimPolicy": "Retain",
            "storageClassName": class,
            "csi": {
                "driver": "nfs.csi.k8s.io",
                "volumeHandle": name,
                "volumeAttributes": {"server": "192.168.1.127", "share": format!("/srv/nfs/{name}")},
            },
        },
    })
}

/// An object of each kind whose pods have that volume.
pub(crate) fn every_kind(volume: &Value) -> Vec<Value> {
    let labels = json!({"app": "db"});
    let spec = json!({
        "restartPolicy": "Always",
        "containers": [{"name": "db", "image": "db"}],
        "volumes": [volume],
    });
    let mut once = spec.clone();
    once["restartPolicy"] = json!("Never");
    let template = json!({"metadata": {"labels": labels}, "spec": spec});
    let selected = json!({"selector": {"matchLabels": labels}, "template": template});
    let mut set = selected.clone();
    set["serviceName"] = json!("db");
    let job = json!({"template": {"spec": once}});
    [
        ("v1", "Pod", spec),
        ("v1", "ReplicationController", json!({"selector": labels, "template": template})),
        ("apps/v1", "StatefulSet", set),
        ("apps/v1", "Deployment", selected.clone()),
        ("apps/v1", "DaemonSet", selected.clone()),
        ("apps/v1", "ReplicaSet", selected),
        ("batch/v1", "Job", job.clone()),
        ("batch/v1", "CronJob", json!({"schedule": "0 3 * * *", "jobTemplate": {"spec": job}})),
    ]
    .map(|(version, kind, spec)| {
        json!({"apiVersion": version, "kind": kind, "metadata": {"name": "db"}, "spec": spec})
    })
    .to_vec()
}
