//! From the body of a request to the answer: the engine's call, with whatever
//! the caches lacked looked up in between.

use std::{collections::HashSet, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use jiff::Timestamp;
use nfs_guard_policies::{Effect, Key, Outcome, Policy, Subject, Verdict, decide};
use tokio::time::Instant;

use crate::{
    audit::{Audit, Record},
    cluster::View,
    fault::Fault,
    metrics::Metrics,
    review::{Answer, Request},
};

/// Most rounds of look-ups for one request: claim, then volume, then class.
const ROUNDS: usize = 3;

/// Judges admission reviews.
#[derive(Debug)]
pub struct Reviewer {
    policy: ArcSwap<Policy>,
    view: View,
    audit: Audit,
    metrics: Arc<Metrics>,
}

impl Reviewer {
    /// A reviewer that judges by that policy in that cluster.
    #[must_use]
    pub fn new(policy: Policy, view: View, audit: Audit, metrics: Arc<Metrics>) -> Self {
        Self { policy: ArcSwap::from_pointee(policy), view, audit, metrics }
    }

    /// The cluster it judges in.
    #[must_use]
    pub fn view(&self) -> &View {
        &self.view
    }

    /// Answers one review within that time.
    ///
    /// # Errors
    /// A [`Fault`] when there is no decision.
    pub async fn review(&self, body: &[u8], time: Duration) -> Result<Answer, Fault> {
        let started = Instant::now();
        let request = Request::read(body)?;
        let Some(subject) = request.subject()? else {
            return Ok(Answer::unjudged(&request.uid));
        };
        let verdict = match tokio::time::timeout(time, self.judge(&subject)).await {
            Ok(judged) => judged?,
            Err(_) => return Err(Fault::Deadline(time)),
        };
        self.metrics.decided(&subject, &verdict, started.elapsed());
        if Record::is_due(&verdict) {
            self.audit.record(&Record::of(&request, &subject, &verdict));
        }
        Ok(Answer::of(&request.uid, &verdict))
    }

    async fn judge(&self, subject: &Subject<'_>) -> Result<Verdict, Fault> {
        let policy = self.policy.load_full();
        let mut cluster = self.view.load();
        let mut asked = HashSet::new();
        for round in 0.. {
            let Outcome { verdict, missed } = decide(subject, &*cluster, &policy, Timestamp::now());
            if !missed.not_synced.is_empty() {
                let kinds = missed.not_synced.iter().map(|kind| kind.resource());
                return Err(Fault::NotSynced(kinds.collect::<Vec<_>>().join(", ")));
            }
            let wanted: Vec<Key> =
                missed.keys.into_iter().filter(|key| asked.insert(key.clone())).collect();
            if wanted.is_empty() || round == ROUNDS {
                return Ok(verdict);
            }
            match self.view.look_up(&wanted).await {
                Ok(found) if found.is_empty() => return Ok(verdict),
                Ok(found) => {
                    let mut with = (*cluster).clone();
                    for object in found {
                        with.insert(object);
                    }
                    cluster = Arc::new(with);
                }
                // What was not found could only have added to a denial.
                Err(_) if verdict.effect() == Effect::Deny => return Ok(verdict),
                Err(fault) => return Err(fault),
            }
        }
        unreachable!("the last round returns")
    }
}
