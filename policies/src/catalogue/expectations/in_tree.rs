//! Sources built into Kubernetes, and the provisioners of NFS volumes.

use super::{
    ALWAYS_BLOCK, ALWAYS_LOCAL, ALWAYS_NFS, ALWAYS_OTHER, Fact,
    Says::{Drivers, Nothing, Source},
    fact,
};
use crate::backing::Kind::{Block, Local, OtherNetworkFs};

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
            Source("glusterfs", Some(OtherNetworkFs)),
            Drivers(&["kubernetes.io/glusterfs"], ALWAYS_OTHER),
        ],
    ),
    fact(
        "in-tree cephfs",
        &[Source("cephfs", Some(OtherNetworkFs)), Drivers(&["kubernetes.io/cephfs"], ALWAYS_OTHER)],
    ),
    fact(
        "in-tree azureFile",
        &[
            Source("azureFile", Some(OtherNetworkFs)),
            Drivers(&["kubernetes.io/azure-file"], ALWAYS_OTHER),
        ],
    ),
    fact(
        "in-tree quobyte",
        &[
            Source("quobyte", Some(OtherNetworkFs)),
            Drivers(&["kubernetes.io/quobyte"], ALWAYS_OTHER),
        ],
    ),
    fact(
        "in-tree block sources",
        &[
            Source("awsElasticBlockStore", Some(Block)),
            Source("gcePersistentDisk", Some(Block)),
            Source("azureDisk", Some(Block)),
            Source("cinder", Some(Block)),
            Source("vsphereVolume", Some(Block)),
            Source("rbd", Some(Block)),
            Source("iscsi", Some(Block)),
            Source("fc", Some(Block)),
            Source("scaleIO", Some(Block)),
            Source("flocker", Some(Block)),
            Source("photonPersistentDisk", Some(Block)),
            Source("storageos", Some(Block)),
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
            Source("portworxVolume", None),
            Drivers(&["kubernetes.io/portworx-volume"], super::arrays::PORTWORX),
        ],
    ),
    fact(
        "in-tree hostPath, local, emptyDir",
        &[
            Source("hostPath", Some(Local)),
            Source("local", Some(Local)),
            Source("emptyDir", None),
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
