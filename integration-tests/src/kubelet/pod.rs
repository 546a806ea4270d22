//! The life of one pod on this node.

use std::{fs, path::PathBuf, sync::Arc, time::Duration};

use anyhow::{Context, Result};
use futures::future::join_all;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, Service};
use kube::{
    Api,
    api::{DeleteParams, ListParams, Patch, PatchParams, Preconditions},
};
use serde_json::json;
use tokio::{
    sync::{oneshot, watch},
    time,
};

use super::{
    arguments::{Mounts, for_process, on_this_machine},
    container::{self, Container, asked},
    environment,
    host::Host,
    image,
    probe::Probes,
    status::{Observed, Reporter},
    volumes::Volumes,
};
use crate::credentials::kubeconfig;

/// Runs a pod from the moment it is bound to the node until its object is gone.
pub(super) async fn run(host: Arc<Host>, mut changes: watch::Receiver<Pod>) {
    let pod = changes.borrow_and_update().clone();
    let life = Life::of(host, pod);
    if life.is_over() {
        // Before this kubelet was there.
        to_go(&mut changes).await;
    } else {
        let (stop, stopped) = watch::channel(None);
        let going = async {
            stop.send_replace(Some(to_go(&mut changes).await));
        };
        let living = async {
            let (observed, reported) = watch::channel(life.at_first());
            tokio::join!(life.live(observed, stopped), life.report(reported));
        };
        tokio::join!(going, living);
    }
    life.remove().await;
}

/// Waits until the pod is to go, and says how long it has for that.
async fn to_go(changes: &mut watch::Receiver<Pod>) -> Duration {
    loop {
        {
            let metadata = &changes.borrow_and_update().metadata;
            if metadata.deletion_timestamp.is_some() {
                let grace = metadata.deletion_grace_period_seconds.unwrap_or_default();
                return Duration::from_secs(grace.unsigned_abs());
            }
        }
        if changes.changed().await.is_err() {
            // Deleted by force: the object is gone.
            return LEAST_GRACE;
        }
    }
}

/// As the kubelet's `minimumGracePeriodInSeconds`.
const LEAST_GRACE: Duration = Duration::from_secs(2);

struct Life {
    host: Arc<Host>,
    pod: Pod,
    namespace: String,
    name: String,
    uid: String,
    folder: PathBuf,
}

impl Life {
    fn of(host: Arc<Host>, pod: Pod) -> Self {
        let metadata = &pod.metadata;
        let namespace = metadata.namespace.clone().unwrap_or_default();
        let name = metadata.name.clone().unwrap_or_default();
        let uid = metadata.uid.clone().unwrap_or_default();
        let folder = host.folder.join(format!("{namespace}_{name}_{uid}"));
        Self { host, pod, namespace, name, uid, folder }
    }

    fn is_over(&self) -> bool {
        let phase = self.pod.status.as_ref().and_then(|status| status.phase.as_deref());
        matches!(phase, Some("Succeeded" | "Failed"))
    }

    /// What is seen of a pod that this kubelet has done nothing for yet.
    fn at_first(&self) -> Observed {
        let status = self.pod.status.as_ref();
        let before =
            status.and_then(|status| status.container_statuses.as_deref()).unwrap_or_default();
        let containers = self.pod.spec.iter().flat_map(|spec| &spec.containers);
        let containers = containers.map(|spec| {
            let before = before.iter().find(|before| before.name == spec.name);
            container::waiting(spec, before)
        });
        Observed { address: None, containers: containers.collect(), over: false }
    }

    /// Runs the containers, until they have ended for good and the pod is to go.
    async fn live(
        &self,
        observed: watch::Sender<Observed>,
        mut stop: watch::Receiver<Option<Duration>>,
    ) {
        let ran = async {
            // Free again when no process has it any more.
            let lease = self.host.lease_address()?;
            self.run_containers(lease.address, &observed, stop.clone()).await
        };
        if let Err(error) = ran.await {
            self.log(&error);
            // A kubelet would try for ever; what is not known here stays unknown.
            asked(&mut stop).await;
        }
        observed.send_modify(|observed| observed.over = true);
        asked(&mut stop).await;
    }

    async fn run_containers(
        &self,
        address: std::net::Ipv4Addr,
        observed: &watch::Sender<Observed>,
        mut stop: watch::Receiver<Option<Duration>>,
    ) -> Result<()> {
        fs::create_dir_all(&self.folder).context("making a pod's folder")?;
        let volumes = self.folder.join("volumes");
        let volumes = Volumes::new(Arc::clone(&self.host), self.pod.clone(), volumes);
        let (mounted, are_mounted) = oneshot::channel();
        let containers = async {
            tokio::select! {
                _ = asked(&mut stop) => return Ok(()),
                mounted = are_mounted => mounted.context("the volumes were given up")?,
            }
            observed.send_modify(|observed| observed.address = Some(address));
            let service = self.service().await;
            let specs = self.pod.spec.iter().flat_map(|spec| &spec.containers);
            let mut running = Vec::new();
            for (index, spec) in specs.enumerate() {
                if image::is_here(spec.image.as_deref().unwrap_or_default()) {
                    let mounts = volumes.mounts(spec);
                    running.push(self.container(index, &mounts, address, service.as_deref())?);
                } else {
                    // It is waited for in vain.
                    asked(&mut stop).await;
                    return Ok(());
                }
            }
            join_all(running.into_iter().map(|one| one.run(observed, stop.clone()))).await;
            Ok(())
        };
        tokio::select! {
            given_up = volumes.keep(mounted) => given_up.context("filling volumes"),
            ended = containers => ended,
        }
    }

    fn container(
        &self,
        index: usize,
        mounts: &Mounts,
        address: std::net::Ipv4Addr,
        service: Option<&str>,
    ) -> Result<Container> {
        let pod = self.pod.spec.as_ref().context("a pod has a spec")?;
        let spec = pod.containers[index].clone();
        let arguments = spec.args.clone().unwrap_or_default();
        let arguments = for_process(&arguments, mounts, address, service);
        let mut variables = environment::variables(&spec, &self.pod, address, self.host.address)?;
        if let Some(token) = on_this_machine(&format!("{SERVICE_ACCOUNT}/token"), mounts) {
            let ca = token.with_file_name("ca.crt");
            let text = kubeconfig(&self.host.server, &ca, &json!({"tokenFile": token}));
            let path = self.folder.join("kubeconfig");
            fs::write(&path, text.to_string()).context("writing a kubeconfig")?;
            variables.push(("KUBECONFIG".into(), path.display().to_string()));
        }
        let grace = pod.termination_grace_period_seconds.unwrap_or_default();
        Ok(Container {
            host: Arc::clone(&self.host),
            pod: format!("{}/{}", self.namespace, self.name),
            index,
            restart_policy: pod.restart_policy.clone().unwrap_or_default(),
            grace: Duration::from_secs(grace.unsigned_abs()),
            command: container::command(&self.host.program, &spec, arguments, variables)?,
            probes: Probes::of(&spec, address)?,
            folder: self.folder.clone(),
            spec,
        })
    }

    /// The URL of the Service of the release this pod belongs to: in a cluster,
    /// its name would do.
    async fn service(&self) -> Option<String> {
        let release = self.pod.metadata.labels.as_ref()?.get(RELEASE)?;
        let services = Api::<Service>::namespaced(self.host.client.clone(), &self.namespace);
        let selector = ListParams::default().labels(&format!("{RELEASE}={release}"));
        let services = services.list(&selector).await;
        let services =
            services.inspect_err(|error| self.log(&anyhow::anyhow!("Services: {error}"))).ok()?;
        let spec = services.items.into_iter().next()?.spec?;
        let port = spec.ports?.first()?.port;
        Some(format!("https://{}:{port}", spec.cluster_ip?))
    }

    /// Reports what is seen, and each change of it, until nobody looks any more.
    async fn report(&self, mut observed: watch::Receiver<Observed>) {
        let mut reporter = Reporter::new(self.host.address, &self.pod);
        loop {
            let seen = observed.borrow_and_update().clone();
            let status = reporter.status(&seen, Timestamp::now());
            // The uid lets it fail for a later pod of the same name.
            let patch = json!({"metadata": {"uid": self.uid}, "status": status});
            let patch = Patch::Strategic(patch);
            let sent = self.pods().patch_status(&self.name, &PatchParams::default(), &patch).await;
            match sent {
                Err(error) if !is_gone(&error) => {
                    self.log(&anyhow::Error::new(error).context("reporting"));
                    time::sleep(super::RETRY).await;
                    continue;
                }
                _ => {}
            }
            if observed.changed().await.is_err() {
                return;
            }
        }
    }

    /// Deletes the object, for nothing of the pod is left.
    async fn remove(&self) {
        let this_pod = Preconditions { uid: Some(self.uid.clone()), resource_version: None };
        let parameters = DeleteParams {
            grace_period_seconds: Some(0),
            preconditions: Some(this_pod),
            ..DeleteParams::default()
        };
        while let Err(error) = self.pods().delete(&self.name, &parameters).await {
            if is_gone(&error) {
                return;
            }
            self.log(&anyhow::Error::new(error).context("deleting"));
            time::sleep(super::RETRY).await;
        }
    }

    fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.host.client.clone(), &self.namespace)
    }

    fn log(&self, error: &anyhow::Error) {
        self.host.log(format_args!("{}/{}: {error:#}", self.namespace, self.name));
    }
}

const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
const RELEASE: &str = "app.kubernetes.io/instance";

/// Gone, or another of the same name is there.
fn is_gone(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 404 || status.code == 409)
}
