//! The incident this project answers, as files: what `demo` replays and what
//! `serve --embedded` judges in.

use nfs_guard_policies::Snapshot;
use serde_json::{Value, json};

use crate::manifest::Manifests;

/// The cluster at the time.
const CLUSTER: &str = include_str!("../incident/cluster.yaml");

/// One write to replay.
pub(crate) struct Scene {
    /// Name of its file, as a person would apply it.
    pub(crate) file: &'static str,
    /// What it shows.
    pub(crate) title: &'static str,
    /// Decision it must come to.
    pub(crate) decision: &'static str,
    text: &'static str,
}

macro_rules! scene {
    ($file:literal, $decision:literal, $title:literal) => {
        Scene {
            file: $file,
            title: $title,
            decision: $decision,
            text: include_str!(concat!("../incident/requests/", $file)),
        }
    };
}

/// The writes, in the order they are told.
pub(crate) const SCENES: [Scene; 6] = [
    scene!("vault-on-nfs.yaml", "deny", "Vault as it was on the day: both templates on NFS"),
    scene!("vault-on-block.yaml", "allow", "the same Vault on encrypted block storage"),
    scene!(
        "claim-by-default.yaml",
        "deny",
        "a claim that names no class, where the default is NFS"
    ),
    scene!("claim-by-volume.yaml", "deny", "a claim bound by name to a static NFS volume"),
    scene!("web-on-nfs.yaml", "allow", "a web server on NFS, which is nobody's business"),
    scene!("claim-of-no-class.yaml", "warn", "a claim whose class does not exist"),
];

/// The cluster at the time, as a snapshot.
pub(crate) fn cluster() -> Snapshot {
    let mut snapshot = Snapshot::complete();
    read("incident/cluster.yaml", CLUSTER).insert_into(&mut snapshot);
    snapshot
}

impl Scene {
    /// The object that is written.
    pub(crate) fn object(&self) -> Value {
        let mut objects = read(self.file, self.text).objects.into_iter();
        objects.next().expect("every scene has its object, held by a test").value
    }
}

/// A review of the CREATE of an object, as the apiserver would send it.
pub(crate) fn review(uid: &str, object: &Value) -> Value {
    let (group, version) = match object["apiVersion"].as_str().unwrap_or_default().split_once('/') {
        Some((group, version)) => (group, version),
        None => ("", "v1"),
    };
    json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": uid,
            "kind": {"group": group, "version": version, "kind": object["kind"]},
            "namespace": object["metadata"]["namespace"],
            "name": object["metadata"]["name"],
            "operation": "CREATE",
            "userInfo": {"username": "developer"},
            "object": object,
            "dryRun": false,
        },
    })
}

fn read(path: &str, text: &str) -> Manifests {
    let mut manifests = Manifests::default();
    manifests.read_text(path, text);
    debug_assert!(manifests.errors.is_empty(), "{:?}", manifests.errors);
    manifests
}

#[cfg(test)]
mod tests {
    use nfs_guard_policies::facts::Kind;

    use super::*;

    #[test]
    fn every_file_is_whole() {
        assert_eq!(cluster().count(Kind::Class), 2);
        for scene in &SCENES {
            assert!(scene.object().is_object(), "{}", scene.file);
        }
    }
}
