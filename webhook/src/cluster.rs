//! The cluster as the guard sees it: caches kept by watches, and look-ups of
//! what they lack.

mod caches;
mod listing;
mod look_up;
mod unserved;
mod watched;

use std::sync::Arc;

use arc_swap::ArcSwap;
use nfs_guard_policies::{
    Key, Snapshot,
    facts::{Kind, Object, WorkloadKind},
};

pub use caches::Caches;
pub(crate) use listing::{ListError, Listing};
pub use look_up::LookUp;

use crate::fault::Fault;

/// The kinds the caches hold; each is watched.
pub const CACHED: [Kind; 14] = [
    Kind::Namespace,
    Kind::Claim,
    Kind::Volume,
    Kind::Class,
    Kind::CsiDriver,
    Kind::Exemption,
    Kind::Workload(WorkloadKind::StatefulSet),
    Kind::Workload(WorkloadKind::Deployment),
    Kind::Workload(WorkloadKind::DaemonSet),
    Kind::Workload(WorkloadKind::ReplicaSet),
    Kind::Workload(WorkloadKind::ReplicationController),
    Kind::Workload(WorkloadKind::Job),
    Kind::Workload(WorkloadKind::CronJob),
    Kind::Workload(WorkloadKind::Pod),
];

/// A cluster to judge in.
#[derive(Clone, Debug)]
pub struct View {
    caches: Arc<ArcSwap<Snapshot>>,
    look_up: Option<Arc<LookUp>>,
}

impl View {
    /// A cluster that never changes and hides nothing.
    #[must_use]
    pub fn fixed(snapshot: Snapshot) -> Self {
        Self { caches: Arc::new(ArcSwap::from_pointee(snapshot)), look_up: None }
    }

    /// A live cluster.
    #[must_use]
    pub fn live(caches: &Caches, look_up: LookUp) -> Self {
        Self { caches: caches.published(), look_up: Some(Arc::new(look_up)) }
    }

    /// A cluster whose caches stand still, and whatever they lack is asked for.
    #[cfg(test)]
    pub(crate) fn lagging(snapshot: Snapshot, look_up: LookUp) -> Self {
        Self { look_up: Some(Arc::new(look_up)), ..Self::fixed(snapshot) }
    }

    /// The cluster at this moment.
    #[must_use]
    pub fn load(&self) -> Arc<Snapshot> {
        self.caches.load_full()
    }

    /// The kinds that have not been read yet.
    #[must_use]
    pub fn unsynced(&self) -> Vec<Kind> {
        let snapshot = self.load();
        CACHED.into_iter().filter(|kind| !snapshot.is_synced(*kind)).collect()
    }

    /// Those of the objects that exist after all. A fixed cluster has no more
    /// to tell than it did.
    ///
    /// # Errors
    /// [`Fault::LookUp`] when the apiserver could not say.
    pub async fn look_up(&self, keys: &[Key]) -> Result<Vec<Object<'static>>, Fault> {
        match &self.look_up {
            Some(look_up) => look_up.all(keys).await,
            None => Ok(Vec::new()),
        }
    }

    /// That object, if it exists after all. The apiserver is asked even if it said a
    /// moment ago that there is none.
    ///
    /// # Errors
    /// [`Fault::LookUp`] when the apiserver could not say.
    pub async fn look_up_afresh(&self, key: &Key) -> Result<Option<Object<'static>>, Fault> {
        match &self.look_up {
            Some(look_up) => look_up.one(key).await,
            None => Ok(None),
        }
    }
}
