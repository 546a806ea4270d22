//! A cluster held in memory: a list of objects, and the live caches.

mod place;
mod table;
mod volumes;
mod workloads;

use std::{ops::Range, sync::Arc};

use self::{table::Table, volumes::Volumes, workloads::Workloads};

use crate::{
    cluster::{Cluster, Lookup, NotSynced},
    facts::{
        Claim, CsiDriver, Exemption, Kind, Namespace, Object, PersistentVolume, StorageClass,
        Workload, WorkloadKind,
    },
};

/// The facts of a cluster at one moment.
///
/// The tables are persistent sets: a clone costs nothing and shares everything,
/// so that a watch can publish a new state for every event while requests read
/// an older one, whole and without a lock.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    namespaces: Table<Namespace<'static>>,
    claims: Table<Claim<'static>>,
    volumes: Volumes,
    classes: Table<StorageClass<'static>>,
    csi_drivers: Table<CsiDriver<'static>>,
    exemptions: Table<Exemption<'static>>,
    /// By kind, in the order of [`WorkloadKind::ALL`].
    workloads: [Workloads; WorkloadKind::ALL.len()],
}

impl Snapshot {
    /// A snapshot of a cluster that is known whole: kinds without an object
    /// are missing, not unread.
    #[must_use]
    pub fn complete() -> Self {
        let mut snapshot = Self::default();
        for kind in Kind::ALL {
            snapshot.replace(kind, []);
        }
        snapshot
    }

    /// Forgets every object of a kind and takes these as all there are.
    pub fn replace(&mut self, kind: Kind, objects: impl IntoIterator<Item = Object<'static>>) {
        self.begin_list(kind);
        for object in objects {
            self.insert(object);
        }
        self.end_list(kind);
    }

    /// A list of all objects of a kind begins; those it names are to be
    /// [confirmed](Self::confirm) or [inserted](Self::insert). Meanwhile all that
    /// was known before still is; of a kind that has never been read, nothing.
    pub fn begin_list(&mut self, kind: Kind) {
        match kind {
            Kind::Namespace => self.namespaces.begin_list(),
            Kind::Claim => self.claims.begin_list(),
            Kind::Volume => self.volumes.objects.begin_list(),
            Kind::Class => self.classes.begin_list(),
            Kind::CsiDriver => self.csi_drivers.begin_list(),
            Kind::Exemption => self.exemptions.begin_list(),
            Kind::Workload(kind) => self.workloads_mut(kind).objects.begin_list(),
        }
    }

    /// The list has ended: what it did not name is forgotten.
    pub fn end_list(&mut self, kind: Kind) {
        match kind {
            Kind::Namespace => drop(self.namespaces.end_list()),
            Kind::Claim => drop(self.claims.end_list()),
            Kind::Volume => self.volumes.end_list(),
            Kind::Class => drop(self.classes.end_list()),
            Kind::CsiDriver => drop(self.csi_drivers.end_list()),
            Kind::Exemption => drop(self.exemptions.end_list()),
            Kind::Workload(kind) => self.workloads_mut(kind).end_list(),
        }
    }

    /// Whether that very state of the object is held, so that it need not be
    /// inserted. If so, it counts as named by the list that is read.
    pub fn confirm(&mut self, object: &Object<'static>) -> bool {
        match object {
            Object::Namespace(object) => self.namespaces.confirm(object),
            Object::Claim(object) => self.claims.confirm(object),
            Object::Class(object) => self.classes.confirm(object),
            Object::CsiDriver(object) => self.csi_drivers.confirm(object),
            Object::Exemption(object) => self.exemptions.confirm(object),
            Object::Volume(volume) => self.volumes.objects.confirm(volume),
            Object::Workload(workload) => {
                self.workloads_mut(workload.kind).objects.confirm(workload)
            }
        }
    }

    /// Adds an object, in place of an older state of it.
    pub fn insert(&mut self, object: Object<'static>) {
        match object {
            Object::Namespace(object) => drop(self.namespaces.insert(Arc::new(object))),
            Object::Claim(object) => drop(self.claims.insert(Arc::new(object))),
            Object::Class(object) => drop(self.classes.insert(Arc::new(object))),
            Object::CsiDriver(object) => drop(self.csi_drivers.insert(Arc::new(object))),
            Object::Exemption(object) => drop(self.exemptions.insert(Arc::new(object))),
            Object::Volume(volume) => self.volumes.insert(volume),
            Object::Workload(workload) => self.workloads_mut(workload.kind).insert(workload),
        }
    }

    /// Removes the object of that kind, namespace and name.
    pub fn remove(&mut self, object: &Object<'static>) {
        match object {
            Object::Namespace(object) => drop(self.namespaces.remove(object)),
            Object::Claim(object) => drop(self.claims.remove(object)),
            Object::Class(object) => drop(self.classes.remove(object)),
            Object::CsiDriver(object) => drop(self.csi_drivers.remove(object)),
            Object::Exemption(object) => drop(self.exemptions.remove(object)),
            Object::Volume(volume) => self.volumes.remove(volume),
            Object::Workload(workload) => self.workloads_mut(workload.kind).remove(workload),
        }
    }

    /// Whether objects of a kind have been read.
    #[must_use]
    pub fn is_synced(&self, kind: Kind) -> bool {
        match kind {
            Kind::Namespace => self.namespaces.is_synced(),
            Kind::Claim => self.claims.is_synced(),
            Kind::Volume => self.volumes.objects.is_synced(),
            Kind::Class => self.classes.is_synced(),
            Kind::CsiDriver => self.csi_drivers.is_synced(),
            Kind::Exemption => self.exemptions.is_synced(),
            Kind::Workload(kind) => self.workloads_of(kind).objects.is_synced(),
        }
    }

    /// How many objects of a kind are held.
    #[must_use]
    pub fn count(&self, kind: Kind) -> usize {
        match kind {
            Kind::Namespace => self.namespaces.len(),
            Kind::Claim => self.claims.len(),
            Kind::Volume => self.volumes.objects.len(),
            Kind::Class => self.classes.len(),
            Kind::CsiDriver => self.csi_drivers.len(),
            Kind::Exemption => self.exemptions.len(),
            Kind::Workload(kind) => self.workloads_of(kind).objects.len(),
        }
    }

    fn workloads_of(&self, kind: WorkloadKind) -> &Workloads {
        &self.workloads[kind as usize]
    }

    fn workloads_mut(&mut self, kind: WorkloadKind) -> &mut Workloads {
        &mut self.workloads[kind as usize]
    }

    /// The workloads of every kind that `of` takes from one; only worth
    /// something when every kind has been read.
    fn every_kind(
        &self,
        of: impl Fn(&Workloads) -> Vec<Arc<Workload<'static>>>,
    ) -> Result<Vec<Arc<Workload<'static>>>, NotSynced> {
        let kinds = WorkloadKind::ALL.into_iter().map(|kind| self.workloads_of(kind));
        let listed: Result<Vec<_>, NotSynced> =
            kinds.map(|workloads| workloads.objects.enumerated(|| of(workloads))).collect();
        listed.map(|listed| listed.concat())
    }
}

impl Cluster for Snapshot {
    fn namespace(&self, name: &str) -> Lookup<Arc<Namespace<'static>>> {
        self.namespaces.get("", name)
    }

    fn claim(&self, namespace: &str, name: &str) -> Lookup<Arc<Claim<'static>>> {
        self.claims.get(namespace, name)
    }

    fn numbered_claims(
        &self,
        namespace: &str,
        prefix: &str,
        numbers: Range<u64>,
    ) -> Result<Vec<Arc<Claim<'static>>>, NotSynced> {
        self.claims.enumerated(|| self.claims.numbered(namespace, prefix, numbers))
    }

    fn volume(&self, name: &str) -> Lookup<Arc<PersistentVolume<'static>>> {
        self.volumes.objects.get("", name)
    }

    fn class(&self, name: &str) -> Lookup<Arc<StorageClass<'static>>> {
        self.classes.get("", name)
    }

    fn csi_driver(&self, name: &str) -> Lookup<Arc<CsiDriver<'static>>> {
        self.csi_drivers.get("", name)
    }

    fn workload(
        &self,
        kind: WorkloadKind,
        namespace: &str,
        name: &str,
    ) -> Lookup<Arc<Workload<'static>>> {
        self.workloads_of(kind).objects.get(namespace, name)
    }

    fn classes(&self) -> Result<Vec<Arc<StorageClass<'static>>>, NotSynced> {
        self.classes.enumerated(|| self.classes.all(None))
    }

    fn volumes_claimed_by(
        &self,
        namespace: &str,
        claim: &str,
    ) -> Result<Vec<Arc<PersistentVolume<'static>>>, NotSynced> {
        self.volumes.objects.enumerated(|| self.volumes.by_claim.get(namespace, claim))
    }

    fn volumes_claimed_by_numbered(
        &self,
        namespace: &str,
        prefix: &str,
        numbers: Range<u64>,
    ) -> Result<Vec<Arc<PersistentVolume<'static>>>, NotSynced> {
        self.volumes
            .objects
            .enumerated(|| self.volumes.by_claim.numbered(namespace, prefix, numbers))
    }

    fn find_volume(
        &self,
        wanted: &dyn Fn(&PersistentVolume<'static>) -> bool,
    ) -> Result<Option<Arc<PersistentVolume<'static>>>, NotSynced> {
        let volumes = &self.volumes.objects;
        volumes.enumerated(|| volumes.iter().find(|volume| wanted(volume)).cloned())
    }

    fn unclaimed_volumes(
        &self,
        class: &str,
    ) -> Result<Vec<Arc<PersistentVolume<'static>>>, NotSynced> {
        self.volumes.objects.enumerated(|| self.volumes.unclaimed.get("", class))
    }

    fn claims(&self, namespace: Option<&str>) -> Result<Vec<Arc<Claim<'static>>>, NotSynced> {
        self.claims.enumerated(|| self.claims.all(namespace))
    }

    fn workloads(&self, namespace: Option<&str>) -> Result<Vec<Arc<Workload<'static>>>, NotSynced> {
        self.every_kind(|workloads| workloads.objects.all(namespace))
    }

    fn consumers(
        &self,
        namespace: &str,
        claim: &str,
    ) -> Result<Vec<Arc<Workload<'static>>>, NotSynced> {
        self.every_kind(|workloads| workloads.by_claim.get(namespace, claim))
    }

    fn exemptions(&self, namespace: &str) -> Result<Vec<Arc<Exemption<'static>>>, NotSynced> {
        self.exemptions.enumerated(|| self.exemptions.all(Some(namespace)))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        testing::{cluster, incident, object, set},
        text::{Reduce, Strings},
    };

    #[test]
    fn an_unread_kind_is_not_the_same_as_a_missing_object() {
        let mut snapshot = Snapshot::default();
        assert!(matches!(snapshot.class("x"), Lookup::NotSynced));
        assert!(matches!(snapshot.classes(), Err(NotSynced)));
        snapshot.begin_list(Kind::Class);
        assert!(matches!(snapshot.class("x"), Lookup::NotSynced), "half a list is no list");
        snapshot.end_list(Kind::Class);
        assert!(matches!(snapshot.class("x"), Lookup::Missing));
        assert!(matches!(snapshot.classes(), Ok(classes) if classes.is_empty()));
    }

    #[test]
    fn indexes_follow_every_change() {
        let stored =
            |manifest: &serde_json::Value| object(manifest).into_stored(&mut Strings::default());
        let volume = |claim: Option<&str>| {
            let promised = claim.map(|claim| json!({"namespace": "vault", "name": claim}));
            json!({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "v"}, "spec": {
                "claimRef": promised, "storageClassName": "nfs-truenas",
            }})
        };
        let mut snapshot = Snapshot::complete();
        let claimed =
            |snapshot: &Snapshot, claim| snapshot.volumes_claimed_by("vault", claim).unwrap().len();
        let unclaimed =
            |snapshot: &Snapshot| snapshot.unclaimed_volumes("nfs-truenas").unwrap().len();
        snapshot.insert(stored(&volume(Some("a"))));
        let before = snapshot.clone();
        snapshot.insert(stored(&volume(Some("b"))));
        assert_eq!((claimed(&snapshot, "a"), claimed(&snapshot, "b")), (0, 1));
        assert_eq!((claimed(&before, "a"), claimed(&before, "b")), (1, 0), "a clone is a moment");
        assert_eq!(unclaimed(&snapshot), 0);
        snapshot.insert(stored(&volume(None)));
        assert_eq!((claimed(&snapshot, "b"), unclaimed(&snapshot)), (0, 1));
        snapshot.remove(&stored(&volume(Some("b"))));
        assert_eq!((unclaimed(&snapshot), snapshot.count(Kind::Volume)), (0, 0));
    }

    #[test]
    fn finds_who_mounts_a_claim() {
        let mut manifest =
            set(&[], &json!([{"name": "d", "persistentVolumeClaim": {"claimName": "shared"}}]));
        manifest["metadata"]["namespace"] = json!("vault");
        let mut objects = incident();
        objects.push(manifest);
        let snapshot = cluster(&objects);
        let consumers = snapshot.consumers("vault", "shared").unwrap();
        assert_eq!(consumers[0].metadata.name, *"vault");
        assert!(matches!(snapshot.consumers("web", "shared"), Ok(found) if found.is_empty()));
        assert!(matches!(snapshot.workloads(Some("vault")), Ok(found) if found.len() == 1));
        assert!(matches!(
            snapshot.workload(WorkloadKind::StatefulSet, "vault", "vault"),
            Lookup::Found(_)
        ));
    }
}
