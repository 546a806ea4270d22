//! Which existing volumes a claim will be bound to, as Kubernetes chooses them.
//!
//! Source: Kubernetes 1.37. The controller walks an index of all volumes by
//! their access modes (`findByClaim` in `persistentvolume/index.go`), the
//! scheduler those of the claim's class (`findMatchingVolumes` in
//! `volumebinding/binder.go`), both with `FindMatchingVolume` of
//! `component-helpers/storage/volume/pv_helpers.go`. Where their choice hangs on
//! the order of a Go map, or on a node, every outcome is told.

use crate::{
    facts::{AccessMode, Claim, PersistentVolume, StorageClass, VolumePhase},
    quantity::Quantity,
};

/// Set by the scheduler on a claim whose volume is to be made: it looks for no
/// other one then.
const SELECTED_NODE: &str = "volume.kubernetes.io/selected-node";

/// A claim that looks for a volume.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'c> {
    /// The claim; that it may name a volume counts for nothing here.
    pub claim: &'c Claim<'c>,
    /// The namespace it is in.
    pub namespace: &'c str,
    /// Its name; `None` for a template, whose claims do not exist yet, so that
    /// nothing is promised to them.
    pub name: Option<&'c str>,
    /// The class string that counts in the end; `""` for none.
    pub class: &'c str,
    /// Whether the class waits for the first consumer.
    pub delay_binding: bool,
}

impl Wanted<'_> {
    /// Whether its volume is to be made, on a node that is chosen.
    pub(crate) fn has_node(&self) -> bool {
        self.claim.metadata.annotations.get(SELECTED_NODE).is_some()
    }
}

/// What may be bound next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidates<'v> {
    /// The volumes, any of which may be taken.
    pub volumes: Vec<&'v PersistentVolume<'static>>,
    /// Whether one of them is taken for certain, unless another claim comes
    /// first; if not, a new one may be made, or none be bound at all.
    pub certain: bool,
}

/// The volumes the claim may be bound to next, out of these.
///
/// A volume whose phase is Pending, or that has none, as in a manifest, may be
/// Available when its turn comes, and may not: nothing is certain that rests on
/// it.
pub fn candidates<'v>(
    wanted: &Wanted<'_>,
    volumes: impl IntoIterator<Item = &'v PersistentVolume<'static>>,
) -> Candidates<'v> {
    takes(wanted, 1, volumes)
}

/// The volumes that `n` claims like this one may be bound to, one after the
/// other and each to another volume. It is certain if none of them goes without.
pub fn takes<'v>(
    wanted: &Wanted<'_>,
    n: u64,
    volumes: impl IntoIterator<Item = &'v PersistentVolume<'static>>,
) -> Candidates<'v> {
    let asked = AccessModes::of(&wanted.claim.spec.access_modes);
    let (mut controllers, mut schedulers) = (Vec::new(), Vec::new());
    for volume in volumes {
        let Some(fitting) = Fitting::new(wanted, volume) else { continue };
        let has_modes = fitting.modes.contain(asked);
        if has_modes && (fitting.promised || !wanted.delay_binding) {
            controllers.push(fitting);
        }
        // What is promised, the scheduler takes whatever its access modes.
        if (has_modes || fitting.promised) && volume.class() == wanted.class {
            schedulers.push(fitting);
        }
    }
    let by_controller = by_controller(controllers, n);
    if !wanted.delay_binding || !by_controller.volumes.is_empty() {
        return by_controller;
    }
    if wanted.has_node() {
        schedulers.clear();
    }
    by_scheduler(schedulers, n)
}

/// The class a claim gets that names none: the newest of those annotated as the
/// default, of equally new ones the first by name (`GetDefaultClass` in
/// `pkg/volume/util/storageclass.go`).
pub fn default_class<'c, 'a: 'c>(
    classes: impl IntoIterator<Item = &'c StorageClass<'a>>,
) -> Option<&'c StorageClass<'a>> {
    classes.into_iter().filter(|class| class.is_default()).min_by(|a, b| {
        let newest = b.metadata.creation_timestamp.cmp(&a.metadata.creation_timestamp);
        newest.then_with(|| a.metadata.name.cmp(&b.metadata.name))
    })
}

/// Fewest access modes first; volumes of the same ones are a group, and which
/// of two groups with equally many comes first is left to chance. The first
/// group with a volume that will do gives it.
fn by_controller(mut volumes: Vec<Fitting<'_>>, n: u64) -> Candidates<'_> {
    volumes.sort_by_key(|volume| (volume.modes.count(), volume.modes, volume.preference()));
    let mut taken = Vec::new();
    let mut left = n;
    for level in volumes.chunk_by(|a, b| a.modes.count() == b.modes.count()) {
        if left == 0 {
            break;
        }
        for group in level.chunk_by(|a, b| a.modes == b.modes) {
            let mut ready = group.iter().filter(|volume| volume.ready);
            let last = ready.nth(position(left)).map(Fitting::preference);
            let within =
                |volume: &&Fitting<'_>| last.is_none_or(|last| volume.preference() <= last);
            taken.extend(group.iter().take_while(within).map(|volume| volume.volume));
        }
        let ready = level.iter().filter(|volume| volume.ready).count();
        left = left.saturating_sub(ready as u64);
    }
    Candidates { volumes: taken, certain: left == 0 }
}

/// The smallest that the node can mount. Which node that will be is not known:
/// a volume that requires certain ones may be out of reach, or be taken before
/// any larger one.
fn by_scheduler(mut volumes: Vec<Fitting<'_>>, n: u64) -> Candidates<'_> {
    if n == 0 {
        return Candidates { volumes: Vec::new(), certain: true };
    }
    if volumes.iter().any(|volume| volume.promised) {
        // The first that is met decides, even when the node cannot mount it.
        volumes.retain(|volume| volume.promised);
        let certain = !volumes.iter().any(Fitting::requires_node);
        return Candidates {
            volumes: volumes.iter().map(|volume| volume.volume).collect(),
            certain,
        };
    }
    let everywhere = volumes.iter().filter(|volume| volume.ready && !volume.requires_node());
    let mut everywhere: Vec<Quantity> = everywhere.map(|volume| volume.size).collect();
    let last = position(n);
    let largest = (last < everywhere.len()).then(|| *everywhere.select_nth_unstable(last).1);
    volumes.retain(|volume| largest.is_none_or(|largest| volume.size <= largest));
    Candidates {
        volumes: volumes.iter().map(|volume| volume.volume).collect(),
        certain: largest.is_some(),
    }
}

/// Where the `n`th of a list is, counted from one.
fn position(n: u64) -> usize {
    usize::try_from(n - 1).unwrap_or(usize::MAX)
}

/// A volume the claim could be bound to.
#[derive(Clone, Copy)]
struct Fitting<'v> {
    volume: &'v PersistentVolume<'static>,
    /// Whether its claimRef names the claim.
    promised: bool,
    /// Whether it can be bound at once.
    ready: bool,
    size: Quantity,
    modes: AccessModes,
}

impl<'v> Fitting<'v> {
    /// All that is asked of a volume but its access modes. Neither class, phase
    /// nor labels are asked of one that is promised.
    fn new(wanted: &Wanted<'_>, volume: &'v PersistentVolume<'static>) -> Option<Self> {
        let Claim { metadata, spec: claim, status: _ } = wanted.claim;
        let spec = &volume.spec;
        let promised = match (&spec.claim_ref, wanted.name) {
            (None, _) => false,
            (Some(_), Some(name))
                if volume.names_claim(wanted.namespace, name, metadata.uid.as_deref()) =>
            {
                true
            }
            (Some(_), _) => return None,
        };
        let size = spec.capacity.storage.unwrap_or_default();
        let fits = size >= claim.resources.requests.storage.unwrap_or_default()
            && spec.volume_mode == claim.volume_mode
            && spec.volume_attributes_class_name.as_deref().unwrap_or_default()
                == claim.volume_attributes_class_name.as_deref().unwrap_or_default()
            && volume.metadata.deletion_timestamp.is_none();
        let is_available =
            || matches!(volume.status.phase, VolumePhase::Available | VolumePhase::Pending);
        let is_selected = || {
            let selector = claim.selector.as_ref();
            selector.is_none_or(|selector| selector.matches(&volume.metadata.labels))
        };
        let is_free = || volume.class() == wanted.class && is_available() && is_selected();
        (fits && (promised || is_free())).then(|| Self {
            volume,
            promised,
            ready: promised || volume.status.phase == VolumePhase::Available,
            size,
            modes: AccessModes::of(&spec.access_modes),
        })
    }

    /// Within a group: what is promised comes first, whatever its size, and
    /// then the smallest.
    fn preference(&self) -> (bool, Quantity) {
        if self.promised { (false, Quantity::default()) } else { (true, self.size) }
    }

    fn requires_node(&self) -> bool {
        self.volume.spec.requires_node
    }
}

/// A set of access modes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct AccessModes(u8);

impl AccessModes {
    fn of(modes: &[AccessMode]) -> Self {
        Self(modes.iter().fold(0, |set, mode| set | 1 << *mode as u8))
    }

    fn contain(self, others: Self) -> bool {
        self.0 & others.0 == others.0
    }

    fn count(self) -> u32 {
        self.0.count_ones()
    }
}

#[cfg(test)]
mod tests;
