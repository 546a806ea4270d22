//! From a claim to the volume it is bound or promised to, or to its class.

use std::sync::Arc;

use super::{Resolver, Storage, storage};
use crate::{
    backing::{Hop, Kind, Unknown},
    catalogue::Probe,
    facts::{self, Claim, ClassReference, PersistentVolume, StorageClass, VolumeMode},
};

impl Resolver<'_> {
    /// The classes of the cluster that would put this claim on storage that
    /// `passes`, by name.
    #[must_use]
    pub fn classes_for(&self, claim: &Claim<'_>, passes: impl Fn(Kind) -> bool) -> Vec<String> {
        let Ok(classes) = self.classes() else { return Vec::new() };
        let fits = classes
            .iter()
            .filter(|class| passes(self.class(class, claim, &mut Vec::new()).backing.kind()));
        fits.map(|class| class.metadata.name.to_string()).collect()
    }

    /// Whether a volume of that name is promised to that claim.
    pub(crate) fn promised(&self, volume: &str, namespace: &str, claim: &Claim<'_>) -> bool {
        let volume = self.found(facts::Kind::Volume, "", volume, self.cluster.volume(volume));
        let uid = claim.metadata.uid.as_deref();
        matches!(volume, Ok(Some(volume)) if volume.names_claim(namespace, &claim.metadata.name, uid))
    }

    pub(super) fn claim_by_name(
        &self,
        namespace: &str,
        name: &str,
        hops: &mut Vec<Hop>,
    ) -> Storage {
        let claim = self.cluster.claim(namespace, name);
        match self.found(facts::Kind::Claim, namespace, name, claim) {
            Ok(Some(claim)) => self.claim(namespace, Some(name), &claim, hops),
            Ok(None) => Unknown::NoSuchClaim(name.into()).into(),
            Err(unknown) => unknown.into(),
        }
    }

    /// `name` is absent for a template: no volume can be promised to a claim
    /// that has no name yet.
    pub(super) fn claim(
        &self,
        namespace: &str,
        name: Option<&str>,
        claim: &Claim<'_>,
        hops: &mut Vec<Hop>,
    ) -> Storage {
        if let Some(volume) = claim.volume_name() {
            hops.push(Hop::Volume(volume.into()));
            let volume_facts = self.cluster.volume(volume);
            return match self.found(facts::Kind::Volume, "", volume, volume_facts) {
                Ok(Some(volume)) => self.volume(&volume, hops),
                Ok(None) => Unknown::NoSuchVolume(volume.into()).into(),
                Err(unknown) => unknown.into(),
            };
        }
        match name.map_or(Ok(Vec::new()), |name| self.promised_volumes(namespace, name, claim)) {
            Ok(volumes) => {
                self.worst_of(&volumes, hops).unwrap_or_else(|| {
                    let storage = self.claim_by_class(claim, hops);
                    // Of a volume that exists, its own mode counts: the kubelet
                    // mounts by that.
                    let raw = claim.spec.volume_mode == VolumeMode::Block;
                    if raw { storage.raw() } else { storage }
                })
            }
            Err(unknown) => unknown.into(),
        }
    }

    /// The volumes whose claimRef names the claim: one of them is bound whatever
    /// class it or the claim names (`FindMatchingVolume` in `pv_helpers.go`).
    fn promised_volumes(
        &self,
        namespace: &str,
        name: &str,
        claim: &Claim<'_>,
    ) -> Result<Vec<Arc<PersistentVolume<'static>>>, Unknown> {
        let volumes = self.cluster.volumes_claimed_by(namespace, name);
        let mut volumes = self.enumerated(facts::Kind::Volume, volumes)?;
        let uid = claim.metadata.uid.as_deref();
        volumes.retain(|volume| {
            let metadata = &volume.metadata;
            metadata.deletion_timestamp.is_none() && volume.names_claim(namespace, name, uid)
        });
        Ok(volumes)
    }

    /// Which of several volumes will be bound is not decided; until it is, the
    /// worst of them counts.
    fn worst_of(
        &self,
        volumes: &[Arc<PersistentVolume<'static>>],
        hops: &mut Vec<Hop>,
    ) -> Option<Storage> {
        let (way, storage) = storage::worst(volumes.iter().map(|volume| {
            let mut way = vec![Hop::Volume(volume.metadata.name.to_string())];
            let storage = self.volume(volume, &mut way);
            (way, storage)
        }))?;
        hops.extend(way);
        Some(storage)
    }

    fn claim_by_class(&self, claim: &Claim<'_>, hops: &mut Vec<Hop>) -> Storage {
        let (class, default) = match claim.class() {
            ClassReference::Classless => return Unknown::Classless.into(),
            ClassReference::Default => (self.default_class(), true),
            ClassReference::Named(name) => {
                let found = self.found(facts::Kind::Class, "", name, self.cluster.class(name));
                if let Ok(None) = found {
                    hops.push(Hop::Class { name: name.into(), default: false });
                    return Unknown::NoSuchClass(name.into()).into();
                }
                (found, false)
            }
        };
        match class {
            Ok(Some(class)) => {
                hops.push(Hop::Class { name: class.metadata.name.to_string(), default });
                self.class(&class, claim, hops)
            }
            Ok(None) => Unknown::NoDefaultClass.into(),
            Err(unknown) => unknown.into(),
        }
    }

    /// The default class: the newest of those annotated so, ties by name
    /// (`GetDefaultClass` in `pkg/volume/util/storageclass.go`).
    fn default_class(&self) -> Result<Option<Arc<StorageClass<'static>>>, Unknown> {
        let classes = self.classes()?;
        Ok(classes.into_iter().filter(|class| class.is_default()).min_by(|a, b| {
            let newest = b.metadata.creation_timestamp.cmp(&a.metadata.creation_timestamp);
            newest.then_with(|| a.metadata.name.cmp(&b.metadata.name))
        }))
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
        self.driver(&class.provisioner, &probe, &class.parameters, &class.mount_options, hops)
    }

    fn classes(&self) -> Result<Vec<Arc<StorageClass<'static>>>, Unknown> {
        self.enumerated(facts::Kind::Class, self.cluster.classes())
    }
}
