//! The guard's certificates on a real control plane: kept, repaired, rotated.

mod external;
mod readiness;
mod trust;

use std::{
    fs,
    net::SocketAddr,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use nfs_guard_integration_tests::{
    Guard, Harness, User,
    chart::CHART,
    http,
    wait::{Progress, wait_for},
};
use serde_json::Value;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use self::trust::{Bundles, Clients, client};
use crate::manifests::CRITICAL;

const SECRET: &str = "nfs-guard-tls";
/// The name the API server asks for.
const SERVER: &str = "nfs-guard.nfs-guard.svc";
/// What the guard repairs, it repairs upon hearing of it.
const PATIENCE: Duration = Duration::from_secs(20);

#[test]
fn what_is_blanked_or_deleted_is_there_again_while_the_guard_serves() {
    let cluster = Harness::exclusive();
    let runtime = Runtime::new().unwrap();
    let admin = cluster.kubectl(User::Admin);
    let in_own = admin.in_namespace(Guard::NAME);
    let secret = || in_own.get(&["secret", SECRET])["data"].clone();
    let before = secret();
    let kubeconfig = cluster.control_plane().credentials().kubeconfig(User::Admin);
    let bundles = Bundles::follow(&runtime, &client(&runtime, &kubeconfig), Guard::NAME);
    let repairs = || count(&cluster.guard().admin_url(), "nfs_guard_ca_bundle_repairs_total");
    let repaired = repairs();

    let blank = r#"[{"op": "remove", "path": "/webhooks/0/clientConfig/caBundle"}]"#;
    for kind in ["validating", "mutating"] {
        let configuration = format!("{kind}webhookconfiguration");
        let patch = ["patch", &configuration, Guard::NAME, "--type=json", "--patch", blank];
        admin.run(&patch).expect_success();
        let took = until("the bundle to be repaired", || {
            bundles.interruptions(kind).first().copied().ok_or_else(|| "none yet".to_owned())
        });
        println!("a blanked caBundle ({kind}) was repaired after {took:?}");
    }
    assert_eq!(repairs() - repaired, 2);

    let blank = r#"{"data": null}"#;
    in_own.run(&["patch", "secret", SECRET, "--type=merge", "--patch", blank]).expect_success();
    until("what is served to be stored again", || same(&secret(), &before));

    in_own.run(&["delete", "secret", SECRET]).expect_success();
    until("the guard to notice", || {
        let log = fs::read_to_string(cluster.guard().log()).unwrap();
        let noticed = log.contains("there is no such Secret");
        noticed.then_some(()).ok_or_else(|| "nothing in the log".to_owned())
    });
    let (status, parts) = http::get(&format!("{}/readyz", cluster.guard().admin_url()));
    assert_eq!(status, 200, "{parts}");
    assert!(parts.contains("[+] certificate valid"), "{parts}");
    upgrade(&cluster, Path::new(CHART), &[]);
    until("what is served to be stored again", || same(&secret(), &before));
    assert_eq!(bundles.trusted(Duration::ZERO).len(), 1, "the CA is the same");
}

#[test]
fn upgrades_and_rollbacks_add_and_remove_entries_and_each_has_its_bundle() {
    let cluster = Harness::exclusive();
    let admin = cluster.kubectl(User::Admin);
    let in_own = admin.in_namespace(Guard::NAME);
    let secret = || in_own.get(&["secret", SECRET])["data"].clone();
    let before = secret();
    let ca = before["ca.crt"].clone();
    let with_entry = chart_with_an_entry();
    let (plain, more) = (Path::new(CHART), with_entry.path());
    let names = |configuration: &Value| -> Vec<String> {
        let webhooks = configuration["webhooks"].as_array().unwrap();
        webhooks.iter().map(|webhook| webhook["name"].as_str().unwrap().to_owned()).collect()
    };
    let validating = || admin.get(&["validatingwebhookconfiguration", Guard::NAME]);
    let expected = names(&validating());
    let extended = [&["extra.validate.nfs-guard.io".to_owned()], &expected[..]].concat();

    let all_carry = |expected: &[String]| {
        let mut last = names(&validating());
        // Helm merges lists by name, and keeps the order of those it knows.
        last.sort();
        let mut wanted = expected.to_vec();
        wanted.sort();
        assert_eq!(last, wanted, "no entry too many, and no stub of one");
        until("every entry to carry the bundle", || {
            let webhooks = validating()["webhooks"].clone();
            let mut entries = webhooks.as_array().unwrap().iter();
            let all = entries.all(|entry| entry["clientConfig"]["caBundle"] == ca);
            all.then_some(()).ok_or_else(|| webhooks.to_string())
        });
        assert_eq!(secret(), before, "an upgrade leaves the certificate alone");
    };
    let rollback = || {
        let rollback = ["rollback", Guard::NAME, "--namespace", Guard::NAME];
        cluster.control_plane().helm().run(&rollback).expect_success();
    };
    upgrade(&cluster, more, &[]);
    all_carry(&extended);
    rollback();
    all_carry(&expected);
    rollback();
    all_carry(&extended);
    upgrade(&cluster, plain, &[]);
    all_carry(&expected);

    // Whole objects are replaced: data and bundles are blanked, and there again.
    upgrade(&cluster, plain, &["--force-replace", "--server-side=false"]);
    until("what is served to be stored again", || same(&secret(), &before));
    all_carry(&expected);
}

/// How long apiserver and replicas get; far more than they take on a busy test machine.
const SETTLE: Duration = Duration::from_secs(2);
const ROTATIONS: usize = 2;

#[test]
fn two_replicas_rotate_the_ca_twice_and_no_handshake_fails() {
    let cluster = Harness::exclusive();
    let runtime = Runtime::new().unwrap();
    let guard = cluster.guard();
    let admin = cluster.kubectl(User::Admin);
    let in_own = admin.in_namespace(Guard::NAME);
    let critical = cluster.namespace("rotation", CRITICAL);
    let kubeconfig = cluster.control_plane().credentials().kubeconfig(User::Admin);
    let bundles = Bundles::follow(&runtime, &client(&runtime, &kubeconfig), Guard::NAME);
    let settle = ["--certificate-settle", &SETTLE.as_secs().to_string()];
    guard.stop().unwrap();
    guard.start_with(&settle).unwrap();
    let replica = guard.start_replica(&settle).unwrap();

    let load = Load::default();
    for url in [&guard.url(), replica.url()] {
        let server: SocketAddr = url.split('/').nth(2).unwrap().parse().unwrap();
        runtime.spawn(load.clone().shake_hands(bundles.clone(), server));
    }
    let (mut reviews, started) = (0, Instant::now());
    for rotation in 1..=ROTATIONS {
        let before = in_own.get(&["secret", SECRET]);
        let annotate = ["annotate", "secret", SECRET, "nfs-guard.io/rotate=ca"];
        in_own.run(&annotate).expect_success();
        wait_for("the rotation to end", 4 * PATIENCE, || {
            let claim = crate::manifests::claim("data", Some("proxmox-lvm-encrypted")).to_string();
            let create = ["create", "--dry-run=server", "-f", "-"];
            critical.kubectl().feed(&create, &claim).expect_success();
            reviews += 1;
            let secret = in_own.get(&["secret", SECRET]);
            let ca_bundle = text(&secret["data"]["ca.crt"]);
            let is_over = secret["data"]["tls.crt"] != before["data"]["tls.crt"]
                && ca_bundle.matches("BEGIN CERTIFICATE").count() == 1
                && bundles.trusted(Duration::ZERO) == [ca_bundle];
            Ok(if is_over { Progress::Done(()) } else { Progress::NotYet("under way".into()) })
        })
        .unwrap();
        println!("rotation {rotation} was over after {:?}", started.elapsed());
        let secret = in_own.get(&["secret", SECRET]);
        assert_eq!(secret["metadata"]["annotations"]["nfs-guard.io/rotate"], Value::Null);
        assert_eq!(secret["data"]["next-ca.key"], Value::Null, "what signs no more is gone");
    }
    load.is_over.store(true, Ordering::Relaxed);

    let failed = load.failed.lock().unwrap();
    let handshakes = load.handshakes.load(Ordering::Relaxed);
    println!(
        "{handshakes} handshakes by bundles new and old, {} failed; {reviews} reviews by way of the \
         API server; {ROTATIONS} rotations",
        failed.len()
    );
    assert_eq!(*failed, [] as [String; 0]);
    assert!(handshakes > 500, "{handshakes} are no load");
    for step in ["publish", "serve", "retire"] {
        let series = format!("nfs_guard_certificate_steps_total{{step=\"{step}\"}}");
        let taken = count(&guard.admin_url(), &series) + count(replica.admin_url(), &series);
        assert_eq!(taken, ROTATIONS, "each {step} is taken by one of the two");
    }
    drop(replica);
    guard.stop().unwrap();
}

/// Clients without end.
#[derive(Clone, Default)]
struct Load {
    is_over: Arc<AtomicBool>,
    handshakes: Arc<AtomicUsize>,
    failed: Arc<Mutex<Vec<String>>>,
}

impl Load {
    /// One client after another, each trusting one bundle that an API server may hold.
    async fn shake_hands(self, bundles: Bundles, server: SocketAddr) {
        let mut clients = Clients::default();
        while !self.is_over.load(Ordering::Relaxed) {
            for bundle in bundles.trusted(SETTLE / 2) {
                if let Err(error) = clients.handshake(&bundle, server, SERVER).await {
                    self.failed.lock().unwrap().push(error.to_string());
                }
                self.handshakes.fetch_add(1, Ordering::Relaxed);
            }
            // Leaves the test's two cores to what is tested.
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

#[track_caller]
fn upgrade(cluster: &Harness, chart: &Path, arguments: &[&str]) {
    let upgrade = ["upgrade", Guard::NAME, chart.to_str().unwrap(), "--namespace", Guard::NAME];
    let arguments = [&upgrade, &["--reuse-values"][..], arguments].concat();
    cluster.control_plane().helm().run(&arguments).expect_success();
}

/// The chart with one more validating entry, before all others.
fn chart_with_an_entry() -> TempDir {
    let copy = tempfile::tempdir().unwrap();
    copy_folder(Path::new(CHART), copy.path());
    let path = copy.path().join("templates/validatingwebhookconfiguration.yaml");
    let template = fs::read_to_string(&path).unwrap();
    let entry = "webhooks:\n  \
                 - name: extra.validate.nfs-guard.io\n    \
                   failurePolicy: Ignore\n    \
                   namespaceSelector: {matchLabels: {nobody: has-this}}\n    \
                   {{- include \"nfs-guard.validatingEntry\" . | nindent 4 }}\n";
    let extended = template.replace("webhooks:\n", entry);
    assert_ne!(extended, template);
    fs::write(&path, extended).unwrap();
    copy
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (path, name) = entry.map(|entry| (entry.path(), entry.file_name())).unwrap();
        if path.is_dir() {
            copy_folder(&path, &to.join(name));
        } else {
            fs::copy(&path, to.join(name)).unwrap();
        }
    }
}

#[track_caller]
fn until<T>(what: &str, attempt: impl Fn() -> Result<T, String>) -> T {
    let attempt = || Ok(attempt().map_or_else(Progress::NotYet, Progress::Done));
    wait_for(what, PATIENCE, attempt).unwrap()
}

/// The value of a counter; none counts as zero.
fn count(admin_url: &str, series: &str) -> usize {
    let (_, metrics) = http::get(&format!("{admin_url}/metrics"));
    let value = metrics.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    value.map_or(0, |value| value.parse().unwrap())
}

fn same(now: &Value, before: &Value) -> Result<(), String> {
    if now == before { Ok(()) } else { Err("something else".to_owned()) }
}

/// The text of a value in a Secret's data.
fn text(base64: &Value) -> String {
    let bytes: k8s_openapi::ByteString = serde_json::from_value(base64.clone()).unwrap();
    String::from_utf8(bytes.0).unwrap()
}
