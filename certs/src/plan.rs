//! What is next for stored material, decided from values alone.
//!
//! A CA is replaced in three steps, so that at each moment every client verifies what
//! every replica may present: the next CA is *published* beside the one that signs; when every
//! client has had time to learn of it, the server is *served* under it; when
//! every replica has had time to learn of that, the old one is *retired*.

use std::fmt;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::bundle::Authority;
use crate::identity::Identity;
use crate::material::Material;
use crate::names::ServerNames;
use crate::reading::{MaterialError, Validity};

/// What is known at one moment.
#[derive(Clone, Copy, Debug)]
pub struct Situation<'a> {
    /// What the Secret holds; `None` if nothing of ours.
    pub stored: Option<&'a Result<Material, MaterialError>>,
    /// What this replica has served with last.
    pub held: Option<&'a Material>,
    /// What a person asked for.
    pub request: Option<Request>,
    /// The names clients ask for.
    pub names: &'a ServerNames,
    /// How long every webhook entry is known to carry the stored CA bundle; `None` if
    /// one does not.
    pub published_for: Option<Duration>,
    /// How long the Secret is known to hold this server certificate.
    pub stored_for: Duration,
    /// How long API servers and replicas may take to learn of a change.
    pub settle: Duration,
    /// The present time.
    pub now: Timestamp,
}

/// What to do about the stored material.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Plan {
    /// Nothing. Time alone may change that after `ask_again`, and no sooner.
    Keep {
        /// How long the answer holds if nothing is heard of.
        ask_again: SignedDuration,
    },
    /// One step, after which to ask again.
    Take(Step, Reason),
}

/// A step, each whole in itself: whoever ends after one leaves behind what serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// Issue a new CA and server certificate; clients have to learn of them.
    Issue,
    /// Store once more what this replica serves with.
    Restore,
    /// Issue another server certificate under the CA that signs.
    Reissue,
    /// Issue a next CA and add it to the bundle.
    Publish,
    /// Issue a server certificate under the next CA, which signs from now on.
    Serve,
    /// Drop from the bundle all but the CA that signs.
    Retire,
}

/// What a person can ask for, by an annotation of the Secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// A new CA, by way of a rotation.
    RotateCa,
    /// A new server certificate.
    RotateLeaf,
}

/// Why a step is due.
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
    /// The CA certificate is past two thirds of its life.
    CaDueForRenewal,
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
    /// A person asked for it.
    Requested,
    /// Every client has had time to learn of the next CA.
    NextCaPublished,
    /// Every replica has had time to learn of the certificate under the new CA.
    NewCaServed,
}

/// Decides what is next.
#[must_use]
pub fn plan(situation: &Situation<'_>) -> Plan {
    let &Situation { stored, held, request, names, published_for, stored_for, settle, now } =
        situation;
    let material = match stored {
        None => return replace(held, names, now, Reason::Absent),
        Some(Err(error)) => return replace(held, names, now, Reason::Unreadable(error.clone())),
        Some(Ok(material)) => material,
    };
    let next = material.next_ca();
    if let Some(reason) = ca_fault(material.ca(), now) {
        // Nobody trusts the CA that signs: there is nothing to wait for.
        return match next {
            Some(next) if ca_fault(next, now).is_none() => Plan::Take(Step::Serve, reason),
            _ => replace(held, names, now, reason),
        };
    }
    let leaf = material.identity();
    if let Some(reason) = leaf_fault(leaf, material.ca(), names, now) {
        return Plan::Take(Step::Reissue, reason);
    }
    if now >= leaf.validity().renewal() {
        return Plan::Take(Step::Reissue, Reason::LeafDueForRenewal);
    }
    if request == Some(Request::RotateLeaf) {
        return Plan::Take(Step::Reissue, Reason::Requested);
    }

    // How long until the step that is waited for.
    let mut settles = None;
    if let Some(next) = next {
        if let Some(reason) = ca_fault(next, now) {
            return Plan::Take(Step::Publish, reason);
        }
        // Unless it is published, not time is waited for but the API server.
        if let Some(published) = published_for {
            settles = rest(settle, published);
            if settles.is_none() {
                return Plan::Take(Step::Serve, Reason::NextCaPublished);
            }
        }
    } else if material.retiring().next().is_some() {
        settles = rest(settle, stored_for);
        if settles.is_none() || material.retiring().all(|ca| ca.has_expired(now)) {
            return Plan::Take(Step::Retire, Reason::NewCaServed);
        }
    } else if now >= material.ca().validity.renewal() {
        return Plan::Take(Step::Publish, Reason::CaDueForRenewal);
    } else if request == Some(Request::RotateCa) {
        return Plan::Take(Step::Publish, Reason::Requested);
    }

    // A CA whose rotation is on is past its renewal; what then comes is its end.
    let ca = material.ca().validity;
    let ca = if now < ca.renewal() { ca.renewal() } else { ca.not_after };
    let renewal = leaf.validity().renewal().min(ca).duration_since(now);
    let settles = settles.map(|settles| {
        SignedDuration::try_from(settles).expect("a wait is shorter than what a Timestamp holds")
    });
    Plan::Keep { ask_again: settles.map_or(renewal, |settles| settles.min(renewal)) }
}

/// What remains of a wait; `None` if it is over.
fn rest(wait: Duration, passed: Duration) -> Option<Duration> {
    wait.checked_sub(passed).filter(|rest| !rest.is_zero())
}

/// Whether `material` can be served with: what is wrong with its dates, its names or
/// its signature.
pub(crate) fn fault(material: &Material, names: &ServerNames, now: Timestamp) -> Option<Reason> {
    ca_fault(material.ca(), now)
        .or_else(|| leaf_fault(material.identity(), material.ca(), names, now))
}

/// Stored material is of no use: what serves here still is stored again, since all
/// clients trust it; otherwise there is nothing to lose.
fn replace(held: Option<&Material>, names: &ServerNames, now: Timestamp, reason: Reason) -> Plan {
    match held {
        Some(held) if fault(held, names, now).is_none() => Plan::Take(Step::Restore, reason),
        _ => Plan::Take(Step::Issue, reason),
    }
}

/// What is wrong with the dates of a CA.
fn ca_fault(ca: &Authority, now: Timestamp) -> Option<Reason> {
    if now < ca.validity.not_before {
        return Some(Reason::CaNotYetValid);
    }
    ca.has_expired(now).then_some(Reason::CaExpired)
}

/// The first thing wrong with a server certificate under that CA.
fn leaf_fault(
    leaf: &Identity,
    ca: &Authority,
    names: &ServerNames,
    now: Timestamp,
) -> Option<Reason> {
    leaf_dates(leaf, now)
        .or_else(|| leaf.lacks(names).map(Reason::LeafLacksName))
        .or_else(|| (!ca.vouches_for(leaf, now)).then_some(Reason::LeafNotSignedByCa))
}

/// What is wrong with the dates of a server certificate.
pub(crate) fn leaf_dates(leaf: &Identity, now: Timestamp) -> Option<Reason> {
    let Validity { not_before, not_after } = leaf.validity();
    if now < not_before {
        return Some(Reason::LeafNotYetValid);
    }
    (now > not_after).then_some(Reason::LeafExpired)
}

impl Step {
    /// Its name, as metrics and logs have it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Issue => "issue",
            Self::Restore => "restore",
            Self::Reissue => "reissue",
            Self::Publish => "publish",
            Self::Serve => "serve",
            Self::Retire => "retire",
        }
    }
}

impl Request {
    /// Reads the value of the annotation; `None` if it is none that is known.
    #[must_use]
    pub fn parse(value: &str) -> Option<Self> {
        match value {
            "ca" => Some(Self::RotateCa),
            "leaf" => Some(Self::RotateLeaf),
            _ => None,
        }
    }

    /// Whether that step is what was asked for.
    pub(crate) fn is_met_by(self, step: Step) -> bool {
        match self {
            Self::RotateCa => matches!(step, Step::Publish | Step::Issue),
            Self::RotateLeaf => matches!(step, Step::Reissue | Step::Serve | Step::Issue),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::Unreadable(error) => return error.fmt(f),
            Self::LeafLacksName(name) => {
                return write!(f, "the server certificate is not valid for {name}");
            }
            Self::Absent => "nothing is stored",
            Self::CaNotYetValid => "the CA certificate is not yet valid",
            Self::CaExpired => "the CA certificate has expired",
            Self::CaDueForRenewal => "the CA certificate is past two thirds of its life",
            Self::LeafNotYetValid => "the server certificate is not yet valid",
            Self::LeafExpired => "the server certificate has expired",
            Self::LeafDueForRenewal => "the server certificate is past two thirds of its life",
            Self::LeafNotSignedByCa => "the server certificate is not signed by the CA",
            Self::Requested => "it was asked for",
            Self::NextCaPublished => "every client has had time to learn of the next CA",
            Self::NewCaServed => "every replica has had time to learn of the new CA",
        };
        f.write_str(text)
    }
}

#[cfg(test)]
mod tests;
