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
    /// Who makes the write.
    pub(crate) user: &'static str,
    /// Decision it must come to.
    pub(crate) decision: &'static str,
    /// Whether the guard must change it first.
    pub(crate) patched: bool,
    text: &'static str,
}

macro_rules! scene {
    ($file:literal, $title:literal, $decision:literal) => {
        Scene {
            file: $file,
            title: $title,
            user: DEVELOPER,
            decision: $decision,
            patched: false,
            text: include_str!(concat!("../incident/requests/", $file)),
        }
    };
}

const DEVELOPER: &str = "developer";

/// The writes, in the order they are told.
pub(crate) const SCENES: [Scene; 7] = [
    scene!("vault-on-nfs.yaml", "Vault as it was on the day: both templates on NFS", "deny")
        .patched(),
    scene!("vault-on-block.yaml", "the same Vault on encrypted block storage", "allow").patched(),
    scene!("vault-pod.yaml", "one of its pods, as a set of before the guard makes it", "allow")
        .patched()
        .by("system:serviceaccount:kube-system:statefulset-controller"),
    scene!(
        "claim-by-default.yaml",
        "a claim that names no class, where the default is NFS",
        "deny"
    ),
    scene!("claim-by-volume.yaml", "a claim bound by name to a static NFS volume", "deny"),
    scene!("web-on-nfs.yaml", "a web server on NFS, which is nobody's business", "allow"),
    scene!("claim-of-no-class.yaml", "a claim whose class does not exist", "warn"),
];

/// The cluster at the time, as a snapshot.
pub(crate) fn cluster() -> Snapshot {
    let mut snapshot = Snapshot::complete();
    read("incident/cluster.yaml", CLUSTER).insert_into(&mut snapshot);
    snapshot
}

impl Scene {
    const fn patched(self) -> Self {
        Self { patched: true, ..self }
    }

    const fn by(self, user: &'static str) -> Self {
        Self { user, ..self }
    }

    /// Whether a person writes it, with kubectl.
    pub(crate) fn is_applied(&self) -> bool {
        self.user == DEVELOPER
    }

    /// The object that is written.
    pub(crate) fn object(&self) -> Value {
        let mut objects = read(self.file, self.text).objects.into_iter();
        objects.next().expect("every scene has its object, held by a test").value
    }
}

/// A review of the CREATE of an object, as the apiserver would send it.
pub(crate) fn review(scene: &Scene, object: &Value) -> Value {
    let (group, version) = match object["apiVersion"].as_str().unwrap_or_default().split_once('/') {
        Some((group, version)) => (group, version),
        None => ("", "v1"),
    };
    json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": scene.file,
            "kind": {"group": group, "version": version, "kind": object["kind"]},
            "namespace": object["metadata"]["namespace"],
            "name": object["metadata"]["name"],
            "operation": "CREATE",
            "userInfo": {"username": scene.user},
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
