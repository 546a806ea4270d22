//! Writes to a critical namespace, so many per second, all the while.

use std::{
    fmt,
    sync::Arc,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;
use hyper::{Request, header::CONTENT_TYPE};
use kube::Client;
use nfs_guard_integration_tests::{LiveCluster, User};
use serde_json::{Value, json};
use tokio::{
    runtime,
    sync::watch,
    task::JoinSet,
    time::{self, MissedTickBehavior},
};

use crate::manifests::set;

/// Creates of stateful sets, as dry runs: one that must be denied, one that must be
/// allowed with `fsGroupChangePolicy` added, and so on.
///
/// A slow answer delays no other, unless so many are slow that the machine is at
/// its end: then the pace drops, and the figures say so.
pub(crate) struct Load {
    stop: watch::Sender<bool>,
    thread: JoinHandle<Tally>,
}

/// What the answers were.
pub(crate) struct Tally {
    pub(crate) creates: u64,
    /// Neither denied by the guard nor allowed: by how long into the load, and why.
    pub(crate) failed: Vec<(Duration, String)>,
    /// Allowed, though on NFS.
    pub(crate) unjudged: Vec<(Duration, String)>,
    /// Allowed, and nothing was added.
    pub(crate) unchanged: Vec<(Duration, String)>,
    milliseconds: Histogram<u64>,
    took: Duration,
}

impl Load {
    /// Starts to send, over several connections.
    pub(crate) fn start(cluster: &LiveCluster, namespace: &str, per_second: u32) -> Self {
        let runtime =
            runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let credentials = cluster.control_plane().credentials();
        let mut config = runtime.block_on(credentials.client_config(User::Developer)).unwrap();
        // A failure is what is looked for.
        config.default_retry = false;
        let clients: Vec<Client> = {
            let _runtime = runtime.enter();
            (0..CLIENTS).map(|_| Client::try_from(config.clone()).unwrap()).collect()
        };
        let path = format!("/apis/apps/v1/namespaces/{namespace}/statefulsets?dryRun=All");
        let (stop, stopped) = watch::channel(false);
        let pace = Duration::from_secs(1) / per_second;
        let thread = thread::spawn(move || runtime.block_on(send(clients, path, pace, stopped)));
        Self { stop, thread }
    }

    /// Stops, and waits for what was sent.
    pub(crate) fn stop(self) -> Tally {
        self.stop.send_replace(true);
        self.thread.join().unwrap()
    }
}

impl Tally {
    /// Ends the test unless every create was judged.
    #[track_caller]
    pub(crate) fn expect_all_judged(&self, what: &str) {
        println!("{what}: {self}");
        assert!(self.failed.is_empty(), "{what}: {self}: {:?}", self.failed.first());
        assert!(self.unjudged.is_empty(), "{what}: {self}: {:?}", self.unjudged.first());
        assert!(self.unchanged.is_empty(), "{what}: {self}: {:?}", self.unchanged.first());
    }
}

/// As in `2000 creates, 0 failed, 0 unjudged, …`.
impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { creates, failed, unjudged, unchanged, milliseconds, took } = self;
        write!(
            f,
            "{creates} creates, {} failed, {} unjudged, {} unchanged; {:.0} per second, \
             answered in {} ms (p50), {} ms (p99), {} ms at most",
            failed.len(),
            unjudged.len(),
            unchanged.len(),
            f64::from(u32::try_from(*creates).unwrap()) / took.as_secs_f64(),
            milliseconds.value_at_quantile(0.5),
            milliseconds.value_at_quantile(0.99),
            milliseconds.max(),
        )
    }
}

const CLIENTS: usize = 4;
/// Most creates on their way at once: what takes longer than that is no pace any more.
const AT_ONCE: usize = 32;

enum Answer {
    Judged,
    Failed(String),
    Unjudged(String),
    Unchanged(String),
}

async fn send(
    clients: Vec<Client>,
    path: String,
    pace: Duration,
    mut stopped: watch::Receiver<bool>,
) -> Tally {
    let path = Arc::new(path);
    let bodies: [Arc<Value>; 2] = ["nfs-proxmox", "proxmox-lvm-encrypted"].map(|class| {
        let mut set = set("db", Some(class));
        set["spec"]["template"]["spec"]["securityContext"] = json!({"fsGroup": 1000});
        set["spec"]["template"]["spec"]["containers"][0]["volumeMounts"] =
            json!([{"name": "data", "mountPath": "/data"}]);
        Arc::new(set)
    });
    let milliseconds = Histogram::new(3).unwrap();
    let (failed, unjudged, unchanged) = (vec![], vec![], vec![]);
    let mut tally =
        Tally { creates: 0, failed, unjudged, unchanged, milliseconds, took: Duration::ZERO };
    let mut interval = time::interval(pace);
    // What was late is caught up with, so that the pace is kept over the whole.
    interval.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let started = Instant::now();
    let mut sent = JoinSet::new();
    for number in 0.. {
        tokio::select! {
            _ = interval.tick() => {}
            _ = stopped.changed() => break,
        }
        let denied = number % 2 == 0;
        let (client, path) = (clients[number / 2 % CLIENTS].clone(), Arc::clone(&path));
        let body = Arc::clone(&bodies[number % 2]);
        sent.spawn(async move {
            let asked = Instant::now();
            let answer = create(&client, &path, &body, denied).await;
            (asked - started, asked.elapsed(), answer)
        });
        while let Some(answered) = sent.try_join_next() {
            tally.add(answered.unwrap());
        }
        while sent.len() >= AT_ONCE {
            tally.add(sent.join_next().await.unwrap().unwrap());
        }
    }
    while let Some(answered) = sent.join_next().await {
        tally.add(answered.unwrap());
    }
    tally.took = started.elapsed();
    tally
}

impl Tally {
    fn add(&mut self, (at, took, answer): (Duration, Duration, Answer)) {
        self.creates += 1;
        self.milliseconds.record(took.as_millis().try_into().unwrap()).unwrap();
        match answer {
            Answer::Judged => {}
            Answer::Failed(why) => self.failed.push((at, why)),
            Answer::Unjudged(why) => self.unjudged.push((at, why)),
            Answer::Unchanged(why) => self.unchanged.push((at, why)),
        }
    }
}

async fn create(client: &Client, path: &str, body: &Value, denied: bool) -> Answer {
    let body = serde_json::to_vec(body).unwrap();
    let request = Request::post(path).header(CONTENT_TYPE, "application/json").body(body).unwrap();
    match client.request::<Value>(request).await {
        Ok(_) if denied => Answer::Unjudged("allowed, though on NFS".into()),
        Ok(set) => {
            let context = &set["spec"]["template"]["spec"]["securityContext"];
            if context["fsGroupChangePolicy"] == "OnRootMismatch" {
                Answer::Judged
            } else {
                Answer::Unchanged(context.to_string())
            }
        }
        Err(kube::Error::Api(status))
            if status.message.contains("denied the request") && denied =>
        {
            Answer::Judged
        }
        Err(error) => Answer::Failed(error.to_string()),
    }
}
