//! The listeners: reviews over TLS, health and metrics over plain HTTP.

mod admin;
mod validate;

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
use axum_server::{
    Handle,
    accept::NoDelayAcceptor,
    tls_rustls::{RustlsAcceptor, RustlsConfig},
};
use tokio::task::JoinHandle;

use crate::{metrics::Metrics, reviewer::Reviewer};

/// Most time a client has to finish the TLS handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

/// Most time a client has to send the head of a request; also how long a
/// connection may idle. Longer than the 90 s after which the apiserver closes
/// its own idle connections (`http.DefaultTransport`), so that it is never we
/// who close one it is about to use.
const HEADER_TIMEOUT: Duration = Duration::from_mins(2);

/// Limits of the listener for reviews.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Largest body, in bytes. etcd takes 1.5 MiB; a review holds an object
    /// twice, and JSON is longer than what etcd stores.
    pub body: usize,
    /// Most requests judged at once; further ones are shed.
    pub concurrent: usize,
    /// Most time for one request when the apiserver names none, and the most it
    /// can name.
    pub deadline: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { body: 7 << 20, concurrent: 256, deadline: Duration::from_secs(10) }
    }
}

/// What both listeners serve.
#[derive(Clone, Debug)]
pub struct Service {
    reviewer: Arc<Reviewer>,
    metrics: Arc<Metrics>,
    limits: Limits,
    trusted: Arc<AtomicBool>,
    draining: Arc<AtomicBool>,
}

impl Service {
    /// A service of that reviewer.
    #[must_use]
    pub fn new(reviewer: Arc<Reviewer>, metrics: Arc<Metrics>, limits: Limits) -> Self {
        Self { reviewer, metrics, limits, trusted: Arc::default(), draining: Arc::default() }
    }

    /// The routes of the TLS listener: `/validate` and `/mutate`.
    pub fn review_router(&self) -> Router {
        validate::router(self.clone())
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
        let bind = |address: SocketAddr| {
            TcpListener::bind(address).map_err(|error| {
                io::Error::new(error.kind(), format!("cannot listen on {address}: {error}"))
            })
        };
        Ok(Self { review: bind(review)?, admin: bind(admin)? })
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
    ///
    /// # Errors
    /// A socket cannot be used.
    pub fn serve(self, service: Service, tls: Arc<rustls::ServerConfig>) -> io::Result<Serving> {
        let handle = Handle::new();
        let tls = RustlsAcceptor::new(RustlsConfig::from_config(tls))
            .handshake_timeout(HANDSHAKE_TIMEOUT)
            .acceptor(NoDelayAcceptor::new());
        let mut review = axum_server::from_tcp(self.review)?
            .acceptor(tls)
            .first_request_timeout(HEADER_TIMEOUT)
            .handle(handle.clone());
        review.http_builder().http1().header_read_timeout(HEADER_TIMEOUT);
        review.http_builder().http2().max_concurrent_streams(250);
        let admin_handle = Handle::new();
        let admin = axum_server::from_tcp(self.admin)?.handle(admin_handle.clone());
        let routes = (service.review_router(), service.admin_router());
        Ok(Serving {
            service,
            review: tokio::spawn(review.serve(routes.0.into_make_service())),
            admin: tokio::spawn(admin.serve(routes.1.into_make_service())),
            review_handle: handle,
            admin_handle,
        })
    }
}

/// Both listeners, serving.
pub struct Serving {
    service: Service,
    review: JoinHandle<io::Result<()>>,
    admin: JoinHandle<io::Result<()>>,
    review_handle: Handle<SocketAddr>,
    admin_handle: Handle<SocketAddr>,
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
    pub async fn drain(self, notice: Duration, requests: Duration) -> io::Result<()> {
        self.service.draining.store(true, Ordering::Release);
        tokio::time::sleep(notice).await;
        self.review_handle.graceful_shutdown(Some(requests));
        self.review.await.map_err(io::Error::other)??;
        self.admin_handle.shutdown();
        self.admin.await.map_err(io::Error::other)?
    }
}
