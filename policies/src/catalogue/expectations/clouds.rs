//! Drivers of the public clouds.

use super::{
    ALWAYS_NFS, ALWAYS_OTHER, Fact, RWO, RWX, Row,
    Says::{Drivers, Nothing},
    class, fact, volume,
};
use crate::{
    backing::Kind::{Block, Nfs, OtherNetworkFs, Unknown},
    catalogue::scene::Given::{Attribute, FsType, Handle, Parameter},
};

const AZURE_FILE: &[Row] = &[
    class(&[], OtherNetworkFs),
    class(&[Parameter("protocol", "nfs")], Nfs),
    class(&[Parameter("Protocol", "NFS")], Nfs),
    class(&[Parameter("protocol", "smb")], OtherNetworkFs),
    class(&[Parameter("fsType", "nfs")], Nfs),
    class(&[Parameter("fsType", "ext4")], OtherNetworkFs),
    // The driver reads neither of these two.
    class(&[FsType("nfs")], OtherNetworkFs),
    volume(&[FsType("nfs")], OtherNetworkFs),
    volume(&[Attribute("protocol", "nfs")], Nfs),
    volume(&[Attribute("protocol", "smb"), RWX], OtherNetworkFs),
];

const AZURE_BLOB: &[Row] = &[
    class(&[], OtherNetworkFs),
    class(&[Parameter("protocol", "nfs")], Nfs),
    class(&[Parameter("protocol", "nfsv3")], Nfs),
    class(&[Parameter("protocol", "aznfs")], Nfs),
    class(&[Parameter("protocol", "fuse2")], OtherNetworkFs),
    volume(&[Attribute("protocol", "nfs")], Nfs),
    volume(&[Attribute("protocol", "NFSv3")], Nfs),
    volume(&[Attribute("protocol", "aznfs")], Nfs),
    volume(&[Attribute("protocol", "fuse")], OtherNetworkFs),
    volume(&[RWX], OtherNetworkFs),
];

const ALIBABA_NAS: &[Row] = &[
    class(&[], Nfs),
    class(&[Parameter("mountProtocol", "nfs")], Nfs),
    class(&[Parameter("mountProtocol", "efc")], OtherNetworkFs),
    class(&[Parameter("mountProtocol", "cpfs")], OtherNetworkFs),
    class(&[Parameter("mountProtocol", "cpfs-native")], OtherNetworkFs),
    volume(&[], Nfs),
    volume(&[Attribute("mountProtocol", "cpfs-nfs")], Nfs),
    volume(&[Attribute("mountProtocol", "efc")], OtherNetworkFs),
    volume(&[Attribute("mountProtocol", "cpfs")], OtherNetworkFs),
    volume(&[Attribute("mountProtocol", "cpfs-native")], OtherNetworkFs),
];

const EVEREST: &[Row] = &[
    class(&[], Unknown),
    class(&[Parameter("csi.storage.k8s.io/csi-driver-name", "nas.csi.everest.io")], Nfs),
    class(&[Parameter("csi.storage.k8s.io/csi-driver-name", "sfsturbo.csi.everest.io")], Nfs),
    class(&[Parameter("csi.storage.k8s.io/csi-driver-name", "disk.csi.everest.io")], Block),
    class(&[Parameter("csi.storage.k8s.io/csi-driver-name", "obs.csi.everest.io")], OtherNetworkFs),
    class(&[Parameter("csi.storage.k8s.io/csi-driver-name", "new.csi.everest.io")], Unknown),
];

pub(super) const FACTS: &[Fact] = &[
    fact(
        "AWS EFS",
        &[Drivers(
            &["efs.csi.aws.com"],
            &[
                class(&[Parameter("provisioningMode", "efs-ap")], Nfs),
                class(&[Parameter("provisioningMode", "s3files-ap")], Nfs),
                volume(&[Handle("fs-1::fsap-1")], Nfs),
                volume(&[Handle("s3files:fs-1::fsap-1")], Nfs),
            ],
        )],
    ),
    fact("AWS FSx for OpenZFS", &[Drivers(&["fsx.openzfs.csi.aws.com"], ALWAYS_NFS)]),
    fact("AWS FSx for Lustre", &[Drivers(&["fsx.csi.aws.com"], ALWAYS_OTHER)]),
    fact("Google Filestore", &[Drivers(&["filestore.csi.storage.gke.io"], ALWAYS_NFS)]),
    fact(
        "Azure Files",
        &[Drivers(&["file.csi.azure.com", "kubernetes.io/azure-file"], AZURE_FILE)],
    ),
    fact("Azure Blob", &[Drivers(&["blob.csi.azure.com"], AZURE_BLOB)]),
    fact(
        "OCI FSS",
        &[Drivers(&["fss.csi.oraclecloud.com", "dev.fss.csi.oraclecloud.com"], ALWAYS_NFS)],
    ),
    fact(
        "OCI Lustre",
        &[Drivers(&["lustre.csi.oraclecloud.com", "dev.lustre.csi.oraclecloud.com"], ALWAYS_OTHER)],
    ),
    fact("Alibaba NAS", &[Drivers(&["nasplugin.csi.alibabacloud.com"], ALIBABA_NAS)]),
    fact(
        "Alibaba CPFS",
        &[Drivers(
            &["cpfsplugin.csi.alibabacloud.com", "bmcpfsplugin.csi.alibabacloud.com"],
            ALWAYS_OTHER,
        )],
    ),
    fact("Alibaba OSS", &[Drivers(&["ossplugin.csi.alibabacloud.com"], ALWAYS_OTHER)]),
    fact("Tencent CFS", &[Drivers(&["com.tencent.cloud.csi.cfs"], ALWAYS_NFS)]),
    fact(
        "Tencent CFS Turbo",
        &[Drivers(
            &["com.tencent.cloud.csi.cfsturbo"],
            &[
                class(&[], Nfs),
                volume(&[], Nfs),
                volume(&[Attribute("proto", "nfs")], Nfs),
                volume(&[Attribute("proto", "lustre")], OtherNetworkFs),
            ],
        )],
    ),
    fact(
        "Tencent COS and CHDFS",
        &[Drivers(&["com.tencent.cloud.csi.cosfs", "com.tencent.cloud.csi.chdfs"], ALWAYS_OTHER)],
    ),
    fact(
        "Huawei CCE provisioner",
        &[
            Drivers(&["everest-csi-provisioner"], EVEREST),
            Drivers(&["obs.csi.everest.io"], ALWAYS_OTHER),
        ],
    ),
    fact(
        "Huawei CCE file drivers",
        &[Drivers(&["sfsturbo.csi.everest.io", "nas.csi.everest.io"], ALWAYS_NFS)],
    ),
    fact(
        "Huawei Cloud SFS",
        &[Drivers(&["sfsturbo.csi.huaweicloud.com", "sfs.csi.huaweicloud.com"], ALWAYS_NFS)],
    ),
    fact("IBM VPC file", &[Drivers(&["vpc.file.csi.ibm.io"], ALWAYS_NFS)]),
    fact(
        "OpenStack Manila NFS",
        &[Drivers(
            &["nfs.manila.csi.openstack.org", "nfs.prod.manila.csi.openstack.org"],
            ALWAYS_NFS,
        )],
    ),
    fact(
        "OpenStack Manila, protocol not in the name",
        &[Drivers(&["manila.csi.openstack.org"], ALWAYS_NFS)],
    ),
    fact("OpenStack Manila CephFS", &[Drivers(&["cephfs.manila.csi.openstack.org"], ALWAYS_OTHER)]),
    fact(
        "Vultr",
        &[Drivers(
            &["block.csi.vultr.com"],
            &[
                class(&[], Block),
                class(&[RWO], Block),
                class(&[Parameter("storage_type", "vfs")], OtherNetworkFs),
                class(&[Parameter("storage_type", "block")], Block),
                class(&[RWX], OtherNetworkFs),
                volume(&[RWX], OtherNetworkFs),
                volume(&[RWO, Attribute("storage_type", "vfs")], Block),
            ],
        )],
    ),
    fact(
        "DigitalOcean, Hetzner, Linode NFS",
        &[Nothing("no NFS driver of their own: their shares come as in-tree nfs volumes")],
    ),
];
