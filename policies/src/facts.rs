//! What the engine knows of Kubernetes objects: the few fields a judgement
//! reads, borrowed from the input while it is judged.
//!
//! Unknown fields are skipped and `null` reads as absent, as the apiserver
//! itself does; a field of the wrong type is an error naming its place.

mod claim;
mod class;
mod csi_driver;
mod kind;
mod metadata;
mod object;
mod persistent_volume;
mod pod;
mod workload;

pub use claim::{AccessMode, Claim, ClaimSpec, ClassReference, VolumeMode};
pub use class::StorageClass;
pub use csi_driver::{CsiDriver, CsiDriverSpec, FsGroupPolicy};
pub use kind::{Kind, Scope, WorkloadKind};
pub use metadata::{Metadata, OwnerReference, ResourceVersion, StringMap};
pub use object::{Namespace, Object};
pub use persistent_volume::{
    ClaimRef, CsiSource, FlexSource, NfsSource, PersistentVolume, PersistentVolumeSource,
    PersistentVolumeSpec,
};
pub use pod::{
    ClaimSource, ClaimTemplate, PodOs, PodSecurityContext, PodSpec, PodTemplate, PodVolume,
    PodVolumeSource,
};
pub use workload::Workload;

use serde::{Deserialize, Deserializer};

/// Reads a field whose `null` means "absent", as Go's decoder takes it.
fn nullable<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}
