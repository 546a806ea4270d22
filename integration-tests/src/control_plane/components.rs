//! The command line of each program.

use std::{net::Ipv4Addr, path::Path, process::Command};

use anyhow::Result;

use crate::{
    User, binaries::Binaries, credentials::Credentials, network::Loopback, process::Process,
};

/// The last byte of the address all components listen on. Services get theirs
/// from the same /24, but other ports.
pub(super) const HOST: u8 = 2;
pub(super) const APISERVER_PORT: u16 = 6443;
const ETCD_PORT: u16 = 2379;
const ETCD_PEER_PORT: u16 = 2380;
const CONTROLLER_MANAGER_PORT: u16 = 10257;
const SCHEDULER_PORT: u16 = 10259;
const KWOK_PORT: u16 = 10247;

/// The API server's own audit log, in the control plane's folder.
pub(super) const AUDIT_LOG: &str = "kube-apiserver-audit.jsonl";

/// What the command lines are made from.
pub(super) struct Components<'a> {
    pub(super) binaries: &'a Binaries,
    pub(super) credentials: &'a Credentials,
    pub(super) network: &'a Loopback,
    pub(super) folder: &'a Path,
}

impl Components<'_> {
    pub(super) fn etcd(&self) -> Result<Process> {
        let client = format!("http://{}:{ETCD_PORT}", self.host());
        let peer = format!("http://{}:{ETCD_PEER_PORT}", self.host());
        let mut command = Command::new(&self.binaries.etcd);
        command
            .args(["--name", "test", "--data-dir"])
            .arg(self.folder.join("etcd"))
            .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
            .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
            .args(["--initial-cluster", &format!("test={peer}")])
            // A crash of the machine may cost the data of a test.
            .arg("--unsafe-no-fsync");
        self.start("etcd", &command)
    }

    pub(super) fn apiserver(&self) -> Result<Process> {
        let Self { binaries, credentials, network, .. } = self;
        let host = self.host();
        let mut command = Command::new(&binaries.kube_apiserver);
        command
            .arg(format!("--etcd-servers=http://{host}:{ETCD_PORT}"))
            .arg(format!("--secure-port={APISERVER_PORT}"))
            .arg(format!("--advertise-address={host}"))
            // The endpoints of the Service `kubernetes` may not be loopback.
            .arg("--endpoint-reconciler-type=none")
            .arg(format!("--service-cluster-ip-range={network}"))
            .arg("--authorization-mode=Node,RBAC")
            .arg(format!("--audit-policy-file={AUDIT_POLICY}"))
            .arg(flag("--audit-log-path", &self.folder.join(AUDIT_LOG)))
            .arg(flag("--token-auth-file", &credentials.tokens()))
            .arg(format!("--service-account-issuer={}", credentials.server()))
            .arg(flag("--service-account-key-file", &credentials.service_account_public_key()))
            .arg(flag("--service-account-signing-key-file", &credentials.service_account_key()));
        self.serve_tls(&mut command);
        self.start("kube-apiserver", &command)
    }

    pub(super) fn controller_manager(&self) -> Result<Process> {
        let Self { binaries, credentials, .. } = self;
        let mut command = Command::new(&binaries.kube_controller_manager);
        command
            .arg(format!("--secure-port={CONTROLLER_MANAGER_PORT}"))
            // Each controller then has the user name it has in a real cluster.
            .arg("--use-service-account-credentials=true")
            // Loopback addresses may not be endpoints: they would try for ever.
            .arg("--controllers=*,-endpoints-controller,-endpointslice-controller")
            .arg(flag("--root-ca-file", &credentials.ca()))
            .arg(flag("--service-account-private-key-file", &credentials.service_account_key()));
        self.controls(&mut command, User::ControllerManager);
        self.start("kube-controller-manager", &command)
    }

    pub(super) fn scheduler(&self) -> Result<Process> {
        let mut command = Command::new(&self.binaries.kube_scheduler);
        command.arg(format!("--secure-port={SCHEDULER_PORT}"));
        self.controls(&mut command, User::Scheduler);
        self.start("kube-scheduler", &command)
    }

    pub(super) fn kwok(&self) -> Result<Process> {
        let mut command = Command::new(&self.binaries.kwok);
        command
            .arg(flag("--kubeconfig", &self.credentials.kubeconfig(User::Kubelets)))
            .arg(format!("--server-address={}:{KWOK_PORT}", self.host()))
            // The others are played by the harness itself.
            .arg("--manage-nodes-with-label-selector=type=kwok")
            // With leases the nodes stay Ready for as long as kwok runs.
            .arg("--node-lease-duration-seconds=40");
        for stages in STAGES {
            command.args(["--config", stages]);
        }
        self.start("kwok", &command)
    }

    /// Where those that start after the API server say that they are ready.
    pub(super) fn readiness(&self) -> [(String, &'static str); 3] {
        let host = self.host();
        [
            // This one has no /readyz.
            (format!("https://{host}:{CONTROLLER_MANAGER_PORT}"), "/healthz"),
            (format!("https://{host}:{SCHEDULER_PORT}"), "/readyz"),
            (format!("http://{host}:{KWOK_PORT}"), "/readyz"),
        ]
    }

    /// What the controller manager and the scheduler have in common.
    fn controls(&self, command: &mut Command, user: User) {
        command
            .arg(flag("--kubeconfig", &self.credentials.kubeconfig(user)))
            .arg("--leader-elect=false")
            // The defaults (20 and 30) are for clusters others use as well.
            .args(["--kube-api-qps=200", "--kube-api-burst=400"]);
        self.serve_tls(command);
    }

    fn serve_tls(&self, command: &mut Command) {
        command
            .arg(format!("--bind-address={}", self.host()))
            .arg(flag("--tls-cert-file", &self.credentials.certificate()))
            .arg(flag("--tls-private-key-file", &self.credentials.key()));
    }

    fn host(&self) -> Ipv4Addr {
        self.network.address(HOST)
    }

    fn start(&self, name: &str, command: &Command) -> Result<Process> {
        Process::start(name, command, self.folder)
    }
}

const STAGES: [&str; 2] = [
    concat!(env!("CARGO_MANIFEST_DIR"), "/stages/node-ready.yaml"),
    concat!(env!("CARGO_MANIFEST_DIR"), "/stages/pod.yaml"),
];

const AUDIT_POLICY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/cluster/audit-policy.yaml");

fn flag(name: &str, path: &Path) -> String {
    format!("{name}={}", path.display())
}
