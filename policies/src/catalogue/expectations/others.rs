//! Other network filesystems, and the drivers that serve no filesystem over a
//! network at all.

use super::{ALWAYS_BLOCK, ALWAYS_LOCAL, ALWAYS_OTHER, Fact, Says::Drivers, fact};

pub(super) const FACTS: &[Fact] = &[
    fact("SMB", &[Drivers(&["smb.csi.k8s.io"], ALWAYS_OTHER)]),
    fact("JuiceFS", &[Drivers(&["csi.juicefs.com"], ALWAYS_OTHER)]),
    fact("SeaweedFS", &[Drivers(&["seaweedfs-csi-driver"], ALWAYS_OTHER)]),
    fact("Kadalu", &[Drivers(&["kadalu"], ALWAYS_OTHER)]),
    fact(
        "Gluster",
        &[Drivers(
            &[
                "gluster.org/glusterfile",
                "gluster.org/glusterfs-simple",
                "org.gluster.glusterfs",
                "kubernetes.io/glusterfs",
            ],
            ALWAYS_OTHER,
        )],
    ),
    fact("CephFS provisioner", &[Drivers(&["ceph.com/cephfs"], ALWAYS_OTHER)]),
    fact("MooseFS", &[Drivers(&["csi.moosefs.com"], ALWAYS_OTHER)]),
    fact("BeeGFS", &[Drivers(&["beegfs.csi.netapp.com"], ALWAYS_OTHER)]),
    fact("IBM Spectrum Scale", &[Drivers(&["spectrumscale.csi.ibm.com"], ALWAYS_OTHER)]),
    fact("Quobyte", &[Drivers(&["csi.quobyte.com"], ALWAYS_OTHER)]),
    fact("Mountpoint for Amazon S3", &[Drivers(&["s3.csi.aws.com"], ALWAYS_OTHER)]),
    fact("Cloud Storage FUSE", &[Drivers(&["gcsfuse.csi.storage.gke.io"], ALWAYS_OTHER)]),
    fact("Dell LightningFS", &[Drivers(&["csi-lightningfs.dellemc.com"], ALWAYS_OTHER)]),
    fact("AWS EBS", &[Drivers(&["ebs.csi.aws.com", "kubernetes.io/aws-ebs"], ALWAYS_BLOCK)]),
    fact(
        "Google Persistent Disk",
        &[Drivers(&["pd.csi.storage.gke.io", "kubernetes.io/gce-pd"], ALWAYS_BLOCK)],
    ),
    fact(
        "Azure Disk",
        &[Drivers(&["disk.csi.azure.com", "kubernetes.io/azure-disk"], ALWAYS_BLOCK)],
    ),
    fact(
        "OpenStack Cinder",
        &[Drivers(&["cinder.csi.openstack.org", "kubernetes.io/cinder"], ALWAYS_BLOCK)],
    ),
    fact(
        "Ceph RBD",
        &[Drivers(
            &[
                "rbd.csi.ceph.com",
                "rook-ceph.rbd.csi.ceph.com",
                "prod.rbd.csi.ceph.com",
                "ceph.com/rbd",
                "kubernetes.io/rbd",
            ],
            ALWAYS_BLOCK,
        )],
    ),
    fact(
        "OCI block volume",
        &[Drivers(
            &["blockvolume.csi.oraclecloud.com", "dev.blockvolume.csi.oraclecloud.com"],
            ALWAYS_BLOCK,
        )],
    ),
    fact("Hetzner", &[Drivers(&["csi.hetzner.cloud"], ALWAYS_BLOCK)]),
    fact("Linode", &[Drivers(&["linodebs.csi.linode.com"], ALWAYS_BLOCK)]),
    fact("Proxmox", &[Drivers(&["csi.proxmox.sinextra.dev"], ALWAYS_BLOCK)]),
    fact("Scaleway", &[Drivers(&["csi.scaleway.com"], ALWAYS_BLOCK)]),
    fact("Alibaba disk", &[Drivers(&["diskplugin.csi.alibabacloud.com"], ALWAYS_BLOCK)]),
    fact("Tencent CBS", &[Drivers(&["com.tencent.cloud.csi.cbs"], ALWAYS_BLOCK)]),
    fact(
        "Huawei Cloud EVS",
        &[Drivers(&["evs.csi.huaweicloud.com", "disk.csi.everest.io"], ALWAYS_BLOCK)],
    ),
    fact("local-path-provisioner", &[Drivers(&["rancher.io/local-path"], ALWAYS_LOCAL)]),
    fact(
        "OpenEBS local",
        &[Drivers(
            &["openebs.io/local", "local.csi.openebs.io", "zfs.csi.openebs.io"],
            ALWAYS_LOCAL,
        )],
    ),
    fact(
        "widely known names",
        &[
            Drivers(
                &[
                    "io.openebs.csi-mayastor",
                    "topolvm.io",
                    "topolvm.cybozu.com",
                    "dobs.csi.digitalocean.com",
                    "vpc.block.csi.ibm.io",
                    "csi.exoscale.com",
                ],
                ALWAYS_BLOCK,
            ),
            Drivers(
                &[
                    "hostpath.csi.k8s.io",
                    "kubevirt.io.hostpath-provisioner",
                    "microk8s.io/hostpath",
                    "k8s.io/minikube-hostpath",
                    "docker.io/hostpath",
                ],
                ALWAYS_LOCAL,
            ),
        ],
    ),
];
