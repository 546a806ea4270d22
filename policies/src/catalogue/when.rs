use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, de};

use crate::facts::{AccessMode, StringMap, VolumeMode};

/// A condition on what is known of a volume: exactly one of these. A condition
/// on something that is not there does not hold: the class and the claim's
/// annotations are asked only while the volume does not exist, its attributes
/// and handle only once it does.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum When {
    /// Every one holds.
    #[serde(deserialize_with = "some")]
    All(#[schemars(length(min = 1))] Vec<When>),
    /// At least one holds.
    #[serde(deserialize_with = "some")]
    Any(#[schemars(length(min = 1))] Vec<When>),
    /// It does not hold.
    Not(Box<When>),
    /// A parameter of the storage class is so.
    Parameter(Entry),
    /// An attribute of the CSI volume is so.
    Attribute(Entry),
    /// An annotation of the claim is so.
    ClaimAnnotation(Entry),
    /// The filesystem type is one of these. Before the volume exists, the class's
    /// parameter `csi.storage.k8s.io/fstype` or `fstype` is asked.
    #[serde(deserialize_with = "some")]
    FsType(#[schemars(length(min = 1))] Vec<String>),
    /// At least one of these access modes is asked for.
    #[serde(deserialize_with = "some")]
    AccessModes(#[schemars(length(min = 1))] Vec<AccessMode>),
    /// The volume is handed over raw (`Block`), or mounted. A raw volume is `block`
    /// whatever else is said: only a case that names this mode counts for it.
    VolumeMode(VolumeMode),
    /// The driver's own name of the volume is so.
    VolumeHandle(Value),
}

/// A list that says something: of none nothing is one, and all of none hold.
fn some<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    let list = Vec::deserialize(deserializer)?;
    if list.is_empty() {
        return Err(de::Error::invalid_length(0, &"a list of at least one"));
    }
    Ok(list)
}

/// A condition on one entry of a map: `key`, and exactly one of the others. Keys
/// and values compare without regard to case.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "RawEntry", into = "RawEntry")]
#[schemars(with = "RawEntry")]
pub struct Entry {
    /// The entry's key.
    pub key: String,
    /// What its value must be.
    pub value: Value,
}

/// A condition on one entry of a map: `key`, and exactly one of the others. Keys
/// and values compare without regard to case.
#[derive(Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "Entry")]
struct RawEntry {
    /// The entry's key.
    key: String,
    /// The value is one of these.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    values: Option<Vec<String>>,
    /// The value begins so.
    #[serde(skip_serializing_if = "Option::is_none")]
    prefix: Option<String>,
    /// The value ends so.
    #[serde(skip_serializing_if = "Option::is_none")]
    suffix: Option<String>,
    /// The value is a comma-separated list with this item.
    #[serde(skip_serializing_if = "Option::is_none")]
    lists: Option<String>,
    /// The entry is there (`true`) or not (`false`).
    #[serde(skip_serializing_if = "Option::is_none")]
    exists: Option<bool>,
}

impl TryFrom<RawEntry> for Entry {
    type Error = String;

    fn try_from(raw: RawEntry) -> Result<Self, String> {
        let RawEntry { key, values, prefix, suffix, lists, exists } = raw;
        let value = match (values, prefix, suffix, lists, exists) {
            (Some(values), None, None, None, None) if !values.is_empty() => Value::Values(values),
            (None, Some(prefix), None, None, None) => Value::Prefix(prefix),
            (None, None, Some(suffix), None, None) => Value::Suffix(suffix),
            (None, None, None, Some(item), None) => Value::Lists(item),
            (None, None, None, None, Some(exists)) => Value::Exists(exists),
            _ => {
                return Err(format!(
                    "condition on {key}: expected one of values (at least one), prefix, suffix, \
                     lists, exists"
                ));
            }
        };
        Ok(Self { key, value })
    }
}

impl From<Entry> for RawEntry {
    fn from(Entry { key, value }: Entry) -> Self {
        let mut raw = Self { key, ..Self::default() };
        match value {
            Value::Values(values) => raw.values = Some(values),
            Value::Prefix(prefix) => raw.prefix = Some(prefix),
            Value::Suffix(suffix) => raw.suffix = Some(suffix),
            Value::Lists(item) => raw.lists = Some(item),
            Value::Exists(exists) => raw.exists = Some(exists),
        }
        raw
    }
}

/// A condition on a text, without regard to case: exactly one of these.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Value {
    /// It is one of these.
    #[serde(deserialize_with = "some")]
    Values(#[schemars(length(min = 1))] Vec<String>),
    /// It begins so.
    Prefix(String),
    /// It ends so.
    Suffix(String),
    /// It is a comma-separated list with this item.
    Lists(String),
    /// It is there (`true`) or not (`false`).
    Exists(bool),
}

/// What is known of a volume when its driver is asked what it ends up on.
#[derive(Clone, Copy, Debug, Default)]
pub struct Probe<'a> {
    /// Parameters of the class; absent for a volume that already exists.
    pub parameters: Option<&'a StringMap<'a>>,
    /// Attributes of the CSI volume; absent before it exists.
    pub attributes: Option<&'a StringMap<'a>>,
    /// Annotations of the claim.
    pub claim_annotations: Option<&'a StringMap<'a>>,
    /// Filesystem type of the volume; before it exists, the class's parameters
    /// are asked instead.
    pub fs_type: Option<&'a str>,
    /// Access modes of the claim, or of the volume once it exists.
    pub access_modes: &'a [AccessMode],
    /// Filesystem or raw block device.
    pub volume_mode: VolumeMode,
    /// The driver's own name of the volume.
    pub volume_handle: Option<&'a str>,
}

/// Class parameters external-provisioner copies into `PV.spec.csi.fsType`
/// (`pkg/controller/controller.go`).
const FS_TYPE_PARAMETERS: [&str; 2] = ["csi.storage.k8s.io/fstype", "fstype"];

impl<'a> Probe<'a> {
    /// Filesystem type of the volume, or the one its class asks for.
    #[must_use]
    pub fn fs_type(&self) -> Option<&'a str> {
        self.fs_type.or_else(|| {
            let parameters = self.parameters?;
            FS_TYPE_PARAMETERS.iter().find_map(|key| parameters.get_ignore_case(key))
        })
    }
}

impl When {
    /// Whether the condition holds.
    #[must_use]
    pub fn holds(&self, probe: &Probe<'_>) -> bool {
        match self {
            Self::All(conditions) => conditions.iter().all(|condition| condition.holds(probe)),
            Self::Any(conditions) => conditions.iter().any(|condition| condition.holds(probe)),
            Self::Not(condition) => !condition.holds(probe),
            Self::Parameter(entry) => entry.holds(probe.parameters),
            Self::Attribute(entry) => entry.holds(probe.attributes),
            Self::ClaimAnnotation(entry) => entry.holds(probe.claim_annotations),
            Self::FsType(types) => {
                probe.fs_type().is_some_and(|at| types.iter().any(|t| t.eq_ignore_ascii_case(at)))
            }
            Self::AccessModes(modes) => modes.iter().any(|mode| probe.access_modes.contains(mode)),
            Self::VolumeMode(mode) => probe.volume_mode == *mode,
            Self::VolumeHandle(value) => {
                probe.volume_handle.is_some() && value.holds(probe.volume_handle)
            }
        }
    }

    /// Whether volumes handed over raw are named.
    pub(super) fn names_raw_mode(&self) -> bool {
        match self {
            Self::All(conditions) | Self::Any(conditions) => {
                conditions.iter().any(Self::names_raw_mode)
            }
            Self::VolumeMode(mode) => *mode == VolumeMode::Block,
            _ => false,
        }
    }
}

impl Entry {
    fn holds(&self, map: Option<&StringMap<'_>>) -> bool {
        map.is_some_and(|map| self.value.holds(map.get_ignore_case(&self.key)))
    }
}

impl Value {
    fn holds(&self, text: Option<&str>) -> bool {
        match (self, text) {
            (Self::Exists(expected), text) => text.is_some() == *expected,
            (_, None) => false,
            (Self::Values(values), Some(text)) => {
                values.iter().any(|value| value.eq_ignore_ascii_case(text))
            }
            (Self::Prefix(prefix), Some(text)) => {
                text.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
            }
            (Self::Suffix(suffix), Some(text)) => text
                .len()
                .checked_sub(suffix.len())
                .and_then(|at| text.get(at..))
                .is_some_and(|end| end.eq_ignore_ascii_case(suffix)),
            (Self::Lists(item), Some(text)) => {
                text.split(',').any(|at| at.trim().eq_ignore_ascii_case(item))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_condition_has_both_outcomes() {
        let parameters: StringMap<'_> = [
            ("Protocol", "NFS"),
            ("csi.storage.k8s.io/fstype", "nfs"),
            ("allowOverrides", "description, nfsResources"),
        ]
        .into_iter()
        .collect();
        let attributes: StringMap<'_> = [("share", "/srv/nfs")].into_iter().collect();
        let annotations: StringMap<'_> =
            [("csi.hpe.com/nfsResources", "true")].into_iter().collect();
        let probe = Probe {
            parameters: Some(&parameters),
            attributes: Some(&attributes),
            claim_annotations: Some(&annotations),
            fs_type: None,
            access_modes: &[AccessMode::ReadWriteMany],
            volume_mode: VolumeMode::Filesystem,
            volume_handle: Some("vol-1/nfs"),
        };
        for (json, expected) in [
            (r#"{"parameter": {"key": "protocol", "values": ["nfs"]}}"#, true),
            (r#"{"parameter": {"key": "protocol", "values": ["smb"]}}"#, false),
            (r#"{"parameter": {"key": "protocol", "prefix": "n"}}"#, true),
            (r#"{"parameter": {"key": "absent", "exists": true}}"#, false),
            (r#"{"parameter": {"key": "absent", "exists": false}}"#, true),
            (r#"{"attribute": {"key": "share", "exists": true}}"#, true),
            (
                r#"{"claimAnnotation": {"key": "csi.hpe.com/nfsResources", "values": ["true"]}}"#,
                true,
            ),
            (r#"{"parameter": {"key": "allowOverrides", "lists": "NFSResources"}}"#, true),
            (r#"{"parameter": {"key": "allowOverrides", "lists": "Resources"}}"#, false),
            (r#"{"fsType": ["nfs", "nfs4"]}"#, true),
            (r#"{"fsType": ["ext4"]}"#, false),
            (r#"{"accessModes": ["ReadWriteMany", "ReadOnlyMany"]}"#, true),
            (r#"{"accessModes": ["ReadWriteOnce"]}"#, false),
            (r#"{"volumeMode": "Block"}"#, false),
            (r#"{"volumeHandle": {"suffix": "/NFS"}}"#, true),
            (r#"{"volumeHandle": {"prefix": "s3files:"}}"#, false),
            (r#"{"not": {"volumeMode": "Block"}}"#, true),
            (r#"{"all": [{"fsType": ["nfs"]}, {"volumeMode": "Block"}]}"#, false),
            (r#"{"any": [{"fsType": ["nfs"]}, {"volumeMode": "Block"}]}"#, true),
        ] {
            let when: When = serde_json::from_str(json).unwrap();
            assert_eq!(when.holds(&probe), expected, "{json}");
        }
    }

    #[test]
    fn refuses_a_condition_that_says_nothing_or_two_things() {
        for json in [
            r#"{"parameter": {"key": "a"}}"#,
            r#"{"parameter": {"key": "a", "values": ["b"], "prefix": "b"}}"#,
            r#"{"parameter": {"key": "a", "values": ["b"], "extra": 3}}"#,
            r#"{"parameter": {"key": "a", "values": []}}"#,
            r#"{"volumeHandle": {"values": []}}"#,
            r#"{"fsType": []}"#,
            r#"{"accessModes": []}"#,
            r#"{"all": []}"#,
            r#"{"any": []}"#,
            r#"{"fsType": ["nfs"], "volumeMode": "Block"}"#,
        ] {
            assert!(serde_json::from_str::<When>(json).is_err(), "{json}");
        }
    }

    #[test]
    fn a_condition_is_written_as_it_was_read() {
        for json in [
            r#"{"all":[{"parameter":{"key":"a","values":["b"]}},{"attribute":{"key":"a","prefix":"b"}}]}"#,
            r#"{"any":[{"claimAnnotation":{"key":"a","suffix":"b"}},{"parameter":{"key":"a","lists":"b"}}]}"#,
            r#"{"not":{"attribute":{"key":"a","exists":false}}}"#,
            r#"{"any":[{"volumeHandle":{"exists":true}},{"accessModes":["ReadWriteMany"]},{"volumeMode":"Block"}]}"#,
        ] {
            let when: When = serde_json::from_str(json).unwrap();
            assert_eq!(serde_json::to_string(&when).unwrap(), json);
        }
    }

    #[test]
    fn a_condition_on_an_absent_source_does_not_hold() {
        for json in [
            r#"{"parameter": {"key": "protocol", "exists": false}}"#,
            r#"{"attribute": {"key": "share", "exists": false}}"#,
            r#"{"volumeHandle": {"exists": false}}"#,
            r#"{"fsType": ["nfs"]}"#,
        ] {
            let when: When = serde_json::from_str(json).unwrap();
            assert!(!when.holds(&Probe::default()), "{json}");
        }
    }
}
