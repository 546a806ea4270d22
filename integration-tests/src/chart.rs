//! The chart, and the real helm to install it with.

use std::{path::PathBuf, process::Command};

use crate::{Kubectl, Ran, kubectl::isolate};

/// Where the chart lies.
pub const CHART: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../helm/nfs-guard");

/// Runs the real helm, as the cluster's admin.
#[derive(Clone, Debug)]
pub struct Helm {
    pub(crate) program: PathBuf,
    pub(crate) kubeconfig: PathBuf,
    pub(crate) home: PathBuf,
}

impl Helm {
    /// `helm <arguments>`
    #[must_use]
    pub fn run(&self, arguments: &[&str]) -> Ran {
        let mut command = Command::new(&self.program);
        isolate(&mut command, &self.kubeconfig, &self.home);
        for (variable, folder) in [
            ("HELM_CACHE_HOME", "helm/cache"),
            ("HELM_CONFIG_HOME", "helm/config"),
            ("HELM_DATA_HOME", "helm/data"),
        ] {
            command.env(variable, self.home.join(folder));
        }
        Ran::new(command.args(arguments), "")
    }

    /// `helm install <release> <the chart> --namespace <namespace> --create-namespace <arguments>`
    #[must_use]
    pub fn install(&self, release: &str, namespace: &str, arguments: &[&str]) -> Ran {
        let install = ["install", release, CHART, "--namespace", namespace, "--create-namespace"];
        self.run(&[&install, arguments].concat())
    }
}

/// The configuration file of a release, as kubectl prints it. The name of the release
/// holds `nfs-guard`, so that the chart calls its objects by that name alone.
pub(crate) fn configuration(kubectl: &Kubectl, release: &str) -> Ran {
    kubectl.run(&["get", "configmap", release, "-o", r"jsonpath={.data.config\.yaml}"])
}
