//! The end-to-end tests, in one binary so that all of them share one control plane.
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

mod chart;
mod command_line;
mod control_plane;
mod enforcement;
mod faults;
mod fs_group;
mod http;
mod manifests;
mod oracle;
mod outage;
mod shutdown;
