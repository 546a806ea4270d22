//! Whether stored material still serves, decided from values alone.

use std::fmt;

use jiff::Timestamp;
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::ring;
use rustls::pki_types::UnixTime;
use rustls::server::ParsedCertificate;

use crate::material::{Material, MaterialError, Validity};
use crate::names::ServerNames;

/// What to do about the stored material.
#[derive(Clone, Debug)]
pub enum Plan<'a> {
    /// It serves; use this.
    Keep(&'a Material),
    /// Its CA serves, its server certificate does not; issue another under that
    /// CA, so that every client and every other replica goes on as it is.
    Reissue(&'a Material, Reason),
    /// Nothing of it serves; issue anew.
    Issue(Reason),
}

/// Why material has to be issued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Nothing is stored.
    Absent,
    /// What is stored is incomplete, malformed, or its key does not fit.
    Unreadable(MaterialError),
    /// The CA certificate starts in the future.
    CaNotYetValid,
    /// The CA certificate is past its end.
    CaExpired,
    /// The server certificate starts in the future.
    LeafNotYetValid,
    /// The server certificate is past its end.
    LeafExpired,
    /// The server certificate is past two thirds of its life.
    LeafDueForRenewal,
    /// The server certificate is not valid for this name.
    LeafLacksName(String),
    /// A client that trusts the CA does not trust the server certificate.
    LeafNotSignedByCa,
}

/// Decides whether `stored` serves clients that ask for `names`; `None` when
/// nothing is stored.
#[must_use]
pub fn plan<'a>(
    stored: Option<&'a Result<Material, MaterialError>>,
    names: &ServerNames,
    now: Timestamp,
) -> Plan<'a> {
    let material = match stored {
        None => return Plan::Issue(Reason::Absent),
        Some(Err(error)) => return Plan::Issue(Reason::Unreadable(error.clone())),
        Some(Ok(material)) => material,
    };
    if let Some(reason) = ca_fault(material, now) {
        return Plan::Issue(reason);
    }
    match leaf_fault(material, names, now) {
        Some(reason) => Plan::Reissue(material, reason),
        None => Plan::Keep(material),
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => f.write_str("nothing is stored"),
            Self::Unreadable(error) => error.fmt(f),
            Self::CaNotYetValid => f.write_str("the CA certificate is not yet valid"),
            Self::CaExpired => f.write_str("the CA certificate has expired"),
            Self::LeafNotYetValid => f.write_str("the server certificate is not yet valid"),
            Self::LeafExpired => f.write_str("the server certificate has expired"),
            Self::LeafDueForRenewal => {
                f.write_str("the server certificate is past two thirds of its life")
            }
            Self::LeafLacksName(name) => {
                write!(f, "the server certificate is not valid for {name}")
            }
            Self::LeafNotSignedByCa => {
                f.write_str("the server certificate is not signed by the stored CA")
            }
        }
    }
}

/// What is wrong with the CA of `material`.
fn ca_fault(material: &Material, now: Timestamp) -> Option<Reason> {
    let Validity { not_before, not_after } = material.ca().validity;
    if now < not_before {
        return Some(Reason::CaNotYetValid);
    }
    (now > not_after).then_some(Reason::CaExpired)
}

/// The first thing wrong with the server certificate of `material`.
fn leaf_fault(material: &Material, names: &ServerNames, now: Timestamp) -> Option<Reason> {
    let leaf = material.leaf_validity();
    if now < leaf.not_before {
        return Some(Reason::LeafNotYetValid);
    }
    if now > leaf.not_after {
        return Some(Reason::LeafExpired);
    }
    if now >= renewal(leaf) {
        return Some(Reason::LeafDueForRenewal);
    }

    let (leaf, intermediates) =
        material.certified_key().cert.split_first().expect("a chain has at least one certificate");
    let leaf = ParsedCertificate::try_from(leaf)
        .expect("its key was found to fit, for which it was parsed just so");
    if let Some(name) = names.iter().find(|name| verify_server_name(&leaf, name).is_err()) {
        return Some(Reason::LeafLacksName(name.to_str().into_owned()));
    }
    let signed = verify_server_cert_signed_by_trust_anchor(
        &leaf,
        &material.ca().roots,
        intermediates,
        unix_time(now),
        ring::default_provider().signature_verification_algorithms.all,
    );
    signed.is_err().then_some(Reason::LeafNotSignedByCa)
}

/// When two thirds of a certificate's life are over: the customary point, which
/// leaves a third of it to notice that renewal fails.
fn renewal(validity: Validity) -> Timestamp {
    let lifetime = validity.not_after.duration_since(validity.not_before);
    validity.not_before + lifetime / 3 * 2
}

fn unix_time(timestamp: Timestamp) -> UnixTime {
    let since_epoch = timestamp.max(Timestamp::UNIX_EPOCH).duration_since(Timestamp::UNIX_EPOCH);
    UnixTime::since_unix_epoch(since_epoch.unsigned_abs())
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;
    use crate::issue::{issue, reissue};

    const ISSUED: &str = "2026-03-01T12:00:00Z";

    /// Time since the material of the tests was issued.
    fn after(duration: SignedDuration) -> Timestamp {
        ISSUED.parse::<Timestamp>().expect("valid") + duration
    }

    fn hours(hours: i64) -> SignedDuration {
        SignedDuration::from_hours(hours)
    }

    fn issued(names: &ServerNames, at: Timestamp) -> Material {
        issue(names, at).expect("issues")
    }

    /// The CA of one, the server certificate of the other.
    fn crossed(ca: &Material, leaf: &Material) -> Material {
        Material::parse(
            ca.ca_bundle().to_owned(),
            ca.ca_key().to_owned(),
            leaf.certificate_chain().to_owned(),
            leaf.key().to_owned(),
        )
        .expect("parses")
    }

    fn reason(plan: Plan<'_>) -> Option<Reason> {
        match plan {
            Plan::Keep(_) => None,
            Plan::Issue(reason) | Plan::Reissue(_, reason) => Some(reason),
        }
    }

    #[test]
    fn material_is_kept_for_two_thirds_of_the_leafs_life() {
        let names = ServerNames::loopback();
        let stored = Ok(issued(&names, after(hours(0))));
        let second = SignedDuration::from_secs(1);
        // Valid from an hour before to a year after being issued.
        let two_thirds = hours(365 * 24 + 1) / 3 * 2 - hours(1);
        let (leaf_end, ca_end) = (hours(365 * 24), hours(3650 * 24));
        let due = Some(Reason::LeafDueForRenewal);

        for (case, now, expected) in [
            ("just issued", hours(0), None),
            ("our clock an hour behind the issuer's", hours(-1), None),
            ("our clock more than an hour behind", hours(-1) - second, Some(Reason::CaNotYetValid)),
            ("a second before two thirds", two_thirds - second, None),
            ("at two thirds", two_thirds, due.clone()),
            ("the leaf's last second", leaf_end, due),
            ("the leaf past its end", leaf_end + second, Some(Reason::LeafExpired)),
            ("the CA's last second", ca_end, Some(Reason::LeafExpired)),
            ("the CA past its end", ca_end + second, Some(Reason::CaExpired)),
        ] {
            let plan = plan(Some(&stored), &names, after(now));
            assert_eq!(reason(plan), expected, "{case}");
        }
    }

    #[test]
    fn material_is_kept_if_clients_that_trust_its_ca_are_served() {
        let names = ServerNames::for_service("nfs-guard", "storage").expect("valid");
        let renamed = ServerNames::for_service("nfs-guard", "other").expect("valid");
        let loopback = ServerNames::loopback();
        let now = after(hours(48));

        let good = issued(&names, now);
        let other = issued(&names, now);
        let earlier = issued(&names, after(hours(0)));
        let later = issued(&names, after(hours(96)));
        let missing = MaterialError::Missing { key: "tls.crt" };
        let lacks = |name: &str| Some(Reason::LeafLacksName(name.to_owned()));

        for (case, stored, names, expected) in [
            ("it serves", Some(Ok(good.clone())), &names, None),
            ("nothing is stored", None, &names, Some(Reason::Absent)),
            (
                "a part is missing",
                Some(Err(missing.clone())),
                &names,
                Some(Reason::Unreadable(missing)),
            ),
            (
                "the leaf key is another certificate's",
                Some(Err(MaterialError::KeyDoesNotFit)),
                &names,
                Some(Reason::Unreadable(MaterialError::KeyDoesNotFit)),
            ),
            (
                "the leaf is of a later time",
                Some(Ok(crossed(&earlier, &later))),
                &names,
                Some(Reason::LeafNotYetValid),
            ),
            (
                "the namespace was renamed",
                Some(Ok(good.clone())),
                &renamed,
                lacks("nfs-guard.other.svc"),
            ),
            ("addresses are wanted", Some(Ok(good.clone())), &loopback, lacks("localhost")),
            (
                "the leaf is of another CA of the same name",
                Some(Ok(crossed(&other, &good))),
                &names,
                Some(Reason::LeafNotSignedByCa),
            ),
        ] {
            let plan = plan(stored.as_ref(), names, now);
            assert_eq!(reason(plan), expected, "{case}");
        }
    }

    #[test]
    fn a_ca_that_serves_is_never_replaced() {
        let names = ServerNames::loopback();
        let stored = issued(&names, after(hours(0)));
        let moved = ServerNames::for_service("nfs-guard", "storage").expect("valid");
        let year = hours(365 * 24);
        for (case, material, names, now, reissued) in [
            ("the leaf is due", stored.clone(), &names, year, true),
            ("the leaf is past its end", stored.clone(), &names, 2 * year, true),
            ("another name", stored.clone(), &moved, hours(1), true),
            ("the CA is past its end", stored.clone(), &names, 11 * year, false),
        ] {
            let stored = Ok(material);
            let plan = plan(Some(&stored), names, after(now));
            assert_eq!(matches!(plan, Plan::Reissue(..)), reissued, "{case}: {plan:?}");
            assert_eq!(matches!(plan, Plan::Issue(_)), !reissued, "{case}: {plan:?}");
        }
    }

    #[test]
    fn what_is_reissued_serves_under_the_same_ca_and_never_outlives_it() {
        let names = ServerNames::loopback();
        let first = issued(&names, after(hours(0)));
        for years in [1, 5, 9] {
            let now = after(hours(years * 365 * 24 + 24));
            let second = reissue(&first, &names, now).expect("reissues");
            assert_eq!(second.ca_bundle(), first.ca_bundle());
            assert_eq!(second.ca_key(), first.ca_key());
            assert!(second.leaf_validity().not_after <= first.ca().validity.not_after);
            let stored = Ok(second);
            assert!(matches!(plan(Some(&stored), &names, now), Plan::Keep(_)), "{years}");
        }
    }

    #[test]
    fn a_reason_reads_as_a_sentence() {
        let missing = MaterialError::Missing { key: "ca.key" };
        for (reason, text) in [
            (Reason::Absent, "nothing is stored"),
            (Reason::Unreadable(missing), "ca.key is missing"),
            (
                Reason::LeafLacksName("nfs-guard.storage.svc".to_owned()),
                "the server certificate is not valid for nfs-guard.storage.svc",
            ),
        ] {
            assert_eq!(reason.to_string(), text);
        }
    }
}
