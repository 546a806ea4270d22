//! Issues a certificate authority and server certificates.

use jiff::{SignedDuration, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SanType, SerialNumber,
};
use rustls::crypto::ring;
use time::OffsetDateTime;

use crate::bundle::{Authority, Bundle};
use crate::identity::Identity;
use crate::{Material, MaterialError, ServerNames};

/// How far a verifier's clock may be behind ours. Nodes of a cluster are kept
/// within seconds by NTP; an hour also covers one that has just booted, and costs
/// nothing, since the key did not exist before.
const CLOCK_SKEW: SignedDuration = SignedDuration::from_hours(1);

/// How long certificates are valid from when they are issued.
#[derive(Clone, Copy, Debug)]
pub struct Lifetimes {
    /// Of a CA. By default 3650 days: as the CA which kubeadm makes for a cluster.
    pub ca: SignedDuration,
    /// Of a server certificate; less if its CA ends sooner. By default 365 days: as
    /// those which kubeadm makes for the API server itself.
    pub leaf: SignedDuration,
}

impl Default for Lifetimes {
    fn default() -> Self {
        let days = |days: i64| SignedDuration::from_hours(days * 24);
        Self { ca: days(3650), leaf: days(365) }
    }
}

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
    Issuance { names, lifetimes: Lifetimes::default(), now }.anew()
}

/// For whom is issued, for how long, and when.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Issuance<'a> {
    pub(crate) names: &'a ServerNames,
    pub(crate) lifetimes: Lifetimes,
    pub(crate) now: Timestamp,
}

impl Issuance<'_> {
    /// A new CA, alone in its bundle, and a server certificate under it.
    pub(crate) fn anew(self) -> Result<Material, IssueError> {
        let (ca, ca_key) = self.ca()?;
        let leaf = self.leaf(&Bundle::parse(ca.clone())?.authorities()[0], &ca_key)?;
        Ok(Material::parse(ca, ca_key, None, leaf)?)
    }

    /// Another server certificate under the CA that signs, whose clients therefore go on
    /// as they are.
    pub(crate) fn reissue(self, material: &Material) -> Result<Material, IssueError> {
        let leaf = self.leaf(material.ca(), material.ca_key())?;
        let (bundle, ca_key) = (material.ca_bundle().to_owned(), material.ca_key().to_owned());
        Ok(Material::parse(bundle, ca_key, material.next_ca_key().map(str::to_owned), leaf)?)
    }

    /// A next CA beside the one that signs, in place of a next one that is there
    /// already. It signs nothing yet: clients have to learn of it first.
    pub(crate) fn publish(self, material: &Material) -> Result<Material, IssueError> {
        let (next, next_key) = self.ca()?;
        let bundle = format!("{}{next}", material.ca().pem);
        let identity = pems(material.identity());
        Ok(Material::parse(bundle, material.ca_key().to_owned(), Some(next_key), identity)?)
    }

    /// A server certificate under the next CA, which from now on signs; the one before
    /// stays trusted, for the replicas that have not heard of it yet. Without a
    /// next CA, the material as it is.
    pub(crate) fn serve(self, material: &Material) -> Result<Material, IssueError> {
        let (Some(next), Some(key)) = (material.next_ca(), material.next_ca_key()) else {
            return Ok(material.clone());
        };
        let leaf = self.leaf(next, key)?;
        Ok(Material::parse(material.ca_bundle().to_owned(), key.to_owned(), None, leaf)?)
    }

    /// A CA certificate and its new key, both in PEM.
    fn ca(self) -> Result<(String, String), IssueError> {
        let mut params = self.params(CA_COMMON_NAME, self.lifetimes.ca)?;
        // It signs servers, never another CA.
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        Ok((params.self_signed(&key)?.pem(), key.serialize_pem()))
    }

    /// A server certificate and its new key, both in PEM; it starts no sooner and ends
    /// no later than the CA that signs it.
    fn leaf(self, ca: &Authority, ca_key: &str) -> Result<(String, String), IssueError> {
        let mut params = self.params(LEAF_COMMON_NAME, self.lifetimes.leaf)?;
        params.not_before = params.not_before.max(x509_time(ca.validity.not_before));
        params.not_after = params.not_after.min(x509_time(ca.validity.not_after));
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        for name in self.names.dns() {
            params.subject_alt_names.push(SanType::DnsName(name.try_into()?));
        }
        params.subject_alt_names.extend(self.names.ips().map(SanType::IpAddress));

        let issuer = Issuer::from_ca_cert_pem(&ca.pem, KeyPair::from_pem(ca_key)?)?;
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        Ok((params.signed_by(&key, &issuer)?.pem(), key.serialize_pem()))
    }

    fn params(
        self,
        common_name: &str,
        lifetime: SignedDuration,
    ) -> Result<CertificateParams, IssueError> {
        let not_before = self.now.checked_sub(CLOCK_SKEW).map_err(IssueError::Clock)?;
        let not_after = self.now.checked_add(lifetime).map_err(IssueError::Clock)?;

        let mut params = CertificateParams::default();
        params.not_before = x509_time(not_before);
        params.not_after = x509_time(not_after);
        params.serial_number = Some(serial_number()?);
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, common_name);
        Ok(params)
    }
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

/// The CA that signs, and no other.
pub(crate) fn retire(material: &Material) -> Result<Material, IssueError> {
    let (bundle, identity) = (material.ca().pem.clone(), pems(material.identity()));
    Ok(Material::parse(bundle, material.ca_key().to_owned(), None, identity)?)
}

fn pems(identity: &Identity) -> (String, String) {
    (identity.chain_pem().to_owned(), identity.key_pem().to_owned())
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
        let leaf = der(material.identity().chain_pem());
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
            (material.identity().chain_pem(), "2026-03-01T11:00:00Z", "2027-03-01T12:00:00Z"),
        ] {
            let der = der(pem);
            let validity = parse(&der).validity().clone();
            let second = |at: &str| at.parse::<Timestamp>().expect("valid").as_second();
            assert_eq!(validity.not_before.timestamp(), second(not_before));
            assert_eq!(validity.not_after.timestamp(), second(not_after));
        }
    }

    #[test]
    fn a_leaf_never_outlives_its_ca_whatever_the_step() {
        let names = ServerNames::loopback();
        let at = |days: i64| {
            let lifetimes = Lifetimes::default();
            let now =
                NOW.parse::<Timestamp>().expect("valid") + SignedDuration::from_hours(days * 24);
            Issuance { names: &names, lifetimes, now }
        };
        let first = at(0).anew().expect("issues");
        for day in [0, 1, 3284, 3286, 3649] {
            let reissued = at(day).reissue(&first).expect("issues");
            let published = at(day).publish(&reissued).expect("issues");
            let served = at(day + 300).serve(&published).expect("issues");
            let retired = retire(&served).expect("issues");
            for material in [&reissued, &published, &served, &retired] {
                let (leaf, ca) = (material.identity().validity(), material.ca().validity);
                assert!(leaf.not_after <= ca.not_after, "day {day}: {leaf:?} under {ca:?}");
                assert!(leaf.not_before >= ca.not_before, "day {day}: {leaf:?} under {ca:?}");
                let now = at(day).now.max(leaf.not_before);
                assert!(material.ca().vouches_for(material.identity(), now), "day {day}");
            }
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
