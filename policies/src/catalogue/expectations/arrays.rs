//! Drivers of the vendors of storage arrays.

use super::{
    ALWAYS_NFS, Fact, ROX, RWO, RWOP, RWX, Row,
    Says::{Drivers, Nothing},
    class, fact, volume,
};
use crate::{
    backing::Kind::{Block, Nfs, OtherNetworkFs, Unknown},
    catalogue::scene::Given::{Annotation, Attribute, FsType, Handle, Inline, Parameter, Raw},
};

const TRIDENT: &[Row] = &[
    class(&[], Unknown),
    class(&[RWO], Unknown),
    class(&[RWX], Nfs),
    class(&[ROX], Unknown),
    class(&[RWX, Raw], Block),
    class(&[Parameter("backendType", "ontap-nas")], Nfs),
    class(&[Parameter("backendType", "ontap-nas-economy")], Nfs),
    class(&[Parameter("backendType", "ontap-nas-flexgroup")], Nfs),
    class(&[Parameter("backendType", "azure-netapp-files")], Nfs),
    class(&[Parameter("backendType", "google-cloud-netapp-volumes")], Nfs),
    class(&[Parameter("backendType", "ontap-san")], Block),
    class(&[Parameter("backendType", "ontap-san-economy")], Block),
    class(&[Parameter("backendType", "solidfire-san")], Block),
    class(&[Parameter("backendType", "google-cloud-netapp-volumes-san")], Block),
    class(&[Parameter("backendType", "ontap-nas"), Parameter("nasType", "smb")], OtherNetworkFs),
    class(&[Parameter("trident.netapp.io/nasType", "smb"), RWX], OtherNetworkFs),
    class(&[Parameter("nasType", "nfs"), RWX], Nfs),
    volume(&[], Unknown),
    volume(&[Attribute("protocol", "file")], Nfs),
    volume(&[Attribute("protocol", "block")], Block),
    volume(&[RWX], Nfs),
];

const QNAP: &[Row] = &[
    class(&[], Block),
    class(&[RWO], Block),
    class(&[RWX], OtherNetworkFs),
    class(&[Parameter("trident.qnap.io/fileProtocol", "smb")], OtherNetworkFs),
    class(&[Parameter("backendType", "ontap-nas")], Block),
    volume(&[Attribute("protocol", "file")], OtherNetworkFs),
    volume(&[Attribute("protocol", "block")], Block),
];

const HPE: &[Row] = &[
    class(&[], Block),
    class(&[RWO], Block),
    class(&[RWX], Nfs),
    class(&[ROX], Nfs),
    class(&[RWO, Parameter("nfsResources", "true")], Nfs),
    class(&[RWO, Parameter("nfsResources", "false")], Block),
    class(&[Parameter("accessProtocol", "nfs")], Nfs),
    class(&[Parameter("accessProtocol", "iscsi")], Block),
    // What the claim says counts only for what the class lets it say.
    class(&[Annotation("csi.hpe.com/nfsResources", "true")], Block),
    class(
        &[
            Parameter("allowOverrides", "description,nfsResources"),
            Annotation("csi.hpe.com/nfsResources", "true"),
        ],
        Nfs,
    ),
    class(
        &[
            Parameter("allowOverrides", "nfsResourcesX"),
            Annotation("csi.hpe.com/nfsResources", "true"),
        ],
        Block,
    ),
    class(
        &[
            Parameter("nfsResources", "true"),
            Parameter("allowOverrides", "nfsResources"),
            Annotation("csi.hpe.com/nfsResources", "false"),
        ],
        Block,
    ),
    class(
        &[
            Parameter("nfsResources", "true"),
            Parameter("allowOverrides", "description, nfsResources"),
            Annotation("csi.hpe.com/nfsResources", "false"),
        ],
        Block,
    ),
    class(&[Parameter("nfsResources", "true"), Parameter("allowOverrides", "nfsResources")], Nfs),
    class(
        &[Parameter("nfsResources", "true"), Annotation("csi.hpe.com/nfsResources", "false")],
        Nfs,
    ),
    class(
        &[
            Parameter("allowOverrides", "description,accessProtocol"),
            Annotation("csi.hpe.com/accessProtocol", "nfs"),
        ],
        Nfs,
    ),
    class(&[Parameter("allowOverrides", "accessProtocol")], Block),
    class(&[Annotation("csi.hpe.com/accessProtocol", "nfs")], Block),
    // The volume under an NFS server that the driver runs itself.
    class(&[Parameter("nfsResources", "true"), Annotation("csi.hpe.com/nfsPVC", "true")], Block),
    volume(&[Attribute("nfsResources", "true"), RWO], Nfs),
    volume(&[Attribute("accessProtocol", "nfs")], Nfs),
    volume(&[Attribute("accessProtocol", "fc")], Block),
    volume(&[Attribute("nfsPVC", "true"), Attribute("nfsResources", "true")], Block),
    volume(&[RWX], Nfs),
    volume(&[RWX, Raw], Block),
];

pub(super) const PORTWORX: &[Row] = &[
    class(&[], Block),
    class(&[RWO], Block),
    class(&[RWX], Nfs),
    class(&[ROX], Nfs),
    class(&[RWX, Raw], Block),
    class(&[Parameter("sharedv4", "true"), RWO], Nfs),
    class(&[Parameter("sharedv4", "false"), RWO], Block),
    class(&[Parameter("backend", "pure_file")], Nfs),
    class(&[Parameter("backend", "pure_block")], Block),
    class(&[Parameter("backend", "pure_block"), RWX], Block),
    class(&[Parameter("proxy_endpoint", "nfs://10.0.0.1")], Nfs),
    class(&[Parameter("proxy_endpoint", "s3://bucket")], Block),
    class(&[Parameter("proxy_endpoint", "nvme://10.0.0.1")], Block),
    class(&[Parameter("shared", "true"), RWX], OtherNetworkFs),
    class(&[Parameter("shared", "true"), Parameter("sharedv4", "true")], Nfs),
    volume(&[Attribute("sharedv4", "true"), RWO], Nfs),
    volume(&[Attribute("sharedv4", "false"), RWO], Block),
    volume(&[Attribute("sharedv4", "false"), RWX], Nfs),
    volume(&[Attribute("shared", "true"), RWX], OtherNetworkFs),
];

const HUAWEI: &[Row] = &[
    class(&[], Block),
    class(&[RWO], Block),
    class(&[RWX], Nfs),
    class(&[Parameter("volumeType", "fs")], Nfs),
    class(&[Parameter("volumeType", "dtree")], Nfs),
    class(&[Parameter("volumeType", "lun")], Block),
    class(&[Parameter("volumeType", "lun"), RWX], Block),
    volume(&[Attribute("lunWWN", "6a8f")], Block),
    volume(&[RWX], Nfs),
    volume(&[RWO, Attribute("dTreeParentName", "")], Unknown),
    volume(&[Inline], Block),
];

const NUTANIX: &[Row] = &[
    class(&[], Block),
    class(&[Parameter("storageType", "NutanixFiles")], Nfs),
    class(&[Parameter("storageType", "NutanixVolumes")], Block),
    class(&[Parameter("nfsServer", "10.0.0.1")], Nfs),
    class(&[Parameter("nfsServerName", "files")], Nfs),
    volume(&[Attribute("storageType", "NutanixFiles")], Nfs),
    volume(&[Handle("NutanixVolumes-7024ed55"), FsType("ext4")], Block),
    volume(&[Handle("7024ed55"), FsType("ext4")], Unknown),
    volume(&[Handle("NutanixFiles-7024ed55"), FsType("ext4")], Unknown),
    volume(&[Inline], Block),
];

const SYNOLOGY: &[Row] = &[
    class(&[], Block),
    class(&[Parameter("protocol", "nfs")], Nfs),
    class(&[Parameter("protocol", "SMB")], OtherNetworkFs),
    class(&[Parameter("protocol", "iscsi")], Block),
    volume(&[Attribute("protocol", "nfs")], Nfs),
    volume(&[Attribute("protocol", "smb")], OtherNetworkFs),
    volume(&[Attribute("protocol", "iscsi")], Block),
];

pub(super) const FACTS: &[Fact] = &[
    fact(
        "NetApp Trident, QNAP's fork",
        &[Drivers(&["csi.trident.netapp.io"], TRIDENT), Drivers(&["csi.trident.qnap.io"], QNAP)],
    ),
    fact("Dell PowerScale", &[Drivers(&["csi-isilon.dellemc.com"], ALWAYS_NFS)]),
    fact(
        "Dell Unity",
        &[Drivers(
            &["csi-unity.dellemc.com"],
            &[
                class(&[], Block),
                class(&[Parameter("protocol", "NFS")], Nfs),
                class(&[Parameter("protocol", "iSCSI")], Block),
                class(&[FsType("nfs")], Nfs),
                class(&[Parameter("FsType", "nfs")], Nfs),
                volume(&[Attribute("protocol", "NFS"), FsType("ext4")], Nfs),
                volume(&[FsType("nfs")], Nfs),
                volume(&[FsType("ext4"), RWX], Block),
            ],
        )],
    ),
    fact(
        "Dell PowerStore",
        &[Drivers(
            &["csi-powerstore.dellemc.com"],
            &[
                class(&[], Block),
                class(&[FsType("nfs")], Nfs),
                class(&[FsType("xfs"), RWX], Block),
                volume(&[Handle("u/globalid/nfs"), FsType("ext4")], Nfs),
                volume(&[Handle("u/globalid/scsi"), FsType("ext4")], Block),
                volume(&[Handle("u/globalid-nfs"), FsType("ext4")], Block),
                volume(&[FsType("nfs")], Nfs),
            ],
        )],
    ),
    fact(
        "Dell PowerMax",
        &[Drivers(
            &["csi-powermax.dellemc.com"],
            &[
                class(&[], Block),
                class(&[FsType("nfs")], Nfs),
                class(&[Parameter("nasServer", "nas-1")], Nfs),
                class(&[FsType("xfs")], Block),
                volume(&[FsType("nfs")], Nfs),
                volume(&[FsType("xfs")], Block),
            ],
        )],
    ),
    fact(
        "Dell PowerFlex",
        &[Drivers(
            &["csi-vxflexos.dellemc.com"],
            &[
                class(&[], Block),
                class(&[FsType("nfs")], Nfs),
                class(&[FsType("xfs")], Block),
                volume(&[FsType("nfs")], Nfs),
                volume(&[Attribute("fsType", "nfs")], Nfs),
                volume(&[Attribute("fsType", "xfs")], Block),
            ],
        )],
    ),
    fact("HPE", &[Drivers(&["csi.hpe.com"], HPE)]),
    fact("HPE GreenLake file", &[Drivers(&["filex.csi.hpe.com"], ALWAYS_NFS)]),
    fact("Synology", &[Drivers(&["csi.san.synology.com"], SYNOLOGY)]),
    fact(
        "Infinidat",
        &[Drivers(
            &["infinibox-csi-driver"],
            &[
                class(&[], Block),
                class(&[Parameter("storage_protocol", "nfs")], Nfs),
                class(&[Parameter("storage_protocol", "nfs_treeq")], Nfs),
                class(&[Parameter("storage_protocol", "fc")], Block),
                volume(&[Attribute("storage_protocol", "nfs")], Nfs),
                volume(&[Attribute("storage_protocol", "nfs_treeq")], Nfs),
                volume(&[Attribute("storage_protocol", "iscsi")], Block),
            ],
        )],
    ),
    fact(
        "NexentaStor",
        &[Drivers(
            &["nexentastor-csi-driver.nexenta.com"],
            &[
                class(&[], Nfs),
                class(&[Parameter("mountFsType", "cifs")], OtherNetworkFs),
                class(&[Parameter("mountFsType", "nfs")], Nfs),
                volume(&[], Nfs),
                volume(&[Attribute("mountFsType", "cifs")], OtherNetworkFs),
            ],
        )],
    ),
    fact("VAST", &[Drivers(&["csi.vastdata.com"], ALWAYS_NFS)]),
    fact(
        "Hammerspace",
        &[Drivers(
            &["com.hammerspace.csi"],
            &[
                class(&[], Nfs),
                class(&[FsType("nfs")], Nfs),
                class(&[FsType("xfs")], Nfs),
                // A file on an NFS share, mounted as a loop device.
                class(&[Raw], Nfs),
                volume(&[Raw], Nfs),
                volume(&[FsType("ext4")], Nfs),
            ],
        )],
    ),
    fact("Nutanix", &[Drivers(&["csi.nutanix.com", "com.nutanix.csi"], NUTANIX)]),
    fact(
        "Pure Service Orchestrator",
        &[Drivers(
            &["pure-csi"],
            &[
                class(&[], Block),
                class(&[Parameter("backend", "file")], Nfs),
                class(&[Parameter("backend", "block")], Block),
                volume(&[Attribute("backend", "file")], Nfs),
                volume(&[Attribute("backend", "block"), RWX], Block),
            ],
        )],
    ),
    fact("Portworx", &[Drivers(&["pxd.portworx.com", "pxd.openstorage.org"], PORTWORX)]),
    fact("Huawei", &[Drivers(&["csi.huawei.com"], HUAWEI)]),
    fact(
        "Zadara",
        &[Drivers(
            &["csi.zadara.com"],
            &[
                class(&[], Nfs),
                class(&[RWOP], Nfs),
                volume(&[FsType("nfs")], Nfs),
                class(&[Raw], Block),
            ],
        )],
    ),
    fact("Qumulo", &[Drivers(&["qumulo.csi.k8s.io"], ALWAYS_NFS)]),
    fact(
        "Hitachi, Scality",
        &[
            Drivers(
                &["hspc.csi.hitachi.com"],
                &[class(&[], Unknown), class(&[RWX], Unknown), volume(&[], Unknown)],
            ),
            Nothing("of Scality not even a name is known"),
        ],
    ),
];
