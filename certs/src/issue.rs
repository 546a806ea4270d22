//! Issues a certificate authority and server certificates.

use jiff::{SignedDuration, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
    SanType, SerialNumber, SigningKey,
};
use rustls::crypto::ring;
use time::OffsetDateTime;

use crate::{Material, MaterialError, ServerNames};

/// How far a verifier's clock may be behind ours. Nodes of a cluster are kept
/// within seconds by NTP; an hour also covers one that has just booted, and costs
/// nothing, since the key did not exist before.
const CLOCK_SKEW: SignedDuration = SignedDuration::from_hours(1);

/// Lifetime of the CA, 3650 days: as the CA which kubeadm makes for a cluster, so
/// the guard's does not end before it.
const CA_LIFETIME: SignedDuration = SignedDuration::from_hours(3650 * 24);

/// Lifetime of the server certificate, 365 days: as those which kubeadm makes for
/// the API server itself.
const LEAF_LIFETIME: SignedDuration = SignedDuration::from_hours(365 * 24);

// Both start at the same instant, so the leaf never outlives its CA.
const _: () = assert!(LEAF_LIFETIME.as_secs() <= CA_LIFETIME.as_secs());

/// Random bytes in a serial number: RFC 5280 §4.1.2.2 allows 20, public CAs must
/// draw 8; 16 never collide.
const SERIAL_BYTES: usize = 16;

/// Subject of the CA.
const CA_COMMON_NAME: &str = "nfs-guard CA";

/// Subject of the leaf. It differs from the CA's, since some verifiers take a
/// certificate whose issuer and subject are equal for self-signed. The names it
/// is valid for are its SANs alone.
const LEAF_COMMON_NAME: &str = "nfs-guard webhook";

/// Issues a new CA and a server certificate for `names`, both valid from an hour
/// before `now`: the CA for ten years, the server certificate for one.
pub fn issue(names: &ServerNames, now: Timestamp) -> Result<Material, IssueError> {
    let ca_key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let ca_key_pem = ca_key.serialize_pem();
    let ca = CertifiedIssuer::self_signed(ca_params(now)?, ca_key)?;

    let (leaf, key) = leaf(&leaf_params(names, now)?, &ca)?;
    Ok(Material::parse(ca.pem(), ca_key_pem, leaf, key)?)
}

/// Issues a server certificate for `names` under the CA of `material`, whose
/// clients therefore go on as they are. It ends with the CA if that is sooner
/// than a year.
pub(crate) fn reissue(
    material: &Material,
    names: &ServerNames,
    now: Timestamp,
) -> Result<Material, IssueError> {
    let (ca, ca_key) = (material.ca_bundle().to_owned(), material.ca_key().to_owned());
    let issuer = Issuer::from_ca_cert_pem(&ca, KeyPair::from_pem(&ca_key)?)?;
    let mut params = leaf_params(names, now)?;
    params.not_before = params.not_before.max(x509_time(material.ca().validity.not_before));
    params.not_after = params.not_after.min(x509_time(material.ca().validity.not_after));
    let (leaf, key) = leaf(&params, &issuer)?;
    Ok(Material::parse(ca, ca_key, leaf, key)?)
}

/// A certificate and its new key, both in PEM.
fn leaf(
    params: &CertificateParams,
    issuer: &Issuer<'_, impl SigningKey>,
) -> Result<(String, String), IssueError> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    Ok((params.signed_by(&key, issuer)?.pem(), key.serialize_pem()))
}

/// Why no certificate could be issued.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    /// The clock is so far off that a validity cannot be written.
    #[error("no certificate can be valid from the present time; check the clock")]
    Clock(#[source] jiff::Error),
    /// The operating system gave no random bytes.
    #[error("no random bytes for a serial number")]
    Entropy,
    /// A key could not be made or a certificate not be signed.
    #[error("cannot make a key or sign a certificate")]
    Sign(#[from] rcgen::Error),
    /// What was issued does not read back.
    #[error("the issued certificates do not read back")]
    ReadBack(#[from] MaterialError),
}

fn ca_params(now: Timestamp) -> Result<CertificateParams, IssueError> {
    let mut params = params(CA_COMMON_NAME, now, CA_LIFETIME)?;
    // It signs servers, never another CA.
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(params)
}

fn leaf_params(names: &ServerNames, now: Timestamp) -> Result<CertificateParams, IssueError> {
    let mut params = params(LEAF_COMMON_NAME, now, LEAF_LIFETIME)?;
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    for name in names.dns() {
        params.subject_alt_names.push(SanType::DnsName(name.try_into()?));
    }
    params.subject_alt_names.extend(names.ips().map(SanType::IpAddress));
    Ok(params)
}

fn params(
    common_name: &str,
    now: Timestamp,
    lifetime: SignedDuration,
) -> Result<CertificateParams, IssueError> {
    let not_before = now.checked_sub(CLOCK_SKEW).map_err(IssueError::Clock)?;
    let not_after = now.checked_add(lifetime).map_err(IssueError::Clock)?;

    let mut params = CertificateParams::default();
    params.not_before = x509_time(not_before);
    params.not_after = x509_time(not_after);
    params.serial_number = Some(serial_number()?);
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    Ok(params)
}

fn x509_time(timestamp: Timestamp) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(timestamp.as_second())
        .expect("jiff and time both cover the years -9999 to 9999")
}

fn serial_number() -> Result<SerialNumber, IssueError> {
    let mut bytes = [0; SERIAL_BYTES];
    ring::default_provider().secure_random.fill(&mut bytes).map_err(|_| IssueError::Entropy)?;
    // A serial number is a positive integer: clear the sign bit, and set the next
    // so that it is never zero nor shortened.
    bytes[0] = bytes[0] & 0x7f | 0x40;
    Ok(SerialNumber::from_slice(&bytes))
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::{CertificateDer, pem::PemObject};
    use x509_parser::prelude::*;

    use super::*;

    const NOW: &str = "2026-03-01T12:00:00Z";

    fn issued() -> Material {
        issue(&ServerNames::loopback(), NOW.parse().expect("valid")).expect("issues")
    }

    fn der(pem: &str) -> CertificateDer<'static> {
        CertificateDer::from_pem_slice(pem.as_bytes()).expect("is PEM")
    }

    fn parse<'a>(der: &'a CertificateDer<'_>) -> X509Certificate<'a> {
        X509Certificate::from_der(der).expect("is X.509").1
    }

    #[test]
    fn the_ca_may_sign_certificates_and_nothing_else() {
        let material = issued();
        let ca = der(material.ca_bundle());
        let ca = parse(&ca);

        assert_eq!(ca.subject().to_string(), "CN=nfs-guard CA");
        let constraints = ca.basic_constraints().expect("parses").expect("has them");
        assert!(constraints.critical && constraints.value.ca);
        assert_eq!(constraints.value.path_len_constraint, Some(0));
        let usage = ca.key_usage().expect("parses").expect("has one").value;
        assert_eq!(usage.to_string(), "Key Cert Sign, CRL Sign");
    }

    #[test]
    fn the_leaf_is_for_servers_of_these_names() {
        let material = issued();
        let leaf = der(material.certificate_chain());
        let leaf = parse(&leaf);

        assert_eq!(leaf.issuer().to_string(), "CN=nfs-guard CA");
        assert_ne!(leaf.subject(), leaf.issuer());
        assert!(!leaf.is_ca());
        let usage = leaf.extended_key_usage().expect("parses").expect("has one");
        assert!(usage.value.server_auth && !usage.value.client_auth && !usage.value.any);
        let names = leaf.subject_alternative_name().expect("parses");
        let names = &names.expect("has some").value.general_names;
        assert_eq!(
            names.as_slice(),
            [
                GeneralName::DNSName("localhost"),
                GeneralName::IPAddress(&[127, 0, 0, 1]),
                GeneralName::IPAddress(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]),
            ]
        );
    }

    #[test]
    fn validity_starts_an_hour_ago_and_the_leaf_ends_before_its_ca() {
        let material = issued();
        for (pem, not_before, not_after) in [
            (material.ca_bundle(), "2026-03-01T11:00:00Z", "2036-02-27T12:00:00Z"),
            (material.certificate_chain(), "2026-03-01T11:00:00Z", "2027-03-01T12:00:00Z"),
        ] {
            let der = der(pem);
            let validity = parse(&der).validity().clone();
            let second = |at: &str| at.parse::<Timestamp>().expect("valid").as_second();
            assert_eq!(validity.not_before.timestamp(), second(not_before));
            assert_eq!(validity.not_after.timestamp(), second(not_after));
        }
    }

    #[test]
    fn serial_numbers_are_positive_and_never_repeat() {
        let serials: std::collections::BTreeSet<Vec<u8>> =
            (0..64).map(|_| serial_number().expect("draws").to_bytes()).collect();

        assert_eq!(serials.len(), 64);
        assert!(serials.iter().all(|serial| serial.len() == SERIAL_BYTES));
        assert!(serials.iter().all(|serial| serial[0] & 0x80 == 0));
    }

    #[test]
    fn a_clock_at_the_end_of_time_is_an_error() {
        let error = issue(&ServerNames::loopback(), Timestamp::MAX).expect_err("overflows");

        assert!(matches!(error, IssueError::Clock(_)), "{error}");
    }
}
