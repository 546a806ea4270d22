//! The decision engine of nfs-guard.
//!
//! Pure: no I/O, no clock, no runtime, no Kubernetes client. What is written
//! comes in as a [`Subject`], what is around it as a [`Cluster`], what is
//! wanted as a [`Policy`]; [`decide()`] gives the [`Verdict`] and says what it
//! had to do without.

pub mod backing;
pub mod catalogue;
pub mod cluster;
pub mod config;
mod critical;
mod decide;
pub mod facts;
pub mod glob;
pub mod in_tree;
mod policy;
mod resolve;
pub mod rules;
pub mod selector;
mod snapshot;
#[cfg(test)]
mod testing;
pub mod text;
mod verdict;

pub use cluster::{Cluster, Key, Lookup, Missed, NotSynced};
pub use config::GuardConfig;
pub use critical::Criticality;
pub use decide::{Change, Operation, Outcome, Subject, decide};
pub use policy::{Policy, RuleList};
pub use resolve::{Resolver, Volume};
pub use snapshot::Snapshot;
pub use verdict::{
    Denial, Effect, Finding, Leniency, MOST_TOLD, SubjectName, Unjudged, Verdict, WARNING_LENGTH,
};
