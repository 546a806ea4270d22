//! Reviews sent to a server in a closed loop.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use bytes::Bytes;
use hdrhistogram::Histogram;
use http_body_util::{BodyExt as _, Full};
use hyper::{
    Request,
    client::conn::{http1, http2},
    header::{ACCEPT, ACCEPT_ENCODING, CONTENT_TYPE, HOST, USER_AGENT},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ProtocolVersion;
use serde_json::Value;
use tokio::{net::TcpStream, task::JoinSet};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::{
    review::{self, Review},
    server::Server,
};

/// How long a round is measured: thousands of reviews even on one connection.
const ROUND: Duration = Duration::from_secs(1);
/// Before that, to fill caches and wake up the processor.
const WARM_UP: Duration = Duration::from_millis(100);

/// A way to load a server.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Load {
    /// HTTP/1.1 on that many connections, kept alive: how an apiserver talks to
    /// a webhook that is named by its Service.
    Http1(u16),
    /// HTTP/2 on one connection, with that many streams at once.
    Http2(u16),
}

/// What one round came to.
pub(crate) struct Round {
    /// Nanoseconds from sending a review to having its whole answer.
    pub(crate) latency: Histogram<u64>,
    pub(crate) reviews_per_second: f64,
    /// Processor time of the server for one review, in microseconds.
    pub(crate) cpu_us: f64,
}

/// Loads the server for one round, over new connections.
pub(crate) async fn round(server: &Server, review: &Review, load: Load) -> Result<Round> {
    // Ends with the round, and with it what drives the connections.
    let mut drivers = JoinSet::new();
    let clients = connect(server, review, load, &mut drivers).await?;
    let (clients, _) = send(clients, WARM_UP).await?;
    let (cpu, started) = (server.cpu()?, Instant::now());
    let (_, latency) = send(clients, ROUND).await?;
    let (cpu, took) = (server.cpu()?.saturating_sub(cpu), started.elapsed());
    ensure!(!latency.is_empty(), "nothing was answered");
    #[expect(clippy::cast_precision_loss, reason = "nobody counts to 2^52 in a second")]
    let reviews = latency.len() as f64;
    Ok(Round {
        reviews_per_second: reviews / took.as_secs_f64(),
        cpu_us: cpu.as_secs_f64() * 1e6 / reviews,
        latency,
    })
}

/// A TLS connection to that address.
pub(crate) async fn tls(
    address: SocketAddr,
    connector: &TlsConnector,
) -> Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let stream = connector.connect(address.ip().into(), stream).await?;
    let version = stream.get_ref().1.protocol_version();
    ensure!(version == Some(ProtocolVersion::TLSv1_3), "the figures are those of TLS 1.3");
    Ok(stream)
}

/// One loop that sends a review when the last is answered.
struct Client {
    sender: Sender,
    request: Request<Full<Bytes>>,
    allowed: bool,
    /// The first answer, to which all others must be equal.
    answer: Option<Bytes>,
}

enum Sender {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

async fn connect(
    server: &Server,
    review: &Review,
    load: Load,
    drivers: &mut JoinSet<()>,
) -> Result<Vec<Client>> {
    let authority = server.address().to_string();
    let path = "/validate?timeout=10s";
    let (alpn, uri): (&[u8], _) = match load {
        Load::Http1(_) => (b"http/1.1", path.to_owned()),
        Load::Http2(_) => (b"h2", format!("https://{authority}{path}")),
    };
    // The headers of a kube-apiserver 1.37.
    let mut request = Request::post(uri)
        .header(USER_AGENT, "kube-apiserver-admission")
        .header(ACCEPT, "application/json, */*")
        .header(CONTENT_TYPE, "application/json")
        .header(ACCEPT_ENCODING, "gzip");
    if let Load::Http1(_) = load {
        request = request.header(HOST, &authority);
    }
    let request = request.body(Full::new(review.body.clone()))?;
    let connector = TlsConnector::from(Arc::new(server.client(alpn)?));
    let client =
        |sender| Client { sender, request: request.clone(), allowed: review.allowed, answer: None };

    let mut clients = Vec::new();
    match load {
        Load::Http1(connections) => {
            for _ in 0..connections {
                let io = TokioIo::new(tls(server.address(), &connector).await?);
                let (sender, connection) = http1::handshake(io).await?;
                drivers.spawn(async { drop(connection.await) });
                clients.push(client(Sender::Http1(sender)));
            }
        }
        Load::Http2(streams) => {
            let io = TokioIo::new(tls(server.address(), &connector).await?);
            let (sender, connection) = http2::handshake(TokioExecutor::new(), io).await?;
            drivers.spawn(async { drop(connection.await) });
            for _ in 0..streams {
                clients.push(client(Sender::Http2(sender.clone())));
            }
        }
    }
    Ok(clients)
}

/// Lets all clients send for that long.
async fn send(clients: Vec<Client>, time: Duration) -> Result<(Vec<Client>, Histogram<u64>)> {
    let until = Instant::now() + time;
    let mut loops = JoinSet::new();
    for mut client in clients {
        loops.spawn(async move {
            let mut latency = review::nanoseconds();
            loop {
                let sent = Instant::now();
                if sent >= until {
                    return anyhow::Ok((client, latency));
                }
                client.ask().await?;
                latency.record(u64::try_from(sent.elapsed().as_nanos())?)?;
            }
        });
    }
    let (mut clients, mut all) = (Vec::new(), review::nanoseconds());
    while let Some(ended) = loops.join_next().await {
        let (client, latency) = ended??;
        clients.push(client);
        all.add(latency)?;
    }
    Ok((clients, all))
}

impl Client {
    async fn ask(&mut self) -> Result<()> {
        let request = self.request.clone();
        let response = match &mut self.sender {
            Sender::Http1(sender) => {
                sender.ready().await?;
                sender.send_request(request).await?
            }
            Sender::Http2(sender) => {
                sender.ready().await?;
                sender.send_request(request).await?
            }
        };
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        match &self.answer {
            Some(answer) if *answer == body => Ok(()),
            Some(_) => bail!("HTTP {status}, and another answer: {body:?}"),
            None => {
                let value: Value = serde_json::from_slice(&body)
                    .with_context(|| format!("HTTP {status}, and no answer: {body:?}"))?;
                let response = &value["response"];
                ensure!(response["uid"] == review::UID, "not the answer to this review: {value}");
                ensure!(response["allowed"] == self.allowed, "not as expected: {value}");
                self.answer = Some(body);
                Ok(())
            }
        }
    }
}
