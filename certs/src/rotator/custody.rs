//! Who issues, and what is served of it.

use std::time::Duration;

use jiff::Timestamp;

use crate::bundle::Bundle;
use crate::identity::Identity;
use crate::material::Material;
use crate::names::ServerNames;
use crate::plan::{Plan, Reason, Request, Situation, fault, leaf_dates, plan};
use crate::reading::{CA_BUNDLE, MaterialError, SecretData, text};

/// What is stored, and what is served of it.
#[derive(Debug)]
pub(super) enum Custody {
    /// The guard issues; the Secret is its own.
    Managed(Holding<Material>),
    /// Somebody else does; the Secret is read and never written.
    External(Holding<Foreign>),
}

/// What the Secret holds, and what this replica serves with.
#[derive(Debug)]
pub(super) struct Holding<M> {
    stored: Option<Result<M, MaterialError>>,
    held: Option<M>,
}

/// What somebody else issued.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Foreign {
    identity: Identity,
    /// What clients are to trust; none if others see to that.
    bundle: Option<Bundle>,
}

/// What this replica serves with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Held<'a> {
    pub(super) identity: &'a Identity,
    pub(super) bundle: Option<&'a Bundle>,
    /// When the CA ends that signs.
    pub(super) ca_expires: Option<Timestamp>,
}

impl Custody {
    pub(super) fn managed() -> Self {
        Self::Managed(Holding::default())
    }

    pub(super) fn external() -> Self {
        Self::External(Holding::default())
    }

    /// Takes note of what the Secret holds.
    pub(super) fn store(&mut self, data: Option<&SecretData>, publishes: bool) {
        let data = data.filter(|data| !data.is_empty());
        match self {
            Self::Managed(holding) => holding.stored = data.map(Material::from_secret_data),
            Self::External(holding) => {
                holding.stored = data.map(|data| Foreign::from_secret_data(data, publishes));
            }
        }
    }

    /// Serves with what is stored if it is good, or if what is served is not.
    /// Whether that is something else than before.
    pub(super) fn adopt(&mut self, names: &ServerNames, now: Timestamp) -> bool {
        match self {
            Self::Managed(holding) => {
                holding.adopt(|material| fault(material, names, now).is_some())
            }
            Self::External(holding) => holding.adopt(|foreign| foreign.fault(names, now).is_some()),
        }
    }

    /// What is served.
    pub(super) fn held(&self) -> Option<Held<'_>> {
        match self {
            Self::Managed(holding) => holding.held.as_ref().map(|material| Held {
                identity: material.identity(),
                bundle: Some(material.bundle()),
                ca_expires: Some(material.ca().validity.not_after),
            }),
            Self::External(holding) => holding.held.as_ref().map(|foreign| Held {
                identity: &foreign.identity,
                bundle: foreign.bundle.as_ref(),
                ca_expires: foreign.bundle.as_ref().map(Bundle::expires),
            }),
        }
    }

    /// The certificate that is stored.
    pub(super) fn stored_identity(&self) -> Option<&Identity> {
        match self {
            Self::Managed(holding) => Some(holding.stored.as_ref()?.as_ref().ok()?.identity()),
            Self::External(holding) => Some(&holding.stored.as_ref()?.as_ref().ok()?.identity),
        }
    }

    /// What is wrong with what somebody else stored. What the guard stored itself it
    /// mends.
    pub(super) fn complaint(&self, names: &ServerNames, now: Timestamp) -> Option<Reason> {
        let Self::External(Holding { stored, .. }) = self else { return None };
        match stored {
            None => Some(Reason::Absent),
            Some(Err(error)) => Some(Reason::Unreadable(error.clone())),
            Some(Ok(foreign)) => foreign.fault(names, now),
        }
    }

    /// What the guard is to do with a Secret of its own.
    pub(super) fn plan(&self, circumstances: &Circumstances<'_>) -> Option<Plan> {
        let Self::Managed(Holding { stored, held }) = self else { return None };
        let &Circumstances { request, names, published_for, stored_for, settle, now } =
            circumstances;
        Some(plan(&Situation {
            stored: stored.as_ref(),
            held: held.as_ref(),
            request,
            names,
            published_for,
            stored_for,
            settle,
            now,
        }))
    }

    /// What is stored, to take a step from.
    pub(super) fn stored_material(&self) -> Option<&Material> {
        match self {
            Self::Managed(holding) => holding.stored.as_ref()?.as_ref().ok(),
            Self::External(_) => None,
        }
    }

    /// What is served, to restore.
    pub(super) fn held_material(&self) -> Option<&Material> {
        match self {
            Self::Managed(holding) => holding.held.as_ref(),
            Self::External(_) => None,
        }
    }
}

/// A [`Situation`] but for what is stored and held.
#[derive(Clone, Copy, Debug)]
pub(super) struct Circumstances<'a> {
    pub(super) request: Option<Request>,
    pub(super) names: &'a ServerNames,
    pub(super) published_for: Option<Duration>,
    pub(super) stored_for: Duration,
    pub(super) settle: Duration,
    pub(super) now: Timestamp,
}

impl<M> Default for Holding<M> {
    fn default() -> Self {
        Self { stored: None, held: None }
    }
}

impl<M: Clone + PartialEq> Holding<M> {
    fn adopt(&mut self, faulty: impl Fn(&M) -> bool) -> bool {
        let Some(Ok(stored)) = &self.stored else { return false };
        let better = match &self.held {
            None => true,
            Some(held) => held != stored && (!faulty(stored) || faulty(held)),
        };
        if better {
            self.held = Some(stored.clone());
        }
        better
    }
}

impl Foreign {
    fn from_secret_data(data: &SecretData, publishes: bool) -> Result<Self, MaterialError> {
        let identity = Identity::from_secret_data(data)?;
        let bundle = if publishes { Some(Bundle::parse(text(data, CA_BUNDLE)?)?) } else { None };
        Ok(Self { identity, bundle })
    }

    fn fault(&self, names: &ServerNames, now: Timestamp) -> Option<Reason> {
        let Self { identity, bundle } = self;
        leaf_dates(identity, now)
            .or_else(|| identity.lacks(names).map(Reason::LeafLacksName))
            .or_else(|| {
                let mut authorities = bundle.as_ref()?.authorities().iter();
                let trusted = authorities.any(|ca| ca.vouches_for(identity, now));
                (!trusted).then_some(Reason::LeafNotSignedByCa)
            })
    }
}
