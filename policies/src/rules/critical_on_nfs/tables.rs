//! What is judged, and what it comes to.

use serde_json::{Value, json};

use super::*;
use crate::Effect;
use crate::testing::{Judge, claim, class, cluster, incident, set};

const NFS: &str = "StorageClass nfs-proxmox → provisioner nfs.csi.k8s.io → NFS";

#[test]
fn judges_a_set_by_every_volume_of_its_pods() {
    let judge = Judge::incident();
    let nfs = json!({"name": "inline", "nfs": {"server": "nas", "path": "/x"}});
    for (name, manifest, effect, chains) in [
        (
            "both templates on NFS",
            set(&[("data", "nfs-proxmox"), ("audit", "nfs-proxmox")], &json!([])),
            Effect::Deny,
            vec![format!("volumeClaimTemplate data → {NFS}"), format!("volumeClaimTemplate audit → {NFS}")],
        ),
        ("block", set(&[("data", "proxmox-lvm-encrypted")], &json!([])), Effect::Allow, vec![]),
        (
            "one of two on NFS",
            set(&[("data", "proxmox-lvm-encrypted"), ("audit", "nfs-proxmox")], &json!([])),
            Effect::Deny,
            vec![format!("volumeClaimTemplate audit → {NFS}")],
        ),
        (
            "inline nfs",
            set(&[], &json!([nfs])),
            Effect::Deny,
            vec!["volume inline → volume source nfs → NFS nas:/x".into()],
        ),
        (
            "volumes that do not outlive the pod",
            set(&[], &json!([{"name": "a", "emptyDir": {}}, {"name": "b", "secret": {"secretName": "s"}}])),
            Effect::Allow,
            vec![],
        ),
        (
            "a generic ephemeral volume",
            set(&[], &json!([{"name": "tmp", "ephemeral": {"volumeClaimTemplate": {"spec": {}}}}])),
            Effect::Deny,
            vec!["volume tmp → StorageClass nfs-proxmox (cluster default) → provisioner nfs.csi.k8s.io → NFS".into()],
        ),
        (
            "a claim that is not there",
            set(&[], &json!([{"name": "old", "persistentVolumeClaim": {"claimName": "gone"}}])),
            Effect::Warn,
            vec!["volume old → claim gone → unknown: claim gone does not exist".into()],
        ),
        (
            "a pod volume that the template of its name replaces",
            set(&[("inline", "proxmox-lvm-encrypted")], &json!([nfs])),
            Effect::Allow,
            vec![],
        ),
        (
            "a source newer than the engine",
            set(&[], &json!([{"name": "new", "holographic": {}}])),
            Effect::Warn,
            vec!["volume new → volume source holographic → unknown: volume source holographic is not resolved".into()],
        ),
    ] {
        assert_eq!(judge.create("vault", &manifest).told(), (effect, chains), "{name}");
    }
}

#[test]
fn judges_a_claim_by_what_it_will_be_bound_to() {
    let judge = Judge::incident();
    let annotated = json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {
        "name": "data", "annotations": {"volume.beta.kubernetes.io/storage-class": "nfs-proxmox"},
    }, "spec": {"storageClassName": "proxmox-lvm-encrypted"}});
    for (name, manifest, effect, chain) in [
        ("class on NFS", claim(&json!({"storageClassName": "nfs-proxmox"})), Effect::Deny, format!("claim data → {NFS}")),
        ("class on block", claim(&json!({"storageClassName": "proxmox-lvm-encrypted"})), Effect::Allow, String::new()),
        (
            "no class, and the default is NFS",
            claim(&json!({})),
            Effect::Deny,
            "claim data → StorageClass nfs-proxmox (cluster default) → provisioner nfs.csi.k8s.io → NFS".into(),
        ),
        ("the annotation wins over the field", annotated, Effect::Deny, format!("claim data → {NFS}")),
        (
            "a static NFS volume by name",
            claim(&json!({"storageClassName": "", "volumeName": "vault-old"})),
            Effect::Deny,
            "claim data → PersistentVolume vault-old → driver nfs.csi.k8s.io → NFS 192.168.1.127:/srv/nfs/vault".into(),
        ),
        (
            "an in-tree volume by name",
            claim(&json!({"volumeName": "in-tree"})),
            Effect::Deny,
            "claim data → PersistentVolume in-tree → volume source nfs → NFSv4.1 192.168.1.127:/srv/nfs/x".into(),
        ),
        ("a block volume by name", claim(&json!({"volumeName": "disk"})), Effect::Allow, String::new()),
        ("a raw device", claim(&json!({"volumeMode": "Block"})), Effect::Allow, String::new()),
        (
            "a class that does not exist",
            claim(&json!({"storageClassName": "fast-ssd"})),
            Effect::Warn,
            "claim data → StorageClass fast-ssd → unknown: StorageClass fast-ssd does not exist".into(),
        ),
        (
            "a volume that does not exist",
            claim(&json!({"volumeName": "nowhere"})),
            Effect::Warn,
            "claim data → PersistentVolume nowhere → unknown: PersistentVolume nowhere does not exist".into(),
        ),
        (
            "no class on purpose",
            claim(&json!({"storageClassName": ""})),
            Effect::Warn,
            "claim data → unknown: bound to no volume yet, and provisioned by nobody".into(),
        ),
    ] {
        let chains = if chain.is_empty() { vec![] } else { vec![chain] };
        assert_eq!(judge.create("vault", &manifest).told(), (effect, chains), "{name}");
    }
}

#[test]
fn a_volume_promised_to_the_claim_beats_its_class() {
    let mut objects = incident();
    objects.push(json!({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "kept"}, "spec": {
        "claimRef": {"namespace": "vault", "name": "data"}, "nfs": {"server": "nas", "path": "/kept"},
    }}));
    let judge = Judge { cluster: cluster(&objects), ..Judge::incident() };
    let on_block = claim(&json!({"storageClassName": "proxmox-lvm-encrypted"}));
    let (effect, chains) = judge.create("vault", &on_block).told();
    assert_eq!(effect, Effect::Deny);
    assert_eq!(chains, ["claim data → PersistentVolume kept → volume source nfs → NFS nas:/kept"]);
}

#[test]
fn the_default_class_is_the_newest_and_then_the_first_by_name() {
    let dated = |name: &str, provisioner: &str, created: &str| {
        let mut class = class(name, provisioner, true);
        class["metadata"]["creationTimestamp"] = json!(created);
        class
    };
    for (name, classes, expected) in [
        (
            "newest",
            [
                dated("a", "nfs.csi.k8s.io", "2024-01-01T00:00:00Z"),
                dated("b", "csi.proxmox.sinextra.dev", "2025-01-01T00:00:00Z"),
            ],
            Effect::Allow,
        ),
        (
            "first by name",
            [
                dated("b", "csi.proxmox.sinextra.dev", "2024-01-01T00:00:00Z"),
                dated("a", "nfs.csi.k8s.io", "2024-01-01T00:00:00Z"),
            ],
            Effect::Deny,
        ),
        (
            "none",
            [class("a", "nfs.csi.k8s.io", false), class("b", "nfs.csi.k8s.io", false)],
            Effect::Warn,
        ),
    ] {
        let objects: Vec<_> = incident().into_iter().take(2).chain(classes).collect();
        let judge = Judge { cluster: cluster(&objects), ..Judge::incident() };
        assert_eq!(judge.create("vault", &claim(&json!({}))).told().0, expected, "{name}");
    }
}

#[test]
fn only_what_is_critical_is_judged() {
    let labelled = |at: &str| {
        let mut manifest = set(&[("data", "nfs-proxmox")], &json!([]));
        *manifest.pointer_mut(at).unwrap() = json!({"nfs-guard.io/critical": "true"});
        manifest
    };
    let mut in_metadata = set(&[("data", "nfs-proxmox")], &json!([]));
    in_metadata["metadata"]["labels"] = json!({"nfs-guard.io/critical": "true"});
    let mut priority = set(&[("data", "nfs-proxmox")], &json!([]));
    priority["spec"]["template"]["spec"]["priorityClassName"] = json!("system-cluster-critical");
    let config = json!({"critical": {"namespaces": ["db-*"], "priorityClasses": ["system-*"]}});
    let judge = Judge::incident().configured(config);
    let plain = set(&[("data", "nfs-proxmox")], &json!([]));
    for (name, namespace, manifest, why) in [
        ("nothing", "web", &plain, None),
        (
            "namespace label",
            "vault",
            &plain,
            Some("namespace vault has the label nfs-guard.io/critical=true"),
        ),
        ("object label", "web", &in_metadata, Some("it has the label nfs-guard.io/critical=true")),
        (
            "template label",
            "web",
            &labelled("/spec/template/metadata/labels"),
            Some("its pods have the label nfs-guard.io/critical=true"),
        ),
        (
            "namespace name",
            "db-orders",
            &plain,
            Some("namespace db-orders is configured as critical"),
        ),
        (
            "priority class",
            "web",
            &priority,
            Some("its pods have the priority class system-cluster-critical"),
        ),
    ] {
        let verdict = judge.create(namespace, manifest).verdict;
        assert_eq!(verdict.critical.as_ref().map(ToString::to_string).as_deref(), why, "{name}");
        let expected = if why.is_some() { Effect::Deny } else { Effect::Allow };
        assert_eq!(verdict.effect(), expected, "{name}");
    }
}

#[test]
fn modes_and_on_unknown_decide_what_a_finding_leads_to() {
    let (nfs, unknown) = (claim(&json!({})), claim(&json!({"storageClassName": "fast-ssd"})));
    for (mode, on_unknown, on_nfs, on_missing_class) in [
        ("enforce", "warn", Effect::Deny, Effect::Warn),
        ("enforce", "deny", Effect::Deny, Effect::Deny),
        ("enforce", "allow", Effect::Deny, Effect::Allow),
        ("warn", "deny", Effect::Warn, Effect::Warn),
        ("audit", "deny", Effect::Audit, Effect::Audit),
        ("off", "deny", Effect::Allow, Effect::Allow),
    ] {
        let rule = json!({"mode": mode, "onUnknown": on_unknown});
        let judge = Judge::incident().configured(json!({"rules": {"critical-on-nfs": rule}}));
        assert_eq!(judge.create("vault", &nfs).told().0, on_nfs, "{rule}");
        let outcome = judge.create("vault", &unknown);
        assert_eq!(outcome.told().0, on_missing_class, "{rule}");
        let asks = mode != "off";
        assert_eq!(outcome.missed.keys.is_empty(), !asks, "a rule that is off needs nothing");
    }
}

#[test]
fn other_network_filesystems_can_be_forbidden_too() {
    let volume = json!([{"name": "share", "cephfs": {"monitors": ["m"]}}]);
    let manifest = set(&[], &volume);
    let strict = json!({"rules": {"critical-on-nfs": {"forbid": ["nfs", "other-network-fs"]}}});
    assert_eq!(Judge::incident().create("vault", &manifest).told().0, Effect::Allow);
    assert_eq!(
        Judge::incident().configured(strict).create("vault", &manifest).told().0,
        Effect::Deny
    );
}

#[test]
fn a_volume_that_exists_decides_by_its_own_mode() {
    let mut objects = incident();
    objects.push(json!({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "kept"}, "spec": {
        "claimRef": {"namespace": "vault", "name": "data"}, "nfs": {"server": "nas", "path": "/kept"},
    }}));
    let judge = Judge { cluster: cluster(&objects), ..Judge::incident() };
    let by_name = claim(&json!({"volumeMode": "Block", "volumeName": "kept"}));
    assert_eq!(judge.create("vault", &by_name).told().0, Effect::Deny);
    // Only promised, it is not bound to a claim that asks for a raw device.
    let promised = claim(&json!({"volumeMode": "Block"}));
    assert_eq!(judge.create("vault", &promised).told().0, Effect::Allow);
}

#[test]
fn of_several_promised_volumes_the_worst_counts() {
    let promised = |name: &str, source: &Value| {
        let mut volume = json!({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name}, "spec": source});
        volume["spec"]["claimRef"] = json!({"namespace": "vault", "name": "data"});
        volume
    };
    let mut objects = incident();
    objects.push(promised("a-disk", &json!({"csi": {"driver": "csi.proxmox.sinextra.dev"}})));
    objects.push(promised("b-nfs", &json!({"nfs": {"server": "nas", "path": "/b"}})));
    let mut leaving = promised("c-nfs", &json!({"nfs": {"server": "nas", "path": "/c"}}));
    leaving["metadata"]["deletionTimestamp"] = json!("2026-04-22T09:00:00Z");
    objects.push(leaving);
    let on_block = claim(&json!({"storageClassName": "proxmox-lvm-encrypted"}));
    let judge = Judge { cluster: cluster(&objects), ..Judge::incident() };
    assert_eq!(
        judge.create("vault", &on_block).told().1,
        ["claim data → PersistentVolume b-nfs → volume source nfs → NFS nas:/b"]
    );
    objects.remove(objects.len() - 2);
    let judge = Judge { cluster: cluster(&objects), ..Judge::incident() };
    assert_eq!(judge.create("vault", &on_block).told().0, Effect::Allow);
}

#[test]
fn a_thousand_volumes_make_no_book() {
    let volumes: Vec<_> = (0..1000)
        .map(|at| json!({"name": format!("v{at}"), "nfs": {"server": "nas", "path": "/x"}}))
        .collect();
    let manifest = set(&[], &json!(volumes));
    let verdict = Judge::incident().create("vault", &manifest).verdict;
    assert_eq!(verdict.findings.len(), 1000);
    let denial = verdict.denial().unwrap();
    assert!(denial.message.len() < 4096, "{}", denial.message.len());
    assert!(denial.message.contains("and 980 more"), "{}", denial.message);
    let verdict = Judge::incident().update("vault", &manifest, &manifest).verdict;
    let warnings = verdict.warnings();
    assert!(warnings.iter().map(String::len).sum::<usize>() < 4096, "{warnings:?}");
    assert_eq!(warnings.last().unwrap(), "nfs-guard: and 980 more like these");
}

#[test]
fn only_for_what_is_told_are_other_classes_looked_for() {
    let names: Vec<_> = (0..1000).map(|at| format!("t{at}")).collect();
    let templates: Vec<_> = names.iter().map(|name| (&**name, "nfs-proxmox")).collect();
    let verdict = Judge::incident().create("vault", &set(&templates, &json!([]))).verdict;
    let helped = |finding: &&crate::Finding| {
        matches!(&finding.wrong, Wrong::Storage { passing_classes: Some(_), .. })
    };
    let helped = verdict.findings.iter().filter(helped).count();
    assert_eq!((verdict.findings.len(), helped), (1000, MOST_TOLD));
    assert!(verdict.denial().unwrap().message.contains("that pass: proxmox-lvm-encrypted."));
}

#[test]
fn says_what_it_had_to_do_without() {
    let outcome = Judge::incident().create("new", &claim(&json!({"storageClassName": "fast-ssd"})));
    let missed: Vec<_> = outcome.missed.keys.iter().map(ToString::to_string).collect();
    assert_eq!(missed, ["Namespace new"], "a subject that is not critical needs no class");

    let outcome =
        Judge::incident().create("vault", &claim(&json!({"storageClassName": "fast-ssd"})));
    let missed: Vec<_> = outcome.missed.keys.iter().map(ToString::to_string).collect();
    assert_eq!(missed, ["StorageClass fast-ssd"]);

    let blind = Judge { cluster: crate::Snapshot::default(), ..Judge::incident() };
    assert_eq!(
        blind.create("vault", &claim(&json!({}))).missed.not_synced,
        facts::WorkloadKind::ALL
            .map(facts::Kind::Workload)
            .into_iter()
            .chain([facts::Kind::Namespace])
            .collect(),
        "who uses it may make it critical"
    );
}

#[test]
fn a_denial_says_what_why_and_what_would_pass() {
    let manifest = set(&[("data", "nfs-proxmox"), ("audit", "nfs-proxmox")], &json!([]));
    let denial = Judge::incident().create("vault", &manifest).verdict.denial().unwrap();
    assert_eq!(
        denial.message,
        format!(
            "critical-on-nfs: StatefulSet vault/vault is critical, and 2 of its volumes end up on NFS:\n\
             \x20 volumeClaimTemplate data → {NFS}\n\
             \x20 volumeClaimTemplate audit → {NFS}\n\
             It is critical because namespace vault has the label nfs-guard.io/critical=true.\n\
             StorageClasses here that pass: proxmox-lvm-encrypted.\n\
             Does it have to be this storage? Ask whoever runs nfs-guard in this cluster for a StorageExemption."
        )
    );
    let fields: Vec<_> = denial.causes.iter().map(|(field, _)| field.as_str()).collect();
    assert_eq!(fields, ["spec.volumeClaimTemplates[0]", "spec.volumeClaimTemplates[1]"]);
}

#[test]
fn a_warning_names_the_rule_the_volume_and_the_reason() {
    let outcome =
        Judge::incident().create("vault", &claim(&json!({"storageClassName": "fast-ssd"})));
    assert_eq!(
        outcome.verdict.warnings(),
        ["critical-on-nfs: volume data: backing unknown: StorageClass fast-ssd does not exist"]
    );
}
