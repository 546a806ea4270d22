//! Whole rotators against an API server in memory, in paused time.

use std::collections::BTreeSet;
use std::sync::Mutex;

use hyper::{Method, StatusCode};
use jiff::SignedDuration;
use k8s_openapi::ByteString;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::*;
use crate::bundle::Bundle;
use crate::fake_apiserver::{FakeApiserver, Fate};
use crate::issue::{Issuance, issue};
use crate::material::Material;
use crate::reading::SecretData;
use crate::store::ROTATE;

const SECRET: &str = "/api/v1/namespaces/storage/secrets/nfs-guard-tls";
const VALIDATING: &str =
    "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/nfs-guard";
const MUTATING: &str =
    "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/nfs-guard";

fn names() -> ServerNames {
    ServerNames::for_service("nfs-guard", "storage").expect("valid")
}

fn both() -> Vec<Configuration> {
    let name = "nfs-guard".to_owned();
    vec![Configuration::Mutating(name.clone()), Configuration::Validating(name)]
}

/// One replica, until it is dropped.
struct Replica {
    slot: Arc<Slot>,
    task: JoinHandle<()>,
    log: Arc<Mutex<Vec<(Instant, String)>>>,
    told: watch::Receiver<()>,
}

impl Replica {
    fn start(server: &FakeApiserver) -> Self {
        Self::with(server.client(), Issuer::Guard, both())
    }

    fn with(client: Client, issuer: Issuer, configurations: Vec<Configuration>) -> Self {
        let charge = Charge {
            issuer,
            namespace: "storage".to_owned(),
            secret: "nfs-guard-tls".to_owned(),
            names: names(),
            configurations,
            lifetimes: Lifetimes::default(),
            settle: SETTLE,
        };
        let slot = Arc::new(Slot::default());
        let rotator = Rotator::new(charge, &client, client.clone(), Arc::clone(&slot));
        let log = Arc::new(Mutex::new(Vec::new()));
        let (tell, told) = watch::channel(());
        let kept = rotator.run({
            let log = Arc::clone(&log);
            move |event| {
                let event = match event {
                    Event::Serving { .. } => "serving".to_owned(),
                    Event::Took(step) => step.as_str().to_owned(),
                    Event::Published { repaired: true } => "repaired".to_owned(),
                    Event::Published { repaired: false } => "published".to_owned(),
                    Event::Trusted(bundle) => format!("trusted {}", bundle.is_some()),
                    Event::Failed(attempt) => format!("failed to {}", attempt.as_str()),
                };
                log.lock().expect("no test panics inside").push((Instant::now(), event));
                tell.send_replace(());
            }
        });
        Self { slot, task: tokio::spawn(kept), log, told }
    }

    /// What it told so far.
    fn told(&self) -> Vec<String> {
        let log = self.log.lock().expect("no test panics inside");
        log.iter().map(|(_, event)| event.clone()).collect()
    }

    /// When it told of that first.
    fn when(&self, wanted: &str) -> Instant {
        let log = self.log.lock().expect("no test panics inside");
        log.iter().find(|(_, event)| event == wanted).expect(wanted).0
    }

    /// Waits until it has told of that so often.
    async fn tells(&mut self, wanted: &str, times: usize) {
        let count = |replica: &Self| replica.told().iter().filter(|event| *event == wanted).count();
        let patience = Duration::from_hours(100);
        let told = timeout(patience, async {
            while count(self) < times {
                self.told.changed().await.expect("the replica runs");
            }
        });
        if told.await.is_err() {
            panic!("waited for {times} × {wanted:?} among {:?}", self.told());
        }
    }

    fn serves(&self, material: &Material) -> bool {
        self.slot.check(Timestamp::now()).is_ok()
            && self.slot.presents().is_some_and(|identity| *identity == *material.identity())
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A cluster with the chart installed: an empty Secret, and entries that carry nothing.
fn installed() -> FakeApiserver {
    let server = FakeApiserver::default();
    server.put(SECRET, secret(None));
    server.put(MUTATING, configuration(&[("m", "")]));
    server.put(VALIDATING, configuration(&[("a", ""), ("b", "")]));
    server
}

fn secret(data: Option<&SecretData>) -> Value {
    let metadata = json!({ "name": "nfs-guard-tls", "namespace": "storage" });
    json!({ "metadata": metadata, "type": "Opaque", "data": data })
}

/// Of either kind, with entries of these names and bundles.
fn configuration(entries: &[(&str, &str)]) -> Value {
    let entries = entries.iter().map(|(name, ca_bundle)| {
        let ca_bundle = ByteString(ca_bundle.as_bytes().to_vec());
        json!({
            "name": name,
            "admissionReviewVersions": ["v1"],
            "sideEffects": "None",
            "clientConfig": { "url": "https://guard", "caBundle": ca_bundle },
        })
    });
    json!({ "metadata": { "name": "nfs-guard" }, "webhooks": entries.collect::<Vec<_>>() })
}

/// The different bundles that the entries carry, in PEM.
fn carried(server: &FakeApiserver, path: &str) -> BTreeSet<String> {
    let object = server.object(path);
    let entries = object["webhooks"].as_array().expect("has entries");
    let bundles = entries.iter().map(|entry| {
        let bundle = entry["clientConfig"]["caBundle"].clone();
        let ByteString(pem) = serde_json::from_value(bundle).expect("is base64");
        String::from_utf8(pem).expect("is text")
    });
    bundles.collect()
}

fn all_carry(server: &FakeApiserver, bundle: &str) -> bool {
    let bundle = BTreeSet::from([bundle.to_owned()]);
    carried(server, VALIDATING) == bundle && carried(server, MUTATING) == bundle
}

fn data(material: &Material) -> SecretData {
    let mut data = SecretData::new();
    material.write_to(&mut data);
    data
}

/// What the Secret holds.
fn stored(server: &FakeApiserver) -> Material {
    let data = serde_json::from_value(server.object(SECRET)["data"].clone());
    Material::from_secret_data(&data.expect("has data")).expect("is readable")
}

fn annotate(server: &FakeApiserver, value: &str) {
    let mut secret = server.object(SECRET);
    secret["metadata"]["annotations"][ROTATE] = json!(value);
    server.put(SECRET, secret);
}

#[tokio::test(start_paused = true)]
async fn fills_an_empty_secret_and_tells_every_entry() {
    let server = installed();
    let mut replica = Replica::start(&server);
    replica.tells("trusted true", 1).await;

    let events = ["serving", "issue", "published", "published", "trusted true"];
    assert_eq!(replica.told(), events);
    let stored = stored(&server);
    assert!(replica.serves(&stored));
    assert!(all_carry(&server, stored.ca_bundle()));
    let writes = [("PUT", SECRET), ("PATCH", MUTATING), ("PATCH", VALIDATING)];
    assert_eq!(server.writes(), writes.map(|(method, path)| format!("{method} {path}")));
}

#[tokio::test(start_paused = true)]
async fn replicas_that_start_at_once_agree() {
    let server = installed();
    let mut replicas: Vec<_> = (0..5).map(|_| Replica::start(&server)).collect();
    for replica in &mut replicas {
        replica.tells("trusted true", 1).await;
    }

    let stored = stored(&server);
    assert!(all_carry(&server, stored.ca_bundle()));
    assert!(replicas.iter().all(|replica| replica.serves(&stored)));
    let told: Vec<_> = replicas.iter().flat_map(Replica::told).collect();
    assert_eq!(told.iter().filter(|event| *event == "issue").count(), 1, "{told:?}");
    assert!(!told.iter().any(|event| event.starts_with("failed")), "{told:?}");
    let puts = server.writes().iter().filter(|write| write.starts_with("PUT")).count();
    assert!(puts > 1, "they raced");
}

#[tokio::test(start_paused = true)]
async fn an_entry_that_lacks_the_bundle_gets_it_at_once() {
    for (case, path, entries) in [
        ("blanked", VALIDATING, &[("a", ""), ("b", "")][..]),
        ("with another's", VALIDATING, &[("a", "other"), ("b", "other")]),
        ("added", VALIDATING, &[("c", ""), ("a", ""), ("b", "")]),
        ("removed", MUTATING, &[]),
        ("blanked in the other", MUTATING, &[("m", "")]),
    ] {
        let server = installed();
        let mut replica = Replica::start(&server);
        replica.tells("trusted true", 1).await;
        let bundle = stored(&server).ca_bundle().to_owned();
        let happened = Instant::now();

        server.put(path, configuration(entries));
        if !entries.is_empty() {
            replica.tells("repaired", 1).await;
            assert_eq!(carried(&server, path), BTreeSet::from([bundle]), "{case}");
            assert_eq!(replica.when("repaired"), happened, "{case}: no time passes");
        }
        let told = replica.told();
        assert!(!told.iter().any(|event| event.starts_with("failed")), "{case}: {told:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_configuration_may_be_taken_away_and_come_later() {
    let server = installed();
    server.delete(MUTATING);
    let mut replica = Replica::start(&server);
    replica.tells("trusted true", 1).await;

    server.put(MUTATING, configuration(&[("m", "")]));
    replica.tells("published", 2).await;
    assert!(all_carry(&server, stored(&server).ca_bundle()));

    let server = installed();
    server.delete(VALIDATING);
    let mut replica = Replica::start(&server);
    replica.tells("published", 1).await;
    assert!(!replica.told().contains(&"trusted true".to_owned()), "nothing is guarded");
    server.put(VALIDATING, configuration(&[("a", "")]));
    replica.tells("trusted true", 1).await;
}

#[tokio::test(start_paused = true)]
async fn what_is_served_is_stored_again_if_the_secret_loses_it() {
    let server = installed();
    let mut replica = Replica::start(&server);
    replica.tells("trusted true", 1).await;
    let before = stored(&server);

    server.put(SECRET, secret(None));
    replica.tells("restore", 1).await;
    assert!(stored(&server) == before, "blanked");

    server.put(SECRET, secret(Some(&data(&before).into_iter().skip(1).collect())));
    replica.tells("restore", 2).await;
    assert!(stored(&server) == before, "without its CA");

    server.delete(SECRET);
    replica.tells("failed to read", 1).await;
    assert!(replica.serves(&before), "goes on serving");
    let writes = server.writes().len();
    server.put(SECRET, secret(None));
    replica.tells("restore", 3).await;
    assert!(stored(&server) == before, "deleted, and made anew by Helm");
    assert_eq!(server.writes().len(), writes + 1, "no entry had to be told");
}

#[tokio::test(start_paused = true)]
async fn a_rotation_waits_for_apiservers_and_for_replicas() {
    let server = installed();
    let mut replicas = [Replica::start(&server), Replica::start(&server)];
    for replica in &mut replicas {
        replica.tells("trusted true", 1).await;
    }
    let before = stored(&server);
    annotate(&server, "ca");
    // Of the two, whichever comes first takes a step.
    server.until(|server| server.object(SECRET)["metadata"]["annotations"][ROTATE].is_null()).await;
    let published = Instant::now();
    assert!(stored(&server).identity() == before.identity(), "published, not served");
    server.until(|server| stored(server).identity() != before.identity()).await;
    let served = Instant::now();
    assert!(served - published >= SETTLE, "{:?}", served - published);
    assert_eq!(stored(&server).bundle().authorities().len(), 2, "served, not retired");
    server.until(|server| stored(server).bundle().authorities().len() == 1).await;
    assert!(served.elapsed() >= SETTLE, "{:?}", served.elapsed());

    let after = stored(&server);
    assert_ne!(after.ca().certificate, before.ca().certificate);
    server.until(|server| all_carry(server, after.ca_bundle())).await;
    let told: Vec<_> = replicas.iter().flat_map(Replica::told).collect();
    for step in ["publish", "serve", "retire"] {
        assert_eq!(told.iter().filter(|event| *event == step).count(), 1, "{step}: {told:?}");
    }
    assert!(!told.iter().any(|event| event.starts_with("failed")), "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn a_rotation_survives_the_end_of_the_process_at_every_write() {
    let server = installed();
    let mut first = Replica::start(&server);
    first.tells("trusted true", 1).await;
    drop(first);
    let before = stored(&server);
    annotate(&server, "ca");

    // Each process ends at its first write, in turn before and after the API server has heard.
    let (mut deaths, mut heard) = (0, false);
    let is_over = |server: &FakeApiserver| {
        let stored = stored(server);
        stored.ca().certificate != before.ca().certificate
            && stored.bundle().authorities().len() == 1
            && all_carry(server, stored.ca_bundle())
    };
    while !is_over(&server) {
        let (client, mut ended) = server.doomed_client(Fate { write: 1, heard });
        let replica = Replica::with(client, Issuer::Guard, both());
        let dies = timeout(Duration::from_hours(100), ended.wait_for(|ended| *ended));
        dies.await.expect("it has something to write").expect("it writes");
        drop(replica);
        (deaths, heard) = (deaths + 1, !heard);
        // Whatever the moment, who trusts what any entry carries takes what is stored.
        let stored = stored(&server);
        for path in [VALIDATING, MUTATING] {
            for bundle in carried(&server, path) {
                let bundle = Bundle::parse(bundle).expect("is a bundle");
                let mut authorities = bundle.authorities().iter();
                let now = Timestamp::now();
                let trusted = authorities.any(|ca| ca.vouches_for(stored.identity(), now));
                assert!(trusted, "after {deaths} deaths: {path}");
            }
        }
    }
    // Three writes of the Secret and two times two of configurations.
    assert_eq!(deaths, 2 * 7);
    let mut last = Replica::start(&server);
    last.tells("trusted true", 1).await;
    assert_eq!(last.told(), ["serving", "trusted true"], "nothing is left to do");
}

#[tokio::test(start_paused = true)]
async fn while_the_apiserver_refuses_what_is_valid_is_served() {
    let forbidden = (StatusCode::FORBIDDEN, "Forbidden", "no");
    for (method, request, failure, success) in [
        (Method::PUT, "leaf", "failed to store", "reissue"),
        (Method::PATCH, "ca", "failed to publish", "serve"),
    ] {
        let server = installed();
        let mut replica = Replica::start(&server);
        replica.tells("trusted true", 1).await;
        let before = stored(&server);
        server.refuse(method, forbidden);
        annotate(&server, request);
        let (started, failures) = (Instant::now(), 66);
        replica.tells(failure, failures).await;
        // 1 + 2 + 4 + 8 + 16 + 32 s, then every minute.
        let configurations = if request == "ca" { 2 } else { 1 };
        let minutes = u64::try_from(failures / configurations).expect("is small") - 6;
        let expected = Duration::from_secs(63 + 60 * (minutes - 1));
        assert!(started.elapsed() >= expected, "{failure}: {:?}", started.elapsed());
        assert!(replica.serves(&before), "{failure}");
        server.relent();
        replica.tells(success, 1).await;
        assert!(!replica.serves(&before), "{success}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_found_at_the_start_is_mended() {
    let names = names();
    let lifetimes =
        Lifetimes { ca: SignedDuration::from_hours(48), leaf: SignedDuration::from_hours(24) };
    let ago = |hours| Issuance {
        names: &names,
        lifetimes,
        now: Timestamp::now() - SignedDuration::from_hours(hours),
    };
    for (case, found, step, same_ca) in [
        ("good", ago(1).anew().expect("issues"), None, true),
        ("an expired leaf", ago(30).anew().expect("issues"), Some("reissue"), true),
        ("an expired CA", ago(50).anew().expect("issues"), Some("issue"), false),
    ] {
        let server = installed();
        server.put(SECRET, secret(Some(&data(&found))));
        let mut replica = Replica::start(&server);
        replica.tells("trusted true", 1).await;

        let took = replica.told().into_iter().find(|event| event == "reissue" || event == "issue");
        assert_eq!(took.as_deref(), step, "{case}");
        let stored = stored(&server);
        assert!(replica.serves(&stored), "{case}");
        assert_eq!(stored.ca().certificate == found.ca().certificate, same_ca, "{case}");
        assert!(all_carry(&server, stored.ca_bundle()), "{case}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_others_issue_is_served_and_never_written() {
    let server = installed();
    server.delete(SECRET);
    let mut replica = Replica::with(server.client(), Issuer::Others, both());
    replica.tells("failed to read", 1).await;
    assert!(replica.slot.presents().is_none());

    let external = |material: &Material| {
        let mut data = data(material);
        data.remove("ca.key");
        secret(Some(&data))
    };
    let first = issue(&names(), Timestamp::now()).expect("issues");
    server.put(SECRET, external(&first));
    replica.tells("trusted true", 1).await;
    assert!(replica.serves(&first) && all_carry(&server, first.ca_bundle()));

    let second = issue(&names(), Timestamp::now()).expect("issues");
    server.put(SECRET, external(&second));
    replica.tells("trusted true", 2).await;
    assert!(replica.serves(&second) && all_carry(&server, second.ca_bundle()));

    let long_ago = Timestamp::now() - SignedDuration::from_hours(24 * 400);
    let expired = issue(&names(), long_ago).expect("issues");
    let elsewhere = issue(&ServerNames::loopback(), Timestamp::now()).expect("issues");
    for (failures, (case, object)) in (2..).zip([
        ("blanked", secret(None)),
        ("expired", external(&expired)),
        ("for another server", external(&elsewhere)),
    ]) {
        server.put(SECRET, object);
        replica.tells("failed to read", failures).await;
        assert!(replica.serves(&second) && all_carry(&server, second.ca_bundle()), "{case}");
    }
    assert!(server.writes().iter().all(|write| write.starts_with("PATCH")), "only the bundle");
}

#[tokio::test(start_paused = true)]
async fn entries_that_others_look_after_are_left_alone() {
    let server = installed();
    let issued = issue(&names(), Timestamp::now()).expect("issues");
    let data: SecretData =
        data(&issued).into_iter().filter(|(key, _)| key.starts_with("tls")).collect();
    server.put(SECRET, secret(Some(&data)));
    let mut replica = Replica::with(server.client(), Issuer::Others, vec![]);
    replica.tells("trusted false", 1).await;

    assert!(replica.serves(&issued), "without a ca.crt, which is not ours to publish");
    assert_eq!(server.writes(), [] as [String; 0]);
}
