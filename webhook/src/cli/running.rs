//! A server from its start to its end.

use std::{
    future::Future,
    io::{self, Write},
    net::SocketAddr,
    path::Path,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, anyhow};
use nfs_guard_certs::{Slot, server_config};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::json;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::oneshot,
    task::JoinHandle,
};

use super::{
    Exit, Failure,
    policy::{self, Circumstances},
};
use crate::{
    audit::{Log, LogFile, Origin, audit},
    cluster::View,
    config::Loaded,
    metrics::Metrics,
    reviewer::Reviewer,
    server::{Limits, Listeners, Service, Serving},
};

/// Longest time requests get that are still running when connections close; no
/// review is granted more (see [`Limits::deadline`]).
pub(super) const REQUESTS: Duration = Duration::from_secs(10);

/// Longest time the last audit records get to be written.
pub(super) const LAST_RECORDS: Duration = Duration::from_secs(1);

/// What a server is started with.
pub(super) struct Start {
    pub(super) listen: SocketAddr,
    pub(super) admin_listen: SocketAddr,
    pub(super) config: Loaded,
    pub(super) circumstances: Circumstances,
    pub(super) view: View,
    pub(super) metrics: Arc<Metrics>,
    pub(super) slot: Arc<Slot>,
    pub(super) audit: AuditLog,
}

/// Where records go.
pub(super) struct AuditLog {
    /// Takes the announcement, and the records too if there is no file for them.
    pub(super) output: Box<dyn Write + Send>,
    pub(super) file: Option<LogFile>,
    /// The name of this replica.
    pub(super) instance: String,
}

impl AuditLog {
    /// Records that nobody wants.
    pub(super) fn nowhere() -> Self {
        Self { output: Box::new(io::sink()), file: None, instance: String::new() }
    }
}

/// A server that runs.
pub(super) struct Running {
    serving: Serving,
    audit: JoinHandle<()>,
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
            config: Loaded { config, fingerprint, file },
            circumstances,
            view,
            metrics,
            slot,
            audit: AuditLog { mut output, file: log_file, instance },
        } = start;
        let listeners = Listeners::bind(listen, admin_listen)?;
        raise_file_limit();
        let url = format!("https://{}/validate", reachable(listeners.review_address()?));
        let admin = format!("http://{}", reachable(listeners.admin_address()?));
        let tls = server_config(Arc::clone(&slot)).context("TLS cannot be set up")?;
        let (audit, writer) = audit(Arc::clone(&metrics));
        let configured = (config, fingerprint);
        let in_force = circumstances.policy(configured.clone());
        let reviewer = Reviewer::new(in_force, view, audit, Arc::clone(&metrics));
        let reviewer = Arc::new(reviewer);
        let (judge, told) = (Arc::clone(&reviewer), Arc::clone(&metrics));
        let config = tokio::spawn(policy::follow(configured, file, circumstances, judge, told));
        let service = Service::new(reviewer, metrics, slot, Limits::default());
        let serving = listeners.serve(service.clone(), Arc::new(tls));
        let (line, first_line) = oneshot::channel();
        let origin = Origin { instance, config: fingerprint };
        let audit = tokio::task::spawn_blocking(move || {
            // The announcement is the first line, whatever was judged meanwhile.
            if let Ok(line) = first_line.blocking_recv()
                && let Err(error) = writeln!(output, "{line}").and_then(|()| output.flush())
            {
                tracing::error!(%error, "nobody could be told that the server is ready");
            }
            writer.run(match log_file {
                Some(file) => Log::to_file(file, &origin),
                None => Log::to_stream(output, &origin),
            });
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
                // Only a panic ends it, which was logged; admission goes on without.
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
