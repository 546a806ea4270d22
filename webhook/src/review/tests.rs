//! Which requests are judged, and as what.

use serde_json::{Value, json};

use super::*;

/// A review of that request, with what every request has.
fn body(request: &Value) -> Vec<u8> {
    let mut all = json!({"uid": "u", "namespace": "vault", "userInfo": {"username": "developer"}});
    all.as_object_mut().unwrap().extend(request.as_object().unwrap().clone());
    json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": all})
        .to_string()
        .into_bytes()
}

fn kind(group: &str, kind: &str) -> Value {
    json!({"group": group, "version": "v1", "kind": kind})
}

/// The scaling of that resource from two replicas to five.
fn scaling(group: &str, resource: &str) -> Value {
    let scale = |replicas: u32| json!({"metadata": {"name": "db", "namespace": "vault"}, "spec": {"replicas": replicas}});
    json!({
        "kind": kind("autoscaling", "Scale"),
        "resource": {"group": group, "version": "v1", "resource": resource},
        "subResource": "scale",
        "operation": "UPDATE",
        "object": scale(5),
        "oldObject": scale(2),
    })
}

fn with(mut request: Value, field: &str, value: Value) -> Value {
    request[field] = value;
    request
}

#[test]
fn of_deletions_only_those_are_judged_that_a_rule_reads() {
    let object = json!({"metadata": {"name": "gone"}});
    for (name, gate, group, of, judged) in [
        ("a class", Gate::Validating, "storage.k8s.io", "StorageClass", true),
        ("a class, to be changed", Gate::Mutating, "storage.k8s.io", "StorageClass", false),
        ("a volume", Gate::Validating, "", "PersistentVolume", false),
        ("a claim", Gate::Validating, "", "PersistentVolumeClaim", false),
        ("a pod", Gate::Validating, "", "Pod", false),
        ("a set", Gate::Validating, "apps", "StatefulSet", false),
        ("a namespace", Gate::Validating, "", "Namespace", false),
        ("a secret", Gate::Validating, "", "Secret", false),
    ] {
        let body = body(&json!({
            "kind": kind(group, of), "operation": "DELETE", "object": null, "oldObject": object,
        }));
        let mut request = Request::read(gate, &body).unwrap();
        assert!(request.scale(gate).unwrap().is_none(), "{name}");
        let subject = request.subject(gate).unwrap();
        assert_eq!(subject.is_some(), judged, "{name}");
        let Some(subject) = subject else { continue };
        let Change::Delete(deleted) = &subject.change else { panic!("{name}: {subject:?}") };
        assert_eq!(deleted.metadata().name, *"gone", "{name}");
        assert_eq!(subject.namespace, *"", "{name}");
    }
}

#[test]
fn a_deletion_without_the_object_is_none() {
    for (name, old) in [
        ("none", Value::Null),
        ("another type", json!(7)),
        ("a wrong field", json!({"provisioner": 7})),
    ] {
        let kind = kind("storage.k8s.io", "StorageClass");
        let body = body(&json!({"kind": kind, "operation": "DELETE", "oldObject": old}));
        let mut request = Request::read(Gate::Validating, &body).unwrap();
        let fault = request.subject(Gate::Validating).unwrap_err();
        assert!(matches!(fault, Fault::Object { field: "oldObject", .. }), "{name}: {fault}");
    }
}

#[test]
fn parts_of_objects_are_not_judged_but_for_scale() {
    let pod = json!({"metadata": {"name": "db"}, "spec": {"volumes": "none of this is read"}});
    for (part, operation, kind) in [
        ("status", "UPDATE", kind("", "Pod")),
        ("ephemeralcontainers", "UPDATE", kind("", "Pod")),
        ("resize", "UPDATE", kind("", "Pod")),
        ("eviction", "CREATE", kind("policy", "Eviction")),
        ("binding", "CREATE", kind("", "Binding")),
        ("exec", "CONNECT", kind("", "PodExecOptions")),
    ] {
        let body = body(&json!({
            "kind": kind, "subResource": part, "operation": operation,
            "resource": {"group": "", "version": "v1", "resource": "pods"},
            "object": pod, "oldObject": pod,
        }));
        for gate in [Gate::Mutating, Gate::Validating] {
            let mut request = Request::read(gate, &body).unwrap();
            assert!(request.scale(gate).unwrap().is_none(), "{part}");
            assert!(request.subject(gate).unwrap().is_none(), "{part}");
        }
    }
}

#[test]
fn what_is_scaled_is_known_by_its_resource() {
    use WorkloadKind::{Deployment, ReplicaSet, ReplicationController, StatefulSet};
    let set = || scaling("apps", "statefulsets");
    for (name, request, scaled) in [
        ("a set", set(), Some(StatefulSet)),
        ("a deployment", scaling("apps", "deployments"), Some(Deployment)),
        ("a replica set", scaling("apps", "replicasets"), Some(ReplicaSet)),
        ("a controller", scaling("", "replicationcontrollers"), Some(ReplicationController)),
        ("a job", scaling("batch", "jobs"), None),
        ("a custom resource", scaling("example.com", "statefulsets"), None),
        ("a resource nobody knows", scaling("apps", "statelesssets"), None),
        ("no resource", with(set(), "resource", json!({})), None),
        ("another kind", with(set(), "kind", kind("example.com", "Scale")), None),
        ("another operation", with(set(), "operation", json!("CREATE")), None),
        ("another part", with(set(), "subResource", json!("status")), None),
    ] {
        let body = body(&request);
        let mut request = Request::read(Gate::Validating, &body).unwrap();
        let found = request.scale(Gate::Validating).unwrap();
        assert_eq!(found.map(|scale| scale.kind()), scaled, "{name}");
        assert!(request.subject(Gate::Validating).unwrap().is_none(), "{name}");
        let mut request = Request::read(Gate::Mutating, &body).unwrap();
        assert!(request.scale(Gate::Mutating).unwrap().is_none(), "{name}: nothing to add");
    }
}

#[test]
fn a_scaling_is_an_update_of_its_workload() {
    let body = body(&scaling("apps", "statefulsets"));
    let mut request = Request::read(Gate::Validating, &body).unwrap();
    let scale = request.scale(Gate::Validating).unwrap().unwrap();
    assert_eq!(scale.workload().to_string(), "StatefulSet vault/db");
    assert_eq!(request.api_version(), "apps/v1", "of the set, not of the Scale");

    let set = r#"{"metadata": {"name": "db", "labels": {"tier": "db"}},
        "spec": {"replicas": 3, "ordinals": {"start": 10}}}"#;
    let mut json = serde_json::Deserializer::from_str(set);
    let kind = Kind::Workload(WorkloadKind::StatefulSet);
    let Object::Workload(set) = Object::read(kind, &mut json).unwrap() else { panic!("a set") };
    let subject = scale.of(set.clone());
    assert_eq!((&*subject.user, &*subject.namespace), ("developer", "vault"));
    let Change::Update { new, old, .. } = &subject.change else { panic!("{subject:?}") };
    assert_eq!(*new, Object::Workload(set.clone().scaled(5)));
    assert_eq!(*old, Object::Workload(set.scaled(2)), "as the apiserver says, not the cache");
    assert_eq!(subject.name().to_string(), "StatefulSet vault/db");
}

#[test]
fn a_scaling_that_cannot_be_read_is_a_fault() {
    let set = || scaling("apps", "statefulsets");
    for (name, request, told) in [
        ("no object", with(set(), "object", Value::Null), "object cannot be read as Scale"),
        ("no old object", with(set(), "oldObject", Value::Null), "oldObject cannot be read"),
        ("no name", with(set(), "object", json!({"metadata": {}})), "missing field `name`"),
        ("no namespace", with(set(), "namespace", json!("")), "names no namespace"),
    ] {
        let body = body(&request);
        let mut request = Request::read(Gate::Validating, &body).unwrap();
        let fault = request.scale(Gate::Validating).unwrap_err().to_string();
        assert!(fault.contains(told), "{name}: {fault}");
    }
}
