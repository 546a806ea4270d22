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
mod tests {
    use std::{
        convert::Infallible,
        sync::atomic::{AtomicUsize, Ordering},
    };

    use axum::http::{Request as HttpRequest, Response as HttpResponse};
    use kube::{Client, client::Body};
    use nfs_guard_policies::{
        Snapshot,
        facts::{Kind, Object},
        text::{Reduce as _, Strings},
    };
    use serde_json::{Value, json};

    use super::*;
    use crate::{audit::audit, cluster::LookUp};

    pub(super) const TIME: Duration = Duration::from_secs(2);

    /// What an apiserver answers to a GET of that path.
    pub(super) type Answers = fn(&str) -> Option<(u16, Value)>;

    /// A reviewer whose caches hold the critical namespace and nothing else, and
    /// the number of look-ups it made. No answer means the apiserver hangs.
    pub(super) fn reviewer(answers: Answers) -> (Reviewer, Arc<AtomicUsize>) {
        reviewer_of(answers, &[])
    }

    /// The same, whose caches hold these as well.
    pub(super) fn reviewer_of(
        answers: Answers,
        objects: &[(Kind, Value)],
    ) -> (Reviewer, Arc<AtomicUsize>) {
        let asked = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&asked);
        let apiserver = tower::service_fn(move |request: HttpRequest<Body>| {
            counter.fetch_add(1, Ordering::Relaxed);
            let answer = answers(request.uri().path());
            async move {
                let Some((status, body)) = answer else { return std::future::pending().await };
                let body = Body::from(body.to_string().into_bytes());
                let response = HttpResponse::builder().status(status).body(body);
                Ok::<_, Infallible>(response.expect("a status and a body make a response"))
            }
        });
        let mut caches = Snapshot::complete();
        let labels = json!({"nfs-guard.io/critical": "true"});
        let namespace = json!({"metadata": {"name": "vault", "labels": labels}});
        for (kind, object) in objects.iter().chain([&(Kind::Namespace, namespace)]) {
            let object = Object::read(*kind, object).unwrap();
            caches.insert(object.into_stored(&mut Strings::default()));
        }
        let metrics = Arc::new(Metrics::default());
        let look_up = LookUp::new(Client::new(apiserver, "default"), Arc::clone(&metrics));
        let (audit, _writer) = audit(Arc::clone(&metrics));
        let view = View::lagging(caches, look_up);
        (Reviewer::new(Policy::default(), view, audit, metrics), asked)
    }

    fn review(spec: &Value) -> Vec<u8> {
        json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
            "uid": "u",
            "kind": {"group": "", "version": "v1", "kind": "PersistentVolumeClaim"},
            "namespace": "vault",
            "operation": "CREATE",
            "object": {"metadata": {"name": "data"}, "spec": spec},
        }})
        .to_string()
        .into_bytes()
    }

    pub(super) fn absent() -> (u16, Value) {
        (
            404,
            json!({"kind": "Status", "status": "Failure", "reason": "NotFound", "code": 404, "message": "no"}),
        )
    }

    async fn decision(reviewer: &Reviewer, spec: Value) -> Result<Value, Fault> {
        let answer = reviewer.review(Gate::Validating, &review(&spec), TIME).await?;
        Ok(serde_json::to_value(answer).unwrap()["response"].take())
    }

    #[tokio::test]
    async fn what_the_caches_lack_is_looked_up_hop_by_hop() {
        let (reviewer, asked) = reviewer(|path| match path {
            "/api/v1/persistentvolumes/old" => Some((
                200,
                json!({"metadata": {"name": "old"}, "spec": {"nfs": {"server": "nas", "path": "/x"}}}),
            )),
            "/apis/storage.k8s.io/v1/storageclasses/nas" => {
                Some((200, json!({"metadata": {"name": "nas"}, "provisioner": "nfs.csi.k8s.io"})))
            }
            other => panic!("nobody should ask for {other}"),
        });
        let response = decision(&reviewer, json!({"storageClassName": "nas"})).await.unwrap();
        assert_eq!(response["allowed"], false, "{response}");
        let response = decision(&reviewer, json!({"volumeName": "old"})).await.unwrap();
        assert_eq!(response["allowed"], false, "{response}");
        assert_eq!(asked.load(Ordering::Relaxed), 2, "each object once");
    }

    #[tokio::test(start_paused = true)]
    async fn what_does_not_exist_is_not_asked_for_again_at_once() {
        let (reviewer, asked) = reviewer(|_| Some(absent()));
        for _ in 0..10 {
            let response = decision(&reviewer, json!({"storageClassName": "gone"})).await.unwrap();
            assert_eq!(response["allowed"], true, "{response}");
            assert!(response["warnings"][0].as_str().unwrap().contains("gone does not exist"));
        }
        assert_eq!(asked.load(Ordering::Relaxed), 1);
        tokio::time::advance(Duration::from_secs(6)).await;
        decision(&reviewer, json!({"storageClassName": "gone"})).await.unwrap();
        assert_eq!(asked.load(Ordering::Relaxed), 2);
    }

    #[tokio::test]
    async fn a_failed_look_up_is_a_fault_and_no_decision() {
        let (reviewer, _) = reviewer(|_| {
            Some((
                403,
                json!({"kind": "Status", "status": "Failure", "reason": "Forbidden", "code": 403, "message": "not yours"}),
            ))
        });
        let fault = decision(&reviewer, json!({"storageClassName": "nas"})).await.unwrap_err();
        assert!(matches!(&fault, Fault::LookUp { key, .. } if key.name == "nas"), "{fault:?}");
        assert!(fault.to_string().contains("not yours"), "{fault}");
    }

    #[tokio::test(start_paused = true)]
    async fn an_apiserver_that_hangs_costs_no_more_than_the_time_granted() {
        let (reviewer, _) = reviewer(|_| None);
        let fault = decision(&reviewer, json!({"storageClassName": "nas"})).await.unwrap_err();
        assert!(
            matches!(&fault, Fault::Deadline { keys, .. } if keys == "StorageClass nas"),
            "{fault:?}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_denial_that_stands_needs_no_look_up_to_succeed() {
        let set = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
            "uid": "u",
            "kind": {"group": "apps", "version": "v1", "kind": "StatefulSet"},
            "namespace": "vault",
            "operation": "CREATE",
            "object": {"metadata": {"name": "db"}, "spec": {"template": {"spec": {"volumes": [
                {"name": "a", "nfs": {"server": "nas", "path": "/x"}},
                {"name": "b", "persistentVolumeClaim": {"claimName": "unreadable"}},
            ]}}}},
        }});
        let broken: Answers =
            |_| Some((500, json!({"kind": "Status", "status": "Failure", "code": 500})));
        let hangs: Answers = |_| None;
        for answers in [broken, hangs] {
            let (reviewer, _) = reviewer(answers);
            let answer =
                reviewer.review(Gate::Validating, set.to_string().as_bytes(), TIME).await.unwrap();
            assert_eq!(serde_json::to_value(answer).unwrap()["response"]["allowed"], false);
        }
    }

    #[tokio::test]
    async fn a_denial_over_the_unknown_does_not_stand_on_a_failed_look_up() {
        let (reviewer, _) =
            reviewer(|_| Some((500, json!({"kind": "Status", "status": "Failure", "code": 500}))));
        let rules = json!({"rules": {"critical-on-nfs": {"onUnknown": "deny"}}});
        reviewer.adopt(Policy::new(serde_json::from_value(rules).unwrap()));
        let fault = decision(&reviewer, json!({"storageClassName": "nas"})).await.unwrap_err();
        assert!(matches!(fault, Fault::LookUp { .. }), "{fault:?}");
    }
}

#[cfg(test)]
mod aside;
#[cfg(test)]
mod races;
#[cfg(test)]
mod scaling;
