//! What people and clusters do, as small values: drawn from a seed, printed as a line a
//! person can read, and as JSON that brings the same sequence back.

mod display;

use nfs_guard_policies::facts::WorkloadKind;
use serde::{Deserialize, Serialize};

/// One thing that is done, after which the cluster comes to rest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Operation {
    /// A developer applies a workload: a new one, or another state of it.
    Apply(Workload),
    /// A developer scales a workload by its sub-resource.
    Scale {
        /// Which.
        object: Named,
        /// To how many pods.
        replicas: u8,
    },
    /// Somebody deletes a workload, with what it made or without it.
    DeleteWorkload {
        /// Which.
        object: Named,
        /// Whether what it made is left behind (`--cascade=orphan`).
        orphan: bool,
    },
    /// A developer deletes the pod of a workload that was made last.
    DeletePodOf(Named),
    /// A developer labels an object as critical, or takes the label away.
    LabelObject {
        /// Which.
        object: Named,
        /// Whether it has the label afterwards.
        critical: bool,
    },
    /// An operator of the cluster labels a namespace as critical, or takes the label away.
    LabelNamespace {
        /// Which.
        namespace: String,
        /// Whether it has the label afterwards.
        critical: bool,
    },
    /// A developer makes a claim.
    CreateClaim(Claim),
    /// A developer deletes a claim.
    DeleteClaim {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
    /// A developer has a claim name its volume.
    SetVolumeName {
        /// Namespace of the claim.
        namespace: String,
        /// Name of the claim.
        claim: String,
        /// Name of the volume.
        volume: String,
    },
    /// An operator of the cluster makes a volume.
    CreateVolume(Volume),
    /// An operator of the cluster deletes a volume.
    DeleteVolume(String),
    /// An operator of the cluster promises a volume to a claim, or takes the promise back.
    SetClaimRef {
        /// Name of the volume.
        volume: String,
        /// Namespace and name of the claim; none clears it.
        claim: Option<(String, String)>,
    },
    /// An operator of the cluster makes a storage class.
    CreateClass(Class),
    /// An operator of the cluster makes a class the default, or no longer.
    SetDefault {
        /// Name of the class.
        class: String,
        /// Whether it says that it is the default.
        default: bool,
    },
    /// An operator of the cluster deletes a storage class.
    DeleteClass(String),
    /// An operator of the cluster exempts something from the rule.
    CreateExemption(Exemption),
    /// An operator of the cluster deletes an exemption.
    DeleteExemption {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
    /// Time passes.
    Wait {
        /// How many hours.
        hours: u16,
    },
    /// The guard is installed; what was there before is old.
    InstallGuard,
    /// Nobody answers the API server for a while.
    GuardDown,
    /// The guard answers again.
    GuardUp,
}

/// Name of a workload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Named {
    /// Its kind.
    pub kind: WorkloadKind,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// A workload as a developer writes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Workload {
    /// What it is called.
    #[serde(flatten)]
    pub object: Named,
    /// How many pods; of no meaning to a Pod, a Job and a `CronJob`.
    pub replicas: u8,
    /// The number of a set's first pod.
    pub start: u8,
    /// Where the label that makes it critical is.
    pub label: Label,
    /// Its volumes, at most one of each name in [`VOLUME_NAMES`].
    pub volumes: Vec<Source>,
    /// What a Pod says made it.
    pub owner: Owner,
}

/// The names of a workload's volumes, in their order.
pub const VOLUME_NAMES: [&str; 3] = ["data", "log", "tmp"];

/// Where a workload has the label that makes it critical.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Label {
    /// Nowhere.
    None,
    /// On the object itself.
    Object,
    /// On the pods it makes.
    Template,
}

/// Where a workload's volume has its data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Source {
    /// NFS, inline.
    Nfs,
    /// A claim by name.
    Claim(String),
    /// A claim for each pod that outlives it; sets only.
    Template(ClassOf),
    /// A claim for each pod that goes with it.
    Ephemeral(ClassOf),
}

/// How a claim says which class it wants.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ClassOf {
    /// Not at all: the default class.
    Default,
    /// By the field; `""` is no class.
    Field(String),
    /// By the annotation of old, which wins over a field.
    Annotation(String),
}

/// What a Pod that no controller made says made it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Owner {
    /// Nothing.
    None,
    /// A workload of its namespace, which did not.
    Forged(WorkloadKind, String),
    /// An object of a kind that nobody knows, by the operator that looks after those.
    Operator,
}

/// A claim as a developer writes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Which class it wants.
    pub class: ClassOf,
    /// The volume it names, if it does.
    pub volume: Option<String>,
    /// Whether it has the label that makes it critical.
    pub critical: bool,
    /// Gibibytes.
    pub size: u8,
}

/// A volume as an operator of the cluster writes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volume {
    /// Its name.
    pub name: String,
    /// Whether it is on NFS; a disk otherwise.
    pub nfs: bool,
    /// Its class string; `""` is none.
    pub class: String,
    /// Namespace and name of the claim it is promised to.
    pub claim: Option<(String, String)>,
    /// Gibibytes.
    pub size: u8,
}

/// A storage class as an operator of the cluster writes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Class {
    /// Its name.
    pub name: String,
    /// Who makes its volumes.
    pub makes: Makes,
    /// Whether it says that it is the default.
    pub default: bool,
    /// Whether claims of it wait for their first consumer.
    pub waits: bool,
}

/// What a class makes volumes of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Makes {
    /// Shares on NFS.
    Nfs,
    /// Disks.
    Disks,
    /// Nothing: its volumes are made by hand.
    Nothing,
}

/// An exemption as an operator of the cluster writes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exemption {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The kind of what is exempt.
    pub kind: WorkloadKind,
    /// The name of what is exempt; may end in `*`.
    pub target: String,
    /// The volume that is exempt; none means all.
    pub volume: Option<String>,
    /// For how many hours.
    pub hours: u16,
}
