//! Clusters and writes for the tests' tables, written as the JSON a reader
//! knows from manifests.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{
    Change, Effect, Gate, GuardConfig, Outcome, Policy, Snapshot, Subject, Texts, decide,
    facts::{Kind, Object, WorkloadKind},
    text::{Reduce, Strings},
};

pub(crate) fn object(manifest: &Value) -> Object<'_> {
    let text = |key: &str| manifest[key].as_str().unwrap();
    let kind = Kind::of_manifest(text("apiVersion"), text("kind")).unwrap();
    Object::read(kind, manifest).unwrap()
}

pub(crate) fn cluster(manifests: &[Value]) -> Snapshot {
    let mut snapshot = Snapshot::complete();
    let mut strings = Strings::default();
    for manifest in manifests {
        snapshot.insert(object(manifest).into_stored(&mut strings));
    }
    snapshot
}

/// The cluster of the incident: Vault's namespace is critical, NFS the default.
/// The volumes are left over from claims that are gone, so that none is bound
/// but by its name.
pub(crate) fn incident() -> Vec<Value> {
    let mut block = class("proxmox-lvm-encrypted", "csi.proxmox.sinextra.dev", false);
    block["parameters"] = json!({"csi.storage.k8s.io/fstype": "ext4"});
    vec![
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "vault", "labels": {"nfs-guard.io/critical": "true"}}}),
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "web"}}),
        class("nfs-proxmox", "nfs.csi.k8s.io", true),
        block,
        json!({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "vault-old"}, "spec": {
            "storageClassName": "nfs-truenas",
            "csi": {"driver": "nfs.csi.k8s.io", "volumeHandle": "x", "volumeAttributes": {"server": "192.168.1.127", "share": "/srv/nfs/vault"}},
        }, "status": {"phase": "Released"}}),
        json!({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "in-tree"}, "spec": {
            "nfs": {"server": "192.168.1.127", "path": "/srv/nfs/x"}, "mountOptions": ["nfsvers=4.1"],
        }, "status": {"phase": "Released"}}),
        json!({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "disk"}, "spec": {
            "csi": {"driver": "csi.proxmox.sinextra.dev", "volumeHandle": "y"},
        }, "status": {"phase": "Released"}}),
    ]
}

pub(crate) fn class(name: &str, provisioner: &str, default: bool) -> Value {
    json!({"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "provisioner": provisioner, "metadata": {
        "name": name, "annotations": {"storageclass.kubernetes.io/is-default-class": default.to_string()},
    }})
}

/// A claim called `data` with that spec.
pub(crate) fn claim(spec: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data"}, "spec": spec})
}

/// A set called `vault` with claim templates of these names and classes, whose
/// pods have these volumes.
pub(crate) fn set(templates: &[(&str, &str)], volumes: &Value) -> Value {
    let templates = templates.iter().map(|(name, class)| {
        json!({"metadata": {"name": name}, "spec": {"storageClassName": class, "accessModes": ["ReadWriteOnce"]}})
    });
    json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "vault"}, "spec": {
        "template": {"metadata": {"labels": {"app": "vault"}}, "spec": {"volumes": volumes}},
        "volumeClaimTemplates": templates.collect::<Vec<_>>(),
    }})
}

/// A pod called `vault-0` with those volumes.
pub(crate) fn pod(volumes: &Value) -> Value {
    wrapped(WorkloadKind::Pod, &json!({"volumes": volumes}))
}

/// An object of that kind called `vault-0` that is, or makes, a pod of that spec.
pub(crate) fn wrapped(kind: WorkloadKind, spec: &Value) -> Value {
    let template = json!({"metadata": {"labels": {"app": "vault"}}, "spec": spec});
    let (version, spec) = match kind {
        WorkloadKind::Pod => ("v1", spec.clone()),
        WorkloadKind::ReplicationController => ("v1", json!({"template": template})),
        WorkloadKind::Job => ("batch/v1", json!({"template": template})),
        WorkloadKind::CronJob => {
            ("batch/v1", json!({"jobTemplate": {"spec": {"template": template}}}))
        }
        WorkloadKind::StatefulSet
        | WorkloadKind::Deployment
        | WorkloadKind::DaemonSet
        | WorkloadKind::ReplicaSet => ("apps/v1", json!({"template": template})),
    };
    let kind = Kind::Workload(kind).as_str();
    json!({"apiVersion": version, "kind": kind, "metadata": {"name": "vault-0"}, "spec": spec})
}

pub(crate) struct Judge {
    pub(crate) cluster: Snapshot,
    pub(crate) policy: Policy,
    pub(crate) user: &'static str,
    pub(crate) gate: Gate,
    pub(crate) now: Timestamp,
}

impl Judge {
    /// By the defaults, in the incident's cluster.
    pub(crate) fn incident() -> Self {
        Self {
            cluster: cluster(&incident()),
            policy: Policy::default(),
            user: "developer",
            gate: Gate::Validating,
            now: Timestamp::UNIX_EPOCH,
        }
    }

    pub(crate) fn configured(mut self, config: Value) -> Self {
        self.policy = Policy::new(serde_json::from_value::<GuardConfig>(config).unwrap());
        self
    }

    /// With these objects beside those of the incident, or in their place.
    pub(crate) fn with(mut self, objects: &[Value]) -> Self {
        let mut strings = Strings::default();
        for manifest in objects {
            self.cluster.insert(object(manifest).into_stored(&mut strings));
        }
        self
    }

    pub(crate) fn at(mut self, now: &str) -> Self {
        self.now = now.parse().unwrap();
        self
    }

    pub(crate) fn by(mut self, user: &'static str) -> Self {
        self.user = user;
        self
    }

    pub(crate) fn create(&self, namespace: &str, manifest: &Value) -> Outcome {
        self.decide(namespace, Change::Create(object(manifest)))
    }

    pub(crate) fn update(&self, namespace: &str, old: &Value, new: &Value) -> Outcome {
        let (old_text, new_text) = (old.to_string(), new.to_string());
        let texts = Texts { new: &new_text, old: &old_text };
        self.decide(namespace, Change::Update { old: object(old), new: object(new), texts })
    }

    pub(crate) fn delete(&self, manifest: &Value) -> Outcome {
        self.decide("", Change::Delete(object(manifest)))
    }

    /// As it stands in the cluster.
    pub(crate) fn scan(&self, namespace: &str, manifest: &Value) -> Outcome {
        self.decide(namespace, Change::Standing(object(manifest)))
    }

    fn decide(&self, namespace: &str, change: Change<'_>) -> Outcome {
        let (namespace, user) = (namespace.into(), self.user.into());
        let subject = Subject { gate: self.gate, change, namespace, user };
        decide(&subject, &self.cluster, &self.policy, self.now)
    }
}

/// That manifest in that namespace, made at that time.
pub(crate) fn stored(mut manifest: Value, namespace: &str, created: &str) -> Value {
    manifest["metadata"]["namespace"] = json!(namespace);
    manifest["metadata"]["creationTimestamp"] = json!(created);
    let name = manifest["metadata"]["name"].as_str().unwrap().to_owned();
    manifest["metadata"]["uid"] = json!(format!("uid-{name}"));
    manifest
}

/// That manifest, as the controller's of that one.
pub(crate) fn owned(mut manifest: Value, by: &Value) -> Value {
    manifest["metadata"]["ownerReferences"] = json!([{
        "apiVersion": by["apiVersion"], "kind": by["kind"], "name": by["metadata"]["name"],
        "uid": by["metadata"]["uid"], "controller": true,
    }]);
    manifest
}

impl Outcome {
    /// The effect, and the chain of every finding.
    pub(crate) fn told(&self) -> (Effect, Vec<String>) {
        let findings = self.verdict.findings.iter();
        (
            self.verdict.effect(),
            findings
                .filter_map(|finding| finding.wrong.volume())
                .map(|(_, resolved)| resolved.to_string())
                .collect(),
        )
    }
}
