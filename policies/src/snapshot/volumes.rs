use std::sync::Arc;

use super::table::{Index, Table};
use crate::{
    facts::{ClaimRef, PersistentVolume},
    text::Text,
};

/// The volumes.
#[derive(Clone, Debug, Default)]
pub(super) struct Volumes {
    pub(super) objects: Table<PersistentVolume<'static>>,
    pub(super) by_claim: Index<PersistentVolume<'static>>,
    /// Under no namespace, by their class string.
    pub(super) unclaimed: Index<PersistentVolume<'static>>,
}

impl Volumes {
    pub(super) fn end_list(&mut self) {
        for gone in self.objects.end_list() {
            self.unindex(&gone);
        }
    }

    pub(super) fn insert(&mut self, volume: PersistentVolume<'static>) {
        let volume = Arc::new(volume);
        if let Some(before) = self.objects.insert(Arc::clone(&volume)) {
            self.unindex(&before);
        }
        if let Some(ClaimRef { namespace, name, .. }) = &volume.spec.claim_ref {
            self.by_claim.insert(namespace, name, &volume);
        } else {
            let class = Text::from(volume.class()).to_shared();
            self.unclaimed.insert(&Text::default(), &class, &volume);
        }
    }

    pub(super) fn remove(&mut self, volume: &PersistentVolume<'static>) {
        if let Some(removed) = self.objects.remove(volume) {
            self.unindex(&removed);
        }
    }

    fn unindex(&mut self, volume: &PersistentVolume<'static>) {
        match &volume.spec.claim_ref {
            Some(ClaimRef { namespace, name, .. }) => self.by_claim.remove(namespace, name, volume),
            None => self.unclaimed.remove("", volume.class(), volume),
        }
    }
}
