//! From a claim to the volume it is or will be bound to, or to its class.

use std::{rc::Rc, sync::Arc};

use super::{
    Resolver, Storage, choices,
    storage::{self, Told},
};
use crate::{
    backing::{Hop, Kind, Unknown},
    binding::{self, Candidates, Wanted},
    catalogue::Probe,
    cluster::NotSynced,
    facts::{self, BindingMode, Claim, ClassReference, PersistentVolume, StorageClass, VolumeMode},
};

/// Which claims are to be bound.
#[derive(Clone, Copy)]
pub(super) enum Claims<'n> {
    /// The one of that name.
    Named(&'n str),
    /// One of a template that is not there yet, and whose name is known.
    ToBeNamed(&'n str),
    /// So many of a template, none of which is there yet.
    ToCome(u64),
}

/// Claims that look for volumes.
#[derive(Clone, Copy)]
struct Seeking<'s> {
    namespace: &'s str,
    claims: Claims<'s>,
    /// What each of them asks for.
    claim: &'s Claim<'s>,
}

/// One way a claim may go, and where it ends.
pub(super) type End = (Vec<Hop>, Storage);

fn end(unknown: Unknown) -> End {
    (Vec::new(), unknown.into())
}

impl Resolver<'_> {
    /// The classes of the cluster that would put this claim on storage that
    /// `passes`, by name, whatever volumes of theirs are still to be had.
    #[must_use]
    pub fn classes_for(&self, claim: &Claim<'_>, passes: impl Fn(Kind) -> bool) -> Vec<String> {
        let Ok(classes) = self.classes() else { return Vec::new() };
        let fits = classes.iter().filter(|class| {
            let seeking = Seeking { namespace: "", claims: Claims::ToCome(u64::MAX), claim };
            let ends = self.ends_in_class(seeking, class, false);
            ends.iter().all(|(_, storage)| passes(storage.backing.kind()))
        });
        fits.map(|class| class.metadata.name.to_string()).collect()
    }

    /// Whether a volume of that name is promised to that claim.
    pub(crate) fn promised(&self, volume: &str, namespace: &str, claim: &Claim<'_>) -> bool {
        let volume = self.found(facts::Kind::Volume, "", volume, self.cluster.volume(volume));
        let uid = claim.metadata.uid.as_deref();
        matches!(volume, Ok(Some(volume)) if volume.names_claim(namespace, &claim.metadata.name, uid))
    }

    /// Whether a volume is promised to a claim of that name that is yet to come.
    pub(super) fn is_awaited(&self, namespace: &str, name: &str) -> bool {
        let promised = self.promised_volumes(namespace, Some(name)).unwrap_or_default();
        promised.iter().any(|volume| volume.names_claim(namespace, name, None))
    }

    pub(super) fn claim_by_name(
        &self,
        namespace: &str,
        name: &str,
        hops: &mut Vec<Hop>,
    ) -> Storage {
        let claim = self.cluster.claim(namespace, name);
        match self.found(facts::Kind::Claim, namespace, name, claim) {
            Ok(Some(claim)) => self.claim(namespace, Claims::Named(name), &claim, hops),
            Ok(None) => Unknown::NoSuchClaim(name.into()).into(),
            Err(unknown) => unknown.into(),
        }
    }

    pub(super) fn claim(
        &self,
        namespace: &str,
        claims: Claims<'_>,
        claim: &Claim<'_>,
        hops: &mut Vec<Hop>,
    ) -> Storage {
        if let Some(volume) = claim.volume_name() {
            hops.push(Hop::Volume(volume.into()));
            let volume_facts = self.cluster.volume(volume);
            return match self.found(facts::Kind::Volume, "", volume, volume_facts) {
                Ok(Some(volume)) => {
                    // In a template anybody may write a time. A volume that is younger
                    // than its claim is not what the claim had.
                    let is_there = matches!(claims, Claims::Named(_));
                    let claimed_since = claim.metadata.creation_timestamp.filter(|_| is_there);
                    let bound_since = claimed_since.max(volume.metadata.creation_timestamp);
                    let bound_since = claimed_since.and(bound_since);
                    Storage { bound_since, ..self.volume(&volume, hops) }
                }
                Ok(None) => Unknown::NoSuchVolume(volume.into()).into(),
                Err(unknown) => unknown.into(),
            };
        }
        let ends = self.ends(Seeking { namespace, claims, claim });
        let (way, storage) = storage::worst(ends).expect("every claim has an end");
        hops.extend(way);
        // Only a volume that is a device is bound to a claim that asks for one.
        if claim.spec.volume_mode == VolumeMode::Block { storage.raw() } else { storage }
    }

    /// Every way the claim may go. Which of them it will be is not decided; until
    /// it is, the worst counts.
    fn ends(&self, seeking: Seeking<'_>) -> Vec<End> {
        const AT_ONCE: BindingMode = BindingMode::Immediate;
        match seeking.claim.class() {
            ClassReference::Classless => {
                self.ends_by_name(seeking, "", AT_ONCE, || end(Unknown::Classless))
            }
            ClassReference::Named(name) => {
                let class = self.found(facts::Kind::Class, "", name, self.cluster.class(name));
                match class {
                    Ok(Some(class)) => self.ends_in_class(seeking, &class, false),
                    Ok(None) => self.ends_by_name(seeking, name, AT_ONCE, || {
                        let way = vec![Hop::Class { name: name.into(), default: false }];
                        (way, Unknown::NoSuchClass(name.into()).into())
                    }),
                    Err(unknown) => self.ends_by_name(seeking, name, AT_ONCE, || end(unknown)),
                }
            }
            ClassReference::Default => {
                let classes = self.classes();
                let default = classes
                    .as_ref()
                    .map(|classes| binding::default_class(classes.iter().map(|class| &**class)));
                let mut ends = match default {
                    Ok(Some(class)) => self.ends_in_class(seeking, class, true),
                    Ok(None) => {
                        return self
                            .ends_by_name(seeking, "", AT_ONCE, || end(Unknown::NoDefaultClass));
                    }
                    Err(unknown) => vec![end(unknown.clone())],
                };
                // The claims of a template get the default class as they are made.
                // One that is stored without a class is bound to a volume without
                // one, or gets the class later (`syncUnboundClaim`).
                if let Claims::Named(_) = seeking.claims {
                    ends.extend(self.bound(seeking, "", AT_ONCE).0);
                }
                ends
            }
        }
    }

    fn ends_in_class(
        &self,
        seeking: Seeking<'_>,
        class: &StorageClass<'_>,
        default: bool,
    ) -> Vec<End> {
        let name = &*class.metadata.name;
        self.ends_by_name(seeking, name, class.volume_binding_mode, || {
            let mut way = vec![Hop::Class { name: name.into(), default }];
            let storage = self.class(class, seeking.claim, &mut way);
            (way, storage)
        })
    }

    /// By the volumes of that class string, and `otherwise` where it is not
    /// certain that one is bound.
    fn ends_by_name(
        &self,
        seeking: Seeking<'_>,
        class: &str,
        binding_mode: BindingMode,
        otherwise: impl FnOnce() -> End,
    ) -> Vec<End> {
        let (mut ends, certain) = self.bound(seeking, class, binding_mode);
        if !certain {
            ends.push(otherwise());
        }
        ends
    }

    /// The volumes that may be bound, the worst of them where there are many, and
    /// whether one is for certain.
    fn bound(
        &self,
        seeking: Seeking<'_>,
        class: &str,
        binding_mode: BindingMode,
    ) -> (Vec<End>, bool) {
        let Seeking { namespace, claims, claim } = seeking;
        let (name, n) = match claims {
            Claims::Named(name) | Claims::ToBeNamed(name) => (Some(name), 1),
            Claims::ToCome(n) => (None, n),
        };
        let reach = self.unclaimed_volumes(class);
        let reach =
            reach.and_then(|volumes| Ok((volumes, self.promised_volumes(namespace, name)?)));
        let (unclaimed, promised) = match reach {
            Ok(volumes) => volumes,
            Err(unknown) => return (vec![end(unknown)], false),
        };
        let delay_binding = binding_mode == BindingMode::WaitForFirstConsumer;
        let wanted = Wanted { claim, namespace, name, class, delay_binding };
        let choose = || {
            let volumes = unclaimed.iter().chain(&promised).map(|volume| &**volume);
            let Candidates { volumes, certain } = binding::takes(&wanted, n, volumes);
            let ends = volumes.into_iter().map(|volume| {
                let mut way = vec![Hop::Volume(volume.metadata.name.to_string())];
                let storage = self.volume(volume, &mut way);
                (way, storage)
            });
            (ends.collect::<Vec<_>>(), certain)
        };
        if unclaimed.len() < choices::MANY || !promised.is_empty() {
            return choose();
        }
        let (worst, certain) = self.asked.choices.of(&wanted, n, || {
            let (ends, certain) = choose();
            (storage::worst(ends), certain)
        });
        (worst.into_iter().collect(), certain)
    }

    /// The volumes of that class string that are promised to no claim.
    fn unclaimed_volumes(
        &self,
        class: &str,
    ) -> Result<Rc<[Arc<PersistentVolume<'static>>]>, Unknown> {
        if let Some(known) = self.asked.unclaimed_volumes.borrow().get(class) {
            return Ok(Rc::clone(known));
        }
        let volumes =
            self.enumerated(facts::Kind::Volume, self.cluster.unclaimed_volumes(class))?;
        let volumes: Rc<[_]> = volumes.into();
        self.asked.unclaimed_volumes.borrow_mut().insert(class.to_owned(), Rc::clone(&volumes));
        Ok(volumes)
    }

    /// The volumes that are promised to a claim of that name, of whatever class.
    fn promised_volumes(
        &self,
        namespace: &str,
        name: Option<&str>,
    ) -> Result<Vec<Arc<PersistentVolume<'static>>>, Unknown> {
        let Some(name) = name else { return Ok(Vec::new()) };
        self.enumerated(facts::Kind::Volume, self.cluster.volumes_claimed_by(namespace, name))
    }

    fn class(&self, class: &StorageClass<'_>, claim: &Claim<'_>, hops: &mut Vec<Hop>) -> Storage {
        hops.push(Hop::Provisioner(class.provisioner.to_string()));
        if class.provisioner == *"kubernetes.io/no-provisioner" {
            return Unknown::StaticClass(class.metadata.name.to_string()).into();
        }
        let probe = Probe {
            parameters: Some(&class.parameters),
            claim_annotations: Some(&claim.metadata.annotations),
            access_modes: &claim.spec.access_modes,
            volume_mode: claim.spec.volume_mode,
            ..Probe::default()
        };
        let told = Told {
            attributes: &class.parameters,
            mount_options: &class.mount_options,
            class: Some(&class.metadata.name),
        };
        self.driver(&class.provisioner, &probe, &told, hops)
    }

    /// An NFS volume of that class. Every volume there is is looked at, so it is
    /// only asked about classes of drivers that nobody knows.
    pub(super) fn nfs_volume_of(&self, class: &str) -> Option<String> {
        if let Some(known) = self.asked.nfs_volumes.borrow().get(class) {
            return known.clone();
        }
        let is_nfs = |volume: &PersistentVolume<'_>| {
            let storage = || self.volume(volume, &mut Vec::new());
            volume.class() == class && storage().backing.kind() == Kind::Nfs
        };
        let found = self.cluster.find_volume(&is_nfs).unwrap_or_else(|NotSynced| {
            self.not_synced(facts::Kind::Volume);
            None
        });
        let found = found.map(|volume| volume.metadata.name.to_string());
        self.asked.nfs_volumes.borrow_mut().insert(class.to_owned(), found.clone());
        found
    }

    /// Name of the class that claims get which name none.
    pub(super) fn default_class(&self) -> Option<String> {
        let classes = self.classes().ok()?;
        let default = binding::default_class(classes.iter().map(|class| &**class));
        default.map(|class| class.metadata.name.to_string())
    }

    fn classes(&self) -> Result<Vec<Arc<StorageClass<'static>>>, Unknown> {
        self.enumerated(facts::Kind::Class, self.cluster.classes())
    }
}
