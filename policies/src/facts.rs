//! What the engine knows of Kubernetes objects: the few fields a judgement
//! reads, borrowed from the input while it is judged.
//!
//! Unknown fields are skipped and `null` reads as absent, as the apiserver
//! itself does; a field of the wrong type is an error naming its place.

mod claim;
mod class;
mod csi_driver;
mod exemption;
mod kind;
mod metadata;
mod object;
mod persistent_volume;
mod pod;
mod volume_source;
mod workload;

pub use claim::{
    AccessMode, Claim, ClaimPhase, ClaimResources, ClaimSpec, ClaimStatus, ClassReference, Storage,
    VolumeMode,
};
pub use class::{BindingMode, StorageClass};
pub use csi_driver::{CsiDriver, CsiDriverSpec, FsGroupPolicy};
pub use exemption::{Exemption, ExemptionSpec, ExemptionTarget};
pub use kind::{Kind, Scope, WorkloadKind};
pub use metadata::{Metadata, OwnerReference, ResourceVersion, StringMap};
pub use object::{Namespace, Object};
pub(crate) use persistent_volume::BOUND_BEFORE;
pub use persistent_volume::{
    ClaimRef, PersistentVolume, PersistentVolumeSpec, PersistentVolumeStatus, VolumePhase,
};
pub use pod::{
    ClaimSource, ClaimTemplate, PodOs, PodSecurityContext, PodSpec, PodTemplate, PodVolume,
    PodVolumeSource,
};
pub use volume_source::{CsiSource, FlexSource, NfsSource, PersistentVolumeSource};
pub(crate) use workload::MIRROR_POD;
pub use workload::Workload;

use serde::{
    Deserialize, Deserializer,
    de::{
        DeserializeOwned, IntoDeserializer,
        value::{self, StrDeserializer},
    },
};

/// Reads a field whose `null` means "absent", as Go's decoder takes it.
pub(crate) fn nullable<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

/// The variant of that name, if there is one: a value newer than the engine
/// must not keep the object that holds it out of the caches.
pub(crate) fn known<T: DeserializeOwned>(name: &str) -> Option<T> {
    let name: StrDeserializer<'_, value::Error> = name.into_deserializer();
    T::deserialize(name).ok()
}
