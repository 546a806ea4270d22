use std::{
    convert::Infallible,
    io,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::Router;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto::Builder,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::watch,
};
use tower::Service as _;

use super::{Limits, accept::closed, linger::Lingering};

/// Most bytes of a request's head, and of what is read ahead of a body: all that
/// a connection holds which is slow with its head. The apiserver's own head has
/// 300 bytes; TLS brings at most 16 KiB at once.
const HEAD: usize = 16 << 10;

/// Most requests at once on a connection that speaks HTTP/2, and the bytes of a
/// body that may be on their way unasked: as the apiserver's own
/// (`secure_serving.go`).
const STREAMS: u32 = 100;
const STREAM_WINDOW: u32 = 256 << 10;
/// The same for all bodies of a connection: small, as it is not counted until
/// it is read.
const CONNECTION_WINDOW: u32 = 1 << 20;

/// How often a client that speaks HTTP/2 is asked whether it is there, and how
/// long it may take to say so. The answer cannot come in the midst of a head, so
/// a client that is slow with one ends with it.
const PING: Duration = Duration::from_secs(20);
const PONG: Duration = Duration::from_secs(10);

/// HTTP on a connection: 1.1, or 2 when the client begins with it.
pub(super) struct Http {
    builder: Builder<TokioExecutor>,
    routes: Router,
    limits: Limits,
}

impl Http {
    pub(super) fn new(routes: Router, limits: &Limits) -> Self {
        let mut builder = Builder::new(TokioExecutor::new());
        builder
            .http1()
            .timer(TokioTimer::new())
            // It runs while no request has come, too.
            .header_read_timeout(limits.idle)
            .max_buf_size(HEAD);
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(STREAMS)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_header_list_size(u32::try_from(HEAD).unwrap_or(u32::MAX))
            .keep_alive_interval(PING.min(limits.idle))
            .keep_alive_timeout(PONG);
        Self { builder, routes, limits: *limits }
    }

    /// Serves until the client leaves, has been idle for too long, or `closing`
    /// turns true and its requests are answered. Calls `proven` at the first
    /// answer that was not a fault.
    pub(super) async fn serve<S>(
        &self,
        stream: S,
        mut closing: watch::Receiver<bool>,
        proven: impl Fn() + Clone + Send + Sync + 'static,
    ) -> io::Result<()>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let requests = Arc::new(AtomicU64::new(0));
        let is_proven = Arc::new(AtomicBool::new(false));
        let service = service_fn(|request: hyper::Request<Incoming>| {
            requests.fetch_add(1, Ordering::Relaxed);
            let answer = self.routes.clone().call(request);
            let (is_proven, proven) = (Arc::clone(&is_proven), proven.clone());
            async move {
                let response = answer.await?;
                if response.status().is_success() && !is_proven.swap(true, Ordering::Relaxed) {
                    proven();
                }
                Ok::<_, Infallible>(response)
            }
        });
        let stream = TokioIo::new(Lingering::new(stream, 2 * self.limits.body));
        let mut connection = pin!(self.builder.serve_connection(stream, service));
        let mut leaving = false;
        let mut served = 0;
        loop {
            // HTTP/1.1 looks after its idle time itself, but neither HTTP/2 nor
            // the part before it is known which of them it is.
            let patience = if leaving { self.limits.deadline } else { self.limits.idle };
            tokio::select! {
                ended = connection.as_mut() => return ended.map_err(io::Error::other),
                () = closed(&mut closing), if !leaving => leaving = true,
                () = tokio::time::sleep(patience) => {
                    if leaving {
                        return Err(io::ErrorKind::TimedOut.into());
                    }
                    let requests = requests.load(Ordering::Relaxed);
                    leaving = requests == served;
                    served = requests;
                }
            }
            if leaving {
                connection.as_mut().graceful_shutdown();
            }
        }
    }
}

impl std::fmt::Debug for Http {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Http").finish_non_exhaustive()
    }
}
