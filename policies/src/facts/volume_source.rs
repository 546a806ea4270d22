use serde::Deserialize;

use super::{StringMap, nullable};
use crate::text::{Reduce, Strings, Text};

/// Where a volume's data is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PersistentVolumeSource<'a> {
    /// The in-tree `nfs` source.
    Nfs(NfsSource<'a>),
    /// A CSI driver.
    Csi(CsiSource<'a>),
    /// A program on the node.
    Flex(FlexSource<'a>),
    /// Another in-tree source, by its field name (see [`in_tree`](crate::in_tree)).
    InTree(Text<'a>),
}

impl Reduce for PersistentVolumeSource<'_> {
    type Stored = PersistentVolumeSource<'static>;

    fn into_stored(self, strings: &mut Strings) -> PersistentVolumeSource<'static> {
        match self {
            Self::Nfs(nfs) => PersistentVolumeSource::Nfs(nfs.into_stored(strings)),
            Self::Csi(csi) => PersistentVolumeSource::Csi(csi.into_stored(strings)),
            Self::Flex(flex) => PersistentVolumeSource::Flex(flex.into_stored(strings)),
            Self::InTree(field) => PersistentVolumeSource::InTree(field.into_stored(strings)),
        }
    }
}

/// The in-tree `nfs` source, of a volume or inline in a pod.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct NfsSource<'a> {
    /// Host name or address.
    #[serde(borrow, default, deserialize_with = "nullable")]
    pub server: Text<'a>,
    /// Exported path.
    #[serde(borrow, default, deserialize_with = "nullable")]
    pub path: Text<'a>,
}

impl Reduce for NfsSource<'_> {
    type Stored = NfsSource<'static>;

    fn into_stored(self, strings: &mut Strings) -> NfsSource<'static> {
        let Self { server, path } = self;
        NfsSource { server: server.into_stored(strings), path: path.into_stored(strings) }
    }
}

/// A CSI source, of a volume or inline in a pod.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CsiSource<'a> {
    /// Name of the driver.
    #[serde(borrow)]
    pub driver: Text<'a>,
    /// The driver's own name of the volume; inline volumes have none.
    #[serde(borrow)]
    pub volume_handle: Option<Text<'a>>,
    /// Filesystem type the driver is told.
    #[serde(borrow)]
    pub fs_type: Option<Text<'a>>,
    /// Whether it may only be read. Inline only: of a PersistentVolume the
    /// kubelet asks the pod's use of the claim.
    #[serde(default, deserialize_with = "nullable")]
    pub read_only: bool,
    /// What else the driver is told.
    #[serde(borrow, default, deserialize_with = "nullable")]
    pub volume_attributes: StringMap<'a>,
}

impl Reduce for CsiSource<'_> {
    type Stored = CsiSource<'static>;

    fn into_stored(self, strings: &mut Strings) -> CsiSource<'static> {
        let Self { driver, volume_handle, fs_type, read_only, volume_attributes } = self;
        CsiSource {
            driver: driver.into_stored(strings),
            volume_handle: volume_handle.map(|handle| handle.to_shared()),
            fs_type: fs_type.into_stored(strings),
            read_only,
            volume_attributes: volume_attributes.into_stored(strings),
        }
    }
}

/// The in-tree `flexVolume` source, of a volume or inline in a pod.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FlexSource<'a> {
    /// Name of the program, e.g. `alicloud/nas`.
    #[serde(borrow, default, deserialize_with = "nullable")]
    pub driver: Text<'a>,
    /// Whether it may only be read.
    #[serde(default, deserialize_with = "nullable")]
    pub read_only: bool,
}

impl Reduce for FlexSource<'_> {
    type Stored = FlexSource<'static>;

    fn into_stored(self, strings: &mut Strings) -> FlexSource<'static> {
        let Self { driver, read_only } = self;
        FlexSource { driver: driver.into_stored(strings), read_only }
    }
}
