//! Clients that mean ill, or are many: each takes no more than its share, and a
//! client with a review is served beside them.

use std::{
    net::SocketAddr,
    sync::{Arc, Barrier, Once},
    time::{Duration, Instant},
};

use hyper::StatusCode;
use nfs_guard::{client::ReviewClient, server::Limits};
use nfs_guard_integration_tests::http;
use nfs_guard_policies::{
    Gate, GuardConfig, Policy, Snapshot,
    config::Rules,
    rules::{Case, CriticalOnNfs, Found, Reads, Rule, Setting},
};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::{JoinSet, spawn_blocking},
    time::sleep,
};

use crate::{
    manifests,
    server::{Server, review},
    tls::{Connector, head, request},
};

const JSON: &str = "application/json";

/// Far more than an answer takes beside whatever these tests do at the same time,
/// and as long as the apiserver waits for one, by the chart's `timeoutSeconds`.
const SOON: Duration = Duration::from_secs(3);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn http_1_and_http_2_are_answered() {
    let server = start(Limits::default());
    let http2 = ReviewClient::http2(&server.url, &server.ca).unwrap();
    for client in [&server.client, &http2] {
        let (status, answer) = client.post(JSON, good()).await.unwrap();
        assert_eq!(status, StatusCode::OK, "{answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_are_slow_delay_nobody_and_are_cut_in_their_time() {
    const SLOW: usize = 50;
    let limits = Limits {
        concurrent: 2,
        handshake: Duration::from_secs(1),
        idle: Duration::from_millis(1500),
        deadline: Duration::from_millis(2200),
        ..Limits::default()
    };
    let server = start(limits);
    let connector = Connector::to(&server);
    let mut slow = JoinSet::new();
    for _ in 0..SLOW {
        let address = server.address;
        slow.spawn(async move {
            let started = Instant::now();
            slow_handshake(address).await;
            ("handshake", limits.handshake, started.elapsed(), String::new())
        });
        let connector = connector.clone();
        slow.spawn({
            let connector = connector.clone();
            async move {
                let mut connection = connector.connect().await.unwrap();
                let started = Instant::now();
                for byte in head(1).chars() {
                    if connection.write(&byte.to_string()).await.is_err() {
                        break;
                    }
                    sleep(Duration::from_millis(100)).await;
                }
                ("head", limits.idle, started.elapsed(), String::new())
            }
        });
        slow.spawn(async move {
            let mut connection = connector.connect().await.unwrap();
            let started = Instant::now();
            connection.write(&(head(1000) + "{")).await.unwrap();
            let said = connection.closed().await;
            ("body", limits.deadline, started.elapsed(), said)
        });
    }
    while !slow.is_empty() {
        answered(&server.client).await;
        while let Some(ended) = slow.try_join_next() {
            let (what, limit, took, said) = ended.unwrap();
            // The deadline of a judgement has a margin of 200 ms.
            let least = limit.saturating_sub(Duration::from_millis(250));
            assert!((least..limit + SOON).contains(&took), "{what}: {took:?}, {limit:?}");
            assert_eq!(said.contains("400 Bad Request"), what == "body", "{what}: {said}");
        }
    }
}

/// The start of a handshake, which says that 512 bytes will follow, then one of
/// them at a time.
async fn slow_handshake(server: SocketAddr) {
    let mut stream = TcpStream::connect(server).await.unwrap();
    stream.write_all(&[22, 3, 1, 2, 0]).await.unwrap();
    let (mut reading, mut writing) = stream.split();
    let mut byte = [0];
    tokio::select! {
        _ended = reading.read(&mut byte) => {}
        () = async {
            while writing.write_all(&[1]).await.is_ok() {
                sleep(Duration::from_millis(100)).await;
            }
        } => {}
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_room_for_connections_is_short_the_oldest_without_a_review_gives_way() {
    const ROOM: usize = 4;
    let server = start(Limits { connections: ROOM, ..Limits::default() });
    let connector = Connector::to(&server);
    let mut proven = connector.connect().await.unwrap();
    proven.write(&request(&good())).await.unwrap();
    assert_eq!(proven.answer().await.unwrap().0, 200);

    let mut idle = Vec::new();
    for _ in 0..3 * ROOM {
        idle.push(connector.connect().await.unwrap());
    }
    // One more comes with a review.
    server.assert_serves().await;
    let newest = idle.split_off(idle.len() - (ROOM - 2));
    for connection in &mut idle {
        assert_eq!(connection.closed().await, "");
    }
    let mut kept: Vec<_> = newest.into_iter().chain([proven]).collect();
    for connection in &mut kept {
        connection.write(&request(&good())).await.unwrap();
        assert_eq!(connection.answer().await.unwrap().0, 200);
    }
    // Now all have had theirs, and nobody gives way.
    assert!(connector.connect().await.is_err());
    for connection in &mut kept {
        connection.write(&request(&good())).await.unwrap();
        assert_eq!(connection.answer().await.unwrap().0, 200);
    }
    let (_, metrics) = http::get(&format!("http://{}/metrics", server.admin));
    for (which, number) in [("older", idle.len()), ("newer", 1)] {
        let crowded_out = "nfs_guard_connections_crowded_out_total";
        let line = format!("{crowded_out}{{which=\"{which}\"}} {number}\n");
        assert!(metrics.contains(&line), "{line}{metrics}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_idle_connections_keep_nobody_waiting() {
    let files = usize::try_from(raised_file_limit()).unwrap();
    // Both ends are in this process; the other tests have files open as well.
    let wanted = (files.saturating_sub(1000) / 2).min(10_000);
    let limits =
        Limits { connections: 2 * wanted, idle: Duration::from_mins(2), ..Limits::default() };
    let server = start(limits);
    let connector = Connector::to(&server);
    let before = resident();
    let started = Instant::now();
    let mut connecting = JoinSet::new();
    for part in 0..16 {
        let connector = connector.clone();
        connecting.spawn(async move {
            let mut idle = Vec::new();
            for _ in (part..wanted).step_by(16) {
                idle.push(connector.connect().await.unwrap());
            }
            idle
        });
    }
    let mut idle = Vec::new();
    while let Some(some) = connecting.join_next().await {
        idle.extend(some.unwrap());
        answered(&server.client).await;
    }
    let grown = resident().saturating_sub(before);
    println!(
        "{} idle connections in {:.1?}: {} MiB, {:.1} KiB each, both ends together",
        idle.len(),
        started.elapsed(),
        grown >> 10,
        f64::from(u32::try_from(grown).unwrap()) / f64::from(u32::try_from(wanted).unwrap()),
    );
    for _ in 0..100 {
        answered(&server.client).await;
    }
    for mut connection in idle.into_iter().step_by(wanted / 10) {
        connection.write(&request(&good())).await.unwrap();
        assert_eq!(connection.answer().await.unwrap().0, 200, "none was closed");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_handshakes_does_not_starve_open_connections() {
    let server = start(Limits::default());
    answered(&server.client).await;
    let connector = Connector::to(&server);
    let mut flood = JoinSet::new();
    for _ in 0..64 {
        let (connector, address) = (connector.clone(), server.address);
        flood.spawn(async move {
            for _ in 0..8 {
                drop(connector.connect().await.unwrap());
                let mut garbage = TcpStream::connect(address).await.unwrap();
                // Closed at once, it may not even be taken.
                let _ = garbage.write_all(b"GET / HTTP/1.1\r\n\r\n").await;
            }
        });
    }
    let mut took = Vec::new();
    while !flood.is_empty() {
        let started = Instant::now();
        answered(&server.client).await;
        took.push(started.elapsed());
        while let Some(ended) = flood.try_join_next() {
            ended.unwrap();
        }
    }
    took.sort();
    println!("{} answers beside 1024 handshakes, worst {:.1?}", took.len(), took[took.len() - 1]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_too_large_is_refused_by_an_answer() {
    const SIZE: usize = 20 << 20;
    let server = start(Limits::default());
    let http2 = ReviewClient::http2(&server.url, &server.ca).unwrap();
    for (name, client) in [("HTTP/1.1", &server.client), ("HTTP/2", &http2)] {
        let (status, answer) = client.post(JSON, vec![b' '; SIZE]).await.expect(name);
        assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE, "{name}: {answer:?}");
        answered(client).await;
    }
    // These clients read nothing before they have written all.
    let connector = Connector::to(&server);
    let declared = head(SIZE) + &" ".repeat(SIZE);
    let chunk = format!("{:x}\r\n{}\r\n", 1 << 16, " ".repeat(1 << 16));
    let chunked = head(0).replace("content-length: 0", "transfer-encoding: chunked")
        + &chunk.repeat(SIZE >> 16)
        + "0\r\n\r\n";
    for (name, request) in [("declared", declared), ("in chunks", chunked)] {
        let mut connection = connector.connect().await.unwrap();
        connection.write(&request).await.expect(name);
        let said = connection.closed().await;
        assert!(said.starts_with("HTTP/1.1 413 "), "{name}: {said}");
        assert!(said.contains("connection: close"), "{name}: {said}");
        assert!(said.contains("larger than 19922944 bytes"), "{name}: {said}");
    }
    // Nobody waits for a body that is known to be too large.
    let mut connection = connector.connect().await.unwrap();
    connection.write(&head(SIZE)).await.unwrap();
    assert_eq!(connection.answer().await.unwrap().0, 413);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_largest_review_that_can_be_stored_is_judged() {
    let server = start(Limits::default());
    // What etcd stores in 1.5 MiB, as Go's encoder writes it, before and after.
    let mut claim = manifests::claim("data", None);
    claim["metadata"]["annotations"]["page"] = "<>&".repeat((3 << 19) / 3).into();
    let mut update = review(&claim);
    update["request"]["operation"] = "UPDATE".into();
    update["request"]["oldObject"] = claim;
    let body =
        update.to_string().replace('<', r"\u003c").replace('>', r"\u003e").replace('&', r"\u0026");
    assert!(body.len() > 18 << 20);
    let (status, answer) = server.post(JSON, body).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    assert_eq!(answer["response"]["allowed"], true, "{answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_room_for_bodies_is_short_the_one_that_is_slow_gives_way() {
    let limits = Limits { buffered: 64 << 10, ..Limits::default() };
    let server = start(limits);
    let connector = Connector::to(&server);
    let mut slow = connector.connect().await.unwrap();
    slow.write(&(head(60 << 10) + &" ".repeat(59 << 10))).await.unwrap();
    let slow = tokio::spawn(async move { slow.closed().await });
    let body = format!("{}{}", " ".repeat(40 << 10), good());
    while !slow.is_finished() {
        let (status, answer) = server.post(JSON, body.clone()).await;
        assert!(status == StatusCode::OK || status == StatusCode::SERVICE_UNAVAILABLE, "{answer}");
    }
    let said = slow.await.unwrap();
    assert!(said.starts_with("HTTP/1.1 503 ") && said.contains("this body is slow"), "{said}");
    let (status, answer) = server.post(JSON, body).await;
    assert_eq!(status, StatusCode::OK, "{answer}");

    let (status, answer) = server.post(JSON, " ".repeat(65 << 10)).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{answer}");
    assert!(answer["message"].as_str().unwrap().contains("no room for this body"), "{answer}");
    server.assert_serves().await;
}

/// Where the rule below meets the test: once before and once after the test looks
/// at what happens meanwhile.
static WAITS: Barrier = Barrier::new(2);

/// A rule that lets the test wait for it, once, at an object called `wait`.

#[derive(Debug)]
struct Waits;

impl Rule for Waits {
    fn name(&self) -> &'static str {
        "waits"
    }

    fn reads(&self, gate: Gate) -> &'static [Reads] {
        CriticalOnNfs.reads(gate)
    }

    fn setting(&self, settings: &Rules) -> Setting {
        CriticalOnNfs.setting(settings)
    }

    fn judge(&self, case: &Case<'_>) -> Vec<Found> {
        if case.object.metadata().name == *"wait" {
            static ONCE: Once = Once::new();
            ONCE.call_once(|| {
                WAITS.wait();
                WAITS.wait();
            });
        }
        Vec::new()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_too_much_is_shed_until_a_slot_is_free() {
    let policy = Policy::with_rules(GuardConfig::default(), &[&Waits]);
    let limits = Limits { concurrent: 1, ..Limits::default() };
    let server = Arc::new(Server::start(policy, Snapshot::complete(), limits));
    // A large one is judged on a thread of its own, which it may keep waiting.
    let body = review(&manifests::claim("wait", None)).to_string() + &" ".repeat(1 << 20);
    let waiting = tokio::spawn({
        let server = Arc::clone(&server);
        async move { server.post(JSON, body).await }
    });
    spawn_blocking(|| WAITS.wait()).await.unwrap();
    let (status, answer) = server.post(JSON, good()).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{answer}");
    assert_eq!(answer["message"], "nfs-guard: overloaded: 1 requests are being judged already");
    spawn_blocking(|| WAITS.wait()).await.unwrap();
    assert_eq!(waiting.await.unwrap().0, StatusCode::OK);
    server.assert_serves().await;
}

fn start(limits: Limits) -> Server {
    Server::start(Policy::default(), Snapshot::complete(), limits)
}

fn good() -> String {
    review(&manifests::claim("data", None)).to_string()
}

/// Posts a review, which is answered soon and well.
async fn answered(client: &ReviewClient) {
    let started = Instant::now();
    let (status, answer) = client.post(JSON, good()).await.unwrap();
    assert_eq!(status, StatusCode::OK, "{answer:?}");
    let answer: Value = serde_json::from_slice(&answer).unwrap();
    assert_eq!(answer["response"]["allowed"], true, "{answer}");
    assert!(started.elapsed() < SOON, "{:?}", started.elapsed());
}

/// The files this process may open, as many as it may ask for.
fn raised_file_limit() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).unwrap();
    limit.maximum.unwrap_or(1 << 20)
}

/// Memory this process has resident, in KiB.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}
