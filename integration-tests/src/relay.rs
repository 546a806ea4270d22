//! What kube-proxy does, for Services whose pods are processes of this machine.

use std::{
    collections::{BTreeMap, VecDeque},
    fs::File,
    io::Write as _,
    net::{IpAddr, SocketAddr},
    pin::pin,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result};
use futures::{StreamExt, stream};
use k8s_openapi::{
    api::core::v1::{Pod, PodCondition, Service},
    apimachinery::pkg::util::intstr::IntOrString,
};
use kube::{
    Api, Client,
    runtime::{
        WatchStreamExt, reflector,
        reflector::store::Writer,
        watcher::{self, watcher},
    },
};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
    time::{self, Instant},
};

use crate::{ControlPlane, User, kubelet, worker::Worker};

/// Listens at the `ClusterIP` of every Service and passes each new connection on
/// to one of its pods, chosen at random as by kube-proxy's iptables.
///
/// A pod counts from when it is Ready until it is not, or is to go; while none is
/// left, those that are to go and are still Ready count. A pod that counts no
/// more gets no new connection, and keeps those it has. A Service without a pod
/// refuses connections. All of this [`Relay::DELAY`] late, as in a cluster, where
/// `EndpointSlice`s are written first and rules after that.
///
/// It follows the pods themselves: the API server takes no loopback address into
/// an `EndpointSlice`. What it leaves out: session affinity, `NodePort`s, UDP, and
/// that a packet on its way is nobody's, where here a connection that was
/// accepted is lost with its pod.
#[derive(Debug)]
pub struct Relay {
    _worker: Worker,
}

impl Relay {
    /// How long a change of a pod takes to reach the last node: kube-proxy writes
    /// its rules once a second, and the slice comes before that.
    pub const DELAY: Duration = Duration::from_secs(2);

    /// Starts it on a thread of its own; what goes wrong it writes to
    /// `<folder of the control plane>/relay.log`.
    pub fn start(control_plane: &ControlPlane) -> Result<Self> {
        let log = control_plane.folder().join("relay.log");
        let log = File::options().create(true).append(true).open(log).context("making a log")?;
        let credentials = control_plane.credentials();
        // Unlike kube-proxy it reads pods, so a role of kube-proxy's would not do.
        let work = |client| Ok(run(client, log));
        Ok(Self { _worker: Worker::start("relay", credentials, User::Admin, work)? })
    }
}

/// Where the pods of each address of a Service are.
type Table = BTreeMap<SocketAddr, Vec<SocketAddr>>;

async fn run(client: Client, mut log: File) {
    let (services, writer) = reflector::store();
    let service_events = followed(Api::<Service>::all(client.clone()), writer);
    let (pods, writer) = reflector::store();
    let pod_events = followed(Api::<Pod>::all(client), writer);
    let mut events = pin!(stream::select(service_events, pod_events));

    let mut coming = VecDeque::<(Instant, Table)>::new();
    let mut last = Table::new();
    let mut serving = BTreeMap::<SocketAddr, Port>::new();
    loop {
        let next = coming.front().map(|(at, _)| *at);
        tokio::select! {
            event = events.next() => match event {
                Some(Ok(())) => {
                    let (services, pods) = (services.state(), pods.state());
                    let table = table(&services, &pods);
                    if table != last {
                        last.clone_from(&table);
                        coming.push_back((Instant::now() + Relay::DELAY, table));
                    }
                }
                // Nobody to tell but the log; the watch is begun again.
                Some(Err(error)) => drop(writeln!(log, "watching: {error}")),
                None => return,
            },
            () = time::sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => {
                if let Some((_, table)) = coming.pop_front() {
                    serving.retain(|address, _| table.contains_key(address));
                    for (address, pods) in table {
                        serving.entry(address).or_insert_with(|| Port::open(address)).set(pods);
                    }
                }
            }
        }
    }
}

/// Keeps a store up to date, and says that it has changed.
fn followed<K>(
    api: Api<K>,
    writer: Writer<K>,
) -> impl stream::Stream<Item = Result<(), watcher::Error>>
where
    K: kube::Resource<DynamicType = ()> + Clone + serde::de::DeserializeOwned + std::fmt::Debug,
    K: Send + Sync + 'static,
{
    let events = watcher(api, watcher::Config::default()).default_backoff();
    events.reflect(writer).map(|event| event.map(drop))
}

fn table(services: &[Arc<Service>], pods: &[Arc<Pod>]) -> Table {
    let mut table = Table::new();
    for service in services {
        let Some(spec) = &service.spec else { continue };
        let Some(address) = spec.cluster_ip.as_ref().and_then(|ip| ip.parse::<IpAddr>().ok())
        else {
            continue;
        };
        // Without a selector somebody else says where it leads.
        let Some(selector) = spec.selector.as_ref().filter(|selector| !selector.is_empty()) else {
            continue;
        };
        let selected = |pod: &&Arc<Pod>| {
            let labels = pod.metadata.labels.as_ref();
            pod.metadata.namespace == service.metadata.namespace
                && selector
                    .iter()
                    .all(|(key, value)| labels.and_then(|labels| labels.get(key)) == Some(value))
        };
        for port in spec.ports.iter().flatten() {
            let Ok(number) = u16::try_from(port.port) else { continue };
            let target = port.target_port.clone().unwrap_or(IntOrString::Int(port.port));
            let endpoint = |pod: &Arc<Pod>| -> Option<(bool, SocketAddr)> {
                let (going, ip) = ready(pod)?;
                let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
                let mut ports =
                    containers.filter_map(|container| kubelet::port(&target, container).ok());
                Some((going, SocketAddr::new(ip, ports.next()?)))
            };
            let (going, staying): (Vec<_>, Vec<_>) =
                pods.iter().filter(selected).filter_map(endpoint).partition(|&(going, _)| going);
            let mut counted = if staying.is_empty() { going } else { staying };
            counted.sort_unstable();
            let addresses = counted.into_iter().map(|(_, address)| address).collect();
            table.insert(SocketAddr::new(address, number), addresses);
        }
    }
    table
}

/// Whether a pod that is Ready is to go, and its address.
fn ready(pod: &Pod) -> Option<(bool, IpAddr)> {
    let status = pod.status.as_ref()?;
    let conditions = status.conditions.as_ref()?;
    let is_ready =
        |condition: &&PodCondition| condition.type_ == "Ready" && condition.status == "True";
    conditions.iter().find(is_ready)?;
    let address = status.pod_ip.as_ref()?.parse().ok()?;
    Some((pod.metadata.deletion_timestamp.is_some(), address))
}

/// One port of one Service; dropping it ends its connections too.
struct Port {
    pods: watch::Sender<Vec<SocketAddr>>,
    _task: JoinSet<()>,
}

impl Port {
    fn open(address: SocketAddr) -> Self {
        let (pods, changes) = watch::channel(Vec::new());
        let mut task = JoinSet::new();
        task.spawn(pass_on(address, changes));
        Self { pods, _task: task }
    }

    fn set(&self, pods: Vec<SocketAddr>) {
        self.pods.send_if_modified(|known| {
            let is_new = *known != pods;
            *known = pods;
            is_new
        });
    }
}

async fn pass_on(address: SocketAddr, mut pods: watch::Receiver<Vec<SocketAddr>>) {
    let mut connections = JoinSet::new();
    loop {
        if pods.wait_for(|pods| !pods.is_empty()).await.is_err() {
            return;
        }
        let Ok(listener) = TcpListener::bind(address).await else {
            // Below 1024, or somebody else's: nobody is reached there.
            if pods.changed().await.is_err() {
                return;
            }
            continue;
        };
        while !pods.borrow_and_update().is_empty() {
            tokio::select! {
                accepted = listener.accept() => if let Ok((stream, _)) = accepted {
                    let pods = pods.borrow();
                    let pod = pods[fastrand::usize(..pods.len())];
                    connections.spawn(connect(stream, pod));
                },
                changed = pods.changed() => if changed.is_err() {
                    return;
                },
                Some(_ended) = connections.join_next() => {}
            }
        }
    }
}

async fn connect(mut client: TcpStream, pod: SocketAddr) {
    let connected = async {
        let mut server = TcpStream::connect(pod).await?;
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        copy_bidirectional(&mut client, &mut server).await
    };
    if connected.await.is_err() {
        // The client learns of it as it would from the pod itself.
        let _ = client.set_zero_linger();
    }
}
