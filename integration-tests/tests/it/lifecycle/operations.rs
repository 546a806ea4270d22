//! The runbook, typed in from its first line to its last.

use std::{io::Write as _, time::Instant};

use nfs_guard_integration_tests::{LiveCluster, User};

const RUNBOOK: &str = include_str!("../../../../docs/operations.md");

#[test]
fn every_command_of_the_runbook_does_what_it_says() {
    let cluster = LiveCluster::take();
    // It begins on a cluster that has never seen the guard.
    cluster.helm("uninstall", &["--wait", "--ignore-not-found"]).expect_success();
    let admin = cluster.control_plane().kubectl(User::Admin);
    let gone = ["delete", "namespace", LiveCluster::NAME, "--ignore-not-found", "--wait"];
    admin.run(&gone).expect_success();

    let shell = cluster.shell().unwrap();
    let started = Instant::now();
    let blocks = blocks();
    for block in &blocks {
        let ran = shell.run(block);
        assert!(ran.succeeded(), "{block}\n{ran}");
        if block.contains("name: on-nfs") {
            assert!(ran.stderr.contains("Warning: critical-on-nfs"), "{ran}");
        }
    }
    assert!(blocks.len() > 10, "the runbook has commands");
    let _ = writeln!(
        std::io::stderr(),
        "runbook: {} blocks run in {:.0?}",
        blocks.len(),
        started.elapsed()
    );
}

/// What is to be typed in, in order.
fn blocks() -> Vec<&'static str> {
    let rest = RUNBOOK.split("```sh\n").skip(1);
    rest.map(|block| block.split_once("```").expect("a block ends").0).collect()
}
