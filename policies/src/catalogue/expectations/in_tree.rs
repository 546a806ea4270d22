//! Sources built into Kubernetes, and the provisioners of NFS volumes.

use super::{
    ALWAYS_BLOCK, ALWAYS_LOCAL, ALWAYS_NFS, ALWAYS_OTHER, Fact,
    Says::{Drivers, Nothing, Source},
    fact,
};
use crate::{
    backing::Kind::{Block, Local, OtherNetworkFs},
    in_tree::InTree::{Ephemeral, Is, Undecided},
};

pub(super) const FACTS: &[Fact] = &[
    fact(
        "in-tree nfs",
        &[
            Drivers(&["kubernetes.io/nfs"], ALWAYS_NFS),
            Nothing("the source itself is read with its server and path, by the resolver"),
        ],
    ),
    fact(
        "in-tree glusterfs",
        &[
            Source("glusterfs", Is(OtherNetworkFs)),
            Drivers(&["kubernetes.io/glusterfs"], ALWAYS_OTHER),
        ],
    ),
    fact(
        "in-tree cephfs",
        &[Source("cephfs", Is(OtherNetworkFs)), Drivers(&["kubernetes.io/cephfs"], ALWAYS_OTHER)],
    ),
    fact(
        "in-tree azureFile",
        &[
            Source("azureFile", Is(OtherNetworkFs)),
            Drivers(&["kubernetes.io/azure-file"], ALWAYS_OTHER),
        ],
    ),
    fact(
        "in-tree quobyte",
        &[Source("quobyte", Is(OtherNetworkFs)), Drivers(&["kubernetes.io/quobyte"], ALWAYS_OTHER)],
    ),
    fact(
        "in-tree block sources",
        &[
            Source("awsElasticBlockStore", Is(Block)),
            Source("gcePersistentDisk", Is(Block)),
            Source("azureDisk", Is(Block)),
            Source("cinder", Is(Block)),
            Source("vsphereVolume", Is(Block)),
            Source("rbd", Is(Block)),
            Source("iscsi", Is(Block)),
            Source("fc", Is(Block)),
            Source("scaleIO", Is(Block)),
            Source("flocker", Is(Block)),
            Source("photonPersistentDisk", Is(Block)),
            Source("storageos", Is(Block)),
            Drivers(
                &[
                    "kubernetes.io/fc",
                    "kubernetes.io/flocker",
                    "kubernetes.io/iscsi",
                    "kubernetes.io/photon-pd",
                    "kubernetes.io/scaleio",
                    "kubernetes.io/storageos",
                ],
                ALWAYS_BLOCK,
            ),
        ],
    ),
    fact(
        "in-tree portworxVolume",
        &[
            // The parameters that decide are not kept in the volume.
            Source("portworxVolume", Undecided),
            Drivers(&["kubernetes.io/portworx-volume"], super::arrays::PORTWORX),
        ],
    ),
    fact(
        "in-tree hostPath, local, emptyDir",
        &[
            Source("hostPath", Is(Local)),
            Source("local", Is(Local)),
            Source("emptyDir", Ephemeral),
            Drivers(&["kubernetes.io/host-path", "kubernetes.io/local-volume"], ALWAYS_LOCAL),
            Nothing("kubernetes.io/no-provisioner makes no volumes: the resolver says so"),
        ],
    ),
    fact("csi-driver-nfs", &[Drivers(&["nfs.csi.k8s.io"], ALWAYS_NFS)]),
    fact(
        "nfs-subdir-external-provisioner",
        &[Drivers(
            &[
                "k8s-sigs.io/nfs-subdir-external-provisioner",
                "fuseim.pri/ifs",
                "cluster.local/nfs-subdir-external-provisioner",
                "cluster.local/nfs-client-provisioner",
                "cluster.local/prod-nfs-subdir-external-provisioner",
            ],
            ALWAYS_NFS,
        )],
    ),
    fact(
        "nfs-ganesha-server-and-external-provisioner",
        &[Drivers(
            &[
                "example.com/nfs",
                "cluster.local/nfs-server-provisioner",
                "cluster.local/prod-nfs-server-provisioner",
            ],
            ALWAYS_NFS,
        )],
    ),
    fact("external-storage aws/efs", &[Drivers(&["example.com/aws-efs"], ALWAYS_NFS)]),
    fact(
        "HPE's nfs-client-provisioner",
        &[Drivers(&["hpe.com/nfs", "hpe.com/nfs-3par"], ALWAYS_NFS)],
    ),
    fact("OpenEBS dynamic-nfs-provisioner", &[Drivers(&["openebs.io/nfsrwx"], ALWAYS_NFS)]),
    fact("IBM Cloud File Storage", &[Drivers(&["ibm.io/ibmc-file"], ALWAYS_NFS)]),
    fact("OCI FSS provisioner", &[Drivers(&["oracle.com/oci-fss"], ALWAYS_NFS)]),
    fact("Alibaba Cloud NAS flexVolume", &[Drivers(&["alicloud/nas"], ALWAYS_NFS)]),
];
