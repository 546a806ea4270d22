use std::fmt;

use serde::{Deserialize, Deserializer, de};

use super::{Claim, CsiSource, Metadata, NfsSource, nullable};
use crate::{
    in_tree,
    text::{Reduce, Strings, Text},
};

/// Something that runs pods, whatever its kind: its own metadata, the pod it
/// makes, and the claims it makes for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workload<'a> {
    /// Which kind it is.
    pub kind: WorkloadKind,
    /// Its own metadata; the pods' is in the template.
    pub metadata: Metadata<'a>,
    /// The pod it makes.
    pub template: PodTemplate<'a>,
    /// The claims it makes for each pod (`volumeClaimTemplates`).
    pub claim_templates: Vec<Claim<'a>>,
}

impl<'a> Workload<'a> {
    /// Reads the object of that kind.
    pub(super) fn read<'de: 'a, D: Deserializer<'de>>(
        kind: WorkloadKind,
        deserializer: D,
    ) -> Result<Self, D::Error> {
        match kind {
            WorkloadKind::StatefulSet => StatefulSet::deserialize(deserializer).map(Into::into),
        }
    }
}

impl Reduce for Workload<'_> {
    type Stored = Workload<'static>;

    fn into_stored(self, strings: &mut Strings) -> Workload<'static> {
        let Self { kind, metadata, template, claim_templates } = self;
        Workload {
            kind,
            metadata: metadata.into_stored(strings),
            template: template.into_stored(strings),
            claim_templates: claim_templates.into_stored(strings),
        }
    }
}

/// The kinds that run pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum WorkloadKind {
    /// `apps/v1 StatefulSet`.
    StatefulSet,
}

impl WorkloadKind {
    /// Every kind.
    pub const ALL: [Self; 1] = [Self::StatefulSet];
}

#[derive(Deserialize)]
struct StatefulSet<'a> {
    #[serde(borrow, default, deserialize_with = "nullable")]
    metadata: Metadata<'a>,
    #[serde(borrow)]
    spec: StatefulSetSpec<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct StatefulSetSpec<'a> {
    #[serde(borrow)]
    template: PodTemplate<'a>,
    #[serde(borrow, default, deserialize_with = "nullable")]
    volume_claim_templates: Vec<Claim<'a>>,
}

impl<'a> From<StatefulSet<'a>> for Workload<'a> {
    fn from(StatefulSet { metadata, spec }: StatefulSet<'a>) -> Self {
        let StatefulSetSpec { template, volume_claim_templates } = spec;
        Self {
            kind: WorkloadKind::StatefulSet,
            metadata,
            template,
            claim_templates: volume_claim_templates,
        }
    }
}

/// The pod a workload makes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct PodTemplate<'a> {
    /// The pods' labels and annotations.
    #[serde(borrow, deserialize_with = "nullable")]
    pub metadata: Metadata<'a>,
    /// What runs.
    #[serde(borrow, deserialize_with = "nullable")]
    pub spec: PodSpec<'a>,
}

impl Reduce for PodTemplate<'_> {
    type Stored = PodTemplate<'static>;

    fn into_stored(self, strings: &mut Strings) -> PodTemplate<'static> {
        let Self { metadata, spec } = self;
        PodTemplate { metadata: metadata.into_stored(strings), spec: spec.into_stored(strings) }
    }
}

/// The part of a pod's spec that a judgement reads.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodSpec<'a> {
    /// Priority class by name.
    #[serde(borrow)]
    pub priority_class_name: Option<Text<'a>>,
    /// What the pod can mount.
    #[serde(borrow, deserialize_with = "nullable")]
    pub volumes: Vec<PodVolume<'a>>,
}

impl Reduce for PodSpec<'_> {
    type Stored = PodSpec<'static>;

    fn into_stored(self, strings: &mut Strings) -> PodSpec<'static> {
        let Self { priority_class_name, volumes } = self;
        PodSpec {
            priority_class_name: priority_class_name.into_stored(strings),
            volumes: volumes.into_stored(strings),
        }
    }
}

/// One entry of `spec.volumes` of a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodVolume<'a> {
    /// Name that the containers mount it by.
    pub name: Text<'a>,
    /// Where the data is; absent only in an object the apiserver would refuse.
    pub source: Option<PodVolumeSource<'a>>,
}

impl<'de: 'a, 'a> Deserialize<'de> for PodVolume<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl<'de> de::Visitor<'de> for Visitor {
            type Value = PodVolume<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a volume of a pod")
            }

            fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut name = Text::default();
                let mut source: Option<PodVolumeSource<'de>> = None;
                while let Some(key) = map.next_key::<Text<'de>>()? {
                    let read = match key.as_str() {
                        "name" => {
                            name = map.next_value()?;
                            continue;
                        }
                        "persistentVolumeClaim" => {
                            map.next_value::<Option<ClaimSource<'de>>>()?.map(Into::into)
                        }
                        "nfs" => map.next_value::<Option<_>>()?.map(PodVolumeSource::Nfs),
                        "csi" => map.next_value::<Option<_>>()?.map(PodVolumeSource::Csi),
                        "ephemeral" => map.next_value::<Option<Ephemeral<'de>>>()?.map(Into::into),
                        _ => map
                            .next_value::<Option<de::IgnoredAny>>()?
                            .map(|_| PodVolumeSource::Other(key)),
                    };
                    source = match (source, read) {
                        (Some(one), Some(other)) if one.is_known() && other.is_known() => {
                            return Err(de::Error::custom("a volume has one source, not two"));
                        }
                        // A field newer than this engine may stand beside the source.
                        (Some(one), Some(_)) if one.is_known() => Some(one),
                        (one, other) => other.or(one),
                    };
                }
                Ok(PodVolume { name, source })
            }
        }

        deserializer.deserialize_map(Visitor)
    }
}

impl Reduce for PodVolume<'_> {
    type Stored = PodVolume<'static>;

    fn into_stored(self, strings: &mut Strings) -> PodVolume<'static> {
        let Self { name, source } = self;
        PodVolume { name: name.into_stored(strings), source: source.into_stored(strings) }
    }
}

/// Where a pod's volume has its data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PodVolumeSource<'a> {
    /// A claim of the pod's namespace, by name.
    Claim(Text<'a>),
    /// A claim that comes and goes with the pod.
    Ephemeral(Box<ClaimTemplate<'a>>),
    /// NFS, inline; it cannot carry mount options.
    Nfs(NfsSource<'a>),
    /// A CSI driver, inline.
    Csi(CsiSource<'a>),
    /// Another source, by its field name (see [`crate::in_tree`]).
    Other(Text<'a>),
}

impl PodVolumeSource<'_> {
    fn is_known(&self) -> bool {
        match self {
            Self::Claim(_) | Self::Ephemeral(_) | Self::Nfs(_) | Self::Csi(_) => true,
            Self::Other(field) => in_tree::find(field).is_some(),
        }
    }
}

impl Reduce for PodVolumeSource<'_> {
    type Stored = PodVolumeSource<'static>;

    fn into_stored(self, strings: &mut Strings) -> PodVolumeSource<'static> {
        match self {
            Self::Claim(name) => PodVolumeSource::Claim(name.into_stored(strings)),
            Self::Ephemeral(claim) => {
                PodVolumeSource::Ephemeral(Box::new(claim.into_stored(strings)))
            }
            Self::Nfs(nfs) => PodVolumeSource::Nfs(nfs.into_stored(strings)),
            Self::Csi(csi) => PodVolumeSource::Csi(csi.into_stored(strings)),
            Self::Other(field) => PodVolumeSource::Other(field.into_stored(strings)),
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ClaimSource<'a> {
    #[serde(borrow)]
    claim_name: Text<'a>,
}

impl<'a> From<ClaimSource<'a>> for PodVolumeSource<'a> {
    fn from(ClaimSource { claim_name }: ClaimSource<'a>) -> Self {
        Self::Claim(claim_name)
    }
}

/// A claim without a name of its own yet.
pub type ClaimTemplate<'a> = Claim<'a>;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Ephemeral<'a> {
    #[serde(borrow, default, deserialize_with = "nullable")]
    volume_claim_template: ClaimTemplate<'a>,
}

impl<'a> From<Ephemeral<'a>> for PodVolumeSource<'a> {
    fn from(Ephemeral { volume_claim_template }: Ephemeral<'a>) -> Self {
        Self::Ephemeral(Box::new(volume_claim_template))
    }
}
