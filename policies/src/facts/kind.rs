use std::fmt;

use serde::{Deserialize, Serialize};

/// A kind of object the engine understands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// Something that runs pods.
    Workload(WorkloadKind),
    /// `v1 PersistentVolumeClaim`.
    Claim,
    /// `v1 PersistentVolume`.
    Volume,
    /// `storage.k8s.io/v1 StorageClass`.
    Class,
    /// `storage.k8s.io/v1 CSIDriver`.
    CsiDriver,
    /// `v1 Namespace`.
    Namespace,
    /// `nfs-guard.io/v1alpha1 StorageExemption`.
    Exemption,
}

/// The kinds that run pods.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    schemars::JsonSchema,
)]
pub enum WorkloadKind {
    /// `apps/v1 StatefulSet`.
    StatefulSet,
    /// `apps/v1 Deployment`.
    Deployment,
    /// `apps/v1 DaemonSet`.
    DaemonSet,
    /// `apps/v1 ReplicaSet`.
    ReplicaSet,
    /// `v1 ReplicationController`.
    ReplicationController,
    /// `batch/v1 Job`.
    Job,
    /// `batch/v1 CronJob`.
    CronJob,
    /// `v1 Pod`.
    Pod,
}

/// Whether objects of a kind live in a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// In a namespace.
    Namespaced,
    /// Beside all namespaces.
    Cluster,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 14] = [
        Self::Workload(WorkloadKind::StatefulSet),
        Self::Workload(WorkloadKind::Deployment),
        Self::Workload(WorkloadKind::DaemonSet),
        Self::Workload(WorkloadKind::ReplicaSet),
        Self::Workload(WorkloadKind::ReplicationController),
        Self::Workload(WorkloadKind::Job),
        Self::Workload(WorkloadKind::CronJob),
        Self::Workload(WorkloadKind::Pod),
        Self::Claim,
        Self::Volume,
        Self::Class,
        Self::CsiDriver,
        Self::Namespace,
        Self::Exemption,
    ];

    /// The kind of that API group and name, if the engine understands it.
    #[must_use]
    pub fn find(group: &str, kind: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|found| found.as_str() == kind && found.group() == group)
    }

    /// The kind a manifest names by `apiVersion` and `kind`.
    #[must_use]
    pub fn of_manifest(api_version: &str, kind: &str) -> Option<Self> {
        let group = api_version.split_once('/').map_or("", |(group, _)| group);
        Self::find(group, kind)
    }

    /// API group; empty for the core group.
    #[must_use]
    pub fn group(self) -> &'static str {
        match self {
            Self::Workload(kind) => kind.group(),
            Self::Class | Self::CsiDriver => "storage.k8s.io",
            Self::Claim | Self::Volume | Self::Namespace => "",
            Self::Exemption => "nfs-guard.io",
        }
    }

    /// Version of the API that is read.
    #[must_use]
    pub fn version(self) -> &'static str {
        match self {
            Self::Exemption => "v1alpha1",
            Self::Workload(_)
            | Self::Claim
            | Self::Volume
            | Self::Class
            | Self::CsiDriver
            | Self::Namespace => "v1",
        }
    }

    /// Name as in `kind:`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Workload(kind) => kind.as_str(),
            Self::Claim => "PersistentVolumeClaim",
            Self::Volume => "PersistentVolume",
            Self::Class => "StorageClass",
            Self::CsiDriver => "CSIDriver",
            Self::Namespace => "Namespace",
            Self::Exemption => "StorageExemption",
        }
    }

    /// Name as in a URL or a webhook rule.
    #[must_use]
    pub fn resource(self) -> &'static str {
        match self {
            Self::Workload(kind) => kind.resource(),
            Self::Claim => "persistentvolumeclaims",
            Self::Volume => "persistentvolumes",
            Self::Class => "storageclasses",
            Self::CsiDriver => "csidrivers",
            Self::Namespace => "namespaces",
            Self::Exemption => "storageexemptions",
        }
    }

    /// Whether objects of this kind live in a namespace.
    #[must_use]
    pub fn scope(self) -> Scope {
        match self {
            Self::Workload(_) | Self::Claim | Self::Exemption => Scope::Namespaced,
            Self::Volume | Self::Class | Self::CsiDriver | Self::Namespace => Scope::Cluster,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl WorkloadKind {
    /// Every kind.
    pub const ALL: [Self; 8] = [
        Self::StatefulSet,
        Self::Deployment,
        Self::DaemonSet,
        Self::ReplicaSet,
        Self::ReplicationController,
        Self::Job,
        Self::CronJob,
        Self::Pod,
    ];

    /// Where in the object the pod template is: its members from the outside
    /// in. A Pod is its own.
    #[must_use]
    pub fn template_path(self) -> &'static [&'static str] {
        match self {
            Self::Pod => &[],
            Self::CronJob => &["spec", "jobTemplate", "spec", "template"],
            Self::StatefulSet
            | Self::Deployment
            | Self::DaemonSet
            | Self::ReplicaSet
            | Self::ReplicationController
            | Self::Job => &["spec", "template"],
        }
    }

    /// Where in the object the pod's spec is, as a field path of the Kubernetes
    /// API.
    #[must_use]
    pub fn pod_spec_path(self) -> &'static str {
        match self {
            Self::Pod => "spec",
            Self::CronJob => "spec.jobTemplate.spec.template.spec",
            Self::StatefulSet
            | Self::Deployment
            | Self::DaemonSet
            | Self::ReplicaSet
            | Self::ReplicationController
            | Self::Job => "spec.template.spec",
        }
    }

    fn group(self) -> &'static str {
        match self {
            Self::StatefulSet | Self::Deployment | Self::DaemonSet | Self::ReplicaSet => "apps",
            Self::Job | Self::CronJob => "batch",
            Self::ReplicationController | Self::Pod => "",
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::StatefulSet => "StatefulSet",
            Self::Deployment => "Deployment",
            Self::DaemonSet => "DaemonSet",
            Self::ReplicaSet => "ReplicaSet",
            Self::ReplicationController => "ReplicationController",
            Self::Job => "Job",
            Self::CronJob => "CronJob",
            Self::Pod => "Pod",
        }
    }

    fn resource(self) -> &'static str {
        match self {
            Self::StatefulSet => "statefulsets",
            Self::Deployment => "deployments",
            Self::DaemonSet => "daemonsets",
            Self::ReplicaSet => "replicasets",
            Self::ReplicationController => "replicationcontrollers",
            Self::Job => "jobs",
            Self::CronJob => "cronjobs",
            Self::Pod => "pods",
        }
    }
}
