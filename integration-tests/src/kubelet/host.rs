//! What a node's pods have in common.

use std::{
    collections::{BTreeSet, HashMap},
    fmt::Arguments,
    fs::File,
    io::Write as _,
    net::Ipv4Addr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::{Context, Result};
use kube::Client;

use super::HostNode;
use crate::{ControlPlane, binaries};

/// A node and what its kubelet works with.
pub(super) struct Host {
    pub(super) node: HostNode,
    /// The node's own.
    pub(super) address: Ipv4Addr,
    pub(super) client: Client,
    /// The API server's URL, for pods.
    pub(super) server: String,
    /// What the guard's image holds.
    pub(super) program: PathBuf,
    /// The certificate and the key that logs are served with.
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
    /// Each pod has a folder in it.
    pub(super) folder: PathBuf,
    free: Mutex<BTreeSet<Ipv4Addr>>,
    container_logs: Mutex<HashMap<String, PathBuf>>,
    log: Mutex<File>,
}

impl Host {
    pub(super) fn new(
        control_plane: &ControlPlane,
        node: HostNode,
        client: Client,
    ) -> Result<Self> {
        let credentials = control_plane.credentials();
        let log = control_plane.folder().join(format!("kubelet-{}.log", node.name()));
        let log = File::options().create(true).append(true).open(log).context("making a log")?;
        let (address, pods) = node.addresses();
        Ok(Self {
            node,
            address: control_plane.pod_address(address),
            client,
            server: credentials.server().to_owned(),
            program: binaries::nfs_guard()?.to_path_buf(),
            certificate: credentials.certificate(),
            key: credentials.key(),
            folder: control_plane.folder().join(node.name()),
            free: Mutex::new(pods.map(|host| control_plane.pod_address(host)).collect()),
            container_logs: Mutex::default(),
            log: Mutex::new(log),
        })
    }

    /// An address no other pod of the node has.
    pub(super) fn lease_address(self: &Arc<Self>) -> Result<Lease> {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let address = free.pop_first().context("every address of the node is taken")?;
        Ok(Lease { host: Arc::clone(self), address })
    }

    /// Says where a container's output goes.
    pub(super) fn set_container_log(&self, container: String, log: &Path) {
        let mut logs = self.container_logs.lock().unwrap_or_else(PoisonError::into_inner);
        logs.insert(container, log.to_path_buf());
    }

    /// The file with the output of `<namespace>/<pod>/<container>`.
    pub(super) fn container_log(&self, container: &str) -> Option<PathBuf> {
        let logs = self.container_logs.lock().unwrap_or_else(PoisonError::into_inner);
        logs.get(container).cloned()
    }

    /// Writes a line to the kubelet's own log.
    pub(super) fn log(&self, message: Arguments<'_>) {
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        // Nobody to tell; the test that waits will show what was missed.
        let _ = writeln!(log, "{} {message}", jiff::Timestamp::now());
    }
}

/// A pod's address, given back when dropped.
pub(super) struct Lease {
    host: Arc<Host>,
    pub(super) address: Ipv4Addr,
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut free = self.host.free.lock().unwrap_or_else(PoisonError::into_inner);
        free.insert(self.address);
    }
}
