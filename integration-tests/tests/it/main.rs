//! The end-to-end tests, in one binary so that all of them share one control plane.
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::print_stdout, reason = "figures are shown with --nocapture")]

mod audit;
mod chart;
mod command_line;
mod control_plane;
mod documents;
mod edge;
mod embedded;
mod enforcement;
mod exemptions;
mod faults;
mod fs_group;
mod fuzz;
mod kinds;
mod kube_audit;
mod lifecycle;
mod manifests;
mod metrics;
mod model;
mod mutating;
mod oracle;
mod outage;
mod parts;
mod rotation;
mod scan;
mod self_test;
mod server;
mod shutdown;
mod tls;
mod volumes;
