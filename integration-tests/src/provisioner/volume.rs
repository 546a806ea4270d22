//! Which claims get a volume, and what it looks like.

use anyhow::{Context, Result};
use k8s_openapi::api::{
    core::v1::{PersistentVolume, PersistentVolumeClaim},
    storage::v1::StorageClass,
};
use kube::ResourceExt;
use serde_json::{Map, Value, json};

const NFS: &str = "nfs.csi.k8s.io";
const PROXMOX: &str = "csi.proxmox.sinextra.dev";

const PROVISIONER: &str = "volume.kubernetes.io/storage-provisioner";
const SELECTED_NODE: &str = "volume.kubernetes.io/selected-node";
const PROVISIONED_BY: &str = "pv.kubernetes.io/provisioned-by";

/// The class of a claim that the volume controller has handed to one of our drivers.
pub(super) fn class_to_provision(claim: &PersistentVolumeClaim) -> Option<&str> {
    let spec = claim.spec.as_ref()?;
    let ours = claim.annotations().get(PROVISIONER).is_some_and(|driver| is_ours(driver));
    let unbound = spec.volume_name.as_deref().unwrap_or_default().is_empty();
    let stays = claim.metadata.deletion_timestamp.is_none();
    (ours && unbound && stays).then_some(spec.storage_class_name.as_deref()).flatten()
}

/// The volume for `claim`; none yet if its class waits for a consumer and the
/// scheduler has not chosen a node.
pub(super) fn provisioned(
    claim: &PersistentVolumeClaim,
    class: &StorageClass,
) -> Result<Option<PersistentVolume>> {
    let waits = class.volume_binding_mode.as_deref() == Some("WaitForFirstConsumer");
    if waits && !claim.annotations().contains_key(SELECTED_NODE) {
        return Ok(None);
    }
    let spec = claim.spec.as_ref().context("the claim has no spec")?;
    let requests = spec.resources.as_ref().and_then(|resources| resources.requests.as_ref());
    let uid = claim.uid().context("the claim has no uid")?;
    let name = format!("pvc-{uid}");
    let driver = &class.provisioner;
    let volume = json!({
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name, "annotations": {PROVISIONED_BY: driver}},
        "spec": {
            "accessModes": spec.access_modes,
            "capacity": {"storage": requests.and_then(|requests| requests.get("storage"))},
            "claimRef": {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "namespace": claim.namespace(),
                "name": claim.name_any(),
                "uid": uid,
                "resourceVersion": claim.resource_version(),
            },
            "csi": csi_source(claim, class, &name),
            "mountOptions": class.mount_options,
            "persistentVolumeReclaimPolicy": class.reclaim_policy,
            "storageClassName": class.name_any(),
            "volumeMode": spec.volume_mode,
        },
    });
    serde_json::from_value(volume).map(Some).context("the volume is not a PersistentVolume")
}

/// The volume's name, if its claim is gone and its class said to delete it.
pub(super) fn name_to_reclaim(volume: &PersistentVolume) -> Option<&str> {
    let ours = volume.annotations().get(PROVISIONED_BY).is_some_and(|driver| is_ours(driver));
    let phase = volume.status.as_ref()?.phase.as_deref();
    let policy = volume.spec.as_ref()?.persistent_volume_reclaim_policy.as_deref();
    let stays = volume.metadata.deletion_timestamp.is_none();
    let due = ours && stays && phase == Some("Released") && policy == Some("Delete");
    due.then_some(volume.metadata.name.as_deref()).flatten()
}

fn is_ours(driver: &str) -> bool {
    [NFS, PROXMOX].contains(&driver)
}

fn csi_source(claim: &PersistentVolumeClaim, class: &StorageClass, volume: &str) -> Value {
    let parameter = |key: &str| {
        let parameters = class.parameters.as_ref();
        parameters.and_then(|parameters| parameters.get(key)).map(String::as_str)
    };
    // Parameters with the CSI prefix are for the provisioner, not for the driver.
    let mut attributes: Map<String, Value> = class
        .parameters
        .iter()
        .flatten()
        .filter(|(key, _)| !key.starts_with("csi.storage.k8s.io/"))
        .map(|(key, value)| (key.clone(), value.as_str().into()))
        .collect();
    let handle = if class.provisioner == NFS {
        attributes.insert("subdir".into(), volume.into());
        attributes.insert("csi.storage.k8s.io/pv/name".into(), volume.into());
        attributes.insert("csi.storage.k8s.io/pvc/name".into(), claim.name_any().into());
        attributes.insert("csi.storage.k8s.io/pvc/namespace".into(), claim.namespace().into());
        let server = parameter("server").unwrap_or_default();
        let share = parameter("share").unwrap_or_default().trim_matches('/');
        format!("{server}#{share}#{volume}##")
    } else {
        let storage = parameter("storage").unwrap_or_default();
        format!("proxmox/node/{storage}/vm-9999-{volume}")
    };
    json!({
        "driver": class.provisioner,
        "volumeHandle": handle,
        "volumeAttributes": attributes,
        "fsType": parameter("csi.storage.k8s.io/fstype"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_nfs_volume_carries_the_classes_server_and_mount_options() {
        let volume = provisioned(&claim(&[]), &class(NFS, "Immediate"))
            .expect("claim and class are whole")
            .expect("nothing to wait for");
        assert_eq!(volume.name_any(), "pvc-7b0b");
        let spec = volume.spec.expect("it has a spec");
        let csi = spec.csi.expect("it is a CSI volume");
        assert_eq!(csi.volume_handle, "192.168.1.127#srv/nfs#pvc-7b0b##");
        assert_eq!(csi.fs_type, None);
        assert_eq!(csi.volume_attributes.expect("some")["server"], "192.168.1.127");
        assert_eq!(spec.mount_options, Some(vec!["soft".to_owned()]));
        assert_eq!(spec.claim_ref.expect("it is for one claim").uid.as_deref(), Some("7b0b"));
    }

    #[test]
    fn a_claim_that_waits_for_its_consumer_gets_a_volume_once_a_node_is_selected() {
        let class = class(PROXMOX, "WaitForFirstConsumer");
        let waiting = provisioned(&claim(&[]), &class).expect("claim and class are whole");
        assert_eq!(waiting, None);
        let selected = claim(&[(SELECTED_NODE, "k8s-node1")]);
        assert!(provisioned(&selected, &class).expect("claim and class are whole").is_some());
    }

    #[test]
    fn only_unbound_claims_of_our_drivers_are_provisioned() {
        assert_eq!(class_to_provision(&claim(&[])), None);
        assert_eq!(class_to_provision(&claim(&[(PROVISIONER, "ebs.csi.aws.com")])), None);
        let mut ours = claim(&[(PROVISIONER, NFS)]);
        assert_eq!(class_to_provision(&ours), Some("nfs-proxmox"));
        ours.spec.as_mut().expect("it has a spec").volume_name = Some("pvc-7b0b".into());
        assert_eq!(class_to_provision(&ours), None);
    }

    fn claim(annotations: &[(&str, &str)]) -> PersistentVolumeClaim {
        let annotations: Map<String, Value> =
            annotations.iter().map(|&(key, value)| (key.to_owned(), value.into())).collect();
        serde_json::from_value(json!({
            "metadata": {
                "name": "data-vault-0",
                "namespace": "vault",
                "uid": "7b0b",
                "annotations": annotations,
            },
            "spec": {
                "accessModes": ["ReadWriteOnce"],
                "resources": {"requests": {"storage": "10Gi"}},
                "storageClassName": "nfs-proxmox",
            },
        }))
        .expect("a claim")
    }

    fn class(provisioner: &str, binding: &str) -> StorageClass {
        serde_json::from_value(json!({
            "metadata": {"name": "nfs-proxmox"},
            "provisioner": provisioner,
            "parameters": {"server": "192.168.1.127", "share": "/srv/nfs"},
            "mountOptions": ["soft"],
            "reclaimPolicy": "Delete",
            "volumeBindingMode": binding,
        }))
        .expect("a class")
    }
}
