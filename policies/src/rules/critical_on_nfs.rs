//! `critical-on-nfs`: no critical workload on NFS.

use super::{Case, Reads, Rule, Setting, Wrong};
use crate::{
    backing::Kind,
    config,
    decide::{Change, Operation},
    facts::{self, Object, WorkloadKind},
    resolve::Volume,
    verdict::Leniency,
};

/// Users that finish a binding. Which of them writes depends on the binding
/// mode and on `--use-service-account-credentials`.
const BINDERS: [&str; 3] = [
    "system:serviceaccount:kube-system:persistent-volume-binder",
    "system:kube-controller-manager",
    "system:kube-scheduler",
];

/// Finds every volume of a critical subject that ends up on forbidden storage,
/// or on storage nobody can name.
#[derive(Debug)]
pub struct CriticalOnNfs;

impl Rule for CriticalOnNfs {
    fn name(&self) -> &'static str {
        "critical-on-nfs"
    }

    fn reads(&self) -> &'static [Reads] {
        const WRITES: &[Operation] = &[Operation::Create, Operation::Update];
        &[
            Reads { kind: facts::Kind::Workload(WorkloadKind::StatefulSet), operations: WRITES },
            Reads { kind: facts::Kind::Claim, operations: WRITES },
        ]
    }

    fn setting(&self, settings: &config::Rules) -> Setting {
        let config::CriticalOnNfs { mode, on_unknown, forbid: _ } = settings.critical_on_nfs;
        Setting { mode, on_unknown }
    }

    fn judge(&self, case: &Case<'_>) -> Vec<Wrong> {
        if case.critical.is_none() {
            return Vec::new();
        }
        let volumes = case.resolver.volumes(&case.subject.namespace, case.object);
        volumes.into_iter().filter_map(|volume| wrong(case, volume)).collect()
    }
}

fn wrong(case: &Case<'_>, volume: Volume<'_>) -> Option<Wrong> {
    let forbid = &case.policy.settings.critical_on_nfs.forbid;
    let passes =
        |kind| kind != Kind::Unknown && !forbid.iter().any(|forbidden| forbidden.covers(kind));
    if passes(volume.resolved.backing.kind()) {
        return None;
    }
    // No class helps a claim that names its volume.
    let claim = volume.claim.filter(|claim| claim.volume_name().is_none());
    Some(Wrong {
        volume: volume.name.to_owned(),
        field: volume.field,
        resolved: volume.resolved,
        passing_classes: claim.map(|claim| case.resolver.classes_for(claim, passes)),
        leniency: is_binding(case).then_some(Leniency::Binding),
    })
}

/// Whether the write only completes a binding: the volume names the claim
/// already, or a binder says so that may be ahead of the caches. Denied here,
/// the volume would stay bound to a claim that does not know of it.
fn is_binding(case: &Case<'_>) -> bool {
    let (Change::Update { old: Object::Claim(old), .. }, Object::Claim(claim)) =
        (&case.subject.change, case.object)
    else {
        return false;
    };
    let Some(volume) = claim.volume_name() else { return false };
    let set_now = old.volume_name().is_none();
    let by_binder = BINDERS.iter().any(|binder| case.subject.user == **binder);
    (set_now && by_binder) || case.resolver.promised(volume, &case.subject.namespace, claim)
}

#[cfg(test)]
mod tests {
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
        assert_eq!(
            chains,
            ["claim data → PersistentVolume kept → volume source nfs → NFS nas:/kept"]
        );
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
        priority["spec"]["template"]["spec"]["priorityClassName"] =
            json!("system-cluster-critical");
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
            (
                "object label",
                "web",
                &in_metadata,
                Some("it has the label nfs-guard.io/critical=true"),
            ),
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
            assert_eq!(
                verdict.critical.as_ref().map(ToString::to_string).as_deref(),
                why,
                "{name}"
            );
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
    fn an_update_is_denied_only_for_what_it_adds() {
        let on = |class: &str| set(&[("data", class)], &json!([]));
        let with = |volumes: Value| set(&[("data", "nfs-proxmox")], &volumes);
        let nfs = json!([{"name": "logs", "nfs": {"server": "nas", "path": "/logs"}}]);
        let mut critical = on("nfs-proxmox");
        critical["metadata"]["labels"] = json!({"nfs-guard.io/critical": "true"});
        for (name, namespace, old, new, expected) in [
            ("nothing new", "vault", with(json!([])), with(json!([])), Effect::Warn),
            ("another volume", "vault", with(json!([])), with(nfs.clone()), Effect::Deny),
            ("one volume less", "vault", with(nfs.clone()), with(json!([])), Effect::Warn),
            ("made critical", "web", on("nfs-proxmox"), critical.clone(), Effect::Warn),
            ("label shed, nothing else", "web", critical.clone(), on("nfs-proxmox"), Effect::Warn),
            ("label shed and NFS added", "web", critical, with(nfs), Effect::Deny),
            (
                "never critical",
                "web",
                on("proxmox-lvm-encrypted"),
                on("nfs-proxmox"),
                Effect::Allow,
            ),
        ] {
            assert_eq!(
                Judge::incident().update(namespace, &old, &new).told().0,
                expected,
                "{name}"
            );
        }
    }

    #[test]
    fn a_binding_is_refused_to_a_person_and_never_to_the_binder() {
        let old = claim(&json!({"storageClassName": ""}));
        let new = claim(&json!({"storageClassName": "", "volumeName": "vault-old"}));
        let by = |user| Judge::incident().by(user).update("vault", &old, &new).told().0;
        assert_eq!(by("developer"), Effect::Deny);
        for binder in BINDERS {
            assert_eq!(by(binder), Effect::Warn, "{binder}");
        }

        let mut objects = incident();
        objects[4]["spec"]["claimRef"] = json!({"namespace": "vault", "name": "data"});
        let promised = Judge { cluster: cluster(&objects), ..Judge::incident() };
        assert_eq!(promised.update("vault", &old, &new).told().0, Effect::Warn);
    }

    #[test]
    fn where_a_claim_would_have_gone_does_not_excuse_where_it_goes() {
        let nowhere = claim(&json!({}));
        let by_class = claim(&json!({"storageClassName": "nfs-proxmox"}));
        let by_volume = claim(&json!({"volumeName": "vault-old"}));
        for (name, user, old, new, expected) in [
            ("a default class that came late", BINDERS[0], &nowhere, &by_class, Effect::Deny),
            ("a person's choice of class", "developer", &nowhere, &by_class, Effect::Deny),
            ("a person's choice of volume", "developer", &nowhere, &by_volume, Effect::Deny),
            ("the binder's volume", BINDERS[0], &nowhere, &by_volume, Effect::Warn),
        ] {
            let told = Judge::incident().by(user).update("vault", old, new).told();
            assert_eq!(told.0, expected, "{name}: {told:?}");
        }
        let mut labelled = by_class.clone();
        labelled["metadata"]["labels"] = json!({"team": "secrets"});
        assert_eq!(Judge::incident().update("vault", &by_class, &labelled).told().0, Effect::Warn);
    }

    #[test]
    fn a_volume_that_exists_decides_by_its_own_mode() {
        let mut objects = incident();
        objects.push(json!({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "kept"}, "spec": {
            "claimRef": {"namespace": "vault", "name": "data"}, "nfs": {"server": "nas", "path": "/kept"},
        }}));
        let judge = Judge { cluster: cluster(&objects), ..Judge::incident() };
        for spec in [
            json!({"volumeMode": "Block", "volumeName": "kept", "storageClassName": ""}),
            json!({"volumeMode": "Block", "storageClassName": "proxmox-lvm-encrypted"}),
        ] {
            assert_eq!(judge.create("vault", &claim(&spec)).told().0, Effect::Deny, "{spec}");
        }
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
        assert_eq!(warnings.last().unwrap(), "nfs-guard: and 980 more volumes like these");
    }

    #[test]
    fn what_is_on_its_way_out_or_excluded_is_never_held_up() {
        let mut leaving = claim(&json!({"storageClassName": "nfs-proxmox"}));
        leaving["metadata"]["deletionTimestamp"] = json!("2026-04-22T09:00:00Z");
        let before = claim(&json!({}));
        let outcome = Judge::incident().update("vault", &before, &leaving);
        assert_eq!((outcome.told().0, outcome.missed), (Effect::Allow, crate::Missed::default()));

        let mut critical = set(&[("data", "nfs-proxmox")], &json!([]));
        critical["metadata"]["labels"] = json!({"nfs-guard.io/critical": "true"});
        assert_eq!(Judge::incident().create("kube-system", &critical).told().0, Effect::Allow);
    }

    #[test]
    fn an_update_of_nothing_that_is_read_is_never_held_up() {
        let mut old = set(&[("data", "nfs-proxmox"), ("audit", "gone")], &json!([]));
        old["metadata"]["resourceVersion"] = json!("1");
        let mut new = old.clone();
        new["metadata"]["resourceVersion"] = json!("2");
        new["metadata"]["finalizers"] = json!([]);
        new["status"] = json!({"replicas": 1});
        let strict = json!({"rules": {"critical-on-nfs": {"onUnknown": "deny"}}});
        let judge = Judge::incident().configured(strict);
        let blind = Judge { cluster: crate::Snapshot::default(), ..judge };
        for judge in [Judge::incident(), blind] {
            let outcome = judge.update("vault", &old, &new);
            assert!(outcome.verdict.denial().is_none(), "{outcome:?}");
            assert_eq!((outcome.missed, outcome.settled), (crate::Missed::default(), true));
        }
    }

    #[test]
    fn says_what_it_had_to_do_without() {
        let outcome =
            Judge::incident().create("new", &claim(&json!({"storageClassName": "fast-ssd"})));
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
}
