//! Clusters and writes for the tests' tables, written as the JSON a reader
//! knows from manifests.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{
    Change, Effect, GuardConfig, Outcome, Policy, Snapshot, Subject, decide,
    facts::{Kind, Object},
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
pub(crate) fn incident() -> Vec<Value> {
    vec![
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "vault", "labels": {"nfs-guard.io/critical": "true"}}}),
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "web"}}),
        class("nfs-proxmox", "nfs.csi.k8s.io", true),
        class("proxmox-lvm-encrypted", "csi.proxmox.sinextra.dev", false),
        json!({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "vault-old"}, "spec": {
            "storageClassName": "nfs-truenas",
            "csi": {"driver": "nfs.csi.k8s.io", "volumeHandle": "x", "volumeAttributes": {"server": "192.168.1.127", "share": "/srv/nfs/vault"}},
        }}),
        json!({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "in-tree"}, "spec": {
            "nfs": {"server": "192.168.1.127", "path": "/srv/nfs/x"}, "mountOptions": ["nfsvers=4.1"],
        }}),
        json!({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "disk"}, "spec": {
            "csi": {"driver": "csi.proxmox.sinextra.dev", "volumeHandle": "y"},
        }}),
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

pub(crate) struct Judge {
    pub(crate) cluster: Snapshot,
    pub(crate) policy: Policy,
    pub(crate) user: &'static str,
}

impl Judge {
    /// By the defaults, in the incident's cluster.
    pub(crate) fn incident() -> Self {
        Self { cluster: cluster(&incident()), policy: Policy::default(), user: "developer" }
    }

    pub(crate) fn configured(mut self, config: Value) -> Self {
        self.policy = Policy::new(serde_json::from_value::<GuardConfig>(config).unwrap());
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
        self.decide(namespace, Change::Update { old: object(old), new: object(new) })
    }

    fn decide(&self, namespace: &str, change: Change<'_>) -> Outcome {
        let subject = Subject { change, namespace: namespace.into(), user: self.user.into() };
        decide(&subject, &self.cluster, &self.policy, Timestamp::UNIX_EPOCH)
    }
}

impl Outcome {
    /// The effect, and the chain of every finding.
    pub(crate) fn told(&self) -> (Effect, Vec<String>) {
        let findings = self.verdict.findings.iter();
        (self.verdict.effect(), findings.map(|finding| finding.resolved.to_string()).collect())
    }
}
