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
    /// Every kind, with its API group, name and resource.
    const TABLE: [(Self, &'static str, &'static str, &'static str); 5] = [
        (Self::Workload(WorkloadKind::StatefulSet), "apps", "StatefulSet", "statefulsets"),
        (Self::Claim, "", "PersistentVolumeClaim", "persistentvolumeclaims"),
        (Self::Volume, "", "PersistentVolume", "persistentvolumes"),
        (Self::Class, "storage.k8s.io", "StorageClass", "storageclasses"),
        (Self::Namespace, "", "Namespace", "namespaces"),
    ];

    /// The kind of that API group and name, if the engine understands it.
    #[must_use]
    pub fn find(group: &str, kind: &str) -> Option<Self> {
        let mut rows = Self::TABLE.into_iter();
        rows.find(|(_, g, k, _)| *g == group && *k == kind).map(|(found, ..)| found)
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
        self.row().1
    }

    /// Name as in `kind:`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.row().2
    }

    /// Name as in a URL or a webhook rule.
    #[must_use]
    pub fn resource(self) -> &'static str {
        self.row().3
    }

    /// Whether objects of this kind live in a namespace.
    #[must_use]
    pub fn scope(self) -> Scope {
        match self {
            Self::Workload(_) | Self::Claim => Scope::Namespaced,
            Self::Volume | Self::Class | Self::Namespace => Scope::Cluster,
        }
    }

    fn row(self) -> (Self, &'static str, &'static str, &'static str) {
        let mut rows = Self::TABLE.into_iter();
        rows.find(|(kind, ..)| *kind == self).expect("every kind has its row in the table")
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
