//! What a guard is asked, and what it should answer.

use jiff::Timestamp;
use nfs_guard_policies::{
    Gate, Policy, Snapshot, decide,
    facts::{Kind, WorkloadKind},
    rules::CRITICAL_LABEL,
};
use serde_json::{Value, json};

use crate::{
    audit::Decision,
    review::{Answer, Request},
};

/// The namespace and the user of every review. It need not exist, and what is
/// written to it is judged by the configuration and the object alone; so the
/// rules of this process, which see no cluster, come to the same answer.
const NAME: &str = "nfs-guard-self-test";

/// One review, with no trace but a line in the audit log.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) title: &'static str,
    pub(super) gate: Gate,
    /// The kind of object it is about.
    pub(super) kind: Kind,
    pub(super) review: Value,
}

const SET: Kind = Kind::Workload(WorkloadKind::StatefulSet);
const POD: Kind = Kind::Workload(WorkloadKind::Pod);

/// What is asked at that gate, of whatever entry is called for the kind. Its volumes lie in the pod templates: nothing
/// has to be looked up for them.
pub(super) fn all(gate: Gate) -> Vec<Question> {
    let nfs = json!({"name": "data", "nfs": {"server": "192.0.2.1", "path": "/srv/nfs"}});
    let block = json!({
        "name": "data",
        "iscsi": {"targetPortal": "192.0.2.1", "iqn": "iqn.2001-04.com.example:data", "lun": 0},
    });
    match gate {
        Gate::Mutating => vec![
            Question::new("a Pod whose fsGroup has files walked", gate, POD, &pod(&block)),
            Question::new("a Pod without a volume", gate, POD, &pod(&Value::Null)),
        ],
        Gate::Validating | Gate::Inspection => vec![
            Question::new("a critical StatefulSet on NFS", gate, SET, &stateful_set(&nfs)),
            Question::new(
                "a critical StatefulSet on nothing",
                gate,
                SET,
                &stateful_set(&Value::Null),
            ),
            Question::new("a StorageClass that nobody names", gate, Kind::Class, &class()),
        ],
    }
}

/// What the rules of this process answer.
pub(super) fn expected(gate: Gate, review: &[u8], policy: &Policy) -> anyhow::Result<Value> {
    let mut request = Request::read(gate, review)?;
    let answer = match request.subject(gate)? {
        Some(subject) => {
            let outcome = decide(&subject, &Snapshot::complete(), policy, Timestamp::now());
            let verdict = &outcome.verdict;
            Answer::of(&request.uid, verdict, Decision::is_due(verdict))
        }
        None => Answer::unjudged(&request.uid),
    };
    Ok(serde_json::to_value(answer)?["response"].take())
}

/// A response in one word.
pub(super) fn decision(response: &Value) -> String {
    let told = response["auditAnnotations"]["decision"].as_str();
    told.map_or_else(|| format!("allowed: {}", response["allowed"]), str::to_owned)
}

/// The members in which two responses differ, with what each says.
pub(super) fn differences(expected: &Value, answered: &Value) -> Vec<String> {
    let members =
        ["uid", "allowed", "status", "patchType", "patch", "warnings", "auditAnnotations"];
    let differ = members.into_iter().filter(|member| expected[*member] != answered[*member]);
    differ
        .map(|member| format!("{member}: {}, expected {}", answered[member], expected[member]))
        .collect()
}

impl Question {
    fn new(title: &'static str, gate: Gate, kind: Kind, object: &Value) -> Self {
        let (group, version) = match object["apiVersion"].as_str().unwrap_or_default() {
            "v1" => ("", "v1"),
            other => other.split_once('/').unwrap_or_default(),
        };
        let review = json!({
            "apiVersion": "admission.k8s.io/v1",
            "kind": "AdmissionReview",
            "request": {
                "uid": NAME,
                "kind": {"group": group, "version": version, "kind": object["kind"]},
                "namespace": NAME,
                "name": NAME,
                "operation": "CREATE",
                "userInfo": {"username": NAME},
                "object": object,
                "dryRun": true,
            },
        });
        Self { title, gate, kind, review }
    }
}

fn stateful_set(volume: &Value) -> Value {
    json!({
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": NAME, "namespace": NAME, "labels": {CRITICAL_LABEL: "true"}},
        "spec": {"template": {"spec": pod(volume)["spec"]}},
    })
}

/// A class by which nothing changes for anybody: it is no default, and no claim has its
/// name.
fn class() -> Value {
    json!({
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": NAME},
        "provisioner": "nfs.csi.k8s.io",
    })
}

fn pod(volume: &Value) -> Value {
    let volumes: Vec<&Value> =
        Some(volume).filter(|volume| !volume.is_null()).into_iter().collect();
    let mounts: Vec<Value> = volumes
        .iter()
        .map(|volume| json!({"name": volume["name"], "mountPath": "/data"}))
        .collect();
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": NAME, "namespace": NAME},
        "spec": {
            "securityContext": {"fsGroup": 1000},
            "containers": [{"name": "app", "image": "app", "volumeMounts": mounts}],
            "volumes": volumes,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decisions(gate: Gate, config: &Value) -> Vec<String> {
        let policy = Policy::new(serde_json::from_value(config.clone()).unwrap());
        let questions = all(gate).into_iter();
        let expected = questions
            .map(|question| expected(gate, question.review.to_string().as_bytes(), &policy));
        expected.map(|response| decision(&response.unwrap())).collect()
    }

    #[test]
    fn what_is_expected_follows_the_configuration() {
        let mode = |rule: &str, mode: &str| json!({"rules": {rule: {"mode": mode}}});
        let off = json!({"critical": {"objectSelectors": []}});
        for (gate, config, decisions_expected) in [
            (Gate::Validating, json!({}), &["deny", "allow", "allow"][..]),
            (Gate::Validating, mode("critical-on-nfs", "warn"), &["warn", "allow", "allow"]),
            (Gate::Validating, mode("critical-on-nfs", "off"), &["allow", "allow", "allow"]),
            (Gate::Validating, off, &["allow", "allow", "allow"]),
            (Gate::Mutating, json!({}), &["patch", "allow"]),
            (Gate::Mutating, mode("fs-group-change-policy", "warn"), &["warn", "allow"]),
        ] {
            assert_eq!(decisions(gate, &config), decisions_expected, "{gate:?} {config}");
        }
    }

    #[test]
    fn nothing_of_the_cluster_is_asked_for_but_the_namespace_that_is_not_there() {
        let by_namespace = json!({"critical": {"objectSelectors": []}});
        for (gate, config, looked_up) in [
            (Gate::Validating, json!({}), &[][..]),
            (Gate::Validating, by_namespace, &["Namespace nfs-guard-self-test"]),
            (Gate::Mutating, json!({}), &[]),
        ] {
            let policy = Policy::new(serde_json::from_value(config).unwrap());
            for Question { title, review, kind, .. } in all(gate) {
                let review = review.to_string();
                let mut request = Request::read(gate, review.as_bytes()).unwrap();
                let subject = request.subject(gate).unwrap().expect("it is judged");
                let outcome = decide(&subject, &Snapshot::complete(), &policy, Timestamp::now());
                let keys: Vec<_> = outcome.missed.keys.iter().map(ToString::to_string).collect();
                let looked_up = if kind == Kind::Class { &[] } else { looked_up };
                assert_eq!(keys, looked_up, "{title}");
            }
        }
    }

    #[test]
    fn every_member_that_differs_is_named_with_both_values() {
        let good = json!({"uid": "u", "allowed": true, "auditAnnotations": {"decision": "allow"}});
        assert_eq!(differences(&good, &good), Vec::<String>::new());
        for (member, value) in [
            ("uid", json!("other")),
            ("allowed", json!(false)),
            ("status", json!({"code": 403})),
            ("patch", json!("W10=")),
            ("warnings", json!(["w"])),
            ("auditAnnotations", json!({"decision": "deny"})),
        ] {
            let mut bad = good.clone();
            bad[member] = value.clone();
            let expected = format!("{member}: {value}, expected {}", good[member]);
            assert_eq!(differences(&good, &bad), [expected]);
        }
    }
}
