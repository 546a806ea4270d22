//! A cluster held in memory: a list of objects, and the live caches.

use std::sync::Arc;

use imbl::HashMap;

use crate::{
    cluster::{Cluster, Lookup},
    facts::{
        Claim, Kind, Namespace, Object, PersistentVolume, PodVolumeSource, StorageClass, Workload,
        WorkloadKind,
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
    classes: Table<StorageClass<'static>>,
    workloads: Table<Workload<'static>>,
    volumes_by_claim: Index<PersistentVolume<'static>>,
    volumes_by_class: Index<PersistentVolume<'static>>,
    workloads_by_claim: Index<Workload<'static>>,
}

impl Snapshot {
    /// A snapshot of a cluster that is known whole: kinds without an object
    /// are missing, not unread.
    #[must_use]
    pub fn complete() -> Self {
        let mut snapshot = Self::default();
        snapshot.namespaces.synced = true;
        snapshot.claims.synced = true;
        snapshot.volumes.synced = true;
        snapshot.classes.synced = true;
        snapshot.workloads.synced = true;
        snapshot
    }

    /// Forgets every object of a kind and takes these as all there are.
    pub fn replace(&mut self, kind: Kind, objects: impl IntoIterator<Item = Object<'static>>) {
        match kind {
            Kind::Namespace => self.namespaces = Table::synced(),
            Kind::Claim => self.claims = Table::synced(),
            Kind::Class => self.classes = Table::synced(),
            Kind::Volume => {
                self.volumes = Table::synced();
                self.volumes_by_claim = Index::default();
                self.volumes_by_class = Index::default();
            }
            Kind::Workload(_) => {
                self.workloads = Table::synced();
                self.workloads_by_claim = Index::default();
            }
        }
        for object in objects {
            self.insert(object);
        }
    }

    /// Adds an object, in place of an older state of it.
    pub fn insert(&mut self, object: Object<'static>) {
        self.remove(&object);
        let metadata = object.metadata();
        let namespace = metadata.namespace.clone().unwrap_or_default();
        let name = metadata.name.clone();
        match object {
            Object::Namespace(object) => self.namespaces.insert(namespace, name, Arc::new(object)),
            Object::Claim(object) => self.claims.insert(namespace, name, Arc::new(object)),
            Object::Class(object) => self.classes.insert(namespace, name, Arc::new(object)),
            Object::Volume(volume) => {
                let volume = Arc::new(volume);
                if let Some(claim) = &volume.spec.claim_ref {
                    let key = (claim.namespace.to_shared(), claim.name.to_shared());
                    self.volumes_by_claim.insert(key, Arc::clone(&volume));
                }
                let class = Text::from(volume.class()).to_shared();
                self.volumes_by_class.insert((Text::default(), class), Arc::clone(&volume));
                self.volumes.insert(namespace, name, volume);
            }
            Object::Workload(workload) => {
                let workload = Arc::new(workload);
                for claim in mounted_claims(&workload) {
                    let key = (namespace.clone(), claim.to_shared());
                    self.workloads_by_claim.insert(key, Arc::clone(&workload));
                }
                self.workloads.insert(namespace, workload_key(workload.kind, &name), workload);
            }
        }
    }

    /// Removes the object of that kind, namespace and name.
    pub fn remove(&mut self, object: &Object<'static>) {
        let metadata = object.metadata();
        let namespace = metadata.namespace.as_deref().unwrap_or_default();
        let name = &*metadata.name;
        match object {
            Object::Namespace(_) => drop(self.namespaces.remove(namespace, name)),
            Object::Claim(_) => drop(self.claims.remove(namespace, name)),
            Object::Class(_) => drop(self.classes.remove(namespace, name)),
            Object::Volume(_) => {
                if let Some(volume) = self.volumes.remove(namespace, name) {
                    if let Some(claim) = &volume.spec.claim_ref {
                        self.volumes_by_claim.remove(&claim.namespace, &claim.name, &volume);
                    }
                    self.volumes_by_class.remove("", volume.class(), &volume);
                }
            }
            Object::Workload(workload) => {
                let key = workload_key(workload.kind, name);
                if let Some(workload) = self.workloads.remove(namespace, &key) {
                    for claim in mounted_claims(&workload) {
                        self.workloads_by_claim.remove(namespace, claim, &workload);
                    }
                }
            }
        }
    }

    /// Whether objects of a kind have been read.
    #[must_use]
    pub fn is_synced(&self, kind: Kind) -> bool {
        match kind {
            Kind::Namespace => self.namespaces.synced,
            Kind::Claim => self.claims.synced,
            Kind::Volume => self.volumes.synced,
            Kind::Class => self.classes.synced,
            Kind::Workload(_) => self.workloads.synced,
        }
    }

    /// How many objects of a kind are held; all workloads count as one kind.
    #[must_use]
    pub fn count(&self, kind: Kind) -> usize {
        match kind {
            Kind::Namespace => self.namespaces.len(),
            Kind::Claim => self.claims.len(),
            Kind::Volume => self.volumes.len(),
            Kind::Class => self.classes.len(),
            Kind::Workload(_) => self.workloads.len(),
        }
    }
}

impl Cluster for Snapshot {
    fn namespace(&self, name: &str) -> Lookup<Arc<Namespace<'static>>> {
        self.namespaces.get("", name)
    }

    fn claim(&self, namespace: &str, name: &str) -> Lookup<Arc<Claim<'static>>> {
        self.claims.get(namespace, name)
    }

    fn volume(&self, name: &str) -> Lookup<Arc<PersistentVolume<'static>>> {
        self.volumes.get("", name)
    }

    fn class(&self, name: &str) -> Lookup<Arc<StorageClass<'static>>> {
        self.classes.get("", name)
    }

    fn workload(
        &self,
        kind: WorkloadKind,
        namespace: &str,
        name: &str,
    ) -> Lookup<Arc<Workload<'static>>> {
        self.workloads.get(namespace, &workload_key(kind, name))
    }

    fn classes(&self) -> Lookup<Vec<Arc<StorageClass<'static>>>> {
        self.classes.all("")
    }

    fn volumes_claimed_by(
        &self,
        namespace: &str,
        claim: &str,
    ) -> Lookup<Vec<Arc<PersistentVolume<'static>>>> {
        self.volumes.enumerated(|| self.volumes_by_claim.get(namespace, claim))
    }

    fn volumes_of_class(&self, class: &str) -> Lookup<Vec<Arc<PersistentVolume<'static>>>> {
        self.volumes.enumerated(|| self.volumes_by_class.get("", class))
    }

    fn workloads(&self, namespace: &str) -> Lookup<Vec<Arc<Workload<'static>>>> {
        self.workloads.all(namespace)
    }

    fn consumers(&self, namespace: &str, claim: &str) -> Lookup<Vec<Arc<Workload<'static>>>> {
        self.workloads.enumerated(|| self.workloads_by_claim.get(namespace, claim))
    }
}

fn mounted_claims<'w>(workload: &'w Workload<'static>) -> impl Iterator<Item = &'w Text<'static>> {
    workload.template.spec.volumes.iter().filter_map(|volume| match &volume.source {
        Some(PodVolumeSource::Claim(claim)) => Some(claim),
        _ => None,
    })
}

/// Workloads of all kinds share a table; a name is unique within its kind only.
fn workload_key(kind: WorkloadKind, name: &str) -> Text<'static> {
    format!("{}/{name}", Kind::Workload(kind).resource()).into()
}

type ByName<T> = HashMap<Text<'static>, T>;

/// Objects of one kind, by namespace and name.
#[derive(Debug)]
struct Table<T> {
    synced: bool,
    objects: HashMap<Text<'static>, ByName<Arc<T>>>,
}

impl<T> Table<T> {
    fn synced() -> Self {
        Self { synced: true, objects: HashMap::new() }
    }

    fn get(&self, namespace: &str, name: &str) -> Lookup<Arc<T>> {
        match self.objects.get(namespace).and_then(|objects| objects.get(name)) {
            Some(object) => Lookup::Found(Arc::clone(object)),
            None if self.synced => Lookup::Missing,
            None => Lookup::NotSynced,
        }
    }

    /// All objects of a namespace, in the order of their names.
    fn all(&self, namespace: &str) -> Lookup<Vec<Arc<T>>> {
        self.enumerated(|| {
            let objects = self.objects.get(namespace).into_iter().flatten();
            let mut objects: Vec<_> = objects.collect();
            objects.sort_by_key(|(name, _)| name.as_str());
            objects.into_iter().map(|(_, object)| Arc::clone(object)).collect()
        })
    }

    /// An enumeration is only worth something when nothing is left to read.
    fn enumerated<U>(&self, objects: impl FnOnce() -> Vec<Arc<U>>) -> Lookup<Vec<Arc<U>>> {
        if self.synced { Lookup::Found(objects()) } else { Lookup::NotSynced }
    }

    fn insert(&mut self, namespace: Text<'static>, name: Text<'static>, object: Arc<T>) {
        self.objects.entry(namespace).or_default().insert(name, object);
    }

    fn remove(&mut self, namespace: &str, name: &str) -> Option<Arc<T>> {
        let objects = self.objects.get_mut(namespace)?;
        let removed = objects.remove(name);
        if objects.is_empty() {
            self.objects.remove(namespace);
        }
        removed
    }

    fn len(&self) -> usize {
        self.objects.values().map(HashMap::len).sum()
    }
}

impl<T> Clone for Table<T> {
    fn clone(&self) -> Self {
        Self { synced: self.synced, objects: self.objects.clone() }
    }
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self { synced: false, objects: HashMap::new() }
    }
}

/// Objects by something other than their name.
#[derive(Debug)]
struct Index<T>(HashMap<Text<'static>, ByName<Vec<Arc<T>>>>);

impl<T> Index<T> {
    fn get(&self, namespace: &str, key: &str) -> Vec<Arc<T>> {
        self.0.get(namespace).and_then(|entries| entries.get(key)).cloned().unwrap_or_default()
    }

    fn insert(&mut self, (namespace, key): (Text<'static>, Text<'static>), object: Arc<T>) {
        self.0.entry(namespace).or_default().entry(key).or_default().push(object);
    }

    fn remove(&mut self, namespace: &str, key: &str, object: &Arc<T>) {
        let Some(entries) = self.0.get_mut(namespace) else { return };
        if let Some(objects) = entries.get_mut(key) {
            objects.retain(|held| !Arc::ptr_eq(held, object));
            if objects.is_empty() {
                entries.remove(key);
            }
        }
        if entries.is_empty() {
            self.0.remove(namespace);
        }
    }
}

impl<T> Clone for Index<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> Default for Index<T> {
    fn default() -> Self {
        Self(HashMap::new())
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
        assert!(matches!(snapshot.classes(), Lookup::NotSynced));
        snapshot.replace(Kind::Class, []);
        assert!(matches!(snapshot.class("x"), Lookup::Missing));
        assert!(matches!(snapshot.classes(), Lookup::Found(classes) if classes.is_empty()));
    }

    #[test]
    fn indexes_follow_every_change() {
        let stored =
            |manifest: &serde_json::Value| object(manifest).into_stored(&mut Strings::default());
        let volume = |claim: &str| {
            json!({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "v"}, "spec": {
                "claimRef": {"namespace": "vault", "name": claim}, "storageClassName": "nfs-truenas",
            }})
        };
        let mut snapshot = Snapshot::complete();
        let claimed = |snapshot: &Snapshot, claim| match snapshot.volumes_claimed_by("vault", claim)
        {
            Lookup::Found(volumes) => volumes.len(),
            _ => panic!("volumes are synced"),
        };
        snapshot.insert(stored(&volume("a")));
        let before = snapshot.clone();
        snapshot.insert(stored(&volume("b")));
        assert_eq!((claimed(&snapshot, "a"), claimed(&snapshot, "b")), (0, 1));
        assert_eq!((claimed(&before, "a"), claimed(&before, "b")), (1, 0), "a clone is a moment");
        assert!(
            matches!(snapshot.volumes_of_class("nfs-truenas"), Lookup::Found(found) if found.len() == 1)
        );
        snapshot.remove(&stored(&volume("b")));
        assert_eq!((claimed(&snapshot, "b"), snapshot.count(Kind::Volume)), (0, 0));
        assert!(
            matches!(snapshot.volumes_of_class("nfs-truenas"), Lookup::Found(found) if found.is_empty())
        );
    }

    #[test]
    fn finds_who_mounts_a_claim() {
        let mut manifest =
            set(&[], &json!([{"name": "d", "persistentVolumeClaim": {"claimName": "shared"}}]));
        manifest["metadata"]["namespace"] = json!("vault");
        let mut objects = incident();
        objects.push(manifest);
        let snapshot = cluster(&objects);
        let Lookup::Found(consumers) = snapshot.consumers("vault", "shared") else {
            panic!("synced")
        };
        assert_eq!(consumers[0].metadata.name, *"vault");
        assert!(
            matches!(snapshot.consumers("web", "shared"), Lookup::Found(found) if found.is_empty())
        );
        assert!(matches!(snapshot.workloads("vault"), Lookup::Found(found) if found.len() == 1));
        assert!(matches!(
            snapshot.workload(WorkloadKind::StatefulSet, "vault", "vault"),
            Lookup::Found(_)
        ));
    }
}
