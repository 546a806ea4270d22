use std::{io, time::Duration};

use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use super::turn::Turn;

/// TLS handshakes, of which one at a time is worked on: each costs many times
/// what a request on an open connection does.
pub(super) struct Handshakes {
    acceptor: TlsAcceptor,
    timeout: Duration,
    turn: Turn,
}

impl Handshakes {
    pub(super) fn new(acceptor: TlsAcceptor, timeout: Duration) -> Self {
        Self { acceptor, timeout, turn: Turn::new() }
    }

    /// The stream within the connection.
    pub(super) async fn accept(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        timeout(self.timeout, self.turn.take(self.acceptor.accept(stream))).await?
    }
}

impl std::fmt::Debug for Handshakes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handshakes").finish_non_exhaustive()
    }
}
