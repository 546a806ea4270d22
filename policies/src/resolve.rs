//! From a subject's volumes to the storage under them.
//!
//! The order of authority is Kubernetes' own: the pod's volume source, then the
//! claim, then the volume it is bound or promised to, then the class.

use std::{cell::RefCell, collections::HashSet, sync::Arc};

use crate::{
    backing::{Backing, Hop, Kind, Nfs, Resolved, Unknown},
    catalogue::{
        Catalogue, Driver, Probe,
        signals::{self, Signal},
    },
    cluster::{Cluster, Lookup, Missed, NotSynced},
    facts::{
        self, Claim, ClassReference, CsiSource, NfsSource, Object, PersistentVolume,
        PersistentVolumeSource, PodVolume, PodVolumeSource, StorageClass, StringMap, VolumeMode,
        Workload,
    },
    in_tree::{self, InTree},
    text::Text,
};

/// Finds out what volumes end up on, and keeps account of what it would have
/// needed to know.
pub struct Resolver<'c> {
    cluster: &'c dyn Cluster,
    catalogue: &'c Catalogue,
    missed: RefCell<Missed>,
}

/// One volume of a subject.
#[derive(Debug)]
pub struct Volume<'s> {
    /// Its name: of the template, the pod's volume, or the claim.
    pub name: &'s str,
    /// Where in the subject it is written.
    pub field: String,
    /// What it ends up on.
    pub resolved: Resolved,
    /// The claim that asks for it, where the subject holds it.
    pub claim: Option<&'s Claim<'s>>,
}

impl<'c> Resolver<'c> {
    pub(crate) fn new(cluster: &'c dyn Cluster, catalogue: &'c Catalogue) -> Self {
        Self { cluster, catalogue, missed: RefCell::default() }
    }

    pub(crate) fn into_missed(self) -> Missed {
        self.missed.into_inner()
    }

    /// Every persistent volume of an object of that namespace.
    #[must_use]
    pub fn volumes<'s>(&self, namespace: &str, object: &'s Object<'s>) -> Vec<Volume<'s>> {
        match object {
            Object::Workload(workload) => self.workload(namespace, workload),
            Object::Claim(claim) => vec![self.own_claim(namespace, claim)],
            Object::Volume(_) | Object::Class(_) | Object::Namespace(_) => Vec::new(),
        }
    }

    /// The classes of the cluster that would put this claim on storage that
    /// `passes`, by name.
    #[must_use]
    pub fn classes_for(&self, claim: &Claim<'_>, passes: impl Fn(Kind) -> bool) -> Vec<String> {
        let Ok(classes) = self.classes() else { return Vec::new() };
        let fits =
            classes.iter().filter(|class| passes(self.class(class, claim, &mut Vec::new()).kind()));
        fits.map(|class| class.metadata.name.to_string()).collect()
    }

    /// A namespace's labels; none when there is no such namespace.
    pub(crate) fn namespace(&self, name: &str) -> Option<Arc<facts::Namespace<'static>>> {
        self.found(facts::Kind::Namespace, "", name, self.cluster.namespace(name)).ok().flatten()
    }

    /// Whether a volume of that name is promised to that claim.
    pub(crate) fn promised(&self, volume: &str, namespace: &str, claim: &Claim<'_>) -> bool {
        let volume = self.found(facts::Kind::Volume, "", volume, self.cluster.volume(volume));
        let uid = claim.metadata.uid.as_deref();
        matches!(volume, Ok(Some(volume)) if volume.names_claim(namespace, &claim.metadata.name, uid))
    }

    fn workload<'s>(&self, namespace: &str, workload: &'s Workload<'s>) -> Vec<Volume<'s>> {
        let templates = workload.claim_templates.iter().enumerate().map(|(at, claim)| {
            let name = &*claim.metadata.name;
            let mut hops = vec![Hop::ClaimTemplate(name.into())];
            let backing = self.claim(namespace, None, claim, &mut hops);
            Volume {
                name,
                field: format!("spec.volumeClaimTemplates[{at}]"),
                resolved: Resolved { hops, backing },
                claim: Some(claim),
            }
        });
        let inline = workload.template.spec.volumes.iter().enumerate();
        // The controller replaces a pod's volume by the claim template of the
        // same name (`updateStorage` in `stateful_set_utils.go`).
        let replaced: HashSet<&str> =
            workload.claim_templates.iter().map(|claim| &*claim.metadata.name).collect();
        let inline = inline.filter(|(_, volume)| !replaced.contains(&*volume.name));
        let inline = inline.filter_map(|(at, volume)| {
            self.pod_volume(namespace, volume, format!("spec.template.spec.volumes[{at}]"))
        });
        templates.chain(inline).collect()
    }

    /// `None` for a volume that does not outlive the pod.
    fn pod_volume<'s>(
        &self,
        namespace: &str,
        volume: &'s PodVolume<'s>,
        field: String,
    ) -> Option<Volume<'s>> {
        let mut hops = vec![Hop::PodVolume(volume.name.to_string())];
        let mut own_claim = None;
        let backing = match &volume.source {
            None => Backing::Unknown(Unknown::NoSource),
            Some(PodVolumeSource::Nfs(nfs)) => in_tree_nfs(nfs, &[], &mut hops),
            Some(PodVolumeSource::Csi(csi)) => self.csi(csi, &Probe::default(), &[], &mut hops),
            Some(PodVolumeSource::Ephemeral(claim)) => {
                own_claim = Some(&**claim);
                self.claim(namespace, None, claim, &mut hops)
            }
            Some(PodVolumeSource::Claim(name)) => {
                hops.push(Hop::Claim(name.to_string()));
                self.claim_by_name(namespace, name, &mut hops)
            }
            Some(PodVolumeSource::Other(source)) => match in_tree::find(source) {
                Some(InTree::Ephemeral) => return None,
                known => in_tree_source(known, source, &mut hops),
            },
        };
        let resolved = Resolved { hops, backing };
        Some(Volume { name: &volume.name, field, resolved, claim: own_claim })
    }

    fn own_claim<'s>(&self, namespace: &str, claim: &'s Claim<'s>) -> Volume<'s> {
        let name = claim.metadata.display_name();
        let mut hops = vec![Hop::Claim(name.into())];
        let backing = self.claim(namespace, Some(name), claim, &mut hops);
        let field = if claim.volume_name().is_some() { "volumeName" } else { "storageClassName" };
        Volume {
            name,
            field: format!("spec.{field}"),
            resolved: Resolved { hops, backing },
            claim: Some(claim),
        }
    }

    fn claim_by_name(&self, namespace: &str, name: &str, hops: &mut Vec<Hop>) -> Backing {
        let claim = self.cluster.claim(namespace, name);
        match self.found(facts::Kind::Claim, namespace, name, claim) {
            Ok(Some(claim)) => self.claim(namespace, Some(name), &claim, hops),
            Ok(None) => Backing::Unknown(Unknown::NoSuchClaim(name.into())),
            Err(unknown) => Backing::Unknown(unknown),
        }
    }

    /// `name` is absent for a template: no volume can be promised to a claim
    /// that has no name yet.
    fn claim(
        &self,
        namespace: &str,
        name: Option<&str>,
        claim: &Claim<'_>,
        hops: &mut Vec<Hop>,
    ) -> Backing {
        if let Some(volume) = claim.volume_name() {
            hops.push(Hop::Volume(volume.into()));
            let volume_facts = self.cluster.volume(volume);
            return match self.found(facts::Kind::Volume, "", volume, volume_facts) {
                Ok(Some(volume)) => self.volume(&volume, hops),
                Ok(None) => Backing::Unknown(Unknown::NoSuchVolume(volume.into())),
                Err(unknown) => Backing::Unknown(unknown),
            };
        }
        match name.map_or(Ok(Vec::new()), |name| self.promised_volumes(namespace, name, claim)) {
            Ok(volumes) => self.worst_of(&volumes, hops).unwrap_or_else(|| {
                let backing = self.claim_by_class(claim, hops);
                // A device handed over raw is no mount, unless its driver is known
                // to make it of one. Of a volume that exists, its own mode counts:
                // the kubelet mounts by that.
                match backing {
                    Backing::Unknown(_) if claim.spec.volume_mode == VolumeMode::Block => {
                        Backing::Other(Kind::Block)
                    }
                    backing => backing,
                }
            }),
            Err(unknown) => Backing::Unknown(unknown),
        }
    }

    /// The volumes whose claimRef names the claim: one of them is bound whatever
    /// class it or the claim names (`FindMatchingVolume` in `pv_helpers.go`).
    fn promised_volumes(
        &self,
        namespace: &str,
        name: &str,
        claim: &Claim<'_>,
    ) -> Result<Vec<Arc<PersistentVolume<'static>>>, Unknown> {
        let volumes = self.cluster.volumes_claimed_by(namespace, name);
        let mut volumes = self.enumerated(facts::Kind::Volume, volumes)?;
        let uid = claim.metadata.uid.as_deref();
        volumes.retain(|volume| {
            let metadata = &volume.metadata;
            metadata.deletion_timestamp.is_none() && volume.names_claim(namespace, name, uid)
        });
        Ok(volumes)
    }

    /// Which of several promised volumes will be bound depends on sizes and
    /// modes; until it is, the worst of them counts.
    fn worst_of(
        &self,
        volumes: &[Arc<PersistentVolume<'static>>],
        hops: &mut Vec<Hop>,
    ) -> Option<Backing> {
        let candidates = volumes.iter().map(|volume| {
            let mut way = vec![Hop::Volume(volume.metadata.name.to_string())];
            let backing = self.volume(volume, &mut way);
            (way, backing)
        });
        let (way, backing) = candidates.min_by_key(|(_, backing)| match backing.kind() {
            Kind::Nfs => 0,
            Kind::Unknown => 1,
            Kind::OtherNetworkFs => 2,
            Kind::Block | Kind::Local => 3,
        })?;
        hops.extend(way);
        Some(backing)
    }

    fn claim_by_class(&self, claim: &Claim<'_>, hops: &mut Vec<Hop>) -> Backing {
        let (class, default) = match claim.class() {
            ClassReference::Classless => return Backing::Unknown(Unknown::Classless),
            ClassReference::Default => (self.default_class(), true),
            ClassReference::Named(name) => {
                let found = self.found(facts::Kind::Class, "", name, self.cluster.class(name));
                if let Ok(None) = found {
                    hops.push(Hop::Class { name: name.into(), default: false });
                    return Backing::Unknown(Unknown::NoSuchClass(name.into()));
                }
                (found, false)
            }
        };
        match class {
            Ok(Some(class)) => {
                hops.push(Hop::Class { name: class.metadata.name.to_string(), default });
                self.class(&class, claim, hops)
            }
            Ok(None) => Backing::Unknown(Unknown::NoDefaultClass),
            Err(unknown) => Backing::Unknown(unknown),
        }
    }

    /// The default class: the newest of those annotated so, ties by name
    /// (`GetDefaultClass` in `pkg/volume/util/storageclass.go`).
    fn default_class(&self) -> Result<Option<Arc<StorageClass<'static>>>, Unknown> {
        let classes = self.classes()?;
        Ok(classes.into_iter().filter(|class| class.is_default()).min_by(|a, b| {
            let newest = b.metadata.creation_timestamp.cmp(&a.metadata.creation_timestamp);
            newest.then_with(|| a.metadata.name.cmp(&b.metadata.name))
        }))
    }

    fn class(&self, class: &StorageClass<'_>, claim: &Claim<'_>, hops: &mut Vec<Hop>) -> Backing {
        hops.push(Hop::Provisioner(class.provisioner.to_string()));
        if class.provisioner == *"kubernetes.io/no-provisioner" {
            return Backing::Unknown(Unknown::StaticClass(class.metadata.name.to_string()));
        }
        let probe = Probe {
            parameters: Some(&class.parameters),
            claim_annotations: Some(&claim.metadata.annotations),
            access_modes: &claim.spec.access_modes,
            volume_mode: claim.spec.volume_mode,
            ..Probe::default()
        };
        self.driver(&class.provisioner, &probe, &class.parameters, &class.mount_options, hops)
    }

    fn volume(&self, volume: &PersistentVolume<'_>, hops: &mut Vec<Hop>) -> Backing {
        let spec = &volume.spec;
        match &spec.source {
            Some(PersistentVolumeSource::Nfs(_) | PersistentVolumeSource::InTree(_)) | None
                if spec.volume_mode == VolumeMode::Block =>
            {
                Backing::Other(Kind::Block)
            }
            None => Backing::Unknown(Unknown::NoSource),
            Some(PersistentVolumeSource::Nfs(nfs)) => in_tree_nfs(nfs, &spec.mount_options, hops),
            Some(PersistentVolumeSource::InTree(source)) => {
                in_tree_source(in_tree::find(source), source, hops)
            }
            Some(PersistentVolumeSource::Csi(csi)) => {
                let probe = Probe {
                    access_modes: &spec.access_modes,
                    volume_mode: spec.volume_mode,
                    ..Probe::default()
                };
                self.csi(csi, &probe, &spec.mount_options, hops)
            }
        }
    }

    fn csi(
        &self,
        csi: &CsiSource<'_>,
        around: &Probe<'_>,
        mount_options: &[Text<'_>],
        hops: &mut Vec<Hop>,
    ) -> Backing {
        hops.push(Hop::Driver(csi.driver.to_string()));
        let probe = Probe {
            attributes: Some(&csi.volume_attributes),
            fs_type: csi.fs_type.as_deref(),
            volume_handle: csi.volume_handle.as_deref(),
            ..*around
        };
        self.driver(&csi.driver, &probe, &csi.volume_attributes, mount_options, hops)
    }

    /// What the catalogue says, or else the signs; `told` is where an NFS driver
    /// would be told its server and share.
    fn driver(
        &self,
        name: &str,
        probe: &Probe<'_>,
        told: &StringMap<'_>,
        mount_options: &[Text<'_>],
        hops: &mut Vec<Hop>,
    ) -> Backing {
        let driver = self.catalogue.find(name);
        let unknown = match driver.map(|driver| driver.judge(probe)) {
            Some(Kind::Nfs) => return Backing::Nfs(driver_nfs(driver, told, mount_options)),
            Some(Kind::Unknown) => Unknown::Undecided(name.into()),
            Some(other) => return Backing::Other(other),
            None if probe.volume_mode == VolumeMode::Block => return Backing::Other(Kind::Block),
            None => Unknown::Driver(name.into()),
        };
        match signals::read(name, probe, mount_options, || None) {
            Some(Signal::Strong(sign)) => {
                hops.push(Hop::Sign(sign));
                Backing::Nfs(driver_nfs(driver, told, mount_options))
            }
            Some(Signal::Weak(reason)) => {
                Backing::Unknown(Unknown::Suspected(Box::new(unknown), reason))
            }
            None => Backing::Unknown(unknown),
        }
    }

    fn classes(&self) -> Result<Vec<Arc<StorageClass<'static>>>, Unknown> {
        self.enumerated(facts::Kind::Class, self.cluster.classes())
    }

    fn found<T>(
        &self,
        kind: facts::Kind,
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

    fn enumerated<T>(
        &self,
        kind: facts::Kind,
        answer: Result<Vec<T>, NotSynced>,
    ) -> Result<Vec<T>, Unknown> {
        answer.map_err(|NotSynced| self.not_synced(kind))
    }

    fn not_synced(&self, kind: facts::Kind) -> Unknown {
        self.missed.borrow_mut().not_synced.insert(kind);
        Unknown::NotSynced(kind.resource())
    }
}

fn driver_nfs(driver: Option<&Driver>, told: &StringMap<'_>, mount_options: &[Text<'_>]) -> Nfs {
    let options = mount_options.iter().map(Text::as_str);
    let nfs = Nfs::new(told.get_ignore_case("server"), told.get_ignore_case("share"), options);
    let fixed = driver.and_then(|driver| driver.version_fixed.clone());
    Nfs { version: fixed.or(nfs.version), ..nfs }
}

fn in_tree_nfs(nfs: &NfsSource<'_>, mount_options: &[Text<'_>], hops: &mut Vec<Hop>) -> Backing {
    hops.push(Hop::Source("nfs".into()));
    let options = mount_options.iter().map(Text::as_str);
    Backing::Nfs(Nfs::new(Some(&nfs.server), Some(&nfs.path), options))
}

fn in_tree_source(known: Option<InTree>, source: &str, hops: &mut Vec<Hop>) -> Backing {
    hops.push(Hop::Source(source.into()));
    match known {
        Some(InTree::Is(kind)) => Backing::Other(kind),
        Some(InTree::Ephemeral | InTree::Undecided) | None => {
            Backing::Unknown(Unknown::Source(source.into()))
        }
    }
}
