//! The cluster the guard serves in: how it is reached, and what is kept there.

use std::{path::Path, sync::Arc, time::Duration};

use anyhow::{Context as _, anyhow};
use clap::ValueEnum;
use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};
use nfs_guard_certs::{Charge, Configuration, Issuer, Lifetimes, Rotator, ServerNames, Slot};

use super::{Failure, serve::KubernetesArguments};
use crate::manifest::InputError;

/// A call that cannot even connect by then is lost anyway: an admission has ten
/// seconds in all.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Longest silence of the apiserver in the middle of an answer. Watches are
/// silent for minutes and have no such limit.
const READ_TIMEOUT: Duration = Duration::from_secs(10);

/// Who issues the certificates, and who tells the apiserver whom to trust.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Certificates {
    /// The guard does both
    Managed,
    /// Somebody else fills the Secret; the guard writes its ca.crt into the webhook configurations
    External,
    /// cert-manager does both
    CertManager,
}

/// A client for single calls, to the cluster of that kubeconfig and context.
pub(super) async fn client(
    kubeconfig: Option<&Path>,
    context: Option<&str>,
) -> Result<Client, Failure> {
    let mut config = config(kubeconfig, context).await?;
    config.connect_timeout = Some(CONNECT_TIMEOUT);
    config.read_timeout = Some(READ_TIMEOUT);
    Ok(Client::try_from(config).context("cannot make a client")?)
}

/// A cluster that was reached, and the certificate to serve it with.
pub(super) struct Guarded {
    watching: Client,
    asking: Client,
    slot: Arc<Slot>,
    charge: Charge,
}

impl Guarded {
    /// Reaches the cluster.
    pub(super) async fn connect(arguments: &KubernetesArguments) -> Result<Self, Failure> {
        let KubernetesArguments {
            kubeconfig,
            namespace,
            service,
            tls_secret,
            webhook_configuration,
            certificates,
            certificate_settle,
        } = arguments;
        let mut config = config(kubeconfig.as_deref(), None).await?;
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
        let name = webhook_configuration;
        // Helm installs the mutating one first.
        let both =
            vec![Configuration::Mutating(name.clone()), Configuration::Validating(name.clone())];
        let (issuer, configurations) = match certificates {
            Certificates::Managed => (Issuer::Guard, both),
            Certificates::External => (Issuer::Others, both),
            Certificates::CertManager => (Issuer::Others, vec![]),
        };
        let charge = Charge {
            issuer,
            namespace: namespace.clone(),
            secret: tls_secret.clone(),
            names,
            configurations,
            lifetimes: Lifetimes::default(),
            settle: Duration::from_secs(*certificate_settle),
        };
        Ok(Self { watching, asking, slot: Arc::default(), charge })
    }

    /// A client for watches.
    pub(super) fn watching(&self) -> Client {
        self.watching.clone()
    }

    /// A client for single calls, each of which ends soon.
    pub(super) fn asking(&self) -> Client {
        self.asking.clone()
    }

    /// The certificate that is served; none until the rotator runs.
    pub(super) fn slot(&self) -> Arc<Slot> {
        Arc::clone(&self.slot)
    }

    /// Keeps the certificate.
    pub(super) fn rotator(&self) -> Rotator {
        Rotator::new(self.charge.clone(), &self.watching, self.asking(), self.slot())
    }
}

async fn config(kubeconfig: Option<&Path>, context: Option<&str>) -> Result<Config, Failure> {
    if kubeconfig.is_none() && context.is_none() {
        let inferred = Config::infer().await;
        return inferred
            .context("no cluster: neither a kubeconfig nor a service account was found")
            .map_err(Failure::Unreachable);
    }
    let unreadable = |error: kube::config::KubeconfigError| {
        let path = kubeconfig.map_or("kubeconfig".into(), Path::to_string_lossy);
        InputError::whole(&path, error.to_string())
    };
    let file = match kubeconfig {
        Some(path) => Kubeconfig::read_from(path),
        None => Kubeconfig::read(),
    };
    let context = context.map(Into::into);
    let options = KubeConfigOptions { context, ..KubeConfigOptions::default() };
    let config = Config::from_custom_kubeconfig(file.map_err(unreadable)?, &options).await;
    Ok(config.map_err(unreadable)?)
}
