//! The chart's pods: whether a strict namespace takes them, where they run, and
//! how long they may take to end.

use std::{collections::BTreeSet, time::Duration};

use nfs_guard::cli::LONGEST_END;
use nfs_guard_integration_tests::{ControlPlane, TestNamespace, User, chart::CHART};
use serde_json::{Value, json};

use super::{RELEASE, Release, render, text};

/// Refuses, warns of and records every pod that is not restricted.
const RESTRICTED: &[(&str, &str)] = &[
    ("pod-security.kubernetes.io/enforce", "restricted"),
    ("pod-security.kubernetes.io/warn", "restricted"),
    ("pod-security.kubernetes.io/audit", "restricted"),
];

#[test]
fn a_restricted_namespace_takes_every_object_without_a_warning() {
    let control_plane = ControlPlane::shared();
    let _turn = control_plane.share();
    let namespace = control_plane.namespace("restricted", RESTRICTED);
    let admin = namespace.kubectl_as(User::Admin);
    let objects = render(&namespace, RELEASE, &[]);
    // The pods are refused without.
    admin.run(&["create", "serviceaccount", "rendered-nfs-guard"]).expect_success();
    let apply = |arguments: &[&str]| {
        let manifest = template(&namespace, arguments);
        admin.feed(&["apply", "--dry-run=server", "-f", "-"], &manifest)
    };
    for arguments in [&[][..], &["--set", "podLabels.tier=infra,podAnnotations.note=x"]] {
        let ran = apply(arguments).expect_success();
        let warnings: Vec<_> = ran.stderr.lines().filter(|line| !is_of_kubectl(line)).collect();
        assert_eq!(warnings, Vec::<&str>::new(), "{arguments:?}");
    }
    let refused = apply(&["--set", "hostNetwork.enabled=true"]);
    assert!(refused.stderr.contains("host namespaces (hostNetwork=true)"), "{refused}");

    let deployment = objects.iter().find(|object| object["kind"] == "Deployment").unwrap();
    let mut pod = deployment["spec"]["template"].clone();
    pod["apiVersion"] = json!("v1");
    pod["kind"] = json!("Pod");
    pod["metadata"]["name"] = json!("as-the-deployment-makes-it");
    let create = ["create", "--dry-run=server", "-f", "-"];
    let ran = admin.feed(&create, &pod.to_string()).expect_success();
    assert_eq!(ran.stderr, "");
}

#[test]
fn two_pods_on_two_nodes_of_which_one_may_go() {
    let control_plane = ControlPlane::shared();
    let _turn = control_plane.reserve();
    let namespace = control_plane.namespace("spread", RESTRICTED);
    let release = Release::install_in(control_plane, namespace, "spread", &[]);
    let admin = release.admin();
    let deployment = "deployment/spread-nfs-guard";
    admin.run(&["rollout", "status", deployment, "--timeout=60s"]).expect_success();
    let service = admin.get(&["service", "spread-nfs-guard"]);
    let selector = service["spec"]["selector"].as_object().unwrap().iter();
    let selector: Vec<_> = selector.map(|(key, value)| format!("{key}={}", text(value))).collect();
    let pods = admin.get(&["pods", "--selector", &selector.join(",")]);
    let pods = pods["items"].as_array().unwrap();
    let nodes: BTreeSet<_> = pods.iter().map(|pod| text(&pod["spec"]["nodeName"])).collect();
    assert_eq!((pods.len(), nodes.len()), (2, 2), "{nodes:?}");
    for pod in pods {
        assert_eq!(pod["spec"]["priority"], 2_000_000_000, "its class is known");
    }
    let budget = "poddisruptionbudget/spread-nfs-guard";
    admin.wait(&["--for=jsonpath={.status.disruptionsAllowed}=1", budget]);
}

#[test]
fn how_many_pods_decides_what_is_kept_of_them() {
    let control_plane = ControlPlane::shared();
    let _turn = control_plane.share();
    let namespace = control_plane.namespace("replicas", &[]);
    for (replicas, budget) in [(0, false), (1, false), (2, true), (5, true)] {
        let value = format!("replicas={replicas}");
        let objects = render(&namespace, RELEASE, &["--set", &value]);
        let kinds: Vec<_> = objects.iter().map(|object| text(&object["kind"])).collect();
        let is_kept = kinds.iter().any(|kind| kind == "PodDisruptionBudget");
        assert_eq!(is_kept, budget, "{value}");
        let deployment = objects.iter().find(|object| object["kind"] == "Deployment").unwrap();
        assert_eq!(deployment["spec"]["replicas"], replicas);
    }
}

#[test]
fn a_pod_is_what_the_values_say() {
    let values = "image.repository=registry.example.com/nfs-guard,image.digest=sha256:\
                  0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef,\
                  image.pullSecrets[0].name=registry,image.pullPolicy=Always,logLevel=debug,\
                  resources.limits.memory=512Mi,priorityClassName=,nodeSelector.zone=a,\
                  tolerations[0].operator=Exists,podLabels.tier=infra,podAnnotations.note=x,\
                  podLabels.app\\.kubernetes\\.io/component=other,\
                  affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].weight=1,\
                  affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution[0]\
                  .preference.matchExpressions[0].key=arm,\
                  affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution[0]\
                  .preference.matchExpressions[0].operator=Exists,\
                  hostNetwork.enabled=true,hostNetwork.httpsPort=9443,hostNetwork.adminPort=9080";
    let control_plane = ControlPlane::shared();
    let _turn = control_plane.share();
    let namespace = control_plane.namespace("pod", &[]);
    let objects = render(&namespace, RELEASE, &["--set", values]);
    let deployment = objects.iter().find(|object| object["kind"] == "Deployment").unwrap();
    let template = &deployment["spec"]["template"];
    let (spec, metadata) = (&template["spec"], &template["metadata"]);
    let container = &spec["containers"][0];
    let image = text(&container["image"]);
    assert!(image.starts_with("registry.example.com/nfs-guard@sha256:0123"), "{image}");
    assert_eq!(container["imagePullPolicy"], "Always");
    assert_eq!(spec["imagePullSecrets"], json!([{"name": "registry"}]));
    let affinity = spec["affinity"].as_object().unwrap();
    let affinity: Vec<_> = affinity.keys().collect();
    assert_eq!(affinity, ["nodeAffinity", "podAntiAffinity"], "one of ours, one of the values");
    assert_eq!(container["resources"]["limits"]["memory"], "512Mi");
    assert_eq!(spec["priorityClassName"], Value::Null);
    assert!(!objects.iter().any(|object| object["kind"] == "ResourceQuota"));
    assert_eq!(spec["nodeSelector"], json!({"kubernetes.io/os": "linux", "zone": "a"}));
    assert_eq!(spec["tolerations"], json!([{"operator": "Exists"}]));
    assert_eq!(metadata["annotations"], json!({"note": "x"}));
    assert_eq!(metadata["labels"]["tier"], "infra");
    let component = "app.kubernetes.io/component";
    assert_eq!(metadata["labels"][component], "webhook", "what the Service selects by stays");
    let log = json!({"name": "RUST_LOG", "value": "debug"});
    assert!(container["env"].as_array().unwrap().contains(&log));
    assert_eq!(spec["hostNetwork"], true);
    assert_eq!(deployment["spec"]["strategy"]["rollingUpdate"]["maxSurge"], 0);
    let arguments = container["args"].as_array().unwrap();
    for argument in ["--listen=[::]:9443", "--admin-listen=[::]:9080"] {
        assert!(arguments.contains(&json!(argument)), "{arguments:?}");
    }
    let ports = container["ports"].as_array().unwrap();
    let ports: Vec<_> = ports.iter().map(|port| port["containerPort"].clone()).collect();
    assert_eq!(ports, [9443, 9080]);
}

#[test]
fn a_pod_has_the_time_a_guard_takes_to_end() {
    let control_plane = ControlPlane::shared();
    let _turn = control_plane.share();
    let namespace = control_plane.namespace("grace", &[]);
    let objects = render(&namespace, RELEASE, &[]);
    let deployment = objects.iter().find(|object| object["kind"] == "Deployment").unwrap();
    let grace = &deployment["spec"]["template"]["spec"]["terminationGracePeriodSeconds"];
    let grace = Duration::from_secs(grace.as_u64().unwrap());
    let spare = grace.checked_sub(LONGEST_END).expect("it is not killed while it ends");
    assert!((2..=5).contains(&spare.as_secs()), "{spare:?} to spare");
}

/// The chart's objects, hooks included, as text.
fn template(namespace: &TestNamespace, arguments: &[&str]) -> String {
    let helm = ControlPlane::shared().helm();
    let template = ["template", RELEASE, CHART, "--namespace", namespace.name()];
    helm.run(&[&template, arguments].concat()).expect_success().stdout
}

/// What kubectl says of an object that it did not apply itself: the `ServiceAccount`
/// that is there, so that pods may name it.
fn is_of_kubectl(line: &str) -> bool {
    line.contains("is missing the kubectl.kubernetes.io/last-applied-configuration annotation")
}
