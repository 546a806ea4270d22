//! Volume sources built into Kubernetes, by the field they are written in.
//!
//! Source: `k8s.io/api/core/v1/types.go` (v1.37) and, for what each ends up on,
//! `pkg/volume` and `csi-translation-lib/plugins` of kubernetes/kubernetes.

use crate::backing::Kind;

/// What a source, known by its field name alone, ends up on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InTree {
    /// Always the same kind of storage.
    Is(Kind),
    /// Nothing that outlives the pod: made by the kubelet itself.
    Ephemeral,
    /// The field does not tell.
    Undecided,
}

/// The source of that field name; `None` for a field that is no source, or one
/// newer than this table.
#[must_use]
pub fn find(field: &str) -> Option<InTree> {
    Some(match field {
        "emptyDir" | "configMap" | "secret" | "projected" | "downwardAPI" | "gitRepo" | "image" => {
            InTree::Ephemeral
        }
        // A directory the node itself mounted over NFS cannot be told apart.
        "hostPath" | "local" => InTree::Is(Kind::Local),
        "awsElasticBlockStore"
        | "gcePersistentDisk"
        | "azureDisk"
        | "cinder"
        | "vsphereVolume"
        | "rbd"
        | "iscsi"
        | "fc"
        | "scaleIO"
        | "flocker"
        | "photonPersistentDisk"
        | "storageos" => InTree::Is(Kind::Block),
        // The in-tree `azureFile` source is SMB only.
        "glusterfs" | "cephfs" | "azureFile" | "quobyte" => InTree::Is(Kind::OtherNetworkFs),
        // `portworxVolume` serves NFS or block by parameters the volume does
        // not keep; `flexVolume` runs whatever the node has installed.
        "portworxVolume" | "flexVolume" => InTree::Undecided,
        _ => return None,
    })
}
