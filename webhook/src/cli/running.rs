//! A server from its start to its end.

use std::{
    future::{self, Future},
    io::{self, Write},
    net::SocketAddr,
    path::Path,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, anyhow};
use nfs_guard_certs::{Slot, server_config};
use nfs_guard_policies::{GuardConfig, Policy, glob::Glob};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::json;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::oneshot,
    task::JoinHandle,
};

use super::{Exit, Failure};
use crate::{
    audit::Audit,
    cluster::View,
    config::{ConfigFile, Loaded},
    metrics::Metrics,
    reviewer::Reviewer,
    server::{Limits, Listeners, Service, Serving},
};

/// Longest time requests get that are still running when connections close; no
/// review is granted more (see [`Limits::deadline`]).
const REQUESTS: Duration = Duration::from_secs(10);

/// Longest time the last audit records get to be written.
const LAST_RECORDS: Duration = Duration::from_secs(1);

/// What a server is started with.
pub(super) struct Start {
    pub(super) listen: SocketAddr,
    pub(super) admin_listen: SocketAddr,
    pub(super) config: Loaded,
    /// The guard's own namespace, in which nothing is judged.
    pub(super) own_namespace: Option<Glob>,
    pub(super) view: View,
    pub(super) metrics: Arc<Metrics>,
    pub(super) slot: Arc<Slot>,
    pub(super) audit: Box<dyn Write + Send>,
}

/// A server that runs.
pub(super) struct Running {
    serving: Serving,
    audit: JoinHandle<io::Result<()>>,
    config: JoinHandle<()>,
    url: String,
}

impl Running {
    /// Binds, and serves from now on; whether it can judge yet, and whether the
    /// apiserver trusts it, is told by the announcer.
    pub(super) fn start(start: Start) -> Result<(Self, Announcer), Failure> {
        let Start {
            listen,
            admin_listen,
            config: Loaded { config, file },
            own_namespace,
            view,
            metrics,
            slot,
            mut audit,
        } = start;
        let policy = move |mut config: GuardConfig| {
            config.excluded_namespaces.extend(own_namespace.clone());
            Policy::new(config)
        };
        let listeners = Listeners::bind(listen, admin_listen)?;
        raise_file_limit();
        let url = format!("https://{}/validate", reachable(listeners.review_address()?));
        let admin = format!("http://{}", reachable(listeners.admin_address()?));
        let tls = server_config(Arc::clone(&slot)).context("TLS cannot be set up")?;
        let (log, writer) = Audit::new(Arc::clone(&metrics));
        let reviewer = Reviewer::new(policy(config), view, log, Arc::clone(&metrics));
        let reviewer = Arc::new(reviewer);
        let config = follow_config(file, Arc::clone(&reviewer), Arc::clone(&metrics), policy);
        let service = Service::new(reviewer, metrics, slot, Limits::default());
        let serving = listeners.serve(service.clone(), Arc::new(tls));
        let (line, first_line) = oneshot::channel();
        let audit = tokio::task::spawn_blocking(move || {
            // The announcement is the first line, whatever was judged meanwhile.
            let announcement = first_line.blocking_recv().map_or(Ok(()), |line: String| {
                writeln!(audit, "{line}").and_then(|()| audit.flush())
            });
            let ended = announcement.and_then(|()| writer.run(&mut *audit));
            if let Err(error) = &ended {
                tracing::error!(%error, "audit log cannot be written; records are lost from now on");
            }
            ended
        });
        let announcer = Announcer { service, line, url: url.clone(), admin };
        Ok((Self { serving, audit, config, url }, announcer))
    }

    /// Where reviews are taken.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// Serves until a signal asks to stop, then drains; `ready` is what remains
    /// to be done first, `watches` what must never end.
    pub(super) async fn until_stopped(
        mut self,
        signals: &mut Signals,
        mut watches: JoinHandle<()>,
        ready: impl Future<Output = Result<(), Failure>>,
        delay: Duration,
    ) -> Result<Exit, Failure> {
        let mut ready = Box::pin(ready);
        let (mut is_ready, mut audit_ended) = (false, false);
        loop {
            tokio::select! {
                done = &mut ready, if !is_ready => {
                    done?;
                    is_ready = true;
                }
                () = signals.next() => break,
                error = self.serving.failed() => return Err(error.into()),
                // Admission goes on without its log; what happened was logged.
                _ = &mut self.audit, if !audit_ended => audit_ended = true,
                ended = &mut self.config => {
                    return Err(anyhow!("the configuration is followed no more: {ended:?}").into());
                }
                ended = &mut watches => return Err(anyhow!("the watches ended: {ended:?}").into()),
            }
        }
        tracing::info!(delay_seconds = delay.as_secs(), "shutting down");
        let ended = tokio::select! {
            drained = self.serving.drain(delay, REQUESTS) => drained.map(|()| Exit::Good),
            () = signals.next() => {
                tracing::warn!("second signal, ending at once");
                return Ok(Exit::Negative);
            }
        };
        // With it goes the announcer, so that the audit log waits for no line.
        drop(ready);
        watches.abort();
        self.config.abort();
        if !audit_ended && tokio::time::timeout(LAST_RECORDS, self.audit).await.is_err() {
            tracing::error!("the last audit records could not be written");
        }
        Ok(ended?)
    }
}

/// Tells, once, that a server is ready.
pub(super) struct Announcer {
    service: Service,
    line: oneshot::Sender<String>,
    url: String,
    admin: String,
}

impl Announcer {
    /// Makes the server ready in the eyes of probes, and of whoever started it:
    /// by the first line on standard output.
    pub(super) fn announce(self, ca: Option<&Path>) {
        let Self { service, line, url, admin } = self;
        service.set_trusted();
        let announcement = json!({"event": "serving", "url": url, "admin": admin, "ca": ca});
        if line.send(announcement.to_string()).is_err() {
            tracing::error!("the audit log ended before the server was ready");
        }
    }
}

/// Applies the configuration whenever its file changes; without a file there is
/// nothing to follow.
fn follow_config(
    file: Option<ConfigFile>,
    reviewer: Arc<Reviewer>,
    metrics: Arc<Metrics>,
    policy: impl Fn(GuardConfig) -> Policy + Send + 'static,
) -> JoinHandle<()> {
    let Some(file) = file else { return tokio::spawn(future::pending()) };
    tokio::spawn(file.follow(move |config| {
        metrics.config_reloaded(config.is_ok());
        match config {
            Ok(config) => {
                reviewer.adopt(policy(config));
                tracing::info!("configuration reloaded");
            }
            Err(error) => {
                tracing::error!(%error, "configuration not reloaded, the last good one stays");
            }
        }
    }))
}

/// Lets the process open as many files as it is allowed to. The usual soft limit
/// of 1024, kept for programs that call `select`, is below the connections a
/// listener takes ([`Limits::connections`]).
fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, ..limit };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::warn!(%error, soft = limit.current, "limit of open files not raised");
    }
}

/// The address a client on this machine would use: nobody can connect to
/// "every address".
fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
    }
    address
}

/// SIGTERM and SIGINT.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    pub(super) fn new() -> io::Result<Self> {
        let (terminate, interrupt) = (SignalKind::terminate(), SignalKind::interrupt());
        Ok(Self { terminate: signal(terminate)?, interrupt: signal(interrupt)? })
    }

    pub(super) async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
