//! When the control plane may be used.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use hyper::Request;
use k8s_openapi::api::core::v1::{Node, ServiceAccount};
use kube::{Api, Client, Config, api::ListParams};
use tokio::runtime::{self, Runtime};

use crate::{
    User,
    credentials::Credentials,
    process::Process,
    wait::{Progress, wait_for},
};

/// Asks the components how far they are.
pub(super) struct Probes {
    runtime: Runtime,
    config: Config,
}

impl Probes {
    pub(super) fn new(credentials: &Credentials) -> Result<Self> {
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("making a runtime for the probes")?;
        let mut config = runtime.block_on(credentials.client_config(User::Admin))?;
        // The loop around each probe is the retry, and it looks at the
        // processes in between.
        config.default_retry = false;
        Ok(Self { runtime, config })
    }

    /// Waits until `<origin><path>` answers 200.
    pub(super) fn wait(&self, processes: &mut [Process], origin: &str, path: &str) -> Result<()> {
        let client = self.client(origin)?;
        self.wait_for(processes, &format!("{origin}{path}"), async || {
            let request = Request::get(path).body(Vec::new())?;
            client.request_text(request).await?;
            Ok(())
        })
    }

    /// Waits until `count` of kwok's nodes take pods and a pod in `default` finds its
    /// service account: then every controller a test relies on has done its work once.
    pub(super) fn wait_for_nodes(
        &self,
        processes: &mut [Process],
        origin: &str,
        count: usize,
    ) -> Result<()> {
        let client = self.client(origin)?;
        let nodes = Api::<Node>::all(client.clone());
        self.wait_for(processes, "the nodes to be ready", async || {
            let listed = nodes.list(&ListParams::default().labels("type=kwok")).await?;
            let ready = listed.iter().filter(|node| takes_pods(node)).count();
            ensure!(ready == count, "{ready} of {count} nodes are ready");
            Ok(())
        })?;
        let accounts = Api::<ServiceAccount>::namespaced(client, "default");
        self.wait_for(processes, "the default service account", async || {
            accounts.get("default").await?;
            Ok(())
        })
    }

    fn client(&self, origin: &str) -> Result<Client> {
        let mut config = self.config.clone();
        config.cluster_url = origin.parse().with_context(|| format!("parsing {origin}"))?;
        let _runtime = self.runtime.enter();
        Client::try_from(config).with_context(|| format!("making a client for {origin}"))
    }

    fn wait_for(
        &self,
        processes: &mut [Process],
        what: &str,
        probe: impl AsyncFn() -> Result<()>,
    ) -> Result<()> {
        let waited = wait_for(what, DEADLINE, || {
            all_running(processes)?;
            Ok(match self.runtime.block_on(probe()) {
                Ok(()) => Progress::Done(()),
                Err(error) => Progress::NotYet(format!("{error:#}")),
            })
        });
        waited.or_else(|missed| {
            // If one has ended, its log is the story and is in that error; else any may tell.
            all_running(processes)?;
            let logs: Vec<String> = processes.iter().map(Process::log_tail).collect();
            bail!("{missed:#}\n{}", logs.join("\n"))
        })
    }
}

/// More than ten times what a boot takes on two idle cores.
const DEADLINE: Duration = Duration::from_mins(2);

fn all_running(processes: &mut [Process]) -> Result<()> {
    processes.iter_mut().try_for_each(Process::check_running)
}

/// Ready, and the taint of a node that is not ready is gone.
fn takes_pods(node: &Node) -> bool {
    let status = node.status.as_ref();
    let ready = status.and_then(|status| status.conditions.as_ref()).is_some_and(|conditions| {
        conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
    });
    let tainted = node.spec.as_ref().is_some_and(|spec| spec.taints.is_some());
    ready && !tainted
}
