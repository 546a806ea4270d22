//! The keys and certificates of one guard, as its Secret holds them.

use std::fmt;

use k8s_openapi::ByteString;

use crate::bundle::{Authority, Bundle};
use crate::identity::Identity;
use crate::reading::{
    CA_BUNDLE, CA_KEY, CERTIFICATE_CHAIN, KEY, MaterialError, NEXT_CA_KEY, SecretData, fits,
    private_key, text,
};

/// What the guard issued for itself: the certificate authorities to trust, the key of
/// the one that signs, and the server certificate.
///
/// Every part is known to be readable, each CA certificate to be a CA's, and the keys to fit
/// their certificates. Whether the CA signed the server certificate, for which names
/// and for how long, is for [`plan`](crate::plan()) to ask.
#[derive(Clone)]
pub struct Material {
    bundle: Bundle,
    signing: Signer,
    next: Option<Signer>,
    identity: Identity,
}

/// Which certificate of the bundle, and the key it certifies, in PEM.
#[derive(Clone)]
struct Signer {
    index: usize,
    key_pem: String,
}

impl Material {
    /// Reads the material from the data of a Secret: `ca.crt`, `ca.key`, `tls.crt`
    /// and `tls.key`, and while a rotation is on `next-ca.key`, each in PEM. Other keys
    /// are ignored.
    pub fn from_secret_data(data: &SecretData) -> Result<Self, MaterialError> {
        let next_ca_key = data.get(NEXT_CA_KEY).map(|_| text(data, NEXT_CA_KEY)).transpose();
        Self::parse(
            text(data, CA_BUNDLE)?,
            text(data, CA_KEY)?,
            next_ca_key.ok().flatten(),
            (text(data, CERTIFICATE_CHAIN)?, text(data, KEY)?),
        )
    }

    /// Puts material together. A next key that fits nothing is left out: without it the
    /// rotation starts again, and all that serves is still there.
    pub(crate) fn parse(
        ca_bundle_pem: String,
        ca_key_pem: String,
        next_ca_key_pem: Option<String>,
        (chain_pem, key_pem): (String, String),
    ) -> Result<Self, MaterialError> {
        let bundle = Bundle::parse(ca_bundle_pem)?;
        let signing = Signer::of(&bundle, CA_KEY, ca_key_pem)?;
        let next = next_ca_key_pem.and_then(|pem| Signer::of(&bundle, NEXT_CA_KEY, pem).ok());
        let next = next.filter(|next| next.index != signing.index);
        let identity = Identity::parse(chain_pem, key_pem)?;
        Ok(Self { bundle, signing, next, identity })
    }

    /// Writes the material into the data of a Secret, where
    /// [`from_secret_data`](Self::from_secret_data) finds it; other keys stay.
    pub fn write_to(&self, data: &mut SecretData) {
        let Self { bundle, signing, next, identity } = self;
        for (key, pem) in [
            (CA_BUNDLE, Some(bundle.pem())),
            (CA_KEY, Some(signing.key_pem.as_str())),
            (NEXT_CA_KEY, next.as_ref().map(|next| next.key_pem.as_str())),
            (CERTIFICATE_CHAIN, Some(identity.chain_pem())),
            (KEY, Some(identity.key_pem())),
        ] {
            match pem {
                Some(pem) => data.insert(key.to_owned(), ByteString(pem.as_bytes().to_vec())),
                None => data.remove(key),
            };
        }
    }

    /// The certificates a client must trust.
    #[must_use]
    pub fn bundle(&self) -> &Bundle {
        &self.bundle
    }

    /// The same in PEM.
    #[must_use]
    pub fn ca_bundle(&self) -> &str {
        self.bundle.pem()
    }

    /// What the server presents.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The private key of the CA that signs, in PEM.
    pub(crate) fn ca_key(&self) -> &str {
        &self.signing.key_pem
    }

    /// The private key of the CA that is to sign next, in PEM.
    pub(crate) fn next_ca_key(&self) -> Option<&str> {
        self.next.as_ref().map(|next| next.key_pem.as_str())
    }

    /// The CA that signs.
    pub(crate) fn ca(&self) -> &Authority {
        &self.bundle.authorities()[self.signing.index]
    }

    /// The CA that is to sign next.
    pub(crate) fn next_ca(&self) -> Option<&Authority> {
        self.next.as_ref().map(|next| &self.bundle.authorities()[next.index])
    }

    /// CAs which have signed before and are only trusted still.
    pub(crate) fn retiring(&self) -> impl Iterator<Item = &Authority> {
        let next = self.next.as_ref().map(|next| next.index);
        let authorities = self.bundle.authorities().iter().enumerate();
        authorities
            .filter(move |(index, _)| *index != self.signing.index && Some(*index) != next)
            .map(|(_, authority)| authority)
    }
}

/// Two are the same if their Secrets are.
impl PartialEq for Material {
    fn eq(&self, other: &Self) -> bool {
        let data = |material: &Self| {
            let mut data = SecretData::new();
            material.write_to(&mut data);
            data
        };
        data(self) == data(other)
    }
}

/// Shows what is public and never a key.
impl fmt::Debug for Material {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Material")
            .field("bundle", &self.bundle.pem())
            .field("identity", &self.identity)
            .finish_non_exhaustive()
    }
}

impl Signer {
    /// The first certificate of `bundle` that the key fits.
    fn of(bundle: &Bundle, name: &'static str, key_pem: String) -> Result<Self, MaterialError> {
        let key = private_key(name, &key_pem)?;
        let mut authorities = bundle.authorities().iter();
        let index = authorities.position(|authority| fits(&key, &authority.certificate));
        let index = index.ok_or(MaterialError::CaKeyDoesNotFit)?;
        Ok(Self { index, key_pem })
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::ServerNames;
    use crate::issue::{Issuance, Lifetimes, retire};

    fn issuance(names: &ServerNames) -> Issuance<'_> {
        Issuance { names, lifetimes: Lifetimes::default(), now: Timestamp::UNIX_EPOCH }
    }

    fn material() -> Material {
        issuance(&ServerNames::loopback()).anew().expect("issues")
    }

    fn data(material: &Material) -> SecretData {
        let mut data = SecretData::new();
        material.write_to(&mut data);
        data
    }

    #[test]
    fn secret_data_reads_back_as_it_was_written() {
        let names = ServerNames::loopback();
        let issuance = issuance(&names);
        let steady = issuance.anew().expect("issues");
        let published = issuance.publish(&steady).expect("issues");
        let served = issuance.serve(&published).expect("issues");
        let retired = retire(&served).expect("issues");
        let four = ["ca.crt", "ca.key", "tls.crt", "tls.key"];
        let five = ["ca.crt", "ca.key", "next-ca.key", "tls.crt", "tls.key"];

        // One Secret goes through all of them, and keeps what is not ours.
        let mut data = SecretData::new();
        data.insert("a-note".to_owned(), ByteString(b"hello".to_vec()));
        for (case, written, keys, trusted) in [
            ("steady", steady, &four[..], 1),
            ("published", published, &five, 2),
            ("served", served, &four, 2),
            ("retired", retired, &four, 1),
        ] {
            written.write_to(&mut data);
            let read = Material::from_secret_data(&data).expect(case);

            assert_eq!(data.keys().skip(1).collect::<Vec<_>>(), keys, "{case}");
            assert!(read == written, "{case}");
            assert_eq!(read.bundle().authorities().len(), trusted, "{case}");
            assert_eq!(read.next_ca().is_some(), case == "published", "{case}");
            assert_eq!(read.retiring().count(), usize::from(case == "served"), "{case}");
        }
    }

    #[test]
    fn a_next_key_that_cannot_be_used_costs_the_rotation_and_nothing_else() {
        let names = ServerNames::loopback();
        let published = issuance(&names).publish(&material()).expect("issues");
        let own = published.ca_key().to_owned();
        for (case, key) in [
            ("another CA's", material().ca_key()),
            ("the one that signs", own.as_str()),
            ("none", "hello"),
        ] {
            let mut data = data(&published);
            data.insert("next-ca.key".to_owned(), ByteString(key.as_bytes().to_vec()));
            let read = Material::from_secret_data(&data).expect(case);
            assert!(read.next_ca().is_none(), "{case}");
            assert_eq!(read.ca_key(), published.ca_key(), "{case}");
            assert!(read.identity() == published.identity(), "{case}");
        }
    }

    #[test]
    fn a_ca_key_of_another_ca_is_refused_before_it_signs() {
        let mut data = data(&material());
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
            let mut data = data(&good);
            data.insert(key.to_owned(), ByteString(value.to_vec()));
            data
        };
        let without = |key: &str| {
            let mut data = data(&good);
            data.remove(key);
            data
        };
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
                "a second CA cut short",
                with("ca.crt", format!("{}{cut}", good.ca_bundle()).as_bytes()),
                "ca.crt is malformed: it is not PEM",
            ),
            (
                "the CA key of another",
                with("ca.key", other.ca_key().as_bytes()),
                "ca.key fits no certificate in ca.crt",
            ),
            (
                "a leaf in place of the CA",
                with("ca.crt", good.identity().chain_pem().as_bytes()),
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
                with("tls.key", other.identity().key_pem().as_bytes()),
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
        for key in [material.ca_key(), material.identity().key_pem()] {
            let line = key.lines().nth(1).expect("has a body");
            assert!(!shown.contains(line), "{shown}");
        }
    }
}
