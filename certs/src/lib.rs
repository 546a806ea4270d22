//! Certificates of nfs-guard: what the webhook serves, and what the API server
//! is told to trust.
//!
//! * [`issue`] makes a certificate authority and a server certificate it signed;
//!   together they are [`Material`].
//! * [`plan`] decides, from values alone, whether stored material still serves.
//! * [`Store`] keeps the material in one Secret which all replicas share, by
//!   compare-and-swap, so that they agree without electing a leader.
//! * [`Slot`] serves it over TLS and lets it be swapped under a running server.
//! * [`publish`] writes the CA bundle into a webhook configuration of either kind.

mod apiserver;
mod ca_bundle;
mod issue;
mod material;
mod names;
mod plan;
mod slot;
mod store;

#[cfg(test)]
mod fake_apiserver;

pub use ca_bundle::{Configuration, PublishError, Published, publish};
pub use issue::{IssueError, issue};
pub use material::{Material, MaterialError};
pub use names::{NamesError, ServerNames};
pub use plan::{Plan, Reason, plan};
pub use slot::{Slot, server_config};
pub use store::{Store, StoreError};
