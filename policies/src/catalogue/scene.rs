//! What the tables of the catalogue's tests say of a volume, as the probe the
//! resolver would make of it.

use super::Probe;
use crate::facts::{AccessMode, StringMap, VolumeMode};

/// When a driver is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moment {
    /// Before the volume exists: the class and the claim are known.
    Class,
    /// Once it exists: the volume is known, its class and claim are not asked.
    Volume,
}

/// One thing that is known of a volume; of two about the same, the later counts.
#[derive(Clone, Copy, Debug)]
pub(super) enum Given<'a> {
    Parameter(&'a str, &'a str),
    Attribute(&'a str, &'a str),
    Annotation(&'a str, &'a str),
    /// `PV.spec.csi.fsType`; of a class, the parameter it comes from.
    FsType(&'a str),
    Modes(&'a [AccessMode]),
    Raw,
    Handle(&'a str),
    /// No handle: a volume written into a pod.
    Inline,
}

impl Given<'_> {
    /// Whether it can be known at that moment.
    pub(super) fn fits(self, moment: Moment) -> bool {
        match self {
            Self::Parameter(..) | Self::Annotation(..) => moment == Moment::Class,
            Self::Attribute(..) | Self::Handle(_) | Self::Inline => moment == Moment::Volume,
            Self::FsType(_) | Self::Modes(_) | Self::Raw => true,
        }
    }
}

/// Asks something of the probe that all of `given` makes at that moment.
pub(super) fn at<R>(moment: Moment, given: &[Given<'_>], ask: impl FnOnce(&Probe<'_>) -> R) -> R {
    let (mut parameters, mut attributes, mut annotations) = (Vec::new(), Vec::new(), Vec::new());
    let mut probe = Probe::default();
    if moment == Moment::Volume {
        probe.volume_handle = Some("volume-1");
    }
    for given in given {
        assert!(given.fits(moment), "{given:?} is not known of a {moment:?}");
        match *given {
            Given::Parameter(key, value) => parameters.push((key, value)),
            Given::Attribute(key, value) => attributes.push((key, value)),
            Given::Annotation(key, value) => annotations.push((key, value)),
            Given::FsType(fs_type) if moment == Moment::Class => {
                parameters.push(("csi.storage.k8s.io/fstype", fs_type));
            }
            Given::FsType(fs_type) => probe.fs_type = Some(fs_type),
            Given::Modes(modes) => probe.access_modes = modes,
            Given::Raw => probe.volume_mode = VolumeMode::Block,
            Given::Handle(handle) => probe.volume_handle = Some(handle),
            Given::Inline => probe.volume_handle = None,
        }
    }
    // The first of a key is found, and the last given counts.
    let map = |entries: Vec<_>| entries.into_iter().rev().collect::<StringMap<'_>>();
    let (parameters, attributes, annotations) =
        (map(parameters), map(attributes), map(annotations));
    match moment {
        Moment::Class => {
            probe.parameters = Some(&parameters);
            probe.claim_annotations = Some(&annotations);
        }
        Moment::Volume => probe.attributes = Some(&attributes),
    }
    ask(&probe)
}
