//! What is borne with, and what is not.

use serde_json::{Value, json};

use crate::{
    Effect, Leniency,
    facts::WorkloadKind,
    testing::{Judge, claim, class, owned, pod, set, stored, wrapped},
};

const BLOCK: &str = "proxmox-lvm-encrypted";
const NFS: &str = "nfs-proxmox";
const STATEFUL_SET_CONTROLLER: &str = "system:serviceaccount:kube-system:statefulset-controller";
const BEFORE: &str = "2026-01-01T00:00:00Z";
const SINCE: &str = "2026-02-01T00:00:00Z";
const AFTER: &str = "2026-03-01T00:00:00Z";

fn since() -> Judge {
    Judge::incident().configured(json!({"ratchet": {"since": SINCE}}))
}

fn inline() -> Value {
    json!([{"name": "v", "nfs": {"server": "nas", "path": "/x"}}])
}

/// A claim that is bound to an NFS volume.
fn bound(name: &str, created: &str) -> Value {
    let mut claim = claim(&json!({"storageClassName": BLOCK, "volumeName": "vault-old"}));
    claim["metadata"]["name"] = json!(name);
    stored(claim, "vault", created)
}

/// The first pod of a set, with its claim in place of the template.
fn first_pod(of: &Value) -> Value {
    let volumes = json!([{"name": "data", "persistentVolumeClaim": {"claimName": "data-vault-0"}}]);
    owned(pod(&volumes), of)
}

#[test]
fn a_controller_makes_what_the_spec_of_its_owner_says() {
    let dirty =
        stored(wrapped(WorkloadKind::StatefulSet, &json!({"volumes": inline()})), "vault", AFTER);
    let clean = stored(wrapped(WorkloadKind::StatefulSet, &json!({})), "vault", AFTER);
    let mut other = dirty.clone();
    other["metadata"]["uid"] = json!("of another");
    let made = owned(pod(&inline()), &dirty);
    let free = pod(&inline());
    for (name, user, owner, made, expected) in [
        ("by a person", "developer", &dirty, &free, Effect::Deny),
        ("by a person who names an owner", "developer", &dirty, &made, Effect::Deny),
        ("by its controller", STATEFUL_SET_CONTROLLER, &dirty, &made, Effect::Warn),
        ("by a controller, for nobody", STATEFUL_SET_CONTROLLER, &dirty, &free, Effect::Deny),
        ("after a clean spec", STATEFUL_SET_CONTROLLER, &clean, &made, Effect::Deny),
        ("after another of that name", STATEFUL_SET_CONTROLLER, &other, &made, Effect::Deny),
    ] {
        let judge = Judge::incident().by(user).with(std::slice::from_ref(owner));
        assert_eq!(judge.create("vault", made).told().0, expected, "{name}");
    }
    let gone = Judge::incident().by(STATEFUL_SET_CONTROLLER).create("vault", &made);
    assert_eq!(gone.told().0, Effect::Deny);
    assert!(gone.missed.keys.iter().any(|key| key.to_string() == "StatefulSet vault/vault-0"));
}

#[test]
fn the_claims_of_a_set_are_as_its_templates() {
    let of = |class: &str| stored(set(&[("data", class)], &json!([])), "vault", AFTER);
    let mut made = claim(&json!({"storageClassName": NFS}));
    made["metadata"]["name"] = json!("data-vault-0");
    let mut other = made.clone();
    other["metadata"]["name"] = json!("audit-vault-0");
    for (name, user, set, claim, expected) in [
        ("as in the template", STATEFUL_SET_CONTROLLER, of(NFS), &made, Effect::Warn),
        ("not as in the template", STATEFUL_SET_CONTROLLER, of(BLOCK), &made, Effect::Deny),
        ("of no template", STATEFUL_SET_CONTROLLER, of(NFS), &other, Effect::Deny),
        ("of a class nobody knows", STATEFUL_SET_CONTROLLER, of("gone"), &made, Effect::Deny),
        ("by a person", "developer", of(NFS), &made, Effect::Deny),
    ] {
        let judge = Judge::incident().by(user).with(&[set]);
        assert_eq!(judge.create("vault", claim).told().0, expected, "{name}");
    }
}

#[test]
fn an_ephemeral_claim_is_borne_with_as_its_pod_was() {
    let scratch = |class: &str| {
        let template = json!({"metadata": {}, "spec": {"storageClassName": class}});
        json!([{"name": "scratch", "ephemeral": {"volumeClaimTemplate": template}}])
    };
    let set_of = |class: &str| {
        let spec = json!({"volumes": scratch(class)});
        stored(wrapped(WorkloadKind::StatefulSet, &spec), "vault", AFTER)
    };
    let cluster = json!({"apiVersion": "postgresql.cnpg.io/v1", "kind": "Cluster",
        "metadata": {"name": "pg", "uid": "pg"}});
    let trusting = json!({"ratchet": {"since": SINCE, "controllers": ["system:*:cnpg"]}});
    let free = pod(&scratch(NFS));
    for (name, judge, pod, owner, created, expected) in [
        ("made after a spec", since(), owned(free.clone(), &set_of(NFS)), NFS, AFTER, Effect::Warn),
        ("not so", since(), owned(free.clone(), &set_of(BLOCK)), BLOCK, AFTER, Effect::Deny),
        ("an old pod", since(), free.clone(), BLOCK, BEFORE, Effect::Warn),
        ("judged by itself", since(), free.clone(), NFS, AFTER, Effect::Deny),
        ("an operator's", since(), owned(free.clone(), &cluster), NFS, AFTER, Effect::Deny),
        (
            "a trusted one's",
            since().configured(trusting),
            owned(free.clone(), &cluster),
            NFS,
            AFTER,
            Effect::Warn,
        ),
    ] {
        let pod = stored(pod, "vault", created);
        let mut made = owned(claim(&json!({"storageClassName": NFS})), &pod);
        made["metadata"]["name"] = json!("vault-0-scratch");
        let judge = judge.by("system:serviceaccount:kube-system:ephemeral-volume-controller");
        let told = judge.with(&[set_of(owner), pod]).create("vault", &made).told();
        assert_eq!(told.0, expected, "{name}: {told:?}");
    }
}

#[test]
fn a_spec_that_nobody_judged_excuses_nothing() {
    let mut set = set(&[("data", NFS)], &json!([]));
    set["metadata"]["name"] = json!("db");
    let maker = stored(set, "web", AFTER);
    let volumes = json!([{"name": "d", "persistentVolumeClaim": {"claimName": "data-db-0"}}]);
    let mut waiting = wrapped(WorkloadKind::Deployment, &json!({"volumes": volumes}));
    waiting["metadata"]["labels"] = json!({"nfs-guard.io/critical": "true"});
    let waiting = stored(waiting, "web", AFTER);
    let mut made = claim(&json!({"storageClassName": NFS}));
    made["metadata"]["name"] = json!("data-db-0");
    let judge = Judge::incident().by(STATEFUL_SET_CONTROLLER).with(&[maker]);
    assert_eq!(judge.create("web", &made).told().0, Effect::Allow, "nobody critical uses it");
    let judge = judge.with(&[waiting]);
    assert_eq!(judge.create("web", &made).told().0, Effect::Deny, "a critical pod waits for it");
}

#[test]
fn the_pods_of_a_clean_set_may_keep_the_claims_that_are_old() {
    let clean = stored(set(&[("data", BLOCK)], &json!([])), "vault", AFTER);
    for (name, created, expected) in
        [("bound before the guard", BEFORE, Effect::Warn), ("bound since", AFTER, Effect::Deny)]
    {
        let claim = bound("data-vault-0", created);
        let judge = since().with(&[clean.clone(), claim.clone()]);
        let judge = judge.by(STATEFUL_SET_CONTROLLER);
        let pod = first_pod(&clean);
        assert_eq!(judge.create("vault", &pod).told().0, expected, "pod, {name}");
        let by_person = judge.by("developer");
        assert_eq!(by_person.create("vault", &pod).told().0, Effect::Deny, "pod, {name}");
        // Made anew around the claims that an orphaning deletion left.
        let judge = since().with(&[claim]);
        assert_eq!(judge.create("vault", &clean).told().0, expected, "set, {name}");
    }
    let unknown = Judge::incident().with(&[bound("data-vault-0", BEFORE)]);
    assert_eq!(unknown.create("vault", &clean).told().0, Effect::Deny, "nobody knows since when");
}

#[test]
fn a_template_that_says_it_is_old_is_no_claim() {
    let mut set = set(&[("data", BLOCK)], &json!([]));
    let template = &mut set["spec"]["volumeClaimTemplates"][0];
    template["metadata"]["creationTimestamp"] = json!(BEFORE);
    template["spec"]["volumeName"] = json!("vault-old");
    assert_eq!(since().create("vault", &set).told().0, Effect::Deny);
}

#[test]
fn a_new_set_may_not_mount_just_any_old_claim() {
    let volumes = json!([{"name": "d", "persistentVolumeClaim": {"claimName": "dumps"}}]);
    let judge = since().with(&[bound("dumps", BEFORE)]);
    assert_eq!(judge.create("vault", &set(&[], &volumes)).told().0, Effect::Deny);
}

#[test]
fn an_old_claim_excuses_no_other_volume() {
    let on = |class| stored(set(&[("data", BLOCK), ("audit", class)], &json!([])), "vault", AFTER);
    let judge = since().with(&[bound("data-vault-0", BEFORE)]);
    assert_eq!(judge.create("vault", &on(BLOCK)).told().0, Effect::Warn);
    assert_eq!(judge.create("vault", &on(NFS)).told().0, Effect::Deny);
    let young = judge.with(&[bound("data-vault-1", AFTER)]);
    let mut two = on(BLOCK);
    two["spec"]["replicas"] = json!(2);
    assert_eq!(young.create("vault", &two).told().0, Effect::Deny, "one of two claims is new");
}

#[test]
fn a_set_migrates_claim_by_claim_and_is_never_locked_out() {
    let mut clean = stored(set(&[("data", BLOCK)], &json!([])), "vault", AFTER);
    clean["spec"]["replicas"] = json!(3);
    let claims = |old: u32| (0..old).map(|n| bound(&format!("data-vault-{n}"), BEFORE));
    for left in (0..3).rev() {
        let objects: Vec<_> = claims(left).chain([clean.clone()]).collect();
        let judge = since().by(STATEFUL_SET_CONTROLLER).with(&objects);
        let mut fresh = claim(&json!({"storageClassName": BLOCK}));
        fresh["metadata"]["name"] = json!(format!("data-vault-{left}"));
        assert_eq!(judge.create("vault", &fresh).told().0, Effect::Allow, "claim {left}");
        let expected = if left > 0 { Effect::Warn } else { Effect::Allow };
        let judge = judge.with(&[stored(fresh, "vault", AFTER)]);
        assert_eq!(judge.create("vault", &clean).told().0, expected, "set with {left} old claims");
        let pod = judge.create("vault", &first_pod(&clean)).told();
        assert_eq!(pod.0, expected, "the first pod beside {left} old claims");
        let mut labelled = clean.clone();
        labelled["metadata"]["labels"] = json!({"team": "secrets"});
        assert_eq!(judge.update("vault", &clean, &labelled).told().0, expected);
    }
}

#[test]
fn owners_that_nobody_can_read() {
    let cluster = json!({"apiVersion": "postgresql.cnpg.io/v1", "kind": "Cluster",
        "metadata": {"name": "db", "uid": "1"}});
    let fresh = owned(pod(&inline()), &cluster);
    let volumes = json!([{"name": "d", "persistentVolumeClaim": {"claimName": "db-1"}}]);
    let on_old_claim = owned(pod(&volumes), &cluster);
    let operator = "system:serviceaccount:cnpg-system:cnpg-manager";
    let trusted =
        json!({"ratchet": {"since": SINCE, "controllers": ["system:serviceaccount:cnpg-*"]}});
    let ordinary = json!({"ratchet": {"since": SINCE}});
    for (name, config, user, pod, claimed, expected) in [
        ("an operator that is trusted", &trusted, operator, &fresh, BEFORE, Effect::Warn),
        ("one that is not", &ordinary, operator, &fresh, BEFORE, Effect::Deny),
        (
            "one that is not, on an old claim",
            &ordinary,
            operator,
            &on_old_claim,
            BEFORE,
            Effect::Warn,
        ),
        (
            "one that is not, on a new claim",
            &ordinary,
            operator,
            &on_old_claim,
            AFTER,
            Effect::Deny,
        ),
        ("a person who names such an owner", &trusted, "developer", &fresh, BEFORE, Effect::Deny),
        ("a person, on an old claim", &trusted, "developer", &on_old_claim, BEFORE, Effect::Deny),
    ] {
        let judge = Judge::incident().configured(config.clone()).by(user);
        let judge = judge.with(&[bound("db-1", claimed)]);
        assert_eq!(judge.create("vault", pod).told().0, expected, "{name}");
    }
}

#[test]
fn more_replicas_may_be_refused_to_what_is_on_nfs() {
    let of = |kind: &str, replicas: u32| {
        let mut set = set(&[], &inline());
        set["kind"] = json!(kind);
        set["spec"]["replicas"] = json!(replicas);
        set
    };
    let deny = json!({"ratchet": {"scaleUp": "deny"}});
    for (name, config, kind, from, to, expected) in [
        ("by default", json!({}), "StatefulSet", 1, 2, Effect::Warn),
        ("up", deny.clone(), "StatefulSet", 1, 2, Effect::Deny),
        ("up, a deployment", deny.clone(), "Deployment", 1, 2, Effect::Deny),
        ("down", deny.clone(), "StatefulSet", 2, 1, Effect::Warn),
        ("as it was", deny, "StatefulSet", 2, 2, Effect::Warn),
    ] {
        let judge = Judge::incident().configured(config);
        let told = judge.update("vault", &of(kind, from), &of(kind, to)).told();
        assert_eq!(told.0, expected, "{name}");
    }
}

#[test]
fn the_grace_ends_on_its_day() {
    let dirty = stored(set(&[], &inline()), "vault", BEFORE);
    let made = owned(pod(&inline()), &dirty);
    let mut image = dirty.clone();
    image["spec"]["template"]["spec"]["priorityClassName"] = json!("high");
    let mut down = dirty.clone();
    down["spec"]["replicas"] = json!(0);
    let mut labelled = dirty.clone();
    labelled["metadata"]["labels"] = json!({"team": "secrets"});
    let config = json!({"ratchet": {"since": SINCE, "until": "2026-06-01"}});
    let judge = |now| {
        Judge::incident()
            .configured(config.clone())
            .by(STATEFUL_SET_CONTROLLER)
            .at(now)
            .with(std::slice::from_ref(&dirty))
    };
    let (last, first) = (judge("2026-05-31T23:59:59Z"), judge("2026-06-01T00:00:00Z"));
    for (name, told, expected) in [
        ("a pod, the day before", last.create("vault", &made), Effect::Warn),
        ("a pod", first.create("vault", &made), Effect::Deny),
        ("a new template, the day before", last.update("vault", &dirty, &image), Effect::Warn),
        ("a new template", first.update("vault", &dirty, &image), Effect::Deny),
        ("fewer replicas", first.update("vault", &dirty, &down), Effect::Warn),
        ("a label", first.update("vault", &dirty, &labelled), Effect::Warn),
        ("nothing at all", first.update("vault", &dirty, &dirty), Effect::Warn),
        ("as it stands, the day before", last.scan("vault", &dirty), Effect::Warn),
        ("as it stands", first.scan("vault", &dirty), Effect::Deny),
    ] {
        assert_eq!(told.told().0, expected, "{name}");
    }
}

#[test]
fn what_stands_is_told_apart() {
    let old = stored(set(&[], &inline()), "vault", BEFORE);
    let new = stored(set(&[], &inline()), "vault", AFTER);
    let made = |by| stored(owned(pod(&inline()), by), "vault", AFTER);
    let mut on_old = pod(&json!([{"name": "d", "persistentVolumeClaim": {"claimName": "db-1"}}]));
    on_old = stored(on_old, "vault", AFTER);
    for (name, owner, object, expected) in [
        ("a set from before", &old, &old, Some(Leniency::BeforeTheGuard)),
        ("a set since", &new, &new, None),
        ("a pod of a set from before", &old, &made(&old), Some(Leniency::OwnersSpec)),
        ("a pod of a set since", &new, &made(&new), None),
        ("a pod on a claim from before", &new, &on_old, Some(Leniency::OldClaim)),
    ] {
        let judge = since().with(&[owner.clone(), bound("db-1", BEFORE)]);
        let outcome = judge.scan("vault", object);
        let expected_effect = if expected.is_some() { Effect::Warn } else { Effect::Deny };
        let finding = &outcome.verdict.findings[0];
        assert_eq!((finding.effect, &finding.leniency), (expected_effect, &expected), "{name}");
    }
}

#[test]
fn a_volume_that_is_made_anew_is_not_what_an_old_claim_had() {
    let clean = stored(set(&[("data", BLOCK)], &json!([])), "vault", AFTER);
    let mut claim = bound("data-vault-0", BEFORE);
    claim["spec"]["volumeName"] = json!("share");
    for (created, while_made, standing) in
        [(BEFORE, Effect::Warn, Effect::Warn), (AFTER, Effect::Deny, Effect::Deny)]
    {
        let share = json!({"apiVersion": "v1", "kind": "PersistentVolume",
            "metadata": {"name": "share", "creationTimestamp": created},
            "spec": {"storageClassName": BLOCK, "nfs": {"server": "nas", "path": "/x"}}});
        let judge = since().with(&[clean.clone(), claim.clone(), share]);
        assert_eq!(judge.scan("vault", &claim).told().0, standing, "claim, {created}");
        let judge = judge.by(STATEFUL_SET_CONTROLLER);
        assert_eq!(judge.create("vault", &first_pod(&clean)).told().0, while_made, "{created}");
    }
}

#[test]
fn a_class_made_anew_does_not_excuse_what_its_sets_never_said() {
    let set = stored(set(&[("data", "fast")], &json!([])), "vault", AFTER);
    let young = bound("data-vault-0", AFTER);
    let judge =
        since().with(&[class("fast", "csi.proxmox.sinextra.dev", false), set.clone(), young]);
    let judge = judge.by(STATEFUL_SET_CONTROLLER);
    assert_eq!(judge.create("vault", &first_pod(&set)).told().0, Effect::Deny);
}

#[test]
fn a_set_that_scales_down_may_let_go_of_its_worst_claim() {
    let config = json!({"rules": {"critical-on-nfs": {"onUnknown": "deny"}}});
    let judge = Judge::incident().configured(config).with(&[bound("data-vault-1", AFTER)]);
    let of = |replicas: u32| {
        let mut set = set(&[("data", "gone")], &json!([]));
        set["spec"]["replicas"] = json!(replicas);
        set
    };
    assert_eq!(judge.update("vault", &of(2), &of(1)).told().0, Effect::Warn);
    assert_eq!(judge.update("vault", &of(1), &of(2)).told().0, Effect::Deny);
}
