use std::collections::HashMap;

use super::claim::Claims;
use crate::facts::{Claim, ClassReference, PodVolumeSource, Workload, WorkloadKind};

/// The claims that each pod of a workload is to get, counted by class.
pub(super) struct Rivals<'w> {
    by_class: HashMap<ClassReference<'w>, u64>,
    /// The class that claims get which name none.
    default: Option<String>,
}

impl<'w> Rivals<'w> {
    pub(super) fn of(workload: &'w Workload<'_>, default: impl FnOnce() -> Option<String>) -> Self {
        let volumes = workload.template.spec.volumes.iter();
        let ephemeral = volumes.filter_map(|volume| match &volume.source {
            Some(PodVolumeSource::Ephemeral(claim)) => Some(&**claim),
            _ => None,
        });
        let mut by_class = HashMap::new();
        for claim in workload.claim_templates.iter().chain(ephemeral) {
            *by_class.entry(claim.class()).or_default() += 1;
        }
        let is_mixed = by_class.len() > 1 && by_class.contains_key(&ClassReference::Default);
        Self { by_class, default: is_mixed.then(default).flatten() }
    }

    /// How many claims like this one a workload still has to have bound, where so
    /// many of its pods have theirs. Those that ask for the same class compete for
    /// its volumes, so that they count together.
    pub(super) fn to_come(
        &self,
        workload: &Workload<'_>,
        claim: &Claim<'_>,
        bound: usize,
    ) -> Claims<'static> {
        let pods = match workload.kind {
            WorkloadKind::Pod => 1,
            // One of no replicas is judged all the same, for when it gets some.
            WorkloadKind::StatefulSet => {
                let ordinals = workload.ordinals.end - workload.ordinals.start;
                ordinals.saturating_sub(bound as u64).max(1)
            }
            // Nobody says how many pods there will be.
            WorkloadKind::Deployment
            | WorkloadKind::ReplicaSet
            | WorkloadKind::ReplicationController
            | WorkloadKind::DaemonSet
            | WorkloadKind::Job
            | WorkloadKind::CronJob => u64::MAX,
        };
        Claims::ToCome(pods.saturating_mul(self.like(claim.class()).max(1)))
    }

    /// How many ask for that class, by its name or as the default.
    fn like(&self, class: ClassReference<'_>) -> u64 {
        let by_class: &HashMap<ClassReference<'_>, u64> = &self.by_class;
        let asking = |class| by_class.get(&class).copied().unwrap_or_default();
        let same = match (class, self.default.as_deref()) {
            (ClassReference::Default, Some(default)) => asking(ClassReference::Named(default)),
            (ClassReference::Named(name), Some(default)) if name == default => {
                asking(ClassReference::Default)
            }
            _ => 0,
        };
        asking(class) + same
    }
}
