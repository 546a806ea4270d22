//! A cluster held in memory: a list of objects, and the live caches.

mod table;

use std::{ops::Range, sync::Arc};

use table::{Index, ObjectKey, Table};

use crate::{
    cluster::{Cluster, Lookup, NotSynced},
    facts::{
        Claim, ClaimRef, CsiDriver, Exemption, Kind, Namespace, Object, PersistentVolume,
        PodVolumeSource, StorageClass, Workload, WorkloadKind,
    },
    text::Text,
};

/// The facts of a cluster at one moment.
///
/// The tables are persistent maps: a clone costs nothing and shares everything,
/// so that a watch can publish a new state for every event while requests read
/// an older one, whole and without a lock.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    namespaces: Table<Namespace<'static>>,
    claims: Table<Claim<'static>>,
    volumes: Table<PersistentVolume<'static>>,
    volumes_by_claim: Index<PersistentVolume<'static>>,
    unclaimed_volumes: Index<PersistentVolume<'static>>,
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
        match kind {
            Kind::Namespace => self.namespaces = Table::synced(),
            Kind::Claim => self.claims = Table::synced(),
            Kind::Class => self.classes = Table::synced(),
            Kind::CsiDriver => self.csi_drivers = Table::synced(),
            Kind::Exemption => self.exemptions = Table::synced(),
            Kind::Volume => {
                self.volumes = Table::synced();
                self.volumes_by_claim = Index::default();
                self.unclaimed_volumes = Index::default();
            }
            Kind::Workload(kind) => {
                *self.workloads_mut(kind) =
                    Workloads { objects: Table::synced(), by_claim: Index::default() };
            }
        }
        for object in objects {
            self.insert(object);
        }
    }

    /// Adds an object, in place of an older state of it.
    pub fn insert(&mut self, object: Object<'static>) {
        self.remove(&object);
        let key = ObjectKey::of(&object);
        match object {
            Object::Namespace(object) => self.namespaces.insert(&key, Arc::new(object)),
            Object::Claim(object) => self.claims.insert(&key, Arc::new(object)),
            Object::Class(object) => self.classes.insert(&key, Arc::new(object)),
            Object::CsiDriver(object) => self.csi_drivers.insert(&key, Arc::new(object)),
            Object::Exemption(object) => self.exemptions.insert(&key, Arc::new(object)),
            Object::Volume(volume) => {
                let volume = Arc::new(volume);
                match &volume.spec.claim_ref {
                    Some(ClaimRef { namespace, name, .. }) => {
                        self.volumes_by_claim.insert(namespace, name, &key, &volume);
                    }
                    None => self.unclaimed_volumes.insert("", volume.class(), &key, &volume),
                }
                self.volumes.insert(&key, volume);
            }
            Object::Workload(workload) => {
                let workload = Arc::new(workload);
                let workloads = self.workloads_mut(workload.kind);
                for claim in mounted_claims(&workload) {
                    workloads.by_claim.insert(&key.namespace, claim, &key, &workload);
                }
                workloads.objects.insert(&key, workload);
            }
        }
    }

    /// Removes the object of that kind, namespace and name.
    pub fn remove(&mut self, object: &Object<'static>) {
        let key = ObjectKey::of(object);
        match object {
            Object::Namespace(_) => drop(self.namespaces.remove(&key)),
            Object::Claim(_) => drop(self.claims.remove(&key)),
            Object::Class(_) => drop(self.classes.remove(&key)),
            Object::CsiDriver(_) => drop(self.csi_drivers.remove(&key)),
            Object::Exemption(_) => drop(self.exemptions.remove(&key)),
            Object::Volume(_) => {
                if let Some(volume) = self.volumes.remove(&key) {
                    match &volume.spec.claim_ref {
                        Some(ClaimRef { namespace, name, .. }) => {
                            self.volumes_by_claim.remove(namespace, name, &key);
                        }
                        None => self.unclaimed_volumes.remove("", volume.class(), &key),
                    }
                }
            }
            Object::Workload(workload) => {
                let workloads = self.workloads_mut(workload.kind);
                if let Some(workload) = workloads.objects.remove(&key) {
                    for claim in mounted_claims(&workload) {
                        workloads.by_claim.remove(&key.namespace, claim, &key);
                    }
                }
            }
        }
    }

    /// Whether objects of a kind have been read.
    #[must_use]
    pub fn is_synced(&self, kind: Kind) -> bool {
        match kind {
            Kind::Namespace => self.namespaces.is_synced(),
            Kind::Claim => self.claims.is_synced(),
            Kind::Volume => self.volumes.is_synced(),
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
            Kind::Volume => self.volumes.len(),
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
        self.volumes.get("", name)
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
        self.classes.enumerated(|| self.classes.all(""))
    }

    fn volumes_claimed_by(
        &self,
        namespace: &str,
        claim: &str,
    ) -> Result<Vec<Arc<PersistentVolume<'static>>>, NotSynced> {
        self.volumes.enumerated(|| self.volumes_by_claim.get(namespace, claim))
    }

    fn volumes_claimed_by_numbered(
        &self,
        namespace: &str,
        prefix: &str,
        numbers: Range<u64>,
    ) -> Result<Vec<Arc<PersistentVolume<'static>>>, NotSynced> {
        self.volumes.enumerated(|| self.volumes_by_claim.numbered(namespace, prefix, numbers))
    }

    fn find_volume(
        &self,
        wanted: &dyn Fn(&PersistentVolume<'static>) -> bool,
    ) -> Result<Option<Arc<PersistentVolume<'static>>>, NotSynced> {
        let listed = self.volumes.enumerated(|| self.volumes.all(""))?;
        Ok(listed.into_iter().find(|volume| wanted(volume)))
    }

    fn unclaimed_volumes(
        &self,
        class: &str,
    ) -> Result<Vec<Arc<PersistentVolume<'static>>>, NotSynced> {
        self.volumes.enumerated(|| self.unclaimed_volumes.get("", class))
    }

    fn claims(&self, namespace: Option<&str>) -> Result<Vec<Arc<Claim<'static>>>, NotSynced> {
        self.claims.enumerated(|| self.claims.all_of(namespace))
    }

    fn workloads(&self, namespace: Option<&str>) -> Result<Vec<Arc<Workload<'static>>>, NotSynced> {
        self.every_kind(|workloads| workloads.objects.all_of(namespace))
    }

    fn consumers(
        &self,
        namespace: &str,
        claim: &str,
    ) -> Result<Vec<Arc<Workload<'static>>>, NotSynced> {
        self.every_kind(|workloads| workloads.by_claim.get(namespace, claim))
    }

    fn exemptions(&self, namespace: &str) -> Result<Vec<Arc<Exemption<'static>>>, NotSynced> {
        self.exemptions.enumerated(|| self.exemptions.all(namespace))
    }
}

fn mounted_claims<'w>(workload: &'w Workload<'static>) -> impl Iterator<Item = &'w Text<'static>> {
    workload.template.spec.volumes.iter().filter_map(|volume| match &volume.source {
        Some(PodVolumeSource::Claim(claim)) => Some(&claim.claim_name),
        _ => None,
    })
}

/// Workloads of one kind.
#[derive(Clone, Debug, Default)]
struct Workloads {
    objects: Table<Workload<'static>>,
    by_claim: Index<Workload<'static>>,
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
        snapshot.replace(Kind::Class, []);
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
