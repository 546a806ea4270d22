use std::fmt;

use crate::facts::WorkloadKind;

/// Where in a subject a volume is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// An entry of a set's `volumeClaimTemplates`.
    ClaimTemplate(usize),
    /// An entry of a pod's `volumes`.
    PodVolume {
        /// Kind of the object the pod's spec is in.
        kind: WorkloadKind,
        /// Which entry.
        at: usize,
    },
    /// A claim's class.
    ClaimClass,
    /// The volume a claim names.
    ClaimVolume,
}

impl fmt::Display for Place {
    /// As a field path of the Kubernetes API.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ClaimTemplate(at) => write!(f, "spec.volumeClaimTemplates[{at}]"),
            Self::PodVolume { kind, at } => write!(f, "{}.volumes[{at}]", kind.pod_spec_path()),
            Self::ClaimClass => f.write_str("spec.storageClassName"),
            Self::ClaimVolume => f.write_str("spec.volumeName"),
        }
    }
}
