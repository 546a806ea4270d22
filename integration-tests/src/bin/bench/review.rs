//! The review that is measured.

use std::time::Duration;

use bytes::Bytes;
use hdrhistogram::Histogram;

/// A StatefulSet of 8 KiB in the review that a kube-apiserver 1.37 sent for
/// `kubectl create`: all defaults filled in, `managedFields`, a user known by
/// certificate. Written down as it came, byte for byte.
const RECORDED: &str = include_str!("review.json");

/// The uid of the recorded request.
pub(crate) const UID: &str = "9c135088-c5d0-42da-a476-58430fddac94";

/// Namespaces and classes of the incident's cluster, in which the guard under
/// test judges (`serve --embedded`).
pub(crate) const CRITICAL: &str = "vault";
pub(crate) const NOT_CRITICAL: &str = "web";
pub(crate) const BLOCK: &str = "proxmox-lvm-encrypted";
pub(crate) const NFS: &str = "nfs-proxmox";

/// A review and what it must come to.
#[derive(Clone, Debug)]
pub(crate) struct Review {
    pub(crate) name: &'static str,
    pub(crate) body: Bytes,
    pub(crate) allowed: bool,
}

impl Review {
    /// Nothing to judge but whether it is critical: most reviews of a cluster.
    pub(crate) fn not_critical() -> Self {
        Self { name: "not critical", body: recorded(NOT_CRITICAL, NFS), allowed: true }
    }

    /// Critical: both claims are resolved, the decision goes to the audit log.
    pub(crate) fn allowed() -> Self {
        Self { name: "critical, allowed", body: recorded(CRITICAL, BLOCK), allowed: true }
    }

    /// Critical and on NFS: two findings, and a message that explains them.
    pub(crate) fn denied() -> Self {
        Self { name: "critical, denied", body: recorded(CRITICAL, NFS), allowed: false }
    }
}

/// A histogram of nanoseconds up to a minute, to three digits.
pub(crate) fn nanoseconds() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 60_000_000_000, 3).expect("these bounds are in order")
}

/// That quantile, in microseconds.
pub(crate) fn microseconds(nanoseconds: &Histogram<u64>, quantile: f64) -> f64 {
    Duration::from_nanos(nanoseconds.value_at_quantile(quantile)).as_secs_f64() * 1e6
}

/// The recorded review for another namespace and storage class.
fn recorded(namespace: &str, class: &str) -> Bytes {
    let field = |name: &str, value: &str| format!(r#""{name}":"{value}""#);
    RECORDED
        .replace(&field("namespace", CRITICAL), &field("namespace", namespace))
        .replace(&field("storageClassName", BLOCK), &field("storageClassName", class))
        .into()
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn it_is_a_set_of_8_kib_with_its_managed_fields() {
        let review: Value = serde_json::from_str(RECORDED).expect("it is JSON");
        assert_eq!(review["request"]["uid"], UID);
        let mut set = review["request"]["object"].clone();
        let metadata = set["metadata"].as_object_mut().expect("it has metadata");
        let managed = metadata.remove("managedFields").expect("an apiserver writes them");
        assert!(managed[0]["fieldsV1"]["f:spec"].is_object());
        let size = set.to_string().len();
        assert!(size.abs_diff(8 << 10) <= (8 << 10) / 20, "{size} bytes");
    }

    #[test]
    fn another_namespace_and_class_are_set_wherever_they_are_named() {
        let review = String::from_utf8(Review::not_critical().body.to_vec()).expect("it is text");
        let review: Value = serde_json::from_str(&review).expect("it is JSON");
        let request = &review["request"];
        assert_eq!(request["namespace"], NOT_CRITICAL);
        assert_eq!(request["object"]["metadata"]["namespace"], NOT_CRITICAL);
        let templates = request["object"]["spec"]["volumeClaimTemplates"].as_array();
        for template in templates.expect("it has templates") {
            assert_eq!(template["spec"]["storageClassName"], NFS);
        }
    }
}
