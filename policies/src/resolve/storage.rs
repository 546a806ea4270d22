//! From a volume, or a driver, to the storage and how the kubelet mounts it.

use std::cmp::Reverse;

use jiff::Timestamp;

use super::{Resolver, Volume};
use crate::{
    backing::{Backing, Hop, Kind, Nfs, Unknown},
    catalogue::{
        Driver, Probe,
        signals::{self, Signal},
    },
    cluster::Lookup,
    facts::{
        self, AccessMode, CsiSource, FlexSource, FsGroupPolicy, NfsSource, PersistentVolume,
        PersistentVolumeSource, StringMap, VolumeMode,
    },
    in_tree::{self, InTree},
    text::Text,
};

/// What a volume ends up on, and how it is mounted.
#[derive(Clone, Debug)]
pub(super) struct Storage {
    pub(super) backing: Backing,
    /// Each way it may be mounted: while it is not decided which of several
    /// volumes it will be, what is true of one of them counts.
    pub(super) mounts: Vec<Mount>,
    /// Since when the claim is there that is bound to it; absent while none is.
    pub(super) bound_since: Option<Timestamp>,
}

/// What a driver is told of a volume.
pub(super) struct Told<'t> {
    /// Where an NFS driver would be told its server and share.
    pub(super) attributes: &'t StringMap<'t>,
    pub(super) mount_options: &'t [Text<'t>],
    /// The class that asks for the volume, while there is none yet.
    pub(super) class: Option<&'t str>,
}

/// How the kubelet mounts a volume, as far as it decides who gives its files to
/// the pod's fsGroup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Mount {
    /// Nobody does: a raw device, a plug-in that leaves owners alone, or a
    /// volume that may only be read.
    KeepsOwner,
    /// A plug-in of the kubelet does.
    InTree,
    /// A CSI driver mounts it.
    Csi {
        driver: String,
        /// Whether the volume has a filesystem type, or may have one.
        has_fs_type: bool,
        /// Whether one node or one pod alone may write to it.
        single_writer: bool,
    },
    /// The objects at hand do not tell.
    Unknown,
}

impl Storage {
    fn new(backing: Backing, mount: Mount) -> Self {
        Self { backing, mounts: vec![mount], bound_since: None }
    }

    /// The same, handed over raw: no mount, unless its driver is known to make
    /// devices of one.
    pub(super) fn raw(self) -> Self {
        let backing = match self.backing {
            Backing::Unknown(_) => Backing::Other(Kind::Block),
            known => known,
        };
        Self::new(backing, Mount::KeepsOwner)
    }

    /// What has been there for longer is borne with sooner: of equally bad ends the
    /// newest is the worst.
    pub(super) fn is_worse(&self, than: &Self) -> bool {
        let age = |storage: &Self| storage.bound_since.unwrap_or(Timestamp::MAX);
        (self.rank(), Reverse(age(self))) < (than.rank(), Reverse(age(than)))
    }

    /// The worst comes first: NFS, then what nobody can name, then the rest.
    fn rank(&self) -> u8 {
        match self.backing.kind() {
            Kind::Nfs => 0,
            Kind::Unknown => 1,
            Kind::OtherNetworkFs => 2,
            Kind::Block | Kind::Local => 3,
        }
    }
}

impl From<Unknown> for Storage {
    fn from(unknown: Unknown) -> Self {
        Self::new(Backing::Unknown(unknown), Mount::Unknown)
    }
}

/// The worst of several possible ends, and the way to it; of equally bad ones
/// the first. It may be mounted in the way of any of them.
pub(super) fn worst<W>(ends: impl IntoIterator<Item = (W, Storage)>) -> Option<(W, Storage)> {
    ends.into_iter().reduce(|(way, one), (other_way, other)| {
        let (way, mut worse, better) =
            if other.is_worse(&one) { (other_way, other, one) } else { (way, one, other) };
        for mount in better.mounts {
            if !worse.mounts.contains(&mount) {
                worse.mounts.push(mount);
            }
        }
        (way, worse)
    })
}

impl Resolver<'_> {
    /// Whether the kubelet may walk over every file of the volume to give it to
    /// the pod's fsGroup, which is what `fsGroupChangePolicy` is about. Where
    /// the objects do not tell, it may.
    ///
    /// Source: `supportsFSGroup` in `pkg/volume/csi/csi_mounter.go`; a driver
    /// without a `CSIDriver` object is treated as one with the default policy.
    #[must_use]
    pub fn changes_owner(&self, volume: &Volume<'_>) -> bool {
        volume.mounts.iter().any(|mount| self.mount_changes_owner(mount))
    }

    fn mount_changes_owner(&self, mount: &Mount) -> bool {
        let (driver, has_fs_type, single_writer) = match mount {
            Mount::KeepsOwner => return false,
            Mount::InTree | Mount::Unknown => return true,
            Mount::Csi { driver, has_fs_type, single_writer } => {
                (driver, *has_fs_type, *single_writer)
            }
        };
        let known = self.catalogue.find(driver);
        if known.is_some_and(|known| known.takes_fs_group) {
            return false;
        }
        // The object is what the kubelet asks. The catalogue stands in where
        // there is none to see: in a snapshot without drivers.
        let policy = match self.cluster.csi_driver(driver) {
            Lookup::Found(found) => found.spec.fs_group_policy,
            Lookup::Missing => known.and_then(|known| known.fs_group_policy).unwrap_or_default(),
            Lookup::NotSynced => {
                self.not_synced(facts::Kind::CsiDriver);
                return true;
            }
        };
        match policy {
            FsGroupPolicy::File => true,
            FsGroupPolicy::None => false,
            FsGroupPolicy::ReadWriteOnceWithFsType => has_fs_type && single_writer,
        }
    }

    pub(super) fn volume(&self, volume: &PersistentVolume<'_>, hops: &mut Vec<Hop>) -> Storage {
        let spec = &volume.spec;
        let probe = Probe {
            access_modes: &spec.access_modes,
            volume_mode: spec.volume_mode,
            ..Probe::default()
        };
        // Only a driver can make a device of something else.
        let raw = spec.volume_mode == VolumeMode::Block;
        match &spec.source {
            Some(PersistentVolumeSource::Csi(csi)) => {
                let storage = self.csi(csi, &probe, &spec.mount_options, hops);
                if raw { storage.raw() } else { storage }
            }
            _ if raw => Storage::new(Backing::Other(Kind::Block), Mount::KeepsOwner),
            None => Unknown::NoSource.into(),
            Some(PersistentVolumeSource::Nfs(nfs)) => {
                in_tree_nfs(nfs, &volume.in_tree_mount_options(), hops)
            }
            Some(PersistentVolumeSource::InTree(source)) => {
                self.in_tree(in_tree::find(source), source, &probe, hops)
            }
            Some(PersistentVolumeSource::Flex(flex)) => self.flex(flex, &spec.mount_options, hops),
        }
    }

    /// Inline, a volume counts as one that a single pod writes to.
    pub(super) fn inline_csi(&self, csi: &CsiSource<'_>, hops: &mut Vec<Hop>) -> Storage {
        let mut storage = self.csi(csi, &Probe::default(), &[], hops);
        for mount in &mut storage.mounts {
            if let Mount::Csi { single_writer, .. } = mount {
                *single_writer = true;
            }
        }
        storage
    }

    fn csi(
        &self,
        csi: &CsiSource<'_>,
        around: &Probe<'_>,
        mount_options: &[Text<'_>],
        hops: &mut Vec<Hop>,
    ) -> Storage {
        hops.push(Hop::Driver(csi.driver.to_string()));
        let probe = Probe {
            attributes: Some(&csi.volume_attributes),
            fs_type: csi.fs_type.as_deref(),
            volume_handle: csi.volume_handle.as_deref(),
            ..*around
        };
        let told = Told { attributes: &csi.volume_attributes, mount_options, class: None };
        let backing = self.backing(&csi.driver, &probe, &told, hops);
        let has_fs_type = csi.fs_type.as_deref().is_some_and(|fs_type| !fs_type.is_empty());
        Storage::new(backing, mount(&csi.driver, has_fs_type, around.access_modes))
    }

    /// The volume a driver will make.
    pub(super) fn driver(
        &self,
        name: &str,
        probe: &Probe<'_>,
        told: &Told<'_>,
        hops: &mut Vec<Hop>,
    ) -> Storage {
        let backing = self.backing(name, probe, told, hops);
        let known = self.catalogue.find(name);
        // Of an unknown driver nobody knows which type it takes when none is named.
        let default = known.is_none_or(|known| known.default_fs_type.is_some());
        let has_fs_type = probe.fs_type().map_or(default, |fs_type| !fs_type.is_empty());
        let driver = mounting_driver(name, probe, known);
        Storage::new(backing, mount(driver, has_fs_type, probe.access_modes))
    }

    /// What the catalogue says, or else the signs.
    fn backing(
        &self,
        name: &str,
        probe: &Probe<'_>,
        told: &Told<'_>,
        hops: &mut Vec<Hop>,
    ) -> Backing {
        let driver = self.catalogue.find(name);
        let unknown = match driver.map(|driver| driver.judge(probe)) {
            Some(Kind::Nfs) => return Backing::Nfs(driver_nfs(driver, told)),
            Some(Kind::Unknown) => Unknown::Undecided(name.into()),
            Some(other) => return Backing::Other(other),
            None => Unknown::Driver(name.into()),
        };
        let sibling = || self.nfs_volume_of(told.class?);
        match signals::read(name, probe, told.mount_options, sibling) {
            Some(Signal::Strong(sign)) => {
                hops.push(Hop::Sign(sign));
                Backing::Nfs(driver_nfs(driver, told))
            }
            Some(Signal::Weak(reason)) => {
                Backing::Unknown(Unknown::Suspected(Box::new(unknown), reason))
            }
            None => Backing::Unknown(unknown),
        }
    }

    pub(super) fn flex(
        &self,
        flex: &FlexSource<'_>,
        mount_options: &[Text<'_>],
        hops: &mut Vec<Hop>,
    ) -> Storage {
        hops.push(Hop::Driver(flex.driver.to_string()));
        let told = Told { attributes: &StringMap::default(), mount_options, class: None };
        let known = self.catalogue.find(&flex.driver).is_some();
        let backing = if !known && signals::flex_volume(&flex.driver) {
            Backing::Nfs(driver_nfs(None, &told))
        } else {
            self.backing(&flex.driver, &Probe::default(), &told, hops)
        };
        Storage::new(backing, Mount::InTree)
    }

    pub(super) fn in_tree(
        &self,
        known: Option<InTree>,
        source: &str,
        probe: &Probe<'_>,
        hops: &mut Vec<Hop>,
    ) -> Storage {
        hops.push(Hop::Source(source.into()));
        match known {
            Some(InTree::Is { kind, sets_owner }) => {
                let mount = if sets_owner { Mount::InTree } else { Mount::KeepsOwner };
                Storage::new(Backing::Other(kind), mount)
            }
            Some(InTree::Migrated { driver, kind }) => {
                let told =
                    Told { attributes: &StringMap::default(), mount_options: &[], class: None };
                let backing = match kind {
                    Some(kind) => Backing::Other(kind),
                    None => self.backing(driver, probe, &told, hops),
                };
                // Most such volumes have a type; of one that has none, little is lost.
                Storage::new(backing, mount(driver, true, probe.access_modes))
            }
            Some(InTree::Ephemeral) | None => Unknown::Source(source.into()).into(),
        }
    }
}

pub(super) fn in_tree_nfs(
    nfs: &NfsSource<'_>,
    mount_options: &[Text<'_>],
    hops: &mut Vec<Hop>,
) -> Storage {
    hops.push(Hop::Source("nfs".into()));
    let options = mount_options.iter().map(Text::as_str);
    let backing = Backing::Nfs(Nfs::new(Some(&nfs.server), Some(&nfs.path), options));
    // The in-tree plug-in never changes an owner (`pkg/volume/nfs/nfs.go`).
    Storage::new(backing, Mount::KeepsOwner)
}

fn driver_nfs(driver: Option<&Driver>, told: &Told<'_>) -> Nfs {
    let told_of = |key| told.attributes.get_ignore_case(key);
    let options = told.mount_options.iter().map(Text::as_str);
    let nfs = Nfs::new(told_of("server"), told_of("share"), options);
    let fixed = driver.and_then(|driver| driver.version_fixed.clone());
    Nfs { version: fixed.or(nfs.version), ..nfs }
}

/// Who mounts the volumes of a provisioner: the driver its class names, as that
/// of Huawei's CCE does; for an in-tree name the driver it was migrated to, which
/// its entry names first; else itself.
fn mounting_driver<'d>(
    provisioner: &'d str,
    probe: &Probe<'d>,
    known: Option<&'d Driver>,
) -> &'d str {
    const NAMED: &str = "csi.storage.k8s.io/csi-driver-name";
    let named = probe.parameters.and_then(|parameters| parameters.get_ignore_case(NAMED));
    let migrated = || {
        let known = known.filter(|_| provisioner.starts_with("kubernetes.io/"))?;
        known.names.first().map(String::as_str)
    };
    named.or_else(migrated).unwrap_or(provisioner)
}

fn mount(driver: &str, has_fs_type: bool, access_modes: &[AccessMode]) -> Mount {
    let single = [AccessMode::ReadWriteOnce, AccessMode::ReadWriteOncePod];
    let single_writer = access_modes.iter().any(|mode| single.contains(mode));
    Mount::Csi { driver: driver.to_owned(), has_fs_type, single_writer }
}
