//! How the process ends.

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use nfs_guard_integration_tests::binaries;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::http;

#[test]
fn sigterm_drains_and_a_second_signal_ends_at_once() {
    let mut guard = Guard::start();
    guard.signal(Signal::TERM);
    // Events, not the clock, say when readiness has gone.
    while http::get(&format!("{}/readyz", guard.admin)).0 == 200 {}
    assert!(guard.child.try_wait().unwrap().is_none(), "it goes on serving for a minute");
    let asked = Instant::now();
    guard.signal(Signal::TERM);
    let status = guard.wait();
    assert!(asked.elapsed() < Duration::from_secs(10), "{:?}", asked.elapsed());
    assert_eq!(status.code(), Some(1), "cut short, so not in good order");
}

/// A guard that would take a minute to drain.
struct Guard {
    child: Child,
    admin: String,
}

impl Guard {
    fn start() -> Self {
        let mut child = Command::new(binaries::nfs_guard().unwrap())
            .args(["serve", "--embedded", "--listen", "127.0.0.1:0"])
            .args(["--admin-listen", "127.0.0.1:0", "--shutdown-delay", "60"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut first = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
        let first: Value = serde_json::from_str(&first).unwrap();
        assert_eq!(first["event"], "serving", "{first}");
        Self { child, admin: first["admin"].as_str().unwrap().to_owned() }
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    fn wait(&mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        // Already gone, unless the test failed before that.
        let _ = self.child.kill();
    }
}
