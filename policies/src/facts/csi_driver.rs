use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};

use super::{Metadata, nullable};
use crate::text::{Reduce, Strings, Text};

/// A `CSIDriver`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct CsiDriver<'a> {
    /// Name, which is the driver's, and the like.
    #[serde(borrow, deserialize_with = "nullable")]
    pub metadata: Metadata<'a>,
    /// What the kubelet has to know of the driver.
    #[serde(deserialize_with = "nullable")]
    pub spec: CsiDriverSpec,
}

impl Reduce for CsiDriver<'_> {
    type Stored = CsiDriver<'static>;

    fn into_stored(self, strings: &mut Strings) -> CsiDriver<'static> {
        let Self { metadata, spec } = self;
        CsiDriver { metadata: metadata.into_stored(strings), spec }
    }
}

/// `spec` of a driver.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CsiDriverSpec {
    /// Which volumes the kubelet gives to the pod's fsGroup.
    #[serde(deserialize_with = "known_policy")]
    pub fs_group_policy: FsGroupPolicy,
}

/// `CSIDriver.spec.fsGroupPolicy` (KEP-1682): which volumes of a driver the
/// kubelet gives to the pod's fsGroup.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, serde::Serialize, JsonSchema)]
pub enum FsGroupPolicy {
    /// Every one.
    File,
    /// None.
    None,
    /// Those with a filesystem type that one node or one pod writes to; what an
    /// absent field means (`pkg/apis/storage/v1/defaults.go`).
    #[default]
    #[serde(rename = "ReadWriteOnceWithFSType")]
    ReadWriteOnceWithFsType,
}

/// A policy newer than the engine must not keep the kind out of the caches; it
/// is taken for the one under which the kubelet does most.
fn known_policy<'de, D: Deserializer<'de>>(deserializer: D) -> Result<FsGroupPolicy, D::Error> {
    let policy: Option<Text<'de>> = Option::deserialize(deserializer)?;
    Ok(match policy.as_deref() {
        None | Some("ReadWriteOnceWithFSType") => FsGroupPolicy::ReadWriteOnceWithFsType,
        Some("None") => FsGroupPolicy::None,
        Some(_) => FsGroupPolicy::File,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_absent_policy_is_the_apis_default_and_a_new_one_the_strongest() {
        for (json, expected) in [
            (r"{}", FsGroupPolicy::ReadWriteOnceWithFsType),
            (r#"{"spec": {"fsGroupPolicy": null}}"#, FsGroupPolicy::ReadWriteOnceWithFsType),
            (r#"{"spec": {"fsGroupPolicy": "None"}}"#, FsGroupPolicy::None),
            (r#"{"spec": {"fsGroupPolicy": "File"}}"#, FsGroupPolicy::File),
            (r#"{"spec": {"fsGroupPolicy": "Sometimes"}}"#, FsGroupPolicy::File),
        ] {
            let driver: CsiDriver<'_> = serde_json::from_str(json).unwrap();
            assert_eq!(driver.spec.fs_group_policy, expected, "{json}");
        }
    }
}
