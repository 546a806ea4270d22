//! The keys and certificates of one guard, as its Secret holds them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::ByteString;
use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use rustls::sign::CertifiedKey;
use rustls::{Error as TlsError, RootCertStore};
use x509_parser::prelude::{FromDer, X509Certificate};

/// Type of a Secret that holds material; it obliges the API server to insist on
/// [`CERTIFICATE_CHAIN`] and [`KEY`].
pub(crate) const SECRET_TYPE: &str = "kubernetes.io/tls";

pub(crate) const CA_CERTIFICATE: &str = "ca.crt";
pub(crate) const CA_KEY: &str = "ca.key";
pub(crate) const CERTIFICATE_CHAIN: &str = "tls.crt";
pub(crate) const KEY: &str = "tls.key";

/// A certificate authority and the server certificate that goes with it, each
/// with its key.
///
/// Every part is known to be readable, the CA certificate to be a CA's, and the
/// server's key to fit its certificate. Whether the CA signed that certificate,
/// for which names and for how long, is for [`plan`](crate::plan()) to ask.
#[derive(Clone)]
pub struct Material {
    ca_certificate_pem: String,
    ca_key_pem: String,
    certificate_chain_pem: String,
    key_pem: String,
    ca: Authority,
    leaf_validity: Validity,
    certified_key: Arc<CertifiedKey>,
}

impl Material {
    /// Reads the material from the data of a Secret: `ca.crt`, `ca.key`, `tls.crt`
    /// and `tls.key`, each in PEM. Other keys are ignored.
    pub fn from_secret_data(data: &BTreeMap<String, ByteString>) -> Result<Self, MaterialError> {
        Self::parse(
            text(data, CA_CERTIFICATE)?,
            text(data, CA_KEY)?,
            text(data, CERTIFICATE_CHAIN)?,
            text(data, KEY)?,
        )
    }

    pub(crate) fn parse(
        ca_certificate_pem: String,
        ca_key_pem: String,
        certificate_chain_pem: String,
        key_pem: String,
    ) -> Result<Self, MaterialError> {
        let ca = Authority::parse(&ca_certificate_pem)?;
        let ca_chain = certificates(CA_CERTIFICATE, &ca_certificate_pem)?;
        let ca_key = sign_with(CA_KEY, &ca_key_pem)?;
        if let Err(TlsError::InconsistentKeys(_)) = CertifiedKey::new(ca_chain, ca_key).keys_match()
        {
            return Err(MaterialError::CaKeyDoesNotFit);
        }

        let chain = certificates(CERTIFICATE_CHAIN, &certificate_chain_pem)?;
        let leaf_validity = Validity::of(&x509(CERTIFICATE_CHAIN, &chain[0])?);
        let certified_key = CertifiedKey::new(chain, sign_with(KEY, &key_pem)?);
        match certified_key.keys_match() {
            Ok(()) => {}
            Err(TlsError::InconsistentKeys(_)) => return Err(MaterialError::KeyDoesNotFit),
            Err(_) => {
                return Err(malformed(
                    CERTIFICATE_CHAIN,
                    "its first certificate is not one that TLS can use",
                ));
            }
        }

        Ok(Self {
            ca_certificate_pem,
            ca_key_pem,
            certificate_chain_pem,
            key_pem,
            ca,
            leaf_validity,
            certified_key: Arc::new(certified_key),
        })
    }

    /// The material as the data of a Secret; what
    /// [`from_secret_data`](Self::from_secret_data) reads.
    #[must_use]
    pub fn to_secret_data(&self) -> BTreeMap<String, ByteString> {
        [
            (CA_CERTIFICATE, &self.ca_certificate_pem),
            (CA_KEY, &self.ca_key_pem),
            (CERTIFICATE_CHAIN, &self.certificate_chain_pem),
            (KEY, &self.key_pem),
        ]
        .map(|(key, pem)| (key.to_owned(), ByteString(pem.clone().into_bytes())))
        .into()
    }

    /// The certificates a client must trust, in PEM: the CA's.
    #[must_use]
    pub fn ca_bundle(&self) -> &str {
        &self.ca_certificate_pem
    }

    /// The CA's private key, in PEM.
    #[must_use]
    pub fn ca_key(&self) -> &str {
        &self.ca_key_pem
    }

    /// The server's certificate, then any intermediate ones, in PEM.
    #[must_use]
    pub fn certificate_chain(&self) -> &str {
        &self.certificate_chain_pem
    }

    /// The server's private key, in PEM.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key_pem
    }

    pub(crate) fn ca(&self) -> &Authority {
        &self.ca
    }

    pub(crate) fn leaf_validity(&self) -> Validity {
        self.leaf_validity
    }

    pub(crate) fn certified_key(&self) -> &Arc<CertifiedKey> {
        &self.certified_key
    }
}

/// Shows what is public and never a key.
impl fmt::Debug for Material {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Material")
            .field("ca_certificate", &self.ca_certificate_pem)
            .field("certificate_chain", &self.certificate_chain_pem)
            .finish_non_exhaustive()
    }
}

/// A CA certificate, ready to verify with.
#[derive(Clone)]
pub(crate) struct Authority {
    pub(crate) roots: Arc<RootCertStore>,
    pub(crate) validity: Validity,
}

impl Authority {
    fn parse(pem: &str) -> Result<Self, MaterialError> {
        let certificates = certificates(CA_CERTIFICATE, pem)?;
        let [certificate] = certificates.as_slice() else {
            return Err(malformed(CA_CERTIFICATE, "it holds more than one certificate"));
        };
        let x509 = x509(CA_CERTIFICATE, certificate)?;
        if !x509.is_ca() {
            return Err(malformed(CA_CERTIFICATE, "its certificate is not that of a CA"));
        }
        let mut roots = RootCertStore::empty();
        roots.add(certificate.clone()).map_err(|_| {
            malformed(CA_CERTIFICATE, "its certificate is not one that TLS can trust")
        })?;
        Ok(Self { roots: Arc::new(roots), validity: Validity::of(&x509) })
    }
}

/// When a certificate is valid, both ends included.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Validity {
    pub(crate) not_before: Timestamp,
    pub(crate) not_after: Timestamp,
}

impl Validity {
    fn of(certificate: &X509Certificate<'_>) -> Self {
        let validity = certificate.validity();
        // X.509 knows the years 0 to 9999. Only the last day of the last year, RFC
        // 5280's "no well-defined expiration", is beyond what a Timestamp holds.
        let timestamp = |second: i64| Timestamp::from_second(second).unwrap_or(Timestamp::MAX);
        Self {
            not_before: timestamp(validity.not_before.timestamp()),
            not_after: timestamp(validity.not_after.timestamp()),
        }
    }
}

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
    #[error("{CA_KEY} does not fit the certificate in {CA_CERTIFICATE}")]
    CaKeyDoesNotFit,
    /// The server's private key is another certificate's.
    #[error("{KEY} does not fit the certificate in {CERTIFICATE_CHAIN}")]
    KeyDoesNotFit,
}

fn malformed(key: &'static str, fault: &'static str) -> MaterialError {
    MaterialError::Malformed { key, fault }
}

fn text(data: &BTreeMap<String, ByteString>, key: &'static str) -> Result<String, MaterialError> {
    let ByteString(bytes) = data.get(key).ok_or(MaterialError::Missing { key })?;
    String::from_utf8(bytes.clone()).map_err(|_| malformed(key, "it is not text"))
}

/// At least one certificate.
fn certificates(
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

fn x509<'a>(
    key: &'static str,
    der: &'a CertificateDer<'_>,
) -> Result<X509Certificate<'a>, MaterialError> {
    match X509Certificate::from_der(der) {
        Ok((_, certificate)) => Ok(certificate),
        Err(_) => Err(malformed(key, "its certificate is not X.509")),
    }
}

fn sign_with(
    key: &'static str,
    pem: &str,
) -> Result<Arc<dyn rustls::sign::SigningKey>, MaterialError> {
    let der = PrivateKeyDer::from_pem_slice(pem.as_bytes())
        .map_err(|_| malformed(key, "it holds no private key in PEM"))?;
    any_supported_type(&der)
        .map_err(|_| malformed(key, "its private key is not RSA, ECDSA or Ed25519"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ServerNames, issue};

    fn material() -> Material {
        issue(&ServerNames::loopback(), Timestamp::UNIX_EPOCH).expect("issues")
    }

    #[test]
    fn secret_data_reads_back_as_it_was_written() {
        let written = material();
        let data = written.to_secret_data();
        let read = Material::from_secret_data(&data).expect("reads");

        assert_eq!(data.keys().collect::<Vec<_>>(), ["ca.crt", "ca.key", "tls.crt", "tls.key"]);
        assert_eq!(read.to_secret_data(), data);
        assert_eq!(read.ca_bundle(), written.ca_bundle());
        assert_eq!(read.ca_key(), written.ca_key());
        assert_eq!(read.certificate_chain(), written.certificate_chain());
        assert_eq!(read.key(), written.key());
    }

    #[test]
    fn a_ca_key_of_another_ca_is_refused_before_it_signs() {
        let mut data = material().to_secret_data();
        data.insert("ca.key".to_owned(), ByteString(material().ca_key().as_bytes().to_vec()));
        assert_eq!(
            Material::from_secret_data(&data).expect_err("does not fit"),
            MaterialError::CaKeyDoesNotFit
        );
    }

    #[test]
    fn an_error_names_the_key() {
        let good = material();
        let other = material();
        let with = |key: &str, value: &[u8]| {
            let mut data = good.to_secret_data();
            data.insert(key.to_owned(), ByteString(value.to_vec()));
            data
        };
        let without = |key: &str| {
            let mut data = good.to_secret_data();
            data.remove(key);
            data
        };
        let two = good.ca_bundle().repeat(2);
        let cut = &good.ca_bundle()[..200];
        let no_x509 = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        let no_key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";

        for (case, data, message) in [
            ("no CA", without("ca.crt"), "ca.crt is missing"),
            ("no CA key", without("ca.key"), "ca.key is missing"),
            ("no chain", without("tls.crt"), "tls.crt is missing"),
            ("no key", without("tls.key"), "tls.key is missing"),
            (
                "bytes that are no text",
                with("ca.crt", b"\xff"),
                "ca.crt is malformed: it is not text",
            ),
            (
                "an empty CA",
                with("ca.crt", b""),
                "ca.crt is malformed: it holds no certificate in PEM",
            ),
            (
                "a CA cut short",
                with("ca.crt", cut.as_bytes()),
                "ca.crt is malformed: it is not PEM",
            ),
            (
                "a CA that is no certificate",
                with("ca.crt", no_x509.as_bytes()),
                "ca.crt is malformed: its certificate is not X.509",
            ),
            (
                "two CAs",
                with("ca.crt", two.as_bytes()),
                "ca.crt is malformed: it holds more than one certificate",
            ),
            (
                "a leaf in place of the CA",
                with("ca.crt", good.certificate_chain().as_bytes()),
                "ca.crt is malformed: its certificate is not that of a CA",
            ),
            (
                "a CA certificate in place of its key",
                with("ca.key", good.ca_bundle().as_bytes()),
                "ca.key is malformed: it holds no private key in PEM",
            ),
            (
                "an empty chain",
                with("tls.crt", b""),
                "tls.crt is malformed: it holds no certificate in PEM",
            ),
            (
                "a chain that is no certificate",
                with("tls.crt", no_x509.as_bytes()),
                "tls.crt is malformed: its certificate is not X.509",
            ),
            (
                "a key of no known kind",
                with("tls.key", no_key.as_bytes()),
                "tls.key is malformed: its private key is not RSA, ECDSA or Ed25519",
            ),
            (
                "the key of another certificate",
                with("tls.key", other.key().as_bytes()),
                "tls.key does not fit the certificate in tls.crt",
            ),
        ] {
            let error = Material::from_secret_data(&data).expect_err(case);
            assert_eq!(error.to_string(), message, "{case}");
        }
    }

    #[test]
    fn debug_never_prints_a_key() {
        let material = material();
        let shown = format!("{material:?} {material:#?}");

        assert!(shown.contains("BEGIN CERTIFICATE"));
        assert!(!shown.contains("PRIVATE KEY"), "{shown}");
        for key in [material.ca_key(), material.key()] {
            let line = key.lines().nth(1).expect("has a body");
            assert!(!shown.contains(line), "{shown}");
        }
    }
}
