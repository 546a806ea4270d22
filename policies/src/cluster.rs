//! What the engine may ask about the objects around a subject.

use std::{collections::BTreeSet, fmt, ops::Range, sync::Arc};

use crate::facts::{
    Claim, CsiDriver, Exemption, Kind, Namespace, PersistentVolume, StorageClass, Workload,
    WorkloadKind,
};

/// The cluster around a subject. Implementations answer from memory, at once:
/// what they lack is reported in [`crate::Outcome::missed`] instead of being
/// waited for.
pub trait Cluster {
    /// A namespace by name.
    fn namespace(&self, name: &str) -> Lookup<Arc<Namespace<'static>>>;

    /// A claim by namespace and name.
    fn claim(&self, namespace: &str, name: &str) -> Lookup<Arc<Claim<'static>>>;

    /// The claims of a namespace called `prefix` and one of those numbers, in
    /// that order. Names that are guessed, many of which will not be there:
    /// nobody looks further for them than memory.
    fn numbered_claims(
        &self,
        namespace: &str,
        prefix: &str,
        numbers: Range<u64>,
    ) -> Result<Vec<Arc<Claim<'static>>>, NotSynced>;

    /// A volume by name.
    fn volume(&self, name: &str) -> Lookup<Arc<PersistentVolume<'static>>>;

    /// A storage class by name.
    fn class(&self, name: &str) -> Lookup<Arc<StorageClass<'static>>>;

    /// A CSI driver by name.
    fn csi_driver(&self, name: &str) -> Lookup<Arc<CsiDriver<'static>>>;

    /// A workload by kind, namespace and name.
    fn workload(
        &self,
        kind: WorkloadKind,
        namespace: &str,
        name: &str,
    ) -> Lookup<Arc<Workload<'static>>>;

    /// Every storage class.
    fn classes(&self) -> Result<Vec<Arc<StorageClass<'static>>>, NotSynced>;

    /// The volumes whose `claimRef` names that claim.
    fn volumes_claimed_by(
        &self,
        namespace: &str,
        claim: &str,
    ) -> Result<Vec<Arc<PersistentVolume<'static>>>, NotSynced>;

    /// The volumes whose `claimRef` names a claim called `prefix` and one of those
    /// numbers, in that order; see [`Self::numbered_claims`].
    fn volumes_claimed_by_numbered(
        &self,
        namespace: &str,
        prefix: &str,
        numbers: Range<u64>,
    ) -> Result<Vec<Arc<PersistentVolume<'static>>>, NotSynced>;

    /// Any volume that is `wanted`, after a walk over all of them.
    fn find_volume(
        &self,
        wanted: &dyn Fn(&PersistentVolume<'static>) -> bool,
    ) -> Result<Option<Arc<PersistentVolume<'static>>>, NotSynced>;

    /// The volumes of that class string that no `claimRef` promises to a claim,
    /// whether or not such a class exists.
    fn unclaimed_volumes(
        &self,
        class: &str,
    ) -> Result<Vec<Arc<PersistentVolume<'static>>>, NotSynced>;

    /// The claims of that namespace, or of all.
    fn claims(&self, namespace: Option<&str>) -> Result<Vec<Arc<Claim<'static>>>, NotSynced>;

    /// The workloads of that namespace, or of all.
    fn workloads(&self, namespace: Option<&str>) -> Result<Vec<Arc<Workload<'static>>>, NotSynced>;

    /// The workloads whose pods mount that claim by name.
    fn consumers(
        &self,
        namespace: &str,
        claim: &str,
    ) -> Result<Vec<Arc<Workload<'static>>>, NotSynced>;

    /// The exemptions of a namespace, whether they have ended or not.
    fn exemptions(&self, namespace: &str) -> Result<Vec<Arc<Exemption<'static>>>, NotSynced>;
}

/// The answer to a question about the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lookup<T> {
    /// Here it is.
    Found(T),
    /// There is no such object, as far as memory tells.
    Missing,
    /// Objects of that kind have not been read, so nobody can tell.
    NotSynced,
}

/// Objects of that kind have not all been read, so nobody can list them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotSynced;

/// The name of one object the engine looked for.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// Kind of the object.
    pub kind: Kind,
    /// Its namespace; empty for cluster-scoped kinds.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, namespace, name } = self;
        if namespace.is_empty() {
            write!(f, "{kind} {name}")
        } else {
            write!(f, "{kind} {namespace}/{name}")
        }
    }
}

/// What the engine looked for and did not have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Missed {
    /// Objects that were absent and could change the answer.
    pub keys: BTreeSet<Key>,
    /// Kinds that nothing could be said about. An answer that missed one is no
    /// decision, unless it is settled.
    pub not_synced: BTreeSet<Kind>,
}

impl Missed {
    pub(crate) fn key(&mut self, kind: Kind, namespace: &str, name: &str) {
        self.keys.insert(Key { kind, namespace: namespace.into(), name: name.into() });
    }
}
