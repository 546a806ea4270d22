//! What is known of storage drivers: which of them serve NFS, and when.
//!
//! The catalogue is data (`catalogue/drivers.json`), compiled in; a
//! configuration can add entries of the same form, and those win.

mod when;

use std::{collections::HashMap, sync::LazyLock};

use regex::{Regex, RegexBuilder};
use schemars::JsonSchema;
use serde::Deserialize;

pub use when::{Probe, Value, When};

use crate::backing::Kind;

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
            patterns.extend(driver.patterns.iter().map(|pattern| (pattern.0.clone(), at)));
        }
        Self { drivers, by_name, patterns }
    }

    /// The entry of a provisioner or CSI driver: an exact name beats a pattern,
    /// and among equals the first.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&Driver> {
        let exact = self.by_name.get(&*name.to_ascii_lowercase()).copied();
        let at = exact.or_else(|| {
            let mut patterns = self.patterns.iter();
            patterns.find(|(pattern, _)| pattern.is_match(name)).map(|(_, at)| *at)
        })?;
        Some(&self.drivers[at])
    }
}

static BUILT_IN: LazyLock<Vec<Driver>> = LazyLock::new(|| {
    serde_json::from_str(include_str!("catalogue/drivers.json"))
        .expect("the compiled-in catalogue is held to its form by a test")
});

/// What is known of one driver.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Driver {
    /// Exact names: of the CSI driver, of its provisioner, of its in-tree
    /// ancestor. Compared without regard to case.
    #[serde(default)]
    pub names: Vec<String>,
    /// Regular expressions for names an installation may choose; each must
    /// match the whole name.
    #[serde(default)]
    pub patterns: Vec<Pattern>,
    /// What decides, in order; the first that holds wins.
    #[serde(default)]
    pub cases: Vec<Case>,
    /// What it is when no case holds.
    pub otherwise: Kind,
    /// `spec.fsGroupPolicy` of its `CSIDriver` object as shipped; absent where it is
    /// left to the API's default. A live object is the better source.
    #[serde(default)]
    pub fs_group_policy: Option<FsGroupPolicy>,
    /// What `spec.csi.fsType` of its volumes becomes when the class does not
    /// say: external-provisioner's `--default-fstype` as shipped. Absent where
    /// there is none.
    #[serde(default)]
    pub default_fs_type: Option<String>,
    /// Whether its node service has `VOLUME_MOUNT_GROUP` (KEP-2317): the kubelet
    /// hands the fsGroup over, and `fsGroupChangePolicy` is ignored.
    #[serde(default)]
    pub takes_fs_group: bool,
    /// NFS version the driver mounts whatever the options say.
    #[serde(default)]
    pub version_fixed: Option<String>,
    /// Where these facts were read.
    #[serde(default)]
    pub evidence: Option<String>,
}

impl Driver {
    /// What a volume of this driver ends up on.
    #[must_use]
    pub fn judge(&self, probe: &Probe<'_>) -> Kind {
        let mut cases = self.cases.iter();
        cases.find(|case| case.when.holds(probe)).map_or(self.otherwise, |case| case.backing)
    }
}

/// One case of a driver.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Case {
    /// The condition.
    pub when: When,
    /// What it is when the condition holds.
    pub backing: Kind,
}

/// `CSIDriver.spec.fsGroupPolicy` (KEP-1682).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum FsGroupPolicy {
    /// The kubelet changes ownership whatever the volume.
    File,
    /// The kubelet never does.
    None,
    /// The API's default: only for ReadWriteOnce volumes with a filesystem type.
    #[serde(rename = "ReadWriteOnceWithFSType")]
    ReadWriteOnceWithFsType,
}

/// A regular expression that must match a whole name, in any case.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(with = "String")]
pub struct Pattern(Regex);

impl TryFrom<String> for Pattern {
    type Error = regex::Error;

    fn try_from(pattern: String) -> Result<Self, regex::Error> {
        let whole = format!("^(?:{pattern})$");
        RegexBuilder::new(&whole).case_insensitive(true).build().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drivers(json: &str) -> Vec<Driver> {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn the_compiled_in_catalogue_keeps_its_form() {
        for driver in BUILT_IN.iter() {
            assert!(!driver.names.is_empty() || !driver.patterns.is_empty(), "{driver:?}");
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
