//! Operations as the requests they are: the same for every world.

use nfs_guard_policies::{
    cluster::Key,
    facts::{Kind, WorkloadKind},
    rules::CRITICAL_LABEL,
};
use serde_json::{Value, json};

use super::operation::{
    Claim, Class, ClassOf, Exemption, Label, Makes, Named, Operation, Owner, Source, VOLUME_NAMES,
    Volume, Workload,
};

/// Wins over the field (`component-helpers/storage/volume/helpers.go`).
pub(super) const LEGACY_CLASS: &str = "volume.beta.kubernetes.io/storage-class";
pub(super) const DEFAULT_CLASS: &str = "storageclass.kubernetes.io/is-default-class";
/// The driver of classes and volumes on NFS.
pub(super) const NFS_DRIVER: &str = "nfs.csi.k8s.io";
/// The driver of disks.
pub(super) const DISK_DRIVER: &str = "csi.proxmox.sinextra.dev";
/// Makes no volumes.
pub(super) const NO_PROVISIONER: &str = "kubernetes.io/no-provisioner";
/// Kind of the objects an operator looks after.
pub(super) const OPERATORS_KIND: &str = "Cluster";

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asker {
    /// Somebody who may write to a namespace.
    Developer,
    /// Somebody who may write to all of the cluster.
    Administrator,
    /// A controller of a kind of its own.
    Operator,
}

/// A request to the API server, or something that happens beside it.
#[derive(Clone, Debug)]
pub(super) enum Request {
    /// An object is created, or replaced by this.
    Apply(Asker, Value),
    /// An object is created, and not if it is there.
    Create(Asker, Value),
    /// A merge patch of an object.
    Patch(Asker, Key, Value),
    /// The sub-resource `scale` of a workload.
    Scale(Key, u8),
    /// An object is deleted, and what it owns unless it is left behind.
    Delete {
        /// Which.
        key: Key,
        /// Whether what it owns is left behind.
        orphan: bool,
    },
    /// The newest pod of that workload is deleted.
    DeletePodOf(Key),
    /// Time passes.
    Wait(i64),
    /// The guard is installed.
    Install,
    /// Whether the guard answers.
    Guard(bool),
}

/// How objects are called that all sequences of one cluster see.
#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    /// What is put before the names of namespaces, classes and volumes.
    pub(super) prefix: String,
}

impl Names {
    pub(super) fn global(&self, name: &str) -> String {
        if name.is_empty() { String::new() } else { format!("{}{name}", self.prefix) }
    }

    fn key(&self, object: &Named) -> Key {
        self.namespaced(Kind::Workload(object.kind), &object.namespace, &object.name)
    }

    fn namespaced(&self, kind: Kind, namespace: &str, name: &str) -> Key {
        Key { kind, namespace: self.global(namespace), name: name.into() }
    }

    fn cluster(&self, kind: Kind, name: &str) -> Key {
        Key { kind, namespace: String::new(), name: self.global(name) }
    }

    pub(super) fn request(&self, operation: &Operation) -> Request {
        use Asker::{Administrator, Developer};

        match operation {
            Operation::Apply(workload) => {
                let asker =
                    if workload.owner == Owner::Operator { Asker::Operator } else { Developer };
                Request::Apply(asker, self.workload(workload))
            }
            Operation::Scale { object, replicas } => Request::Scale(self.key(object), *replicas),
            Operation::DeleteWorkload { object, orphan } => {
                Request::Delete { key: self.key(object), orphan: *orphan }
            }
            Operation::DeletePodOf(object) => Request::DeletePodOf(self.key(object)),
            Operation::LabelObject { object, critical } => {
                Request::Patch(Developer, self.key(object), label(*critical))
            }
            Operation::LabelNamespace { namespace, critical } => {
                let key = self.cluster(Kind::Namespace, namespace);
                Request::Patch(Administrator, key, label(*critical))
            }
            Operation::CreateClaim(claim) => Request::Create(Developer, self.claim(claim)),
            Operation::DeleteClaim { namespace, name } => {
                let key = self.namespaced(Kind::Claim, namespace, name);
                Request::Delete { key, orphan: false }
            }
            Operation::SetVolumeName { namespace, claim, volume } => {
                let key = self.namespaced(Kind::Claim, namespace, claim);
                let patch = json!({"spec": {"volumeName": self.global(volume)}});
                Request::Patch(Developer, key, patch)
            }
            Operation::CreateVolume(volume) => Request::Create(Administrator, self.volume(volume)),
            Operation::DeleteVolume(name) => {
                Request::Delete { key: self.cluster(Kind::Volume, name), orphan: false }
            }
            Operation::SetClaimRef { volume, claim } => {
                let key = self.cluster(Kind::Volume, volume);
                let claim = self.claim_ref(claim.as_ref());
                Request::Patch(Administrator, key, json!({"spec": {"claimRef": claim}}))
            }
            Operation::CreateClass(class) => Request::Create(Administrator, self.class(class)),
            Operation::SetDefault { class, default } => {
                let annotations = json!({DEFAULT_CLASS: default.to_string()});
                let patch = json!({"metadata": {"annotations": annotations}});
                Request::Patch(Administrator, self.cluster(Kind::Class, class), patch)
            }
            Operation::DeleteClass(name) => {
                Request::Delete { key: self.cluster(Kind::Class, name), orphan: false }
            }
            Operation::CreateExemption(exemption) => {
                Request::Create(Administrator, self.exemption(exemption))
            }
            Operation::DeleteExemption { namespace, name } => {
                let key = self.namespaced(Kind::Exemption, namespace, name);
                Request::Delete { key, orphan: false }
            }
            Operation::Wait { hours } => Request::Wait(i64::from(*hours)),
            Operation::InstallGuard => Request::Install,
            Operation::GuardDown => Request::Guard(false),
            Operation::GuardUp => Request::Guard(true),
        }
    }

    fn workload(&self, workload: &Workload) -> Value {
        let Workload { object, replicas, start, label, volumes, owner } = workload;
        let Named { kind, namespace, name } = object;
        let app = json!({"app": name});
        let mut template = json!({"metadata": {"labels": app}, "spec": self.pod_spec(volumes)});
        let mut manifest = json!({
            "apiVersion": api_version(*kind), "kind": Kind::Workload(*kind).as_str(),
            "metadata": {"name": name, "namespace": self.global(namespace), "labels": {}},
        });
        match label {
            Label::None => {}
            Label::Object => manifest["metadata"]["labels"][CRITICAL_LABEL] = json!("true"),
            Label::Template => template["metadata"]["labels"][CRITICAL_LABEL] = json!("true"),
        }
        let selector = json!({"matchLabels": app});
        manifest["spec"] = match kind {
            WorkloadKind::Pod => template["spec"].take(),
            WorkloadKind::Job => {
                template["spec"]["restartPolicy"] = json!("Never");
                json!({"template": template})
            }
            WorkloadKind::CronJob => {
                template["spec"]["restartPolicy"] = json!("Never");
                json!({
                    "schedule": "* * * * *", "concurrencyPolicy": "Forbid",
                    "jobTemplate": {"spec": {"template": template}},
                })
            }
            WorkloadKind::StatefulSet => json!({
                "replicas": replicas, "ordinals": {"start": start}, "serviceName": name,
                "selector": selector, "template": template,
                "volumeClaimTemplates": self.claim_templates(volumes),
            }),
            WorkloadKind::Deployment
            | WorkloadKind::DaemonSet
            | WorkloadKind::ReplicaSet
            | WorkloadKind::ReplicationController => {
                json!({"replicas": replicas, "selector": selector, "template": template})
            }
        };
        if *kind == WorkloadKind::Pod {
            let labels = &mut manifest["metadata"]["labels"];
            match owner {
                Owner::None | Owner::Operator => labels["app"] = json!(name),
                Owner::Forged(_, owner) => labels["app"] = json!(owner),
            }
            if *label == Label::Template {
                labels[CRITICAL_LABEL] = json!("true");
            }
        }
        let owner = match owner {
            Owner::None => None,
            // Whoever sends it fills in the uid of the one that is there.
            Owner::Forged(kind, name) => {
                Some((api_version(*kind), Kind::Workload(*kind).as_str(), name.as_str(), ""))
            }
            Owner::Operator => Some(("pg.example.com/v1", OPERATORS_KIND, "pg", "cluster-pg")),
        };
        if let Some((version, kind, name, uid)) = owner {
            manifest["metadata"]["ownerReferences"] = json!([{
                "apiVersion": version, "kind": kind, "name": name, "uid": uid, "controller": true,
            }]);
        }
        manifest
    }

    fn pod_spec(&self, volumes: &[Source]) -> Value {
        let volumes = VOLUME_NAMES.iter().zip(volumes);
        let volumes = volumes.filter_map(|(name, source)| {
            Some(match source {
                Source::Nfs => json!({"name": name, "nfs": {"server": "nas", "path": "/x"}}),
                Source::Claim(claim) => {
                    json!({"name": name, "persistentVolumeClaim": {"claimName": claim}})
                }
                Source::Template(_) => return None,
                Source::Ephemeral(class) => {
                    let template = self.claim_of("", class, 1);
                    json!({"name": name, "ephemeral": {"volumeClaimTemplate": template}})
                }
            })
        });
        let volumes: Vec<_> = volumes.collect();
        json!({"containers": [{"name": "main", "image": "main"}], "volumes": volumes})
    }

    fn claim_templates(&self, volumes: &[Source]) -> Vec<Value> {
        let volumes = VOLUME_NAMES.iter().zip(volumes);
        let templates = volumes.filter_map(|(name, source)| match source {
            Source::Template(class) => Some(self.claim_of(name, class, 1)),
            Source::Nfs | Source::Claim(_) | Source::Ephemeral(_) => None,
        });
        templates.collect()
    }

    fn claim_of(&self, name: &str, class: &ClassOf, size: u8) -> Value {
        let mut claim = json!({
            "metadata": {},
            "spec": {
                "accessModes": ["ReadWriteOnce"],
                "resources": {"requests": {"storage": format!("{size}Gi")}},
            },
        });
        if !name.is_empty() {
            claim["metadata"]["name"] = json!(name);
        }
        match class {
            ClassOf::Default => {}
            ClassOf::Field(class) => claim["spec"]["storageClassName"] = json!(self.global(class)),
            ClassOf::Annotation(class) => {
                claim["metadata"]["annotations"] = json!({LEGACY_CLASS: self.global(class)});
            }
        }
        claim
    }

    fn claim(&self, claim: &Claim) -> Value {
        let Claim { namespace, name, class, volume, critical, size } = claim;
        let mut manifest = self.claim_of(name, class, *size);
        manifest["apiVersion"] = json!("v1");
        manifest["kind"] = json!("PersistentVolumeClaim");
        manifest["metadata"]["namespace"] = json!(self.global(namespace));
        if let Some(volume) = volume {
            manifest["spec"]["volumeName"] = json!(self.global(volume));
        }
        if *critical {
            manifest["metadata"]["labels"] = json!({CRITICAL_LABEL: "true"});
        }
        manifest
    }

    fn claim_ref(&self, claim: Option<&(String, String)>) -> Value {
        match claim {
            None => Value::Null,
            Some((namespace, name)) => json!({
                "apiVersion": "v1", "kind": "PersistentVolumeClaim",
                "namespace": self.global(namespace), "name": name,
            }),
        }
    }

    fn volume(&self, volume: &Volume) -> Value {
        let Volume { name, nfs, class, claim, size } = volume;
        let mut manifest = json!({
            "apiVersion": "v1", "kind": "PersistentVolume",
            "metadata": {"name": self.global(name)},
            "spec": {
                "accessModes": ["ReadWriteOnce", "ReadWriteMany"],
                "capacity": {"storage": format!("{size}Gi")},
                "persistentVolumeReclaimPolicy": "Retain",
            },
        });
        let spec = &mut manifest["spec"];
        if *nfs {
            spec["nfs"] = json!({"server": "nas", "path": "/x"});
        } else {
            spec["csi"] = json!({"driver": DISK_DRIVER, "volumeHandle": name});
        }
        if !class.is_empty() {
            spec["storageClassName"] = json!(self.global(class));
        }
        if claim.is_some() {
            spec["claimRef"] = self.claim_ref(claim.as_ref());
        }
        manifest
    }

    pub(super) fn class(&self, class: &Class) -> Value {
        let Class { name, makes, default, waits } = class;
        let provisioner = match makes {
            Makes::Nfs => NFS_DRIVER,
            Makes::Disks => DISK_DRIVER,
            Makes::Nothing => NO_PROVISIONER,
        };
        let mode = if *waits { "WaitForFirstConsumer" } else { "Immediate" };
        let parameters = match makes {
            Makes::Nfs => json!({"server": "nas", "share": "/srv/nfs"}),
            Makes::Disks => json!({"csi.storage.k8s.io/fstype": "ext4", "storage": "lvm"}),
            Makes::Nothing => json!({}),
        };
        json!({
            "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass",
            "metadata": {
                "name": self.global(name), "annotations": {DEFAULT_CLASS: default.to_string()},
            },
            "provisioner": provisioner, "parameters": parameters,
            "reclaimPolicy": "Delete", "volumeBindingMode": mode,
        })
    }

    fn exemption(&self, exemption: &Exemption) -> Value {
        let Exemption { namespace, name, kind, target, volume, hours } = exemption;
        let mut manifest = json!({
            "apiVersion": "nfs-guard.io/v1alpha1", "kind": "StorageExemption",
            "metadata": {"name": name, "namespace": self.global(namespace)},
            "spec": {
                "target": {"kind": Kind::Workload(*kind).as_str(), "name": target},
                "rules": ["critical-on-nfs"], "reason": "it is a model", "ticket": "OPS-1",
                // Whoever sends it makes of it a time.
                "expiresAt": hours,
            },
        });
        if let Some(volume) = volume {
            manifest["spec"]["target"]["volumes"] = json!([volume]);
        }
        manifest
    }
}

fn label(critical: bool) -> Value {
    let value = if critical { json!("true") } else { Value::Null };
    json!({"metadata": {"labels": {CRITICAL_LABEL: value}}})
}

pub(super) fn api_version(kind: WorkloadKind) -> &'static str {
    match Kind::Workload(kind).group() {
        "apps" => "apps/v1",
        "batch" => "batch/v1",
        _ => "v1",
    }
}
