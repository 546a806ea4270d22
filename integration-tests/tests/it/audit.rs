//! The audit log, when the disk is full, cannot be written or is slow; and what
//! can be done with it.

use std::{
    fs,
    io::BufRead as _,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use nfs_guard_integration_tests::{
    Ran, binaries,
    wait::{Progress, wait_for},
};
use rustix::process::{Pid, Resource, Rlimit, geteuid, prlimit};
use serde_json::{Value, json};

use crate::embedded::{Embedded, set_on_nfs};

/// Far longer than anything waited for here takes.
const DEADLINE: Duration = Duration::from_mins(1);

/// Enough for records as long as they get.
const VOLUMES: usize = 100;

fn nfs_guard(arguments: &[&str]) -> Ran {
    let mut command = Command::new(binaries::nfs_guard().unwrap());
    Ran::new(command.args(arguments), "")
}

/// What `audit verify` says of that file, and its exit code.
fn verify(path: &Path) -> (i32, Value) {
    let ran = nfs_guard(&["audit", "verify", "-o", "json", path.to_str().unwrap()]);
    let report = serde_json::from_str(&ran.stdout).unwrap_or_else(|_| panic!("{ran}"));
    (ran.code, report)
}

/// How many decisions are in that text.
fn decisions(text: &str) -> u64 {
    text.lines().filter(|line| line.starts_with("{\"event\":\"decision\",")).count() as u64
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_costs_records_and_no_decision_and_the_chain_says_how_many() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.jsonl");
    // Beyond the limit of a file's size the kernel takes a part of a write, then
    // none, as on a full disk; the signal that goes with it would end the process.
    let under = ["env", "--ignore-signal=XFSZ"];
    let mut guard = Embedded::start(&under, &["--audit-log", path.to_str().unwrap()]);
    guard.denied(&set_on_nfs("first", VOLUMES)).await;
    wait_for("the first record", DEADLINE, || {
        let text = fs::read_to_string(&path)?;
        Ok(if decisions(&text) == 1 { Progress::Done(()) } else { Progress::NotYet(text) })
    })
    .unwrap();

    let room = 1000;
    let size = fs::metadata(&path).unwrap().len();
    limit_files(&guard, Some(size + room));
    let mut asked = 1;
    while guard.metric("nfs_guard_audit_dropped_total") < 10 {
        guard.denied(&set_on_nfs(&format!("set-{asked}"), VOLUMES)).await;
        asked += 1;
    }
    assert!(guard.metric("nfs_guard_audit_write_errors_total") > 0);
    let (code, report) = verify(&path);
    assert_eq!(code, 0, "half a line is no change: {report}");
    assert_eq!(report["torn"].as_array().unwrap().len(), 1, "{report}");
    assert_eq!(fs::metadata(&path).unwrap().len(), size + room, "the disk is full");

    limit_files(&guard, None);
    wait_for("the record of what was lost", DEADLINE, || {
        let text = fs::read_to_string(&path)?;
        let told = text.contains("{\"event\":\"dropped\",");
        Ok(if told { Progress::Done(()) } else { Progress::NotYet(text.len().to_string()) })
    })
    .unwrap();
    let dropped = guard.metric("nfs_guard_audit_dropped_total");
    guard.stop();
    let (code, report) = verify(&path);
    assert_eq!(code, 0, "{report}");
    assert_eq!(report["dropped"], dropped, "{report}");
    assert_eq!(report["chains"][0]["closed"], true, "{report}");
    assert_eq!(report["torn"], json!([]), "{report}");
    assert_eq!(decisions(&fs::read_to_string(&path).unwrap()) + dropped, asked);
    let log = fs::read_to_string(guard.log()).unwrap();
    for told in ["audit log cannot be written", "audit log is written again"] {
        assert_eq!(log.matches(told).count(), 1, "{told} once in {log}");
    }
}

/// Limits the size of any file the guard writes.
fn limit_files(guard: &Embedded, bytes: Option<u64>) {
    let id = Pid::from_raw(guard.process.id().try_into().unwrap());
    let limit = Rlimit { current: bytes, maximum: None };
    prlimit(id, Resource::Fsize, limit).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_output_that_nobody_reads_slows_no_decision() {
    let mut guard = Embedded::start(&["env"], &[]);
    let mut line = String::new();
    guard.output.read_line(&mut line).unwrap();
    assert!(line.starts_with("{\"event\":\"opened\","), "{line}");
    let mut asked = 0;
    let mut read = Vec::new();
    let mut text = line.clone();
    for _ in 0..50 {
        read.push(timed(&guard, &mut asked).await);
        line.clear();
        guard.output.read_line(&mut line).unwrap();
        assert!((10_000..16 << 10).contains(&line.len()), "{}", line.len());
        text.push_str(&line);
    }
    // From here on nobody reads: the pipe fills, and the queue behind it.
    let mut unread = Vec::new();
    while guard.metric("nfs_guard_audit_dropped_total") == 0 {
        timed(&guard, &mut asked).await;
    }
    for _ in 0..50 {
        unread.push(timed(&guard, &mut asked).await);
    }
    let (read, unread) = (median(read), median(unread));
    assert!(unread < 5 * read, "{unread:?} where it was {read:?}");

    let mut rest = String::new();
    while !rest.ends_with("}\n") || !rest.contains("{\"event\":\"dropped\",") {
        assert_ne!(guard.output.read_line(&mut rest).unwrap(), 0, "it has ended");
    }
    let dropped = guard.metric("nfs_guard_audit_dropped_total");
    text.push_str(&rest);
    text.push_str(&guard.stop());
    let path = guard.folder().join("output.jsonl");
    fs::write(&path, &text).unwrap();
    let (code, report) = verify(&path);
    assert_eq!(code, 0, "{report}");
    assert_eq!(report["dropped"], dropped, "{report}");
    assert_eq!(decisions(&text) + dropped, asked);
}

/// How long one denial takes.
async fn timed(guard: &Embedded, asked: &mut u64) -> Duration {
    let review = set_on_nfs(&format!("set-{asked}"), VOLUMES);
    *asked += 1;
    let started = Instant::now();
    guard.denied(&review).await;
    started.elapsed()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

#[test]
fn a_file_that_cannot_be_written_is_bad_input() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.jsonl");
    fs::write(&path, "").unwrap();
    let mut permissions = fs::metadata(&path).unwrap().permissions();
    permissions.set_readonly(true);
    fs::set_permissions(&path, permissions).unwrap();
    let program = binaries::nfs_guard().unwrap();
    let missing = folder.path().join("missing/audit.jsonl");
    for (path, expected) in [
        (&path, "let the guard write there"),
        (&missing, "let the guard write there"),
        (&folder.path().to_owned(), "let the guard write there"),
        (&"/dev/null".into(), "is no regular file"),
    ] {
        // Root may write any file, unless it gives that right away.
        let mut command = if geteuid().is_root() {
            let mut command = Command::new("setpriv");
            command.args(["--bounding-set", "-all", "--inh-caps", "-all"]).arg(program);
            command
        } else {
            Command::new(program)
        };
        let ran = Ran::new(command.args(["serve", "--embedded", "--audit-log"]).arg(path), "");
        assert_eq!(ran.code, 2, "{ran}");
        assert!(ran.stderr.starts_with(&format!("error: {}: ", path.display())), "{ran}");
        assert!(ran.stderr.contains(expected), "{ran}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_is_verified_and_shown_over_rotations_and_restarts() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.jsonl");
    let path = path.to_str().unwrap();
    for run in ["a", "b"] {
        let arguments =
            ["--audit-log", path, "--audit-log-max-size", "16Ki", "--audit-log-keep", "5"];
        let mut guard = Embedded::start(&["env"], &arguments);
        for number in 0..20 {
            guard.denied(&set_on_nfs(&format!("{run}-{number}"), 1)).await;
        }
        guard.stop();
    }
    let all = folder.path().to_str().unwrap();
    let ran = nfs_guard(&["audit", "verify", all]).expect_success();
    assert!(ran.stdout.contains("chains: 1, dropped: 0: whole"), "{ran}");
    assert!(fs::exists(format!("{path}.1")).unwrap(), "it was rotated");
    for line in fs::read_to_string(path).unwrap().lines() {
        let (sealed, hash) = line.split_once(",\"hash\":\"").unwrap();
        let ran = Ran::new(&mut Command::new("sha256sum"), sealed).expect_success();
        assert_eq!(ran.stdout[..64], hash[..64], "as another program has it: {line}");
    }

    let ran = nfs_guard(&["audit", "show", all]).expect_success();
    let rows: Vec<_> = ran.stdout.lines().filter(|row| row.contains("  deny  ")).collect();
    assert_eq!(rows.len(), 40, "{ran}");
    assert!(rows[0].contains("StatefulSet vault/a-0"), "the oldest first: {}", rows[0]);
    assert!(rows[39].contains("StatefulSet vault/b-19"), "{}", rows[39]);
    assert!(rows[0].contains("critical-on-nfs (deny): volume volume-0 → "), "{}", rows[0]);
    for (filter, rows) in [
        (&["--decision", "deny"][..], 40),
        (&["--decision", "warn"], 0),
        (&["--decision", "warn", "--decision", "deny"], 40),
        (&["--namespace", "va*"], 40),
        (&["--namespace", "web"], 0),
        (&["--user", "developer"], 40),
        (&["--rule", "fs-group-change-policy"], 0),
        (&["--rule", "critical-on-nfs", "--since", "1h"], 40),
        (&["--since", "2999-01-01"], 0),
    ] {
        let ran = nfs_guard(&[&["audit", "show", all, "-o", "json"], filter].concat());
        let shown = decisions(&ran.expect_success().stdout);
        assert_eq!(shown, rows, "{filter:?}");
    }

    let changed = fs::read_to_string(path).unwrap().replacen("developer", "nobody", 1);
    fs::write(path, changed).unwrap();
    let ran = nfs_guard(&["audit", "verify", all]);
    assert_eq!(ran.code, 1, "{ran}");
    let told = ran.stdout.lines().find(|line| line.starts_with(path));
    assert!(told.is_some_and(|line| line.contains(": changed: record ")), "{ran}");

    let empty = folder.path().join("empty.jsonl");
    fs::write(&empty, "").unwrap();
    for (name, path) in [("nothing in it", empty.to_str().unwrap()), ("not there", "/nonexistent")]
    {
        assert_eq!(nfs_guard(&["audit", "verify", path]).code, 2, "{name}");
    }
}
