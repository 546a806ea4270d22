//! The node itself: what the cluster knows of it, and that it is alive.

use std::{ops::RangeInclusive, time::Duration};

use anyhow::{Context, Result};
use jiff::Timestamp;
use k8s_openapi::{
    api::{coordination::v1::Lease, core::v1::Node},
    apimachinery::pkg::apis::meta::v1::MicroTime,
};
use kube::{
    Api,
    api::{Patch, PatchParams, PostParams},
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::time;

use super::{host::Host, logs};

/// One of the two nodes whose pods really run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostNode {
    /// `host-1`
    First,
    /// `host-2`
    Second,
}

impl HostNode {
    /// Both.
    pub const ALL: [Self; 2] = [Self::First, Self::Second];

    /// The tags of the guard's image that these nodes have: the chart's own, and
    /// one more to upgrade to. Both are the workspace's binary.
    pub const TAGS: [&str; 2] = [env!("CARGO_PKG_VERSION"), "next"];

    /// The node's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::First => "host-1",
            Self::Second => "host-2",
        }
    }

    /// The last byte of the node's own address, and those of its pods.
    pub(super) fn addresses(self) -> (u8, RangeInclusive<u8>) {
        match self {
            Self::First => (1, 16..=127),
            Self::Second => (2, 128..=239),
        }
    }
}

/// Registers the node, and says that it is alive for as long as it is polled.
pub(super) async fn keep(host: &Host) {
    // As a kubelet does, which renews its lease each 10 s.
    let mut interval = time::interval(Duration::from_secs(10));
    let mut registered = false;
    loop {
        interval.tick().await;
        let kept = async {
            if !registered {
                register(host).await?;
            }
            renew(host).await
        };
        match kept.await {
            Ok(()) => registered = true,
            Err(error) => {
                host.log(format_args!("{error:#}"));
                interval.reset_after(Duration::from_millis(200));
            }
        }
    }
}

async fn register(host: &Host) -> Result<()> {
    let name = host.node.name();
    let nodes = Api::<Node>::all(host.client.clone());
    let node = json!({
        "metadata": {
            "name": name,
            "labels": {"type": "host", "kubernetes.io/hostname": name, "kubernetes.io/os": "linux"},
        },
    });
    create(&nodes, node).await.context("registering the node")?;
    let now = Timestamp::now();
    let room = json!({"cpu": "64", "memory": "64Gi", "pods": "110"});
    let conditions = [
        ("Ready", "True", "KubeletReady"),
        ("MemoryPressure", "False", "KubeletHasSufficientMemory"),
        ("DiskPressure", "False", "KubeletHasNoDiskPressure"),
        ("PIDPressure", "False", "KubeletHasSufficientPID"),
    ]
    .map(|(kind, status, reason)| {
        json!({
            "type": kind, "status": status, "reason": reason,
            "lastHeartbeatTime": now, "lastTransitionTime": now,
        })
    });
    let status = json!({"status": {
        "addresses": [{"type": "InternalIP", "address": host.address}],
        "capacity": room,
        "allocatable": room,
        "conditions": conditions,
        "daemonEndpoints": {"kubeletEndpoint": {"Port": logs::PORT}},
    }});
    let patch = Patch::Strategic(status);
    nodes
        .patch_status(name, &PatchParams::default(), &patch)
        .await
        .context("reporting the node")?;
    Ok(())
}

async fn renew(host: &Host) -> Result<()> {
    let name = host.node.name();
    let leases = Api::<Lease>::namespaced(host.client.clone(), "kube-node-lease");
    let spec = json!({
        "holderIdentity": name,
        "leaseDurationSeconds": 40,
        "renewTime": MicroTime(Timestamp::now()),
    });
    let lease = json!({"metadata": {"name": name}, "spec": spec});
    create(&leases, lease).await.context("creating the lease")?;
    let patch = Patch::Merge(json!({"spec": spec}));
    leases.patch(name, &PatchParams::default(), &patch).await.context("renewing the lease")?;
    Ok(())
}

/// Creates an object unless it is there.
async fn create<K>(api: &Api<K>, object: Value) -> Result<()>
where
    K: Clone + DeserializeOwned + serde::Serialize + std::fmt::Debug,
{
    let object = serde_json::from_value(object).context("an object of the kubelet's own")?;
    match api.create(&PostParams::default(), &object).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(()),
        Err(error) => Err(error.into()),
    }
}
