//! From the body of a request to the answer: the engine's call, with whatever
//! the caches lacked looked up in between.

use std::{collections::HashSet, future::Future, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use jiff::Timestamp;
use nfs_guard_policies::{
    Cluster, Gate, Key, Lookup, Outcome, Policy, Subject, Verdict, decide,
    facts::{Object, Scope, Workload},
};
use tokio::{
    runtime::{Handle, RuntimeFlavor},
    task::block_in_place,
    time::Instant,
};

use crate::{
    audit::{Audit, Decision},
    cluster::View,
    config::Fingerprint,
    fault::Fault,
    metrics::Metrics,
    review::{Answer, Request, Scale},
};

/// Most rounds of look-ups for one request: claim, then volume, then class.
const ROUNDS: usize = 3;

/// A policy and the configuration it was made from.
#[derive(Debug)]
pub struct InForce {
    policy: Policy,
    config: Fingerprint,
}

impl InForce {
    /// The policy of that configuration.
    #[must_use]
    pub fn new(policy: Policy, config: Fingerprint) -> Self {
        Self { policy, config }
    }
}

/// A policy that is in no file.
impl From<Policy> for InForce {
    fn from(policy: Policy) -> Self {
        Self::new(policy, Fingerprint::default())
    }
}

/// Judges admission reviews.
#[derive(Debug)]
pub struct Reviewer {
    in_force: ArcSwap<InForce>,
    view: View,
    audit: Audit,
    metrics: Arc<Metrics>,
}

impl Reviewer {
    /// A reviewer that judges by that policy in that cluster.
    #[must_use]
    pub fn new(
        policy: impl Into<InForce>,
        view: View,
        audit: Audit,
        metrics: Arc<Metrics>,
    ) -> Self {
        let reviewer =
            Self { in_force: ArcSwap::from_pointee(policy.into()), view, audit, metrics };
        reviewer.tell(&reviewer.in_force.load());
        reviewer
    }

    /// Judges by another policy from now on.
    pub fn adopt(&self, policy: impl Into<InForce>) {
        let in_force = policy.into();
        self.tell(&in_force);
        self.in_force.store(Arc::new(in_force));
    }

    fn tell(&self, InForce { policy, config }: &InForce) {
        self.metrics.config_adopted(*config);
        self.metrics.ratchet_adopted(policy.ratchet.since);
    }

    /// The cluster it judges in.
    #[must_use]
    pub fn view(&self) -> &View {
        &self.view
    }

    /// Answers one review at that gate, within that time.
    ///
    /// # Errors
    /// A [`Fault`] when there is no decision.
    pub async fn review(&self, gate: Gate, body: &[u8], time: Duration) -> Result<Answer, Fault> {
        let started = Instant::now();
        let deadline = Deadline { granted: time, at: started + time };
        let in_force = self.in_force.load_full();
        let InForce { policy, config } = &*in_force;
        let mut request = Request::read(gate, body)?;
        let subject = match request.scale(gate)? {
            Some(scale) => self.update_by(scale, policy, deadline).await?,
            None => request.subject(gate)?,
        };
        let Some(subject) = subject else { return Ok(Answer::unjudged(&request.uid)) };
        let verdict = self.judge(policy, &subject, deadline).await?;
        let took = started.elapsed();
        self.metrics.decided(&subject, &verdict, took);
        let is_due = Decision::is_due(&verdict);
        if is_due {
            self.audit.record(Decision::of(&request, &subject, &verdict, *config, took));
        }
        Ok(Answer::of(&request.uid, &verdict, is_due))
    }

    /// The update of its workload that a scaling stands for; none where nothing is
    /// judged, or where the workload is gone, which the apiserver will say itself.
    async fn update_by<'a>(
        &self,
        scale: Scale<'a>,
        policy: &Policy,
        deadline: Deadline,
    ) -> Result<Option<Subject<'a>>, Fault> {
        let key = scale.workload();
        if policy.excluded_namespaces.iter().any(|glob| glob.matches(&key.namespace)) {
            return Ok(None);
        }
        let cached = self.view.load().workload(scale.kind(), &key.namespace, &key.name);
        let workload = match cached {
            Lookup::Found(workload) => Some(Workload::clone(&workload)),
            Lookup::Missing | Lookup::NotSynced => {
                let look_up = self.view.look_up_afresh(&key);
                match deadline.meet(std::slice::from_ref(&key), look_up).await? {
                    Some(Object::Workload(workload)) => Some(workload),
                    _ => None,
                }
            }
        };
        Ok(workload.map(|workload| scale.of(workload)))
    }

    async fn judge(
        &self,
        policy: &Policy,
        subject: &Subject<'_>,
        deadline: Deadline,
    ) -> Result<Verdict, Fault> {
        let mut cluster = self.view.load();
        let mut asked = HashSet::new();
        let mut round = 0;
        loop {
            let Outcome { verdict, missed, settled } = decide_aside(subject, &*cluster, policy);
            if !missed.not_synced.is_empty() {
                let fault =
                    Fault::NotSynced(list(missed.not_synced.iter().map(|kind| kind.resource())));
                return if settled { Ok(verdict) } else { Err(fault) };
            }
            let wanted: Vec<Key> =
                missed.keys.into_iter().filter(|key| !asked.contains(key)).collect();
            if wanted.is_empty() {
                return Ok(verdict);
            }
            let found = if round < ROUNDS {
                deadline.meet(&wanted, self.view.look_up(&wanted)).await
            } else {
                Err(Fault::TooDeep { rounds: ROUNDS, keys: list(&wanted) })
            };
            match found {
                Ok(found) => {
                    let mut with = (*cluster).clone();
                    for object in found {
                        with.insert(object);
                    }
                    cluster = Arc::new(with);
                    asked.extend(wanted);
                    round += 1;
                }
                Err(_) if settled => return Ok(verdict),
                Err(fault) => return Err(fault),
            }
        }
    }
}

/// Decides, and keeps nobody waiting where that may take long: an object of the whole
/// cluster is judged by all it turns, for which every workload may have to be resolved.
fn decide_aside(subject: &Subject<'_>, cluster: &impl Cluster, policy: &Policy) -> Outcome {
    let decide = || decide(subject, cluster, policy, Timestamp::now());
    let is_long = subject.object().kind().scope() == Scope::Cluster;
    // Another thread takes over who waits for this one, if there may be another.
    if is_long && Handle::current().runtime_flavor() == RuntimeFlavor::MultiThread {
        block_in_place(decide)
    } else {
        decide()
    }
}

/// When a decision has to be there.
#[derive(Clone, Copy, Debug)]
struct Deadline {
    granted: Duration,
    at: Instant,
}

impl Deadline {
    /// What a look-up of those objects finds, if it does in time.
    async fn meet<T>(
        self,
        keys: &[Key],
        look_up: impl Future<Output = Result<T, Fault>>,
    ) -> Result<T, Fault> {
        let late = |_| Err(Fault::Deadline { time: self.granted, keys: list(keys) });
        tokio::time::timeout_at(self.at, look_up).await.unwrap_or_else(late)
    }
}

fn list(names: impl IntoIterator<Item: ToString>) -> String {
    names.into_iter().map(|name| name.to_string()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod aside;
#[cfg(test)]
mod races;
#[cfg(test)]
mod scaling;
#[cfg(test)]
mod tests;
