//! The guard: installed by its chart, run from this workspace.

mod serving;

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::{
    ControlPlane, Kubectl, Ran, User, binaries, canary, chart,
    wait::{Progress, wait_for},
};
use serving::{Options, Serving};

/// A release of the chart and the process that serves for it.
///
/// The process has a token of the chart's `ServiceAccount` and nothing else, so
/// the rights the chart grants are the rights that are tested.
#[derive(Debug)]
pub struct Guard {
    control_plane: &'static ControlPlane,
    options: Options,
    /// The namespace in which [`Guard::start`] finds out whether the API server
    /// reaches the guard.
    canary: Kubectl,
    serving: Mutex<Option<Serving>>,
}

/// A second process of the guard; it ends when dropped.
#[derive(Debug)]
pub struct Replica(Serving);

impl Replica {
    /// The URL of the admin port.
    #[must_use]
    pub fn admin_url(&self) -> &str {
        &self.0.ready().admin
    }

    /// The URL of the webhook port.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.0.ready().url
    }
}

/// How a guard that was asked to stop did so.
#[derive(Clone, Copy, Debug)]
pub struct Stopped {
    /// Its exit code; `None` if a signal ended it.
    pub code: Option<i32>,
    /// How long it took.
    pub took: Duration,
}

impl Guard {
    /// The namespace and the release.
    pub const NAME: &str = "nfs-guard";

    /// Installs the chart, starts the guard and returns when the API server reaches it.
    pub fn install(control_plane: &'static ControlPlane) -> Result<Self> {
        let address = control_plane.address(SERVICE_HOST);
        succeeded(control_plane.helm().install(
            Self::NAME,
            Self::NAME,
            &[
                "--set",
                &format!("replicas=0,service.port={SERVICE_PORT},service.clusterIP={address}"),
            ],
        ))?;
        let admin = control_plane.kubectl(User::Admin);
        let guard = Self {
            control_plane,
            options: Options {
                program: binaries::nfs_guard()?.to_path_buf(),
                namespace: Self::NAME.to_owned(),
                listen: format!("{address}:{SERVICE_PORT}"),
                config: control_plane.folder().join("nfs-guard.yaml"),
                kubeconfig: control_plane.folder().join("nfs-guard.kubeconfig"),
                ca: control_plane.folder().join("nfs-guard-ca.crt"),
                logs: control_plane.folder().to_path_buf(),
                name: "nfs-guard",
                arguments: vec![],
            },
            canary: admin.in_namespace(CANARY),
            serving: Mutex::new(None),
        };
        guard.write_files(&admin.in_namespace(Self::NAME))?;
        succeeded(admin.create(&canary_namespace()))?;
        guard.wait_for_canary("the API server to know the webhook", |ran| {
            ran.stderr.contains("failed calling webhook")
        })?;
        guard.start()?;
        Ok(guard)
    }

    /// Starts the guard and returns when the API server reaches it.
    pub fn start(&self) -> Result<()> {
        self.start_with(&[])
    }

    /// As [`Guard::start`], with more arguments.
    pub fn start_with(&self, arguments: &[&str]) -> Result<()> {
        let mut serving = self.serving();
        ensure!(serving.is_none(), "the guard is already running");
        let arguments = arguments.iter().map(|&argument| argument.to_owned()).collect();
        *serving = Some(Serving::start(&Options { arguments, ..self.options.clone() })?);
        drop(serving);
        self.wait_for_canary("the API server to reach the guard", Ran::succeeded)
    }

    /// Starts another replica, with the same rights, on an address that the API server
    /// does not know, and returns when it is ready.
    pub fn start_replica(&self, arguments: &[&str]) -> Result<Replica> {
        let folder = self.control_plane.folder();
        let options = Options {
            listen: "127.0.0.1:0".to_owned(),
            ca: folder.join("nfs-guard-replica-ca.crt"),
            name: "nfs-guard-replica",
            arguments: arguments.iter().map(|&argument| argument.to_owned()).collect(),
            ..self.options.clone()
        };
        Ok(Replica(Serving::start(&options)?))
    }

    /// Asks the guard to stop (SIGTERM) and waits until it has.
    pub fn stop(&self) -> Result<Stopped> {
        let started = Instant::now();
        let mut serving = self.serving().take().context("the guard is not running")?;
        let status = serving.stop()?;
        Ok(Stopped { code: status.code(), took: started.elapsed() })
    }

    /// Starts the guard if it does not run.
    pub fn ensure_serving(&self) -> Result<()> {
        let runs = match self.serving().as_mut() {
            Some(serving) => serving.check_running().is_ok(),
            None => false,
        };
        if runs {
            return Ok(());
        }
        self.serving().take();
        self.start()
    }

    /// The URL of the admin port: `/livez`, `/readyz`, `/metrics`.
    #[must_use]
    pub fn admin_url(&self) -> String {
        self.with_serving(|serving| serving.ready().admin.clone())
    }

    /// The URL of the webhook port.
    #[must_use]
    pub fn url(&self) -> String {
        self.with_serving(|serving| serving.ready().url.clone())
    }

    /// Every audit line since the guard was last started.
    #[must_use]
    pub fn audit(&self) -> Vec<Value> {
        let mut lines = self.with_serving(Serving::lines).all();
        // The first line is no record, but the guard saying that it serves.
        lines.remove(0);
        lines
    }

    /// The first line since the last start that `matches`; the test ends if none
    /// comes within half a minute.
    #[track_caller]
    #[must_use]
    pub fn wait_for_audit(&self, what: &str, matches: impl Fn(&Value) -> bool) -> Value {
        let lines = self.with_serving(Serving::lines);
        lines.wait_for(AUDIT_DEADLINE, matches).unwrap_or_else(|lines| {
            let lines: Vec<String> = lines.iter().map(Value::to_string).collect();
            panic!("no audit line of {what} among these:\n{}", lines.join("\n"))
        })
    }

    /// The file with what the guard wrote to standard error, over all its starts.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.options.logs.join("nfs-guard.log")
    }

    /// The file the guard writes the CA of its certificate to.
    #[must_use]
    pub fn ca(&self) -> &Path {
        &self.options.ca
    }

    /// The file the guard reads its configuration from.
    #[must_use]
    pub fn config(&self) -> &Path {
        &self.options.config
    }

    /// The kubeconfig with its right to call the API server.
    #[must_use]
    pub fn kubeconfig(&self) -> &Path {
        &self.options.kubeconfig
    }

    /// The guard's configuration and its right to call the API server, as a pod
    /// of the chart would find them.
    fn write_files(&self, admin: &Kubectl) -> Result<()> {
        let config = succeeded(chart::configuration(admin, Self::NAME))?.stdout;
        fs::write(&self.options.config, config).context("writing the guard's configuration")?;

        let token = admin.run(&["create", "token", Self::NAME, "--duration=24h"]);
        let token = succeeded(token)?.stdout;
        let kubeconfig = &self.options.kubeconfig;
        self.control_plane.credentials().write_kubeconfig(kubeconfig, token.trim())
    }

    /// Sends a claim on block storage through the Fail entry until what the API
    /// server answers is as wanted: a guard that is reached admits it.
    fn wait_for_canary(&self, what: &str, wanted: impl Fn(&Ran) -> bool) -> Result<()> {
        wait_for(what, CANARY_DEADLINE, || {
            if let Some(serving) = self.serving().as_mut() {
                serving.check_running()?;
            }
            let ran = canary::send(&self.canary, "proxmox-lvm-encrypted");
            Ok(if wanted(&ran) { Progress::Done(()) } else { Progress::NotYet(ran.to_string()) })
        })
        .map_err(|error| match self.serving().as_ref() {
            Some(serving) => error.context(serving.log_tail()),
            None => error,
        })
    }

    #[track_caller]
    fn with_serving<T>(&self, read: impl FnOnce(&Serving) -> T) -> T {
        read(self.serving().as_ref().expect("the guard is running"))
    }

    fn serving(&self) -> MutexGuard<'_, Option<Serving>> {
        // A test that failed while it held the lock left a whole value behind.
        self.serving.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The last byte of the Service's `ClusterIP`, where the guard listens.
const SERVICE_HOST: u8 = 50;
/// Above 1023, so that no test needs to be root.
const SERVICE_PORT: u16 = 8443;
const CANARY: &str = "nfs-guard-canary";
const CANARY_DEADLINE: Duration = Duration::from_mins(1);
// The volume controller looks at every claim each 15 s.
const AUDIT_DEADLINE: Duration = Duration::from_secs(30);

fn canary_namespace() -> String {
    json!({
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": CANARY, "labels": {"nfs-guard.io/critical": "true"}},
    })
    .to_string()
}

fn succeeded(ran: Ran) -> Result<Ran> {
    ensure!(ran.succeeded(), "{ran}");
    Ok(ran)
}
