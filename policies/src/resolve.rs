//! From a subject's volumes to the storage under them.
//!
//! The order of authority is Kubernetes' own: the pod's volume source, then the
//! claim, then the volume it is bound or promised to, then the class.

mod choices;
mod claim;
mod look_up;
mod place;
mod rivals;
mod storage;

use std::{
    cell::RefCell,
    collections::{HashMap, HashSet},
    iter,
    rc::Rc,
    sync::Arc,
};

use crate::{
    backing::{Hop, Resolved, Unknown},
    catalogue::{Catalogue, Probe},
    cluster::{Cluster, Missed},
    facts::{
        self, Claim, Object, PersistentVolume, PodVolume, PodVolumeSource, Workload, WorkloadKind,
    },
    in_tree::{self, InTree},
    text::Text,
};
use claim::Claims;
use jiff::Timestamp;
pub use place::Place;
use rivals::Rivals;
use storage::{Mount, Storage};

/// Finds out what volumes end up on, and keeps account of what it would have
/// needed to know.
pub struct Resolver<'c> {
    pub(crate) cluster: &'c dyn Cluster,
    pub(crate) catalogue: &'c Catalogue,
    missed: RefCell<Missed>,
    asked: Asked,
}

/// Answers that many volumes of one subject have in common, and that take a walk
/// over the cluster's volumes each.
#[derive(Default)]
struct Asked {
    /// The volumes of a class that can still be promised, by its name.
    unclaimed_volumes: RefCell<HashMap<String, Rc<[Arc<PersistentVolume<'static>>]>>>,
    choices: choices::Choices,
    /// An NFS volume of a class, by its name.
    nfs_volumes: RefCell<HashMap<String, Option<String>>>,
}

/// One volume of a subject.
#[derive(Debug)]
pub struct Volume<'s> {
    /// Its name: of the template, the pod's volume, or the claim.
    pub name: &'s str,
    /// Where in the subject it is written.
    pub place: Place,
    /// What it ends up on.
    pub resolved: Resolved,
    /// The claim that asks for it, where the subject holds it and may still
    /// change it.
    pub claim: Option<&'s Claim<'s>>,
    /// Since when both the claim that it comes from and its volume are there, where that
    /// is bound; of several the newest.
    pub bound_since: Option<Timestamp>,
    /// How the kubelet may mount it.
    mounts: Vec<Mount>,
}

impl<'c> Resolver<'c> {
    pub(crate) fn new(cluster: &'c dyn Cluster, catalogue: &'c Catalogue) -> Self {
        Self { cluster, catalogue, missed: RefCell::default(), asked: Asked::default() }
    }

    /// Every persistent volume of an object of that namespace.
    #[must_use]
    pub fn volumes<'s>(&self, namespace: &str, object: &'s Object<'s>) -> Vec<Volume<'s>> {
        match object {
            Object::Workload(workload) => self.workload(namespace, workload),
            Object::Claim(claim) => vec![self.own_claim(namespace, claim)],
            Object::Volume(_)
            | Object::Class(_)
            | Object::CsiDriver(_)
            | Object::Namespace(_)
            | Object::Exemption(_) => Vec::new(),
        }
    }

    /// The same of an object whose claims are made anew, if it makes any.
    pub(crate) fn volumes_anew<'s>(
        &self,
        namespace: &str,
        object: &'s Object<'s>,
    ) -> Vec<Volume<'s>> {
        match object {
            Object::Workload(workload) => self.spec_volumes(namespace, workload),
            _ => Vec::new(),
        }
    }

    /// The same of a workload's spec alone: without the claims that have come to be
    /// under the names it uses.
    pub(crate) fn spec_volumes<'s>(
        &self,
        namespace: &str,
        workload: &'s Workload<'s>,
    ) -> Vec<Volume<'s>> {
        self.workload_by(namespace, workload, |rivals, claim, at| {
            let mut hops = vec![Hop::ClaimTemplate(claim.metadata.name.to_string())];
            let to_come = rivals.to_come(workload, claim, 0);
            let Storage { backing, mounts, bound_since } =
                self.claim(namespace, to_come, claim, &mut hops);
            let place = Place::ClaimTemplate(at);
            let resolved = Resolved { hops, backing };
            let name = &*claim.metadata.name;
            Volume { name, place, resolved, claim: Some(claim), bound_since, mounts }
        })
    }

    /// What a volume ends up on, whoever it is promised to.
    pub(crate) fn persistent_volume(&self, claim: &str, volume: &PersistentVolume<'_>) -> Resolved {
        let mut hops =
            vec![Hop::Claim(claim.into()), Hop::Volume(volume.metadata.name.to_string())];
        let backing = self.volume(volume, &mut hops).backing;
        Resolved { hops, backing }
    }

    fn workload<'s>(&self, namespace: &str, workload: &'s Workload<'s>) -> Vec<Volume<'s>> {
        self.workload_by(namespace, workload, |rivals, claim, at| {
            self.claim_template(namespace, workload, rivals, claim, at)
        })
    }

    fn workload_by<'s>(
        &self,
        namespace: &str,
        workload: &'s Workload<'s>,
        of_template: impl Fn(&Rivals<'s>, &'s Claim<'s>, usize) -> Volume<'s>,
    ) -> Vec<Volume<'s>> {
        let rivals = Rivals::of(workload, || self.default_class());
        let templates = workload.claim_templates.iter().enumerate();
        let templates = templates.map(|(at, claim)| of_template(&rivals, claim, at));
        let inline = workload.template.spec.volumes.iter().enumerate();
        // The controller replaces a pod's volume by the claim template of the
        // same name (`updateStorage` in `stateful_set_utils.go`).
        let replaced: HashSet<&str> =
            workload.claim_templates.iter().map(|claim| &*claim.metadata.name).collect();
        let inline = inline.filter(|(_, volume)| !replaced.contains(&*volume.name));
        let inline = inline.filter_map(|(at, volume)| {
            let place = Place::PodVolume { kind: workload.kind, at };
            self.pod_volume(namespace, workload, &rivals, volume, place)
        });
        templates.chain(inline).collect()
    }

    /// The claims of a template: those to come, those of them that a volume is
    /// promised to under the names the set will use, and those that are there
    /// already under such a name, which it takes as they are
    /// (`createPersistentVolumeClaims` in `stateful_pod_control.go`). The worst
    /// counts.
    fn claim_template<'s>(
        &self,
        namespace: &str,
        set: &Workload<'_>,
        rivals: &Rivals<'_>,
        template: &'s Claim<'s>,
        at: usize,
    ) -> Volume<'s> {
        let name = &*template.metadata.name;
        let own = Hop::ClaimTemplate(name.into());
        let prefix = format!("{name}-{}-", set.metadata.name);
        let existing = self.existing_claims(namespace, &prefix, set);
        let promised = self.promised_claims(namespace, &prefix, set, &existing);
        let bound = existing.iter().filter(|claim| claim.volume_name().is_some()).count();
        let to_come = rivals.to_come(set, template, bound);

        let mut hops = vec![own.clone()];
        let storage = self.claim(namespace, to_come, template, &mut hops);
        let unnamed = ((hops, Some(template)), storage);
        let named = |claims: Claims<'_>, name: &str, claim: &Claim<'_>| {
            let mut hops = vec![own.clone(), Hop::Claim(name.into())];
            let storage = self.claim(namespace, claims, claim, &mut hops);
            ((hops, None), storage)
        };
        let existing = existing.iter().map(|claim| {
            let name = &*claim.metadata.name;
            named(Claims::Named(name), name, claim)
        });
        let promised = promised.iter().map(|name| named(Claims::ToBeNamed(name), name, template));
        let worst = storage::worst(iter::once(unnamed).chain(existing).chain(promised));
        let ((hops, claim), Storage { backing, mounts, bound_since }) =
            worst.expect("one of them is there");
        let resolved = Resolved { hops, backing };
        let place = Place::ClaimTemplate(at);
        Volume { name, place, resolved, claim, bound_since, mounts }
    }

    fn existing_claims(
        &self,
        namespace: &str,
        prefix: &str,
        set: &Workload<'_>,
    ) -> Vec<Arc<Claim<'static>>> {
        let claims = self.cluster.numbered_claims(namespace, prefix, set.ordinals.clone());
        self.enumerated(facts::Kind::Claim, claims).unwrap_or_default()
    }

    /// Names of claims to come that a volume is promised to by its `claimRef`:
    /// one with a uid is promised to a claim that is there, or was.
    fn promised_claims(
        &self,
        namespace: &str,
        prefix: &str,
        set: &Workload<'_>,
        existing: &[Arc<Claim<'static>>],
    ) -> Vec<Text<'static>> {
        let numbers = set.ordinals.clone();
        let volumes = self.cluster.volumes_claimed_by_numbered(namespace, prefix, numbers);
        let volumes = self.enumerated(facts::Kind::Volume, volumes).unwrap_or_default();
        let promises = volumes.iter().filter_map(|volume| volume.spec.claim_ref.as_ref());
        let promises = promises.filter(|claim| claim.uid.as_deref().is_none_or(str::is_empty));
        let existing: HashSet<&str> = existing.iter().map(|claim| &*claim.metadata.name).collect();
        let names = promises.map(|claim| &claim.name);
        let mut names: Vec<_> =
            names.filter(|name| !existing.contains(&***name)).cloned().collect();
        names.dedup();
        names
    }

    /// `None` for a volume that does not outlive the pod.
    fn pod_volume<'s>(
        &self,
        namespace: &str,
        workload: &Workload<'_>,
        rivals: &Rivals<'_>,
        volume: &'s PodVolume<'s>,
        place: Place,
    ) -> Option<Volume<'s>> {
        let mut hops = vec![Hop::PodVolume(volume.name.to_string())];
        let mut own_claim = None;
        let mut read_only = false;
        let storage = match &volume.source {
            None => Unknown::NoSource.into(),
            Some(PodVolumeSource::Nfs(nfs)) => storage::in_tree_nfs(nfs, &[], &mut hops),
            Some(PodVolumeSource::Csi(csi)) => {
                read_only = csi.read_only;
                self.inline_csi(csi, &mut hops)
            }
            Some(PodVolumeSource::Flex(flex)) => {
                read_only = flex.read_only;
                self.flex(flex, &[], &mut hops)
            }
            Some(PodVolumeSource::Ephemeral(claim)) => {
                own_claim = Some(&**claim);
                // As the controller calls it (`ephemeral.VolumeClaimName`).
                let name = format!("{}-{}", workload.metadata.name, volume.name);
                let is_pod = workload.kind == WorkloadKind::Pod;
                if let Some(made) = self.claim_made_for(namespace, &name, workload) {
                    hops.push(Hop::Claim(name.clone()));
                    self.claim(namespace, Claims::Named(&name), &made, &mut hops)
                } else if is_pod && self.is_awaited(namespace, &name) {
                    hops.push(Hop::Claim(name.clone()));
                    self.claim(namespace, Claims::ToBeNamed(&name), claim, &mut hops)
                } else {
                    let to_come = rivals.to_come(workload, claim, 0);
                    self.claim(namespace, to_come, claim, &mut hops)
                }
            }
            Some(PodVolumeSource::Claim(claim)) => {
                read_only = claim.read_only;
                hops.push(Hop::Claim(claim.claim_name.to_string()));
                self.claim_by_name(namespace, &claim.claim_name, &mut hops)
            }
            Some(PodVolumeSource::Other(source)) => match in_tree::find(source) {
                Some(InTree::Ephemeral) => return None,
                known => self.in_tree(known, source, &Probe::default(), &mut hops),
            },
        };
        let Storage { backing, mounts, bound_since } = storage;
        Some(Volume {
            name: &volume.name,
            place,
            resolved: Resolved { hops, backing },
            claim: own_claim,
            bound_since,
            mounts: if read_only { Vec::new() } else { mounts },
        })
    }

    fn own_claim<'s>(&self, namespace: &str, claim: &'s Claim<'s>) -> Volume<'s> {
        let name = claim.metadata.display_name();
        let mut hops = vec![Hop::Claim(name.into())];
        let Storage { backing, mounts, bound_since } =
            self.claim(namespace, Claims::Named(name), claim, &mut hops);
        let place = match claim.volume_name() {
            Some(_) => Place::ClaimVolume,
            None => Place::ClaimClass,
        };
        let resolved = Resolved { hops, backing };
        Volume { name, place, resolved, claim: Some(claim), bound_since, mounts }
    }
}
