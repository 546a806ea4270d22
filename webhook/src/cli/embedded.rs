//! A server that needs no cluster: a throw-away CA and a snapshot.

use std::{fs, future, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use anyhow::{Context as _, anyhow};
use jiff::Timestamp;
use nfs_guard_certs::{Material, ServerNames, Slot, issue};
use nfs_guard_policies::Snapshot;
use tempfile::TempDir;

use super::{
    Exit, Failure,
    running::{AuditLog, Running, Signals, Start},
};
use crate::{
    cluster::View,
    config::Loaded,
    incident::{self, SCENES},
    metrics::Metrics,
};

/// The reviews that lie beside the CA, to be pasted.
const SET: &str = "set.json";
const POD: &str = "pod.json";

pub(super) struct Embedded {
    running: Running,
    material: Material,
    ca_file: PathBuf,
    // Removed with the server.
    directory: TempDir,
}

impl Embedded {
    /// Starts to serve; without a cluster, the incident's.
    pub(super) fn start(
        (listen, admin_listen): (SocketAddr, SocketAddr),
        config: Loaded,
        cluster: Option<Snapshot>,
        ca_out: Option<PathBuf>,
        audit: AuditLog,
    ) -> Result<Self, Failure> {
        let material = issue(&ServerNames::loopback(), Timestamp::now())
            .map_err(|error| anyhow!(error).context("cannot issue a certificate"))?;
        let directory = TempDir::with_prefix("nfs-guard-").context("cannot make a directory")?;
        let ca_file = ca_out.unwrap_or_else(|| directory.path().join("ca.crt"));
        fs::write(&ca_file, material.ca_bundle())
            .with_context(|| format!("cannot write {}", ca_file.display()))?;
        for (name, scene) in [(SET, &SCENES[0]), (POD, &SCENES[2])] {
            let review = incident::review(scene, &scene.object());
            fs::write(directory.path().join(name), review.to_string())?;
        }

        let (running, announcer) = Running::start(Start {
            listen,
            admin_listen,
            config,
            own_namespace: None,
            view: View::fixed(cluster.unwrap_or_else(incident::cluster)),
            metrics: Arc::new(Metrics::default()),
            slot: Arc::new(Slot::new(material.identity())),
            audit,
        })?;
        announcer.announce(Some(&ca_file));
        Ok(Self { running, material, ca_file, directory })
    }

    pub(super) fn url(&self) -> &str {
        self.running.url()
    }

    pub(super) fn ca_bundle(&self) -> &str {
        self.material.ca_bundle()
    }

    /// Commands that ask for the judgement of the incident, and for what is
    /// added to its set and to one of its pods; ready to paste.
    pub(super) fn curl(&self) -> String {
        let (ca, url) = (self.ca_file.display(), self.url());
        let mutate = url.replace("/validate", "/mutate");
        let line = |review: &str, url: &str| {
            let review = self.directory.path().join(review);
            let review = review.display();
            format!("curl --cacert {ca} -H 'Content-Type: application/json' --data @{review} {url}")
        };
        [line(SET, url), line(SET, &mutate), line(POD, &mutate)].join("\n  ")
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
