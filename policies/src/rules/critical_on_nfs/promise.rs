//! The write that promises a volume to a claim: the one write of a binding that may
//! be denied. The volume then stays Available, and whoever binds says why.

use super::{Case, Found};
use crate::{
    backing,
    facts::{BOUND_BEFORE, Claim, ClaimPhase, ClaimRef, Object, PersistentVolume},
    finding::{Leniency, Wrong},
    subject::Change,
};

/// Whether a volume is promised by that write: to a claim it was not promised to
/// before, or by the claim's uid for the first time. To take back either is none.
pub(super) fn is_new(change: &Change<'_>) -> bool {
    let (new, old) = match change {
        Change::Create(Object::Volume(new)) => (new, None),
        Change::Update { new: Object::Volume(new), old: Object::Volume(old), .. } => {
            (new, old.spec.claim_ref.as_ref())
        }
        _ => return false,
    };
    new.spec.claim_ref.as_ref().is_some_and(|to| {
        let same_name = |old: &ClaimRef<'_>| old.namespace == to.namespace && old.name == to.name;
        let uid = to.uid.as_deref().unwrap_or_default();
        let uid_was = |old: &ClaimRef<'_>| old.uid.as_deref().unwrap_or_default() == uid;
        !old.is_some_and(|old| same_name(old) && (uid.is_empty() || uid_was(old)))
    })
}

pub(super) fn judge(
    case: &Case<'_>,
    volume: &PersistentVolume<'_>,
    passes: impl Fn(backing::Kind) -> bool,
) -> Vec<Found> {
    let Some(promised) = volume.spec.claim_ref.as_ref().filter(|_| case.critical.is_some()) else {
        return Vec::new();
    };
    let resolved = case.resolver.persistent_volume(&promised.name, volume);
    if passes(resolved.backing.kind()) {
        return Vec::new();
    }
    let claim = case.resolver.claim_called(&promised.namespace, &promised.name);
    let leniency = match &case.subject.change {
        Change::Create(_) => Some(Leniency::Provisioned),
        Change::Update { old: Object::Volume(old), .. }
            if claim.is_some_and(|claim| were_bound(&claim, old)) =>
        {
            Some(Leniency::Binding)
        }
        _ => None,
    };
    let wrong =
        Wrong::Storage { volume: promised.name.to_string(), resolved, passing_classes: None };
    vec![Found { field: "spec.claimRef".to_owned(), wrong, leniency }]
}

/// Whether the claim has that volume already, so that the write only mends what
/// somebody took out of it. A volume made anew under its name was never bound; and where
/// it was, to another, the volume controller has given the claim up for lost by then
/// (`ClaimMisbound` of `syncBoundClaim`).
fn were_bound(claim: &Claim<'_>, volume: &PersistentVolume<'_>) -> bool {
    let annotations = &volume.metadata.annotations;
    claim.volume_name() == Some(&*volume.metadata.name)
        && claim.status.phase == ClaimPhase::Bound
        && BOUND_BEFORE.iter().any(|annotation| annotations.get(annotation).is_some())
}
