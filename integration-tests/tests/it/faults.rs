//! What is no decision, over real TLS: each fault has its status, nothing
//! crashes, and the next request is served.

use std::{fs::File, process::Command, time::Duration};

use hyper::StatusCode;
use nfs_guard::server::Limits;
use nfs_guard_integration_tests::{Ran, http};
use nfs_guard_policies::{
    Gate, GuardConfig, Policy, Snapshot,
    config::Rules,
    rules::{Case, CriticalOnNfs, Found, Reads, Rule, Setting},
};
use serde_json::json;

use crate::{
    embedded::Embedded,
    manifests,
    server::{Server, review},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_fault_has_its_status_and_the_next_request_is_served() {
    let server = Server::start(Policy::default(), Snapshot::complete(), Limits::default());
    let good = review(&manifests::claim("data", None));
    let mut no_uid = good.clone();
    no_uid["request"]["uid"] = json!("");
    let mut no_request = good.clone();
    no_request.as_object_mut().unwrap().remove("request");
    let mut other_version = good.clone();
    other_version["apiVersion"] = json!("admission.k8s.io/v1beta1");
    let mut wrong_type = good.clone();
    wrong_type["request"]["object"]["spec"]["storageClassName"] = json!(7);
    let mut no_object = good.clone();
    no_object["request"]["object"] = json!(null);
    let mut no_old = good.clone();
    no_old["request"]["operation"] = json!("UPDATE");
    let json = "application/json";
    for (name, content_type, body, status, message) in [
        ("not JSON", json, "{".to_owned(), 400, "not an admission.k8s.io/v1 AdmissionReview"),
        ("empty", json, String::new(), 400, "not an admission.k8s.io/v1 AdmissionReview"),
        (
            "a null character",
            json,
            "\u{0}".to_owned(),
            400,
            "not an admission.k8s.io/v1 AdmissionReview",
        ),
        ("an array", json, "[]".to_owned(), 400, "not an admission.k8s.io/v1 AdmissionReview"),
        ("another version", json, other_version.to_string(), 400, "v1beta1"),
        ("no request", json, no_request.to_string(), 400, "no request"),
        ("no uid", json, no_uid.to_string(), 400, "no uid"),
        (
            "deeply nested",
            json,
            "[".repeat(1 << 20),
            400,
            "not an admission.k8s.io/v1 AdmissionReview",
        ),
        (
            "wrong type in the object",
            json,
            wrong_type.to_string(),
            422,
            "object cannot be read as PersistentVolumeClaim: spec.storageClassName: invalid type: integer, expected a string",
        ),
        (
            "no object",
            json,
            no_object.to_string(),
            422,
            "object cannot be read as PersistentVolumeClaim",
        ),
        (
            "no old object",
            json,
            no_old.to_string(),
            422,
            "oldObject cannot be read as PersistentVolumeClaim",
        ),
        ("wrong content type", "text/yaml", good.to_string(), 415, "text/yaml"),
        ("twenty megabytes", json, " ".repeat(20_000_000), 413, "larger than 19922944 bytes"),
    ] {
        let (got, answer) = server.post(content_type, body).await;
        assert_eq!(got.as_u16(), status, "{name}: {answer}");
        assert_eq!(answer["kind"], "Status", "{name}: {answer}");
        assert_eq!(answer["code"], status, "{name}: {answer}");
        let told = answer["message"].as_str().unwrap();
        assert!(told.contains(message), "{name}: {told}");
        server.assert_serves().await;
    }
    let (status, _) = server.client.post(json, vec![b'"', 0xff, b'"']).await.unwrap();
    assert_eq!(status, StatusCode::BAD_REQUEST, "not UTF-8");
    server.assert_serves().await;
    let (_, metrics) = http::get(&format!("http://{}/metrics", server.admin));
    assert!(metrics.contains("nfs_guard_faults_total{fault=\"too_large\"} 1"), "{metrics}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unsynced_caches_are_a_fault_and_not_ready() {
    let server = Server::start(Policy::default(), Snapshot::default(), Limits::default());
    let (status, answer) =
        server.post("application/json", review(&manifests::claim("data", None)).to_string()).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{answer}");
    assert!(answer["message"].as_str().unwrap().contains("caches not synced yet"), "{answer}");
    let (status, ready) = http::get(&format!("http://{}/readyz", server.admin));
    assert_eq!(status, 503);
    let kinds = "namespaces, persistentvolumeclaims, persistentvolumes, storageclasses, csidrivers, \
                 storageexemptions, statefulsets, deployments, daemonsets, replicasets, replicationcontrollers, \
                 jobs, cronjobs, pods";
    assert!(ready.contains(&format!("[-] caches not synced: {kinds}")), "{ready}");
    assert_eq!(http::get(&format!("http://{}/livez", server.admin)).0, 200);
}

/// A rule with a bug: it panics at objects called `panic`.
#[derive(Debug)]
struct Panics;

impl Rule for Panics {
    fn name(&self) -> &'static str {
        "panics"
    }

    fn reads(&self, gate: Gate) -> &'static [Reads] {
        CriticalOnNfs.reads(gate)
    }

    fn setting(&self, settings: &Rules) -> Setting {
        CriticalOnNfs.setting(settings)
    }

    fn judge(&self, case: &Case<'_>) -> Vec<Found> {
        assert!(case.object.metadata().name != *"panic", "this rule has a bug");
        Vec::new()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rule_that_panics_costs_one_request() {
    let policy = Policy::with_rules(GuardConfig::default(), &[&Panics]);
    let server = Server::start(policy, Snapshot::complete(), Limits::default());
    for _ in 0..3 {
        let body = review(&manifests::claim("panic", None)).to_string();
        let (status, answer) = server.post("application/json", body).await;
        assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR, "{answer}");
        assert!(answer["message"].as_str().unwrap().contains("a panic while judging"), "{answer}");
        server.assert_serves().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_too_much_is_shed() {
    let limits = Limits { concurrent: 0, ..Limits::default() };
    let server = Server::start(Policy::default(), Snapshot::complete(), limits);
    let body = review(&manifests::claim("data", None)).to_string();
    let (status, answer) = server.post("application/json", body).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(answer["message"].as_str().unwrap().contains("overloaded"), "{answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_engine_does_not_judge_is_allowed() {
    let server = Server::start(Policy::default(), Snapshot::complete(), Limits::default());
    let mut scale = review(&manifests::claim("data", None));
    scale["request"]["subResource"] = json!("status");
    let mut delete = review(&manifests::claim("data", None));
    delete["request"]["operation"] = json!("DELETE");
    let mut unknown = review(&json!({"anything": [1, {"at": "all"}]}));
    unknown["request"]["kind"] = json!({"group": "example.com", "version": "v1", "kind": "Widget"});
    for review in [scale, delete, unknown] {
        let (status, answer) = server.post("application/json", review.to_string()).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        assert_eq!(answer["response"]["allowed"], true, "{answer}");
        assert_eq!(answer["response"]["uid"], "a-uid", "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_fails_readiness_first_and_goes_on_serving() {
    let Server { client, admin, serving, .. } =
        Server::start(Policy::default(), Snapshot::complete(), Limits::default());
    let drain = tokio::spawn(serving.drain(Duration::from_secs(3), Duration::from_secs(5)));
    let ready = format!("http://{admin}/readyz");
    let not_ready = tokio::task::spawn_blocking(move || http::wait_until_not_ready(&ready));
    assert!(not_ready.await.unwrap().contains("[-] shutting down"));
    let body = review(&manifests::claim("data", None)).to_string();
    let (status, _) = client.post("application/json", body.clone()).await.unwrap();
    assert_eq!(status, StatusCode::OK, "not ready, and still answering");
    drain.await.unwrap().unwrap();
    assert!(client.post("application/json", body).await.is_err(), "nobody listens any more");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_nobody_reads_holds_up_no_request() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("log");
    Ran::new(Command::new("mkfifo").arg(&pipe), "").expect_success();
    // Held open, so that there is somebody who could read.
    let _log = File::options().read(true).write(true).open(&pipe).unwrap();
    let into_the_pipe = ["sh", "-c", r#"exec "$@" 2> "$0""#, pipe.to_str().unwrap()];
    let mut guard = Embedded::start(&into_the_pipe, &[]);
    // Each fault is a line of some 200 bytes. 64 KiB go into a pipe.
    let faults = async {
        for _ in 0..2000 {
            let (status, _) = guard.client.post("application/json", "no review").await.unwrap();
            assert_eq!(status, StatusCode::BAD_REQUEST);
        }
    };
    tokio::time::timeout(Duration::from_mins(1), faults).await.expect("nobody waits for the log");
    guard.stop();
}
