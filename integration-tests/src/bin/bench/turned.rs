//! The cost of a write that is judged by all it may turn: a class that sets of a whole
//! cluster ask for is put on NFS.

use anyhow::{Result, ensure};
use bytes::Bytes;
use hdrhistogram::Histogram;
use nfs_guard_policies::{
    Policy, Snapshot,
    facts::{Kind, Object, WorkloadKind},
    text::{Reduce as _, Strings},
};
use serde_json::{Value, json};

use crate::{
    cluster::{claim, namespace, pod, uid, volume},
    decide::{self, Times},
    review::{BLOCK, Review},
};

/// A pod and a claim each for three replicas.
const SETS: usize = 5_000 / 3;
const PODS: usize = 3 * SETS;

const TIMES: Times = Times { warm_up: 5, measured: 100 };

/// So many of a kind.
type Many = (Kind, usize, fn(usize) -> Value);

pub(crate) fn measure() -> Result<Histogram<u64>> {
    let all: [Many; 4] = [
        (Kind::Workload(WorkloadKind::StatefulSet), SETS, set),
        (Kind::Workload(WorkloadKind::Pod), PODS, pod),
        (Kind::Claim, 10_000, claim),
        (Kind::Volume, 10_000, volume),
    ];
    let mut cluster = Snapshot::complete();
    let mut strings = Strings::default();
    for (kind, count, object) in all {
        for object in (0..count).map(object) {
            cluster.insert(Object::read(kind, &object)?.into_stored(&mut strings));
        }
    }
    let class = class("csi.proxmox.sinextra.dev");
    cluster.insert(Object::read(Kind::Class, &class)?.into_stored(&mut strings));
    let everywhere = json!({"critical": {"namespaces": ["team-*"]}});
    let policy = Policy::new(serde_json::from_value(everywhere)?);
    decide::again_and_again(&review(), &decide::reviewer(cluster, policy), TIMES, |response| {
        let warnings = response["warnings"].as_array().map_or(0, Vec::len);
        ensure!(warnings == 21, "twenty sets and how many more: {response}");
        Ok(())
    })
}

fn review() -> Review {
    let review = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
        "uid": "u", "operation": "UPDATE", "userInfo": {"username": "admin"},
        "kind": {"group": "storage.k8s.io", "version": "v1", "kind": "StorageClass"},
        "object": class("nfs.csi.k8s.io"), "oldObject": class("csi.proxmox.sinextra.dev"),
    }});
    Review { name: "a class that turns all", body: Bytes::from(review.to_string()), allowed: true }
}

fn class(provisioner: &str) -> Value {
    json!({"metadata": {"name": BLOCK}, "provisioner": provisioner})
}

/// The set that three pods and claims of the cluster belong to.
fn set(n: usize) -> Value {
    json!({
        "metadata": {
            "name": format!("db-{n}"), "namespace": namespace(n), "uid": uid(5, n),
            "creationTimestamp": "2026-04-22T09:00:00Z",
        },
        "spec": {
            "replicas": 3,
            "template": {"spec": {"volumes": []}},
            "volumeClaimTemplates": [
                {"metadata": {"name": "data"}, "spec": {"storageClassName": BLOCK}},
            ],
        },
    })
}
