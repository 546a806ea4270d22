//! An HTTPS client that trusts one CA and nothing else.

use std::sync::Arc;

use anyhow::Context as _;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{Request, StatusCode, Uri, header::CONTENT_TYPE};
use hyper_rustls::{
    FixedServerNameResolver, HttpsConnector, HttpsConnectorBuilder, builderstates::WantsProtocols1,
};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};

/// Posts reviews to a guard over TLS.
#[derive(Clone, Debug)]
pub struct ReviewClient {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    url: String,
}

impl ReviewClient {
    /// A client of the guard at `url`, which must present a certificate of one
    /// of the CAs in that PEM text. It speaks HTTP/1.1, as the apiserver does to a
    /// Service.
    ///
    /// # Errors
    /// The text holds no certificate that can be used.
    pub fn new(url: &str, ca_bundle: &str) -> anyhow::Result<Self> {
        let connector = connector(ca_bundle)?.enable_http1().build();
        let client = Client::builder(TokioExecutor::new()).build(connector);
        Ok(Self { client, url: url.to_owned() })
    }

    /// The same of a guard that is reached at another place than its own name:
    /// its certificate must be for `server_name`, whatever the URL says.
    ///
    /// # Errors
    /// The text holds no certificate that can be used, or the name is none.
    pub fn presenting(url: &str, ca_bundle: &str, server_name: &str) -> anyhow::Result<Self> {
        let server_name = ServerName::try_from(server_name.to_owned())
            .with_context(|| format!("{server_name} is no name of a server"))?;
        let connector = connector(ca_bundle)?
            .with_server_name_resolver(FixedServerNameResolver::new(server_name))
            .enable_http1()
            .build();
        let client = Client::builder(TokioExecutor::new()).build(connector);
        Ok(Self { client, url: url.to_owned() })
    }

    /// The same client, for another path of the same server.
    ///
    /// # Errors
    /// The path is none.
    pub fn at(&self, path: &str) -> anyhow::Result<Self> {
        let mut parts = self.url.parse::<Uri>()?.into_parts();
        parts.path_and_query = Some(path.parse()?);
        Ok(Self { client: self.client.clone(), url: Uri::from_parts(parts)?.to_string() })
    }

    /// The same over HTTP/2, as the apiserver does to a URL on its own machine.
    ///
    /// # Errors
    /// The text holds no certificate that can be used.
    pub fn http2(url: &str, ca_bundle: &str) -> anyhow::Result<Self> {
        let connector = connector(ca_bundle)?.enable_http2().build();
        let client = Client::builder(TokioExecutor::new()).http2_only(true).build(connector);
        Ok(Self { client, url: url.to_owned() })
    }

    /// Posts a body and returns the status and the answer's body.
    ///
    /// # Errors
    /// There was no answer.
    pub async fn post(
        &self,
        content_type: &str,
        body: impl Into<Bytes>,
    ) -> anyhow::Result<(StatusCode, Bytes)> {
        let request = Request::post(&self.url)
            .header(CONTENT_TYPE, content_type)
            .body(Full::new(body.into()))?;
        let response = self
            .client
            .request(request)
            .await
            .with_context(|| format!("no answer from {}", self.url))?;
        let (parts, body) = response.into_parts();
        Ok((parts.status, body.collect().await?.to_bytes()))
    }
}

/// Connects to whoever has a certificate of those CAs.
fn connector(ca_bundle: &str) -> anyhow::Result<HttpsConnectorBuilder<WantsProtocols1>> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(ca_bundle.as_bytes()) {
        roots.add(certificate.context("CA bundle is not PEM")?).context("CA cannot be used")?;
    }
    let tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(HttpsConnectorBuilder::new().with_tls_config(tls).https_only())
}
