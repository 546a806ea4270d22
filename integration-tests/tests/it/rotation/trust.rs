//! Clients that trust what webhook entries carry, as API servers do.

use std::{
    collections::HashMap,
    io,
    net::SocketAddr,
    path::Path,
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, Instant},
};

use futures::{StreamExt as _, stream};
use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingWebhookConfiguration, WebhookClientConfig,
};
use kube::{
    Api, Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
    runtime::{WatchStreamExt as _, watcher},
};
use rustls::{
    ClientConfig, RootCertStore,
    client::Resumption,
    crypto::ring,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};
use tokio::{net::TcpStream, runtime::Runtime};
use tokio_rustls::TlsConnector;

/// A client of the API server with that kubeconfig.
pub(super) fn client(runtime: &Runtime, kubeconfig: &Path) -> Client {
    let kubeconfig = Kubeconfig::read_from(kubeconfig).unwrap();
    let options = KubeConfigOptions::default();
    let config = runtime.block_on(Config::from_custom_kubeconfig(kubeconfig, &options)).unwrap();
    let _context = runtime.enter();
    Client::try_from(config).unwrap()
}

/// What the entries of one name's configurations carry, and have carried.
#[derive(Clone)]
pub(super) struct Bundles(Arc<Mutex<Vec<Carried>>>);

/// What the entries of one configuration carried from then on.
struct Carried {
    kind: &'static str,
    since: Instant,
    entries: Vec<Option<String>>,
}

impl Bundles {
    /// Follows both configurations, until the runtime ends.
    pub(super) fn follow(runtime: &Runtime, client: &Client, name: &str) -> Self {
        let bundles = Self(Arc::default());
        let config = watcher::Config::default().fields(&format!("metadata.name={name}"));
        let validating = Api::<ValidatingWebhookConfiguration>::all(client.clone());
        let validating = watcher(validating, config.clone()).applied_objects();
        let validating = validating.filter_map(async |told| {
            let webhooks = told.ok()?.webhooks.into_iter().flatten();
            Some(("validating", webhooks.map(|webhook| pem(webhook.client_config)).collect()))
        });
        let mutating = Api::<MutatingWebhookConfiguration>::all(client.clone());
        let mutating = watcher(mutating, config).applied_objects();
        let mutating = mutating.filter_map(async |told| {
            let webhooks = told.ok()?.webhooks.into_iter().flatten();
            Some(("mutating", webhooks.map(|webhook| pem(webhook.client_config)).collect()))
        });
        let told = bundles.clone();
        runtime.spawn(async move {
            let mut seen = stream::select(validating.boxed(), mutating.boxed());
            while let Some((kind, entries)) = seen.next().await {
                told.carried().push(Carried { kind, since: Instant::now(), entries });
            }
        });
        bundles
    }

    /// What an API server trusts that hears of every change within that time.
    pub(super) fn trusted(&self, late: Duration) -> Vec<String> {
        let carried = self.carried();
        let mut trusted = Vec::new();
        for (index, Carried { kind, entries, .. }) in carried.iter().enumerate() {
            let next = carried[index + 1..].iter().find(|next| next.kind == *kind);
            if next.is_none_or(|next| next.since.elapsed() < late) {
                trusted.extend(entries.iter().flatten().cloned());
            }
        }
        trusted.sort();
        trusted.dedup();
        trusted
    }

    /// How long each interruption took, from an entry that lacked its bundle to all of them
    /// having one again.
    pub(super) fn interruptions(&self, kind: &str) -> Vec<Duration> {
        let carried = self.carried();
        let mut lacking = None;
        let mut interruptions = Vec::new();
        for Carried { since, entries, .. } in carried.iter().filter(|carried| carried.kind == kind)
        {
            if entries.iter().any(Option::is_none) {
                lacking.get_or_insert(*since);
            } else if let Some(lacking) = lacking.take() {
                interruptions.push(*since - lacking);
            }
        }
        interruptions
    }

    fn carried(&self) -> MutexGuard<'_, Vec<Carried>> {
        self.0.lock().unwrap()
    }
}

fn pem(client_config: WebhookClientConfig) -> Option<String> {
    let pem = client_config.ca_bundle?.0;
    (!pem.is_empty()).then(|| String::from_utf8(pem).unwrap())
}

/// Clients that never resume a session, so that each handshake verifies.
#[derive(Default)]
pub(super) struct Clients(HashMap<String, TlsConnector>);

impl Clients {
    /// Shakes hands as one who trusts that bundle, and it alone.
    pub(super) async fn handshake(
        &mut self,
        bundle: &str,
        server: SocketAddr,
        name: &str,
    ) -> io::Result<()> {
        let connector = self.0.entry(bundle.to_owned()).or_insert_with(|| connector(bundle));
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let tcp = TcpStream::connect(server).await?;
        connector.connect(name, tcp).await?;
        Ok(())
    }
}

fn connector(bundle: &str) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(bundle.as_bytes()) {
        roots.add(certificate.unwrap()).unwrap();
    }
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    TlsConnector::from(Arc::new(config))
}
