//! What a volume ends up on, and the way that leads there.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::catalogue::signals::Reason;

/// What a volume's data ends up on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Backing {
    /// A network filesystem spoken over NFS.
    Nfs(Nfs),
    /// A block device, a node-local path, or another network filesystem.
    Other(Kind),
    /// The API objects at hand do not decide it; never silently taken for safe.
    Unknown(Unknown),
}

impl Backing {
    /// The backing's kind, the detail left out.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::Nfs(_) => Kind::Nfs,
            Self::Other(kind) => *kind,
            Self::Unknown(_) => Kind::Unknown,
        }
    }
}

impl fmt::Display for Backing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nfs(nfs) => nfs.fmt(f),
            Self::Other(kind) => f.write_str(kind.describe()),
            Self::Unknown(why) => write!(f, "unknown: {why}"),
        }
    }
}

/// An NFS export, as far as the objects tell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Nfs {
    /// Host name or address.
    pub server: Option<String>,
    /// Exported path.
    pub path: Option<String>,
    /// Protocol version, only when a mount option pins it.
    pub version: Option<String>,
}

impl Nfs {
    /// The export at that place, mounted with those options.
    pub(crate) fn new<'o>(
        server: Option<&str>,
        path: Option<&str>,
        mount_options: impl DoubleEndedIterator<Item = &'o str>,
    ) -> Self {
        // The kernel lets the last of several versions win (nfs(5)), and an entry
        // of the list may be several options: they are joined by commas as they are.
        let version =
            mount_options.rev().flat_map(|options| options.rsplit(',')).find_map(|option| {
                let (key, value) = option.split_once('=')?;
                matches!(key, "nfsvers" | "vers").then(|| value.to_owned())
            });
        Self { server: server.map(Into::into), path: path.map(Into::into), version }
    }
}

impl fmt::Display for Nfs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NFS")?;
        if let Some(version) = &self.version {
            write!(f, "v{version}")?;
        }
        match (&self.server, &self.path) {
            (Some(server), Some(path)) => write!(f, " {server}:{path}"),
            (Some(server), None) => write!(f, " {server}"),
            _ => Ok(()),
        }
    }
}

/// The kinds of storage a rule can tell apart, by their names in configuration
/// and output.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A network filesystem spoken over NFS.
    Nfs,
    /// A block device.
    Block,
    /// A path on the node.
    Local,
    /// A network filesystem that is not NFS: SMB, CephFS, Lustre and the like.
    OtherNetworkFs,
    /// Not decided by the objects at hand.
    Unknown,
}

impl Kind {
    /// The name used in configuration and output.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Nfs => "nfs",
            Self::Block => "block",
            Self::Local => "local",
            Self::OtherNetworkFs => "other-network-fs",
            Self::Unknown => "unknown",
        }
    }

    /// The name used in sentences.
    #[must_use]
    pub fn describe(self) -> &'static str {
        match self {
            Self::Nfs => "NFS",
            Self::Block => "block device",
            Self::Local => "node-local path",
            Self::OtherNetworkFs => "network filesystem other than NFS",
            Self::Unknown => "unknown",
        }
    }
}

/// Why a backing is not known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unknown {
    /// The claim a pod mounts does not exist (yet).
    NoSuchClaim(String),
    /// The volume a claim names does not exist (yet).
    NoSuchVolume(String),
    /// No object of that class: only a volume that exists can be bound, and none
    /// is for certain.
    NoSuchClass(String),
    /// The claim names no class and the cluster has no default.
    NoDefaultClass,
    /// The claim asks for a volume without a class, and none is bound for certain.
    Classless,
    /// Nobody makes volumes of this class: only one that exists can be bound, and
    /// none is for certain.
    StaticClass(String),
    /// Neither the catalogue nor the configuration knows the driver.
    Driver(String),
    /// The catalogue knows the driver, and that these objects do not decide.
    Undecided(String),
    /// It is not known, but there is a weak sign of NFS.
    Suspected(Box<Unknown>, Reason),
    /// A volume source this engine does not resolve.
    Source(String),
    /// The object says nothing of where its data is.
    NoSource,
    /// The guard's view of the cluster lacks that kind of object still.
    NotSynced(&'static str),
}

impl fmt::Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuchClaim(name) => write!(f, "claim {name} does not exist"),
            Self::NoSuchVolume(name) => write!(f, "PersistentVolume {name} does not exist"),
            Self::NoSuchClass(name) => write!(f, "StorageClass {name} does not exist"),
            Self::NoDefaultClass => f.write_str("no class named and the cluster has no default"),
            Self::Classless => f.write_str("bound to no volume yet, and provisioned by nobody"),
            Self::StaticClass(name) => write!(f, "StorageClass {name} provisions nothing"),
            Self::Driver(name) => write!(f, "driver {name} is in no catalogue"),
            Self::Undecided(name) => write!(f, "driver {name} serves several kinds of storage"),
            Self::Suspected(unknown, reason) => write!(f, "{unknown}, but {reason}"),
            Self::Source(field) => write!(f, "volume source {field} is not resolved"),
            Self::NoSource => f.write_str("no volume source"),
            Self::NotSynced(kind) => write!(f, "{kind} not read yet"),
        }
    }
}

/// One step on the way from a subject to the storage under it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hop {
    /// A template of a claim, by name.
    ClaimTemplate(String),
    /// A volume of the pod, by name.
    PodVolume(String),
    /// A claim, by name.
    Claim(String),
    /// A class, by name.
    Class {
        /// Its name.
        name: String,
        /// Whether it was chosen for being the cluster's default.
        default: bool,
    },
    /// Who makes the class's volumes.
    Provisioner(String),
    /// A volume, by name.
    Volume(String),
    /// The CSI driver that mounts it.
    Driver(String),
    /// A source built into Kubernetes, by its field name.
    Source(String),
    /// A sign of NFS on a driver that the catalogue does not decide.
    Sign(&'static str),
}

impl Resolved {
    /// Name of the claim on the way, if there is one.
    #[must_use]
    pub fn claim(&self) -> Option<&str> {
        self.hops.iter().find_map(|hop| match hop {
            Hop::Claim(name) => Some(name.as_str()),
            _ => None,
        })
    }
}

impl fmt::Display for Hop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ClaimTemplate(name) => write!(f, "volumeClaimTemplate {name}"),
            Self::PodVolume(name) => write!(f, "volume {name}"),
            Self::Claim(name) => write!(f, "claim {name}"),
            Self::Class { name, default: false } => write!(f, "StorageClass {name}"),
            Self::Class { name, default: true } => {
                write!(f, "StorageClass {name} (cluster default)")
            }
            Self::Provisioner(name) => write!(f, "provisioner {name}"),
            Self::Volume(name) => write!(f, "PersistentVolume {name}"),
            Self::Driver(name) => write!(f, "driver {name}"),
            Self::Source(field) => write!(f, "volume source {field}"),
            Self::Sign(sign) => f.write_str(sign),
        }
    }
}

/// What a volume ends up on, with the hops that led there: the evidence of a
/// finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// The way, from the subject on.
    pub hops: Vec<Hop>,
    /// Where it ends.
    pub backing: Backing,
}

impl Resolved {
    /// Every hop and the end, each as the sentence part it is printed as.
    pub fn chain(&self) -> impl Iterator<Item = String> + '_ {
        let hops = self.hops.iter().map(ToString::to_string);
        hops.chain(std::iter::once(self.backing.to_string()))
    }
}

impl fmt::Display for Resolved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for hop in &self.hops {
            write!(f, "{hop} → ")?;
        }
        self.backing.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_pinned_version_wins_as_in_the_kernel() {
        for (options, expected) in [
            (&["soft", "nfsvers=4.1"][..], Some("4.1")),
            (&["nfsvers=3", "vers=4.2"], Some("4.2")),
            (&["soft", "timeo=30"], None),
            (&["hard,nfsvers=4.1,vers=4.2", "timeo=30"], Some("4.2")),
        ] {
            let nfs = Nfs::new(None, None, options.iter().copied());
            assert_eq!(nfs.version.as_deref(), expected, "{options:?}");
        }
    }

    #[test]
    fn a_chain_reads_as_one_sentence() {
        let resolved = Resolved {
            hops: vec![
                Hop::ClaimTemplate("data".into()),
                Hop::Class { name: "nfs-proxmox".into(), default: true },
                Hop::Provisioner("nfs.csi.k8s.io".into()),
            ],
            backing: Backing::Nfs(Nfs::default()),
        };
        assert_eq!(
            resolved.to_string(),
            "volumeClaimTemplate data → StorageClass nfs-proxmox (cluster default) \
             → provisioner nfs.csi.k8s.io → NFS"
        );
    }
}
