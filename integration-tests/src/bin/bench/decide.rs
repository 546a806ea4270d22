//! The cost of a decision in process, without HTTP and TLS.

use std::{
    hint::black_box,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use hdrhistogram::Histogram;
use nfs_guard::{
    audit::{Log, Origin, audit},
    cluster::View,
    metrics::Metrics,
    reviewer::Reviewer,
};
use nfs_guard_policies::{
    Gate, Policy, Snapshot,
    facts::{Kind, Object},
    text::{Reduce as _, Strings},
};
use serde_json::{Value, json};

use crate::review::{self, Review};

/// Enough that the 99th percentile rests on hundreds of reviews.
const REVIEWS: u32 = 50_000;
const WARM_UP: u32 = 5_000;

/// Reads, decides and answers that review again and again, on one thread.
pub(crate) fn measure(review: &Review) -> Result<Histogram<u64>> {
    let reviewer = reviewer()?;
    let mut took = review::nanoseconds();
    tokio::runtime::Builder::new_current_thread().enable_time().build()?.block_on(async {
        for at in 0..WARM_UP + REVIEWS {
            let started = Instant::now();
            let answer =
                reviewer.review(Gate::Validating, &review.body, Duration::from_secs(1)).await;
            let answer = serde_json::to_vec(&answer.context("no decision")?)?;
            if at >= WARM_UP {
                took.record(u64::try_from(started.elapsed().as_nanos())?)?;
            }
            if at == 0 {
                let answer: Value = serde_json::from_slice(&answer)?;
                ensure!(answer["response"]["allowed"] == review.allowed, "{answer}");
            }
            black_box(answer);
        }
        anyhow::Ok(())
    })?;
    Ok(took)
}

/// A reviewer whose audit log goes nowhere: writing it is another thread's work.
fn reviewer() -> Result<Reviewer> {
    let mut cluster = Snapshot::complete();
    let mut strings = Strings::default();
    let labels = json!({"nfs-guard.io/critical": "true"});
    for (kind, manifest) in [
        (Kind::Namespace, json!({"metadata": {"name": review::CRITICAL, "labels": labels}})),
        (Kind::Namespace, json!({"metadata": {"name": review::NOT_CRITICAL}})),
        (Kind::Class, class(review::NFS, "nfs.csi.k8s.io")),
        (Kind::Class, class(review::BLOCK, "csi.proxmox.sinextra.dev")),
    ] {
        cluster.insert(Object::read(kind, &manifest)?.into_stored(&mut strings));
    }
    let metrics = Arc::new(Metrics::default());
    let (audit, writer) = audit(Arc::clone(&metrics));
    let log = Log::to_stream(Box::new(std::io::sink()), &Origin::default());
    std::thread::spawn(move || writer.run(log));
    Ok(Reviewer::new(Policy::default(), View::fixed(cluster), audit, metrics))
}

fn class(name: &str, provisioner: &str) -> Value {
    json!({"metadata": {"name": name}, "provisioner": provisioner})
}
