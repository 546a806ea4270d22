//! The kinds that run pods, and what becomes of their volumes.

use serde_json::{Value, json};

use super::*;
use crate::Effect;
use crate::testing::{Judge, claim, class, cluster, incident, owned, pod, set, stored, wrapped};

const NOW: &str = "2026-05-01T00:00:00Z";

const NFS: &str = "StorageClass nfs-proxmox → provisioner nfs.csi.k8s.io → NFS";

#[test]
fn every_kind_is_judged_by_the_volumes_of_its_pods() {
    let volumes = json!([{"name": "v", "nfs": {"server": "nas", "path": "/x"}}]);
    for kind in WorkloadKind::ALL {
        let manifest = wrapped(kind, &json!({"volumes": volumes}));
        let verdict = Judge::incident().create("vault", &manifest).verdict;
        assert_eq!(verdict.effect(), Effect::Deny, "{}", verdict.subject);
        let field = format!("{}.volumes[0]", kind.pod_spec_path());
        assert_eq!(verdict.findings[0].field, field);
        let kind = facts::Kind::Workload(kind);
        assert_eq!(verdict.subject.to_string(), format!("{kind} vault/vault-0"));
    }
}

#[test]
fn a_static_pods_image_is_never_held_up() {
    let mut mirror = pod(&json!([{"name": "v", "nfs": {"server": "nas", "path": "/x"}}]));
    mirror["metadata"]["annotations"] = json!({"kubernetes.io/config.mirror": "1"});
    assert_eq!(Judge::incident().create("vault", &mirror).told().0, Effect::Allow);
}

#[test]
fn a_set_takes_the_claims_that_are_there_under_its_names() {
    let existing = |name: &str, class: &str| {
        json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim",
            "metadata": {"name": name, "namespace": "vault"}, "spec": {"storageClassName": class}})
    };
    let on_block = |replicas: u64, start: u64| {
        let mut set = set(&[("data", "proxmox-lvm-encrypted")], &json!([]));
        set["spec"]["replicas"] = json!(replicas);
        set["spec"]["ordinals"] = json!({"start": start});
        set
    };
    let judge = |claims: &[(&str, &str)]| {
        let mut objects = incident();
        objects.extend(claims.iter().map(|(name, class)| existing(name, class)));
        Judge { cluster: cluster(&objects), ..Judge::incident() }
    };
    let on_nfs =
        judge(&[("data-vault-0", "proxmox-lvm-encrypted"), ("data-vault-2", "nfs-proxmox")]);
    for (name, replicas, start, expected) in [
        ("within its replicas", 3, 0, Effect::Deny),
        ("beyond them", 2, 0, Effect::Allow),
        ("by where it starts to count", 1, 2, Effect::Deny),
        ("before that", 5, 3, Effect::Allow),
        ("more replicas than there are claims", 1_000_000, 0, Effect::Deny),
    ] {
        let (effect, chains) = on_nfs.create("vault", &on_block(replicas, start)).told();
        assert_eq!(effect, expected, "{name}");
        if expected == Effect::Deny {
            let chain = format!("volumeClaimTemplate data → claim data-vault-2 → {NFS}");
            assert_eq!(chains, [chain], "{name}");
        }
    }
    for (name, claims) in [
        ("another set's", &[("data-vault-x-0", "nfs-proxmox")][..]),
        ("not as a number is written", &[("data-vault-00", "nfs-proxmox")]),
        ("another template's", &[("audit-vault-0", "nfs-proxmox")]),
    ] {
        for replicas in [3, 1_000_000] {
            let told = judge(claims).create("vault", &on_block(replicas, 0)).told();
            assert_eq!(told.0, Effect::Allow, "{name}, {replicas} replicas");
        }
    }
    let scaled = on_nfs.update("vault", &on_block(2, 0), &on_block(3, 0)).told();
    assert_eq!(scaled.0, Effect::Deny, "scaled up into a claim on NFS");
}

#[test]
fn a_pod_has_the_claim_that_was_made_for_it() {
    let template =
        json!({"volumeClaimTemplate": {"spec": {"storageClassName": "proxmox-lvm-encrypted"}}});
    let pod = stored(pod(&json!([{"name": "tmp", "ephemeral": template}])), "vault", NOW);
    let bound = |owner: &Value| {
        let mut claim = claim(&json!({"volumeName": "vault-old"}));
        claim["metadata"]["name"] = json!("vault-0-tmp");
        owned(stored(claim, "vault", NOW), owner)
    };
    let mut other = pod.clone();
    other["metadata"]["uid"] = json!("another's");
    for (name, owner, expected) in
        [("made for it", &pod, Effect::Deny), ("made for another", &other, Effect::Allow)]
    {
        let told = Judge::incident().with(&[bound(owner)]).scan("vault", &pod).told();
        assert_eq!(told.0, expected, "{name}: {told:?}");
    }
}

#[test]
fn a_cron_job_is_critical_by_the_label_of_its_jobs() {
    let volumes = json!([{"name": "v", "nfs": {"server": "nas", "path": "/x"}}]);
    let mut manifest = wrapped(WorkloadKind::CronJob, &json!({"volumes": volumes}));
    manifest["spec"]["jobTemplate"]["metadata"] =
        json!({"labels": {"nfs-guard.io/critical": "true"}});
    let verdict = Judge::incident().create("web", &manifest).verdict;
    assert_eq!(verdict.effect(), Effect::Deny);
    let why = verdict.critical.unwrap().to_string();
    assert_eq!(why, "its jobs have the label nfs-guard.io/critical=true");
}

#[test]
fn sources_built_into_kubernetes_are_what_they_are() {
    for (source, on_nfs) in [
        (json!({"awsElasticBlockStore": {}}), Effect::Allow),
        (json!({"vsphereVolume": {}}), Effect::Allow),
        (json!({"azureFile": {}}), Effect::Allow),
        (json!({"cephfs": {}}), Effect::Allow),
        (json!({"hostPath": {"path": "/srv"}}), Effect::Allow),
        (json!({"local": {"path": "/srv"}}), Effect::Allow),
        (json!({"projected": {"sources": []}}), Effect::Allow),
        (json!({"flexVolume": {"driver": "example.com/some"}}), Effect::Warn),
        (json!({"flexVolume": {"driver": "alicloud/nas"}}), Effect::Deny),
        (json!({"flexVolume": {"driver": "example.com/nfs-mounter"}}), Effect::Deny),
        (json!({"nfs": {"server": "nas", "path": "/srv"}}), Effect::Deny),
        (json!({"csi": {"driver": "efs.csi.aws.com"}}), Effect::Deny),
        (json!({"csi": {"driver": "smb.csi.k8s.io"}}), Effect::Allow),
    ] {
        let mut volume = json!({"name": "v"});
        volume.as_object_mut().unwrap().extend(source.as_object().unwrap().clone());
        let told = Judge::incident().create("vault", &pod(&json!([volume]))).told();
        assert_eq!(told.0, on_nfs, "{source}");
    }
}

#[test]
fn an_in_tree_volumes_options_may_be_in_its_annotation() {
    let mut objects = incident();
    objects[5]["metadata"]["annotations"] =
        json!({"volume.beta.kubernetes.io/mount-options": "hard,nfsvers=3"});
    let judge = Judge { cluster: cluster(&objects), ..Judge::incident() };
    let chain = "claim data → PersistentVolume in-tree → volume source nfs → NFSv3 192.168.1.127:/srv/nfs/x";
    assert_eq!(judge.create("vault", &claim(&json!({"volumeName": "in-tree"}))).told().1, [chain]);
}

#[test]
fn volumes_of_the_same_class_are_a_sign_where_nobody_knows_the_driver() {
    let mut objects = incident();
    objects.push(class("fast", "storage.example.com", false));
    let claim = claim(&json!({"storageClassName": "fast"}));
    let told = |objects: &[Value]| {
        let judge = Judge { cluster: cluster(objects), ..Judge::incident() };
        judge.create("vault", &claim).told()
    };
    let unknown = "claim data → StorageClass fast → provisioner storage.example.com → \
                   unknown: driver storage.example.com is in no catalogue";
    assert_eq!(told(&objects), (Effect::Warn, vec![unknown.to_owned()]));
    objects.push(json!({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "made"}, "spec": {
        "storageClassName": "fast", "nfs": {"server": "nas", "path": "/made"},
        "claimRef": {"namespace": "web", "name": "other"},
    }}));
    let suspected = format!("{unknown}, but PersistentVolume made, of the same making, is NFS");
    assert_eq!(told(&objects), (Effect::Warn, vec![suspected]));
}
