//! nfs-guard: keeps critical Kubernetes workloads off NFS.
//!
//! Around the one decision engine (`nfs-guard-policies`) lie the admission
//! server, its view of the cluster, the audit log, the metrics and the command
//! line.

pub mod audit;
pub mod cli;
pub mod client;
pub mod cluster;
pub mod config;
pub mod exemption;
pub mod fault;
mod incident;
mod manifest;
pub mod metrics;
pub mod report;
mod review;
pub mod reviewer;
pub mod server;

pub use review::Answer;
