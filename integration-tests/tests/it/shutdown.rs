//! How the process ends.

use std::{
    io::{BufRead as _, BufReader},
    process::Command,
    time::{Duration, Instant},
};

use nfs_guard_integration_tests::{binaries, http, process::Process};
use serde_json::Value;

/// Far more than an end "at once" takes, far less than the drain it cuts short.
const AT_ONCE: Duration = Duration::from_secs(10);

#[test]
fn sigterm_drains_and_a_second_signal_ends_at_once() {
    let logs = tempfile::tempdir().unwrap();
    let mut command = Command::new(binaries::nfs_guard().unwrap());
    command.args(["serve", "--embedded", "--listen", "127.0.0.1:0"]).args([
        "--admin-listen",
        "127.0.0.1:0",
        "--shutdown-delay",
        "60",
    ]);
    let (mut guard, output) = Process::start_piped("embedded", &command, logs.path()).unwrap();
    let mut first = String::new();
    BufReader::new(output).read_line(&mut first).unwrap();
    let first: Value = serde_json::from_str(&first).unwrap();
    assert_eq!(first["event"], "serving", "{first}");
    let ready = format!("{}/readyz", first["admin"].as_str().unwrap());
    assert_eq!(http::get(&ready).0, 200);

    guard.terminate().unwrap();
    http::wait_until_not_ready(&ready);
    guard.check_running().expect("it goes on serving for a minute");

    let asked = Instant::now();
    guard.terminate().unwrap();
    let status = guard.wait(AT_ONCE).unwrap();
    assert!(asked.elapsed() < AT_ONCE, "{:?}", asked.elapsed());
    assert_eq!(status.code(), Some(1), "cut short, so not in good order");
}
