//! `kubectl logs`, and what helm shows of a hook's pod.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context, Result};
use axum::{
    Router,
    extract::{Path, State},
    http::StatusCode,
    routing::get,
    serve::Listener,
};
use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};
use std::{io, sync::Arc};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use super::host::Host;

/// Where the API server asks a kubelet.
pub(super) const PORT: u16 = 10250;

/// Serves until dropped.
pub(super) async fn serve(host: &Arc<Host>) {
    let served = async {
        let listener = TlsListener::bind(host).await?;
        let routes = Router::new()
            .route("/containerLogs/{namespace}/{pod}/{container}", get(container_log))
            .with_state(Arc::clone(host));
        axum::serve(listener, routes).await.context("serving")
    };
    if let Err(error) = served.await {
        host.log(format_args!("no logs are served: {error:#}"));
        // Pods run all the same.
        std::future::pending::<()>().await;
    }
}

/// All that was printed so far; `follow` and `previous` are not known.
async fn container_log(
    State(host): State<Arc<Host>>,
    Path((namespace, pod, container)): Path<(String, String, String)>,
) -> Result<Vec<u8>, (StatusCode, String)> {
    let name = format!("{namespace}/{pod}/{container}");
    let log = host.container_log(&name);
    let log = log.ok_or_else(|| (StatusCode::NOT_FOUND, format!("no output of {name}\n")))?;
    std::fs::read(&log).map_err(|error| {
        (StatusCode::INTERNAL_SERVER_ERROR, format!("{}: {error}\n", log.display()))
    })
}

/// Without `--kubelet-certificate-authority` the API server takes any certificate.
struct TlsListener {
    listener: TcpListener,
    tls: TlsAcceptor,
}

impl TlsListener {
    async fn bind(host: &Host) -> Result<Self> {
        let certificates = CertificateDer::pem_file_iter(&host.certificate)
            .and_then(Iterator::collect)
            .context("reading the certificate")?;
        let key = PrivateKeyDer::from_pem_file(&host.key).context("reading the key")?;
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(certificates, key)?;
        let address: (Ipv4Addr, u16) = (host.address, PORT);
        let listener = TcpListener::bind(address).await.context("listening")?;
        Ok(Self { listener, tls: TlsAcceptor::from(Arc::new(config)) })
    }
}

impl Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let (stream, address) = Listener::accept(&mut self.listener).await;
            if let Ok(stream) = self.tls.accept(stream).await {
                return (stream, address);
            }
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}
