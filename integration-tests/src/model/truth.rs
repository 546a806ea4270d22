//! What is so in a cluster, by its objects alone: the oracle of the model. It shares nothing
//! with the engine that it is held against.

use jiff::{SignedDuration, Timestamp};
use nfs_guard_policies::{
    cluster::Key,
    facts::{Kind, WorkloadKind},
    rules::CRITICAL_LABEL,
};
use serde_json::Value;

use super::{
    Objects,
    json::{
        annotation, at, claim_of, controller, gibibytes, is_controlled_by, is_going, kind, label,
        list, name, namespace, pod_volumes, text, uid,
    },
    request::{LEGACY_CLASS, NFS_DRIVER, NO_PROVISIONER},
};

/// The objects of a cluster.
#[derive(Clone, Copy)]
pub(super) struct Truth<'s> {
    objects: &'s Objects,
}

/// A volume of a pod whose data is on NFS.
pub(super) struct OnNfs<'s> {
    /// What the pod calls it.
    pub(super) volume: &'s str,
    /// The claim it comes of, and its volume.
    pub(super) claim: Option<(&'s Value, &'s Value)>,
}

impl<'s> Truth<'s> {
    pub(super) fn of(objects: &'s Objects) -> Self {
        Self { objects }
    }

    /// The objects of a kind.
    pub(super) fn list(self, kind: Kind) -> impl Iterator<Item = &'s Value> {
        let first = Key { kind, namespace: String::new(), name: String::new() };
        let from = self.objects.range(first..).take_while(move |(key, _)| key.kind == kind);
        from.map(|(_, object)| &**object)
    }

    /// The pods that are not on their way out.
    pub(super) fn pods(self) -> impl Iterator<Item = &'s Value> {
        self.list(Kind::Workload(WorkloadKind::Pod)).filter(|pod| !is_going(pod))
    }

    pub(super) fn get(self, kind: Kind, namespace: &str, name: &str) -> Option<&'s Value> {
        let key = Key { kind, namespace: namespace.into(), name: name.into() };
        self.objects.get(&key).map(|object| &**object)
    }

    /// The volumes of a pod that are on NFS: inline, or by a claim that is bound.
    pub(super) fn on_nfs(self, pod: &'s Value) -> Vec<OnNfs<'s>> {
        let on_nfs = pod_volumes(pod).iter().filter_map(|volume| {
            let own = text(volume, "/name");
            if !volume["nfs"].is_null() {
                return Some(OnNfs { volume: own, claim: None });
            }
            let claim = self.get(Kind::Claim, namespace(pod), &claim_of(pod, volume)?)?;
            // A pod that finds its ephemeral claim to be another's never runs.
            if !volume["ephemeral"].is_null() && !is_controlled_by(claim, pod) {
                return None;
            }
            let bound = self.get(Kind::Volume, "", text(claim, "/spec/volumeName"))?;
            let mutual = text(bound, "/spec/claimRef/uid") == uid(claim);
            (mutual && is_nfs(bound)).then_some(OnNfs { volume: own, claim: Some((claim, bound)) })
        });
        on_nfs.collect()
    }

    /// The volume that a claim names and that names it.
    pub(super) fn volume_of(self, claim: &Value) -> Option<&'s Value> {
        let volume = self.get(Kind::Volume, "", text(claim, "/spec/volumeName"))?;
        (text(volume, "/spec/claimRef/uid") == uid(claim)).then_some(volume)
    }

    /// Whether a claim that names no volume could have one without waiting for a pod.
    pub(super) fn could_be_bound(self, claim: &Value) -> bool {
        let class_name = class_of(claim).unwrap_or_default();
        let class = self.get(Kind::Class, "", class_name);
        let waits = class.is_some_and(|class| class["volumeBindingMode"] != "Immediate");
        let is_free = |volume: &Value| {
            volume["spec"]["claimRef"].is_null()
                && text(volume, "/status/phase") == "Available"
                && class_of(volume).unwrap_or_default() == class_name
                && gibibytes(volume) >= gibibytes(claim)
                && !is_going(volume)
        };
        let is_made = class.is_some_and(|class| class["provisioner"] != NO_PROVISIONER);
        !waits && (is_made || self.list(Kind::Volume).any(is_free))
    }

    /// Whether every claim of a pod is there to stay, and has its volume.
    pub(super) fn has_all_claims(self, pod: &Value) -> bool {
        pod_volumes(pod).iter().all(|volume| {
            let Some(claim_name) = claim_of(pod, volume) else { return true };
            self.get(Kind::Claim, namespace(pod), &claim_name).is_some_and(|claim| {
                let own = volume["ephemeral"].is_null() || is_controlled_by(claim, pod);
                let is_bound = text(claim, "/status/phase") == "Bound";
                own && !is_going(claim) && is_bound && self.volume_of(claim).is_some()
            })
        })
    }

    /// Whether a pod is critical: it, its namespace, or what made it has the label.
    pub(super) fn is_critical(self, pod: &'s Value) -> bool {
        is_labelled(pod)
            || self.get(Kind::Namespace, "", namespace(pod)).is_some_and(is_labelled)
            || self.owners(pod).into_iter().any(is_labelled)
    }

    /// What made an object, and what made that, as long as they are there.
    pub(super) fn owners(self, object: &'s Value) -> Vec<&'s Value> {
        let mut owners = Vec::new();
        let mut object = object;
        while let Some(reference) = controller(object)
            && let Some(kind) = kind(reference)
            && let Some(owner) = self.get(kind, namespace(object), text(reference, "/name"))
            && uid(owner) == text(reference, "/uid")
            && owners.len() < 8
        {
            owners.push(owner);
            object = owner;
        }
        owners
    }

    /// Whether an exemption that has not ended is for that volume of that pod, or for what
    /// made it.
    pub(super) fn is_exempt(self, pod: &'s Value, on_nfs: &OnNfs<'_>, now: Timestamp) -> bool {
        let mut exemptions =
            self.list(Kind::Exemption).filter(|exemption| namespace(exemption) == namespace(pod));
        exemptions.any(|exemption| {
            let time = |at: &str| text(exemption, at).parse::<Timestamp>().ok();
            let most = SignedDuration::from_hours(90 * 24);
            let lasts = time("/spec/expiresAt").is_some_and(|end| now < end)
                && time("/metadata/creationTimestamp").is_some_and(|made| now < made + most);
            let target = &exemption["spec"]["target"];
            let is_target = |object: &Value| {
                object["kind"] == target["kind"] && glob(text(target, "/name"), name(object))
            };
            let volumes = list(target, "/volumes");
            let is_named = |called: &str| {
                volumes.iter().any(|volume| glob(volume.as_str().unwrap_or_default(), called))
            };
            let claim = on_nfs.claim.map_or("", |(claim, _)| name(claim));
            // What one volume of a pod may be on, another of the same claim is on, too.
            let same = pod_volumes(pod)
                .iter()
                .filter(|volume| claim_of(pod, volume).is_some_and(|mounted| mounted == claim));
            let mut called = same.map(|volume| text(volume, "/name"));
            lasts
                && (is_target(pod) || self.owners(pod).into_iter().any(is_target))
                && (volumes.is_empty()
                    || is_named(on_nfs.volume)
                    || is_named(claim)
                    || called.any(is_named))
        })
    }
}

pub(super) fn is_running(pod: &Value) -> bool {
    text(pod, "/status/phase") == "Running"
}

/// Class string of a claim or a volume.
fn class_of(object: &Value) -> Option<&str> {
    annotation(object, LEGACY_CLASS).or(object["spec"]["storageClassName"].as_str())
}

/// Whether an object, or what it makes, has the label that makes it critical.
pub(super) fn is_labelled(object: &Value) -> bool {
    const TEMPLATES: [&str; 3] =
        ["/spec/template", "/spec/jobTemplate", "/spec/jobTemplate/spec/template"];
    let has_label = |object: &Value| label(object, CRITICAL_LABEL) == "true";
    has_label(object)
        || TEMPLATES.into_iter().filter_map(|template| at(object, template)).any(has_label)
}

/// Whether a volume's data is on NFS.
fn is_nfs(volume: &Value) -> bool {
    !volume["spec"]["nfs"].is_null() || text(volume, "/spec/csi/driver") == NFS_DRIVER
}

/// Whether a name is meant by a pattern that may end in `*`.
fn glob(pattern: &str, name: &str) -> bool {
    pattern.strip_suffix('*').map_or(pattern == name, |start| name.starts_with(start))
}
