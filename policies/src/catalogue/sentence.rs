//! The catalogue in words: `NFS when the class parameter protocol is nfs;
//! otherwise block device`.

use std::fmt::{self, Formatter};

use super::{
    Case, Driver, FsGroupPolicy,
    when::{Entry, Value, When},
};
use crate::facts::{AccessMode, VolumeMode};

/// What volumes of the driver end up on, and when.
impl fmt::Display for Driver {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.cases.is_empty() {
            return write!(f, "always {}", self.otherwise.describe());
        }
        for case in &self.cases {
            write!(f, "{case}; ")?;
        }
        write!(f, "otherwise {}", self.otherwise.describe())
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} when {}", self.backing.describe(), self.when)
    }
}

impl fmt::Display for FsGroupPolicy {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::File => "File",
            Self::None => "None",
            Self::ReadWriteOnceWithFsType => "ReadWriteOnceWithFSType",
        })
    }
}

impl fmt::Display for When {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::All(conditions) => each(f, conditions, " and "),
            Self::Any(conditions) => each(f, conditions, ", or "),
            Self::Not(condition) => write!(f, "not ({condition})"),
            Self::Parameter(entry) => write!(f, "the class parameter {entry}"),
            Self::Attribute(entry) => write!(f, "the volume attribute {entry}"),
            Self::ClaimAnnotation(entry) => write!(f, "the claim's annotation {entry}"),
            Self::FsType(types) => {
                f.write_str("the filesystem type is ")?;
                choice(f, types)
            }
            Self::AccessModes(modes) => {
                f.write_str("an access mode is ")?;
                choice(f, &modes.iter().map(|mode| access_mode(*mode)).collect::<Vec<_>>())
            }
            Self::VolumeMode(VolumeMode::Block) => f.write_str("the volume is handed over raw"),
            Self::VolumeMode(VolumeMode::Filesystem) => {
                f.write_str("the volume is mounted as a filesystem")
            }
            // None has a handle before it exists.
            Self::VolumeHandle(Value::Exists(true)) => f.write_str("the volume exists"),
            Self::VolumeHandle(value) => write!(f, "the volume handle {value}"),
        }
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { key, value } = self;
        write!(f, "{key} {value}")
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Values(values) => {
                f.write_str("is ")?;
                choice(f, values)
            }
            Self::Prefix(prefix) => write!(f, "begins with {prefix}"),
            Self::Suffix(suffix) => write!(f, "ends with {suffix}"),
            Self::Lists(item) => write!(f, "lists {item}"),
            Self::Exists(true) => f.write_str("is there"),
            Self::Exists(false) => f.write_str("is not there"),
        }
    }
}

/// Conditions in a row; one that is itself a row goes into
/// brackets.
fn each(f: &mut Formatter<'_>, conditions: &[When], between: &str) -> fmt::Result {
    for (at, condition) in conditions.iter().enumerate() {
        if at > 0 {
            f.write_str(between)?;
        }
        match condition {
            When::Any(_) | When::All(_) => write!(f, "({condition})")?,
            _ => write!(f, "{condition}")?,
        }
    }
    Ok(())
}

/// `a`, `a or b`, `a, b or c`.
fn choice(f: &mut Formatter<'_>, items: &[impl AsRef<str>]) -> fmt::Result {
    for (at, item) in items.iter().enumerate() {
        let before = match at {
            0 => "",
            _ if at + 1 == items.len() => " or ",
            _ => ", ",
        };
        write!(f, "{before}{}", item.as_ref())?;
    }
    Ok(())
}

fn access_mode(mode: AccessMode) -> &'static str {
    match mode {
        AccessMode::ReadWriteOnce => "ReadWriteOnce",
        AccessMode::ReadOnlyMany => "ReadOnlyMany",
        AccessMode::ReadWriteMany => "ReadWriteMany",
        AccessMode::ReadWriteOncePod => "ReadWriteOncePod",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_condition_reads_as_a_sentence() {
        for (json, expected) in [
            (r#"{"parameter": {"key": "a", "values": ["b"]}}"#, "the class parameter a is b"),
            (
                r#"{"attribute": {"key": "a", "values": ["b", "c", "d"]}}"#,
                "the volume attribute a is b, c or d",
            ),
            (
                r#"{"claimAnnotation": {"key": "a", "prefix": "b"}}"#,
                "the claim's annotation a begins with b",
            ),
            (r#"{"parameter": {"key": "a", "suffix": "b"}}"#, "the class parameter a ends with b"),
            (r#"{"parameter": {"key": "a", "lists": "b"}}"#, "the class parameter a lists b"),
            (r#"{"parameter": {"key": "a", "exists": true}}"#, "the class parameter a is there"),
            (
                r#"{"parameter": {"key": "a", "exists": false}}"#,
                "the class parameter a is not there",
            ),
            (r#"{"fsType": ["nfs", "nfs4"]}"#, "the filesystem type is nfs or nfs4"),
            (
                r#"{"accessModes": ["ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany", "ReadWriteOncePod"]}"#,
                "an access mode is ReadWriteOnce, ReadOnlyMany, ReadWriteMany or ReadWriteOncePod",
            ),
            (r#"{"volumeMode": "Block"}"#, "the volume is handed over raw"),
            (r#"{"volumeMode": "Filesystem"}"#, "the volume is mounted as a filesystem"),
            (r#"{"volumeHandle": {"suffix": "/nfs"}}"#, "the volume handle ends with /nfs"),
            (r#"{"volumeHandle": {"exists": true}}"#, "the volume exists"),
            (
                r#"{"all": [{"any": [{"fsType": ["a"]}, {"fsType": ["b"]}]}, {"not": {"fsType": ["c"]}}]}"#,
                "(the filesystem type is a, or the filesystem type is b) and \
                 not (the filesystem type is c)",
            ),
        ] {
            let when: When = serde_json::from_str(json).unwrap();
            assert_eq!(when.to_string(), expected, "{json}");
        }
    }

    #[test]
    fn a_driver_reads_as_a_sentence() {
        for (json, expected) in [
            (r#"{"otherwise": "nfs"}"#, "always NFS"),
            (
                r#"{"cases": [{"when": {"fsType": ["nfs"]}, "backing": "nfs"},
                              {"when": {"fsType": ["cifs"]}, "backing": "other-network-fs"}],
                    "otherwise": "block"}"#,
                "NFS when the filesystem type is nfs; network filesystem other than NFS when \
                 the filesystem type is cifs; otherwise block device",
            ),
        ] {
            let driver: Driver = serde_json::from_str(json).unwrap();
            assert_eq!(driver.to_string(), expected);
        }
    }
}
