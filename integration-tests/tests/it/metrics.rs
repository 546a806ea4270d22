//! The metrics, as Prometheus reads them.

use std::{
    collections::BTreeSet,
    env,
    io::{self, Write as _},
    path::Path,
    process::Command,
    sync::Arc,
    time::Duration,
};

use nfs_guard::{audit::audit, cluster::View, metrics::Metrics, reviewer::Reviewer};
use nfs_guard_integration_tests::{Harness, Ran, binaries, http};
use nfs_guard_policies::{Gate, Policy, Snapshot};
use serde_json::json;

use crate::{
    embedded::{Embedded, set_on_nfs},
    manifests::{CRITICAL, apply_denied_warned_and_added_to},
};

/// promtool, or nothing where it cannot be built, which a person is told. With
/// `REQUIRE_ALL` set, as in CI, the test fails.
fn promtool() -> Option<&'static Path> {
    let missing = match binaries::promtool() {
        Ok(path) => return Some(path),
        Err(error) => format!("skipped: {error:#}"),
    };
    assert!(env::var_os("REQUIRE_ALL").is_none(), "{missing}");
    // `eprintln!` would be kept from whoever sees the test pass.
    let mut stderr = io::stderr();
    writeln!(stderr, "{missing}").unwrap();
    None
}

/// Passes if promtool finds nothing wrong with those metrics, which are to
/// include what is listed.
fn check(promtool: &Path, metrics: &str, seen: &[&str]) {
    for seen in seen {
        assert!(metrics.contains(seen), "no {seen} in {metrics}");
    }
    let ran = Ran::new(Command::new(promtool).args(["check", "metrics"]), metrics);
    assert_eq!((ran.code, &*ran.stdout, &*ran.stderr), (0, "", ""), "{ran}\n{metrics}");
}

#[test]
fn promtool_finds_nothing_wrong_with_the_guard_of_a_cluster() {
    let Some(promtool) = promtool() else { return };
    let cluster = Harness::shared();
    let namespace = cluster.namespace("promtool", CRITICAL);
    apply_denied_warned_and_added_to(&namespace.kubectl());
    let seen = [
        "nfs_guard_findings_total{rule=\"critical-on-nfs\",decision=\"deny\"}",
        "nfs_guard_findings_total{rule=\"critical-on-nfs\",decision=\"warn\"}",
        "nfs_guard_findings_total{rule=\"fs-group-change-policy\",decision=\"patch\"}",
        "nfs_guard_look_ups_total{kind=\"StorageClass\",result=\"absent\"}",
        "nfs_guard_watch_last_event_timestamp_seconds{kind=\"Namespace\"}",
    ];
    let (_, metrics) = http::get(&format!("{}/metrics", cluster.guard().admin_url()));
    check(promtool, &metrics, &seen);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn promtool_finds_nothing_wrong_with_a_guard_that_has_seen_faults() {
    let Some(promtool) = promtool() else { return };
    let mut guard = Embedded::start(&["env"], &[]);
    guard.denied(&set_on_nfs("vault", 1)).await;
    for (content_type, body) in [("application/json", "no review"), ("text/yaml", "{}")] {
        let (status, _) = guard.client.post(content_type, body).await.unwrap();
        assert!(status.is_client_error(), "{status}");
    }
    let seen = [
        "nfs_guard_reviews_total{webhook=\"validating\",kind=\"StatefulSet\",operation=\"CREATE\",decision=\"deny\"} 1\n",
        "nfs_guard_faults_total{fault=\"not_a_review\"} 1\n",
        "nfs_guard_faults_total{fault=\"content_type\"} 1\n",
        "nfs_guard_connections{listener=\"reviews\"} ",
        "nfs_guard_config_info{fingerprint=\"e3b0c44298fc1c14\"} 1\n",
        "\nprocess_resident_memory_bytes ",
    ];
    check(promtool, &guard.metrics(), &seen);
    guard.stop();
}

#[test]
fn the_alerts_in_the_documents_are_rules() {
    let Some(promtool) = promtool() else { return };
    let alerts = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/alerts.yaml");
    let check = ["check", "rules", "--lint=all", "--lint-fatal", alerts];
    Ran::new(Command::new(promtool).args(check), "").expect_success();
    let tests = concat!(env!("CARGO_MANIFEST_DIR"), "/promtool/alerts-test.yaml");
    Ran::new(Command::new(promtool).args(["test", "rules", tests]), "").expect_success();
}

#[tokio::test]
async fn ten_thousand_names_add_no_series() {
    let metrics = Arc::new(Metrics::default());
    let (audit, _writer) = audit(Arc::clone(&metrics));
    let cluster = Snapshot::complete();
    let view = View::fixed(cluster.clone());
    let reviewer = Reviewer::new(Policy::default(), view, audit, Arc::clone(&metrics));
    let ask = async |number: usize| {
        let mut review = set_on_nfs(&format!("set-{number}"), 1);
        let request = &mut review["request"];
        request["namespace"] = json!(format!("namespace-{number}"));
        request["userInfo"]["username"] = json!(format!("user-{number}"));
        request["object"]["metadata"]["labels"] = json!({"nfs-guard.io/critical": "true"});
        let volume = &mut request["object"]["spec"]["template"]["spec"]["volumes"][0];
        volume["name"] = json!(format!("volume-{number}"));
        volume["nfs"]["server"] = json!(format!("server-{number}"));
        for gate in [Gate::Mutating, Gate::Validating] {
            let body = review.to_string();
            reviewer.review(gate, body.as_bytes(), Duration::from_secs(10)).await.unwrap();
            // What is no review at all may name things too.
            let body = body.replacen("admission.k8s.io/v1", &format!("group-{number}"), 1);
            let fault = reviewer.review(gate, body.as_bytes(), Duration::from_secs(10)).await;
            metrics.fault(&fault.unwrap_err());
        }
    };
    let series = || {
        let text = metrics.render(&cluster, 0);
        let samples = text.lines().filter(|line| !line.starts_with('#'));
        samples.map(|line| line.rsplit_once(' ').unwrap().0.to_owned()).collect::<BTreeSet<_>>()
    };
    ask(0).await;
    let one = series();
    assert!(one.len() > 30, "{one:?}");
    for number in 1..10_000 {
        ask(number).await;
    }
    assert_eq!(series(), one);
    let counted = "nfs_guard_findings_total{rule=\"critical-on-nfs\",decision=\"deny\"} 10000\n";
    assert!(metrics.render(&cluster, 0).contains(counted), "every one was judged");
}
