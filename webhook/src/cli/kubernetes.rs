//! The cluster the guard serves in: how it is reached, and what is kept there.

use std::{path::Path, sync::Arc, time::Duration};

use anyhow::{Context as _, anyhow};
use jiff::Timestamp;
use kube::{
    Api, Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};
use nfs_guard_certs::{Configuration, Material, PublishError, ServerNames, Slot, Store, publish};

use super::{Failure, serve::KubernetesArguments};
use crate::manifest::InputError;

/// A call that cannot even connect by then is lost anyway: an admission has ten
/// seconds in all.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Longest silence of the apiserver in the middle of an answer. Watches are
/// silent for minutes and have no such limit.
const READ_TIMEOUT: Duration = Duration::from_secs(10);

/// Between two attempts to tell the apiserver of our CA, doubled up to a minute.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// A client for single calls, to the cluster of that kubeconfig.
pub(super) async fn client(kubeconfig: Option<&Path>) -> Result<Client, Failure> {
    let mut config = config(kubeconfig).await?;
    config.connect_timeout = Some(CONNECT_TIMEOUT);
    config.read_timeout = Some(READ_TIMEOUT);
    Ok(Client::try_from(config).context("cannot make a client")?)
}

/// A cluster that was reached, and the certificate to serve it with.
pub(super) struct Guarded {
    watching: Client,
    asking: Client,
    store: Store,
    names: ServerNames,
    slot: Arc<Slot>,
    webhook_configuration: String,
}

impl Guarded {
    /// Reaches the cluster, and takes the certificate from its Secret or puts a
    /// new one there.
    pub(super) async fn connect(arguments: &KubernetesArguments) -> Result<Self, Failure> {
        let KubernetesArguments {
            kubeconfig,
            namespace,
            service,
            tls_secret,
            webhook_configuration,
        } = arguments;
        let mut config = config(kubeconfig.as_deref()).await?;
        let url = config.cluster_url.clone();
        config.connect_timeout = Some(CONNECT_TIMEOUT);
        let watching = Client::try_from(config.clone()).context("cannot make a client")?;
        config.read_timeout = Some(READ_TIMEOUT);
        // Whoever asks has a deadline of his own, and a better idea of what to do.
        config.default_retry = false;
        let asking = Client::try_from(config).context("cannot make a client")?;
        let unreachable = || format!("cannot reach the cluster at {url}");
        asking.apiserver_version().await.with_context(unreachable).map_err(Failure::Unreachable)?;

        let names = ServerNames::for_service(service, namespace).map_err(|error| anyhow!(error))?;
        let store = Store::new(Api::namespaced(asking.clone(), namespace), tls_secret.as_str());
        let material = ensure(&store, &names).await?;
        let slot = Arc::new(Slot::new(&material));
        let webhook_configuration = webhook_configuration.clone();
        Ok(Self { watching, asking, store, names, slot, webhook_configuration })
    }

    /// A client for watches.
    pub(super) fn watching(&self) -> Client {
        self.watching.clone()
    }

    /// A client for single calls, each of which ends soon.
    pub(super) fn asking(&self) -> Client {
        self.asking.clone()
    }

    /// The certificate that is served.
    pub(super) fn slot(&self) -> Arc<Slot> {
        Arc::clone(&self.slot)
    }

    /// Tells the apiserver which CA to trust, and returns it. Tries until it
    /// succeeds: until then the guard is not ready, and ending it would help
    /// nobody, since what stands in the configuration may well be right.
    pub(super) async fn publish_ca(&self) -> String {
        let mut pause = FIRST_PAUSE;
        loop {
            match self.try_publish_ca().await {
                Ok(ca_bundle) => return ca_bundle,
                Err(error) => tracing::error!(
                    error = format!("{error:#}"),
                    pause_seconds = pause.as_secs(),
                    "the apiserver could not be told which CA to trust"
                ),
            }
            tokio::time::sleep(pause).await;
            pause = LONGEST_PAUSE.min(2 * pause);
        }
    }

    async fn try_publish_ca(&self) -> anyhow::Result<String> {
        // Another replica may have put a new one there since we started.
        let material = ensure(&self.store, &self.names).await?;
        self.slot.swap(&material);
        let ca_bundle = material.ca_bundle();
        let name = &self.webhook_configuration;
        self.publish_to(&Configuration::Validating(name.clone()), ca_bundle).await?;
        let mutating = Configuration::Mutating(name.clone());
        match self.publish_to(&mutating, ca_bundle).await {
            // Who does not want objects changed takes it away; writes to critical
            // namespaces must not fail for that. Helm installs it before the other,
            // so that it is not merely late.
            Err(error) if error.is_missing() => {
                tracing::info!(configuration = %mutating, "not installed, nothing is mutated");
            }
            published => published?,
        }
        Ok(ca_bundle.to_owned())
    }

    async fn publish_to(
        &self,
        configuration: &Configuration,
        ca_bundle: &str,
    ) -> Result<(), PublishError> {
        let published = publish(self.asking.clone(), configuration, ca_bundle).await?;
        tracing::info!(%configuration, ?published, "CA bundle in the webhook configuration");
        Ok(())
    }
}

async fn ensure(store: &Store, names: &ServerNames) -> anyhow::Result<Material> {
    Ok(store.ensure(names, Timestamp::now()).await?)
}

async fn config(kubeconfig: Option<&Path>) -> Result<Config, Failure> {
    let Some(path) = kubeconfig else {
        let inferred = Config::infer().await;
        return inferred
            .context("no cluster: neither a kubeconfig nor a service account was found")
            .map_err(Failure::Unreachable);
    };
    let unreadable = |error: kube::config::KubeconfigError| {
        InputError::whole(&path.display().to_string(), error.to_string())
    };
    let file = Kubeconfig::read_from(path).map_err(unreadable)?;
    let options = KubeConfigOptions::default();
    Ok(Config::from_custom_kubeconfig(file, &options).await.map_err(unreadable)?)
}
