//! The chart: what it renders, refuses, grants and leaves behind.

mod entries;
mod notes;
mod pods;
mod rights;
mod values;

use std::time::Duration;

use nfs_guard_integration_tests::{
    ControlPlane, Kubectl, TestNamespace, User,
    chart::CHART,
    wait::{Progress, wait_for},
};
use serde_json::Value;

#[test]
fn lints_without_a_warning() {
    let helm = ControlPlane::shared().helm();
    helm.run(&["lint", "--strict", CHART]).expect_success();
}

#[test]
fn names_every_object_after_the_release() {
    let control_plane = ControlPlane::shared();
    let _turn = control_plane.share();
    let namespace = control_plane.namespace("names", &[]);
    for (release, arguments, name) in [
        ("my-nfs-guard", &[][..], "my-nfs-guard"),
        ("storage", &[][..], "storage-nfs-guard"),
        ("storage", &["--set", "fullnameOverride=watchdog"][..], "watchdog"),
    ] {
        let mut objects: Vec<(String, String)> = render(&namespace, release, arguments)
            .iter()
            .map(|object| (text(&object["kind"]), text(&object["metadata"]["name"])))
            .collect();
        objects.sort();
        let expected = [
            "ClusterRole",
            "ClusterRole edit-exemptions",
            "ClusterRole view-exemptions",
            "ClusterRoleBinding",
            "ConfigMap",
            "Deployment",
            "MutatingWebhookConfiguration",
            "PodDisruptionBudget",
            "ResourceQuota",
            "Role",
            "RoleBinding",
            "Secret tls",
            "Service",
            "ServiceAccount",
            "ValidatingWebhookConfiguration",
        ];
        let named = |object: &str| match object.split_once(' ') {
            Some((kind, suffix)) => (kind.to_owned(), format!("{name}-{suffix}")),
            None => (object.to_owned(), name.to_owned()),
        };
        assert_eq!(objects, expected.map(named));
    }
}

#[test]
fn grants_what_the_guard_needs_and_no_more() {
    let control_plane = ControlPlane::shared();
    let _turn = control_plane.reserve();
    let release = Release::install(control_plane, "rights");
    let account = format!("system:serviceaccount:{}:rights-nfs-guard", release.namespace);
    let can = |arguments: &[&str]| {
        let question = [&["auth", "can-i", "--as", &account], arguments].concat();
        release.admin().run(&question).stdout.trim() == "yes"
    };
    let validating = "validatingwebhookconfigurations.admissionregistration.k8s.io";
    let own_validating = &format!("{validating}/rights-nfs-guard");
    let mutating = "mutatingwebhookconfigurations.admissionregistration.k8s.io";
    let own_mutating = &format!("{mutating}/rights-nfs-guard");
    for granted in [
        &["watch", "persistentvolumeclaims", "--all-namespaces"][..],
        &["list", "persistentvolumes"],
        &["get", "namespaces"],
        &["watch", "storageclasses.storage.k8s.io"],
        &["watch", "csidrivers.storage.k8s.io"],
        &["watch", "pods", "--all-namespaces"],
        &["watch", "statefulsets.apps", "--all-namespaces"],
        &["watch", own_validating],
        &["patch", own_validating],
        &["patch", own_mutating],
        &["watch", "secrets/rights-nfs-guard-tls"],
        &["update", "secrets/rights-nfs-guard-tls"],
    ] {
        assert!(can(granted), "{granted:?} is granted");
    }
    for withheld in [
        &["get", "secrets"][..],
        &["get", "secrets/other"],
        &["watch", "secrets"],
        &["create", "secrets"],
        &["delete", "secrets/rights-nfs-guard-tls"],
        &["patch", validating],
        &["patch", mutating],
        &["delete", own_validating],
        &["delete", own_mutating],
        &["update", "persistentvolumeclaims"],
        &["delete", "pods"],
        &["get", "pods", "--subresource=log"],
        &["patch", "statefulsets.apps"],
    ] {
        assert!(!can(withheld), "{withheld:?} is withheld");
    }
}

#[test]
fn a_dead_guard_stops_writes_in_critical_namespaces_and_lets_objects_go() {
    let control_plane = ControlPlane::shared();
    let _turn = control_plane.reserve();
    let critical = control_plane.namespace("critical", &[("nfs-guard.io/critical", "true")]);
    let ordinary = control_plane.namespace("ordinary", &[]);
    for namespace in [&critical, &ordinary] {
        namespace.kubectl().create(CLAIM).expect_success();
        namespace.kubectl().create(POD).expect_success();
        namespace.kubectl().wait(&["--for=jsonpath={.status.phase}=Bound", "pvc/data"]);
    }
    let release = Release::install(control_plane, "dead");
    wait_for_webhook(&critical, true);

    let label = ["label", "pvc", "data", "tier=db"];
    let finalizer = |value: &'static str| {
        let patch = format!(r#"{{"metadata":{{"finalizers":{value}}}}}"#);
        move |kubectl: &Kubectl| kubectl.run(&["patch", "pvc", "data", "--patch", &patch])
    };
    let refused = critical.kubectl().run(&label);
    assert!(refused.stderr.contains("failed calling webhook"), "{refused}");
    ordinary.kubectl().run(&label).expect_success();
    let another_pod = POD.replace("name: web", "name: another");
    let refused = critical.kubectl().create(&another_pod);
    assert!(refused.stderr.contains("failed calling webhook"), "{refused}");
    ordinary.kubectl().create(&another_pod).expect_success();
    release.namespace.kubectl().create(CLAIM).expect_success();
    critical.kubectl_as(User::Kubelets).run(&["label", "pvc", "data", "seen=yes"]).expect_success();

    let critical = critical.kubectl();
    critical.run(&["delete", "pod", "web", "--timeout=60s"]).expect_success();
    finalizer(r#"["example.com/backup"]"#)(&critical).expect_success();
    critical.run(&["delete", "pvc", "data", "--wait=false"]).expect_success();
    critical.run(&label).expect_success();
    finalizer("null")(&critical).expect_success();
    critical.wait(&["--for=delete", "pvc/data"]);
    drop(release);
}

#[test]
fn uninstalling_leaves_nothing_in_the_way() {
    let control_plane = ControlPlane::shared();
    let _turn = control_plane.reserve();
    let critical = control_plane.namespace("freed", &[("nfs-guard.io/critical", "true")]);
    let release = Release::install(control_plane, "passing");
    wait_for_webhook(&critical, true);
    drop(release);
    wait_for_webhook(&critical, false);
    let kinds = "validatingwebhookconfigurations,mutatingwebhookconfigurations,\
                 clusterroles,clusterrolebindings";
    let left = control_plane.kubectl(User::Admin).run(&[
        "get",
        kinds,
        "--selector=app.kubernetes.io/instance=passing",
        "--output=name",
    ]);
    assert_eq!(left.expect_success().stdout, "");
}

/// A release whose guard never runs; uninstalled when dropped.
struct Release {
    control_plane: &'static ControlPlane,
    namespace: TestNamespace<'static>,
    name: &'static str,
}

impl Release {
    fn install(control_plane: &'static ControlPlane, name: &'static str) -> Self {
        // Critical, so that it takes the exclusion to keep the guard's own namespace open.
        let namespace = control_plane.namespace(name, &[("nfs-guard.io/critical", "true")]);
        Self::install_in(control_plane, namespace, name, &["--set=replicas=0"])
    }

    fn install_in(
        control_plane: &'static ControlPlane,
        namespace: TestNamespace<'static>,
        name: &'static str,
        arguments: &[&str],
    ) -> Self {
        control_plane.helm().install(name, namespace.name(), arguments).expect_success();
        Self { control_plane, namespace, name }
    }

    fn admin(&self) -> Kubectl {
        self.namespace.kubectl_as(User::Admin)
    }
}

impl Drop for Release {
    fn drop(&mut self) {
        let uninstall = ["uninstall", self.name, "--namespace", self.namespace.name(), "--wait"];
        let ran = self.control_plane.helm().run(&uninstall);
        assert!(ran.succeeded() || std::thread::panicking(), "{ran}");
    }
}

/// A release that is rendered and never installed. That of the shared guard
/// [exists](nfs_guard_integration_tests::Guard::NAME), and nothing can be created twice.
const RELEASE: &str = "rendered";

/// The chart's objects as the API server understands them.
fn render(namespace: &TestNamespace, release: &str, arguments: &[&str]) -> Vec<Value> {
    let helm = ControlPlane::shared().helm();
    let template = ["template", release, CHART, "--skip-tests", "--namespace", namespace.name()];
    let manifest = helm.run(&[&template, arguments].concat()).expect_success().stdout;
    let create = ["create", "--dry-run=server", "--output=json", "-f", "-"];
    let ran = namespace.kubectl_as(User::Admin).feed(&create, &manifest).expect_success();
    // kubectl prints the objects one after another.
    serde_json::Deserializer::from_str(&ran.stdout).into_iter().map(Result::unwrap).collect()
}

/// Waits until the API server calls, or no longer calls, the webhook for this
/// namespace: it learns of a change by a watch.
fn wait_for_webhook(namespace: &TestNamespace, called: bool) {
    let what = if called { "the webhook to be called" } else { "the webhook to be gone" };
    wait_for(what, Duration::from_secs(30), || {
        let claim = CLAIM.replace("name: data", "name: canary");
        let ran = namespace.kubectl().feed(&["create", "--dry-run=server", "-f", "-"], &claim);
        Ok(if ran.stderr.contains("failed calling webhook") == called {
            Progress::Done(())
        } else {
            Progress::NotYet(ran.to_string())
        })
    })
    .unwrap();
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

const CLAIM: &str = "
apiVersion: v1
kind: PersistentVolumeClaim
metadata:
  name: data
spec:
  accessModes: [ReadWriteOnce]
  storageClassName: nfs-proxmox
  resources: {requests: {storage: 1Gi}}
";

const POD: &str = "
apiVersion: v1
kind: Pod
metadata:
  name: web
spec:
  containers: [{name: web, image: web}]
";
