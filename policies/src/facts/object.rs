use serde::{Deserialize, Deserializer};

use super::{
    Claim, CsiDriver, Exemption, Kind, Metadata, PersistentVolume, StorageClass, Workload, nullable,
};
use crate::text::{Reduce, Strings};

/// One Kubernetes object, reduced to facts.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "the tables hold each kind by itself, not this")]
pub enum Object<'a> {
    /// Something that runs pods.
    Workload(Workload<'a>),
    /// A `PersistentVolumeClaim`.
    Claim(Claim<'a>),
    /// A `PersistentVolume`.
    Volume(PersistentVolume<'a>),
    /// A `StorageClass`.
    Class(StorageClass<'a>),
    /// A `CSIDriver`.
    CsiDriver(CsiDriver<'a>),
    /// A `Namespace`.
    Namespace(Namespace<'a>),
    /// A `StorageExemption`.
    Exemption(Exemption<'a>),
}

impl<'a> Object<'a> {
    /// Reads an object of that kind, skipping whatever no rule reads.
    ///
    /// # Errors
    /// A field in use has the wrong type, or one that must be there is not.
    pub fn read<'de: 'a, D: Deserializer<'de>>(
        kind: Kind,
        deserializer: D,
    ) -> Result<Self, D::Error> {
        Ok(match kind {
            Kind::Workload(kind) => Self::Workload(Workload::read(kind, deserializer)?),
            Kind::Claim => Self::Claim(Claim::deserialize(deserializer)?),
            Kind::Volume => Self::Volume(PersistentVolume::deserialize(deserializer)?),
            Kind::Class => Self::Class(StorageClass::deserialize(deserializer)?),
            Kind::CsiDriver => Self::CsiDriver(CsiDriver::deserialize(deserializer)?),
            Kind::Namespace => Self::Namespace(Namespace::deserialize(deserializer)?),
            Kind::Exemption => Self::Exemption(Exemption::deserialize(deserializer)?),
        })
    }

    /// The object's kind.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::Workload(workload) => Kind::Workload(workload.kind),
            Self::Claim(_) => Kind::Claim,
            Self::Volume(_) => Kind::Volume,
            Self::Class(_) => Kind::Class,
            Self::CsiDriver(_) => Kind::CsiDriver,
            Self::Namespace(_) => Kind::Namespace,
            Self::Exemption(_) => Kind::Exemption,
        }
    }

    /// The object's metadata.
    #[must_use]
    pub fn metadata(&self) -> &Metadata<'a> {
        match self {
            Self::Workload(Workload { metadata, .. })
            | Self::Claim(Claim { metadata, .. })
            | Self::Volume(PersistentVolume { metadata, .. })
            | Self::Class(StorageClass { metadata, .. })
            | Self::CsiDriver(CsiDriver { metadata, .. })
            | Self::Namespace(Namespace { metadata })
            | Self::Exemption(Exemption { metadata, .. }) => metadata,
        }
    }

    /// The object's metadata, to be completed.
    #[must_use]
    pub fn metadata_mut(&mut self) -> &mut Metadata<'a> {
        match self {
            Self::Workload(Workload { metadata, .. })
            | Self::Claim(Claim { metadata, .. })
            | Self::Volume(PersistentVolume { metadata, .. })
            | Self::Class(StorageClass { metadata, .. })
            | Self::CsiDriver(CsiDriver { metadata, .. })
            | Self::Namespace(Namespace { metadata })
            | Self::Exemption(Exemption { metadata, .. }) => metadata,
        }
    }
}

impl Reduce for Object<'_> {
    type Stored = Object<'static>;

    fn into_stored(self, strings: &mut Strings) -> Object<'static> {
        match self {
            Self::Workload(workload) => Object::Workload(workload.into_stored(strings)),
            Self::Claim(claim) => Object::Claim(claim.into_stored(strings)),
            Self::Volume(volume) => Object::Volume(volume.into_stored(strings)),
            Self::Class(class) => Object::Class(class.into_stored(strings)),
            Self::CsiDriver(driver) => Object::CsiDriver(driver.into_stored(strings)),
            Self::Namespace(namespace) => Object::Namespace(namespace.into_stored(strings)),
            Self::Exemption(exemption) => Object::Exemption(exemption.into_stored(strings)),
        }
    }
}

/// A `Namespace`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Namespace<'a> {
    /// Name and labels.
    #[serde(borrow, default, deserialize_with = "nullable")]
    pub metadata: Metadata<'a>,
}

impl Reduce for Namespace<'_> {
    type Stored = Namespace<'static>;

    fn into_stored(self, strings: &mut Strings) -> Namespace<'static> {
        let Self { metadata } = self;
        Namespace { metadata: metadata.into_stored(strings) }
    }
}
