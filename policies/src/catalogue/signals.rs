//! Signs of NFS where the catalogue does not decide: what a driver nobody knows
//! is told, and what it is called.
//!
//! A strong sign is something only NFS has a use for. A weak one is as often
//! an accident, and leads to a reason for not knowing, never to NFS.

use std::{fmt, sync::LazyLock};

use regex::Regex;

use super::Probe;
use crate::{
    facts::{AccessMode, VolumeMode},
    text::Text,
};

/// A sign of NFS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signal {
    /// It is NFS, by this.
    Strong(&'static str),
    /// It may be.
    Weak(Reason),
}

/// Why something may be NFS; completes the sentence "it is not known, but …".
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The driver's name has `nfs` in it.
    Name,
    /// The mount option `vers=3`, which SMB has too (`mount.cifs(8)`).
    Version3,
    /// That volume, of the same class or provisioner, is NFS.
    Sibling(String),
    /// It is to be mounted on many nodes, to be written on each: by which
    /// filesystem, nobody says.
    ManyWriters,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name => f.write_str("its name says NFS"),
            Self::Version3 => f.write_str("mount option vers=3 is most often NFS"),
            Self::Sibling(volume) => {
                write!(f, "PersistentVolume {volume}, of the same making, is NFS")
            }
            Self::ManyWriters => f.write_str("ReadWriteMany asks for some network filesystem"),
        }
    }
}

/// The most telling sign there is. `sibling` names an NFS volume of the same
/// class or provisioner; it is asked only when nothing at hand says more.
#[must_use]
pub fn read(
    driver: &str,
    probe: &Probe<'_>,
    mount_options: &[Text<'_>],
    sibling: impl FnOnce() -> Option<String>,
) -> Option<Signal> {
    // An option may be several: the kubelet joins them by commas as they are.
    let options = || mount_options.iter().flat_map(|options| options.split(',')).map(str::trim);
    if let Some(sign) = of_volume(probe).or_else(|| options().find_map(of_option)) {
        return Some(Signal::Strong(sign));
    }
    let many_writers = probe.access_modes.contains(&AccessMode::ReadWriteMany)
        && probe.volume_mode == VolumeMode::Filesystem;
    let reason = says_nfs(driver)
        .then_some(Reason::Name)
        .or_else(|| options().any(|option| option == "vers=3").then_some(Reason::Version3))
        .or_else(|| sibling().map(Reason::Sibling))
        .or_else(|| many_writers.then_some(Reason::ManyWriters))?;
    Some(Signal::Weak(reason))
}

/// Whether a flexVolume of that driver is NFS: the name is all there is, and
/// whoever installed the driver chose it.
#[must_use]
pub fn flex_volume(driver: &str) -> bool {
    let driver = driver.to_ascii_lowercase();
    driver == "alicloud/nas" || driver.contains("nfs")
}

fn of_volume(probe: &Probe<'_>) -> Option<&'static str> {
    let fs_type = probe.fs_type().unwrap_or_default();
    if ["nfs", "nfs3", "nfs4"].iter().any(|nfs| nfs.eq_ignore_ascii_case(fs_type)) {
        return Some("filesystem type nfs");
    }
    let attribute = |key| probe.attributes.and_then(|map| map.get_ignore_case(key));
    let parameter = |key| probe.parameters.and_then(|map| map.get_ignore_case(key));
    if attribute("server").is_some() && attribute("share").is_some() {
        // csi-driver-nfs, Ceph's NFS and democratic-csi, under whatever name.
        return Some("volume attributes server and share");
    }
    if attribute("node_attach_driver").is_some_and(|by| by.eq_ignore_ascii_case("nfs")) {
        return Some("volume attribute node_attach_driver"); // democratic-csi
    }
    // nfs-subdir-external-provisioner and its ancestors, under whatever name.
    ["archiveOnDelete", "pathPattern"]
        .iter()
        .any(|key| parameter(key).is_some())
        .then_some("class parameter archiveOnDelete or pathPattern")
}

/// SMB has `vers=` as well: 1.0, 2.0, 2.1, 3, 3.0, 3.0.2, 3.1.1, but no 4.
fn of_option(option: &str) -> Option<&'static str> {
    let (key, value) = option.split_once('=').unwrap_or((option, ""));
    match key {
        "nfsvers" => Some("mount option nfsvers"),
        "minorversion" => Some("mount option minorversion"),
        "vers" if value.starts_with('4') => Some("mount option vers=4"),
        "noresvport" => Some("mount option noresvport"),
        "nolock" => Some("mount option nolock"),
        "local_lock" => Some("mount option local_lock"),
        "nconnect" => Some("mount option nconnect"),
        _ => None,
    }
}

/// `nfs` as a word of its own, or one of the provisioners' names run together
/// with another.
fn says_nfs(driver: &str) -> bool {
    static NFS: LazyLock<Regex> = LazyLock::new(|| {
        let word = "(?i)(?:^|[^a-z0-9])nfs(?:[^a-z0-9]|$)|nfs-(?:client|subdir|server|provisioner)";
        Regex::new(word).expect("the expression is constant, and tested")
    });
    NFS.is_match(driver)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        Effect::{Allow, Deny, Warn},
        facts::StringMap,
        testing::{Judge, claim, cluster, incident},
    };

    /// The end of the chain of a critical claim of that class.
    fn judged(class: &serde_json::Value, modes: &[&str], config: serde_json::Value) -> String {
        let mut objects = incident();
        objects.push(class.clone());
        let judge = Judge { cluster: cluster(&objects), ..Judge::incident() };
        let claim = claim(&json!({"storageClassName": "fast", "accessModes": modes}));
        let (effect, chains) = judge.configured(config).create("vault", &claim).told();
        let expected = match chains.first() {
            None => Allow,
            Some(chain) if chain.contains("unknown: ") => Warn,
            Some(_) => Deny,
        };
        assert_eq!(effect, expected, "{chains:?}");
        let last = chains.first().map(|chain| chain.split("provisioner ").last().unwrap());
        last.unwrap_or("no finding").to_owned()
    }

    #[test]
    fn signs_count_where_nobody_knows_better() {
        let class = |provisioner: &str, parameters: serde_json::Value, options: &[&str]| {
            json!({"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": "fast"},
                "provisioner": provisioner, "parameters": parameters, "mountOptions": options})
        };
        let own = json!({"drivers": [{"names": ["acme.example/nfs"], "otherwise": "block"}]});
        for (class, modes, config, expected) in [
            (
                class("acme.example/nfs", json!({}), &["nfsvers=4.1"]),
                &["ReadWriteOnce"][..],
                json!({}),
                "acme.example/nfs → mount option nfsvers → NFSv4.1",
            ),
            (
                class("acme.example/nfs", json!({}), &[]),
                &["ReadWriteOnce"],
                json!({}),
                "acme.example/nfs → unknown: driver acme.example/nfs is in no catalogue, but its \
                 name says NFS",
            ),
            (
                class("acme.example/x", json!({}), &[]),
                &["ReadWriteMany"],
                json!({}),
                "acme.example/x → unknown: driver acme.example/x is in no catalogue, but \
                 ReadWriteMany asks for some network filesystem",
            ),
            // The configuration's word, and the catalogue's, are above signs.
            (
                class("acme.example/nfs", json!({"fsType": "nfs"}), &["nfsvers=4.1"]),
                &["ReadWriteMany"],
                own,
                "no finding",
            ),
            (
                class("ebs.csi.aws.com", json!({"fsType": "nfs"}), &["nfsvers=4.1"]),
                &["ReadWriteMany"],
                json!({}),
                "no finding",
            ),
            // What the catalogue leaves open, they may close.
            (
                class("hspc.csi.hitachi.com", json!({"pathPattern": "x"}), &[]),
                &["ReadWriteOnce"],
                json!({}),
                "hspc.csi.hitachi.com → class parameter archiveOnDelete or pathPattern → NFS",
            ),
            (
                class("csi.trident.netapp.io", json!({}), &["vers=3"]),
                &["ReadWriteOnce"],
                json!({}),
                "csi.trident.netapp.io → unknown: driver csi.trident.netapp.io serves several \
                 kinds of storage, but mount option vers=3 is most often NFS",
            ),
        ] {
            let judged = judged(&class, modes, config);
            assert_eq!(judged, expected);
        }
    }

    fn signal(driver: &str, probe: &Probe<'_>, options: &[&'static str]) -> Option<Signal> {
        let options: Vec<Text<'_>> = options.iter().map(|option| Text::from(*option)).collect();
        read(driver, probe, &options, || None)
    }

    #[test]
    fn mount_options_tell_nfs_from_smb() {
        let strong = |sign| Some(Signal::Strong(sign));
        for (options, expected) in [
            (&["nfsvers=3"][..], strong("mount option nfsvers")),
            (&["hard,nfsvers=4.1"], strong("mount option nfsvers")),
            (&["hard", " minorversion=1"], strong("mount option minorversion")),
            (&["vers=4"], strong("mount option vers=4")),
            (&["vers=4.2"], strong("mount option vers=4")),
            (&["noresvport"], strong("mount option noresvport")),
            (&["nolock"], strong("mount option nolock")),
            (&["local_lock=all"], strong("mount option local_lock")),
            (&["nconnect=8"], strong("mount option nconnect")),
            (&["vers=3"], Some(Signal::Weak(Reason::Version3))),
            (&["vers=3", "nolock"], strong("mount option nolock")),
            (&["vers=3.0"], None),
            (&["vers=3.1.1"], None),
            (&["vers=2.1"], None),
            (&["nolocks", "server=nfsvers"], None),
            (&[], None),
        ] {
            assert_eq!(signal("csi.example.com", &Probe::default(), options), expected);
        }
    }

    #[test]
    fn a_volumes_attributes_and_filesystem_type_tell() {
        for (attributes, fs_type, expected) in [
            (&[("server", "a"), ("share", "/b")][..], None, true),
            (&[("Server", "a"), ("Share", "/b")], None, true),
            (&[("server", "a")], None, false),
            (&[("share", "/b")], None, false),
            (&[("node_attach_driver", "nfs")], None, true),
            (&[("node_attach_driver", "iscsi")], None, false),
            (&[("archiveOnDelete", "true")], None, false), // means nothing on a volume
            (&[], Some("nfs"), true),
            (&[], Some("NFS3"), true),
            (&[], Some("nfs4"), true),
            (&[], Some("nfsd"), false),
            (&[], Some("ext4"), false),
        ] {
            let attributes: StringMap<'_> = attributes.iter().copied().collect();
            let probe = Probe { attributes: Some(&attributes), fs_type, ..Probe::default() };
            let signal = signal("csi.example.com", &probe, &[]);
            assert_eq!(matches!(signal, Some(Signal::Strong(_))), expected, "{attributes:?}");
            assert_eq!(signal.is_some(), expected, "{attributes:?}");
        }
    }

    #[test]
    fn a_classs_parameters_tell() {
        for (key, value, expected) in [
            ("archiveOnDelete", "false", true),
            ("pathPattern", "${.PVC.name}", true),
            ("PATHPATTERN", "${.PVC.name}", true),
            ("onDelete", "retain", false),
            ("fsType", "nfs", true),
            ("csi.storage.k8s.io/fstype", "nfs4", true),
            ("fstype", "xfs", false),
            ("server", "a", false),
            ("node_attach_driver", "nfs", false), // means nothing on a class
        ] {
            let parameters: StringMap<'_> = [(key, value)].into_iter().collect();
            let probe = Probe { parameters: Some(&parameters), ..Probe::default() };
            let signal = signal("csi.example.com", &probe, &[]);
            assert_eq!(matches!(signal, Some(Signal::Strong(_))), expected, "{key}={value}");
        }
    }

    #[test]
    fn a_name_is_never_more_than_a_hint() {
        for (name, expected) in [
            ("nfs.example.com", true),
            ("example.com/NFS", true),
            ("example.com/my_nfs_2", true),
            ("example.com/teamnfs-client2", true),
            ("example.com/xnfs-subdir", true),
            ("example.com/xnfs-server", true),
            ("example.com/xnfs-provisioner", true),
            ("example.com/nfsx", false),
            ("example.com/xnfs", false),
            ("confs.example.com", false),
        ] {
            let weak = expected.then_some(Signal::Weak(Reason::Name));
            assert_eq!(signal(name, &Probe::default(), &[]), weak, "{name}");
        }
    }

    #[test]
    fn the_most_telling_of_the_weak_ones_is_given() {
        let many = Probe { access_modes: &[AccessMode::ReadWriteMany], ..Probe::default() };
        let raw = Probe { volume_mode: VolumeMode::Block, ..many };
        let once = Probe { access_modes: &[AccessMode::ReadWriteOnce], ..Probe::default() };
        let sibling = || Some("pv-1".to_owned());
        let none = || None;
        let weak = |driver, probe, sibling: &dyn Fn() -> Option<String>| {
            read(driver, probe, &[], sibling).map(|signal| match signal {
                Signal::Weak(reason) => reason,
                Signal::Strong(sign) => panic!("{sign} is strong"),
            })
        };
        let found = Reason::Sibling("pv-1".to_owned());
        assert_eq!(weak("a/nfs", &many, &sibling), Some(Reason::Name));
        assert_eq!(weak("a/b", &many, &sibling), Some(found.clone()));
        assert_eq!(weak("a/b", &once, &sibling), Some(found));
        assert_eq!(weak("a/b", &many, &none), Some(Reason::ManyWriters));
        assert_eq!(weak("a/b", &raw, &none), None);
        assert_eq!(weak("a/b", &once, &none), None);
    }

    #[test]
    fn a_flex_volumes_driver_is_known_by_its_name() {
        for (driver, expected) in [
            ("alicloud/nas", true),
            ("example.com/NFS", true),
            ("example.com/mynfs", true),
            ("alicloud/disk", false),
            ("example.com/nas", false),
        ] {
            assert_eq!(flex_volume(driver), expected, "{driver}");
        }
    }
}
