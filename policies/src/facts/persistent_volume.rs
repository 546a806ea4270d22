use std::fmt;

use serde::{Deserialize, Deserializer, de};

use super::{
    AccessMode, Metadata, PersistentVolumeSource, Storage, VolumeMode,
    claim::{LEGACY_CLASS, known_mode, known_modes},
    known, nullable,
};
use crate::{
    in_tree,
    text::{Reduce, Strings, Text},
};

/// Mount options separated by commas, from before there was a field for them.
const MOUNT_OPTIONS: &str = "volume.beta.kubernetes.io/mount-options";

/// Set on a volume by whoever bound it, and by whoever made it for a claim. They stay
/// when somebody takes the promise out of it.
pub(crate) const BOUND_BEFORE: [&str; 2] =
    ["pv.kubernetes.io/bound-by-controller", "pv.kubernetes.io/provisioned-by"];

/// The annotations that are read.
const READ: [&str; 4] = [LEGACY_CLASS, MOUNT_OPTIONS, BOUND_BEFORE[0], BOUND_BEFORE[1]];

/// A `PersistentVolume`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct PersistentVolume<'a> {
    /// Name, annotations and the like.
    #[serde(borrow, deserialize_with = "nullable")]
    pub metadata: Metadata<'a>,
    /// Where the data is, and for whom.
    #[serde(borrow, deserialize_with = "nullable")]
    pub spec: PersistentVolumeSpec<'a>,
    /// Whether it can be had.
    #[serde(deserialize_with = "nullable")]
    pub status: PersistentVolumeStatus,
}

impl PersistentVolume<'_> {
    /// The class string a claim must name to bind this volume; `""` is a class
    /// of its own here.
    #[must_use]
    pub fn class(&self) -> &str {
        let legacy = self.metadata.annotations.get(LEGACY_CLASS);
        legacy.or(self.spec.storage_class_name.as_deref()).unwrap_or_default()
    }

    /// Options of the next mount by a plug-in of the kubelet, which prefers the
    /// annotation to the field (`MountOptionFromSpec` in `pkg/volume/util/util.go`).
    #[must_use]
    pub fn in_tree_mount_options(&self) -> Vec<Text<'_>> {
        match self.metadata.annotations.get(MOUNT_OPTIONS) {
            Some(options) => options.split(',').map(Text::from).collect(),
            None => self.spec.mount_options.iter().map(|option| option.as_str().into()).collect(),
        }
    }

    /// Whether the volume is promised to that claim: name and namespace equal,
    /// uid equal or not yet set (`IsVolumeBoundToClaim`).
    #[must_use]
    pub fn names_claim(&self, namespace: &str, name: &str, uid: Option<&str>) -> bool {
        self.spec.claim_ref.as_ref().is_some_and(|claim| {
            claim.namespace == *namespace
                && claim.name == *name
                && claim.uid.as_deref().is_none_or(|at| at.is_empty() || Some(at) == uid)
        })
    }
}

impl Reduce for PersistentVolume<'_> {
    type Stored = PersistentVolume<'static>;

    fn into_stored(self, strings: &mut Strings) -> PersistentVolume<'static> {
        let Self { metadata, spec, status } = self;
        PersistentVolume {
            metadata: metadata.with_annotations(&READ).into_stored(strings),
            spec: spec.into_stored(strings),
            status,
        }
    }
}

/// `spec` of a volume.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PersistentVolumeSpec<'a> {
    /// How the volume may be mounted.
    pub access_modes: Vec<AccessMode>,
    /// How much it holds.
    pub capacity: Storage,
    /// The claim it is promised to.
    pub claim_ref: Option<ClaimRef<'a>>,
    /// Options of the next mount.
    pub mount_options: Vec<Text<'a>>,
    /// Whether it can be mounted on certain nodes only.
    pub requires_node: bool,
    /// Class string.
    pub storage_class_name: Option<Text<'a>>,
    /// `VolumeAttributesClass` by name.
    pub volume_attributes_class_name: Option<Text<'a>>,
    /// Filesystem or raw block device.
    pub volume_mode: VolumeMode,
    /// Where the data is; absent only in an object the apiserver would refuse.
    pub source: Option<PersistentVolumeSource<'a>>,
}

impl<'de: 'a, 'a> Deserialize<'de> for PersistentVolumeSpec<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl<'de> de::Visitor<'de> for Visitor {
            type Value = PersistentVolumeSpec<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the spec of a PersistentVolume")
            }

            // The source is one of many sibling keys, and serde's `flatten`
            // would copy the whole map to find it.
            fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut spec = PersistentVolumeSpec::default();
                while let Some(key) = map.next_key::<Text<'de>>()? {
                    match key.as_str() {
                        "accessModes" => spec.access_modes = map.next_value::<KnownModes>()?.0,
                        "capacity" => spec.capacity = present(&mut map)?,
                        "claimRef" => spec.claim_ref = map.next_value()?,
                        "mountOptions" => spec.mount_options = present(&mut map)?,
                        "nodeAffinity" => {
                            let affinity: NodeAffinity = present(&mut map)?;
                            spec.requires_node = affinity.required.is_some();
                        }
                        "storageClassName" => spec.storage_class_name = map.next_value()?,
                        "volumeAttributesClassName" => {
                            spec.volume_attributes_class_name = map.next_value()?;
                        }
                        "volumeMode" => spec.volume_mode = map.next_value::<KnownMode>()?.0,
                        "nfs" => {
                            let source: Option<_> = map.next_value()?;
                            spec.source = source.map(PersistentVolumeSource::Nfs).or(spec.source);
                        }
                        "csi" => {
                            let source: Option<_> = map.next_value()?;
                            spec.source = source.map(PersistentVolumeSource::Csi).or(spec.source);
                        }
                        "flexVolume" => {
                            let source: Option<_> = map.next_value()?;
                            spec.source = source.map(PersistentVolumeSource::Flex).or(spec.source);
                        }
                        other => {
                            let set = map.next_value::<Option<de::IgnoredAny>>()?.is_some();
                            if set && in_tree::find(other).is_some() {
                                spec.source = Some(PersistentVolumeSource::InTree(key));
                            }
                        }
                    }
                }
                Ok(spec)
            }
        }

        #[derive(Deserialize)]
        struct KnownModes(#[serde(deserialize_with = "known_modes")] Vec<AccessMode>);

        #[derive(Deserialize)]
        struct KnownMode(#[serde(deserialize_with = "known_mode")] VolumeMode);

        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct NodeAffinity {
            required: Option<de::IgnoredAny>,
        }

        fn present<'de, A: de::MapAccess<'de>, T: Deserialize<'de> + Default>(
            map: &mut A,
        ) -> Result<T, A::Error> {
            map.next_value::<Option<T>>().map(Option::unwrap_or_default)
        }

        deserializer.deserialize_map(Visitor)
    }
}

impl Reduce for PersistentVolumeSpec<'_> {
    type Stored = PersistentVolumeSpec<'static>;

    fn into_stored(self, strings: &mut Strings) -> PersistentVolumeSpec<'static> {
        let Self {
            access_modes,
            capacity,
            claim_ref,
            mount_options,
            requires_node,
            storage_class_name,
            volume_attributes_class_name,
            volume_mode,
            source,
        } = self;
        PersistentVolumeSpec {
            access_modes,
            capacity,
            claim_ref: claim_ref.into_stored(strings),
            mount_options: mount_options.into_stored(strings),
            requires_node,
            storage_class_name: storage_class_name.into_stored(strings),
            volume_attributes_class_name: volume_attributes_class_name.into_stored(strings),
            volume_mode,
            source: source.into_stored(strings),
        }
    }
}

/// `status` of a volume.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct PersistentVolumeStatus {
    /// Where in its life it is.
    #[serde(deserialize_with = "known_phase")]
    pub phase: VolumePhase,
}

/// `status.phase` of a volume.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum VolumePhase {
    /// Nobody has looked at it yet; what the apiserver makes of an absent field.
    #[default]
    Pending,
    /// It can be bound.
    Available,
    /// It is bound.
    Bound,
    /// Its claim is gone, and the data is still there.
    Released,
    /// It could not be recycled or deleted.
    Failed,
    /// One that is newer than the engine.
    #[serde(skip)]
    Unknown,
}

fn known_phase<'de, D: de::Deserializer<'de>>(deserializer: D) -> Result<VolumePhase, D::Error> {
    let phase: Text<'de> = nullable(deserializer)?;
    Ok(match phase.as_str() {
        "" => VolumePhase::default(),
        phase => known(phase).unwrap_or(VolumePhase::Unknown),
    })
}

/// `spec.claimRef` of a volume.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct ClaimRef<'a> {
    /// Namespace of the claim.
    #[serde(borrow, deserialize_with = "nullable")]
    pub namespace: Text<'a>,
    /// Name of the claim.
    #[serde(borrow, deserialize_with = "nullable")]
    pub name: Text<'a>,
    /// Identity of the claim; empty while somebody merely reserved the volume.
    #[serde(borrow)]
    pub uid: Option<Text<'a>>,
}

impl Reduce for ClaimRef<'_> {
    type Stored = ClaimRef<'static>;

    fn into_stored(self, strings: &mut Strings) -> ClaimRef<'static> {
        let Self { namespace, name, uid } = self;
        ClaimRef {
            namespace: namespace.into_stored(strings),
            name: name.into_stored(strings),
            uid: uid.into_stored(strings),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_value_keeps_a_volume_from_being_read() {
        for (json, capacity, phase, requires_node) in [
            ("{}", None, VolumePhase::Pending, false),
            (
                r#"{"spec": {"capacity": {"storage": "1Gi"}, "nodeAffinity": {"required": {}}}, "status": {"phase": "Bound"}}"#,
                Some("1Gi"),
                VolumePhase::Bound,
                true,
            ),
            (
                r#"{"spec": {"capacity": {"storage": "x"}, "nodeAffinity": {"required": null}}, "status": {"phase": "Lent"}}"#,
                None,
                VolumePhase::Unknown,
                false,
            ),
            (
                r#"{"spec": {"capacity": null, "nodeAffinity": null}, "status": {"phase": ""}}"#,
                None,
                VolumePhase::Pending,
                false,
            ),
        ] {
            let volume: PersistentVolume<'_> = serde_json::from_str(json).unwrap();
            let PersistentVolumeSpec { capacity: held, requires_node: required, .. } = volume.spec;
            let capacity = capacity.map(|text| text.parse().unwrap());
            assert_eq!((held.storage, required), (capacity, requires_node), "{json}");
            assert_eq!(volume.status.phase, phase, "{json}");
        }
    }
}
