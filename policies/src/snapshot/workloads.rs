use std::sync::Arc;

use super::table::{Index, Table};
use crate::{
    facts::{PodVolumeSource, Workload},
    text::Text,
};

/// Workloads of one kind.
#[derive(Clone, Debug, Default)]
pub(super) struct Workloads {
    pub(super) objects: Table<Workload<'static>>,
    /// By the claims their pods mount by name.
    pub(super) by_claim: Index<Workload<'static>>,
}

impl Workloads {
    pub(super) fn end_list(&mut self) {
        for gone in self.objects.end_list() {
            self.unindex(&gone);
        }
    }

    pub(super) fn insert(&mut self, workload: Workload<'static>) {
        let workload = Arc::new(workload);
        if let Some(before) = self.objects.insert(Arc::clone(&workload)) {
            self.unindex(&before);
        }
        let namespace = namespace(&workload);
        for claim in mounted_claims(&workload) {
            self.by_claim.insert(namespace, claim, &workload);
        }
    }

    pub(super) fn remove(&mut self, workload: &Workload<'static>) {
        if let Some(removed) = self.objects.remove(workload) {
            self.unindex(&removed);
        }
    }

    fn unindex(&mut self, workload: &Workload<'static>) {
        for claim in mounted_claims(workload) {
            self.by_claim.remove(namespace(workload), claim, workload);
        }
    }
}

fn namespace<'w>(workload: &'w Workload<'static>) -> &'w Text<'static> {
    const NONE: &Text<'static> = &Text::Borrowed("");
    workload.metadata.namespace.as_ref().unwrap_or(NONE)
}

fn mounted_claims<'w>(workload: &'w Workload<'static>) -> impl Iterator<Item = &'w Text<'static>> {
    workload.template.spec.volumes.iter().filter_map(|volume| match &volume.source {
        Some(PodVolumeSource::Claim(claim)) => Some(&claim.claim_name),
        _ => None,
    })
}
