use std::fmt;

use super::WorkloadKind;

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
    /// `v1 Namespace`.
    Namespace,
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
    pub const ALL: [Self; 5] = [
        Self::Workload(WorkloadKind::StatefulSet),
        Self::Claim,
        Self::Volume,
        Self::Class,
        Self::Namespace,
    ];

    /// The kind of that API group and name, if the engine understands it.
    #[must_use]
    pub fn find(group: &str, kind: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|found| found.group() == group && found.as_str() == kind)
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
            Self::Workload(WorkloadKind::StatefulSet) => "apps",
            Self::Class => "storage.k8s.io",
            Self::Claim | Self::Volume | Self::Namespace => "",
        }
    }

    /// Name as in `kind:`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Workload(WorkloadKind::StatefulSet) => "StatefulSet",
            Self::Claim => "PersistentVolumeClaim",
            Self::Volume => "PersistentVolume",
            Self::Class => "StorageClass",
            Self::Namespace => "Namespace",
        }
    }

    /// Name as in a URL or a webhook rule.
    #[must_use]
    pub fn resource(self) -> &'static str {
        match self {
            Self::Workload(WorkloadKind::StatefulSet) => "statefulsets",
            Self::Claim => "persistentvolumeclaims",
            Self::Volume => "persistentvolumes",
            Self::Class => "storageclasses",
            Self::Namespace => "namespaces",
        }
    }

    /// Whether objects of this kind live in a namespace.
    #[must_use]
    pub fn scope(self) -> Scope {
        match self {
            Self::Workload(_) | Self::Claim => Scope::Namespaced,
            Self::Volume | Self::Class | Self::Namespace => Scope::Cluster,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
