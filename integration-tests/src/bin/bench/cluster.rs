//! What the guard takes to hold a cluster: its memory with so many objects cached.
//!
//! The API server is played: it lists and watches objects as real ones are in size,
//! with the managed fields of who made them, and says nothing else. A guard that has
//! read them all is measured, and once more when it has read them all again.

use std::{
    fs,
    io::Write,
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

use crate::{
    report::{Summary, heading},
    server,
};

/// So many objects of a kind.
#[derive(Clone, Copy)]
struct Many {
    /// Where the API server has them.
    path: &'static str,
    count: usize,
    object: fn(usize) -> Value,
}

/// What the budget speaks of.
const LOADED: [Many; 3] = [
    Many { path: CLAIMS, count: 10_000, object: claim },
    Many { path: VOLUMES, count: 10_000, object: volume },
    Many { path: PODS, count: 5_000, object: pod },
];

/// What ten thousand of a kind cost; others with a pod template are like a `ReplicaSet`.
const EACH: [(&str, Many); 4] = [
    ("rss_10k_claims_mib", Many { path: CLAIMS, count: 10_000, object: claim }),
    ("rss_10k_volumes_mib", Many { path: VOLUMES, count: 10_000, object: volume }),
    ("rss_10k_pods_mib", Many { path: PODS, count: 10_000, object: pod }),
    ("rss_10k_replica_sets_mib", Many { path: REPLICA_SETS, count: 10_000, object: replica_set }),
];

const CLAIMS: &str = "/api/v1/persistentvolumeclaims";
const VOLUMES: &str = "/api/v1/persistentvolumes";
const PODS: &str = "/api/v1/pods";
const REPLICA_SETS: &str = "/apis/apps/v1/replicasets";

/// How often all of them are read anew.
const LISTS: usize = 10;

/// Longest that a guard may take to read them.
const DEADLINE: Duration = Duration::from_mins(2);

pub(crate) fn measure(files: &Path, out: &mut impl Write, summary: &mut Summary) -> Result<()> {
    let runtime = Runtime::new().context("starting the API server's runtime")?;
    heading(out, "Memory with a cluster in the caches, MiB")?;
    let empty = Loaded::start(&runtime, files, &[])?.resident()?;
    summary.set("rss_synced_empty_mib", empty);
    for (figure, many) in EACH {
        let resident = Loaded::start(&runtime, files, &[many])?.resident()?;
        summary.set(figure, resident - empty);
        writeln!(out, "  10,000 at {}: {:.1} more than none", many.path, resident - empty)?;
    }
    let loaded = Loaded::start(&runtime, files, &LOADED)?;
    let first = loaded.resident()?;
    summary.set("synced_ms", loaded.synced_after.as_secs_f64() * 1000.0);
    summary.set("rss_loaded_mib", first);
    for _ in 0..LISTS {
        loaded.list_anew()?;
    }
    let last = loaded.resident()?;
    summary.set("rss_relisted_mib", last);
    writeln!(
        out,
        "  10k claims, 10k volumes, 5k pods: {first:.1}; when listed {LISTS} times more: {last:.1}"
    )?;
    Ok(())
}

/// A guard that has read everything there is.
struct Loaded {
    guard: Process,
    played: Played,
    synced_after: Duration,
}

impl Loaded {
    fn start(runtime: &Runtime, files: &Path, objects: &[Many]) -> Result<Self> {
        let played = runtime.block_on(Played::start(objects))?;
        let kubeconfig = files.join("kubeconfig");
        fs::write(&kubeconfig, played.kubeconfig()).context("writing the kubeconfig")?;
        let admin = free_port()?;
        let mut command = Command::new(binaries::nfs_guard()?);
        command
            .args(["serve", "--listen", "127.0.0.1:0", "--namespace", "nfs-guard"])
            .args(["--admin-listen", &admin.to_string(), "--kubeconfig"])
            .arg(&kubeconfig)
            .env("MALLOC_ARENA_MAX", "2");
        let started = Instant::now();
        let (guard, _output) = Process::start_piped("nfs-guard-loaded", &command, files)?;
        until_synced(admin, &guard)?;
        Ok(Self { guard, played, synced_after: started.elapsed() })
    }

    fn resident(&self) -> Result<f64> {
        server::resident(&self.guard)
    }

    /// Makes every watch end as one that is too old does, and waits until all has been
    /// read once more.
    fn list_anew(&self) -> Result<()> {
        let Lists { round, to_come, objects } = &*self.played.state;
        to_come.store(objects.len(), Ordering::Release);
        round.send_modify(|round| *round += 1);
        wait_for("the lists to be read anew", DEADLINE, || {
            let waiting = to_come.load(Ordering::Acquire);
            Ok(if waiting == 0 {
                Progress::Done(())
            } else {
                Progress::NotYet(waiting.to_string())
            })
        })?;
        Ok(())
    }
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
    objects: Vec<Many>,
    /// Its changes end every watch, so that all is listed anew.
    round: watch::Sender<usize>,
    /// How many of the kinds have not been read to their end in this round.
    to_come: AtomicUsize,
}

#[derive(Deserialize)]
struct Parameters {
    #[serde(default)]
    watch: Option<String>,
    #[serde(default, rename = "resourceVersion")]
    version: Option<usize>,
    #[serde(default)]
    limit: Option<usize>,
    #[serde(default, rename = "continue")]
    from: Option<usize>,
}

impl Played {
    async fn start(objects: &[Many]) -> Result<Self> {
        let (objects, to_come) = (objects.to_vec(), AtomicUsize::new(objects.len()));
        let state = Arc::new(Lists { objects, round: watch::Sender::new(1), to_come });
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
        return watched(lists.round.subscribe(), parameters.version.unwrap_or_default());
    }
    let none = Many { path: "", count: 0, object: claim };
    let found = lists.objects.iter().find(|many| many.path == path);
    let Many { path: _, count, object } = *found.unwrap_or(&none);
    let version = *lists.round.borrow();
    let from = parameters.from.unwrap_or(0);
    let end = count.min(from.saturating_add(parameters.limit.unwrap_or(count)));
    let items: Vec<Value> = (from..end).map(object).collect();
    let next = (end < count).then(|| end.to_string());
    if next.is_none() && count > 0 {
        lists.to_come.fetch_sub(1, Ordering::AcqRel);
    }
    let list = json!({"apiVersion": "v1", "kind": "List",
        "metadata": {"resourceVersion": version.to_string(), "continue": next}, "items": items});
    axum::Json(list).into_response()
}

/// A watch since that round, which tells of nothing until it is over.
fn watched(mut round: watch::Receiver<usize>, since: usize) -> Response {
    let end = stream::once(async move {
        let _ = round.wait_for(|round| *round > since).await;
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

pub(crate) fn uid(kind: u8, n: usize) -> String {
    format!("{n:08x}-5c1e-4d0b-9a55-{kind:02x}00{n:08x}")
}

pub(crate) fn namespace(n: usize) -> String {
    format!("team-{}", n % 200)
}

pub(crate) fn claim(n: usize) -> Value {
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

pub(crate) fn volume(n: usize) -> Value {
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

pub(crate) fn pod(n: usize) -> Value {
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

fn replica_set(n: usize) -> Value {
    let Value::Object(mut template) = pod(n) else { return Value::Null };
    template.remove("status");
    template["metadata"] = json!({"labels": template["metadata"]["labels"].clone()});
    let deployment = format!("api-{}", n / 10);
    json!({
        "metadata": {
            "name": format!("{deployment}-{n:08x}"), "namespace": namespace(n / 10), "uid": uid(6, n),
            "resourceVersion": n.to_string(), "creationTimestamp": "2026-04-22T09:00:00Z",
            "labels": {"app.kubernetes.io/name": "api", "pod-template-hash": format!("{n:08x}")},
            "annotations": {"deployment.kubernetes.io/desired-replicas": "3", "deployment.kubernetes.io/revision": (n % 10).to_string()},
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "Deployment", "name": deployment,
                "uid": uid(7, n / 10), "controller": true, "blockOwnerDeletion": true}],
            "managedFields": managed("kube-controller-manager", 30),
        },
        "spec": {"replicas": 0, "selector": {"matchLabels": {"pod-template-hash": format!("{n:08x}")}}, "template": template},
        "status": {"replicas": 0},
    })
}
