//! A server that needs no cluster: a throw-away CA and a snapshot.

use std::{fs, future, io::Write, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use anyhow::{Context as _, anyhow};
use jiff::Timestamp;
use nfs_guard_certs::{Material, ServerNames, Slot, issue};
use nfs_guard_policies::Snapshot;
use tempfile::TempDir;

use super::{
    Exit, Failure,
    running::{Running, Signals, Start},
};
use crate::{cluster::View, config::Loaded, incident, metrics::Metrics};

pub(super) struct Embedded {
    running: Running,
    material: Material,
    ca_file: PathBuf,
    review_file: PathBuf,
    // Removed with the server.
    _directory: TempDir,
}

impl Embedded {
    /// Starts to serve; without a cluster, the incident's.
    pub(super) fn start(
        (listen, admin_listen): (SocketAddr, SocketAddr),
        config: Loaded,
        cluster: Option<Snapshot>,
        ca_out: Option<PathBuf>,
        audit: Box<dyn Write + Send>,
    ) -> Result<Self, Failure> {
        let material = issue(&ServerNames::loopback(), Timestamp::now())
            .map_err(|error| anyhow!(error).context("cannot issue a certificate"))?;
        let directory = TempDir::with_prefix("nfs-guard-").context("cannot make a directory")?;
        let ca_file = ca_out.unwrap_or_else(|| directory.path().join("ca.crt"));
        let review_file = directory.path().join("review.json");
        fs::write(&ca_file, material.ca_bundle())
            .with_context(|| format!("cannot write {}", ca_file.display()))?;
        let review = incident::review("try-it", &incident::SCENES[0].object());
        fs::write(&review_file, review.to_string())?;

        let (running, announcer) = Running::start(Start {
            listen,
            admin_listen,
            config,
            own_namespace: None,
            view: View::fixed(cluster.unwrap_or_else(incident::cluster)),
            metrics: Arc::new(Metrics::default()),
            slot: Arc::new(Slot::new(&material)),
            audit,
        })?;
        announcer.announce(Some(&ca_file));
        Ok(Self { running, material, ca_file, review_file, _directory: directory })
    }

    pub(super) fn url(&self) -> &str {
        self.running.url()
    }

    pub(super) fn ca_bundle(&self) -> &str {
        self.material.ca_bundle()
    }

    /// A command that asks for the judgement of the incident.
    pub(super) fn curl(&self) -> String {
        let (ca, review) = (self.ca_file.display(), self.review_file.display());
        let url = self.url();
        format!("curl --cacert {ca} -H 'Content-Type: application/json' --data @{review} {url}")
    }

    pub(super) async fn until_stopped(
        self,
        signals: &mut Signals,
        delay: Duration,
    ) -> Result<Exit, Failure> {
        let watches = tokio::spawn(future::pending());
        let ready = future::ready(Ok(()));
        self.running.until_stopped(signals, watches, ready, delay).await
    }
}
