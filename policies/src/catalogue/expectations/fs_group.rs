//! Who changes the ownership of NFS volumes: read once more, apart from the
//! entries, in the drivers' manifests and in `pkg/volume/csi/csi_mounter.go`.

use crate::catalogue::{
    Catalogue,
    FsGroupPolicy::{self, File, None as Never, ReadWriteOnceWithFsType},
};

/// Driver, policy as shipped, filesystem type of a volume whose class names none.
const APPLIED_BY_THE_KUBELET: [(&str, FsGroupPolicy, Option<&str>); 31] = [
    // Always.
    ("nfs.csi.k8s.io", File, None),
    ("nfs.csi.ceph.com", File, None),
    ("cephfs.csi.ceph.com", File, None),
    ("filestore.csi.storage.gke.io", File, None),
    ("com.tencent.cloud.csi.cfs", File, None),
    ("com.tencent.cloud.csi.cfsturbo", File, None),
    ("infinibox-csi-driver", File, None),
    ("csi.weka.io", File, None),
    ("csi-vxflexos.dellemc.com", File, Some("ext4")),
    ("org.democratic-csi.truenas-nfs", File, None),
    // On every ReadWriteOnce volume, since there is a filesystem type.
    ("nasplugin.csi.alibabacloud.com", ReadWriteOnceWithFsType, Some("nfs")),
    ("csi.zadara.com", ReadWriteOnceWithFsType, Some("nfs")),
    ("csi.nutanix.com", ReadWriteOnceWithFsType, Some("ext4")),
    ("csi-powerstore.dellemc.com", ReadWriteOnceWithFsType, Some("ext4")),
    ("csi-unity.dellemc.com", ReadWriteOnceWithFsType, Some("ext4")),
    ("csi-powermax.dellemc.com", ReadWriteOnceWithFsType, Some("ext4")),
    // Only where the class names a filesystem type.
    ("efs.csi.aws.com", ReadWriteOnceWithFsType, None),
    ("csi-isilon.dellemc.com", ReadWriteOnceWithFsType, None),
    ("fsx.openzfs.csi.aws.com", ReadWriteOnceWithFsType, None),
    ("csi.trident.netapp.io", ReadWriteOnceWithFsType, None),
    ("csi.vastdata.com", ReadWriteOnceWithFsType, None),
    ("csi.san.synology.com", ReadWriteOnceWithFsType, None),
    ("fss.csi.oraclecloud.com", ReadWriteOnceWithFsType, None),
    ("vpc.file.csi.ibm.io", ReadWriteOnceWithFsType, None),
    // Never.
    ("kubernetes.io/nfs", Never, None),
    ("k8s-sigs.io/nfs-subdir-external-provisioner", Never, None),
    ("example.com/nfs", Never, None),
    ("openebs.io/nfsrwx", Never, None),
    ("oracle.com/oci-fss", Never, None),
    ("ibm.io/ibmc-file", Never, None),
    ("nfs.manila.csi.openstack.org", Never, None),
];

#[test]
fn the_kubelet_applies_the_fs_group_where_the_policy_says() {
    let catalogue = Catalogue::with(&[]);
    for (name, policy, fs_type) in APPLIED_BY_THE_KUBELET {
        let driver = catalogue.find(name).unwrap_or_else(|| panic!("no entry of {name}"));
        assert_eq!(driver.fs_group_policy, Some(policy), "{name}");
        assert_eq!(driver.default_fs_type.as_deref(), fs_type, "{name}");
        assert!(!driver.takes_fs_group, "{name}");
    }
}

#[test]
fn two_drivers_take_the_fs_group_themselves() {
    let catalogue = Catalogue::with(&[]);
    let takers = catalogue.drivers().iter().filter(|driver| driver.takes_fs_group);
    let names: Vec<&str> = takers.map(|driver| &*driver.names[0]).collect();
    assert_eq!(names, ["file.csi.azure.com", "blob.csi.azure.com"]);
}

#[test]
fn a_version_is_fixed_where_the_driver_mounts_no_other() {
    let catalogue = Catalogue::with(&[]);
    for (name, version) in [
        ("blob.csi.azure.com", Some("3")),
        ("infinibox-csi-driver", Some("3")),
        ("sfsturbo.csi.huaweicloud.com", Some("3")),
        ("com.tencent.cloud.csi.cfsturbo", Some("3")),
        ("file.csi.azure.com", Some("4.1")),
        ("csi.vsphere.vmware.com", Some("4.1")),
        ("linstor.csi.linbit.com", Some("4")),
        ("filestore.csi.storage.gke.io", None), // 3 unless the class asks for 4.1
        ("driver.longhorn.io", None),           // 4.1 unless nfsOptions says otherwise
        ("nfs.csi.k8s.io", None),
    ] {
        let driver = catalogue.find(name).unwrap_or_else(|| panic!("no entry of {name}"));
        assert_eq!(driver.version_fixed.as_deref(), version, "{name}");
    }
}
