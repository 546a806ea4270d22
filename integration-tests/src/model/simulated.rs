//! A cluster in memory: an API server whose admission is the engine, and controllers that
//! do what those of Kubernetes 1.37 do, one step after the other until nothing is left to do.

mod apiserver;
mod storage;
mod validation;
mod workloads;

use std::sync::Arc;

use jiff::SignedDuration;
use nfs_guard_policies::{Policy, cluster::Key, rules::CRITICAL_LABEL};
use serde_json::{Value, json};

use self::apiserver::{Apiserver, Presence, Refused};
use super::{
    Setting, State, World,
    guard::Guard,
    json::{at, controller, key, name, namespace, text, uid},
    operation::Operation,
    request::{Asker, Names, Request},
    run::{OPERATOR, configured},
};

const DEVELOPER: &str = "developer";
const ADMINISTRATOR: &str = "administrator";
/// Rounds after which a cluster that has not come to rest never will: a set with three
/// pods, each with claims to make, bind and schedule, takes about twenty.
const MOST_ROUNDS: usize = 100;

/// A cluster in memory.
#[derive(Debug)]
pub struct Simulated<'p> {
    api: Apiserver<'p>,
}

impl<'p> Simulated<'p> {
    /// A cluster with two namespaces, of which `vault` is critical, and those classes.
    pub fn new(setting: &Setting, guard: &'p dyn Guard, policy: &'p mut Policy) -> Self {
        configured(policy, setting);
        let mut api = Apiserver::new(guard, policy, setting.fails_closed);
        for (name, labels) in [("vault", json!({CRITICAL_LABEL: "true"})), ("web", json!({}))] {
            api.store(json!({
                "apiVersion": "v1", "kind": "Namespace",
                "metadata": {"name": name, "uid": name, "labels": labels},
            }));
        }
        for class in &setting.classes {
            let mut class = Names::default().class(class);
            class["metadata"]["creationTimestamp"] = json!(api.now.to_string());
            class["metadata"]["uid"] = class["metadata"]["name"].clone();
            api.store(class);
        }
        Self { api }
    }

    /// Takes the guard away, and lets come to pass what it kept from coming.
    pub fn remove_guard(&mut self) -> bool {
        self.api.presence = Presence::Absent;
        self.rest()
    }

    fn request(&mut self, request: Request) -> Result<(), Refused> {
        match request {
            Request::Apply(asker, manifest) => self.apply_manifest(user(asker), manifest),
            Request::Create(asker, manifest) => {
                let manifest = self.completed(manifest);
                self.api.create(user(asker), manifest).map(drop)
            }
            Request::Patch(asker, key, patch) => self.api.patch(user(asker), &key, &patch),
            Request::Scale(key, replicas) => self.api.scale(DEVELOPER, &key, replicas),
            Request::Delete { key, orphan } => {
                if orphan {
                    let owner = self.api.find(&key).ok_or(Refused::Missing)?;
                    workloads::orphan_dependents(&mut self.api, &owner);
                }
                self.api.delete(DEVELOPER, &key)
            }
            Request::DeletePodOf(owner) => self.delete_pod_of(&owner),
            Request::Wait(hours) => {
                self.api.pass(SignedDuration::from_hours(hours));
                Ok(())
            }
            Request::Install => {
                if self.api.presence == Presence::Absent {
                    self.api.policy.ratchet.since = Some(self.api.now);
                    self.api.presence = Presence::Up;
                    self.api.pass(SignedDuration::from_secs(1));
                }
                Ok(())
            }
            Request::Guard(up) => {
                if self.api.presence != Presence::Absent {
                    self.api.presence = if up { Presence::Up } else { Presence::Down };
                }
                Ok(())
            }
        }
    }

    /// What `kubectl apply` comes to.
    fn apply_manifest(&mut self, user: &str, manifest: Value) -> Result<(), Refused> {
        let manifest = self.completed(manifest);
        let Some(live) = self.api.find(&key(&manifest)) else {
            return self.api.create(user, manifest).map(drop);
        };
        let mut new = Value::clone(&live);
        let node = live["spec"]["nodeName"].clone();
        new["spec"] = manifest["spec"].clone();
        if !node.is_null() {
            new["spec"]["nodeName"] = node;
        }
        new["metadata"]["labels"] = manifest["metadata"]["labels"].clone();
        self.api.update(user, new)
    }

    /// Fills in what whoever sends a manifest has to know: the uid of an owner, a time.
    fn completed(&self, mut manifest: Value) -> Value {
        if let Some(mut owner) = manifest.pointer("/metadata/ownerReferences/0").cloned() {
            if text(&owner, "/uid").is_empty() {
                let kind = super::json::kind(&owner);
                let live = kind.and_then(|kind| {
                    self.api.get(kind, namespace(&manifest), text(&owner, "/name"))
                });
                owner["uid"] = json!(live.map_or("none".into(), |live| uid(&live).to_owned()));
            }
            manifest["metadata"]["ownerReferences"][0] = owner;
        }
        if let Some(hours) = at(&manifest, "/spec/expiresAt").and_then(Value::as_i64) {
            let end = self.api.now + SignedDuration::from_hours(hours);
            manifest["spec"]["expiresAt"] = json!(end.to_string());
        }
        manifest
    }

    fn delete_pod_of(&mut self, owner: &Key) -> Result<(), Refused> {
        let pods = self.api.pods();
        let ours = |pod: &&Arc<Value>| {
            namespace(pod) == owner.namespace
                && controller(pod).is_some_and(|reference| {
                    let made_by = text(reference, "/name");
                    made_by == owner.name || made_by.starts_with(&format!("{}-", owner.name))
                })
        };
        let pod = pods.iter().filter(ours).max_by_key(|pod| name(pod).to_owned());
        self.api.delete(DEVELOPER, &key(pod.ok_or(Refused::Missing)?))
    }

    /// Lets the controllers work until there is nothing they can do.
    fn rest(&mut self) -> bool {
        for _ in 0..MOST_ROUNDS {
            let before = self.api.written;
            workloads::sync(&mut self.api);
            storage::sync(&mut self.api);
            if self.api.written == before {
                return true;
            }
        }
        false
    }
}

fn user(asker: Asker) -> &'static str {
    match asker {
        Asker::Developer => DEVELOPER,
        Asker::Administrator => ADMINISTRATOR,
        Asker::Operator => OPERATOR,
    }
}

impl World for Simulated<'_> {
    fn apply(&mut self, operation: &Operation) -> bool {
        self.api.operation += 1;
        self.api.pass(SignedDuration::from_secs(1));
        // What is refused leaves the cluster as it is.
        let _ = self.request(Names::default().request(operation));
        self.rest()
    }

    fn look(&self) -> State<'_> {
        State {
            objects: self.api.objects(),
            facts: self.api.facts(),
            policy: self.api.policy,
            now: self.api.now,
            history: &self.api.history,
            guarded: self.api.presence == Presence::Up,
            installed: self.api.presence != Presence::Absent,
        }
    }
}
