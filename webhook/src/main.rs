//! The `nfs-guard` command.

use std::process::ExitCode;

use clap::Parser as _;
use nfs_guard::cli::{Command, run};

fn main() -> ExitCode {
    let command = Command::parse();
    // kube takes the process's provider; our own TLS names it explicitly.
    rustls::crypto::ring::default_provider()
        .install_default()
        .expect("nothing installed a provider before main");
    run(command)
}
