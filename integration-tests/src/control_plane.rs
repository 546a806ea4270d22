//! etcd, the API server, its controllers and everything they need to run.

mod components;
mod readiness;

use std::{
    io::Write as _,
    net::Ipv4Addr,
    path::{Path, PathBuf},
    sync::{OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
    time::Instant,
};

use anyhow::{Result, ensure};

use crate::{
    Kubectl, Shell, TestNamespace, User, binaries::Binaries, chart::Helm, credentials::Credentials,
    network::Loopback, process::Process, provisioner::Provisioner, scratch::Scratch,
};
use components::Components;
use readiness::Probes;

/// A running control plane with three nodes and the incident's storage classes.
///
/// Dropping it kills every process outright: asked politely, an API server
/// takes up to 70 s to go.
#[derive(Debug)]
pub struct ControlPlane {
    // Dropped in this order: the network is free when nothing listens in it.
    running: Option<Running>,
    users: RwLock<()>,
    credentials: Credentials,
    binaries: Binaries,
    scratch: Scratch,
    network: Loopback,
}

#[derive(Debug)]
struct Running {
    _provisioner: Provisioner,
    _processes: Vec<Process>,
}

impl ControlPlane {
    /// The control plane of this test process, booted by whoever asks first.
    #[must_use]
    pub fn shared() -> &'static Self {
        // A failure is kept as well: the next test would only wait for the same one.
        static SHARED: OnceLock<Result<ControlPlane, String>> = OnceLock::new();
        match SHARED.get_or_init(|| Self::boot().map_err(|error| format!("{error:?}"))) {
            Ok(control_plane) => control_plane,
            Err(error) => panic!("the control plane did not boot: {error}"),
        }
    }

    /// Boots one more; returns when the nodes are ready and pods can be made.
    pub fn boot() -> Result<Self> {
        let binaries = Binaries::locate()?;
        let started = Instant::now();
        let network = Loopback::claim()?;
        let scratch = Scratch::create()?;
        let address = network.address(components::HOST);
        let credentials = Credentials::issue(scratch.path(), address, components::APISERVER_PORT)?;
        let users = RwLock::new(());
        let mut this = Self { running: None, users, credentials, binaries, scratch, network };
        this.start()?;
        // Straight to the terminal: this is said once for all tests, and the
        // test harness would hide it with the output of the test that boots.
        let _ = writeln!(
            std::io::stderr(),
            "control plane: ready after {:.1} s on {}, logs in {}",
            started.elapsed().as_secs_f32(),
            this.network,
            this.scratch.path().display()
        );
        Ok(this)
    }

    /// Cuts the power: every process ends at once, and what etcd has stays.
    pub fn stop(&mut self) {
        self.running = None;
    }

    /// Starts what [`ControlPlane::stop`] ended.
    pub fn start(&mut self) -> Result<()> {
        let Self { credentials, binaries, scratch, network, .. } = &*self;
        let components = Components { binaries, credentials, network, folder: scratch.path() };
        let probes = Probes::new(credentials)?;
        let is_cold_start = scratch.path().join("etcd").exists();

        let mut processes = vec![components.etcd()?, components.apiserver()?];
        probes.wait(&mut processes, credentials.server(), "/readyz")?;
        processes.push(components.controller_manager()?);
        processes.push(components.scheduler()?);
        let admin = kubectl(binaries, credentials, scratch.path(), User::Admin);
        if is_cold_start {
            // A kubelet goes on with its node's lease. kwok takes itself for another one and
            // would wait until the lease of before has run out.
            let leases = admin.in_namespace("kube-node-lease");
            let deleted = leases.run(&["delete", "leases", "--all"]);
            ensure!(deleted.succeeded(), "ending kwok's leases: {deleted}");
        }
        processes.push(components.kwok()?);
        let applied = admin.apply(CLUSTER);
        ensure!(applied.succeeded(), "making the cluster's own objects: {applied}");
        for (origin, path) in components.readiness() {
            probes.wait(&mut processes, &origin, path)?;
        }
        let provisioner = Provisioner::start(credentials, scratch.path())?;
        probes.wait_for_nodes(&mut processes, credentials.server(), NODES)?;
        self.running = Some(Running { _provisioner: provisioner, _processes: processes });
        Ok(())
    }

    /// kubectl as `user`, in the namespace `default`.
    #[must_use]
    pub fn kubectl(&self, user: User) -> Kubectl {
        kubectl(&self.binaries, &self.credentials, self.scratch.path(), user)
    }

    /// helm as the admin.
    #[must_use]
    pub fn helm(&self) -> Helm {
        Helm {
            program: self.binaries.helm.clone(),
            kubeconfig: self.credentials.kubeconfig(User::Admin),
            home: self.scratch.path().to_path_buf(),
        }
    }

    /// A shell of the admin whose files lie in that folder; see [`Shell::run`].
    pub fn shell(&self, folder: &str, helm_settings: &str) -> Result<Shell> {
        let folder = self.scratch.path().join(folder);
        let kubeconfig = self.credentials.kubeconfig(User::Admin);
        let Binaries { kubectl, helm, .. } = &self.binaries;
        Shell::new(folder, kubeconfig, kubectl, helm, helm_settings)
    }

    /// A new namespace whose name starts with `prefix`.
    #[must_use]
    pub fn namespace(&self, prefix: &str, labels: &[(&str, &str)]) -> TestNamespace<'_> {
        TestNamespace::create(self, prefix, labels)
    }

    /// An address of the control plane's own network, good as a `ClusterIP` that a
    /// host process listens on.
    #[must_use]
    pub fn address(&self, host: u8) -> Ipv4Addr {
        self.network.address(host)
    }

    /// An address for a pod whose process runs on this machine, or for its node.
    #[must_use]
    pub fn pod_address(&self, host: u8) -> Ipv4Addr {
        self.network.pod_address(host)
    }

    /// The folder with the logs.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.scratch.path()
    }

    /// The API server's audit log: a line of JSON for each write of what the guard
    /// judges.
    #[must_use]
    pub fn audit_log(&self) -> PathBuf {
        self.folder().join(components::AUDIT_LOG)
    }

    /// The keys and kubeconfigs.
    #[must_use]
    pub fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    /// Keeps tests that need the cluster for themselves away.
    pub fn share(&self) -> RwLockReadGuard<'_, ()> {
        // A test that failed with the lock in hand left nothing half-written in it.
        self.users.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until no other test uses the cluster, and keeps it so.
    ///
    /// Not while the same thread holds [`ControlPlane::share`]: that waits for ever.
    pub fn reserve(&self) -> RwLockWriteGuard<'_, ()> {
        self.users.write().unwrap_or_else(PoisonError::into_inner)
    }
}

const CLUSTER: &str = concat!(
    include_str!("../cluster/nodes.yaml"),
    "---\n",
    include_str!("../cluster/access.yaml"),
    "---\n",
    include_str!("../cluster/storage-classes.yaml"),
);

/// How many nodes are in `cluster/nodes.yaml`.
const NODES: usize = 3;

fn kubectl(binaries: &Binaries, credentials: &Credentials, home: &Path, user: User) -> Kubectl {
    Kubectl {
        program: binaries.kubectl.clone(),
        kubeconfig: credentials.kubeconfig(user),
        home: home.to_path_buf(),
        namespace: None,
    }
}
