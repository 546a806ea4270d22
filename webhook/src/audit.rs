//! The audit log: one JSON line for every decision but the plain allow of what
//! is not critical, each sealed with the hash of the line before.
//!
//! Admission makes a record and queues it ([`Audit`]); a thread of its own seals
//! it and writes it out ([`AuditWriter`]), to standard output or to a file that
//! is rotated ([`LogFile`]). [`verify`] and [`show`] read what was written.

mod chain;
mod file;
mod queue;
mod record;
pub mod show;
pub mod verify;
mod writer;

pub use chain::Digest;
pub use file::{LogFile, OpenError, Rotation};
pub use queue::{Audit, audit};
pub use record::{Decision, Line};
pub use writer::{AuditWriter, Log, Origin};

pub(crate) use chain::write_hex;

#[cfg(test)]
mod tests;
