//! The image as `make image` wrote it: whether its files are what they say they
//! are, and whether its program runs where there is nothing else. `make test-image`
//! runs it; `make test` does not, as the image takes a release build.
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

mod empty_root;
mod layout;
mod name_server;
mod program;
mod rights;
mod tls_listener;

use std::path::PathBuf;

/// Where `make image` writes.
fn folder() -> PathBuf {
    let target = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    target.parent().unwrap().join("image")
}
