//! What the cluster is asked, and account of what it does not know.

use std::sync::Arc;

use super::Resolver;
use crate::{
    backing::Unknown,
    cluster::{Lookup, Missed, NotSynced},
    facts::{Claim, Exemption, Kind, Namespace, Workload, WorkloadKind},
};

impl Resolver<'_> {
    /// A namespace's labels; none when there is no such namespace.
    pub(crate) fn namespace(&self, name: &str) -> Option<Arc<Namespace<'static>>> {
        self.found(Kind::Namespace, "", name, self.cluster.namespace(name)).ok().flatten()
    }

    /// A claim by name, if it is there.
    pub(crate) fn claim_called(&self, namespace: &str, name: &str) -> Option<Arc<Claim<'static>>> {
        let claim = self.cluster.claim(namespace, name);
        self.found(Kind::Claim, namespace, name, claim).ok().flatten()
    }

    /// The exemptions of a namespace.
    pub(crate) fn exemptions(&self, namespace: &str) -> Vec<Arc<Exemption<'static>>> {
        let exemptions = self.cluster.exemptions(namespace);
        self.enumerated(Kind::Exemption, exemptions).unwrap_or_default()
    }

    /// The claims of that namespace, or of all.
    pub(crate) fn claims_of(&self, namespace: Option<&str>) -> Vec<Arc<Claim<'static>>> {
        self.enumerated(Kind::Claim, self.cluster.claims(namespace)).unwrap_or_default()
    }

    /// The workloads of that namespace, or of all.
    pub(crate) fn workloads_of(&self, namespace: Option<&str>) -> Vec<Arc<Workload<'static>>> {
        self.cluster.workloads(namespace).unwrap_or_else(|NotSynced| {
            self.not_synced_workloads();
            Vec::new()
        })
    }

    /// The object, or none if there is none; notes what the caches do not hold.
    pub(crate) fn found<T>(
        &self,
        kind: Kind,
        namespace: &str,
        name: &str,
        answer: Lookup<T>,
    ) -> Result<Option<T>, Unknown> {
        match answer {
            Lookup::Found(object) => Ok(Some(object)),
            Lookup::Missing => {
                self.missed.borrow_mut().key(kind, namespace, name);
                Ok(None)
            }
            Lookup::NotSynced => Err(self.not_synced(kind)),
        }
    }

    /// The objects; notes if their kind has not been read.
    pub(crate) fn enumerated<T>(
        &self,
        kind: Kind,
        answer: Result<Vec<T>, NotSynced>,
    ) -> Result<Vec<T>, Unknown> {
        answer.map_err(|NotSynced| self.not_synced(kind))
    }

    /// Notes that what the caches hold under that name need not be what is there.
    pub(crate) fn outdated(&self, kind: Kind, namespace: &str, name: &str) {
        self.missed.borrow_mut().key(kind, namespace, name);
    }

    /// Notes that a kind has not been read.
    pub(crate) fn not_synced(&self, kind: Kind) -> Unknown {
        self.missed.borrow_mut().not_synced.insert(kind);
        Unknown::NotSynced(kind.resource())
    }

    /// Notes that no kind of workload can be told to have been read.
    pub(crate) fn not_synced_workloads(&self) {
        for kind in WorkloadKind::ALL {
            self.not_synced(Kind::Workload(kind));
        }
    }

    /// All that was lacking.
    pub(crate) fn into_missed(self) -> Missed {
        self.missed.into_inner()
    }

    /// Takes over which kinds another had not read, and nothing else that it lacked.
    pub(crate) fn also_not_synced(&self, other: Resolver<'_>) {
        self.missed.borrow_mut().not_synced.extend(other.into_missed().not_synced);
    }
}
