//! From a socket that listens to connections that serve routes.

use std::{io, net::TcpListener as StdListener, sync::Arc, time::Duration};

use axum::Router;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;

use super::{
    Limits,
    connection::Http,
    handshake::Handshakes,
    room::{Asked, Guest, Room},
};
use crate::metrics::Metrics;

/// How long to wait after the system would not give a connection, for lack of
/// file descriptors or memory: it would not give the next one either.
const PAUSE: Duration = Duration::from_millis(50);

/// A listener and what its connections serve.
///
/// It is our own, and not `axum-server`'s, for what that cannot do: bound the
/// connections and choose which to close when there are too many, keep
/// handshakes from taking the processor from requests, and close so that a
/// client which is still sending sees its answer.
#[derive(Debug)]
pub(super) struct Acceptor {
    name: &'static str,
    connections: Arc<Room>,
    handshakes: Option<Arc<Handshakes>>,
    http: Arc<Http>,
    metrics: Arc<Metrics>,
}

impl Acceptor {
    /// Serves those routes over TLS, or over plain HTTP without a configuration.
    pub(super) fn new(
        name: &'static str,
        routes: Router,
        tls: Option<Arc<rustls::ServerConfig>>,
        limits: &Limits,
        metrics: Arc<Metrics>,
    ) -> Self {
        // A client proves itself in one round trip after the handshake; there is
        // no time below which it should not have to give way.
        let connections = Room::new(limits.connections, Duration::ZERO);
        let handshakes =
            tls.map(|tls| Arc::new(Handshakes::new(TlsAcceptor::from(tls), limits.handshake)));
        let http = Arc::new(Http::new(routes, limits));
        Self { name, connections, handshakes, http, metrics }
    }

    /// Accepts until `closing` turns true, then waits until every connection has
    /// ended; each ends with the request it is serving.
    ///
    /// # Errors
    /// The listener cannot be used.
    pub(super) async fn run(
        self,
        listener: StdListener,
        mut closing: watch::Receiver<bool>,
    ) -> io::Result<()> {
        listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(listener)?;
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => {
                        if let Some((guest, asked)) = self.admit().await {
                            connections.spawn(self.connection(stream, closing.clone(), guest, asked));
                        }
                    }
                    Err(error) if is_the_clients(&error) => {}
                    Err(error) => {
                        tracing::error!(%error, "no connection can be accepted");
                        tokio::time::sleep(PAUSE).await;
                    }
                },
                Some(_ended) = connections.join_next() => {}
                () = closed(&mut closing) => break,
            }
        }
        drop(listener);
        while connections.join_next().await.is_some() {}
        Ok(())
    }

    /// Room for one more connection. Without any, the newcomer is closed at
    /// once: left waiting, it would find out only by its own timeout.
    async fn admit(&self) -> Option<(Guest, Asked)> {
        let (mut guest, asked) = self.connections.enter();
        if guest.take(1).await.is_err() {
            self.metrics.crowded_out(true);
            return None;
        }
        Some((guest, asked))
    }

    fn connection(
        &self,
        stream: TcpStream,
        closing: watch::Receiver<bool>,
        guest: Guest,
        asked: Asked,
    ) -> impl Future<Output = ()> + use<> {
        let (handshakes, http) = (self.handshakes.clone(), Arc::clone(&self.http));
        let (room, metrics) = (Arc::clone(&self.connections), Arc::clone(&self.metrics));
        let connected = metrics.connected(self.name);
        async move {
            let _connected = connected;
            let number = guest.number();
            let proven = move || room.keep(number);
            let served = async move {
                let _guest = guest;
                // Without it, delayed acknowledgements cost 40 ms at the 99th percentile.
                stream.set_nodelay(true)?;
                match handshakes {
                    Some(handshakes) => {
                        let mut early = closing.clone();
                        let stream = tokio::select! {
                            stream = handshakes.accept(stream) => stream?,
                            () = closed(&mut early) => return Ok(()),
                        };
                        http.serve(stream, closing, proven).await
                    }
                    None => http.serve(stream, closing, proven).await,
                }
            };
            tokio::select! {
                ended = served => if let Err(error) = ended {
                    tracing::debug!(%error, "connection ended");
                },
                _gone = asked.wait() => metrics.crowded_out(false),
            }
        }
    }
}

/// Waits until the listener closes.
pub(super) async fn closed(closing: &mut watch::Receiver<bool>) {
    // An error says that nobody could close it any more, so it does.
    let _ = closing.wait_for(|closing| *closing).await;
}

/// Whether the connection went away before it was accepted: the next one is
/// another's.
fn is_the_clients(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}
