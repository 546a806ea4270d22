//! The chart's values: what they become, which are refused, and that their
//! schema and their documentation tell the truth.

use std::{fs, process::Command};

use nfs_guard_integration_tests::{ControlPlane, Ran, binaries, chart::CHART};
use serde_json::{Map, Value, json};

use super::{RELEASE, render, text};

#[test]
fn refuses_values_it_does_not_know() {
    for (value, complaint) in [
        ("webhok.timeoutSeconds=3", "additional properties 'webhok' not allowed"),
        ("webhook.timeout=3", "additional properties 'timeout' not allowed"),
        ("webhook.timeoutSeconds=31", "maximum"),
        ("webhook.failurePolicy=Ignore", "additional properties 'failurePolicy' not allowed"),
        ("webhook.critical.policy=Fail", "additional properties 'policy' not allowed"),
        ("webhook.critical.failurePolicy=ignore", "must be one of 'Fail', 'Ignore'"),
        ("mutating.enable=true", "additional properties 'enable' not allowed"),
        ("mutating.enabled=yes", "got string, want boolean"),
        ("service.type=NodePort", "additional properties 'type' not allowed"),
        ("service.port=https", "got string, want integer"),
        ("fullnameOverride=NFS", "does not match pattern"),
        ("replicaCount=2", "additional properties 'replicaCount' not allowed"),
        ("replicas=-1", "minimum: got -1, want 0"),
        ("image.repo=x", "additional properties 'repo' not allowed"),
        ("image.repository=", "minLength"),
        ("image.digest=sha256:0", "does not match pattern"),
        ("image.pullPolicy=always", "must be one of 'Always', 'IfNotPresent', 'Never'"),
        ("image.pullSecrets={registry}", "got string, want object"),
        ("logLevel=3", "got number, want string"),
        ("resources.limit.memory=1Gi", "additional properties 'limit' not allowed"),
        ("nodeSelector.gpu=true", "got boolean, want string"),
        ("tolerations[0].keys=x", "additional properties 'keys' not allowed"),
        ("tolerations[0].effect=NoRun", "must be one of"),
        ("affinity.nodeAfinity=x", "additional properties 'nodeAfinity' not allowed"),
        ("podLabels.tier=1", "got number, want string"),
        ("podAnnotations.a=1", "got number, want string"),
        ("hostNetwork.enable=true", "additional properties 'enable' not allowed"),
        ("hostNetwork.httpsPort=443", "minimum: got 443, want 1,024"),
        ("priorityClassName=1", "got number, want string"),
        ("certificates.mode=vault", "must be one of 'managed', 'external', 'cert-manager'"),
        ("certificates.secret=tls", "additional properties 'secret' not allowed"),
        ("certificates.issuerRef.kind=ClusterIssuer", "'name' required"),
        ("certificates.settleSeconds=0", "minimum: got 0, want 1"),
        ("config.critcal.namespaces={vault}", "additional properties 'critcal' not allowed"),
        ("config.critical.namespaces=vault", "got string, want array"),
        (
            "config.critical.objectSelectors[0].matchLabel.a=b",
            "additional properties 'matchLabel' not allowed",
        ),
        ("config.rules.critical-on-nsf.mode=warn", "properties 'critical-on-nsf' not allowed"),
        ("config.rules.critical-on-nfs.mod=warn", "additional properties 'mod' not allowed"),
        ("config.rules.critical-on-nfs.mode=deny", "value must be 'enforce'"),
        ("config.drivers[0].names={acme}", "missing property 'otherwise'"),
    ] {
        let ran = template(&["--set", value]);
        assert!(!ran.succeeded() && ran.stderr.contains(complaint), "{value}: {ran}");
    }
}

#[test]
fn takes_every_mode_as_people_write_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("values.yaml");
    for mode in ["off", "\"off\"", "audit", "warn", "enforce"] {
        let values = format!("config: {{rules: {{critical-on-nfs: {{mode: {mode}}}}}}}\n");
        fs::write(&file, values).unwrap();
        template(&["--values", file.to_str().unwrap()]).expect_success();
    }
}

#[test]
fn passes_values_on_to_the_objects() {
    let control_plane = ControlPlane::shared();
    let _turn = control_plane.share();
    let namespace = control_plane.namespace("values", &[]);
    let address = control_plane.address(60).to_string();
    let values = format!(
        "service.port=8443,service.clusterIP={address},webhook.timeoutSeconds=7,\
         config.critical.namespaces={{vault}}"
    );
    let objects = render(&namespace, RELEASE, &["--set", &values]);
    let object = |kind: &str| objects.iter().find(|object| object["kind"] == kind).unwrap();
    assert_eq!(object("Service")["spec"]["clusterIP"], address.as_str());
    assert_eq!(object("Service")["spec"]["ports"][0]["port"], 8443);
    assert_eq!(object("Service")["spec"]["ports"][0]["targetPort"], "https");
    let config = &object("ConfigMap")["data"]["config.yaml"];
    assert_eq!(config, "critical:\n  namespaces:\n  - vault\n");
    for (kind, path) in [
        ("ValidatingWebhookConfiguration", "/validate"),
        ("MutatingWebhookConfiguration", "/mutate"),
    ] {
        for entry in object(kind)["webhooks"].as_array().unwrap() {
            let cluster = entry["name"] == "cluster.validate.nfs-guard.io";
            assert_eq!(entry["timeoutSeconds"], if cluster { 1 } else { 7 }, "{kind}");
            assert_eq!(entry["clientConfig"]["caBundle"], Value::Null, "{kind}");
            assert_eq!(
                entry["clientConfig"]["service"],
                json!({
                    "name": "rendered-nfs-guard",
                    "namespace": namespace.name(),
                    "path": path,
                    "port": 8443,
                })
            );
        }
    }
}

#[test]
fn leaves_out_the_configuration_that_mutates_if_told_to() {
    let control_plane = ControlPlane::shared();
    let _turn = control_plane.share();
    let namespace = control_plane.namespace("unmutated", &[]);
    let mutating = "MutatingWebhookConfiguration";
    let (mut with, without) = (
        render(&namespace, RELEASE, &[]),
        render(&namespace, RELEASE, &["--set", "mutating.enabled=false"]),
    );
    with.retain(|object| object["kind"] != mutating);
    let kinds = |objects: &[Value]| -> Vec<String> {
        objects.iter().map(|object| text(&object["kind"])).collect()
    };
    assert_eq!(kinds(&without), kinds(&with));
}

#[test]
fn who_only_watches_stops_nobody() {
    let control_plane = ControlPlane::shared();
    let _turn = control_plane.share();
    let namespace = control_plane.namespace("watching", &[]);
    let critical = "config.rules.critical-on-nfs.mode";
    for (values, policy) in [
        ("replicas=2", "Fail"),
        ("webhook.critical.failurePolicy=Ignore", "Ignore"),
        ("config.rules.fs-group-change-policy.mode=warn", "Fail"),
        (&format!("{critical}=enforce"), "Fail"),
        (&format!("{critical}=warn"), "Ignore"),
        (&format!("{critical}=audit"), "Ignore"),
        (&format!("{critical}=off"), "Ignore"),
        (&format!("{critical}=false"), "Ignore"),
        (&format!("{critical}=warn,webhook.critical.failurePolicy=Fail"), "Ignore"),
    ] {
        let objects = render(&namespace, RELEASE, &["--set", values]);
        let policies: Vec<_> = objects
            .iter()
            .filter_map(|object| object["webhooks"].as_array())
            .flatten()
            .map(|entry| [&entry["name"], &entry["failurePolicy"]].map(text))
            .collect();
        let expected = [
            ["mutate.nfs-guard.io", "Ignore"],
            ["critical.validate.nfs-guard.io", policy],
            ["validate.nfs-guard.io", "Ignore"],
            ["cluster.validate.nfs-guard.io", "Ignore"],
        ];
        assert_eq!(policies, expected, "{values}");
    }
}

#[test]
fn the_schema_of_the_configuration_is_the_guards_own() {
    let path = format!("{CHART}/values.schema.json");
    let committed: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    let mut current = committed.clone();
    let definitions = current["definitions"].as_object_mut().unwrap();
    // Those of the chart itself begin in lower case, those of Rust types do not.
    definitions.retain(|name, _| name.starts_with(char::is_lowercase));
    definitions.extend(config_definitions());
    if std::env::var_os("NFS_GUARD_RENEW").is_some() {
        fs::write(&path, serde_json::to_string_pretty(&current).unwrap() + "\n").unwrap();
        return;
    }
    assert!(committed == current, "stale; renew it by this test with NFS_GUARD_RENEW=1");
}

#[test]
fn every_value_has_a_default_and_a_schema_that_knows_it() {
    fn compare(path: &str, schema: &Value, values: &Value) {
        let Some(properties) = schema["properties"].as_object() else { return };
        assert_eq!(schema["additionalProperties"], false, "{path} takes anything");
        let names = |map: &Map<String, Value>| -> Vec<String> {
            map.keys().filter(|name| *name != "global").cloned().collect()
        };
        if path != "/resources" {
            assert_eq!(names(properties), names(values.as_object().unwrap()), "{path}");
        }
        for (name, schema) in properties {
            let path = format!("{path}/{name}");
            // An empty map is a default for all that may be in it.
            if values[name].as_object().is_some_and(|map| !map.is_empty()) {
                compare(&path, schema, &values[name]);
            }
        }
    }
    let schema = fs::read_to_string(format!("{CHART}/values.schema.json")).unwrap();
    compare("", &serde_json::from_str(&schema).unwrap(), &defaults());
}

#[test]
fn the_readme_lists_every_value_with_its_default() {
    let readme = fs::read_to_string(format!("{CHART}/README.md")).unwrap();
    let mut listed: Vec<[String; 2]> = readme
        .lines()
        .filter_map(|line| line.strip_prefix("| `"))
        .filter_map(|row| row.split_once("` | `"))
        .map(|(name, rest)| [name, rest.split_once("` |").unwrap().0].map(str::to_owned))
        .collect();
    listed.sort();
    let mut leaves = Vec::new();
    flatten("", &defaults(), &mut leaves);
    leaves.sort();
    assert_eq!(listed, leaves);
}

/// The definitions `nfs-guard schema config` prints, in the words of draft-07, the
/// one that every Helm reads.
fn config_definitions() -> Map<String, Value> {
    let ran = Ran::new(Command::new(binaries::nfs_guard().unwrap()).arg("schema"), "");
    let schema = ran.expect_success().stdout.replace("#/$defs/", "#/definitions/");
    let mut root: Map<String, Value> = serde_json::from_str(&schema).unwrap();
    root.remove("$schema");
    let title = text(&root.remove("title").unwrap());
    let Some(Value::Object(mut definitions)) = root.remove("$defs") else {
        panic!("the schema has no definitions: {schema}")
    };
    definitions.insert(title, root.into());
    definitions
}

/// The chart's `values.yaml`.
fn defaults() -> Value {
    let text = fs::read_to_string(format!("{CHART}/values.yaml")).unwrap();
    serde_saphyr::from_str(&text).unwrap()
}

/// The path of each value that is no map of others, and its default in JSON.
fn flatten(path: &str, value: &Value, leaves: &mut Vec<[String; 2]>) {
    match value {
        Value::Object(map) if !map.is_empty() && path != "nodeSelector" => {
            for (name, value) in map {
                let dot = if path.is_empty() { "" } else { "." };
                flatten(&format!("{path}{dot}{name}"), value, leaves);
            }
        }
        leaf => leaves.push([path.to_owned(), leaf.to_string()]),
    }
}

fn template(arguments: &[&str]) -> Ran {
    let helm = ControlPlane::shared().helm();
    helm.run(&[&["template", CHART], arguments].concat())
}
