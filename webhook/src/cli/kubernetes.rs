//! What `serve` asks of its cluster before it serves.

use std::{path::Path, time::Duration};

use anyhow::{Context as _, anyhow};
use jiff::Timestamp;
use kube::{
    Api, Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};
use nfs_guard_certs::{Material, ServerNames, Store, publish};

use super::{Failure, serve::KubernetesArguments};
use crate::manifest::InputError;

/// A look-up that cannot even connect by then is lost anyway: an admission has
/// ten seconds in all.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A client of the cluster, which has answered once.
pub(super) async fn client(kubeconfig: Option<&Path>) -> Result<Client, Failure> {
    let mut config = match kubeconfig {
        Some(path) => {
            let unreadable = |error: kube::config::KubeconfigError| {
                InputError::whole(&path.display().to_string(), error.to_string())
            };
            let file = Kubeconfig::read_from(path).map_err(unreadable)?;
            let options = KubeConfigOptions::default();
            Config::from_custom_kubeconfig(file, &options).await.map_err(unreadable)?
        }
        None => Config::infer()
            .await
            .context("no cluster: neither a service account nor a kubeconfig was found")
            .map_err(Failure::Unreachable)?,
    };
    config.connect_timeout = Some(CONNECT_TIMEOUT);
    let url = config.cluster_url.clone();
    let client = Client::try_from(config).context("cannot make a client")?;
    let unreachable = || format!("cannot reach the cluster at {url}");
    client.apiserver_version().await.with_context(unreachable).map_err(Failure::Unreachable)?;
    Ok(client)
}

/// The certificate to serve with: from the Secret, or a new one put there.
pub(super) async fn certificate(
    client: &Client,
    arguments: &KubernetesArguments,
) -> Result<Material, Failure> {
    let KubernetesArguments { namespace, service, tls_secret, .. } = arguments;
    let names = ServerNames::for_service(service, namespace).map_err(|error| anyhow!(error))?;
    let store = Store::new(Api::namespaced(client.clone(), namespace), tls_secret.as_str());
    Ok(store.ensure(&names, Timestamp::now()).await.map_err(|error| anyhow!(error))?)
}

/// Tells the apiserver which CA to trust.
pub(super) async fn publish_ca(
    client: Client,
    arguments: &KubernetesArguments,
    material: &Material,
) -> Result<(), Failure> {
    let configuration = &arguments.webhook_configuration;
    let published = publish(client, configuration, material.ca_bundle())
        .await
        .map_err(|error| anyhow!(error))?;
    tracing::info!(configuration, ?published, "CA bundle in the webhook configuration");
    Ok(())
}
