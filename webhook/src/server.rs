//! The listeners: reviews over TLS, health and metrics over plain HTTP.

mod accept;
mod admin;
mod body;
mod connection;
mod handshake;
mod linger;
mod listen;
mod reviews;
mod room;
mod turn;

use std::{
    io,
    net::{SocketAddr, TcpListener},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::Router;
use nfs_guard_certs::Slot;
use tokio::{
    sync::{Semaphore, watch},
    task::JoinHandle,
    time::timeout,
};

use self::{accept::Acceptor, listen::listen, room::Room, turn::Turn};
use crate::{metrics::Metrics, reviewer::Reviewer};

/// How long a body may be on its way before it has to give way to others when
/// room is short. The apiserver has the body whole before it sends the head.
const PATIENCE: Duration = Duration::from_secs(1);

/// Limits of the listeners.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Largest body, in bytes: 19 MiB, more than any review of objects that can
    /// be stored. etcd takes requests of 1.5 MiB (`DefaultMaxRequestBytes`), which
    /// hold the object as protobuf, with its strings as they are. A review holds
    /// object and oldObject as JSON by Go's encoder, which writes `<`, `>`, `&`,
    /// control characters and bytes that are no UTF-8 in six bytes each:
    /// 2 × 6 × 1.5 MiB = 18 MiB, and 1 MiB for the rest of the request. A larger
    /// write may reach the guard, as the apiserver takes 3 MiB from its client;
    /// whatever the answer, etcd refuses it.
    pub body: usize,
    /// Most bytes of bodies held at once, by all requests. Three of the largest,
    /// or four thousand usual ones of 16 KiB.
    pub buffered: usize,
    /// Most requests judged at once; further ones are shed.
    pub concurrent: usize,
    /// Most connections to each listener: 2048. An apiserver keeps up to 25 idle
    /// ones (`idleConnsPerHost`), and has as many more as it has writes in flight,
    /// 200 by default (`--max-mutating-requests-inflight`); nine of them fit. One that
    /// has been used holds 29 KiB, so all of them 60 MiB.
    pub connections: usize,
    /// Most time for the TLS handshake.
    pub handshake: Duration,
    /// Most time for the head of a request, and how long a connection may idle: a
    /// client that is slow with a head costs no more than one that says
    /// nothing. Longer than the 90 s after which the apiserver closes its own idle
    /// connections (`http.DefaultTransport`), so that it is never we who close
    /// one it is about to use.
    pub idle: Duration,
    /// Most time for one request when the apiserver names none, and the most it
    /// can name.
    pub deadline: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body: 19 << 20,
            buffered: 64 << 20,
            concurrent: 256,
            connections: 2048,
            handshake: Duration::from_secs(5),
            idle: Duration::from_mins(2),
            deadline: Duration::from_secs(10),
        }
    }
}

/// What both listeners serve.
#[derive(Clone, Debug)]
pub struct Service {
    reviewer: Arc<Reviewer>,
    metrics: Arc<Metrics>,
    slot: Arc<Slot>,
    limits: Limits,
    /// Room for the bodies of all requests.
    bodies: Arc<Room>,
    /// A slot for each request being judged.
    slots: Arc<Semaphore>,
    /// The turn of large requests.
    large: Arc<Turn>,
    trusted: Arc<AtomicBool>,
    draining: Arc<AtomicBool>,
}

impl Service {
    /// A service of that reviewer, served with what is in `slot`.
    #[must_use]
    pub fn new(
        reviewer: Arc<Reviewer>,
        metrics: Arc<Metrics>,
        slot: Arc<Slot>,
        limits: Limits,
    ) -> Self {
        Self {
            reviewer,
            metrics,
            slot,
            limits,
            bodies: body::room(limits.buffered, PATIENCE),
            slots: Arc::new(Semaphore::new(limits.concurrent)),
            large: Arc::new(Turn::new()),
            trusted: Arc::default(),
            draining: Arc::default(),
        }
    }

    /// The routes of the TLS listener: `/validate` and `/mutate`.
    pub fn review_router(&self) -> Router {
        reviews::router(self.clone())
    }

    /// The routes of the admin listener: `/livez`, `/readyz`, `/metrics`.
    pub fn admin_router(&self) -> Router {
        admin::router(self.clone())
    }

    /// Says that the apiserver has been told which CA to trust: without that no
    /// review arrives, and readiness would be a lie.
    pub fn set_trusted(&self) {
        self.trusted.store(true, Ordering::Release);
    }

    fn is_trusted(&self) -> bool {
        self.trusted.load(Ordering::Acquire)
    }

    /// How many requests are being judged.
    fn in_flight(&self) -> usize {
        self.limits.concurrent.saturating_sub(self.slots.available_permits())
    }

    fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }
}

/// Both listeners, bound.
pub struct Listeners {
    review: TcpListener,
    admin: TcpListener,
}

impl Listeners {
    /// Binds both addresses; port 0 takes a free one.
    ///
    /// # Errors
    /// An address cannot be bound; the error names it.
    pub fn bind(review: SocketAddr, admin: SocketAddr) -> io::Result<Self> {
        Ok(Self { review: listen(review)?, admin: listen(admin)? })
    }

    /// The address reviews are taken at.
    ///
    /// # Errors
    /// The socket has no address.
    pub fn review_address(&self) -> io::Result<SocketAddr> {
        self.review.local_addr()
    }

    /// The address of the admin listener.
    ///
    /// # Errors
    /// The socket has no address.
    pub fn admin_address(&self) -> io::Result<SocketAddr> {
        self.admin.local_addr()
    }

    /// Starts to serve on both.
    #[must_use]
    pub fn serve(self, service: Service, tls: Arc<rustls::ServerConfig>) -> Serving {
        let (closing, closes) = watch::channel(false);
        let (admin_closing, admin_closes) = watch::channel(false);
        let limits = &service.limits;
        let metrics = &service.metrics;
        let acceptor =
            |name, routes, tls| Acceptor::new(name, routes, tls, limits, Arc::clone(metrics));
        let review = acceptor("reviews", service.review_router(), Some(tls));
        let admin = acceptor("admin", service.admin_router(), None);
        Serving {
            review: tokio::spawn(review.run(self.review, closes)),
            admin: tokio::spawn(admin.run(self.admin, admin_closes)),
            service,
            closing,
            admin_closing,
        }
    }
}

/// Both listeners, serving.
pub struct Serving {
    service: Service,
    review: JoinHandle<io::Result<()>>,
    admin: JoinHandle<io::Result<()>>,
    closing: watch::Sender<bool>,
    admin_closing: watch::Sender<bool>,
}

impl Serving {
    /// Waits until a listener fails; both serve for ever otherwise.
    ///
    /// # Errors
    /// Why it failed.
    pub async fn failed(&mut self) -> io::Error {
        let ended = tokio::select! {
            ended = &mut self.review => ended,
            ended = &mut self.admin => ended,
        };
        match ended {
            Ok(Ok(())) => io::Error::other("a listener ended"),
            Ok(Err(error)) => error,
            Err(join) => io::Error::other(join),
        }
    }

    /// Ends in good order: first `/readyz` fails while reviews are still
    /// answered, for as long as endpoints take to notice; then connections
    /// close as their requests end.
    ///
    /// # Errors
    /// A listener did not end well.
    pub async fn drain(mut self, notice: Duration, requests: Duration) -> io::Result<()> {
        self.service.draining.store(true, Ordering::Release);
        tokio::time::sleep(notice).await;
        self.closing.send_replace(true);
        end(&mut self.review, requests).await?;
        self.admin_closing.send_replace(true);
        end(&mut self.admin, Duration::ZERO).await
    }
}

/// Waits for a listener that closes, and cuts it short after that time.
async fn end(listener: &mut JoinHandle<io::Result<()>>, time: Duration) -> io::Result<()> {
    let Ok(ended) = timeout(time, &mut *listener).await else {
        listener.abort();
        // Its connections end with it.
        let _ = listener.await;
        return Ok(());
    };
    ended.map_err(io::Error::other)?
}
