//! What is known of storage drivers: which of them serve NFS, and when.
//!
//! The catalogue is data (`catalogue/drivers.json`), compiled in; a
//! configuration can add entries of the same form, and those win.

#[cfg(test)]
mod branches;
#[cfg(test)]
mod expectations;
#[cfg(test)]
mod scene;
mod sentence;
pub mod signals;
mod when;

use std::{collections::HashMap, sync::LazyLock};

use regex::{Regex, RegexBuilder};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, de};

pub use when::{Probe, Value, When};

use crate::{
    backing::Kind,
    facts::{FsGroupPolicy, VolumeMode},
};

/// The drivers an engine knows.
#[derive(Debug)]
pub struct Catalogue {
    drivers: Vec<Driver>,
    by_name: HashMap<String, usize>,
    patterns: Vec<(Regex, usize)>,
}

impl Catalogue {
    /// The compiled-in catalogue, overridden and extended by `own`.
    #[must_use]
    pub fn with(own: &[Driver]) -> Self {
        let drivers: Vec<Driver> = own.iter().chain(BUILT_IN.iter()).cloned().collect();
        let (mut by_name, mut patterns) = (HashMap::new(), Vec::new());
        for (at, driver) in drivers.iter().enumerate() {
            for name in &driver.names {
                by_name.entry(name.to_ascii_lowercase()).or_insert(at);
            }
            patterns.extend(driver.patterns.iter().map(|pattern| (pattern.whole.clone(), at)));
        }
        Self { drivers, by_name, patterns }
    }

    /// The entry of a provisioner or CSI driver: an exact name beats a pattern,
    /// and among equals the first.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&Driver> {
        self.position(name).map(|at| &self.drivers[at])
    }

    /// Every entry, in order: the configuration's own, then the compiled-in ones.
    /// An entry further on may have names that an earlier one has taken.
    #[must_use]
    pub fn drivers(&self) -> &[Driver] {
        &self.drivers
    }

    fn position(&self, name: &str) -> Option<usize> {
        let exact = self.by_name.get(&*name.to_ascii_lowercase()).copied();
        exact.or_else(|| {
            let mut patterns = self.patterns.iter();
            patterns.find(|(pattern, _)| pattern.is_match(name)).map(|(_, at)| *at)
        })
    }
}

static BUILT_IN: LazyLock<Vec<Driver>> = LazyLock::new(|| {
    let mut json = serde_json::Deserializer::from_str(include_str!("catalogue/drivers.json"));
    named_drivers(&mut json).expect("the compiled-in catalogue is held to its form by a test")
});

/// Entries that can be found, each by a name or a pattern.
pub(crate) fn named_drivers<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<Driver>, D::Error> {
    let drivers = Vec::<Driver>::deserialize(deserializer)?;
    if drivers.iter().any(|driver| driver.names.is_empty() && driver.patterns.is_empty()) {
        return Err(de::Error::custom("a driver needs at least one of names and patterns"));
    }
    Ok(drivers)
}

/// What is known of one driver. An exact name beats a pattern; among equals the
/// first wins. At least one of `names` and `patterns` is needed.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Driver {
    /// Exact names: of the CSI driver, of its provisioner, of its in-tree
    /// ancestor. Compared without regard to case.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
    /// Regular expressions for names an installation may choose; each must
    /// match the whole name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub patterns: Vec<Pattern>,
    /// What decides, in order: the first case whose condition holds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cases: Vec<Case>,
    /// What it is when no case holds.
    pub otherwise: Kind,
    /// `spec.fsGroupPolicy` of its `CSIDriver` object as shipped, the API's default
    /// where it ships none; `None` too for who makes in-tree `nfs` volumes, whose
    /// plugin never applies the fsGroup. Absent where it is not known. A live
    /// object is the better source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fs_group_policy: Option<FsGroupPolicy>,
    /// What `spec.csi.fsType` of its volumes becomes when the class does not
    /// say: external-provisioner's `--default-fstype` as shipped. Absent where
    /// there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_fs_type: Option<String>,
    /// Whether its node service has `VOLUME_MOUNT_GROUP` (KEP-2317): the kubelet
    /// hands the fsGroup over, and `fsGroupChangePolicy` is ignored.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub takes_fs_group: bool,
    /// NFS version the driver mounts whatever the options say; shown in the chain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version_fixed: Option<String>,
    /// Where these facts were read; for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<String>,
}

impl Driver {
    /// What a volume of this driver ends up on. One that is handed over raw is a
    /// block device, unless a case names that mode: it is no mount, whatever
    /// filesystem the driver would serve.
    #[must_use]
    pub fn judge(&self, probe: &Probe<'_>) -> Kind {
        let raw = probe.volume_mode == VolumeMode::Block;
        let mut cases = self.cases.iter().filter(|case| !raw || case.when.names_raw_mode());
        let otherwise = if raw { Kind::Block } else { self.otherwise };
        cases.find(|case| case.when.holds(probe)).map_or(otherwise, |case| case.backing)
    }
}

/// One case of a driver.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Case {
    /// The condition.
    pub when: When,
    /// What it is when the condition holds.
    pub backing: Kind,
}

/// A regular expression that must match a whole name, in any case.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct Pattern {
    written: String,
    whole: Regex,
}

impl TryFrom<String> for Pattern {
    type Error = regex::Error;

    fn try_from(written: String) -> Result<Self, regex::Error> {
        let whole = format!("^(?:{written})$");
        let whole = RegexBuilder::new(&whole).case_insensitive(true).build()?;
        Ok(Self { written, whole })
    }
}

impl From<Pattern> for String {
    fn from(pattern: Pattern) -> Self {
        pattern.written
    }
}

impl Pattern {
    /// The expression as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.written
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use serde_json::json;

    use super::*;
    use crate::{Effect, facts::AccessMode, testing};

    fn drivers(json: &str) -> Vec<Driver> {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn the_compiled_in_catalogue_keeps_its_form() {
        for driver in BUILT_IN.iter() {
            assert!(driver.evidence.is_some(), "{driver:?} says nothing of where it was read");
        }
    }

    #[test]
    fn knows_the_drivers_of_the_incident() {
        let catalogue = Catalogue::with(&[]);
        for (name, expected) in [
            ("nfs.csi.k8s.io", Some(Kind::Nfs)),
            ("NFS.CSI.K8S.IO", Some(Kind::Nfs)),
            ("kubernetes.io/nfs", Some(Kind::Nfs)),
            ("csi.proxmox.sinextra.dev", Some(Kind::Block)),
            ("nfs.csi.k8s.io.example", None),
        ] {
            let judged = catalogue.find(name).map(|driver| driver.judge(&Probe::default()));
            assert_eq!(judged, expected, "{name}");
        }
    }

    #[test]
    fn no_two_entries_share_a_name() {
        let names = BUILT_IN.iter().flat_map(|driver| &driver.names);
        let mut seen = HashSet::new();
        for name in names {
            assert!(seen.insert(name.to_ascii_lowercase()), "{name} is there twice");
        }
    }

    #[test]
    fn a_raw_volume_is_a_block_device_unless_a_case_names_that_mode() {
        let drivers = drivers(
            r#"[{"names": ["a"], "otherwise": "nfs", "cases": [{"when": {"accessModes": ["ReadWriteMany"]}, "backing": "nfs"}]},
                {"names": ["b"], "otherwise": "local", "cases": [{"when": {"volumeMode": "Block"}, "backing": "nfs"}]},
                {"names": ["c"], "otherwise": "local", "cases": [{"when": {"not": {"volumeMode": "Block"}}, "backing": "nfs"}]}]"#,
        );
        let raw = Probe {
            volume_mode: VolumeMode::Block,
            access_modes: &[AccessMode::ReadWriteMany],
            ..Probe::default()
        };
        let judged = |probe| drivers.iter().map(|driver| driver.judge(probe)).collect::<Vec<_>>();
        assert_eq!(judged(&raw), [Kind::Block, Kind::Nfs, Kind::Block]);
        assert_eq!(judged(&Probe::default()), [Kind::Nfs, Kind::Local, Kind::Nfs]);
    }

    #[test]
    fn a_raw_volume_made_of_a_file_on_nfs_is_found_out() {
        let mut objects = testing::incident();
        objects.push(testing::class("hammer", "com.hammerspace.csi", false));
        objects.push(testing::class("odd", "acme.example/nfs", false));
        for (name, driver) in [("raw-nfs", "com.hammerspace.csi"), ("raw", "acme.example/nfs")] {
            objects.push(json!({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name}, "spec": {
                "volumeMode": "Block", "csi": {"driver": driver, "volumeHandle": name},
            }}));
        }
        let judge =
            testing::Judge { cluster: testing::cluster(&objects), ..testing::Judge::incident() };
        for (field, value, expected) in [
            ("storageClassName", "hammer", Effect::Deny),
            ("volumeName", "raw-nfs", Effect::Deny),
            // A raw device otherwise, whoever makes it, even if nobody is known to.
            ("storageClassName", "nfs-proxmox", Effect::Allow),
            ("storageClassName", "odd", Effect::Allow),
            ("storageClassName", "absent", Effect::Allow),
            ("volumeName", "raw", Effect::Allow),
        ] {
            let claim = testing::claim(&json!({"volumeMode": "Block", field: value}));
            let (effect, chains) = judge.create("vault", &claim).told();
            assert_eq!(effect, expected, "{value}: {chains:?}");
        }
    }

    #[test]
    fn an_operators_entry_wins_and_an_exact_name_beats_a_pattern() {
        let catalogue = Catalogue::with(&drivers(
            r#"[{"names": ["nfs.csi.k8s.io"], "otherwise": "block"},
                {"patterns": [".*\\.example\\.com"], "otherwise": "local"},
                {"names": ["a.example.com"], "otherwise": "nfs"}]"#,
        ));
        for (name, expected) in [
            ("nfs.csi.k8s.io", Some(Kind::Block)),
            ("a.example.com", Some(Kind::Nfs)),
            ("B.example.com", Some(Kind::Local)),
            ("b.example.com.evil", None),
        ] {
            let judged = catalogue.find(name).map(|driver| driver.judge(&Probe::default()));
            assert_eq!(judged, expected, "{name}");
        }
    }
}
