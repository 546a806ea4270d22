//! A client that writes what it likes, when it likes.

use std::{io, sync::Arc};

use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::server::Server;

/// Connects over TLS, with nothing said about the protocol within.
#[derive(Clone)]
pub(crate) struct Connector {
    tls: TlsConnector,
    server: std::net::SocketAddr,
}

impl Connector {
    pub(crate) fn to(server: &Server) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(server.ca.as_bytes()).unwrap()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        Self { tls: TlsConnector::from(Arc::new(config)), server: server.address }
    }

    pub(crate) async fn connect(&self) -> io::Result<Connection> {
        let tcp = TcpStream::connect(self.server).await?;
        let name = ServerName::from(self.server.ip());
        Ok(Connection(self.tls.connect(name, tcp).await?))
    }
}

/// A connection that is written by hand.
pub(crate) struct Connection(TlsStream<TcpStream>);

impl Connection {
    pub(crate) async fn write(&mut self, text: &str) -> io::Result<()> {
        self.0.write_all(text.as_bytes()).await?;
        self.0.flush().await
    }

    /// Status and body of the next answer.
    pub(crate) async fn answer(&mut self) -> io::Result<(u16, Value)> {
        let mut read = Vec::new();
        loop {
            if let Some(answer) = answer(&read) {
                return Ok(answer);
            }
            if self.0.read_buf(&mut read).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// Waits until the server closes the connection, and returns what it said.
    pub(crate) async fn closed(&mut self) -> String {
        let mut said = Vec::new();
        // However it ends, it has.
        let _ = self.0.read_to_end(&mut said).await;
        String::from_utf8(said).unwrap()
    }
}

/// The head of a request with a body of that size.
pub(crate) fn head(size: usize) -> String {
    format!(
        "POST /validate HTTP/1.1\r\nhost: guard\r\ncontent-type: application/json\r\ncontent-length: {size}\r\n\r\n"
    )
}

/// A request with that body.
pub(crate) fn request(body: &str) -> String {
    head(body.len()) + body
}

/// An answer that is whole.
fn answer(read: &[u8]) -> Option<(u16, Value)> {
    let (head, body) = std::str::from_utf8(read).ok()?.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some((status, serde_json::from_str(body).ok()?))
}
