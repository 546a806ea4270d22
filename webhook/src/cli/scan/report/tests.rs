//! What a scan tells apart.

use nfs_guard_policies::{
    GuardConfig, Snapshot,
    text::{Reduce as _, Strings},
};
use serde_json::{Value, json};

use super::{super::table, *};

const BEFORE: &str = "2026-01-01T00:00:00Z";
const SINCE: &str = "2026-02-01T00:00:00Z";
const AFTER: &str = "2026-03-01T00:00:00Z";
const NOW: &str = "2026-04-01T00:00:00Z";

fn object(mut manifest: Value, name: &str, created: &str) -> Value {
    manifest["metadata"]["name"] = json!(name);
    manifest["metadata"]["namespace"] = json!("vault");
    manifest["metadata"]["uid"] = json!(format!("uid-{name}"));
    manifest["metadata"]["creationTimestamp"] = json!(created);
    manifest
}

fn deployment(name: &str, created: &str) -> Value {
    let volumes = json!([{"name": "v", "nfs": {"server": "nas", "path": "/x"}}]);
    let manifest = json!({"apiVersion": "apps/v1", "kind": "Deployment",
        "spec": {"template": {"spec": {"volumes": volumes}}}});
    object(manifest, name, created)
}

fn made(of: &Value, kind: &str, name: &str) -> Value {
    let mut manifest = deployment(name, AFTER);
    manifest["kind"] = json!(kind);
    if kind == "Pod" {
        manifest["apiVersion"] = json!("v1");
        manifest["spec"] = of["spec"]["template"]["spec"].clone();
    }
    manifest["metadata"]["ownerReferences"] = json!([{"apiVersion": of["apiVersion"],
        "kind": of["kind"], "name": of["metadata"]["name"], "uid": of["metadata"]["uid"],
        "controller": true}]);
    manifest
}

fn scan(manifests: &[Value]) -> ScanReport {
    let mut cluster = Snapshot::complete();
    let mut strings = Strings::default();
    let labels = json!({"nfs-guard.io/critical": "true"});
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace",
        "metadata": {"name": "vault", "labels": labels}});
    let objects: Vec<_> = manifests.iter().chain([&namespace]).collect();
    let objects = objects.into_iter().map(|manifest| {
        let text = |key: &str| manifest[key].as_str().unwrap();
        let kind = Kind::of_manifest(text("apiVersion"), text("kind")).unwrap();
        Object::read(kind, manifest).unwrap().into_stored(&mut strings)
    });
    let objects: Vec<_> = objects.collect();
    for object in &objects {
        cluster.insert(object.clone());
    }
    let config: GuardConfig = serde_json::from_value(json!({"ratchet": {"since": SINCE}})).unwrap();
    let policy = Policy::new(config);
    let since = policy.ratchet.since;
    let judged_by =
        JudgedBy { config: "defaults".into(), fingerprint: Fingerprint::default(), since };
    judge(objects, &cluster, &policy, judged_by, NOW.parse().unwrap())
}

fn told(report: &ScanReport) -> Vec<(Category, String, Option<&str>)> {
    let findings = report.findings.iter();
    let told = findings.map(|Standing { category, excuse, finding, .. }| {
        (*category, format!("{} {}", finding.kind, finding.name), excuse.as_deref())
    });
    told.collect()
}

#[test]
fn what_stands_is_told_apart_and_the_worst_comes_first() {
    let unknown = {
        let mut manifest = deployment("unknown", AFTER);
        manifest["spec"]["template"]["spec"]["volumes"] = json!([{"name": "v", "holographic": {}}]);
        manifest
    };
    let exemption = object(
        json!({"apiVersion": "nfs-guard.io/v1alpha1", "kind": "StorageExemption", "spec": {
            "target": {"kind": "Deployment", "name": "exempt"}, "rules": ["critical-on-nfs"],
            "reason": "dumps", "expiresAt": "2026-05-01T00:00:00Z",
        }}),
        "leave",
        AFTER,
    );
    let report = scan(&[
        deployment("old", BEFORE),
        deployment("new", AFTER),
        deployment("exempt", AFTER),
        unknown,
        exemption,
    ]);
    assert_eq!(
        told(&report),
        [
            (Category::Violation, "Deployment new".to_owned(), None),
            (Category::Unknown, "Deployment unknown".to_owned(), None),
            (Category::Grandfathered, "Deployment old".to_owned(), Some("there before the guard")),
            (
                Category::Exempt,
                "Deployment exempt".to_owned(),
                Some("exempt by leave until 2026-05-01")
            ),
        ]
    );
    assert_eq!(report.findings[3].finding.exemption.as_deref(), Some("leave"));
    let Summary { objects, violations, unknown, grandfathered, exempt, warnings } = report.summary;
    assert_eq!((objects, violations, unknown, grandfathered, exempt, warnings), (4, 1, 1, 1, 1, 0));
}

#[test]
fn the_table_has_one_line_for_the_pods_of_one_owner() {
    let deployment = deployment("api", AFTER);
    let replicas = made(&deployment, "ReplicaSet", "api-5d");
    let pods = ["api-5d-x", "api-5d-y", "api-5d-z"].map(|name| made(&replicas, "Pod", name));
    let report = scan(&[&[deployment, replicas][..], &pods].concat());
    assert_eq!(report.summary.violations, 5, "each of them in JSON");
    let owners = report.findings.iter().filter_map(|standing| standing.owner.as_ref());
    assert!(owners.clone().all(|owner| owner.kind == "Deployment" && owner.name == "api"));
    assert_eq!(owners.count(), 4);
    let mut text = Vec::new();
    table::print(&mut text, &report).unwrap();
    let text = anstream::adapter::strip_str(str::from_utf8(&text).unwrap()).to_string();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 5, "{text}");
    assert!(lines[2].contains("Deployment vault/api (3 of kind Pod)"), "{text}");
    assert!(lines[2].contains("volume v → volume source nfs → NFS nas:/x"), "{text}");
    assert_eq!(
        lines[4],
        "objects judged: 5, violations: 5, unknown: 0, grandfathered: 0, exempt: 0, warnings: 0"
    );
}

#[test]
fn what_has_ended_or_is_not_critical_is_not_told() {
    let mut elsewhere = deployment("web", AFTER);
    elsewhere["metadata"]["namespace"] = json!("web");
    let report = scan(&[elsewhere]);
    assert!(report.findings.is_empty(), "{report:?}");
}
