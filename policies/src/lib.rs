//! The decision engine of nfs-guard.
//!
//! Pure: no I/O, no clock, no runtime, no Kubernetes client. What is written
//! comes in as a [`Subject`], what is around it as a [`Cluster`], what is
//! wanted as a [`Policy`]; [`decide()`] gives the [`Verdict`] and says what it
//! had to do without.

pub mod backing;
pub mod binding;
pub mod catalogue;
pub mod cluster;
pub mod config;
mod critical;
mod decide;
mod excuse;
pub mod facts;
mod finding;
pub mod glob;
pub mod in_tree;
mod mode;
mod ordinal;
mod overlay;
mod owners;
mod policy;
pub mod quantity;
mod ratchet;
mod resolve;
pub mod rules;
pub mod selector;
mod snapshot;
mod subject;
mod terms;
#[cfg(test)]
mod testing;
pub mod text;
mod texts;
mod verdict;

pub use cluster::{Cluster, Key, Lookup, Missed, NotSynced};
pub use config::GuardConfig;
pub use critical::Criticality;
pub use decide::{Outcome, decide};
pub use finding::{Amendment, Effect, Finding, Leniency, Wrong};
pub use policy::{Policy, RuleList};
pub use resolve::{Place, Resolver, Volume};
pub use snapshot::Snapshot;
pub use subject::{Change, Gate, Operation, Subject};
pub use texts::Texts;
pub use verdict::{Denial, MOST_TOLD, SubjectName, Unjudged, Verdict, WARNING_LENGTH};
