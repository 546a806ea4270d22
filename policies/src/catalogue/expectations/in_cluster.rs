//! Storage that runs in the cluster itself.

use super::{
    ALWAYS_NFS, ALWAYS_OTHER, Fact, ROX, RWO, RWOP, RWX, Row, Says::Drivers, class, fact, volume,
};
use crate::{
    backing::Kind::{Block, Local, Nfs, OtherNetworkFs, Unknown},
    catalogue::scene::Given::{Attribute, FsType, Parameter, Raw},
};

const LONGHORN: &[Row] = &[
    class(&[], Block),
    class(&[RWO], Block),
    class(&[RWOP], Block),
    class(&[RWX], Nfs),
    class(&[ROX], Nfs),
    class(&[RWX, Raw], Block),
    class(&[RWO, Parameter("share", "true")], Nfs),
    // As `strconv.ParseBool` reads it.
    class(&[RWO, Parameter("share", "1")], Nfs),
    class(&[RWO, Parameter("share", "T")], Nfs),
    class(&[RWO, Parameter("share", "false")], Block),
    class(&[RWX, Parameter("migratable", "true")], Block),
    class(&[RWX, Parameter("migratable", "1")], Block),
    class(&[RWX, Parameter("migratable", "t")], Block),
    class(&[RWX, Parameter("migratable", "false")], Nfs),
    volume(&[RWO], Block),
    volume(&[RWX], Nfs),
    // Once shared, it is shared for whoever mounts it.
    volume(&[RWO, Attribute("share", "true"), FsType("ext4")], Nfs),
    volume(&[RWO, Attribute("share", "1")], Nfs),
    volume(&[RWO, Attribute("share", "t")], Nfs),
    volume(&[RWO, Attribute("share", "false")], Block),
    volume(&[RWX, Attribute("share", "true"), Attribute("migratable", "true")], Block),
    volume(&[RWX, Attribute("migratable", "1")], Block),
    volume(&[RWX, Attribute("migratable", "t")], Block),
    volume(&[RWX, Attribute("migratable", "false")], Nfs),
];

const VSPHERE: &[Row] = &[
    class(&[], Block),
    class(&[RWO], Block),
    class(&[RWX], Nfs),
    class(&[ROX], Nfs),
    class(&[RWX, Raw], Block),
    class(&[FsType("nfs4")], Nfs),
    class(&[FsType("xfs")], Block),
    volume(&[Attribute("type", "vSphere CNS File Volume"), FsType("ext4")], Nfs),
    volume(&[Attribute("type", "vSphere CNS Block Volume"), FsType("ext4")], Block),
    volume(&[Attribute("type", "vSphere CNS Block Volume"), ROX], Block),
    volume(&[FsType("nfs")], Nfs),
    volume(&[RWX], Nfs),
    volume(&[RWO, FsType("ext4")], Block),
];

const DEMOCRATIC: &[Row] = &[
    class(&[], Unknown),
    class(&[RWX], Unknown),
    class(&[FsType("nfs")], Nfs),
    class(&[FsType("cifs")], OtherNetworkFs),
    class(&[FsType("lustre")], OtherNetworkFs),
    class(&[FsType("ext4")], Block),
    class(&[FsType("xfs")], Block),
    class(&[FsType("zfs")], Local),
    volume(&[], Unknown),
    volume(&[Attribute("node_attach_driver", "nfs")], Nfs),
    volume(&[Attribute("node_attach_driver", "smb")], OtherNetworkFs),
    volume(&[Attribute("node_attach_driver", "lustre")], OtherNetworkFs),
    volume(&[Attribute("node_attach_driver", "objectivefs")], OtherNetworkFs),
    volume(&[Attribute("node_attach_driver", "iscsi"), FsType("ext4")], Block),
    volume(&[Attribute("node_attach_driver", "iscsi")], Block),
    volume(&[Attribute("node_attach_driver", "nvmeof")], Block),
    volume(&[Attribute("node_attach_driver", "zfs-local")], Local),
    volume(&[Attribute("node_attach_driver", "zfs-local"), FsType("zfs")], Local),
    volume(&[Attribute("node_attach_driver", "hostpath")], Local),
    volume(&[FsType("nfs")], Nfs),
];

pub(super) const FACTS: &[Fact] = &[
    fact("Longhorn", &[Drivers(&["driver.longhorn.io"], LONGHORN)]),
    fact(
        "Ceph NFS",
        &[Drivers(
            &["nfs.csi.ceph.com", "rook-ceph.nfs.csi.ceph.com", "prod.nfs.csi.ceph.com"],
            ALWAYS_NFS,
        )],
    ),
    fact(
        "CephFS",
        &[Drivers(
            &["cephfs.csi.ceph.com", "rook-ceph.cephfs.csi.ceph.com", "prod.cephfs.csi.ceph.com"],
            ALWAYS_OTHER,
        )],
    ),
    fact(
        "vSphere",
        &[Drivers(&["csi.vsphere.vmware.com", "kubernetes.io/vsphere-volume"], VSPHERE)],
    ),
    fact(
        "LINSTOR",
        &[Drivers(
            &["linstor.csi.linbit.com"],
            &[
                class(&[], Block),
                class(&[RWX], Nfs),
                class(&[ROX], Block),
                class(&[Parameter("nfsServiceName", "x")], Block),
                volume(&[RWO, Attribute("linstor.csi.linbit.com/nfs-export", "a")], Nfs),
                volume(&[RWX], Nfs),
                volume(&[RWO], Block),
            ],
        )],
    ),
    fact(
        "StorageOS",
        &[Drivers(
            &["csi.storageos.com"],
            &[class(&[], Block), class(&[ROX], Block), class(&[RWX], Nfs), volume(&[RWX], Nfs)],
        )],
    ),
    fact(
        "democratic-csi NFS",
        &[Drivers(
            &[
                "org.democratic-csi.nfs",
                "org.democratic-csi.nfs-client",
                "org.democratic-csi.truenas-nfs",
            ],
            ALWAYS_NFS,
        )],
    ),
    fact(
        "democratic-csi, other names",
        &[Drivers(&["org.democratic-csi.iscsi", "org.democratic-csi.synology"], DEMOCRATIC)],
    ),
    fact("Weka", &[Drivers(&["csi.weka.io"], ALWAYS_OTHER)]),
];
