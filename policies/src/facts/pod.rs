use std::fmt;

use serde::{Deserialize, Deserializer, de};

use super::{Claim, CsiSource, FlexSource, Metadata, NfsSource, nullable};
use crate::{
    in_tree,
    text::{Reduce, Strings, Text},
};

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
        let metadata = metadata.with_annotations(&[]).into_stored(strings);
        PodTemplate { metadata, spec: spec.into_stored(strings) }
    }
}

/// The part of a pod's spec that a judgement reads.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodSpec<'a> {
    /// Priority class by name.
    #[serde(borrow)]
    pub priority_class_name: Option<Text<'a>>,
    /// Whom the pod's processes and files belong to.
    #[serde(borrow, deserialize_with = "nullable")]
    pub security_context: PodSecurityContext<'a>,
    /// Operating system, where the pod says so.
    #[serde(borrow)]
    pub os: Option<PodOs<'a>>,
    /// What the pod can mount.
    #[serde(borrow, deserialize_with = "nullable")]
    pub volumes: Vec<PodVolume<'a>>,
}

impl PodSpec<'_> {
    /// Whether the pod says that it runs on Windows, where the apiserver
    /// refuses fsGroup and its policy
    /// (`validateWindows` in `pkg/apis/core/validation/validation.go`).
    #[must_use]
    pub fn is_windows(&self) -> bool {
        self.os.as_ref().is_some_and(|os| os.name == *"windows")
    }
}

impl Reduce for PodSpec<'_> {
    type Stored = PodSpec<'static>;

    fn into_stored(self, strings: &mut Strings) -> PodSpec<'static> {
        let Self { priority_class_name, security_context, os, volumes } = self;
        PodSpec {
            priority_class_name: priority_class_name.into_stored(strings),
            security_context: security_context.into_stored(strings),
            os: os.into_stored(strings),
            volumes: volumes.into_stored(strings),
        }
    }
}

/// `spec.securityContext` of a pod: the part on the files of its volumes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodSecurityContext<'a> {
    /// Group the kubelet gives the files of volumes to.
    pub fs_group: Option<i64>,
    /// When it does: `Always`, which absence means too, or `OnRootMismatch`
    /// (KEP-695).
    #[serde(borrow)]
    pub fs_group_change_policy: Option<Text<'a>>,
}

impl Reduce for PodSecurityContext<'_> {
    type Stored = PodSecurityContext<'static>;

    fn into_stored(self, strings: &mut Strings) -> PodSecurityContext<'static> {
        let Self { fs_group, fs_group_change_policy } = self;
        PodSecurityContext {
            fs_group,
            fs_group_change_policy: fs_group_change_policy.into_stored(strings),
        }
    }
}

/// `spec.os` of a pod.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct PodOs<'a> {
    /// `linux` or `windows`.
    #[serde(borrow, deserialize_with = "nullable")]
    pub name: Text<'a>,
}

impl Reduce for PodOs<'_> {
    type Stored = PodOs<'static>;

    fn into_stored(self, strings: &mut Strings) -> PodOs<'static> {
        let Self { name } = self;
        PodOs { name: name.into_stored(strings) }
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
                            map.next_value::<Option<_>>()?.map(PodVolumeSource::Claim)
                        }
                        "nfs" => map.next_value::<Option<_>>()?.map(PodVolumeSource::Nfs),
                        "csi" => map.next_value::<Option<_>>()?.map(PodVolumeSource::Csi),
                        "flexVolume" => map.next_value::<Option<_>>()?.map(PodVolumeSource::Flex),
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
    /// A claim of the pod's namespace.
    Claim(ClaimSource<'a>),
    /// A claim that comes and goes with the pod.
    Ephemeral(Box<ClaimTemplate<'a>>),
    /// NFS, inline; it cannot carry mount options.
    Nfs(NfsSource<'a>),
    /// A CSI driver, inline.
    Csi(CsiSource<'a>),
    /// A program on the node, inline.
    Flex(FlexSource<'a>),
    /// Another source, by its field name (see [`crate::in_tree`]).
    Other(Text<'a>),
}

impl PodVolumeSource<'_> {
    fn is_known(&self) -> bool {
        match self {
            Self::Claim(_) | Self::Ephemeral(_) | Self::Nfs(_) | Self::Csi(_) | Self::Flex(_) => {
                true
            }
            Self::Other(field) => in_tree::find(field).is_some(),
        }
    }
}

impl Reduce for PodVolumeSource<'_> {
    type Stored = PodVolumeSource<'static>;

    fn into_stored(self, strings: &mut Strings) -> PodVolumeSource<'static> {
        match self {
            Self::Claim(claim) => PodVolumeSource::Claim(claim.into_stored(strings)),
            Self::Ephemeral(claim) => {
                PodVolumeSource::Ephemeral(Box::new(claim.into_stored(strings)))
            }
            Self::Nfs(nfs) => PodVolumeSource::Nfs(nfs.into_stored(strings)),
            Self::Csi(csi) => PodVolumeSource::Csi(csi.into_stored(strings)),
            Self::Flex(flex) => PodVolumeSource::Flex(flex.into_stored(strings)),
            Self::Other(field) => PodVolumeSource::Other(field.into_stored(strings)),
        }
    }
}

/// A claim a pod mounts.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClaimSource<'a> {
    /// Its name.
    #[serde(borrow)]
    pub claim_name: Text<'a>,
    /// Whether the pod may only read it.
    #[serde(default, deserialize_with = "nullable")]
    pub read_only: bool,
}

impl Reduce for ClaimSource<'_> {
    type Stored = ClaimSource<'static>;

    fn into_stored(self, strings: &mut Strings) -> ClaimSource<'static> {
        let Self { claim_name, read_only } = self;
        ClaimSource { claim_name: claim_name.into_stored(strings), read_only }
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
