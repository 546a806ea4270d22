use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use anyhow::Context as _;
use clap::{Args, ValueHint};
use futures::{FutureExt as _, future::BoxFuture};
use jiff::Timestamp;
use nfs_guard_certs::{Rotator, SETTLE};
use tokio::{runtime::Runtime, sync::watch};

use super::{
    ClusterArgument, ConfigArgument, Exit, Failure,
    audit_log::AuditArguments,
    certificates,
    embedded::{Embedded, Handout},
    installation,
    kubernetes::{Certificates, Guarded},
    policy::Circumstances,
    running::{Announcer, AuditLog, LAST_RECORDS, REQUESTS, Running, Signals, Start},
    tell,
};
use crate::{
    cluster::{Caches, LookUp, View},
    config::{self, Loaded},
    manifest::InputError,
    metrics::Metrics,
};

/// How long endpoints take to notice that a replica is going, with room to
/// spare: the kubelet probes every few seconds and kube-proxy follows within one.
const NOTICE: Duration = Duration::from_secs(5);

/// How long whoever still works for the runtime may go on, when all is written.
const LAST_TASKS: Duration = Duration::from_secs(1);

/// How long a guard that could judge otherwise waits to be told when it was installed.
/// It knows by the time that its CA is published, if it may read that at all.
const INSTALLED_WITHIN: Duration = Duration::from_secs(5);

/// The longest a guard takes to end after SIGTERM, in a cluster and with no delay of
/// one's own. The kubelet must not kill it before.
pub const LONGEST_END: Duration =
    NOTICE.saturating_add(REQUESTS).saturating_add(LAST_RECORDS).saturating_add(LAST_TASKS);

/// Run the admission server
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  nfs-guard serve --config /etc/nfs-guard/config.yaml\n  \
                        nfs-guard serve --embedded   # no cluster needed: the incident's, over real TLS")]
pub(super) struct Serve {
    #[command(flatten)]
    config: ConfigArgument,
    /// Address that takes reviews, over TLS
    #[arg(long, default_value = "[::]:8443", value_name = "ADDRESS")]
    listen: SocketAddr,
    /// Address of /livez, /readyz and /metrics, plain HTTP
    #[arg(long, default_value = "[::]:8080", value_name = "ADDRESS")]
    admin_listen: SocketAddr,
    /// Write the CA that signs our certificate to this file
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    ca_out: Option<PathBuf>,
    /// Seconds to go on serving after SIGTERM, until nobody sends any more (default 5, embedded 0); a second signal ends at once
    #[arg(long, value_name = "SECONDS")]
    shutdown_delay: Option<u64>,
    /// Need no cluster: throw-away CA, and a snapshot to judge in
    #[arg(long)]
    embedded: bool,
    #[command(flatten)]
    cluster: ClusterArgument,
    #[command(flatten)]
    audit: AuditArguments,
    #[command(flatten)]
    kubernetes: KubernetesArguments,
}

/// How the guard finds itself in its cluster.
#[derive(Debug, Args)]
#[command(next_help_heading = "In a cluster")]
pub(super) struct KubernetesArguments {
    /// Kubeconfig; without it, the usual one ($KUBECONFIG, ~/.kube/config), else the pod's service account
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(super) kubeconfig: Option<PathBuf>,
    /// Namespace the guard runs in; nothing in it is judged
    #[arg(long, env = "POD_NAMESPACE", default_value = "nfs-guard", value_name = "NAME")]
    pub(super) namespace: String,
    /// Service the apiserver reaches the guard by
    #[arg(long, default_value = "nfs-guard", value_name = "NAME")]
    pub(super) service: String,
    /// Secret that holds the certificate; it must exist, and may be empty
    #[arg(long, default_value = "nfs-guard-tls", value_name = "NAME")]
    pub(super) tls_secret: String,
    /// Name of the ValidatingWebhookConfiguration and of the MutatingWebhookConfiguration, if there is one, to write the CA bundle into
    #[arg(long, default_value = "nfs-guard", value_name = "NAME")]
    pub(super) webhook_configuration: String,
    /// Who issues the certificate, and tells the apiserver which CA to trust
    #[arg(long, value_enum, default_value = "managed", value_name = "WHO")]
    pub(super) certificates: Certificates,
    /// Seconds that apiservers and replicas get to learn of each step of a CA rotation
    #[arg(long, default_value_t = SETTLE.as_secs(), value_name = "SECONDS")]
    pub(super) certificate_settle: u64,
}

/// A server that listens, and what it takes to be ready.
struct Started {
    running: Running,
    announcer: Announcer,
    rotator: Rotator,
    caches: Caches,
    metrics: Arc<Metrics>,
    finding: BoxFuture<'static, ()>,
    installed: watch::Receiver<Option<Timestamp>>,
}

impl Serve {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        let config = config::load(self.config.config.as_deref())?;
        if !self.embedded && !self.cluster.cluster.is_empty() {
            let advice = "goes with --embedded only; a live cluster is watched".to_owned();
            return Err(InputError::whole("--cluster", advice).into());
        }
        let audit = self.audit.open()?;
        let runtime = Runtime::new().context("cannot start the runtime")?;
        let ended = runtime.block_on(async {
            if self.embedded {
                self.embedded(config, audit).await
            } else {
                self.live(config, audit).await
            }
        });
        // A pipe that nobody reads must not hold up the end.
        runtime.shutdown_timeout(LAST_TASKS);
        ended
    }

    async fn live(self, config: Loaded, audit: AuditLog) -> Result<Exit, Failure> {
        let mut signals = Signals::new()?;
        let starting = self.start(config, audit);
        let started = tokio::select! {
            started = starting => started?,
            () = signals.next() => return Ok(Exit::Good),
        };
        let Started { running, announcer, rotator, caches, metrics, finding, mut installed } =
            started;
        let synced = caches.synced();
        let (kept, mut trusted) = certificates::keep(rotator, metrics, self.ca_out.clone());
        let watches = tokio::spawn(async move {
            tokio::select! {
                () = caches.run() => {}
                () = kept => {}
                () = finding => {}
            }
        });
        let ready = async {
            synced.notified().await;
            trusted.changed().await.context("the certificate is kept no more")?;
            let known = installed.wait_for(Option::is_some);
            if tokio::time::timeout(INSTALLED_WITHIN, known).await.is_err() {
                tracing::warn!("serving without knowing when the guard was installed");
            }
            announcer.announce(self.ca_out.as_deref());
            Ok(())
        };
        let delay = self.shutdown_delay.map_or(NOTICE, Duration::from_secs);
        running.until_stopped(&mut signals, watches, ready, delay).await
    }

    /// Everything up to listening. What is bad input ends the process; so does
    /// a cluster that cannot be reached, as a restart is all there is to do.
    async fn start(&self, config: Loaded, audit: AuditLog) -> Result<Started, Failure> {
        let guarded = Guarded::connect(&self.kubernetes).await?;
        let metrics = Arc::new(Metrics::default());
        let caches = Caches::new(guarded.watching(), Arc::clone(&metrics));
        let look_up = LookUp::new(guarded.asking(), Arc::clone(&metrics));
        let name = self.kubernetes.webhook_configuration.clone();
        let (finding, installed) = installation::find(guarded.watching(), name);
        let circumstances = Circumstances {
            own_namespace: Some(self.kubernetes.namespace.as_str().into()),
            installed: installed.clone(),
        };
        let (running, announcer) = Running::start(Start {
            listen: self.listen,
            admin_listen: self.admin_listen,
            config,
            circumstances,
            view: View::live(&caches, look_up),
            metrics: Arc::clone(&metrics),
            slot: guarded.slot(),
            audit,
        })?;
        let (rotator, finding) = (guarded.rotator(), finding.boxed());
        Ok(Started { running, announcer, rotator, caches, metrics, finding, installed })
    }

    async fn embedded(self, config: Loaded, audit: AuditLog) -> Result<Exit, Failure> {
        let mut signals = Signals::new()?;
        let (cluster, errors) = self.cluster.read();
        if !errors.is_empty() {
            return Err(Failure::Input(errors));
        }
        let cluster = (!self.cluster.cluster.is_empty()).then_some(cluster);
        let addresses = (self.listen, self.admin_listen);
        let (embedded, announcer) = Embedded::start(addresses, config, cluster, audit)?;
        let handout = Handout::write(self.ca_out, embedded.ca_bundle())?;
        announcer.announce(Some(handout.ca()));
        tell(format_args!("Try it:\n  {}", handout.curl(embedded.url())));
        let delay = self.shutdown_delay.map_or(Duration::ZERO, Duration::from_secs);
        embedded.until_stopped(&mut signals, delay).await
    }
}
