//! What brings claims and volumes together: the volume controller, the scheduler, the
//! drivers' provisioners, and who protects what is in use.

use std::sync::Arc;

use nfs_guard_policies::facts::Kind;
use serde_json::{Value, json};

use super::apiserver::{Apiserver, Refused, owned_by};
use crate::model::{
    json::{
        annotation, at, claim_of, gibibytes, is_controlled_by, is_going, key, name, namespace,
        pod_volumes, text, uid,
    },
    request::{DISK_DRIVER, LEGACY_CLASS, NFS_DRIVER, NO_PROVISIONER},
};

const BINDER: &str = "system:serviceaccount:kube-system:persistent-volume-binder";
const SCHEDULER: &str = "system:kube-scheduler";
const EPHEMERAL: &str = "system:serviceaccount:kube-system:ephemeral-volume-controller";
const PROTECTION: &str = "system:serviceaccount:kube-system:pvc-protection-controller";
const DRIVER: &str = "system:serviceaccount:storage:csi-provisioner";

const BIND_COMPLETED: &str = "pv.kubernetes.io/bind-completed";
const BOUND_BY_CONTROLLER: &str = "pv.kubernetes.io/bound-by-controller";
const PROVISIONED_BY: &str = "pv.kubernetes.io/provisioned-by";
const PROVISIONER: &str = "volume.kubernetes.io/storage-provisioner";
const SELECTED_NODE: &str = "volume.kubernetes.io/selected-node";

/// Lets each of them look at everything once. What is refused is left for the next time.
pub(super) fn sync(api: &mut Apiserver<'_>) {
    for pod in api.pods() {
        make_ephemeral_claims(api, &pod);
    }
    for claim in api.list(Kind::Claim) {
        release_unused(api, &claim);
    }
    for volume in api.list(Kind::Volume) {
        sync_volume(api, &volume);
    }
    for claim in api.list(Kind::Claim) {
        sync_claim(api, &claim);
    }
    for claim in api.list(Kind::Claim) {
        provision(api, &claim);
    }
    for pod in api.pods() {
        schedule(api, &pod);
    }
}

/// `pkg/controller/volume/ephemeral`.
fn make_ephemeral_claims(api: &mut Apiserver<'_>, pod: &Value) {
    for volume in pod_volumes(pod) {
        let Some(template) = at(volume, "/ephemeral/volumeClaimTemplate") else { continue };
        let claim_name = claim_of(pod, volume).expect("an ephemeral volume has a claim");
        if api.get(Kind::Claim, namespace(pod), &claim_name).is_none() {
            let mut claim = template.clone();
            claim["apiVersion"] = json!("v1");
            claim["kind"] = json!("PersistentVolumeClaim");
            claim["metadata"]["name"] = json!(claim_name);
            claim["metadata"]["namespace"] = json!(namespace(pod));
            claim["metadata"]["ownerReferences"] = owned_by(pod);
            let _ = api.create(EPHEMERAL, claim);
        }
    }
}

/// Lets a claim go that no scheduled pod uses (`podUsesPVC` of `pvcprotection`).
fn release_unused(api: &mut Apiserver<'_>, claim: &Value) {
    if !is_going(claim) {
        return;
    }
    let pods = api.pods();
    let mut users = pods.iter().filter(|pod| {
        let scheduled = !text(pod, "/spec/nodeName").is_empty();
        scheduled && namespace(pod) == namespace(claim)
    });
    let used = users.any(|pod| {
        pod_volumes(pod).iter().any(|volume| claim_of(pod, volume).as_deref() == Some(name(claim)))
    });
    let free = json!({"metadata": {"finalizers": null}});
    if !used && api.patch(PROTECTION, &key(claim), &free).is_ok() {
        api.remove(&key(claim));
    }
}

/// `syncVolume` of `pv_controller.go`.
fn sync_volume(api: &mut Apiserver<'_>, volume: &Value) {
    let reference = &volume["spec"]["claimRef"];
    if reference.is_null() {
        return api.set_phase(volume, "Available");
    }
    let claim = api.get(Kind::Claim, text(reference, "/namespace"), text(reference, "/name"));
    let promised = text(reference, "/uid");
    if promised.is_empty() {
        return api.set_phase(volume, "Available");
    }
    let Some(claim) = claim.filter(|claim| uid(claim) == promised) else {
        if is_going(volume) || annotation(volume, PROVISIONED_BY).is_some() {
            return api.remove(&key(volume));
        }
        return api.set_phase(volume, "Released");
    };
    let elsewhere = text(&claim, "/spec/volumeName");
    if elsewhere.is_empty() || elsewhere == name(volume) {
        return;
    }
    if annotation(volume, PROVISIONED_BY).is_some() {
        api.remove(&key(volume));
    } else if annotation(volume, BOUND_BY_CONTROLLER).is_some() {
        let free = json!({
            "metadata": {"annotations": {BOUND_BY_CONTROLLER: null}}, "spec": {"claimRef": null},
        });
        let _ = api.patch(BINDER, &key(volume), &free);
    }
}

/// `syncUnboundClaim` and `syncBoundClaim` of `pv_controller.go`.
fn sync_claim(api: &mut Apiserver<'_>, claim: &Value) {
    let completed = annotation(claim, BIND_COMPLETED).is_some();
    let wanted = text(claim, "/spec/volumeName");
    if !wanted.is_empty() {
        let Some(volume) = api.get(Kind::Volume, "", wanted) else {
            if completed {
                api.set_phase(claim, "Lost");
            }
            return;
        };
        let promised = &volume["spec"]["claimRef"];
        let free = promised.is_null();
        if completed && !free && text(promised, "/uid") != uid(claim) {
            return api.set_phase(claim, "Lost");
        }
        if names(&volume, claim) || free && (completed || satisfies(&volume, claim)) {
            bind(api, &volume, claim);
        }
        return;
    }
    let class_name = class_of(claim);
    let class = api.get(Kind::Class, "", class_name.unwrap_or_default());
    let delays = class.as_ref().is_some_and(|class| waits(class))
        && annotation(claim, SELECTED_NODE).is_none();
    if let Some(volume) = find_volume(api, claim, class_name.unwrap_or_default(), delays) {
        return bind(api, &volume, claim);
    }
    match (class_name, class) {
        // KEP-3333.
        (None, _) => {
            if let Some(class) = api.default_class() {
                let patch = json!({"spec": {"storageClassName": class}});
                let _ = api.patch(BINDER, &key(claim), &patch);
            }
        }
        (Some(_), Some(class)) if !delays => {
            let provisioner = text(&class, "/provisioner");
            if provisioner != NO_PROVISIONER {
                let patch = json!({"metadata": {"annotations": {PROVISIONER: provisioner}}});
                let _ = api.patch(BINDER, &key(claim), &patch);
            }
        }
        _ => {}
    }
}

/// The volume promised to the claim, else the smallest that will do, as
/// `FindMatchingVolume` has it. All volumes of a model have the same access modes.
fn find_volume(
    api: &Apiserver<'_>,
    claim: &Value,
    class: &str,
    promised_only: bool,
) -> Option<Arc<Value>> {
    let volumes = api.list(Kind::Volume);
    let fits = |volume: &&Arc<Value>| gibibytes(volume) >= gibibytes(claim) && !is_going(volume);
    let promised = volumes.iter().filter(fits).find(|volume| names(volume, claim));
    let free = volumes.iter().filter(fits).filter(|volume| {
        !promised_only
            && volume["spec"]["claimRef"].is_null()
            && text(volume, "/status/phase") == "Available"
            && class_of(volume).unwrap_or_default() == class
    });
    promised.or_else(|| free.min_by_key(|volume| gibibytes(volume))).map(Arc::clone)
}

/// `checkVolumeSatisfyClaim`: for a volume that a claim names.
fn satisfies(volume: &Value, claim: &Value) -> bool {
    gibibytes(volume) >= gibibytes(claim)
        && class_of(volume).unwrap_or_default() == class_of(claim).unwrap_or_default()
}

/// `IsVolumeBoundToClaim`.
fn names(volume: &Value, claim: &Value) -> bool {
    let reference = &volume["spec"]["claimRef"];
    let promised = text(reference, "/uid");
    text(reference, "/name") == name(claim)
        && text(reference, "/namespace") == namespace(claim)
        && (promised.is_empty() || promised == uid(claim))
}

/// First the volume names the claim, then the claim the volume.
fn bind(api: &mut Apiserver<'_>, volume: &Value, claim: &Value) {
    if promise(api, BINDER, volume, claim).is_err() {
        return;
    }
    let volume = api.find(&key(volume)).expect("was there a moment ago");
    api.set_phase(&volume, "Bound");
    let mut patch = json!({"metadata": {"annotations": {BIND_COMPLETED: "yes"}}});
    if text(claim, "/spec/volumeName").is_empty() {
        patch["metadata"]["annotations"][BOUND_BY_CONTROLLER] = json!("yes");
        patch["spec"] = json!({"volumeName": name(&volume)});
    }
    if annotation(claim, BIND_COMPLETED).is_none()
        && api.patch(BINDER, &key(claim), &patch).is_err()
    {
        return;
    }
    let claim = api.find(&key(claim)).expect("was there a moment ago");
    api.set_phase(&claim, "Bound");
}

/// Has the volume name the claim, with its uid.
fn promise(
    api: &mut Apiserver<'_>,
    user: &str,
    volume: &Value,
    claim: &Value,
) -> Result<(), Refused> {
    if text(volume, "/spec/claimRef/uid") == uid(claim) {
        return Ok(());
    }
    let mut patch = json!({"spec": {"claimRef": {
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "uid": uid(claim),
        "namespace": namespace(claim), "name": name(claim),
    }}});
    if volume["spec"]["claimRef"].is_null() {
        patch["metadata"] = json!({"annotations": {BOUND_BY_CONTROLLER: "yes"}});
    }
    api.patch(user, &key(volume), &patch)
}

/// What a driver's external-provisioner does.
fn provision(api: &mut Apiserver<'_>, claim: &Value) {
    let Some(driver) = annotation(claim, PROVISIONER) else { return };
    let Some(class) = api.get(Kind::Class, "", class_of(claim).unwrap_or_default()) else {
        return;
    };
    let unbound = text(claim, "/spec/volumeName").is_empty() && !is_going(claim);
    let node = !waits(&class) || annotation(claim, SELECTED_NODE).is_some();
    if !unbound || !node || text(&class, "/provisioner") != driver {
        return;
    }
    let source = match driver {
        NFS_DRIVER => json!({
            "driver": driver, "volumeHandle": uid(claim),
            "volumeAttributes": {"server": "nas", "share": "/srv/nfs"},
        }),
        DISK_DRIVER => json!({"driver": driver, "volumeHandle": uid(claim), "fsType": "ext4"}),
        _ => return,
    };
    let volume = json!({
        "apiVersion": "v1", "kind": "PersistentVolume",
        "metadata": {
            "name": format!("pvc-{}", uid(claim)), "annotations": {PROVISIONED_BY: driver},
        },
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "capacity": claim["spec"]["resources"]["requests"],
            "claimRef": {
                "apiVersion": "v1", "kind": "PersistentVolumeClaim", "uid": uid(claim),
                "namespace": namespace(claim), "name": name(claim),
            },
            "csi": source,
            "persistentVolumeReclaimPolicy": "Delete",
            "storageClassName": name(&class),
        },
    });
    let _ = api.create(DRIVER, volume);
}

/// Binds what the pod waits for, and has it run once nothing is left to wait for.
fn schedule(api: &mut Apiserver<'_>, pod: &Value) {
    if is_going(pod) || text(pod, "/status/phase") == "Running" {
        return;
    }
    let mut waiting = false;
    for volume in pod_volumes(pod) {
        let Some(claim_name) = claim_of(pod, volume) else { continue };
        let claim = api.get(Kind::Claim, namespace(pod), &claim_name);
        let own = volume.get("ephemeral").is_none_or(Value::is_null);
        let Some(claim) = claim.filter(|claim| own || is_controlled_by(claim, pod)) else { return };
        if is_going(&claim) {
            return;
        }
        if text(&claim, "/status/phase") != "Bound" {
            waiting = true;
            choose_volume(api, &claim);
        }
    }
    if !waiting {
        let mut pod = pod.clone();
        pod["spec"]["nodeName"] = json!("node");
        pod["status"]["phase"] = json!("Running");
        api.store(pod);
    }
}

/// What the scheduler does for a claim that waits for its first consumer.
fn choose_volume(api: &mut Apiserver<'_>, claim: &Value) {
    let class_name = class_of(claim).unwrap_or_default();
    let Some(class) = api.get(Kind::Class, "", class_name).filter(|class| waits(class)) else {
        return;
    };
    if !text(claim, "/spec/volumeName").is_empty() || annotation(claim, SELECTED_NODE).is_some() {
        return;
    }
    if let Some(volume) = find_volume(api, claim, class_name, false) {
        let _ = promise(api, SCHEDULER, &volume, claim);
    } else if text(&class, "/provisioner") != NO_PROVISIONER {
        let patch = json!({"metadata": {"annotations": {SELECTED_NODE: "node"}}});
        let _ = api.patch(SCHEDULER, &key(claim), &patch);
    }
}

/// Class string of a claim or a volume.
fn class_of(object: &Value) -> Option<&str> {
    annotation(object, LEGACY_CLASS).or(object["spec"]["storageClassName"].as_str())
}

fn waits(class: &Value) -> bool {
    text(class, "/volumeBindingMode") == "WaitForFirstConsumer"
}
