//! The rule held against random sequences of what people and clusters do.
//!
//! A sequence is drawn from a seed, and done in a [`World`] one operation after the other;
//! after each the cluster comes to rest, and is looked at ([`invariant`]): whatever critical
//! pod is on NFS there is exempt, or borne with by a rule, or reported by a scan and there for
//! a reason that the history knows. In a strict sequence there is no such reason, and so
//! there must be no such pod.
//!
//! What a pod is on, and whether it is critical, is asked of the objects by a few lines that
//! share nothing with the engine. A sequence that shows a violation is made as short as it
//! can be.

mod generate;
mod guard;
mod history;
pub mod invariant;
mod json;
pub mod operation;
mod real;
mod request;
mod run;
mod shrink;
mod simulated;
mod truth;

use std::{collections::BTreeMap, sync::Arc};

use jiff::Timestamp;
use nfs_guard_policies::{Policy, Snapshot, cluster::Key};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use self::operation::{Class, Operation};
pub use self::{
    guard::{Asked, Engine, Guard},
    history::{History, Seen, Write},
    real::Real,
    run::{
        Found, Ran, Report, Violation, policy, replay, run, run_real, search, search_real,
        search_until,
    },
    simulated::Simulated,
};

/// A cluster in which operations can be done.
pub trait World {
    /// Does one, and waits until nothing is left to do; whether that time comes.
    fn apply(&mut self, operation: &Operation) -> bool;

    /// The cluster as it is now.
    fn look(&self) -> State<'_>;
}

/// Objects by what they are called.
pub type Objects = BTreeMap<Key, Arc<Value>>;

/// A cluster at rest.
#[derive(Debug)]
pub struct State<'w> {
    /// Every object of a kind the engine knows.
    pub objects: &'w Objects,
    /// The facts of them.
    pub facts: &'w Snapshot,
    /// The policy that holds.
    pub policy: &'w Policy,
    /// The time.
    pub now: Timestamp,
    /// What was written so far.
    pub history: &'w History,
    /// Whether the guard answers.
    pub guarded: bool,
    /// Whether there is a guard.
    pub installed: bool,
}

/// What is done, and in what cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sequence {
    /// The seed it was drawn from.
    pub seed: u64,
    /// The cluster it starts in.
    pub setting: Setting,
    /// What is done.
    pub operations: Vec<Operation>,
}

/// What a sequence starts from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::struct_excessive_bools, reason = "each is one switch of a configuration")]
pub struct Setting {
    /// Whether nothing is done that could let a critical pod onto NFS: the guard is there
    /// from the start and always answers, and nothing becomes critical that is there.
    pub strict: bool,
    /// Whether writes to critical namespaces are refused while the guard is down.
    pub fails_closed: bool,
    /// Whether classes and volumes are denied that turn others to NFS.
    pub reverse_denies: bool,
    /// Whether what is on NFS must not be scaled up.
    pub scale_up_denies: bool,
    /// Whether the operator of a kind of its own is named in the configuration.
    pub knows_operator: bool,
    /// The classes there are.
    pub classes: Vec<Class>,
}
