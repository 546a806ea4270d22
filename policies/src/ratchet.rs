//! What is borne with, so that the guard is not the outage it is there to prevent:
//! what was on NFS before it came, and what controllers make of that.
//!
//! It only ever tightens: nothing new gets in by it, and a day may be set on which it
//! ends.

use std::{cell::RefCell, collections::HashMap, sync::Arc};

use jiff::Timestamp;

use crate::{
    backing::Kind,
    config::ScaleUp,
    critical,
    excuse::{self, Used},
    facts::{Claim, Object, Workload, WorkloadKind},
    finding::Leniency,
    owners::{self, Owners},
    resolve::{Place, Volume},
    rules::Case,
    subject::Change,
    terms::{Asked, Terms, users},
};

/// Why volumes of one subject must not be denied that do not pass.
pub(crate) struct Ratchet<'r> {
    case: &'r Case<'r>,
    rule: &'r str,
    passes: &'r dyn Fn(Kind) -> bool,
    specs: Specs,
}

/// What is wrong in the specs of owners, by their kind and name: the volumes, and what
/// each ends up on. All volumes of the subject ask for the same.
type Specs = RefCell<HashMap<(WorkloadKind, String), HashMap<String, Kind>>>;

impl<'r> Ratchet<'r> {
    /// For the volumes of that case.
    pub(crate) fn new(case: &'r Case<'r>, rule: &'r str, passes: &'r dyn Fn(Kind) -> bool) -> Self {
        Self { case, rule, passes, specs: Specs::default() }
    }

    /// Why that volume must not be denied, if so.
    pub(crate) fn leniency(&self, volume: &Volume<'_>) -> Option<Leniency> {
        if has_ended(self.case.terms()) {
            return None;
        }
        let question = Question { ratchet: self, case: self.case, volume };
        match (&self.case.subject.change, self.case.object) {
            (Change::Create(_), Object::Workload(workload)) => question.of_new_workload(workload),
            (Change::Create(_), Object::Claim(claim)) => question.of_new_claim(claim),
            (Change::Standing(_), object) => question.of_standing(object),
            _ => None,
        }
    }

    /// What is wrong in an owner's own spec, if anybody judged it.
    fn wrong_in_spec(&self, owner: &Workload<'static>) -> HashMap<String, Kind> {
        let Self { case, rule, passes, specs: _ } = self;
        let object = Object::Workload(owner.clone());
        let asked = Asked::standing(&object);
        if critical::why(case.terms(), asked).is_none() {
            return HashMap::new();
        }
        let own = case.resolver.spec_volumes(&case.subject.namespace, owner).into_iter();
        let wrong = own.filter_map(|volume| {
            let used = Used { volume: volume.name, claim: volume.resolved.claim() };
            let kind = volume.resolved.backing.kind();
            let excused = || excuse::excuse(case.terms(), asked, rule, used).is_some();
            (!passes(kind) && !excused()).then(|| (volume.name.to_owned(), kind))
        });
        wrong.collect()
    }
}

/// Whether what the object has had all along is no excuse for this update: it gets
/// more replicas and may not, or the grace has ended.
pub(crate) fn forgives_no_more(case: &Case<'_>) -> bool {
    let Change::Update { new: Object::Workload(new), old: Object::Workload(old), .. } =
        &case.subject.change
    else {
        return false;
    };
    // Of a pod that runs nothing can be mended any more, and what a controller does to
    // its own was judged with the owner.
    let by_owner = new.metadata.is_controlled() && users::is_controller(&case.subject.user);
    if new.kind == WorkloadKind::Pod || by_owner {
        return false;
    }
    let grows = new.replicas > old.replicas;
    let as_it_was = new.template == old.template && new.claim_templates == old.claim_templates;
    let may_not_grow = case.policy.ratchet.scale_up == ScaleUp::Deny;
    grows && may_not_grow || has_ended(case.terms()) && (grows || !as_it_was)
}

fn has_ended(terms: Terms<'_>) -> bool {
    terms.policy.ratchet.until.is_some_and(|until| until <= terms.now)
}

struct Question<'q> {
    ratchet: &'q Ratchet<'q>,
    case: &'q Case<'q>,
    volume: &'q Volume<'q>,
}

impl Question<'_> {
    /// A controller makes it, as its user name says; or it is a set that somebody
    /// makes anew around the claims of the old one.
    fn of_new_workload(&self, workload: &Workload<'_>) -> Option<Leniency> {
        let Case { subject, policy, resolver, .. } = self.case;
        let owners = resolver.owners(&subject.namespace, &workload.metadata);
        let unreadable = owners.ends_unreadable && owners.chain.is_empty();
        let is_operator = policy.ratchet.controllers.iter().any(|glob| glob.matches(&subject.user));
        let by_controller = workload.metadata.is_controlled()
            && (users::is_controller(&subject.user) || is_operator);
        let has_in_spec = |owner: &Arc<_>| self.has_in_spec(owner, self.volume.name);
        if by_controller && owners.chain.first().is_some_and(has_in_spec) {
            return Some(Leniency::OwnersSpec);
        }
        if by_controller && unreadable {
            return Some(Leniency::UnreadableOwner);
        }
        // Any service account may call itself an operator's. What it gets by that was
        // there before.
        let maybe_operator = unreadable && users::is_service_account(&subject.user);
        // Around the claims of its templates alone: those it can do nothing about.
        let is_set_made_anew = workload.kind == WorkloadKind::StatefulSet
            && matches!(self.volume.place, Place::ClaimTemplate(_));
        let bears_old_claims = by_controller || maybe_operator || is_set_made_anew;
        (bears_old_claims && self.is_old(self.volume.bound_since)).then_some(Leniency::OldClaim)
    }

    /// The claims of a set name it by their own name, those of a pod by a reference.
    fn of_new_claim(&self, claim: &Claim<'_>) -> Option<Leniency> {
        let is_borne_with = |maker: &Arc<Workload<'static>>| {
            let Some(name) = owners::volume_of_claim(maker, &claim.metadata.name) else {
                return false;
            };
            self.has_in_spec(maker, name)
                && (maker.kind != WorkloadKind::Pod || self.is_pod_borne_with(maker, name))
        };
        let made = users::is_controller(&self.case.subject.user)
            && self.makers_of(claim).iter().any(is_borne_with);
        made.then_some(Leniency::OwnersSpec)
    }

    /// Whether a pod may have come in with its volume on NFS. One that nobody made was
    /// judged by itself: its claim was elsewhere then, and this is another.
    fn is_pod_borne_with(&self, pod: &Workload<'_>, volume: &str) -> bool {
        let Case { subject, resolver, .. } = self.case;
        let owners = resolver.owners(&subject.namespace, &pod.metadata);
        let by_owner = || owners.chain.first().is_some_and(|owner| self.has_in_spec(owner, volume));
        self.is_old(pod.metadata.creation_timestamp) || self.is_operators(&owners) || by_owner()
    }

    /// Whether an operator may have made it that is trusted.
    fn is_operators(&self, owners: &Owners) -> bool {
        let is_unreadable = owners.ends_unreadable && owners.chain.is_empty();
        is_unreadable && !self.case.policy.ratchet.controllers.is_empty()
    }

    /// Nobody knows who made what stands; its age tells, or that of what made it.
    fn of_standing(&self, object: &Object<'_>) -> Option<Leniency> {
        let Case { subject, resolver, .. } = self.case;
        // What an old claim is bound to may have been made anew.
        let had_another = matches!(object, Object::Claim(_))
            && self.volume.bound_since.is_some_and(|since| !self.is_old(Some(since)));
        if self.is_old(object.metadata().creation_timestamp) && !had_another {
            return Some(Leniency::BeforeTheGuard);
        }
        if self.is_old(self.volume.bound_since) {
            return Some(Leniency::OldClaim);
        }
        let is_old_spec = |owner: &Workload<'static>, volume: &str| {
            self.is_old(owner.metadata.creation_timestamp) && self.has_in_spec(owner, volume)
        };
        match object {
            Object::Workload(workload) => {
                let owners = resolver.owners(&subject.namespace, &workload.metadata);
                if owners.chain.iter().any(|owner| is_old_spec(owner, self.volume.name)) {
                    Some(Leniency::OwnersSpec)
                } else {
                    self.is_operators(&owners).then_some(Leniency::UnreadableOwner)
                }
            }
            Object::Claim(claim) => {
                let made = self.makers_of(claim).into_iter().any(|maker| {
                    owners::volume_of_claim(&maker, &claim.metadata.name)
                        .is_some_and(|volume| is_old_spec(&maker, volume))
                });
                made.then_some(Leniency::OwnersSpec)
            }
            _ => None,
        }
    }

    /// The workload that a claim was made for; without a reference, those that its
    /// name may come from.
    fn makers_of(&self, claim: &Claim<'_>) -> Vec<Arc<Workload<'static>>> {
        let Case { subject, resolver, .. } = self.case;
        let owners = resolver.owners(&subject.namespace, &claim.metadata);
        match owners.chain.into_iter().next() {
            Some(owner) => vec![owner],
            None => resolver.sets_of(&subject.namespace, &claim.metadata.name),
        }
    }

    /// Whether the owner's own spec ends up there with the volume of that name,
    /// whatever claims have come to be under the names it uses. Only of one that is
    /// critical has that ever been judged, and what excuses it excuses nobody else. Where
    /// nobody knows what that comes to, it says nothing for what is forbidden.
    fn has_in_spec(&self, owner: &Workload<'static>, name: &str) -> bool {
        let may_be_unknown = self.volume.resolved.backing.kind() == Kind::Unknown;
        let key = (owner.kind, owner.metadata.name.to_string());
        let mut specs = self.ratchet.specs.borrow_mut();
        let wrong = specs.entry(key).or_insert_with(|| self.ratchet.wrong_in_spec(owner));
        wrong.get(name).is_some_and(|kind| may_be_unknown || *kind != Kind::Unknown)
    }

    fn is_old(&self, time: Option<Timestamp>) -> bool {
        let since = self.case.policy.ratchet.since;
        since.is_some_and(|since| time.is_some_and(|time| time < since))
    }
}

#[cfg(test)]
mod tests;
