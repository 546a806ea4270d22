//! Reads what a Secret holds under its keys.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::ByteString;
use rustls::Error as TlsError;
use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use rustls::sign::{CertifiedKey, SigningKey};
use x509_parser::prelude::{FromDer, X509Certificate};

/// The certificates to trust: of the CA that signs, and while a rotation is on that
/// of the next one or of the one before.
pub(crate) const CA_BUNDLE: &str = "ca.crt";
/// The key of the CA that signs.
pub(crate) const CA_KEY: &str = "ca.key";
/// The key of the CA that is to sign next; there from the moment it is trusted until
/// it signs.
pub(crate) const NEXT_CA_KEY: &str = "next-ca.key";
/// The server's certificate, then any intermediate ones.
pub(crate) const CERTIFICATE_CHAIN: &str = "tls.crt";
/// The server's key.
pub(crate) const KEY: &str = "tls.key";

/// The data of a Secret.
pub(crate) type SecretData = BTreeMap<String, ByteString>;

/// Which part of stored material cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MaterialError {
    /// The Secret has no such key.
    #[error("{key} is missing")]
    Missing {
        /// Key in the Secret.
        key: &'static str,
    },
    /// The Secret has the key, but not what belongs under it.
    #[error("{key} is malformed: {fault}")]
    Malformed {
        /// Key in the Secret.
        key: &'static str,
        /// What is wrong with it; never its content.
        fault: &'static str,
    },
    /// The CA's private key is another certificate's.
    #[error("{CA_KEY} fits no certificate in {CA_BUNDLE}")]
    CaKeyDoesNotFit,
    /// The server's private key is another certificate's.
    #[error("{KEY} does not fit the certificate in {CERTIFICATE_CHAIN}")]
    KeyDoesNotFit,
}

/// When a certificate is valid, both ends included.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Validity {
    pub(crate) not_before: Timestamp,
    pub(crate) not_after: Timestamp,
}

impl Validity {
    pub(crate) fn of(certificate: &X509Certificate<'_>) -> Self {
        let validity = certificate.validity();
        // X.509 knows the years 0 to 9999. Only the last day of the last year, RFC
        // 5280's "no well-defined expiration", is beyond what a Timestamp holds.
        let timestamp = |second: i64| Timestamp::from_second(second).unwrap_or(Timestamp::MAX);
        Self {
            not_before: timestamp(validity.not_before.timestamp()),
            not_after: timestamp(validity.not_after.timestamp()),
        }
    }

    /// When two thirds of it are over: the customary point to renew at, which leaves
    /// a third to notice that renewal fails.
    pub(crate) fn renewal(self) -> Timestamp {
        let lifetime = self.not_after.duration_since(self.not_before);
        self.not_before + lifetime / 3 * 2
    }
}

pub(crate) fn malformed(key: &'static str, fault: &'static str) -> MaterialError {
    MaterialError::Malformed { key, fault }
}

pub(crate) fn text(data: &SecretData, key: &'static str) -> Result<String, MaterialError> {
    let ByteString(bytes) = data.get(key).ok_or(MaterialError::Missing { key })?;
    String::from_utf8(bytes.clone()).map_err(|_| malformed(key, "it is not text"))
}

/// At least one certificate.
pub(crate) fn certificates(
    key: &'static str,
    pem: &str,
) -> Result<Vec<CertificateDer<'static>>, MaterialError> {
    let certificates = CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| malformed(key, "it is not PEM"))?;
    if certificates.is_empty() {
        return Err(malformed(key, "it holds no certificate in PEM"));
    }
    Ok(certificates)
}

pub(crate) fn x509<'a>(
    key: &'static str,
    der: &'a CertificateDer<'_>,
) -> Result<X509Certificate<'a>, MaterialError> {
    match X509Certificate::from_der(der) {
        Ok((_, certificate)) => Ok(certificate),
        Err(_) => Err(malformed(key, "its certificate is not X.509")),
    }
}

pub(crate) fn private_key(
    key: &'static str,
    pem: &str,
) -> Result<Arc<dyn SigningKey>, MaterialError> {
    let der = PrivateKeyDer::from_pem_slice(pem.as_bytes())
        .map_err(|_| malformed(key, "it holds no private key in PEM"))?;
    any_supported_type(&der)
        .map_err(|_| malformed(key, "its private key is not RSA, ECDSA or Ed25519"))
}

/// Whether `key` is the one that `certificate` certifies.
pub(crate) fn fits(key: &Arc<dyn SigningKey>, certificate: &CertificateDer<'static>) -> bool {
    let pair = CertifiedKey::new(vec![certificate.clone()], Arc::clone(key));
    !matches!(pair.keys_match(), Err(TlsError::InconsistentKeys(_)))
}
