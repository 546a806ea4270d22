use serde::{Deserialize, Deserializer};

use super::{Metadata, StringMap, known, nullable};
use crate::text::{Reduce, Strings, Text};

/// Marks the default class, the second in its beta spelling; only the exact
/// value `true` counts (`pkg/volume/util/storageclass.go`).
const DEFAULT_CLASS: [&str; 2] = [
    "storageclass.kubernetes.io/is-default-class",
    "storageclass.beta.kubernetes.io/is-default-class",
];

/// A `StorageClass`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StorageClass<'a> {
    /// Name, annotations and the like.
    #[serde(borrow, deserialize_with = "nullable")]
    pub metadata: Metadata<'a>,
    /// Who makes the volumes.
    #[serde(borrow, deserialize_with = "nullable")]
    pub provisioner: Text<'a>,
    /// What it is told.
    #[serde(borrow, deserialize_with = "nullable")]
    pub parameters: StringMap<'a>,
    /// Mount options of the volumes to come.
    #[serde(borrow, deserialize_with = "nullable")]
    pub mount_options: Vec<Text<'a>>,
    /// When a claim of the class is bound.
    #[serde(deserialize_with = "known_binding_mode")]
    pub volume_binding_mode: BindingMode,
}

impl StorageClass<'_> {
    /// Whether the class is annotated as the cluster's default. Several may be.
    #[must_use]
    pub fn is_default(&self) -> bool {
        let annotations = &self.metadata.annotations;
        DEFAULT_CLASS.iter().any(|key| annotations.get(key) == Some("true"))
    }
}

impl Reduce for StorageClass<'_> {
    type Stored = StorageClass<'static>;

    fn into_stored(self, strings: &mut Strings) -> StorageClass<'static> {
        let Self { metadata, provisioner, parameters, mount_options, volume_binding_mode } = self;
        StorageClass {
            metadata: metadata.into_stored(strings),
            provisioner: provisioner.into_stored(strings),
            parameters: parameters.into_stored(strings),
            mount_options: mount_options.into_stored(strings),
            volume_binding_mode,
        }
    }
}

/// When a claim is bound to a volume.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum BindingMode {
    /// As soon as it is there; what an absent field means, and one that is newer
    /// than the engine (`IsDelayBindingMode` in `pv_helpers.go`).
    #[default]
    Immediate,
    /// Once a pod needs it, by the scheduler.
    WaitForFirstConsumer,
}

fn known_binding_mode<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BindingMode, D::Error> {
    let mode: Text<'de> = nullable(deserializer)?;
    Ok(known(&mode).unwrap_or_default())
}
