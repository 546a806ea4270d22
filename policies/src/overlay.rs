//! A cluster in which one object is another than it is.

use std::{ops::Range, sync::Arc};

use crate::{
    cluster::{Cluster, Lookup, NotSynced},
    facts::{
        Claim, CsiDriver, Exemption, Namespace, Object, PersistentVolume, StorageClass, Workload,
        WorkloadKind,
    },
    ordinal,
    text::{Reduce, Strings},
};

/// The cluster as it is once a class, a volume or a namespace is written, or gone.
pub(crate) struct Overlay<'c> {
    cluster: &'c dyn Cluster,
    name: String,
    object: Overlaid,
}

/// What is there in place of the object of that kind and name; nothing if it is to
/// be gone.
enum Overlaid {
    Class(Option<Arc<StorageClass<'static>>>),
    Volume(Option<Arc<PersistentVolume<'static>>>),
    Namespace(Option<Arc<Namespace<'static>>>),
    Nothing,
}

impl<'c> Overlay<'c> {
    /// The cluster with that object.
    pub(crate) fn with(cluster: &'c dyn Cluster, object: &Object<'_>) -> Self {
        let name = object.metadata().name.to_string();
        let object = match object.clone().into_stored(&mut Strings::default()) {
            Object::Class(class) => Overlaid::Class(Some(Arc::new(class))),
            Object::Volume(volume) => Overlaid::Volume(Some(Arc::new(volume))),
            Object::Namespace(namespace) => Overlaid::Namespace(Some(Arc::new(namespace))),
            _ => Overlaid::Nothing,
        };
        Self { cluster, name, object }
    }

    /// The cluster without it.
    pub(crate) fn without(cluster: &'c dyn Cluster, object: &Object<'_>) -> Self {
        let name = object.metadata().name.to_string();
        let object = match object {
            Object::Class(_) => Overlaid::Class(None),
            Object::Volume(_) => Overlaid::Volume(None),
            Object::Namespace(_) => Overlaid::Namespace(None),
            _ => Overlaid::Nothing,
        };
        Self { cluster, name, object }
    }

    /// The volumes of a list, with the one that is overlaid if it is wanted.
    fn volumes(
        &self,
        listed: Result<Vec<Arc<PersistentVolume<'static>>>, NotSynced>,
        wanted: impl Fn(&PersistentVolume<'static>) -> bool,
    ) -> Result<Vec<Arc<PersistentVolume<'static>>>, NotSynced> {
        let Overlaid::Volume(volume) = &self.object else { return listed };
        let mut listed = listed?;
        listed.retain(|volume| *volume.metadata.name != *self.name);
        listed.extend(volume.iter().filter(|volume| wanted(volume)).cloned());
        Ok(listed)
    }
}

fn found<T>(object: Option<&Arc<T>>) -> Lookup<Arc<T>> {
    object.map_or(Lookup::Missing, |object| Lookup::Found(Arc::clone(object)))
}

impl Cluster for Overlay<'_> {
    fn namespace(&self, name: &str) -> Lookup<Arc<Namespace<'static>>> {
        match &self.object {
            Overlaid::Namespace(namespace) if *name == *self.name => found(namespace.as_ref()),
            _ => self.cluster.namespace(name),
        }
    }

    fn volume(&self, name: &str) -> Lookup<Arc<PersistentVolume<'static>>> {
        match &self.object {
            Overlaid::Volume(volume) if *name == *self.name => found(volume.as_ref()),
            _ => self.cluster.volume(name),
        }
    }

    fn class(&self, name: &str) -> Lookup<Arc<StorageClass<'static>>> {
        match &self.object {
            Overlaid::Class(class) if *name == *self.name => found(class.as_ref()),
            _ => self.cluster.class(name),
        }
    }

    fn classes(&self) -> Result<Vec<Arc<StorageClass<'static>>>, NotSynced> {
        let mut classes = self.cluster.classes()?;
        if let Overlaid::Class(class) = &self.object {
            classes.retain(|class| *class.metadata.name != *self.name);
            classes.extend(class.iter().cloned());
        }
        Ok(classes)
    }

    fn volumes_claimed_by(
        &self,
        namespace: &str,
        claim: &str,
    ) -> Result<Vec<Arc<PersistentVolume<'static>>>, NotSynced> {
        self.volumes(self.cluster.volumes_claimed_by(namespace, claim), |volume| {
            let promised = volume.spec.claim_ref.as_ref();
            promised.is_some_and(|to| to.namespace == *namespace && to.name == *claim)
        })
    }

    fn volumes_claimed_by_numbered(
        &self,
        namespace: &str,
        prefix: &str,
        numbers: Range<u64>,
    ) -> Result<Vec<Arc<PersistentVolume<'static>>>, NotSynced> {
        let listed = self.cluster.volumes_claimed_by_numbered(namespace, prefix, numbers.clone());
        self.volumes(listed, |volume| {
            let promised = volume.spec.claim_ref.as_ref().filter(|to| to.namespace == *namespace);
            let number = promised.and_then(|to| ordinal::read(to.name.strip_prefix(prefix)?));
            number.is_some_and(|number| numbers.contains(&number))
        })
    }

    fn find_volume(
        &self,
        wanted: &dyn Fn(&PersistentVolume<'static>) -> bool,
    ) -> Result<Option<Arc<PersistentVolume<'static>>>, NotSynced> {
        let Overlaid::Volume(volume) = &self.object else {
            return self.cluster.find_volume(wanted);
        };
        if let Some(volume) = volume.as_ref().filter(|volume| wanted(volume)) {
            return Ok(Some(Arc::clone(volume)));
        }
        self.cluster.find_volume(&|volume| *volume.metadata.name != *self.name && wanted(volume))
    }

    fn unclaimed_volumes(
        &self,
        class: &str,
    ) -> Result<Vec<Arc<PersistentVolume<'static>>>, NotSynced> {
        self.volumes(self.cluster.unclaimed_volumes(class), |volume| {
            volume.spec.claim_ref.is_none() && volume.class() == class
        })
    }

    fn claim(&self, namespace: &str, name: &str) -> Lookup<Arc<Claim<'static>>> {
        self.cluster.claim(namespace, name)
    }

    fn numbered_claims(
        &self,
        namespace: &str,
        prefix: &str,
        numbers: Range<u64>,
    ) -> Result<Vec<Arc<Claim<'static>>>, NotSynced> {
        self.cluster.numbered_claims(namespace, prefix, numbers)
    }

    fn claims(&self, namespace: Option<&str>) -> Result<Vec<Arc<Claim<'static>>>, NotSynced> {
        self.cluster.claims(namespace)
    }

    fn csi_driver(&self, name: &str) -> Lookup<Arc<CsiDriver<'static>>> {
        self.cluster.csi_driver(name)
    }

    fn workload(
        &self,
        kind: WorkloadKind,
        namespace: &str,
        name: &str,
    ) -> Lookup<Arc<Workload<'static>>> {
        self.cluster.workload(kind, namespace, name)
    }

    fn workloads(&self, namespace: Option<&str>) -> Result<Vec<Arc<Workload<'static>>>, NotSynced> {
        self.cluster.workloads(namespace)
    }

    fn consumers(
        &self,
        namespace: &str,
        claim: &str,
    ) -> Result<Vec<Arc<Workload<'static>>>, NotSynced> {
        self.cluster.consumers(namespace, claim)
    }

    fn exemptions(&self, namespace: &str) -> Result<Vec<Arc<Exemption<'static>>>, NotSynced> {
        self.cluster.exemptions(namespace)
    }
}
