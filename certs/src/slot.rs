//! Serves a certificate over TLS and lets it be swapped.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use jiff::Timestamp;
use rustls::crypto::ring;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use rustls::{Error as TlsError, ServerConfig};

use crate::identity::Identity;
use crate::reading::Validity;

/// The certificate a server presents to its next client.
#[derive(Default)]
pub struct Slot(ArcSwapOption<Identity>);

impl Slot {
    /// A slot that presents `identity`; without one, by `default`, every handshake
    /// fails until the first [`swap`](Self::swap).
    #[must_use]
    pub fn new(identity: &Identity) -> Self {
        Self(ArcSwapOption::from_pointee(identity.clone()))
    }

    /// Presents `identity` from now on; open connections go on with what they were
    /// opened with.
    pub fn swap(&self, identity: &Identity) {
        self.0.store(Some(Arc::new(identity.clone())));
    }

    #[cfg(test)]
    pub(crate) fn presents(&self) -> Option<Arc<Identity>> {
        self.0.load_full()
    }

    /// Whether clients can be served at `now`.
    pub fn check(&self, now: Timestamp) -> Result<(), NotServed> {
        let presented = self.0.load();
        let Some(identity) = presented.as_ref() else { return Err(NotServed::NoCertificate) };
        let Validity { not_before, not_after } = identity.validity();
        if now > not_after {
            return Err(NotServed::Expired(not_after));
        }
        if now < not_before { Err(NotServed::NotYetValid(not_before)) } else { Ok(()) }
    }
}

/// Why no client can be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotServed {
    /// There is none to present.
    #[error("no certificate yet")]
    NoCertificate,
    /// It is past its end.
    #[error("certificate expired at {0}")]
    Expired(Timestamp),
    /// It starts in the future; by its clock or ours, which is wrong.
    #[error("certificate not valid before {0}")]
    NotYetValid(Timestamp),
}

impl ResolvesServerCert for Slot {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.load().as_ref().map(|identity| Arc::clone(identity.certified_key()))
    }
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slot").finish_non_exhaustive()
    }
}

/// A TLS server which presents what is in `slot`: TLS 1.2 and 1.3, HTTP/2 and
/// HTTP/1.1, no client certificates. Its cryptography is ring's, whatever the
/// process installed as its default.
pub fn server_config(slot: Arc<Slot>) -> Result<ServerConfig, TlsError> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&TLS13, &TLS12])?
        .with_no_client_auth()
        .with_cert_resolver(slot);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

#[cfg(test)]
mod tests {
    use std::io::{self, Read, Write};
    use std::net::{SocketAddr, TcpListener, TcpStream};
    use std::thread;

    use jiff::SignedDuration;
    use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject};
    use rustls::{
        ClientConfig, ClientConnection, RootCertStore, ServerConnection, StreamOwned,
        SupportedProtocolVersion,
    };

    use super::*;
    use crate::{Material, ServerNames, issue};

    type Client = StreamOwned<ClientConnection, TcpStream>;

    fn material() -> Material {
        issue(&ServerNames::loopback(), Timestamp::now()).expect("issues")
    }

    /// A server on loopback that echoes byte by byte, a thread per connection,
    /// for as many connections as are expected.
    fn serve(slot: Arc<Slot>, connections: usize) -> (SocketAddr, thread::JoinHandle<()>) {
        let config = Arc::new(server_config(slot).expect("ring can"));
        let listener = TcpListener::bind("127.0.0.1:0").expect("binds");
        let address = listener.local_addr().expect("is bound");
        let server = thread::spawn(move || {
            thread::scope(|scope| {
                for _ in 0..connections {
                    let (socket, _) = listener.accept().expect("accepts");
                    let config = Arc::clone(&config);
                    // A client that refuses our certificate ends its connection.
                    scope.spawn(move || echo(config, socket).ok());
                }
            });
        });
        (address, server)
    }

    fn echo(config: Arc<ServerConfig>, socket: TcpStream) -> io::Result<()> {
        let connection = ServerConnection::new(config).map_err(io::Error::other)?;
        let mut stream = StreamOwned::new(connection, socket);
        let mut byte = [0];
        while stream.read(&mut byte)? == 1 {
            stream.write_all(&byte)?;
        }
        Ok(())
    }

    /// Connects as a client with `ca` as its only root.
    fn connect(
        address: SocketAddr,
        ca: &Material,
        name: &str,
        version: &'static SupportedProtocolVersion,
        alpn: &[u8],
    ) -> io::Result<Client> {
        let mut roots = RootCertStore::empty();
        let root = CertificateDer::from_pem_slice(ca.ca_bundle().as_bytes()).expect("is PEM");
        roots.add(root).expect("is a root");
        let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[version])
            .expect("ring can")
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![alpn.to_vec()];
        let name = ServerName::try_from(name.to_owned()).expect("is a name");
        let mut connection = ClientConnection::new(Arc::new(config), name).expect("is a client");
        let mut socket = TcpStream::connect(address)?;
        while connection.is_handshaking() {
            connection.complete_io(&mut socket)?;
        }
        Ok(StreamOwned::new(connection, socket))
    }

    fn ask(client: &mut Client, question: [u8; 4]) -> io::Result<[u8; 4]> {
        let mut answer = [0; 4];
        client.write_all(&question)?;
        client.read_exact(&mut answer)?;
        Ok(answer)
    }

    fn presented(client: &Client) -> &[CertificateDer<'static>] {
        client.conn.peer_certificates().expect("was presented one")
    }

    #[test]
    fn a_swap_changes_new_connections_and_spares_open_ones() {
        let (first, second) = (material(), material());
        let slot = Arc::new(Slot::new(first.identity()));
        let (address, server) = serve(Arc::clone(&slot), 3);

        let mut before = connect(address, &first, "localhost", &TLS13, b"h2").expect("trusted");
        assert_eq!(ask(&mut before, *b"open").expect("answers"), *b"open");

        slot.swap(second.identity());

        assert_eq!(ask(&mut before, *b"same").expect("answers"), *b"same");
        let mut after = connect(address, &second, "localhost", &TLS13, b"h2").expect("trusted");
        assert_eq!(ask(&mut after, *b"next").expect("answers"), *b"next");
        assert_eq!(presented(&before), first.identity().certified_key().cert);
        assert_eq!(presented(&after), second.identity().certified_key().cert);
        let error = connect(address, &first, "localhost", &TLS13, b"h2").expect_err("untrusted");
        assert!(error.to_string().contains("invalid peer certificate"), "{error}");

        drop((before, after));
        server.join().expect("serves to the end");
    }

    #[test]
    fn an_empty_slot_serves_nobody_until_it_is_filled() {
        let material = material();
        let slot = Arc::new(Slot::default());
        let (address, server) = serve(Arc::clone(&slot), 2);

        connect(address, &material, "localhost", &TLS13, b"h2").expect_err("nothing to present");
        slot.swap(material.identity());
        connect(address, &material, "localhost", &TLS13, b"h2").expect("trusted");

        server.join().expect("serves to the end");
    }

    #[test]
    fn what_is_presented_is_good_for_as_long_as_it_is_valid() {
        let issued: Timestamp = "2026-03-01T12:00:00Z".parse().expect("valid");
        let material = issue(&ServerNames::loopback(), issued).expect("issues");
        let (from, until) = (issued - SignedDuration::from_hours(1), material.identity().expires());
        let second = SignedDuration::from_secs(1);
        let slot = Slot::default();
        assert_eq!(slot.check(issued), Err(NotServed::NoCertificate));
        slot.swap(material.identity());
        for (now, expected) in [
            (from - second, Err(NotServed::NotYetValid(from))),
            (from, Ok(())),
            (until, Ok(())),
            (until + second, Err(NotServed::Expired(until))),
        ] {
            assert_eq!(slot.check(now), expected, "{now}");
        }
    }

    #[test]
    fn clients_of_either_version_and_protocol_are_served() {
        let material = material();
        let cases: [(&str, &str, &'static SupportedProtocolVersion, &[u8]); 4] = [
            ("1.3 with HTTP/2", "localhost", &TLS13, b"h2"),
            ("1.3 with HTTP/1.1", "127.0.0.1", &TLS13, b"http/1.1"),
            ("1.2 with HTTP/2", "::1", &TLS12, b"h2"),
            ("1.2 with HTTP/1.1", "localhost", &TLS12, b"http/1.1"),
        ];
        let (address, server) = serve(Arc::new(Slot::new(material.identity())), cases.len());

        for (case, name, version, alpn) in cases {
            let mut client = connect(address, &material, name, version, alpn).expect(case);
            assert_eq!(ask(&mut client, *b"ping").expect(case), *b"ping", "{case}");
            assert_eq!(client.conn.alpn_protocol(), Some(alpn), "{case}");
        }
        server.join().expect("serves to the end");
    }
}
