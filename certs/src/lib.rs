//! Certificates of nfs-guard: what the webhook serves, and what the API server
//! is told to trust.
//!
//! * [`issue`] makes a certificate authority and a server certificate it signed;
//!   together they are [`Material`].
//! * [`plan`] decides, from values alone, what is next for stored material.
//! * [`Rotator`] watches the Secret that all replicas share and the webhook
//!   configurations, takes the steps by compare-and-swap, so that replicas agree without
//!   electing a leader, and writes the CA bundle where it is lacking.
//! * [`Slot`] serves the certificate over TLS and lets it be swapped under a running server.

mod apiserver;
mod bundle;
mod ca_bundle;
mod identity;
mod issue;
mod material;
mod names;
mod plan;
mod reading;
mod rotator;
mod slot;
mod store;

#[cfg(test)]
mod fake_apiserver;

pub use bundle::Bundle;
pub use ca_bundle::Configuration;
pub use identity::Identity;
pub use issue::{IssueError, Lifetimes, issue};
pub use material::Material;
pub use names::{NamesError, ServerNames};
pub use plan::{Plan, Reason, Request, Situation, Step, plan};
pub use reading::MaterialError;
pub use rotator::{Attempt, Charge, Event, Issuer, Rotator, SETTLE};
pub use slot::{NotServed, Slot, server_config};
pub use store::ROTATE;
