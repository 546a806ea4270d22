//! What the API server lets become of an object, as far as it matters here: what is
//! immutable (`pkg/apis/{core,apps,batch,storage}/validation`).

use nfs_guard_policies::facts::{Kind, WorkloadKind};
use serde_json::Value;

use crate::model::{
    json::{at, kind},
    request::LEGACY_CLASS,
};

/// Members of a set's spec that an update may change.
const OF_SETS: [&str; 4] = ["replicas", "ordinals", "template", "updateStrategy"];
/// Those of a volume's.
const OF_VOLUMES: [&str; 5] =
    ["storageClassName", "claimRef", "mountOptions", "accessModes", "capacity"];
/// Those of a claim's, with conditions.
const OF_CLAIMS: [&str; 3] = ["volumeName", "storageClassName", "resources"];

/// Whether an object may become that other one.
pub(super) fn may_become(old: &Value, new: &Value) -> bool {
    let same = |pointer: &str| at(old, pointer) == at(new, pointer);
    match kind(new) {
        Some(Kind::Workload(WorkloadKind::StatefulSet)) => same_but(old, new, &OF_SETS),
        Some(Kind::Workload(WorkloadKind::Job)) => same("/spec/template"),
        Some(Kind::Workload(WorkloadKind::Pod)) => same_but(old, new, &["nodeName"]),
        Some(Kind::Volume) => same_but(old, new, &OF_VOLUMES),
        Some(Kind::Claim) => {
            let once = |pointer| at(old, pointer).is_none_or(Value::is_null) || same(pointer);
            let legacy = &old["metadata"]["annotations"][LEGACY_CLASS];
            let class = &new["spec"]["storageClassName"];
            same_but(old, new, &OF_CLAIMS)
                && once("/spec/volumeName")
                && once("/spec/storageClassName")
                && (same("/spec/storageClassName") || legacy.is_null() || legacy == class)
        }
        Some(Kind::Class) => {
            ["/provisioner", "/parameters", "/volumeBindingMode", "/reclaimPolicy"]
                .into_iter()
                .all(same)
        }
        _ => true,
    }
}

/// Whether the specs are the same but for those members.
fn same_but(old: &Value, new: &Value, members: &[&str]) -> bool {
    let rest = |object: &Value| {
        let mut spec = object["spec"].clone();
        if let Some(spec) = spec.as_object_mut() {
            spec.retain(|member, _| !members.contains(&member.as_str()));
        }
        spec
    };
    rest(old) == rest(new)
}
