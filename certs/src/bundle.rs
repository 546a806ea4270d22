//! The certificate authorities a client is to trust.

use jiff::Timestamp;
use rustls::RootCertStore;
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, UnixTime};

use crate::identity::Identity;
use crate::reading::{CA_BUNDLE, MaterialError, Validity, certificates, malformed, x509};

const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";

/// A trust bundle: the certificates of one CA or more, each ready to verify with.
#[derive(Clone, Debug)]
pub struct Bundle {
    pem: String,
    authorities: Vec<Authority>,
}

impl Bundle {
    pub(crate) fn parse(pem: String) -> Result<Self, MaterialError> {
        let certificates = certificates(CA_BUNDLE, &pem)?;
        let pems: Vec<&str> = pem
            .split_inclusive(END)
            .filter_map(|section| Some(&section[section.find(BEGIN)?..]))
            .collect();
        if pems.len() != certificates.len() {
            return Err(malformed(CA_BUNDLE, "it is not PEM"));
        }
        let authorities = pems.iter().zip(certificates);
        let authorities = authorities
            .map(|(pem, certificate)| Authority::parse(pem, certificate))
            .collect::<Result<_, _>>()?;
        Ok(Self { pem, authorities })
    }

    /// All certificates in PEM, as a webhook configuration carries them.
    #[must_use]
    pub fn pem(&self) -> &str {
        &self.pem
    }

    pub(crate) fn authorities(&self) -> &[Authority] {
        &self.authorities
    }

    /// When the first of its CAs ends.
    #[must_use]
    pub fn expires(&self) -> Timestamp {
        let ends = self.authorities.iter().map(|authority| authority.validity.not_after);
        ends.min().expect("a bundle has at least one certificate")
    }
}

impl PartialEq for Bundle {
    /// The authorities are what the text says.
    fn eq(&self, other: &Self) -> bool {
        self.pem == other.pem
    }
}

/// A CA certificate.
#[derive(Clone, Debug)]
pub(crate) struct Authority {
    pub(crate) pem: String,
    pub(crate) certificate: CertificateDer<'static>,
    pub(crate) validity: Validity,
    roots: RootCertStore,
}

impl Authority {
    fn parse(pem: &str, certificate: CertificateDer<'static>) -> Result<Self, MaterialError> {
        let x509 = x509(CA_BUNDLE, &certificate)?;
        if !x509.is_ca() {
            return Err(malformed(CA_BUNDLE, "its certificate is not that of a CA"));
        }
        let validity = Validity::of(&x509);
        let mut roots = RootCertStore::empty();
        roots
            .add(certificate.clone())
            .map_err(|_| malformed(CA_BUNDLE, "its certificate is not one that TLS can trust"))?;
        Ok(Self { pem: format!("{pem}\n"), certificate, validity, roots })
    }

    /// Whether it is past its end. rustls asks nothing of the dates of a trust
    /// anchor; Go's verifier, which is the API server's, does.
    pub(crate) fn has_expired(&self, now: Timestamp) -> bool {
        now > self.validity.not_after
    }

    /// Whether a client that trusts this CA, and it alone, takes the certificate of
    /// `identity` for a server's at `now`.
    pub(crate) fn vouches_for(&self, identity: &Identity, now: Timestamp) -> bool {
        let Validity { not_before, not_after } = self.validity;
        let (leaf, intermediates) = identity.chain();
        let signed = verify_server_cert_signed_by_trust_anchor(
            &leaf,
            &self.roots,
            intermediates,
            unix_time(now),
            ring::default_provider().signature_verification_algorithms.all,
        );
        (not_before..=not_after).contains(&now) && signed.is_ok()
    }
}

fn unix_time(timestamp: Timestamp) -> UnixTime {
    let since_epoch = timestamp.max(Timestamp::UNIX_EPOCH).duration_since(Timestamp::UNIX_EPOCH);
    UnixTime::since_unix_epoch(since_epoch.unsigned_abs())
}
