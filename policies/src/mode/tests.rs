//! A namespace may be stricter than the configuration, and never milder.

use serde_json::{Value, json};

use crate::{
    Effect,
    testing::{Judge, claim},
};

fn namespace(mode: Option<&str>) -> Value {
    let mut labels = json!({"nfs-guard.io/critical": "true"});
    if let Some(mode) = mode {
        labels["nfs-guard.io/critical-on-nfs"] = json!(mode);
    }
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "vault", "labels": labels}})
}

fn configured(mode: &str) -> Judge {
    Judge::incident().configured(json!({"rules": {"critical-on-nfs": {"mode": mode}}}))
}

#[test]
fn a_label_raises_the_mode_and_never_lowers_it() {
    for (mode, label, expected) in [
        ("off", None, Effect::Allow),
        ("off", Some("audit"), Effect::Audit),
        ("off", Some("enforce"), Effect::Deny),
        ("audit", Some("warn"), Effect::Warn),
        ("warn", Some("enforce"), Effect::Deny),
        ("warn", Some("audit"), Effect::Warn),
        ("enforce", Some("audit"), Effect::Deny),
        ("enforce", Some("off"), Effect::Deny),
        ("warn", Some("deny"), Effect::Warn),
    ] {
        let judge = configured(mode).with(&[namespace(label)]);
        let told = judge.create("vault", &claim(&json!({}))).told();
        assert_eq!(told.0, expected, "{mode}, {label:?}");
    }
}

#[test]
fn a_volume_is_promised_in_the_mode_of_its_claims_namespace() {
    let volume = |claim: Value| {
        json!({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "share"},
            "spec": {"nfs": {"server": "nas", "path": "/x"}, "claimRef": claim}})
    };
    let promised = volume(json!({"namespace": "vault", "name": "data"}));
    for (label, expected) in [(None, Effect::Warn), (Some("enforce"), Effect::Deny)] {
        let judge = configured("warn").with(&[namespace(label)]);
        let told = judge.update("", &volume(json!(null)), &promised).told();
        assert_eq!(told.0, expected, "{label:?}");
    }
}

#[test]
fn a_change_of_the_label_is_recorded() {
    for (mode, old, new, expected, message) in [
        ("warn", None, Some("enforce"), Effect::Audit, "mode here from none to `enforce`"),
        ("warn", Some("enforce"), None, Effect::Audit, "mode here from `enforce` to none"),
        (
            "enforce",
            None,
            Some("audit"),
            Effect::Warn,
            "mode here from none to `audit`, which changes nothing: a label can only raise it",
        ),
        (
            "warn",
            None,
            Some("deny"),
            Effect::Warn,
            "mode here from none to `deny`, which changes nothing: a label can only raise it",
        ),
        ("warn", Some("enforce"), Some("enforce"), Effect::Allow, ""),
    ] {
        let verdict = configured(mode).update("", &namespace(old), &namespace(new)).verdict;
        assert_eq!(verdict.effect(), expected, "{old:?} to {new:?}");
        let told = verdict.findings.first().map(crate::Finding::message);
        assert_eq!(told.unwrap_or_default(), message, "{old:?} to {new:?}");
    }
}
