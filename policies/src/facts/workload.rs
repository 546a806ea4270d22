use std::ops::Range;

use serde::{Deserialize, Deserializer};

use super::{
    Claim, Metadata, PodSpec, PodTemplate, PodVolume, PodVolumeSource, WorkloadKind, nullable,
};
use crate::{
    in_tree::{self, InTree},
    text::{Reduce, Strings},
};

/// Annotation of a kubelet's image of a static pod.
pub(crate) const MIRROR_POD: &str = "kubernetes.io/config.mirror";

/// Something that runs pods, whatever its kind: its own metadata, the pod it
/// makes or is, and the claims it makes for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workload<'a> {
    /// Which kind it is.
    pub kind: WorkloadKind,
    /// Its own metadata; that of the pods it makes is in the template.
    pub metadata: Metadata<'a>,
    /// The pod it makes. A Pod is its own, and its metadata is above.
    pub template: PodTemplate<'a>,
    /// Metadata of the jobs it makes, if it is a `CronJob`.
    pub job_metadata: Option<Metadata<'a>>,
    /// The claims it makes for each pod (`volumeClaimTemplates`).
    pub claim_templates: Vec<Claim<'a>>,
    /// How many pods it is to run at once; absent where no field says so.
    pub replicas: Option<u64>,
    /// The numbers its pods are named by; empty where they have none.
    pub ordinals: Range<u64>,
}

impl<'a> Workload<'a> {
    /// Reads the object of that kind.
    pub(super) fn read<'de: 'a, D: Deserializer<'de>>(
        kind: WorkloadKind,
        deserializer: D,
    ) -> Result<Self, D::Error> {
        let workload = match kind {
            WorkloadKind::Pod => Pod::deserialize(deserializer)?.into(),
            WorkloadKind::CronJob => CronJob::deserialize(deserializer)?.into(),
            WorkloadKind::StatefulSet => StatefulSet::deserialize(deserializer)?.into(),
            WorkloadKind::Deployment
            | WorkloadKind::DaemonSet
            | WorkloadKind::ReplicaSet
            | WorkloadKind::ReplicationController
            | WorkloadKind::Job => Templated::deserialize(deserializer)?.into_workload(kind),
        };
        Ok(workload)
    }

    /// Whether its pods have volumes that outlive them, or may have.
    #[must_use]
    pub fn has_persistent_volumes(&self) -> bool {
        !self.claim_templates.is_empty() || self.persistent_volumes().next().is_some()
    }

    /// Whether the pods that it makes by now have every persistent volume of what it made.
    #[must_use]
    pub fn stands_for(&self, made: &Workload<'_>) -> bool {
        made.persistent_volumes().all(|volume| {
            self.claim_template(&volume.name).is_some() || self.volume(&volume.name) == Some(volume)
        })
    }

    /// The volumes of its pods that outlive them, or may, but for those of templates.
    fn persistent_volumes(&self) -> impl Iterator<Item = &PodVolume<'a>> {
        let outlives = |volume: &&PodVolume<'_>| match &volume.source {
            Some(PodVolumeSource::Other(source)) => {
                in_tree::find(source) != Some(InTree::Ephemeral)
            }
            _ => true,
        };
        self.template.spec.volumes.iter().filter(outlives)
    }

    /// The volume of its pods that is called that.
    #[must_use]
    pub fn volume(&self, name: &str) -> Option<&PodVolume<'a>> {
        self.template.spec.volumes.iter().find(|volume| volume.name == *name)
    }

    /// The template of claims that is called that.
    #[must_use]
    pub fn claim_template(&self, name: &str) -> Option<&Claim<'a>> {
        self.claim_templates.iter().find(|claim| claim.metadata.name == *name)
    }

    /// The same with that many replicas, as its sub-resource `scale` sets them.
    #[must_use]
    pub fn scaled(self, replicas: u64) -> Self {
        let start = self.ordinals.start;
        let ordinals = match self.kind {
            WorkloadKind::StatefulSet => start..start.saturating_add(replicas),
            WorkloadKind::Deployment
            | WorkloadKind::DaemonSet
            | WorkloadKind::ReplicaSet
            | WorkloadKind::ReplicationController
            | WorkloadKind::Job
            | WorkloadKind::CronJob
            | WorkloadKind::Pod => self.ordinals,
        };
        Self { replicas: Some(replicas), ordinals, ..self }
    }

    fn of(kind: WorkloadKind, metadata: Metadata<'a>, template: PodTemplate<'a>) -> Self {
        Self {
            kind,
            metadata,
            template,
            job_metadata: None,
            claim_templates: Vec::new(),
            replicas: None,
            ordinals: 0..0,
        }
    }
}

impl Reduce for Workload<'_> {
    type Stored = Workload<'static>;

    fn into_stored(self, strings: &mut Strings) -> Workload<'static> {
        let Self { kind, metadata, template, job_metadata, claim_templates, replicas, ordinals } =
            self;
        Workload {
            kind,
            metadata: metadata.with_annotations(&[MIRROR_POD]).into_stored(strings),
            template: template.into_stored(strings),
            job_metadata: job_metadata.map(|job| job.with_annotations(&[])).into_stored(strings),
            claim_templates: claim_templates.into_stored(strings),
            replicas,
            ordinals,
        }
    }
}

// A mutating webhook sees objects before the apiserver has validated them: what
// a spec lacks reads as empty, and the apiserver's own words refuse it later.

#[derive(Deserialize)]
struct Pod<'a> {
    #[serde(borrow, default, deserialize_with = "nullable")]
    metadata: Metadata<'a>,
    #[serde(borrow, default, deserialize_with = "nullable")]
    spec: PodSpec<'a>,
}

impl<'a> From<Pod<'a>> for Workload<'a> {
    fn from(Pod { metadata, spec }: Pod<'a>) -> Self {
        let template = PodTemplate { metadata: Metadata::default(), spec };
        Self::of(WorkloadKind::Pod, metadata, template)
    }
}

/// A kind with its pod template at `spec.template`.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Templated<'a> {
    #[serde(borrow, deserialize_with = "nullable")]
    metadata: Metadata<'a>,
    #[serde(borrow, deserialize_with = "nullable")]
    spec: TemplatedSpec<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct TemplatedSpec<'a> {
    #[serde(borrow, deserialize_with = "nullable")]
    template: PodTemplate<'a>,
    replicas: Option<i32>,
}

impl<'a> Templated<'a> {
    fn into_workload(self, kind: WorkloadKind) -> Workload<'a> {
        let TemplatedSpec { template, replicas } = self.spec;
        let replicas = match kind {
            WorkloadKind::Deployment
            | WorkloadKind::ReplicaSet
            | WorkloadKind::ReplicationController => Some(count(replicas, ONE_REPLICA)),
            WorkloadKind::StatefulSet
            | WorkloadKind::DaemonSet
            | WorkloadKind::Job
            | WorkloadKind::CronJob
            | WorkloadKind::Pod => None,
        };
        Workload { replicas, ..Workload::of(kind, self.metadata, template) }
    }
}

#[derive(Deserialize)]
struct StatefulSet<'a> {
    #[serde(borrow, default, deserialize_with = "nullable")]
    metadata: Metadata<'a>,
    #[serde(borrow, default, deserialize_with = "nullable")]
    spec: StatefulSetSpec<'a>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct StatefulSetSpec<'a> {
    #[serde(borrow, deserialize_with = "nullable")]
    template: PodTemplate<'a>,
    #[serde(borrow, deserialize_with = "nullable")]
    volume_claim_templates: Vec<Claim<'a>>,
    replicas: Option<i32>,
    #[serde(deserialize_with = "nullable")]
    ordinals: Ordinals,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Ordinals {
    start: Option<i32>,
}

impl<'a> From<StatefulSet<'a>> for Workload<'a> {
    fn from(StatefulSet { metadata, spec }: StatefulSet<'a>) -> Self {
        let StatefulSetSpec { template, volume_claim_templates, replicas, ordinals } = spec;
        let (start, replicas) = (count(ordinals.start, 0), count(replicas, ONE_REPLICA));
        Self {
            claim_templates: volume_claim_templates,
            replicas: Some(replicas),
            ordinals: start..start + replicas,
            ..Self::of(WorkloadKind::StatefulSet, metadata, template)
        }
    }
}

/// What the apiserver makes of none named.
const ONE_REPLICA: u64 = 1;

fn count(n: Option<i32>, absent: u64) -> u64 {
    n.map_or(absent, |n| u64::try_from(n).unwrap_or(0))
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct CronJob<'a> {
    #[serde(borrow, deserialize_with = "nullable")]
    metadata: Metadata<'a>,
    #[serde(borrow, deserialize_with = "nullable")]
    spec: CronJobSpec<'a>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct CronJobSpec<'a> {
    #[serde(borrow, deserialize_with = "nullable")]
    job_template: Templated<'a>,
}

impl<'a> From<CronJob<'a>> for Workload<'a> {
    fn from(CronJob { metadata, spec }: CronJob<'a>) -> Self {
        let Templated { metadata: job_metadata, spec } = spec.job_template;
        Self {
            job_metadata: Some(job_metadata),
            ..Self::of(WorkloadKind::CronJob, metadata, spec.template)
        }
    }
}
