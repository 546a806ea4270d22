//! Nodes whose pods really run, as processes of this machine.

mod arguments;
mod container;
mod environment;
mod folder;
mod host;
mod image;
mod logs;
mod node;
mod pod;
mod probe;
mod status;
mod volumes;

use std::{
    collections::{HashMap, HashSet},
    pin::pin,
    sync::Arc,
    time::Duration,
};

use anyhow::Result;
use futures::StreamExt;
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api,
    runtime::{
        WatchStreamExt,
        watcher::{self, Event, watcher},
    },
};
use tokio::{sync::watch, task::JoinSet};

use crate::{ControlPlane, User, worker::Worker};
use host::Host;
pub use node::HostNode;
pub(crate) use probe::port;

/// The kubelet of one node: each container of a pod that is bound there, and
/// whose image is the guard's, is a process of the workspace's own binary.
///
/// It does what a kubelet does, with a kubelet's credentials and nothing more:
/// registers its node and renews the lease; fills volumes from `ConfigMap`s,
/// `Secret`s, the downward API and tokens bound to the pod, and follows what they
/// are filled from; runs startup, readiness and liveness probes; restarts by
/// `restartPolicy`; reports every change; serves logs; and when a pod is deleted
/// sends SIGTERM, waits for the grace period, sends SIGKILL, and deletes the
/// object with grace 0 and its uid.
///
/// What a process without root cannot have, or what no pod of ours asks for:
/// * No isolation: no user, no seccomp, no read-only root, no cgroups, no limits,
///   no `NetworkPolicy`. The environment of the test process is inherited.
/// * No file system of its own. A volume is a folder; a mount path at the start
///   of an argument, or behind its `=`, is replaced by that folder. kube looks
///   for a service account's token under `/var/run` alone, so a kubeconfig that
///   names the token's file is passed by `KUBECONFIG` instead.
/// * No network of its own. A pod has an address in 127/8, and the address to
///   listen on is told by argument, since `[::]` would be everybody's. For want of
///   DNS, `self-test` is told by `--url` where its Service is.
/// * No image is pulled: [`HostNode::TAGS`] are there, any other is `ErrImagePull`.
/// * Probes by HTTP alone, volumes of five kinds, no init containers, no
///   lifecycle hooks, no `exec`; tokens last an hour and are not renewed.
///
/// Quicker than a kubelet: a container that fails is restarted after half a
/// second, doubled up to ten, not after ten seconds, doubled up to five
/// minutes; a changed `ConfigMap` arrives at once, not within a minute.
///
/// Containers have the id `process://<pid>`. Dropping a kubelet is a power cut:
/// its processes are killed, and the API server is told nothing.
#[derive(Debug)]
pub struct Kubelet {
    _worker: Worker,
}

impl Kubelet {
    /// Starts it on a thread of its own; what goes wrong it writes to
    /// `<folder of the control plane>/kubelet-<node>.log`.
    pub fn start(control_plane: &ControlPlane, node: HostNode) -> Result<Self> {
        let work = |client| {
            let host = Arc::new(Host::new(control_plane, node, client)?);
            Ok(async move {
                tokio::select! {
                    () = node::keep(&host) => {}
                    () = logs::serve(&host) => {}
                    () = run(&host) => {}
                }
            })
        };
        let credentials = control_plane.credentials();
        Ok(Self { _worker: Worker::start(node.name(), credentials, User::Node(node), work)? })
    }
}

/// Gives every pod that is bound to the node a task, and tells it of every
/// change; the task is told that the object is gone by the end of its channel.
async fn run(host: &Arc<Host>) {
    let selector = format!("spec.nodeName={}", host.node.name());
    let config = watcher::Config::default().fields(&selector);
    let events = watcher(Api::<Pod>::all(host.client.clone()), config).default_backoff();
    let mut events = pin!(events);
    let mut pods = HashMap::<String, watch::Sender<Pod>>::new();
    let mut listed = HashSet::new();
    // Dropped with this function, and with them every process.
    let mut tasks = JoinSet::new();
    loop {
        let event = tokio::select! {
            event = events.next() => event,
            Some(ended) = tasks.join_next() => {
                if let Err(error) = ended {
                    host.log(format_args!("a pod's task: {error}"));
                }
                continue;
            }
        };
        match event {
            Some(Ok(Event::Init)) => listed.clear(),
            Some(Ok(Event::InitDone)) => pods.retain(|uid, _| listed.contains(uid)),
            Some(Ok(Event::Delete(pod))) => {
                pods.remove(uid(&pod));
            }
            Some(Ok(Event::InitApply(pod) | Event::Apply(pod))) => {
                let uid = uid(&pod).to_owned();
                listed.insert(uid.clone());
                if let Some(known) = pods.get(&uid) {
                    known.send_replace(pod);
                } else {
                    let (newest, changes) = watch::channel(pod);
                    pods.insert(uid, newest);
                    tasks.spawn(pod::run(Arc::clone(host), changes));
                }
            }
            Some(Err(error)) => host.log(format_args!("watching pods: {error}")),
            None => return,
        }
    }
}

/// Between two attempts at what the API server did not let us do.
const RETRY: Duration = Duration::from_millis(200);

fn uid(pod: &Pod) -> &str {
    pod.metadata.uid.as_deref().unwrap_or_default()
}
