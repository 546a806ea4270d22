//! Who is behind an object: what made it, and who uses it.

use std::sync::Arc;

use crate::{
    cluster::{Lookup, NotSynced},
    facts::{Claim, Kind, Metadata, OwnerReference, PodVolumeSource, Workload, WorkloadKind},
    ordinal,
    resolve::Resolver,
};

/// Deepest chain there is: a pod, its job, its `CronJob`; one more for what
/// nobody has thought of.
const DEEPEST: usize = 4;

/// What made an object, the nearest first, as far as the cluster bears it out.
#[derive(Debug, Default)]
pub(crate) struct Owners {
    /// The workloads.
    pub(crate) chain: Vec<Arc<Workload<'static>>>,
    /// Whether the last of them, or the object itself, has an owner of a kind that
    /// the guard cannot read.
    pub(crate) ends_unreadable: bool,
}

impl Resolver<'_> {
    /// The controllers of an object of that namespace, by name and uid: an owner
    /// that has only the name is another one.
    pub(crate) fn owners(&self, namespace: &str, metadata: &Metadata<'_>) -> Owners {
        let mut owners = Owners::default();
        let mut reference = metadata.controller().cloned();
        while let Some(OwnerReference { api_version, kind, name, uid, controller: _ }) = reference
            && owners.chain.len() < DEEPEST
        {
            let Some(Kind::Workload(kind)) = Kind::of_manifest(&api_version, &kind) else {
                owners.ends_unreadable = true;
                break;
            };
            let found = self.cluster.workload(kind, namespace, &name);
            let found = self.found(Kind::Workload(kind), namespace, &name, found).ok().flatten();
            let Some(owner) = found else { break };
            if owner.metadata.uid.as_ref() != Some(&uid) {
                // Made anew a moment ago, or never the owner: the API server knows.
                self.outdated(Kind::Workload(kind), namespace, &name);
                break;
            }
            reference = owner.metadata.controller().cloned();
            owners.chain.push(owner);
        }
        owners
    }

    /// The workloads that use a claim: those whose pods mount it, the set that makes
    /// it from a template, the pod that it is an ephemeral volume of.
    pub(crate) fn consumers(&self, namespace: &str, claim: &str) -> Vec<Arc<Workload<'static>>> {
        let mut consumers = self.cluster.consumers(namespace, claim).unwrap_or_else(|NotSynced| {
            self.not_synced_workloads();
            Vec::new()
        });
        consumers.extend(self.sets_of(namespace, claim));
        consumers.extend(self.pods_of(namespace, claim));
        consumers
    }

    /// The sets that a claim of that name is made for: `<template>-<set>-<ordinal>`.
    /// Either name may hold dashes, so that two sets can come to the same one. Names
    /// that are guessed: nobody looks further for them than memory.
    pub(crate) fn sets_of(&self, namespace: &str, claim: &str) -> Vec<Arc<Workload<'static>>> {
        let Some((rest, ordinal)) = claim.rsplit_once('-') else { return Vec::new() };
        if ordinal::read(ordinal).is_none() {
            return Vec::new();
        }
        let sets = splits(rest).filter_map(|(template, set)| {
            let found = self.guessed(WorkloadKind::StatefulSet, namespace, set)?;
            found.claim_template(template).is_some().then_some(found)
        });
        sets.collect()
    }

    /// The pods that a claim of that name is an ephemeral volume of: `<pod>-<volume>`
    /// (`ephemeral.VolumeClaimName`).
    fn pods_of(&self, namespace: &str, claim: &str) -> Vec<Arc<Workload<'static>>> {
        let pods = splits(claim).filter_map(|(pod, volume)| {
            let found = self.guessed(WorkloadKind::Pod, namespace, pod)?;
            let source = found.volume(volume)?.source.as_ref();
            matches!(source, Some(PodVolumeSource::Ephemeral(_))).then_some(found)
        });
        pods.collect()
    }

    fn guessed(
        &self,
        kind: WorkloadKind,
        namespace: &str,
        name: &str,
    ) -> Option<Arc<Workload<'static>>> {
        match self.cluster.workload(kind, namespace, name) {
            Lookup::Found(workload) => Some(workload),
            Lookup::Missing => None,
            Lookup::NotSynced => {
                self.not_synced(Kind::Workload(kind));
                None
            }
        }
    }

    /// The claim of that name, if it was made for an ephemeral volume of that pod. One
    /// that another made, no pod takes (`syncHandler` in
    /// `pkg/controller/volume/ephemeral`).
    pub(crate) fn claim_made_for(
        &self,
        namespace: &str,
        name: &str,
        pod: &Workload<'_>,
    ) -> Option<Arc<Claim<'static>>> {
        let uid = pod.metadata.uid.as_ref()?;
        match self.cluster.claim(namespace, name) {
            Lookup::Found(claim) => {
                let made_for = claim.metadata.controller().map(|owner| owner.uid == *uid);
                (made_for == Some(true)).then_some(claim)
            }
            Lookup::Missing | Lookup::NotSynced => None,
        }
    }
}

/// What a workload calls the volume that a claim of that name is made for.
pub(crate) fn volume_of_claim<'w>(owner: &'w Workload<'_>, claim: &str) -> Option<&'w str> {
    if owner.kind == WorkloadKind::StatefulSet {
        let (rest, _) = claim.rsplit_once('-')?;
        let template = rest.strip_suffix(&*owner.metadata.name)?.strip_suffix('-')?;
        return owner.claim_template(template).map(|found| &*found.metadata.name);
    }
    let volume = claim.strip_prefix(&*owner.metadata.name)?.strip_prefix('-')?;
    owner.volume(volume).map(|found| &*found.name)
}

/// Every way to split a name at a dash.
fn splits(name: &str) -> impl Iterator<Item = (&str, &str)> {
    name.match_indices('-').map(|(at, _)| (&name[..at], &name[at + 1..]))
}
