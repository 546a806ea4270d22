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
const TIMES: Times = Times { warm_up: 5_000, measured: 50_000 };

/// How often a review is judged.
#[derive(Clone, Copy)]
pub(crate) struct Times {
    pub(crate) warm_up: u32,
    pub(crate) measured: u32,
}

/// Reads, decides and answers that review in the cluster of the incident.
pub(crate) fn measure(review: &Review) -> Result<Histogram<u64>> {
    let reviewer = reviewer(incident()?, Policy::default());
    again_and_again(review, &reviewer, TIMES, |_| Ok(()))
}

/// Reads, decides and answers that review so often, on one thread. The first answer must
/// be as expected.
pub(crate) fn again_and_again(
    review: &Review,
    reviewer: &Reviewer,
    Times { warm_up, measured }: Times,
    is_expected: impl Fn(&Value) -> Result<()>,
) -> Result<Histogram<u64>> {
    let mut took = review::nanoseconds();
    tokio::runtime::Builder::new_current_thread().enable_time().build()?.block_on(async {
        for at in 0..warm_up + measured {
            let started = Instant::now();
            let answer =
                reviewer.review(Gate::Validating, &review.body, Duration::from_secs(1)).await;
            let answer = serde_json::to_vec(&answer.context("no decision")?)?;
            if at >= warm_up {
                took.record(u64::try_from(started.elapsed().as_nanos())?)?;
            }
            if at == 0 {
                let answer: Value = serde_json::from_slice(&answer)?;
                ensure!(answer["response"]["allowed"] == review.allowed, "{answer}");
                is_expected(&answer["response"])?;
            }
            black_box(answer);
        }
        anyhow::Ok(())
    })?;
    Ok(took)
}

/// A reviewer whose audit log goes nowhere: writing it is another thread's work.
pub(crate) fn reviewer(cluster: Snapshot, policy: Policy) -> Reviewer {
    let metrics = Arc::new(Metrics::default());
    let (audit, writer) = audit(Arc::clone(&metrics));
    let log = Log::to_stream(Box::new(std::io::sink()), &Origin::default());
    std::thread::spawn(move || writer.run(log));
    Reviewer::new(policy, View::fixed(cluster), audit, metrics)
}

fn incident() -> Result<Snapshot> {
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
    Ok(cluster)
}

fn class(name: &str, provisioner: &str) -> Value {
    json!({"metadata": {"name": name}, "provisioner": provisioner})
}
