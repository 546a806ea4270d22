//! A cluster in which the chart's own pods run.

use std::{
    sync::{Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};

use anyhow::Result;
use nfs_guard::config::Fingerprint;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::{
    ControlPlane, Kubectl, Kubelet, Ran, Relay, Shell, TestNamespace, User, canary,
    chart::{self, CHART},
    http,
    kubelet::HostNode,
    wait::{Progress, wait_for},
};

/// A control plane with two nodes whose pods are processes, and a relay that
/// leads the API server to them.
///
/// There is one, and who has it has it alone: its tests install, upgrade and
/// break the release, and cut the power.
#[derive(Debug)]
pub struct LiveCluster {
    // Dropped in this order: pods end before the one they report to.
    nodes: Vec<Kubelet>,
    relay: Option<Relay>,
    control_plane: ControlPlane,
}

impl LiveCluster {
    /// The release and its namespace.
    pub const NAME: &str = "nfs-guard";

    /// The cluster, as the test before has left it.
    pub fn take() -> MutexGuard<'static, Self> {
        static CLUSTER: OnceLock<Result<Mutex<LiveCluster>, String>> = OnceLock::new();
        let booted = CLUSTER
            .get_or_init(|| Self::boot().map(Mutex::new).map_err(|error| format!("{error:?}")));
        match booted {
            // A test that failed leaves a cluster behind; the next one installs anew.
            Ok(cluster) => cluster.lock().unwrap_or_else(PoisonError::into_inner),
            Err(error) => panic!("the live cluster did not boot: {error}"),
        }
    }

    /// The cluster with the chart installed, and every replica reached.
    #[track_caller]
    pub fn installed() -> MutexGuard<'static, Self> {
        let cluster = Self::take();
        cluster.upgrade(&["--install"]).expect_success();
        cluster.wait_until_reached();
        cluster.wait_for_configuration();
        cluster
    }

    fn boot() -> Result<Self> {
        let control_plane = ControlPlane::boot()?;
        let mut cluster = Self { nodes: Vec::new(), relay: None, control_plane };
        cluster.start_nodes()?;
        Ok(cluster)
    }

    /// `helm upgrade <release> <the chart> --wait <arguments>`: it returns when every
    /// replica is ready, or after a minute.
    #[must_use]
    pub fn upgrade(&self, arguments: &[&str]) -> Ran {
        let upgrade = ["upgrade", Self::NAME, CHART, "--namespace", Self::NAME];
        let settings = ["--create-namespace", "--wait", "--timeout=60s", "--set", SETTINGS];
        self.control_plane.helm().run(&[&upgrade, &settings, arguments].concat())
    }

    /// `helm <verb> <release> <arguments>`
    #[must_use]
    pub fn helm(&self, verb: &str, arguments: &[&str]) -> Ran {
        let release = [verb, Self::NAME, "--namespace", Self::NAME];
        self.control_plane.helm().run(&[&release, arguments].concat())
    }

    /// kubectl as the operator, in the release's namespace.
    #[must_use]
    pub fn kubectl(&self) -> Kubectl {
        self.control_plane.kubectl(User::Operator).in_namespace(Self::NAME)
    }

    /// A shell in which a person installs, upgrades and looks at the release, with files
    /// of its own. What `helm` installs from there has the settings a test needs too.
    pub fn shell(&self) -> Result<Shell> {
        self.control_plane.shell("shell", SETTINGS)
    }

    /// The control plane.
    #[must_use]
    pub fn control_plane(&self) -> &ControlPlane {
        &self.control_plane
    }

    /// A new namespace whose name starts with `prefix`.
    #[must_use]
    pub fn namespace(&self, prefix: &str, labels: &[(&str, &str)]) -> TestNamespace<'_> {
        self.control_plane.namespace(prefix, labels)
    }

    /// The guard's pods that serve.
    #[track_caller]
    #[must_use]
    pub fn replicas(&self) -> Vec<Value> {
        let list = self.kubectl().get(&["pods", "-l", WEBHOOK]);
        list["items"].as_array().cloned().unwrap_or_default()
    }

    /// Waits until what the API server sends to the guard is answered: a replica
    /// that is ready is reached when kube-proxy knows of it, and not before.
    #[track_caller]
    pub fn wait_until_reached(&self) {
        let namespace = self.namespace("canary", &[("nfs-guard.io/critical", "true")]);
        let kubectl = namespace.kubectl();
        let reached = wait_for("the API server to reach the guard", DEADLINE, || {
            let ran = canary::send(&kubectl, "nfs-proxmox");
            Ok(if ran.stderr.contains("denied the request") {
                Progress::Done(())
            } else {
                Progress::NotYet(ran.to_string())
            })
        });
        if let Err(error) = reached {
            panic!("{error:#}");
        }
    }

    /// Waits until the replicas are two, and each judges by the configuration that the
    /// release has: it looks at its file every ten seconds.
    #[track_caller]
    pub fn wait_for_configuration(&self) {
        let config = chart::configuration(&self.kubectl(), Self::NAME).expect_success().stdout;
        let config = Fingerprint::of(&config);
        let in_force = format!("nfs_guard_config_info{{fingerprint=\"{config}\"}} 1");
        let judges_by_it = |replica: &Value| {
            let address = replica["status"]["podIP"].as_str().unwrap_or_default();
            let metrics = http::try_get(&format!("http://{address}:8080/metrics"));
            metrics.is_ok_and(|(_, metrics)| metrics.contains(&in_force))
        };
        let settled = wait_for("two replicas of that configuration", DEADLINE, || {
            let replicas = self.replicas();
            let good = replicas.iter().filter(|replica| judges_by_it(replica)).count();
            let left = || Progress::NotYet(format!("{good} of {} replicas", replicas.len()));
            Ok(if (good, replicas.len()) == (2, 2) { Progress::Done(()) } else { left() })
        });
        if let Err(error) = settled {
            panic!("{error:#}");
        }
    }

    /// Ends the process of one of the guard's pods (SIGKILL), as the kernel does when
    /// memory is short.
    #[track_caller]
    pub fn kill(&self, pod: &Value) {
        let id = &pod["status"]["containerStatuses"][0]["containerID"];
        let pid = id.as_str().and_then(|id| id.strip_prefix("process://")?.parse().ok());
        let pid = pid.and_then(Pid::from_raw).unwrap_or_else(|| panic!("{id} names no process"));
        if let Err(error) = kill_process(pid, Signal::KILL) {
            panic!("killing {pid:?}: {error}");
        }
    }

    /// Ends every process of the cluster at once: the control plane and the pods.
    /// What etcd has stays.
    pub fn cut_power(&mut self) {
        self.nodes.clear();
        self.relay = None;
        self.control_plane.stop();
    }

    /// Starts the control plane again, and then the nodes.
    pub fn start(&mut self) -> Result<()> {
        self.control_plane.start()?;
        self.start_nodes()
    }

    fn start_nodes(&mut self) -> Result<()> {
        self.relay = Some(Relay::start(&self.control_plane)?);
        for node in HostNode::ALL {
            self.nodes.push(Kubelet::start(&self.control_plane, node)?);
        }
        let kubectl = self.kubectl();
        wait_for("both nodes to take pods", DEADLINE, || {
            let nodes = kubectl.get(&["nodes", "-l", "type=host"]);
            let taken = |node: &&Value| node["spec"]["taints"].is_null();
            let nodes = nodes["items"].as_array().cloned().unwrap_or_default();
            Ok(if nodes.iter().filter(taken).count() == HostNode::ALL.len() {
                Progress::Done(())
            } else {
                Progress::NotYet(json!(nodes).to_string())
            })
        })
    }
}

/// A port above 1023, so that no test needs to be root; nodes whose pods really run;
/// and patience, as one machine does the work of a cluster. All else is the chart's own.
const SETTINGS: &str = "service.port=8443,nodeSelector.type=host,webhook.timeoutSeconds=10";
const WEBHOOK: &str = "app.kubernetes.io/component=webhook";
const DEADLINE: Duration = Duration::from_mins(1);
