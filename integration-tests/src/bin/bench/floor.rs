//! The floor: what any server costs with this router, runtime and TLS. It reads
//! the body and echoes the uid; what the guard costs beside it is the guard's.

use std::{fs, net::SocketAddr, path::Path, sync::Arc};

use anyhow::Result;
use axum::{
    Json, Router,
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::post,
    serve::Listener,
};
use jiff::Timestamp;
use nfs_guard_certs::{ServerNames, Slot, issue, server_config};
use serde_json::json;
use tokio::{
    io,
    net::{TcpListener, TcpStream},
    runtime::Runtime,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

/// Serves until it is killed; announces itself as the guard does.
#[expect(clippy::print_stdout, reason = "whoever started it waits for the line")]
pub(crate) fn serve(ca: &Path) -> Result<()> {
    Runtime::new()?.block_on(async {
        let material = issue(&ServerNames::loopback(), Timestamp::now())?;
        fs::write(ca, material.ca_bundle())?;
        let tls = server_config(Arc::new(Slot::new(material.identity())))?;
        let socket = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("https://{}/validate", socket.local_addr()?);
        println!("{}", json!({"event": "serving", "url": url}));
        let listener = TlsListener { socket, tls: TlsAcceptor::from(Arc::new(tls)) };
        axum::serve(listener, Router::new().route("/validate", post(echo))).await?;
        Ok(())
    })
}

/// Looks for the uid where the apiserver writes it, first of all uids, without
/// reading the review as JSON: that is the guard's work.
async fn echo(body: String) -> Response {
    let uid = body.split_once(r#""uid":""#).and_then(|(_, rest)| rest.split_once('"'));
    let Some((uid, _)) = uid else { return StatusCode::BAD_REQUEST.into_response() };
    Json(json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "response": {"uid": uid, "allowed": true},
    }))
    .into_response()
}

/// One handshake after the other: there are as many as connections, and none
/// while a round is measured.
struct TlsListener {
    socket: TcpListener,
    tls: TlsAcceptor,
}

impl TlsListener {
    async fn handshake(&self) -> io::Result<(TlsStream<TcpStream>, SocketAddr)> {
        let (stream, peer) = self.socket.accept().await?;
        stream.set_nodelay(true)?;
        Ok((self.tls.accept(stream).await?, peer))
    }
}

impl Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            // Whoever failed to connect notices by itself.
            if let Ok(accepted) = self.handshake().await {
                return accepted;
            }
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.socket.local_addr()
    }
}
