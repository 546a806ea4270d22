use serde::{Deserialize, Deserializer};

use super::{Metadata, known, nullable};
use crate::{
    quantity::{self, Quantity},
    selector::LabelSelector,
    text::{Reduce, Strings, Text},
};

/// Still honoured, and it wins over the field, even when empty:
/// `component-helpers/storage/volume/helpers.go`.
pub(super) const LEGACY_CLASS: &str = "volume.beta.kubernetes.io/storage-class";

/// A `PersistentVolumeClaim`, or a template that becomes one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Claim<'a> {
    /// Name, labels and the like.
    #[serde(borrow, deserialize_with = "nullable")]
    pub metadata: Metadata<'a>,
    /// What is asked for.
    #[serde(borrow, deserialize_with = "nullable")]
    pub spec: ClaimSpec<'a>,
    /// What the volume controller says of it.
    #[serde(deserialize_with = "nullable")]
    pub status: ClaimStatus,
}

impl Claim<'_> {
    /// Which storage class the claim asks for.
    #[must_use]
    pub fn class(&self) -> ClassReference<'_> {
        let legacy = self.metadata.annotations.get(LEGACY_CLASS);
        match legacy.or(self.spec.storage_class_name.as_deref()) {
            None => ClassReference::Default,
            Some("") => ClassReference::Classless,
            Some(name) => ClassReference::Named(name),
        }
    }

    /// The volume the claim is bound to, or asks for by name.
    #[must_use]
    pub fn volume_name(&self) -> Option<&str> {
        self.spec.volume_name.as_deref().filter(|name| !name.is_empty())
    }
}

impl Reduce for Claim<'_> {
    type Stored = Claim<'static>;

    fn into_stored(self, strings: &mut Strings) -> Claim<'static> {
        let Self { metadata, spec, status } = self;
        Claim { metadata: metadata.into_stored(strings), spec: spec.into_stored(strings), status }
    }
}

/// `spec` of a claim.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ClaimSpec<'a> {
    /// How the volume is to be mounted.
    #[serde(deserialize_with = "known_modes")]
    pub access_modes: Vec<AccessMode>,
    /// How much is asked for.
    #[serde(deserialize_with = "nullable")]
    pub resources: ClaimResources,
    /// The volumes that will do, by their labels; any if absent.
    pub selector: Option<LabelSelector>,
    /// Class by name; absent means the cluster's default, `""` means none.
    #[serde(borrow)]
    pub storage_class_name: Option<Text<'a>>,
    /// `VolumeAttributesClass` by name.
    #[serde(borrow)]
    pub volume_attributes_class_name: Option<Text<'a>>,
    /// Filesystem or raw block device.
    #[serde(deserialize_with = "known_mode")]
    pub volume_mode: VolumeMode,
    /// Volume by name: set by the binder, or by a person who wants that one.
    #[serde(borrow)]
    pub volume_name: Option<Text<'a>>,
}

impl Reduce for ClaimSpec<'_> {
    type Stored = ClaimSpec<'static>;

    fn into_stored(self, strings: &mut Strings) -> ClaimSpec<'static> {
        let Self {
            access_modes,
            resources,
            selector,
            storage_class_name,
            volume_attributes_class_name,
            volume_mode,
            volume_name,
        } = self;
        ClaimSpec {
            access_modes,
            resources,
            selector,
            storage_class_name: storage_class_name.into_stored(strings),
            volume_attributes_class_name: volume_attributes_class_name.into_stored(strings),
            volume_mode,
            volume_name: volume_name.into_stored(strings),
        }
    }
}

/// `spec.resources` of a claim.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct ClaimResources {
    /// What a volume must have at the least.
    #[serde(deserialize_with = "nullable")]
    pub requests: Storage,
}

/// A list of resources, of which storage alone matters here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Storage {
    /// Bytes; absent where the text is no quantity.
    #[serde(deserialize_with = "quantity::if_readable")]
    pub storage: Option<Quantity>,
}

/// `status` of a claim.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct ClaimStatus {
    /// Where in its life it is.
    #[serde(deserialize_with = "known_phase")]
    pub phase: ClaimPhase,
}

/// `status.phase` of a claim.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum ClaimPhase {
    /// It has no volume yet; so reads one that is newer than the engine.
    #[default]
    Pending,
    /// It has its volume, and both say so.
    Bound,
    /// Its volume is gone, or another's.
    Lost,
}

fn known_phase<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ClaimPhase, D::Error> {
    let phase: Text<'de> = nullable(deserializer)?;
    Ok(known(&phase).unwrap_or_default())
}

/// Which storage class a claim asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ClassReference<'a> {
    /// None named: whatever the cluster's default is.
    Default,
    /// `""`: no class at all, only volumes without one will do.
    Classless,
    /// By name; such a class need not exist for static volumes to bind.
    Named(&'a str),
}

/// One of a claim's or volume's access modes.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize, serde::Serialize, schemars::JsonSchema,
)]
pub enum AccessMode {
    /// Read and write, on one node.
    ReadWriteOnce,
    /// Read only, on many nodes.
    ReadOnlyMany,
    /// Read and write, on many nodes.
    ReadWriteMany,
    /// Read and write, by one pod.
    ReadWriteOncePod,
}

/// The access modes this engine knows. One that is newer must not keep a whole
/// kind out of the caches, and no condition can ask for it.
pub(super) fn known_modes<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<AccessMode>, D::Error> {
    let modes: Vec<Text<'de>> = nullable(deserializer)?;
    Ok(modes.iter().filter_map(|mode| known(mode)).collect())
}

/// The volume mode; one this engine does not know is taken for a filesystem,
/// which is the mode that can be NFS.
pub(super) fn known_mode<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<VolumeMode, D::Error> {
    let mode: Text<'de> = nullable(deserializer)?;
    Ok(known(&mode).unwrap_or_default())
}

/// How a volume reaches its pod.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    Hash,
    Deserialize,
    serde::Serialize,
    schemars::JsonSchema,
)]
pub enum VolumeMode {
    /// Mounted as a directory; what an absent field means.
    #[default]
    Filesystem,
    /// Handed over as a device: never an NFS mount.
    Block,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_newer_than_the_engine_are_read_and_null_is_absent() {
        for (json, modes, mode) in [
            (
                r#"{"spec": {"accessModes": ["ReadWriteOnce", "ReadWriteHolographic"], "volumeMode": "Tape"}}"#,
                vec![AccessMode::ReadWriteOnce],
                VolumeMode::Filesystem,
            ),
            (
                r#"{"spec": {"accessModes": null, "volumeMode": "Block"}}"#,
                vec![],
                VolumeMode::Block,
            ),
            (r#"{"metadata": null, "spec": null}"#, vec![], VolumeMode::Filesystem),
            (r"{}", vec![], VolumeMode::Filesystem),
        ] {
            let claim: Claim<'_> = serde_json::from_str(json).unwrap();
            assert_eq!((claim.spec.access_modes, claim.spec.volume_mode), (modes, mode), "{json}");
        }
    }

    #[test]
    fn a_request_that_is_no_quantity_is_absent() {
        for (json, expected) in [
            (r#"{"requests": {"storage": "10Gi", "cpu": []}}"#, Some("10Gi")),
            (r#"{"requests": {"storage": 5}}"#, Some("5")),
            (r#"{"requests": {"storage": "a lot"}}"#, None),
            (r#"{"requests": {"storage": null}}"#, None),
            (r#"{"requests": null}"#, None),
            ("null", None),
        ] {
            let json = format!(r#"{{"spec": {{"resources": {json}}}}}"#);
            let claim: Claim<'_> = serde_json::from_str(&json).unwrap();
            let expected = expected.map(|text| text.parse().unwrap());
            assert_eq!(claim.spec.resources.requests.storage, expected, "{json}");
        }
    }
}
