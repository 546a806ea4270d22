//! A server that needs no cluster: a throw-away CA and a snapshot.

use std::{
    fs, future,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, anyhow};
use jiff::Timestamp;
use nfs_guard_certs::{Material, ServerNames, Slot, issue};
use nfs_guard_policies::Snapshot;
use tempfile::TempDir;

use super::{
    Exit, Failure,
    policy::Circumstances,
    running::{Announcer, AuditLog, Running, Signals, Start},
};
use crate::{
    cluster::View,
    config::Loaded,
    incident::{self, SCENES},
    metrics::Metrics,
};

pub(super) struct Embedded {
    running: Running,
    material: Material,
}

impl Embedded {
    /// Starts to serve; without a cluster, the incident's. It is ready when that
    /// is announced.
    pub(super) fn start(
        (listen, admin_listen): (SocketAddr, SocketAddr),
        config: Loaded,
        cluster: Option<Snapshot>,
        audit: AuditLog,
    ) -> Result<(Self, Announcer), Failure> {
        let material = issue(&ServerNames::loopback(), Timestamp::now())
            .map_err(|error| anyhow!(error).context("cannot issue a certificate"))?;
        let (running, announcer) = Running::start(Start {
            listen,
            admin_listen,
            config,
            circumstances: Circumstances::none(),
            view: View::fixed(cluster.unwrap_or_else(incident::cluster)),
            metrics: Arc::new(Metrics::default()),
            slot: Arc::new(Slot::new(material.identity())),
            audit,
        })?;
        Ok((Self { running, material }, announcer))
    }

    pub(super) fn url(&self) -> &str {
        self.running.url()
    }

    pub(super) fn ca_bundle(&self) -> &str {
        self.material.ca_bundle()
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

/// What it takes to ask a server by hand: its CA, and reviews to be pasted.
/// Only they are written: a root may be read-only and have no `/tmp`.
pub(super) struct Handout {
    ca: PathBuf,
    // Removed with this.
    directory: TempDir,
}

/// The reviews.
const SET: &str = "set.json";
const POD: &str = "pod.json";

impl Handout {
    /// Writes the CA to that file, or beside the reviews.
    pub(super) fn write(ca_out: Option<PathBuf>, ca_bundle: &str) -> anyhow::Result<Self> {
        let directory = TempDir::with_prefix("nfs-guard-")
            .context("cannot make a directory for what to try; TMPDIR says where else")?;
        let ca = ca_out.unwrap_or_else(|| directory.path().join("ca.crt"));
        fs::write(&ca, ca_bundle).with_context(|| format!("cannot write {}", ca.display()))?;
        for (name, scene) in [(SET, &SCENES[0]), (POD, &SCENES[2])] {
            let review = incident::review(scene, &scene.object());
            fs::write(directory.path().join(name), review.to_string())?;
        }
        Ok(Self { ca, directory })
    }

    pub(super) fn ca(&self) -> &Path {
        &self.ca
    }

    /// Commands that ask for the judgement of the incident, and for what is
    /// added to its set and to one of its pods; ready to paste.
    pub(super) fn curl(&self, url: &str) -> String {
        let ca = self.ca.display();
        let mutate = url.replace("/validate", "/mutate");
        let line = |review: &str, url: &str| {
            let review = self.directory.path().join(review);
            let review = review.display();
            format!("curl --cacert {ca} -H 'Content-Type: application/json' --data @{review} {url}")
        };
        [line(SET, url), line(SET, &mutate), line(POD, &mutate)].join("\n  ")
    }
}
