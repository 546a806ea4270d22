//! The API server: what is stored, and what is asked before.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use nfs_guard_policies::{
    Change, Effect, Gate, Operation as Verb, Policy, Snapshot, Subject, Texts,
    cluster::Key,
    facts::{Kind, Object, Scope, WorkloadKind},
    rules::{CRITICAL_LABEL, CriticalOnNfs, Rule as _},
    text::{Reduce as _, Strings},
};
use serde_json::{Value, json};

use super::validation;
use crate::model::{
    Objects,
    guard::{Asked, Guard},
    history::{History, Seen, Write},
    json::{at, controller, is_going, key, label, merge, name, namespace, text, uid},
    request::{DEFAULT_CLASS, LEGACY_CLASS},
    truth::is_labelled,
};

/// Why a write did not come to pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// The guard denies it.
    Denied,
    /// The guard is down, and must not be.
    NoGuard,
    /// The API server itself refuses it.
    Invalid,
    /// There is no such object.
    Missing,
    /// There is one already.
    Exists,
}

/// Where the guard is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Presence {
    /// Not installed yet.
    Absent,
    /// It answers.
    Up,
    /// It does not.
    Down,
}

/// Everything there is, as JSON, and the facts of it that the guard's caches would hold.
#[derive(Debug)]
pub(super) struct Apiserver<'p> {
    objects: Objects,
    facts: Snapshot,
    strings: Strings,
    pub(super) now: Timestamp,
    /// How many times anything was stored.
    pub(super) written: u64,
    /// The number of the operation that is under way.
    pub(super) operation: usize,
    /// Whether what is being written becomes critical by that.
    turns_critical: bool,
    pub(super) history: History,
    pub(super) presence: Presence,
    /// Whether writes to critical namespaces are refused while the guard is down.
    fails_closed: bool,
    guard: &'p dyn Guard,
    pub(super) policy: &'p mut Policy,
}

impl<'p> Apiserver<'p> {
    pub(super) fn new(guard: &'p dyn Guard, policy: &'p mut Policy, fails_closed: bool) -> Self {
        Self {
            objects: Objects::new(),
            facts: Snapshot::complete(),
            strings: Strings::default(),
            now: "2026-04-22T09:00:00Z".parse().expect("is a time"),
            written: 0,
            operation: 0,
            turns_critical: false,
            history: History::default(),
            presence: Presence::Absent,
            fails_closed,
            guard,
            policy,
        }
    }

    pub(super) fn facts(&self) -> &Snapshot {
        &self.facts
    }

    pub(super) fn pass(&mut self, time: SignedDuration) {
        self.now += time;
    }

    pub(super) fn get(&self, kind: Kind, namespace: &str, name: &str) -> Option<Arc<Value>> {
        self.find(&Key { kind, namespace: namespace.into(), name: name.into() })
    }

    pub(super) fn find(&self, key: &Key) -> Option<Arc<Value>> {
        self.objects.get(key).map(Arc::clone)
    }

    /// All objects of a kind, by namespace and name.
    pub(super) fn list(&self, kind: Kind) -> Vec<Arc<Value>> {
        let first = Key { kind, namespace: String::new(), name: String::new() };
        let from = self.objects.range(first..).take_while(|(key, _)| key.kind == kind);
        from.map(|(_, object)| Arc::clone(object)).collect()
    }

    pub(super) fn pods(&self) -> Vec<Arc<Value>> {
        self.list(Kind::Workload(WorkloadKind::Pod))
    }

    pub(super) fn objects(&self) -> &Objects {
        &self.objects
    }

    /// The class a claim gets that names none: the newest of the default ones, of equally
    /// new ones the first by name.
    pub(super) fn default_class(&self) -> Option<String> {
        let classes = self.list(Kind::Class);
        let mut newest: Option<&Arc<Value>> = None;
        for class in &classes {
            let created = |class: &Value| text(class, "/metadata/creationTimestamp").to_owned();
            let is_default = class["metadata"]["annotations"][DEFAULT_CLASS] == "true";
            if is_default && newest.is_none_or(|newest| created(class) > created(newest)) {
                newest = Some(class);
            }
        }
        newest.map(|class| name(class).to_owned())
    }

    pub(super) fn create(&mut self, user: &str, mut object: Value) -> Result<Key, Refused> {
        let key = key(&object);
        if self.objects.contains_key(&key) {
            return Err(Refused::Exists);
        }
        let kind = key.kind;
        if kind == Kind::Claim {
            self.complete_claim(&mut object);
        }
        let metadata = &mut object["metadata"];
        metadata["uid"] = json!(format!("uid-{}", self.written));
        metadata["creationTimestamp"] = json!(self.now.to_string());
        if let Kind::Workload(WorkloadKind::Pod) | Kind::Volume = kind {
            object["status"] = json!({"phase": "Pending"});
        }
        self.admit(user, Verb::Create, None, Some(&object))?;
        self.store(object);
        Ok(key)
    }

    /// What the API server adds to a claim: the default class
    /// (`plugin/pkg/admission/storage/storageclass/setdefault`) and its protection.
    fn complete_claim(&self, claim: &mut Value) {
        let asks_for_none = claim["metadata"]["annotations"][LEGACY_CLASS].is_null()
            && claim["spec"]["storageClassName"].is_null();
        if asks_for_none && let Some(class) = self.default_class() {
            claim["spec"]["storageClassName"] = json!(class);
        }
        claim["metadata"]["finalizers"] = json!(["kubernetes.io/pvc-protection"]);
    }

    /// Stores another state of an object, if it is one.
    pub(super) fn update(&mut self, user: &str, new: Value) -> Result<(), Refused> {
        let old = self.find(&key(&new)).ok_or(Refused::Missing)?;
        if *old == new {
            return Ok(());
        }
        if !validation::may_become(&old, &new) {
            return Err(Refused::Invalid);
        }
        self.turns_critical = is_labelled(&new) && !is_labelled(&old);
        let admitted = self.admit(user, Verb::Update, Some(&old), Some(&new));
        self.turns_critical = false;
        admitted?;
        self.store(new);
        Ok(())
    }

    pub(super) fn patch(&mut self, user: &str, key: &Key, patch: &Value) -> Result<(), Refused> {
        let old = self.find(key).ok_or(Refused::Missing)?;
        let mut new = Value::clone(&old);
        merge(&mut new, patch);
        self.update(user, new)
    }

    /// Sets the phase of an object, which no webhook hears of.
    pub(super) fn set_phase(&mut self, object: &Value, phase: &str) {
        if text(object, "/status/phase") != phase {
            let mut object = object.clone();
            object["status"]["phase"] = json!(phase);
            self.store(object);
        }
    }

    /// Writes the sub-resource `scale`. The guard judges the workload that it makes.
    pub(super) fn scale(&mut self, user: &str, key: &Key, replicas: u8) -> Result<(), Refused> {
        let old = self.find(key).ok_or(Refused::Missing)?;
        if old["spec"]["replicas"] == replicas {
            return Ok(());
        }
        let mut new = Value::clone(&old);
        new["spec"]["replicas"] = json!(replicas);
        if self.is_asked(key)? {
            let Ok(Object::Workload(live)) = Object::read(key.kind, &*old) else {
                return Err(Refused::Invalid);
            };
            let change = Change::Update {
                new: Object::Workload(live.clone().scaled(replicas.into())),
                old: Object::Workload(live),
                texts: Texts::default(),
            };
            self.ask(user, key, change, true)?;
        } else {
            self.remember(user, key, self.unseen());
        }
        self.store(new);
        Ok(())
    }

    /// Deletes an object, or marks it as going while somebody holds it.
    pub(super) fn delete(&mut self, user: &str, key: &Key) -> Result<(), Refused> {
        let old = self.find(key).ok_or(Refused::Missing)?;
        self.admit(user, Verb::Delete, Some(&old), None)?;
        let held = match key.kind {
            Kind::Claim => true,
            // `kubernetes.io/pv-protection`.
            Kind::Volume => text(&old, "/status/phase") == "Bound",
            _ => false,
        };
        if !held {
            self.remove(key);
        } else if !is_going(&old) {
            let mut going = Value::clone(&old);
            going["metadata"]["deletionTimestamp"] = json!(self.now.to_string());
            self.store(going);
        }
        Ok(())
    }

    /// Takes an object away that nobody holds any more.
    pub(super) fn remove(&mut self, key: &Key) {
        if let Some(object) = self.objects.remove(key) {
            let facts = Object::read(key.kind, &*object).expect("was read when it was stored");
            self.facts.remove(&facts.into_stored(&mut self.strings));
            self.written += 1;
        }
    }

    pub(super) fn store(&mut self, mut object: Value) {
        self.written += 1;
        object["metadata"]["resourceVersion"] = json!(self.written.to_string());
        let key = key(&object);
        let facts = Object::read(key.kind, &object).expect("is a valid object");
        self.facts.insert(facts.into_stored(&mut self.strings));
        self.objects.insert(key, Arc::new(object));
    }

    fn admit(
        &mut self,
        user: &str,
        verb: Verb,
        old: Option<&Value>,
        new: Option<&Value>,
    ) -> Result<(), Refused> {
        let object = new.or(old).expect("a write has an object");
        let key = key(object);
        if !matches_conditions(key.kind, verb, old, new) {
            if let (Some(old), Some(new)) = (old, new)
                && controller(old).is_none()
                && controller(new).is_some()
            {
                self.remember(user, &key, Seen::NotAsked);
            }
            return Ok(());
        }
        if !self.is_asked(&key)? {
            self.remember(user, &key, self.unseen());
            return Ok(());
        }
        let read = |object| Object::read(key.kind, object).map_err(|_| Refused::Invalid);
        let change = match (old, new) {
            (None, Some(new)) => Change::Create(read(new)?),
            (Some(old), Some(new)) => {
                Change::Update { new: read(new)?, old: read(old)?, texts: Texts::default() }
            }
            (_, None) => Change::Delete(read(object)?),
        };
        self.ask(user, &key, change, false)
    }

    /// Whether the guard answers.
    fn is_asked(&self, key: &Key) -> Result<bool, Refused> {
        let critical = key.kind.scope() == Scope::Namespaced
            && self
                .get(Kind::Namespace, "", &key.namespace)
                .is_some_and(|namespace| label(&namespace, CRITICAL_LABEL) == "true");
        match self.presence {
            Presence::Up => Ok(true),
            Presence::Down if critical && self.fails_closed => Err(Refused::NoGuard),
            Presence::Absent | Presence::Down => Ok(false),
        }
    }

    fn ask(
        &mut self,
        user: &str,
        key: &Key,
        change: Change<'_>,
        scale: bool,
    ) -> Result<(), Refused> {
        let namespace = key.namespace.as_str().into();
        let subject = Subject { gate: Gate::Validating, change, namespace, user: user.into() };
        let verdict = self.guard.judge(&Asked {
            subject: &subject,
            scale,
            cluster: &self.facts,
            policy: self.policy,
            now: self.now,
        });
        if verdict.effect() == Effect::Deny {
            self.history.denied += 1;
            return Err(Refused::Denied);
        }
        self.remember(user, key, Seen::judged(&verdict));
        Ok(())
    }

    /// What becomes of a write that the guard would have judged.
    fn unseen(&self) -> Seen {
        if self.presence == Presence::Absent { Seen::BeforeTheGuard } else { Seen::WhileDown }
    }

    fn remember(&mut self, user: &str, key: &Key, seen: Seen) {
        let (user, key) = (user.to_owned(), key.clone());
        let Self { operation, turns_critical, .. } = *self;
        self.history.writes.push(Write { operation, user, key, turns_critical, seen });
    }
}

/// Whether the webhook's rules and match conditions let the write through to the guard
/// (the chart's `nfs-guard.validatingEntry`).
fn matches_conditions(kind: Kind, verb: Verb, old: Option<&Value>, new: Option<&Value>) -> bool {
    let mut rules = CriticalOnNfs.reads(Gate::Validating).iter();
    if !rules.any(|reads| reads.kind == kind && reads.operations.contains(&verb)) {
        return false;
    }
    match (old, new) {
        (Some(old), Some(new)) => {
            let differs = |pointer| at(old, pointer) != at(new, pointer);
            !is_going(old)
                && ["/spec", "/metadata/labels", "/metadata/annotations"].into_iter().any(differs)
        }
        _ => true,
    }
}

/// The reference that makes `owner` the controller of what carries it.
pub(super) fn owned_by(owner: &Value) -> Value {
    json!([{
        "apiVersion": owner["apiVersion"], "kind": owner["kind"], "name": name(owner),
        "uid": uid(owner), "controller": true,
    }])
}

/// The key of something in the namespace of `object`.
pub(super) fn beside(object: &Value, kind: Kind, name: &str) -> Key {
    Key { kind, namespace: namespace(object).into(), name: name.into() }
}
