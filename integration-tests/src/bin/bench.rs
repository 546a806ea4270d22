//! The cost of a decision beside its budget: `make bench`. It judges nobody: a
//! noisy machine is no fault of the code.
#![expect(clippy::print_stdout, reason = "it is what the program is for")]

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use nfs_guard::{audit::Audit, cluster::View, metrics::Metrics, reviewer::Reviewer};
use nfs_guard_policies::{
    Gate, Policy, Snapshot,
    facts::{Kind, Object},
    text::{Reduce as _, Strings},
};
use serde_json::{Value, json};

/// 99 of 100 reviews of a set of 8 KiB are parsed and decided within this time.
const BUDGET: Duration = Duration::from_micros(100);
/// Enough that the 99th percentile rests on hundreds of reviews.
const REVIEWS: usize = 50_000;
const WARM_UP: usize = 5_000;

fn main() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    for (name, namespace, class) in [
        ("not critical", "web", "nas"),
        ("critical, allowed", "vault", "block"),
        ("critical, denied", "vault", "nas"),
    ] {
        let body = review(namespace, class).to_string();
        let reviewer = reviewer()?;
        let mut took = Vec::with_capacity(REVIEWS);
        runtime.block_on(async {
            for at in 0..WARM_UP + REVIEWS {
                let started = Instant::now();
                let answer = reviewer
                    .review(Gate::Validating, body.as_bytes(), Duration::from_secs(1))
                    .await;
                let answer = serde_json::to_vec(&answer.context("no decision")?)?;
                if at >= WARM_UP {
                    took.push(started.elapsed());
                }
                std::hint::black_box(answer);
            }
            anyhow::Ok(())
        })?;
        took.sort();
        let (p50, p99) = (took[REVIEWS / 2], took[REVIEWS * 99 / 100]);
        println!(
            "decide, {name}: review of {} bytes: p50 {p50:.1?}, p99 {p99:.1?}; budget p99 < {BUDGET:?}: {:.2} of it",
            body.len(),
            p99.as_secs_f64() / BUDGET.as_secs_f64(),
        );
    }
    Ok(())
}

/// A reviewer whose audit log goes nowhere: writing it is another thread's work.
fn reviewer() -> Result<Reviewer> {
    let mut cluster = Snapshot::complete();
    let mut strings = Strings::default();
    for (kind, manifest) in [
        (
            Kind::Namespace,
            json!({"metadata": {"name": "vault", "labels": {"nfs-guard.io/critical": "true"}}}),
        ),
        (Kind::Namespace, json!({"metadata": {"name": "web"}})),
        (Kind::Class, json!({"metadata": {"name": "nas"}, "provisioner": "nfs.csi.k8s.io"})),
        (
            Kind::Class,
            json!({"metadata": {"name": "block"}, "provisioner": "csi.proxmox.sinextra.dev"}),
        ),
    ] {
        cluster.insert(Object::read(kind, &manifest)?.into_stored(&mut strings));
    }
    let metrics = Arc::new(Metrics::default());
    let (audit, writer) = Audit::new(Arc::clone(&metrics));
    std::thread::spawn(move || writer.run(&mut std::io::sink()));
    Ok(Reviewer::new(Policy::default(), View::fixed(cluster), audit, metrics))
}

/// A review of the CREATE of a set of about 8 KiB, most of which no rule reads.
fn review(namespace: &str, class: &str) -> Value {
    let environment: Vec<_> = (0..120)
        .map(|at| json!({"name": format!("SETTING_{at}"), "value": format!("value \"{at}\" of this setting")}))
        .collect();
    let template = |name| {
        json!({"metadata": {"name": name}, "spec": {
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": class,
            "resources": {"requests": {"storage": "10Gi"}},
        }})
    };
    json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "0d9e4a5c-5b7e-4c1b-9a3f-0c5d3a3f8c11",
            "kind": {"group": "apps", "version": "v1", "kind": "StatefulSet"},
            "namespace": namespace,
            "name": "vault",
            "operation": "CREATE",
            "userInfo": {"username": "developer", "groups": ["system:authenticated"]},
            "object": {
                "apiVersion": "apps/v1",
                "kind": "StatefulSet",
                "metadata": {"name": "vault", "namespace": namespace},
                "spec": {
                    "replicas": 3,
                    "serviceName": "vault",
                    "selector": {"matchLabels": {"app": "vault"}},
                    "template": {
                        "metadata": {"labels": {"app": "vault"}},
                        "spec": {
                            "securityContext": {"fsGroup": 1000},
                            "containers": [{"name": "vault", "image": "vault", "env": environment}],
                            "volumes": [{"name": "config", "configMap": {"name": "vault"}}],
                        },
                    },
                    "volumeClaimTemplates": [template("data"), template("audit")],
                },
            },
        },
    })
}
