//! The end-to-end tests, in one binary so that all of them share one control plane.
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

mod chart;
mod control_plane;
