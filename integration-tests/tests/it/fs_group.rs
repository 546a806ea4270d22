//! What the mutating webhook adds, and what it must never set off: as the
//! apiserver stores it and as the controllers see it.

use std::time::Duration;

use nfs_guard_integration_tests::{
    Harness, Kubectl, TestNamespace, User,
    wait::{Progress, wait_for},
};
use serde_json::{Value, json};

use crate::manifests::{every_kind, set};

const WARNING: &str = "Warning: fs-group-change-policy: added fsGroupChangePolicy: OnRootMismatch; \
                       put it in the source too";

/// A set whose pods give their files to a group.
fn grouped_set(name: &str, class: &str) -> Value {
    let mut set = set(name, Some(class));
    set["spec"]["template"]["spec"]["securityContext"] = json!({"fsGroup": 1000});
    set
}

/// A deployment whose pods have an inline volume of that driver.
fn deployment(name: &str, driver: &str) -> Value {
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": pod_spec(driver)},
        },
    })
}

fn pod(name: &str, driver: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": pod_spec(driver)})
}

fn pod_spec(driver: &str) -> Value {
    json!({
        "securityContext": {"fsGroup": 1000},
        "containers": [{"name": "app", "image": "app:1", "volumeMounts": [{"name": "v", "mountPath": "/v"}]}],
        "volumes": [{"name": "v", "csi": {"driver": driver}}],
    })
}

fn template_policy(object: &Value) -> &Value {
    &object["spec"]["template"]["spec"]["securityContext"]["fsGroupChangePolicy"]
}

#[test]
fn a_sets_template_is_stored_with_the_policy_and_every_client_agrees() {
    let cluster = Harness::shared();
    let namespace = cluster.namespace("group", &[]);
    let kubectl = namespace.kubectl();
    for (name, apply) in [
        ("client", Kubectl::apply as fn(&Kubectl, &str) -> _),
        ("server", Kubectl::apply_server_side),
    ] {
        let manifest = grouped_set(name, "nfs-proxmox").to_string();
        let ran = apply(&kubectl, &manifest).expect_success();
        assert_eq!(ran.stderr.trim(), WARNING, "{name}");
        let rollout = format!("statefulset/{name}");
        kubectl.run(&["rollout", "status", &rollout, "--timeout=60s"]).expect_success();
        let stored = kubectl.get(&[&rollout]);
        assert_eq!(template_policy(&stored), "OnRootMismatch", "{name}");

        let ran = apply(&kubectl, &manifest).expect_success();
        assert_eq!(ran.stderr, "", "{name}: nothing is added twice");
        let again = kubectl.get(&[&rollout]);
        for at in ["/metadata/resourceVersion", "/metadata/generation", "/status/updateRevision"] {
            assert_eq!(again.pointer(at), stored.pointer(at), "{name}: {at}");
        }
        let server_side = format!("--server-side={}", name == "server");
        let ran = kubectl.feed(&["diff", &server_side, "-f", "-"], &manifest).expect_success();
        assert_eq!(ran.stdout, "", "{name}: a diff is empty");

        let pod = kubectl.get(&["pod", &format!("{name}-0")]);
        let context = &pod["spec"]["securityContext"];
        assert_eq!(context["fsGroupChangePolicy"], "OnRootMismatch", "{name}");
    }
}

#[test]
fn every_kind_is_stored_with_the_policy_where_its_pods_are_described() {
    let cluster = Harness::shared();
    let namespace = cluster.namespace("everywhere", &[]);
    let kubectl = namespace.kubectl();
    for mut manifest in every_kind(&json!({"name": "v", "csi": {"driver": "nfs.csi.k8s.io"}})) {
        let kind = manifest["kind"].as_str().unwrap().to_owned();
        let pod_spec = match &*kind {
            "Pod" => "/spec",
            "CronJob" => "/spec/jobTemplate/spec/template/spec",
            _ => "/spec/template/spec",
        };
        let spec = manifest.pointer_mut(pod_spec).unwrap();
        spec["securityContext"] = json!({"fsGroup": 1000});
        let create = ["create", "--dry-run=server", "-o", "json", "-f", "-"];
        let ran = kubectl.feed(&create, &manifest.to_string()).expect_success();
        assert_eq!(ran.stderr.trim(), WARNING, "{kind}");
        let stored: Value = serde_json::from_str(&ran.stdout).unwrap();
        let policy = format!("{pod_spec}/securityContext/fsGroupChangePolicy");
        assert_eq!(stored.pointer(&policy), Some(&json!("OnRootMismatch")), "{kind}");
    }
}

#[test]
fn what_is_said_on_purpose_or_cannot_matter_stays_as_it_is() {
    let cluster = Harness::shared();
    let namespace = cluster.namespace("purpose", &[]);
    let kubectl = namespace.kubectl();
    let with = |context: Value| {
        let mut pod = pod("p", "nfs.csi.k8s.io");
        pod["spec"]["securityContext"] = context;
        pod
    };
    let mut in_tree = pod("p", "");
    in_tree["spec"]["volumes"][0] = json!({"name": "v", "nfs": {"server": "nas", "path": "/srv"}});
    let mut windows = with(json!({}));
    windows["spec"]["os"] = json!({"name": "windows"});
    for (name, manifest, policy) in [
        ("missing", with(json!({"fsGroup": 1000})), json!("OnRootMismatch")),
        (
            "Always",
            with(json!({"fsGroup": 1000, "fsGroupChangePolicy": "Always"})),
            json!("Always"),
        ),
        ("no group", with(json!({"runAsUser": 1000})), json!(null)),
        ("in-tree nfs", in_tree, json!(null)),
        ("Windows", windows, json!(null)),
    ] {
        let ran = kubectl
            .feed(&["create", "--dry-run=server", "-o", "json", "-f", "-"], &manifest.to_string());
        let stored: Value = serde_json::from_str(&ran.expect_success().stdout).unwrap();
        assert_eq!(stored["spec"]["securityContext"]["fsGroupChangePolicy"], policy, "{name}");
    }
    let idle = with(json!({"fsGroupChangePolicy": "OnRootMismatch"})).to_string();
    let ran = kubectl.feed(&["create", "--dry-run=server", "-f", "-"], &idle).expect_success();
    let warning =
        "fs-group-change-policy: fsGroupChangePolicy does nothing while fsGroup is not set";
    assert_eq!(ran.stderr.trim(), format!("Warning: {warning}"));
}

#[test]
fn nothing_is_rolled_out_for_the_policy_and_no_replica_set_is_touched() {
    let cluster = Harness::shared();
    let namespace = cluster.namespace("rollout", &[]);
    let kubectl = namespace.kubectl();
    let driver = Driver::install(&cluster, &namespace);
    let manifest = deployment("web", &driver.name);
    let ran = kubectl.apply(&manifest.to_string()).expect_success();
    assert_eq!(ran.stderr, "", "no walk, no policy");
    kubectl.run(&["rollout", "status", "deployment/web", "--timeout=60s"]).expect_success();
    driver.now_changes_owners(&kubectl);

    // Writes that leave the template alone leave it without the policy.
    let before = kubectl.get(&["deployment", "web"]);
    kubectl.run(&["label", "deployment", "web", "team=web"]).expect_success();
    let labelled = kubectl.get(&["deployment", "web"]);
    assert_eq!(labelled["metadata"]["generation"], before["metadata"]["generation"]);
    let mut twice = manifest.clone();
    twice["spec"]["replicas"] = json!(2);
    let ran = kubectl.apply(&twice.to_string()).expect_success();
    assert_eq!(ran.stderr, "");
    kubectl.run(&["rollout", "status", "deployment/web", "--timeout=60s"]).expect_success();
    let after = kubectl.get(&["deployment", "web"]);
    assert_eq!(template_policy(&after), &json!(null));
    assert_eq!(revision(&after), revision(&before));
    assert_eq!(replica_sets(&kubectl).len(), 1);

    // Pods made anew from that template get it all the same; their set does not.
    kubectl.run(&["delete", "pod", "-l", "app=web"]).expect_success();
    wait_for("new pods", Duration::from_secs(30), || {
        let pods = kubectl.get(&["pods", "-l", "app=web"]);
        let pods = pods["items"].as_array().unwrap();
        let is_amended =
            |pod: &Value| pod["spec"]["securityContext"]["fsGroupChangePolicy"] == "OnRootMismatch";
        let done = pods.len() == 2 && pods.iter().all(is_amended);
        Ok(if done { Progress::Done(()) } else { Progress::NotYet(format!("{pods:?}")) })
    })
    .unwrap();
    assert_eq!(template_policy(&replica_sets(&kubectl)[0]), &json!(null));

    // A change of the template carries it along: one roll-out, one more set.
    let mut newer = twice.clone();
    newer["spec"]["template"]["spec"]["containers"][0]["image"] = json!("app:2");
    let ran = kubectl.apply(&newer.to_string()).expect_success();
    assert_eq!(ran.stderr.trim(), WARNING);
    kubectl.run(&["rollout", "status", "deployment/web", "--timeout=60s"]).expect_success();
    let amended = kubectl.get(&["deployment", "web"]);
    assert_eq!(template_policy(&amended), "OnRootMismatch");
    assert_eq!(replica_sets(&kubectl).len(), 2);

    // Who takes it out again finds it restored, and rolls out nothing.
    let remove = json!([{"op": "remove",
        "path": "/spec/template/spec/securityContext/fsGroupChangePolicy"}]);
    let ran =
        kubectl.run(&["patch", "deployment", "web", "--type=json", "-p", &remove.to_string()]);
    assert_eq!(ran.expect_success().stderr.trim(), WARNING);
    let restored = kubectl.get(&["deployment", "web"]);
    assert_eq!(restored["metadata"]["generation"], amended["metadata"]["generation"]);
    assert_eq!(template_policy(&restored), "OnRootMismatch");
    assert_eq!(revision(&restored), revision(&amended));
    assert_eq!(replica_sets(&kubectl).len(), 2, "no controller fights over it");
}

#[test]
fn a_job_that_waits_can_still_be_told_where_to_run() {
    let cluster = Harness::shared();
    let namespace = cluster.namespace("suspended", &[]);
    let kubectl = namespace.kubectl();
    let driver = Driver::install(&cluster, &namespace);
    let mut spec = pod_spec(&driver.name);
    spec["restartPolicy"] = json!("Never");
    let job = json!({
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "dump"},
        "spec": {"suspend": true, "template": {"spec": spec}},
    });
    kubectl.create(&job.to_string()).expect_success();
    driver.now_changes_owners(&kubectl);

    // All of the template that the API server lets anyone change is where its
    // pods run, so anything added here would have it refuse the whole write.
    let nodes = json!({"spec": {"template": {"spec": {"nodeSelector": {"zone": "a"}}}}});
    let ran = kubectl.run(&["patch", "job", "dump", "--type=merge", "-p", &nodes.to_string()]);
    assert_eq!(ran.expect_success().stderr, "");
    assert_eq!(template_policy(&kubectl.get(&["job", "dump"])), &json!(null));

    // And a manifest that made a job can be put in its place again.
    let mut again = job.clone();
    again["metadata"]["name"] = json!("again");
    kubectl.create(&again.to_string()).expect_success();
    let stored = kubectl.get(&["job", "again"]);
    assert_eq!(template_policy(&stored), "OnRootMismatch");
    let mut taken_out = stored.clone();
    let context = &mut taken_out["spec"]["template"]["spec"]["securityContext"];
    context.as_object_mut().unwrap().remove("fsGroupChangePolicy");
    let ran = kubectl.feed(&["replace", "-f", "-"], &taken_out.to_string());
    assert_eq!(ran.expect_success().stderr.trim(), WARNING);
}

fn revision(deployment: &Value) -> &Value {
    &deployment["metadata"]["annotations"]["deployment.kubernetes.io/revision"]
}

fn replica_sets(kubectl: &Kubectl) -> Vec<Value> {
    kubectl.get(&["replicasets"])["items"].as_array().unwrap().clone()
}

/// A CSI driver of one test, that leaves the owners of files alone at first.
struct Driver {
    name: String,
    operator: Kubectl,
}

impl Driver {
    fn install(cluster: &Harness, namespace: &TestNamespace<'_>) -> Self {
        let name = format!("{namespace}.example.com");
        let operator = cluster.kubectl(User::Operator);
        let manifest = json!({
            "apiVersion": "storage.k8s.io/v1",
            "kind": "CSIDriver",
            "metadata": {"name": name},
            "spec": {"fsGroupPolicy": "None", "volumeLifecycleModes": ["Ephemeral"]},
        });
        operator.create(&manifest.to_string()).expect_success();
        Self { name, operator }
    }

    /// From now on the kubelet changes them, and the guard knows.
    fn now_changes_owners(&self, kubectl: &Kubectl) {
        let file = json!({"spec": {"fsGroupPolicy": "File"}}).to_string();
        let patch = ["patch", "csidriver", &self.name, "--type=merge", "-p", &file];
        self.operator.run(&patch).expect_success();
        let probe = pod("probe", &self.name).to_string();
        wait_for("the guard to know the driver's policy", Duration::from_secs(10), || {
            let ran = kubectl.feed(&["create", "--dry-run=server", "-f", "-"], &probe);
            let amended = ran.stderr.contains(WARNING);
            Ok(if amended { Progress::Done(()) } else { Progress::NotYet(ran.to_string()) })
        })
        .unwrap();
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        // It lies beside all namespaces; what is left behind harms no other test.
        let _ = self.operator.run(&["delete", "csidriver", &self.name, "--wait=false"]);
    }
}
