//! Operations as lines that a person can read.

use std::fmt;

use nfs_guard_policies::facts::WorkloadKind;

use super::{
    Claim, Class, ClassOf, Exemption, Label, Makes, Named, Operation, Owner, Source, VOLUME_NAMES,
    Volume, Workload,
};

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Apply(workload) => write!(f, "apply {workload}"),
            Self::Scale { object, replicas } => write!(f, "scale {object} to {replicas}"),
            Self::DeleteWorkload { object, orphan: false } => write!(f, "delete {object}"),
            Self::DeleteWorkload { object, orphan: true } => {
                write!(f, "delete {object}, leaving what it made")
            }
            Self::DeletePodOf(object) => write!(f, "delete the newest pod of {object}"),
            Self::LabelObject { object, critical } => {
                write!(f, "label {object} {}", criticality(*critical))
            }
            Self::LabelNamespace { namespace, critical } => {
                write!(f, "label Namespace {namespace} {}", criticality(*critical))
            }
            Self::CreateClaim(claim) => write!(f, "create {claim}"),
            Self::DeleteClaim { namespace, name } => write!(f, "delete claim {namespace}/{name}"),
            Self::SetVolumeName { namespace, claim, volume } => {
                write!(f, "patch claim {namespace}/{claim}: volumeName {volume}")
            }
            Self::CreateVolume(volume) => write!(f, "create {volume}"),
            Self::DeleteVolume(name) => write!(f, "delete volume {name}"),
            Self::SetClaimRef { volume, claim: Some((namespace, name)) } => {
                write!(f, "patch volume {volume}: claimRef {namespace}/{name}")
            }
            Self::SetClaimRef { volume, claim: None } => {
                write!(f, "patch volume {volume}: no claimRef")
            }
            Self::CreateClass(class) => write!(f, "create {class}"),
            Self::SetDefault { class, default: true } => {
                write!(f, "annotate class {class} as the default")
            }
            Self::SetDefault { class, default: false } => {
                write!(f, "annotate class {class} as not the default")
            }
            Self::DeleteClass(name) => write!(f, "delete class {name}"),
            Self::CreateExemption(exemption) => write!(f, "create {exemption}"),
            Self::DeleteExemption { namespace, name } => {
                write!(f, "delete exemption {namespace}/{name}")
            }
            Self::Wait { hours } => write!(f, "wait {hours} hours"),
            Self::InstallGuard => f.write_str("the guard is installed"),
            Self::GuardDown => f.write_str("the guard goes down"),
            Self::GuardUp => f.write_str("the guard comes up"),
        }
    }
}

fn criticality(critical: bool) -> &'static str {
    if critical { "critical" } else { "no longer critical" }
}

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, namespace, name } = self;
        write!(f, "{kind:?} {namespace}/{name}")
    }
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { object, replicas, start, label, volumes, owner } = self;
        write!(f, "{object}")?;
        match object.kind {
            WorkloadKind::Pod | WorkloadKind::Job | WorkloadKind::CronJob => {}
            _ => write!(f, ", {replicas} replicas")?,
        }
        if *start > 0 {
            write!(f, " from {start}")?;
        }
        match label {
            Label::None => {}
            Label::Object => write!(f, ", critical")?,
            Label::Template => write!(f, ", its pods critical")?,
        }
        for (name, source) in VOLUME_NAMES.iter().zip(volumes) {
            match source {
                Source::Nfs => write!(f, ", {name} on inline nfs")?,
                Source::Claim(claim) => write!(f, ", {name} on claim {claim}")?,
                Source::Template(class) => write!(f, ", {name} by a claim template of {class}")?,
                Source::Ephemeral(class) => write!(f, ", {name} by an ephemeral claim of {class}")?,
            }
        }
        match owner {
            Owner::None => Ok(()),
            Owner::Forged(kind, name) => write!(f, ", forged as one of {kind:?} {name}"),
            Owner::Operator => f.write_str(", by an operator for its own kind"),
        }
    }
}

impl fmt::Display for ClassOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("the default class"),
            Self::Field(class) => write!(f, "class {class:?}"),
            Self::Annotation(class) => write!(f, "class {class:?} by annotation"),
        }
    }
}

impl fmt::Display for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { namespace, name, class, volume, critical, size } = self;
        write!(f, "claim {namespace}/{name}, {size} Gi of {class}")?;
        if let Some(volume) = volume {
            write!(f, ", volumeName {volume}")?;
        }
        if *critical { f.write_str(", critical") } else { Ok(()) }
    }
}

impl fmt::Display for Volume {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, nfs, class, claim, size } = self;
        let storage = if *nfs { "NFS" } else { "a disk" };
        write!(f, "volume {name}, {size} Gi on {storage}, class {class:?}")?;
        match claim {
            Some((namespace, claim)) => write!(f, ", claimRef {namespace}/{claim}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, makes, default, waits } = self;
        let makes = match makes {
            Makes::Nfs => "NFS",
            Makes::Disks => "disks",
            Makes::Nothing => "nothing",
        };
        write!(f, "class {name} that makes {makes}")?;
        if *default {
            f.write_str(", the default")?;
        }
        if *waits { f.write_str(", waiting for the first consumer") } else { Ok(()) }
    }
}

impl fmt::Display for Exemption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { namespace, name, kind, target, volume, hours } = self;
        write!(f, "exemption {namespace}/{name} of {kind:?} {target} for {hours} hours")?;
        match volume {
            Some(volume) => write!(f, ", volume {volume} only"),
            None => Ok(()),
        }
    }
}
