//! What a server presents to its clients.

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use rustls::Error as TlsError;
use rustls::client::verify_server_name;
use rustls::pki_types::CertificateDer;
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;

use crate::names::ServerNames;
use crate::reading::{
    CERTIFICATE_CHAIN, KEY, MaterialError, SecretData, Validity, certificates, malformed,
    private_key, text, x509,
};

/// A server certificate and its key, which are known to fit.
#[derive(Clone)]
pub struct Identity {
    chain_pem: String,
    key_pem: String,
    validity: Validity,
    certified_key: Arc<CertifiedKey>,
}

impl Identity {
    /// Reads `tls.crt` and `tls.key`.
    pub(crate) fn from_secret_data(data: &SecretData) -> Result<Self, MaterialError> {
        Self::parse(text(data, CERTIFICATE_CHAIN)?, text(data, KEY)?)
    }

    pub(crate) fn parse(chain_pem: String, key_pem: String) -> Result<Self, MaterialError> {
        let chain = certificates(CERTIFICATE_CHAIN, &chain_pem)?;
        let validity = Validity::of(&x509(CERTIFICATE_CHAIN, &chain[0])?);
        let certified_key = CertifiedKey::new(chain, private_key(KEY, &key_pem)?);
        match certified_key.keys_match() {
            Ok(()) => {}
            Err(TlsError::InconsistentKeys(_)) => return Err(MaterialError::KeyDoesNotFit),
            Err(_) => {
                let fault = "its first certificate is not one that TLS can use";
                return Err(malformed(CERTIFICATE_CHAIN, fault));
            }
        }
        let certified_key = Arc::new(certified_key);
        Ok(Self { chain_pem, key_pem, validity, certified_key })
    }

    /// The server's certificate, then any intermediate ones, in PEM.
    #[must_use]
    pub fn chain_pem(&self) -> &str {
        &self.chain_pem
    }

    /// The server's private key, in PEM.
    #[must_use]
    pub fn key_pem(&self) -> &str {
        &self.key_pem
    }

    /// When the server's certificate ends.
    #[must_use]
    pub fn expires(&self) -> Timestamp {
        self.validity.not_after
    }

    pub(crate) fn validity(&self) -> Validity {
        self.validity
    }

    pub(crate) fn certified_key(&self) -> &Arc<CertifiedKey> {
        &self.certified_key
    }

    /// The server's certificate, and the intermediate ones.
    pub(crate) fn chain(&self) -> (ParsedCertificate<'_>, &[CertificateDer<'static>]) {
        let (leaf, intermediates) =
            self.certified_key.cert.split_first().expect("a chain has at least one certificate");
        let leaf = ParsedCertificate::try_from(leaf)
            .expect("its key was found to fit, for which it was parsed just so");
        (leaf, intermediates)
    }

    /// The first of `names` that it is not valid for.
    pub(crate) fn lacks(&self, names: &ServerNames) -> Option<String> {
        let (leaf, _) = self.chain();
        let lacking = names.iter().find(|name| verify_server_name(&leaf, name).is_err())?;
        Some(lacking.to_str().into_owned())
    }
}

/// Two are the same if they present the same certificates.
impl PartialEq for Identity {
    fn eq(&self, other: &Self) -> bool {
        self.certified_key.cert == other.certified_key.cert
    }
}

/// Shows what is public and never the key.
impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("chain", &self.chain_pem).finish_non_exhaustive()
    }
}
