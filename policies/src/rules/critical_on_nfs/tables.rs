//! What is judged, and what it comes to.

use serde_json::{Value, json};

use super::*;
use crate::Effect;
use crate::testing::{Judge, claim, class, cluster, incident, pod, set, wrapped};

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
        [facts::Kind::Namespace].into()
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
             Does it have to be this storage? Ask whoever runs nfs-guard in this cluster for an exception."
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
fn what_a_controller_makes_is_told_and_not_denied() {
    let volumes = json!([{"name": "v", "nfs": {"server": "nas", "path": "/x"}}]);
    let free = pod(&volumes);
    let mut owned = free.clone();
    owned["metadata"]["ownerReferences"] = json!([{"apiVersion": "apps/v1", "kind": "StatefulSet",
        "name": "vault", "uid": "1", "controller": true}]);
    let controller = "system:serviceaccount:kube-system:statefulset-controller";
    for (name, user, manifest, expected) in [
        ("by a person", "developer", &free, Effect::Deny),
        ("by a person who names an owner", "developer", &owned, Effect::Deny),
        ("by a controller", controller, &owned, Effect::Warn),
        ("by a controller, for nobody", controller, &free, Effect::Deny),
    ] {
        let told = Judge::incident().by(user).create("vault", manifest).told();
        assert_eq!(told.0, expected, "{name}");
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
