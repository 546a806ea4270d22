//! A cluster in memory, and replicas in it.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::ByteString;
use kube::Client;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use crate::fake_apiserver::FakeApiserver;
use crate::issue::Lifetimes;
use crate::material::Material;
use crate::reading::SecretData;
use crate::rotator::{Charge, Configuration, Event, Issuer, Rotator, SETTLE};
use crate::store::ROTATE;
use crate::{ServerNames, Slot};

pub(super) const SECRET: &str = "/api/v1/namespaces/storage/secrets/nfs-guard-tls";
pub(super) const VALIDATING: &str =
    "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/nfs-guard";
pub(super) const MUTATING: &str =
    "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/nfs-guard";

pub(super) fn names() -> ServerNames {
    ServerNames::for_service("nfs-guard", "storage").expect("valid")
}

pub(super) fn both() -> Vec<Configuration> {
    let name = "nfs-guard".to_owned();
    vec![Configuration::Mutating(name.clone()), Configuration::Validating(name)]
}

/// One replica, until it is dropped.
pub(super) struct Replica {
    pub(super) slot: Arc<Slot>,
    task: JoinHandle<()>,
    log: Arc<Mutex<Vec<(Instant, String)>>>,
    told: watch::Receiver<()>,
}

impl Replica {
    pub(super) fn start(server: &FakeApiserver) -> Self {
        Self::with(&server.client(), Issuer::Guard, both())
    }

    pub(super) fn with(
        client: &Client,
        issuer: Issuer,
        configurations: Vec<Configuration>,
    ) -> Self {
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
        let rotator = Rotator::new(charge, client, client.clone(), Arc::clone(&slot));
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
    pub(super) fn told(&self) -> Vec<String> {
        let log = self.log.lock().expect("no test panics inside");
        log.iter().map(|(_, event)| event.clone()).collect()
    }

    /// When it told of that first.
    pub(super) fn when(&self, wanted: &str) -> Instant {
        let log = self.log.lock().expect("no test panics inside");
        log.iter().find(|(_, event)| event == wanted).expect(wanted).0
    }

    /// Waits until it has told of that so often.
    pub(super) async fn tells(&mut self, wanted: &str, times: usize) {
        let count = |replica: &Self| replica.told().iter().filter(|event| *event == wanted).count();
        let patience = Duration::from_hours(100);
        let told = timeout(patience, async {
            while count(self) < times {
                self.told.changed().await.expect("the replica runs");
            }
        });
        let in_time = told.await.is_ok();
        assert!(in_time, "waited for {times} × {wanted:?} among {:?}", self.told());
    }

    pub(super) fn serves(&self, material: &Material) -> bool {
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
pub(super) fn installed() -> FakeApiserver {
    let server = FakeApiserver::default();
    server.put(SECRET, secret(None));
    server.put(MUTATING, configuration(&[("m", "")]));
    server.put(VALIDATING, configuration(&[("a", ""), ("b", "")]));
    server
}

pub(super) fn secret(data: Option<&SecretData>) -> Value {
    let metadata = json!({ "name": "nfs-guard-tls", "namespace": "storage" });
    json!({ "metadata": metadata, "type": "Opaque", "data": data })
}

/// Of either kind, with entries of these names and bundles.
pub(super) fn configuration(entries: &[(&str, &str)]) -> Value {
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
pub(super) fn carried(server: &FakeApiserver, path: &str) -> BTreeSet<String> {
    let object = server.object(path);
    let entries = object["webhooks"].as_array().expect("has entries");
    let bundles = entries.iter().map(|entry| {
        let bundle = entry["clientConfig"]["caBundle"].clone();
        let ByteString(pem) = serde_json::from_value(bundle).expect("is base64");
        String::from_utf8(pem).expect("is text")
    });
    bundles.collect()
}

pub(super) fn all_carry(server: &FakeApiserver, bundle: &str) -> bool {
    let bundle = BTreeSet::from([bundle.to_owned()]);
    carried(server, VALIDATING) == bundle && carried(server, MUTATING) == bundle
}

pub(super) fn data(material: &Material) -> SecretData {
    let mut data = SecretData::new();
    material.write_to(&mut data);
    data
}

/// What the Secret holds.
pub(super) fn stored(server: &FakeApiserver) -> Material {
    let data = serde_json::from_value(server.object(SECRET)["data"].clone());
    Material::from_secret_data(&data.expect("has data")).expect("is readable")
}

pub(super) fn annotate(server: &FakeApiserver, value: &str) {
    let mut secret = server.object(SECRET);
    secret["metadata"]["annotations"][ROTATE] = json!(value);
    server.put(SECRET, secret);
}
