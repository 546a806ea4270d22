//! A guard that needs no cluster, as a process of its own.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _},
    path::{Path, PathBuf},
    process::{ChildStdout, Command},
    time::Duration,
};

use hyper::StatusCode;
use nfs_guard::client::ReviewClient;
use nfs_guard_integration_tests::{binaries, http, process::Process};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Far longer than an answer takes, in order that what hangs is seen to.
const DEADLINE: Duration = Duration::from_secs(20);

/// `nfs-guard serve --embedded`, which judges in the incident's cluster.
pub(crate) struct Embedded {
    pub(crate) process: Process,
    /// Standard output from its second line on.
    pub(crate) output: BufReader<ChildStdout>,
    pub(crate) client: ReviewClient,
    admin: String,
    folder: TempDir,
}

impl Embedded {
    /// Starts it with those arguments besides, under a command that becomes it.
    pub(crate) fn start(under: &[&str], arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ca = folder.path().join("ca.crt");
        let program = binaries::nfs_guard().unwrap().to_str().unwrap();
        let words = [under, &[program, "serve", "--embedded"], arguments].concat();
        let mut command = Command::new(words[0]);
        command
            .args(&words[1..])
            .args(["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--ca-out"])
            .arg(&ca)
            .env("POD_NAME", "guard-0");
        let (process, output) = Process::start_piped("embedded", &command, folder.path()).unwrap();
        let mut output = BufReader::new(output);
        let mut first = String::new();
        output.read_line(&mut first).unwrap();
        let first: Value = serde_json::from_str(&first)
            .unwrap_or_else(|_| panic!("it did not start\n{}", process.log_tail()));
        let text = |key: &str| first[key].as_str().unwrap().to_owned();
        let client = ReviewClient::new(&text("url"), &fs::read_to_string(ca).unwrap()).unwrap();
        Self { process, output, client, admin: text("admin"), folder }
    }

    /// Asks for a judgement, which must be a denial.
    pub(crate) async fn denied(&self, review: &Value) {
        let answer = self.client.post("application/json", review.to_string());
        let answer = tokio::time::timeout(DEADLINE, answer).await.expect("it answers");
        let (status, answer) = answer.unwrap();
        assert_eq!(status, StatusCode::OK);
        let answer: Value = serde_json::from_slice(&answer).unwrap();
        assert_eq!(answer["response"]["allowed"], false, "{answer}");
    }

    /// All metrics.
    pub(crate) fn metrics(&self) -> String {
        http::get(&format!("{}/metrics", self.admin)).1
    }

    /// The value of a metric without labels.
    pub(crate) fn metric(&self, name: &str) -> u64 {
        let metrics = self.metrics();
        let value = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.unwrap_or_else(|| panic!("no {name} in {metrics}")).parse().unwrap()
    }

    /// What it wrote to standard error.
    pub(crate) fn log(&self) -> PathBuf {
        self.process.log().to_owned()
    }

    /// A folder that goes with it.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Asks it to end, waits until it has, and returns the rest of its output.
    pub(crate) fn stop(&mut self) -> String {
        self.process.terminate().unwrap();
        let mut rest = String::new();
        self.output.read_to_string(&mut rest).unwrap();
        let status = self.process.wait(Duration::from_secs(20)).unwrap();
        assert_eq!(status.code(), Some(0), "{}", self.process.log_tail());
        rest
    }
}

/// A review of the CREATE of a critical set with that many volumes on NFS.
pub(crate) fn set_on_nfs(name: &str, volumes: usize) -> Value {
    let volume = |number| {
        let path = format!("/srv/nfs/{}", "x".repeat(100));
        json!({"name": format!("volume-{number}"), "nfs": {"server": "192.168.1.127", "path": path}})
    };
    let volumes: Vec<_> = (0..volumes).map(volume).collect();
    json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": name,
            "kind": {"group": "apps", "version": "v1", "kind": "StatefulSet"},
            "namespace": "vault",
            "operation": "CREATE",
            "userInfo": {"username": "developer", "groups": ["vault-team", "system:authenticated"]},
            "object": {
                "metadata": {"name": name},
                "spec": {"template": {"spec": {"volumes": volumes}}},
            },
        },
    })
}
