//! What an update is judged by: what it adds, and who makes it.

use serde_json::{Value, json};

use crate::{
    Effect,
    terms::users::BINDERS,
    testing::{Judge, claim, cluster, incident, set},
};

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
        ("never critical", "web", on("proxmox-lvm-encrypted"), on("nfs-proxmox"), Effect::Allow),
    ] {
        assert_eq!(Judge::incident().update(namespace, &old, &new).told().0, expected, "{name}");
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
fn what_might_have_been_does_not_excuse_what_is() {
    let share = json!({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "share"},
        "spec": {"storageClassName": "proxmox-lvm-encrypted", "capacity": {"storage": "10Gi"},
            "accessModes": ["ReadWriteOnce"], "nfs": {"server": "nas", "path": "/x"}},
        "status": {"phase": "Available"}});
    let judge = Judge::incident().with(&[share]);
    let may = set(&[("data", "proxmox-lvm-encrypted")], &json!([]));
    let does = set(&[], &json!([{"name": "data", "nfs": {"server": "nas", "path": "/x"}}]));
    let mut labelled = may.clone();
    labelled["metadata"]["labels"] = json!({"team": "secrets"});
    for (name, old, new, expected) in [
        ("a volume that may be bound, as before", &may, &labelled, Effect::Warn),
        ("NFS, where a volume might have been bound", &may, &does, Effect::Deny),
        ("another way there", &does, &may, Effect::Deny),
    ] {
        let told = judge.update("vault", old, new).told();
        assert_eq!(told.0, expected, "{name}: {told:?}");
    }
}
