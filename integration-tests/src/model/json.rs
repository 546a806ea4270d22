//! What is asked of an object as it stands in the API.

use nfs_guard_policies::{cluster::Key, facts::Kind};
use serde_json::Value;

/// What is at that pointer. [`Value::pointer`] unescapes every name on the way, which is
/// what a model without this spends most of its time with.
pub(super) fn at<'v>(object: &'v Value, pointer: &str) -> Option<&'v Value> {
    pointer.split('/').skip(1).try_fold(object, |object, name| object.get(name))
}

/// The text at that pointer; empty where there is none.
pub(super) fn text<'v>(object: &'v Value, pointer: &str) -> &'v str {
    at(object, pointer).and_then(Value::as_str).unwrap_or_default()
}

/// The number at that pointer.
pub(super) fn number(object: &Value, pointer: &str) -> Option<u64> {
    at(object, pointer).and_then(Value::as_u64)
}

/// The list at that pointer; empty where there is none.
pub(super) fn list<'v>(object: &'v Value, pointer: &str) -> &'v [Value] {
    at(object, pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

pub(super) fn name(object: &Value) -> &str {
    text(object, "/metadata/name")
}

pub(super) fn namespace(object: &Value) -> &str {
    text(object, "/metadata/namespace")
}

pub(super) fn uid(object: &Value) -> &str {
    text(object, "/metadata/uid")
}

/// The value of a label; empty where there is none.
pub(super) fn label<'v>(object: &'v Value, key: &str) -> &'v str {
    object["metadata"]["labels"][key].as_str().unwrap_or_default()
}

/// The value of an annotation.
pub(super) fn annotation<'v>(object: &'v Value, key: &str) -> Option<&'v str> {
    object["metadata"]["annotations"][key].as_str()
}

/// Whether its deletion has been asked for.
pub(super) fn is_going(object: &Value) -> bool {
    !text(object, "/metadata/deletionTimestamp").is_empty()
}

/// The owner reference of the controller.
pub(super) fn controller(object: &Value) -> Option<&Value> {
    list(object, "/metadata/ownerReferences").iter().find(|owner| owner["controller"] == true)
}

/// Whether `owner` is its controller.
pub(super) fn is_controlled_by(object: &Value, owner: &Value) -> bool {
    controller(object).is_some_and(|reference| text(reference, "/uid") == uid(owner))
}

/// The kind that `apiVersion` and `kind` of an object or a reference name.
pub(super) fn kind(object: &Value) -> Option<Kind> {
    Kind::of_manifest(text(object, "/apiVersion"), text(object, "/kind"))
}

/// What an object is called. Its kind must be one the engine knows.
pub(super) fn key(object: &Value) -> Key {
    let kind = kind(object).expect("every object of a model is of a kind the engine knows");
    Key { kind, namespace: namespace(object).into(), name: name(object).into() }
}

/// The volumes of a pod.
pub(super) fn pod_volumes(pod: &Value) -> &[Value] {
    list(pod, "/spec/volumes")
}

/// The name of the claim that a volume of a pod mounts, if it mounts one.
pub(super) fn claim_of(pod: &Value, volume: &Value) -> Option<String> {
    let mounted = text(volume, "/persistentVolumeClaim/claimName");
    if !mounted.is_empty() {
        return Some(mounted.into());
    }
    let own = volume.get("ephemeral").is_some_and(|ephemeral| !ephemeral.is_null());
    // As `ephemeral.VolumeClaimName` calls it.
    own.then(|| format!("{}-{}", name(pod), text(volume, "/name")))
}

/// Gibibytes of a volume or a claim.
pub(super) fn gibibytes(object: &Value) -> u64 {
    let capacity = text(object, "/spec/capacity/storage");
    let storage = if capacity.is_empty() {
        text(object, "/spec/resources/requests/storage")
    } else {
        capacity
    };
    storage.strip_suffix("Gi").and_then(|size| size.parse().ok()).unwrap_or_default()
}

/// RFC 7386.
pub(super) fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(serde_json::Map::new());
    }
    let target = target.as_object_mut().expect("it is one now");
    for (key, value) in patch {
        if value.is_null() {
            target.remove(key);
        } else {
            merge(target.entry(key).or_insert(Value::Null), value);
        }
    }
}
