//! What is critical for the sake of another.

use serde_json::{Value, json};

use crate::{
    Effect,
    facts::WorkloadKind,
    testing::{Judge, claim, owned, pod, set, stored, wrapped},
};

const NFS: &str = "nfs-proxmox";

fn critical(mut manifest: Value) -> Value {
    manifest["metadata"]["labels"] = json!({"nfs-guard.io/critical": "true"});
    manifest
}

fn named(mut manifest: Value, name: &str) -> Value {
    manifest["metadata"]["name"] = json!(name);
    manifest
}

fn on_web(manifest: Value) -> Value {
    stored(manifest, "web", "2026-01-01T00:00:00Z")
}

fn nfs() -> Value {
    json!({"volumes": [{"name": "v", "nfs": {"server": "nas", "path": "/x"}}]})
}

#[test]
fn a_pod_is_critical_as_what_makes_it() {
    let deployment = on_web(critical(named(wrapped(WorkloadKind::Deployment, &nfs()), "api")));
    let replicas =
        on_web(owned(named(wrapped(WorkloadKind::ReplicaSet, &nfs()), "api-5d"), &deployment));
    let pod = owned(pod(&nfs()["volumes"]), &replicas);
    let mut other = deployment.clone();
    other["metadata"]["uid"] = json!("of another");
    let plain = on_web(named(wrapped(WorkloadKind::Deployment, &nfs()), "api"));
    for (name, objects, expected) in [
        (
            "by its ReplicaSet's Deployment",
            vec![deployment, replicas.clone()],
            Some(
                "Deployment api, which makes it, is critical: it has the label nfs-guard.io/critical=true",
            ),
        ),
        ("the Deployment is not", vec![plain, replicas.clone()], None),
        ("another Deployment of that name is", vec![other, replicas], None),
    ] {
        let verdict = Judge::incident().with(&objects).create("web", &pod).verdict;
        let why = verdict.critical.as_ref().map(ToString::to_string);
        assert_eq!(why.as_deref(), expected, "{name}");
        let effect = if expected.is_some() { Effect::Deny } else { Effect::Allow };
        assert_eq!(verdict.effect(), effect, "{name}");
    }
}

#[test]
fn an_owner_that_the_caches_lack_is_looked_up_where_it_matters() {
    let deployment = on_web(named(wrapped(WorkloadKind::ReplicaSet, &nfs()), "api"));
    let missed = |volumes: &Value| {
        let outcome = Judge::incident().create("web", &owned(pod(volumes), &deployment));
        outcome.missed.keys.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(missed(&nfs()["volumes"]), ["ReplicaSet web/api"]);
    let passing = json!([{"name": "tmp", "emptyDir": {}}]);
    assert!(missed(&passing).is_empty(), "nothing of it lasts");
}

#[test]
fn a_claim_is_critical_as_who_uses_it() {
    let mounting = |claim: &str| {
        let volumes = json!([{"name": "d", "persistentVolumeClaim": {"claimName": claim}}]);
        on_web(critical(named(set(&[], &volumes), "db")))
    };
    let templated = |set_name: &str, template: &str| {
        on_web(critical(named(set(&[(template, NFS)], &json!([])), set_name)))
    };
    let ephemeral = |volume: &str| {
        let template = json!({"volumeClaimTemplate": {"spec": {}}});
        on_web(critical(pod(&json!([{"name": volume, "ephemeral": template}]))))
    };
    let uses = "which uses it, is critical: it has the label nfs-guard.io/critical=true";
    for (name, consumer, claim_name, expected) in [
        ("mounted by name", mounting("shared"), "shared", Some("StatefulSet db")),
        ("another is mounted", mounting("other"), "shared", None),
        ("made from a template", templated("db", "data"), "data-db-0", Some("StatefulSet db")),
        ("beyond its replicas", templated("db", "data"), "data-db-77", Some("StatefulSet db")),
        (
            "names with dashes",
            templated("my-db", "the-data"),
            "the-data-my-db-3",
            Some("StatefulSet my-db"),
        ),
        ("no such template", templated("db", "data"), "audit-db-0", None),
        ("not as a number is written", templated("db", "data"), "data-db-00", None),
        ("no number", templated("db", "data"), "data-db-x", None),
        ("an ephemeral volume", ephemeral("the-tmp"), "vault-0-the-tmp", Some("Pod vault-0")),
        ("not an ephemeral one", ephemeral("tmp"), "vault-0-other", None),
    ] {
        let judge = Judge::incident().with(&[consumer]);
        let wanted = named(claim(&json!({"storageClassName": NFS})), claim_name);
        let verdict = judge.create("web", &wanted).verdict;
        let why = verdict.critical.as_ref().map(ToString::to_string);
        let expected = expected.map(|consumer| format!("{consumer}, {uses}"));
        assert_eq!(why, expected, "{name}");
        let effect = if expected.is_some() { Effect::Deny } else { Effect::Allow };
        assert_eq!(verdict.effect(), effect, "{name}");
    }
}

/// An NFS volume that anybody may have.
#[test]
fn a_claim_is_critical_as_any_of_those_whose_names_come_to_its_own() {
    let one = on_web(named(set(&[("data", "proxmox-lvm-encrypted")], &json!([])), "x-y"));
    let other = on_web(named(set(&[("data-x", "proxmox-lvm-encrypted")], &json!([])), "y"));
    let claim = named(claim(&json!({"storageClassName": NFS})), "data-x-y-0");
    for (name, objects) in [
        ("StatefulSet y", [one.clone(), critical(other.clone())]),
        ("StatefulSet x-y", [critical(one), other]),
    ] {
        let verdict = Judge::incident().with(&objects).create("web", &claim).verdict;
        assert_eq!(verdict.effect(), Effect::Deny, "{name}");
        assert!(verdict.critical.unwrap().to_string().starts_with(name));
    }
}

fn share() -> Value {
    json!({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "share"},
        "spec": {"storageClassName": "manual", "nfs": {"server": "nas", "path": "/x"}}})
}

/// The same, promised to that claim.
fn promised(namespace: &str, claim: &str, uid: Option<&str>) -> Value {
    let mut volume = share();
    volume["spec"]["claimRef"] = json!({"namespace": namespace, "name": claim, "uid": uid});
    volume
}

#[test]
fn a_volume_is_critical_as_the_claim_it_is_promised_to() {
    let consumer = on_web(critical(set(&[("data", NFS)], &json!([]))));
    let waiting = on_web(claim(&json!({"storageClassName": "manual"})));
    let free = share();
    let mut disk = promised("vault", "data", None);
    disk["spec"]["nfs"] = json!(null);
    disk["spec"]["iscsi"] = json!({});
    for (name, objects, old, new, expected) in [
        (
            "to a claim of a critical namespace",
            vec![],
            &free,
            promised("vault", "data", None),
            Effect::Deny,
        ),
        (
            "by its uid, at last",
            vec![],
            &promised("vault", "data", None),
            promised("vault", "data", Some("1")),
            Effect::Deny,
        ),
        (
            "to another claim than before",
            vec![],
            &promised("web", "data", None),
            promised("vault", "data", None),
            Effect::Deny,
        ),
        (
            "to a claim that a critical set uses",
            vec![consumer.clone()],
            &free,
            promised("web", "data-vault-0", None),
            Effect::Deny,
        ),
        (
            "to a claim that is not critical",
            vec![waiting],
            &free,
            promised("web", "data", None),
            Effect::Allow,
        ),
        ("taken back", vec![], &promised("vault", "data", None), free.clone(), Effect::Allow),
        (
            "its uid taken back",
            vec![],
            &promised("vault", "data", Some("1")),
            promised("vault", "data", None),
            Effect::Allow,
        ),
        (
            "as it was",
            vec![],
            &promised("vault", "data", Some("1")),
            promised("vault", "data", Some("1")),
            Effect::Allow,
        ),
        ("a disk", vec![], &free, disk, Effect::Allow),
        (
            "in a namespace that is excluded",
            vec![],
            &free,
            promised("kube-system", "data", None),
            Effect::Allow,
        ),
    ] {
        let judge = Judge::incident().with(&objects);
        let told = judge.update("", old, &new).told();
        assert_eq!(told.0, expected, "{name}: {told:?}");
    }
}

#[test]
fn a_promise_is_written_again_to_a_claim_that_has_the_volume() {
    let named = claim(&json!({"storageClassName": "manual", "volumeName": "share"}));
    let named = stored(named, "vault", "2026-01-01T00:00:00Z");
    let mut bound_before = share();
    let by_controller = json!({"pv.kubernetes.io/bound-by-controller": "yes"});
    bound_before["metadata"]["annotations"] = by_controller;
    for (name, phase, volume, expected) in [
        ("it had it before", "Bound", &bound_before, Effect::Warn),
        ("it had another of that name", "Bound", &share(), Effect::Deny),
        ("it lost what had that name", "Lost", &bound_before, Effect::Deny),
        ("it only asks for it", "Pending", &bound_before, Effect::Deny),
    ] {
        let mut claim = named.clone();
        claim["status"] = json!({"phase": phase});
        let again = promised("vault", "data", Some("1"));
        let told = Judge::incident().with(&[claim]).update("", volume, &again).told();
        assert_eq!(told.0, expected, "{name}: {told:?}");
    }
}

#[test]
fn a_provisioners_promise_is_told_and_a_denied_one_says_why() {
    let made = Judge::incident().create("", &promised("vault", "data", Some("1")));
    assert_eq!(made.told().0, Effect::Warn, "a provisioner's");
    let outcome = Judge::incident().update("", &share(), &promised("vault", "data", None));
    let denial = outcome.verdict.denial().unwrap().message;
    for part in [
        "critical-on-nfs: PersistentVolume share would put a critical claim on NFS:",
        "claim data → PersistentVolume share → volume source nfs → NFS nas:/x",
        "PersistentVolumeClaim data, which it is promised to, is critical: namespace vault has",
    ] {
        assert!(denial.contains(part), "{denial}");
    }
}
