//! A real control plane as a world: kwok's kubelets, the drivers' stand-in, and the guard by
//! its chart. A sequence has namespaces, classes and volumes of its own, so that several
//! share one control plane.

use std::{sync::Arc, thread, time::Duration};

use anyhow::{Context as _, Result};
use futures::future::try_join_all;
use kube::{
    Api, Client,
    api::{
        ApiResource, DeleteParams, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams,
        PostParams, PropagationPolicy,
    },
};
use nfs_guard_policies::{
    Policy, Snapshot,
    cluster::Key,
    facts::{Kind, Object, Scope, WorkloadKind},
    rules::CRITICAL_LABEL,
    text::{Reduce as _, Strings},
};
use serde_json::{Value, json};
use tokio::runtime::{self, Runtime};

use super::{
    History, Objects, Setting, State, World,
    json::{controller, key, kind, name, namespace, text, uid},
    operation::Operation,
    request::{Asker, Names, Request, api_version},
    run::configured,
};
use crate::{ControlPlane, User};

/// How long nothing may change until a cluster is taken to be at rest. What it does later
/// is seen after the next operation, or at the end.
const QUIET: Duration = Duration::from_millis(600);
/// How long is waited for that after an operation: whatever is denied is tried for ever.
const LONGEST: u32 = 8;
const ASKED_EVERY: Duration = Duration::from_millis(150);

/// The kinds that are looked at.
const KINDS: [Kind; 10] = [
    Kind::Workload(WorkloadKind::StatefulSet),
    Kind::Workload(WorkloadKind::Deployment),
    Kind::Workload(WorkloadKind::ReplicaSet),
    Kind::Workload(WorkloadKind::Job),
    Kind::Workload(WorkloadKind::CronJob),
    Kind::Workload(WorkloadKind::Pod),
    Kind::Claim,
    Kind::Volume,
    Kind::Class,
    Kind::Namespace,
];

/// The part of a real control plane that belongs to one sequence.
pub struct Real<'p> {
    runtime: Runtime,
    developer: Client,
    operator: Client,
    names: Names,
    objects: Objects,
    facts: Snapshot,
    history: History,
    policy: &'p mut Policy,
    /// Whether everything had the time to be bound.
    settled: bool,
}

impl<'p> Real<'p> {
    /// Makes the namespaces and classes of a sequence; what it makes is called after `prefix`.
    pub fn new(
        control_plane: &ControlPlane,
        prefix: &str,
        setting: &Setting,
        policy: &'p mut Policy,
    ) -> Result<Self> {
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        let client = |user| {
            let config = runtime.block_on(control_plane.credentials().client_config(user))?;
            let _runtime = runtime.enter();
            Client::try_from(config).context("making a client")
        };
        let (developer, operator) = (client(User::Developer)?, client(User::Operator)?);
        configured(policy, setting);
        let names = Names { prefix: format!("{prefix}-") };
        let real = Self {
            runtime,
            developer,
            operator,
            names,
            objects: Objects::new(),
            facts: Snapshot::complete(),
            history: History::default(),
            policy,
            settled: false,
        };
        real.set_up(setting)?;
        Ok(real)
    }

    fn set_up(&self, setting: &Setting) -> Result<()> {
        for (name, labels) in [("vault", json!({CRITICAL_LABEL: "true"})), ("web", json!({}))] {
            self.send(&Request::Create(
                Asker::Administrator,
                json!({
                    "apiVersion": "v1", "kind": "Namespace",
                    "metadata": {"name": self.names.global(name), "labels": labels},
                }),
            ))?;
        }
        for class in &setting.classes {
            self.send(&Request::Create(Asker::Administrator, self.names.class(class)))?;
        }
        // Pods are refused until a controller has made it.
        for namespace in ["vault", "web"] {
            let namespace = self.names.global(namespace);
            let accounts = Api::<k8s_openapi::api::core::v1::ServiceAccount>::namespaced(
                self.operator.clone(),
                &namespace,
            );
            let there = kube::runtime::wait::await_condition(
                accounts,
                "default",
                |account: Option<&k8s_openapi::api::core::v1::ServiceAccount>| account.is_some(),
            );
            self.runtime.block_on(there).context("waiting for a service account")?;
        }
        Ok(())
    }

    fn client(&self, asker: Asker) -> Client {
        match asker {
            Asker::Administrator => self.operator.clone(),
            // To the API server an operator is one more user with rights in a namespace.
            Asker::Developer | Asker::Operator => self.developer.clone(),
        }
    }

    fn api(client: Client, key: &Key) -> Api<DynamicObject> {
        let resource = resource(key.kind);
        match key.kind.scope() {
            Scope::Namespaced => Api::namespaced_with(client, &key.namespace, &resource),
            Scope::Cluster => Api::all_with(client, &resource),
        }
    }

    /// Sends a request; what the API server thinks of it is its answer.
    fn send(&self, request: &Request) -> kube::Result<()> {
        self.runtime.block_on(async {
            match request {
                Request::Apply(asker, manifest) => {
                    let manifest = self.completed(manifest);
                    let key = key(&manifest);
                    let parameters = PatchParams::apply("model").force();
                    let api = Self::api(self.client(*asker), &key);
                    api.patch(&key.name, &parameters, &Patch::Apply(&manifest)).await.map(drop)
                }
                Request::Create(asker, manifest) => {
                    let manifest = self.completed(manifest);
                    let api = Self::api(self.client(*asker), &key(&manifest));
                    let object =
                        serde_json::from_value(manifest).map_err(kube::Error::SerdeError)?;
                    api.create(&PostParams::default(), &object).await.map(drop)
                }
                Request::Patch(asker, key, patch) => {
                    let api = Self::api(self.client(*asker), key);
                    let patch = Patch::Merge(patch);
                    api.patch(&key.name, &PatchParams::default(), &patch).await.map(drop)
                }
                Request::Scale(key, replicas) => {
                    let api = Self::api(self.client(Asker::Developer), key);
                    let patch = Patch::Merge(json!({"spec": {"replicas": replicas}}));
                    api.patch_scale(&key.name, &PatchParams::default(), &patch).await.map(drop)
                }
                Request::Delete { key, orphan } => {
                    let policy = if *orphan {
                        PropagationPolicy::Orphan
                    } else {
                        PropagationPolicy::Background
                    };
                    let parameters =
                        DeleteParams { propagation_policy: Some(policy), ..Default::default() };
                    let api = Self::api(self.client(Asker::Administrator), key);
                    api.delete(&key.name, &parameters).await.map(drop)
                }
                Request::DeletePodOf(owner) => {
                    let Some(pod) = self.newest_pod_of(owner) else { return Ok(()) };
                    let api = Self::api(self.client(Asker::Developer), &pod);
                    api.delete(&pod.name, &DeleteParams::default()).await.map(drop)
                }
                // The guard of a control plane that is shared is there, and stays.
                Request::Wait(_) | Request::Install | Request::Guard(_) => Ok(()),
            }
        })
    }

    fn newest_pod_of(&self, owner: &Key) -> Option<Key> {
        let pods = self.objects.iter().filter(|(key, pod)| {
            key.kind == Kind::Workload(WorkloadKind::Pod)
                && key.namespace == owner.namespace
                && controller(pod)
                    .is_some_and(|reference| text(reference, "/name").starts_with(&owner.name))
        });
        let created = |pod: &Value| text(pod, "/metadata/creationTimestamp").to_owned();
        pods.max_by_key(|(_, pod)| created(pod)).map(|(key, _)| key.clone())
    }

    /// Fills in the uid of an owner.
    fn completed(&self, manifest: &Value) -> Value {
        let mut manifest = manifest.clone();
        if let Some(mut owner) = manifest.pointer("/metadata/ownerReferences/0").cloned() {
            if text(&owner, "/uid").is_empty() {
                let key = kind(&owner).map(|kind| Key {
                    kind,
                    namespace: namespace(&manifest).into(),
                    name: text(&owner, "/name").into(),
                });
                let live = key.and_then(|key| self.objects.get(&key));
                owner["uid"] = json!(live.map_or("none", |live| uid(live)));
            }
            manifest["metadata"]["ownerReferences"][0] = owner;
        }
        manifest
    }

    /// Reads all objects of the sequence; whether any has changed.
    fn read(&mut self) -> Result<bool> {
        let listed = self.runtime.block_on(try_join_all(KINDS.map(|kind| self.list(kind))))?;
        let objects: Objects =
            listed.into_iter().flatten().map(|object| (key(&object), Arc::new(object))).collect();
        let version = |object: &Value| text(object, "/metadata/resourceVersion").to_owned();
        let same = objects.len() == self.objects.len()
            && objects.iter().all(|(key, object)| {
                self.objects.get(key).is_some_and(|known| version(known) == version(object))
            });
        if same {
            return Ok(false);
        }
        let mut strings = Strings::default();
        self.facts = Snapshot::complete();
        for (key, object) in &objects {
            let facts = Object::read(key.kind, &**object).context("reading an object")?;
            self.facts.insert(facts.into_stored(&mut strings));
        }
        self.objects = objects;
        Ok(true)
    }

    async fn list(&self, kind: Kind) -> Result<Vec<Value>> {
        let resource = resource(kind);
        let all = Api::<DynamicObject>::all_with(self.operator.clone(), &resource);
        let listed = all.list(&ListParams::default()).await.context("listing")?;
        let prefix = &self.names.prefix;
        let mut ours = Vec::new();
        for object in listed {
            let mut object = serde_json::to_value(object).context("an object is JSON")?;
            object["apiVersion"] = json!(resource.api_version);
            object["kind"] = json!(resource.kind);
            let promised = text(&object, "/spec/claimRef/namespace");
            let of = [name(&object), namespace(&object), promised];
            let own = match kind.scope() {
                Scope::Namespaced => namespace(&object).starts_with(prefix),
                Scope::Cluster => of.iter().any(|name| name.starts_with(prefix)),
            };
            if own {
                ours.push(object);
            }
        }
        Ok(ours)
    }

    /// Waits until nothing changes any more for a while.
    fn settle(&mut self, longest: u32) -> Result<()> {
        let rounds = u32::try_from(QUIET.as_millis() / ASKED_EVERY.as_millis()).unwrap_or(1);
        let mut quiet = 0;
        for _ in 0..longest * rounds {
            // There is no event that says that nothing more will come.
            thread::sleep(ASKED_EVERY);
            quiet = if self.read()? { 0 } else { quiet + 1 };
            if quiet >= rounds {
                break;
            }
        }
        Ok(())
    }

    /// Gives everything the time that a controller takes until it tries again.
    pub fn finish(&mut self) -> Result<()> {
        self.settle(LONGEST)?;
        thread::sleep(RETRIED_WITHIN);
        self.settle(LONGEST)?;
        self.settled = true;
        Ok(())
    }

    /// How many writes of people the guard denied.
    #[must_use]
    pub fn denied(&self) -> u64 {
        self.history.denied
    }
}

/// The volume controller looks at everything again after this time (`pvClaimBinderSyncPeriod`).
const RETRIED_WITHIN: Duration = Duration::from_secs(16);

fn resource(kind: Kind) -> ApiResource {
    let version = match kind {
        Kind::Workload(workload) => api_version(workload),
        Kind::Class | Kind::CsiDriver => "storage.k8s.io/v1",
        Kind::Claim | Kind::Volume | Kind::Namespace => "v1",
        Kind::Exemption => "nfs-guard.io/v1alpha1",
    };
    let (group, version) = version.split_once('/').unwrap_or(("", version));
    let gvk = GroupVersionKind::gvk(group, version, kind.as_str());
    ApiResource::from_gvk_with_plural(&gvk, kind.resource())
}

impl World for Real<'_> {
    fn apply(&mut self, operation: &Operation) -> bool {
        match self.send(&self.names.request(operation)) {
            Err(kube::Error::Api(status)) if status.message.contains("critical-on-nfs") => {
                self.history.denied += 1;
            }
            Ok(()) | Err(kube::Error::Api(_)) => {}
            Err(error) => panic!("{operation}: {error}"),
        }
        if let Err(error) = self.settle(LONGEST) {
            panic!("{operation}: {error:#}");
        }
        true
    }

    fn look(&self) -> State<'_> {
        State {
            objects: &self.objects,
            facts: &self.facts,
            policy: self.policy,
            now: jiff::Timestamp::now(),
            history: &self.history,
            guarded: self.settled,
            installed: true,
        }
    }
}

impl Drop for Real<'_> {
    fn drop(&mut self) {
        let cluster = [Kind::Namespace, Kind::Volume, Kind::Class];
        let ours = self.objects.keys().filter(|key| cluster.contains(&key.kind));
        for key in ours.cloned().collect::<Vec<_>>() {
            // What is left behind harms no other test, so a failure is no matter.
            let _ = self.send(&Request::Delete { key, orphan: false });
        }
    }
}
