//! Volume sources built into Kubernetes, by the field they are written in.
//!
//! Source: `k8s.io/api/core/v1/types.go` (v1.37) and, for what each ends up on,
//! `pkg/volume` and `csi-translation-lib/plugins` of kubernetes/kubernetes.

use crate::backing::Kind;

/// What a source, known by its field name alone, ends up on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InTree {
    /// Always the same kind of storage, mounted by a plug-in of the kubelet.
    Is {
        /// The kind.
        kind: Kind,
        /// Whether the plug-in gives the files to the pod's fsGroup: only those
        /// that call `NewVolumeOwnership` do.
        sets_owner: bool,
    },
    /// The kubelet has a CSI driver mount it
    /// (`csi-translation-lib/plugins`); `kind` where the source alone decides
    /// what that is, none where the driver's own facts do.
    Migrated {
        /// Name of the driver.
        driver: &'static str,
        /// What it is in any case.
        kind: Option<Kind>,
    },
    /// Nothing that outlives the pod: made by the kubelet itself.
    Ephemeral,
}

impl InTree {
    /// The kind of storage, where the source alone decides it.
    #[must_use]
    pub fn kind(self) -> Option<Kind> {
        match self {
            Self::Is { kind, .. } => Some(kind),
            Self::Migrated { kind, .. } => kind,
            Self::Ephemeral => None,
        }
    }
}

/// The source of that field name; `None` for a field that is no source, or one
/// newer than this table.
#[must_use]
pub fn find(field: &str) -> Option<InTree> {
    let block = |driver| InTree::Migrated { driver, kind: Some(Kind::Block) };
    Some(match field {
        "emptyDir" | "configMap" | "secret" | "projected" | "downwardAPI" | "gitRepo" | "image" => {
            InTree::Ephemeral
        }
        // A directory the node itself mounted over NFS cannot be told apart.
        "hostPath" => InTree::Is { kind: Kind::Local, sets_owner: false },
        "local" => InTree::Is { kind: Kind::Local, sets_owner: true },
        "iscsi" | "fc" => InTree::Is { kind: Kind::Block, sets_owner: true },
        "awsElasticBlockStore" => block("ebs.csi.aws.com"),
        "gcePersistentDisk" => block("pd.csi.storage.gke.io"),
        "azureDisk" => block("disk.csi.azure.com"),
        "cinder" => block("cinder.csi.openstack.org"),
        "vsphereVolume" => block("csi.vsphere.vmware.com"),
        // The in-tree source is SMB only; the driver serves NFS too.
        "azureFile" => {
            InTree::Migrated { driver: "file.csi.azure.com", kind: Some(Kind::OtherNetworkFs) }
        }
        "portworxVolume" => InTree::Migrated { driver: "pxd.portworx.com", kind: None },
        // Their plug-ins are gone from the kubelet: such a volume is not mounted
        // at all any more, and this is what it was.
        "rbd" | "scaleIO" | "flocker" | "photonPersistentDisk" | "storageos" => {
            InTree::Is { kind: Kind::Block, sets_owner: false }
        }
        "glusterfs" | "cephfs" | "quobyte" => {
            InTree::Is { kind: Kind::OtherNetworkFs, sets_owner: false }
        }
        _ => return None,
    })
}
