//! A claim that tells how far the guard is reached.

use serde_json::json;

use crate::{Kubectl, Ran};

/// What the API server answers to a claim of that class, which is never made.
pub(crate) fn send(kubectl: &Kubectl, class: &str) -> Ran {
    let claim = json!({
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "canary"},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}},
            "storageClassName": class,
        },
    });
    kubectl.feed(&["create", "--dry-run=server", "-f", "-"], &claim.to_string())
}
