//! What the guard takes to hold a cluster: its memory with so many objects cached.
//!
//! The API server is played: it lists and watches objects as real ones are in size,
//! with the managed fields of who made them, and says nothing else. A guard that has
//! read them all is measured, and once more when it has read them all again.

use std::{
    fs,
    net::{SocketAddr, TcpListener as FreePort},
    path::Path,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use axum::{
    Router,
    body::Body,
    extract::{Query, State},
    http::{StatusCode, Uri, header},
    response::{IntoResponse as _, Response},
};
use futures::{StreamExt as _, stream};
use nfs_guard_integration_tests::{
    binaries, http,
    process::Process,
    wait::{Progress, wait_for},
};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::{net::TcpListener, runtime::Runtime, sync::watch};

use crate::{report::Summary, server};

/// How many of a kind there are, by where the API server has them.
const OBJECTS: [(&str, usize, fn(usize) -> Value); 3] = [
    ("/api/v1/persistentvolumeclaims", 10_000, claim),
    ("/api/v1/persistentvolumes", 10_000, volume),
    ("/api/v1/pods", 5_000, pod),
];

/// How often all of them are read anew.
const LISTS: usize = 10;

/// Longest that a guard may take to read them.
const DEADLINE: Duration = Duration::from_secs(120);

pub(crate) fn measure(files: &Path, summary: &mut Summary) -> Result<()> {
    let runtime = Runtime::new().context("starting the API server's runtime")?;
    let played = runtime.block_on(Played::start())?;
    let kubeconfig = files.join("kubeconfig");
    fs::write(&kubeconfig, played.kubeconfig()).context("writing the kubeconfig")?;
    let admin = free_port()?;
    let mut command = Command::new(binaries::nfs_guard()?);
    command
        .args(["serve", "--listen", "127.0.0.1:0", "--namespace", "nfs-guard", "--admin-listen"])
        .arg(admin.to_string())
        .arg("--kubeconfig")
        .arg(&kubeconfig)
        .env("MALLOC_ARENA_MAX", "2");
    let started = Instant::now();
    let (guard, _output) = Process::start_piped("nfs-guard-loaded", &command, files)?;
    until_synced(admin, &guard)?;
    summary.set("synced_ms", started.elapsed().as_secs_f64() * 1000.0);
    summary.set("rss_loaded_mib", server::resident(&guard)?);
    for _ in 0..LISTS {
        played.list_anew();
        wait_for("the lists to be read anew", DEADLINE, || {
            let waiting = played.state.lists_to_come.load(Ordering::Acquire);
            Ok(if waiting == 0 {
                Progress::Done(())
            } else {
                Progress::NotYet(waiting.to_string())
            })
        })?;
    }
    summary.set("rss_relisted_mib", server::resident(&guard)?);
    Ok(())
}

fn until_synced(admin: SocketAddr, guard: &Process) -> Result<()> {
    wait_for("the caches to be synced", DEADLINE, || {
        let Ok((_, told)) = http::try_get(&format!("http://{admin}/readyz")) else {
            return Ok(Progress::NotYet(guard.log_tail()));
        };
        let synced = told.contains("[+] caches synced");
        Ok(if synced { Progress::Done(()) } else { Progress::NotYet(told) })
    })?;
    Ok(())
}

/// An address nobody listens at.
fn free_port() -> Result<SocketAddr> {
    let socket = FreePort::bind("127.0.0.1:0").context("looking for a free port")?;
    Ok(socket.local_addr()?)
}

/// An API server that is played.
struct Played {
    address: SocketAddr,
    state: Arc<Lists>,
}

struct Lists {
    /// Its changes end every watch, so that all is listed anew.
    round: watch::Sender<usize>,
    /// Of [`OBJECTS`], how many have not been read to their end in this round.
    lists_to_come: AtomicUsize,
}

#[derive(Deserialize)]
struct Parameters {
    #[serde(default)]
    watch: Option<String>,
    #[serde(default)]
    limit: Option<usize>,
    #[serde(default, rename = "continue")]
    from: Option<usize>,
}

impl Played {
    async fn start() -> Result<Self> {
        let lists_to_come = AtomicUsize::new(OBJECTS.len());
        let state = Arc::new(Lists { round: watch::Sender::new(0), lists_to_come });
        let router = Router::new().fallback(answer).with_state(Arc::clone(&state));
        let socket = TcpListener::bind("127.0.0.1:0").await.context("listening")?;
        let address = socket.local_addr()?;
        tokio::spawn(async move { axum::serve(socket, router).await });
        Ok(Self { address, state })
    }

    fn kubeconfig(&self) -> String {
        let server = format!("http://{}", self.address);
        json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "played",
            "clusters": [{"name": "played", "cluster": {"server": server}}],
            "users": [{"name": "guard", "user": {}}],
            "contexts": [{"name": "played", "context": {"cluster": "played", "user": "guard"}}],
        })
        .to_string()
    }

    /// Makes every watch end as one that is too old does.
    fn list_anew(&self) {
        self.state.lists_to_come.store(OBJECTS.len(), Ordering::Release);
        self.state.round.send_modify(|round| *round += 1);
    }
}

async fn answer(
    State(lists): State<Arc<Lists>>,
    uri: Uri,
    Query(parameters): Query<Parameters>,
) -> Response {
    let path = uri.path();
    if path == "/version" {
        let version = json!({"major": "1", "minor": "37", "gitVersion": "v1.37.2", "gitCommit": "",
            "gitTreeState": "", "buildDate": "", "goVersion": "", "compiler": "", "platform": ""});
        return axum::Json(version).into_response();
    }
    if parameters.watch.is_some() {
        return watched(lists.round.subscribe());
    }
    let (count, object) = OBJECTS
        .iter()
        .find(|(at, ..)| *at == path)
        .map_or((0, claim as fn(usize) -> Value), |(_, count, object)| (*count, *object));
    let from = parameters.from.unwrap_or(0);
    let end = count.min(from.saturating_add(parameters.limit.unwrap_or(count)));
    let items: Vec<Value> = (from..end).map(object).collect();
    let next = (end < count).then(|| end.to_string());
    if next.is_none() && count > 0 {
        lists.lists_to_come.fetch_sub(1, Ordering::AcqRel);
    }
    let list = json!({"apiVersion": "v1", "kind": "List",
        "metadata": {"resourceVersion": "1", "continue": next}, "items": items});
    axum::Json(list).into_response()
}

/// A watch that tells of nothing until the round is over.
fn watched(mut round: watch::Receiver<usize>) -> Response {
    round.mark_unchanged();
    let end = stream::once(async move {
        let _ = round.changed().await;
        let gone = json!({"type": "ERROR", "object": {"kind": "Status", "apiVersion": "v1",
            "status": "Failure", "reason": "Expired", "code": 410, "message": "too old"}});
        Ok::<_, std::convert::Infallible>(format!("{gone}\n"))
    });
    let body = Body::from_stream(end.boxed());
    (StatusCode::OK, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}

/// Managed fields, as long as those of a controller that applies an object.
fn managed(by: &str, fields: usize) -> Value {
    let mut written = serde_json::Map::new();
    for n in 0..fields {
        written.insert(format!("f:field-{n}"), json!({".": {}, "f:name": {}, "f:value": {}}));
    }
    json!([{"manager": by, "operation": "Update", "apiVersion": "v1",
        "time": "2026-04-22T09:00:00Z", "fieldsType": "FieldsV1",
        "fieldsV1": {"f:metadata": written, "f:spec": written}}])
}

fn uid(kind: u8, n: usize) -> String {
    format!("{n:08x}-5c1e-4d0b-9a55-{kind:02x}00{n:08x}")
}

fn namespace(n: usize) -> String {
    format!("team-{}", n % 200)
}

fn claim(n: usize) -> Value {
    json!({
        "metadata": {
            "name": format!("data-db-{}-{}", n / 3, n % 3), "namespace": namespace(n / 3),
            "uid": uid(1, n), "resourceVersion": n.to_string(),
            "creationTimestamp": "2026-04-22T09:00:00Z",
            "labels": {"app.kubernetes.io/name": "db", "app.kubernetes.io/instance": format!("db-{}", n / 3)},
            "annotations": {
                "pv.kubernetes.io/bind-completed": "yes", "pv.kubernetes.io/bound-by-controller": "yes",
                "volume.kubernetes.io/storage-provisioner": "csi.proxmox.sinextra.dev",
                "volume.kubernetes.io/selected-node": format!("worker-{}", n % 100),
            },
            "finalizers": ["kubernetes.io/pvc-protection"],
            "managedFields": managed("kube-controller-manager", 8),
        },
        "spec": {
            "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "10Gi"}},
            "storageClassName": "proxmox-lvm-encrypted", "volumeMode": "Filesystem",
            "volumeName": format!("pvc-{}", uid(1, n)),
        },
        "status": {"phase": "Bound", "accessModes": ["ReadWriteOnce"], "capacity": {"storage": "10Gi"}},
    })
}

fn volume(n: usize) -> Value {
    json!({
        "metadata": {
            "name": format!("pvc-{}", uid(1, n)), "uid": uid(2, n), "resourceVersion": n.to_string(),
            "creationTimestamp": "2026-04-22T09:00:00Z",
            "annotations": {
                "pv.kubernetes.io/provisioned-by": "csi.proxmox.sinextra.dev",
                "volume.kubernetes.io/provisioner-deletion-secret-name": "",
                "volume.kubernetes.io/provisioner-deletion-secret-namespace": "",
            },
            "finalizers": ["kubernetes.io/pv-protection", "external-attacher/csi-proxmox"],
            "managedFields": managed("csi-provisioner", 12),
        },
        "spec": {
            "accessModes": ["ReadWriteOnce"], "capacity": {"storage": "10Gi"},
            "claimRef": {
                "apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": namespace(n / 3),
                "name": format!("data-db-{}-{}", n / 3, n % 3), "uid": uid(1, n), "resourceVersion": n.to_string(),
            },
            "csi": {
                "driver": "csi.proxmox.sinextra.dev", "fsType": "ext4",
                "volumeHandle": format!("cluster-1/node-{}/data/vm-9999-pvc-{}", n % 100, uid(1, n)),
                "volumeAttributes": {"storage": "data", "storage.kubernetes.io/csiProvisionerIdentity": "1713777-8081-csi.proxmox.sinextra.dev"},
            },
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [
                {"key": "topology.kubernetes.io/zone", "operator": "In", "values": [format!("node-{}", n % 100)]},
            ]}]}},
            "persistentVolumeReclaimPolicy": "Delete", "storageClassName": "proxmox-lvm-encrypted", "volumeMode": "Filesystem",
        },
        "status": {"phase": "Bound"},
    })
}

fn pod(n: usize) -> Value {
    let set = format!("db-{}", n / 3);
    let environment: Vec<_> = (0..10)
        .map(|n| json!({"name": format!("SETTING_{n}"), "value": "of some length"}))
        .collect();
    json!({
        "metadata": {
            "name": format!("{set}-{}", n % 3), "generateName": format!("{set}-"), "namespace": namespace(n / 3),
            "uid": uid(3, n), "resourceVersion": n.to_string(), "creationTimestamp": "2026-04-22T09:00:00Z",
            "labels": {
                "app.kubernetes.io/name": "db", "app.kubernetes.io/instance": set.clone(),
                "apps.kubernetes.io/pod-index": (n % 3).to_string(),
                "controller-revision-hash": format!("{set}-6c8f7d9b5c"),
                "statefulset.kubernetes.io/pod-name": format!("{set}-{}", n % 3),
            },
            "annotations": {"checksum/config": uid(4, n), "prometheus.io/scrape": "true"},
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "StatefulSet", "name": set,
                "uid": uid(5, n / 3), "controller": true, "blockOwnerDeletion": true}],
            "managedFields": managed("kubelet", 30),
        },
        "spec": {
            "containers": [{"name": "db", "image": "registry.example.com/db:1.2.3", "env": environment,
                "resources": {"requests": {"cpu": "100m", "memory": "1Gi"}},
                "volumeMounts": [{"name": "data", "mountPath": "/var/lib/db"}]}],
            "nodeName": format!("worker-{}", n % 100), "serviceAccountName": "db",
            "securityContext": {"fsGroup": 999, "fsGroupChangePolicy": "OnRootMismatch"},
            "volumes": [
                {"name": "data", "persistentVolumeClaim": {"claimName": format!("data-db-{}-{}", n / 3, n % 3)}},
                {"name": "config", "configMap": {"name": "db"}},
                {"name": "tls", "secret": {"secretName": "db-tls"}},
                {"name": "tmp", "emptyDir": {}},
                {"name": format!("kube-api-access-{n:05}"), "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}},
            ],
        },
        "status": {"phase": "Running", "podIP": format!("10.1.{}.{}", n / 250, n % 250), "conditions": [
            {"type": "Ready", "status": "True", "lastTransitionTime": "2026-04-22T09:00:00Z"},
            {"type": "PodScheduled", "status": "True", "lastTransitionTime": "2026-04-22T09:00:00Z"},
        ]},
    })
}
