//! The configuration that mutates: what it sends, and that nobody waits for it.

use std::time::Duration;

use nfs_guard_integration_tests::{
    Harness, Kubectl, User, http,
    wait::{Progress, wait_for},
};
use serde_json::{Value, json};

const CONFIGURATION: &str = "mutatingwebhookconfiguration";

#[test]
fn writes_that_nothing_can_be_added_to_are_not_sent() {
    let cluster = Harness::exclusive();
    let namespace = cluster.namespace("unsent", &[]);
    let kubectl = namespace.kubectl();
    let pod = pod("app", "web");
    let (metadata, spec) = (&pod["metadata"], &pod["spec"]);
    let template = json!({"metadata": metadata, "spec": spec});
    let deployment = json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web"},
        "spec": {"selector": {"matchLabels": {"app": "web"}}, "template": template},
    });
    let mut job_spec = spec.clone();
    job_spec["restartPolicy"] = json!("Never");
    let cron_job = json!({
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": "dump"},
        "spec": {
            "schedule": "0 3 1 1 *",
            "jobTemplate": {"spec": {"template": {"spec": job_spec}}},
        },
    });
    let sent = |kind, operation| reviews(&cluster, kind, operation);
    let counts = || {
        [
            sent("Deployment", "CREATE"),
            sent("Deployment", "UPDATE"),
            sent("ReplicaSet", "CREATE"),
            sent("CronJob", "CREATE"),
            sent("CronJob", "UPDATE"),
            sent("Job", "CREATE"),
        ]
    };
    let merge = |object: &str, patch: Value| {
        let patch = ["patch", object, "--type=merge", "-p", &patch.to_string()];
        kubectl.run(&patch).expect_success();
    };
    let change_image = |object: &str, template: &str| {
        let image = format!("{template}/spec/containers/0/image");
        let patch = json!([{"op": "replace", "path": image, "value": "app:2"}]).to_string();
        kubectl.run(&["patch", object, "--type=json", "-p", &patch]).expect_success();
    };
    let roll_out = || {
        let rollout = ["rollout", "status", "deployment/web", "--timeout=60s"];
        kubectl.run(&rollout).expect_success();
    };

    let mut expected = counts();
    kubectl.create(&deployment.to_string()).expect_success();
    roll_out();
    expected[0] += 1;
    assert_eq!(counts(), expected, "created, and its controlled ReplicaSet with it");
    merge("deployment/web", json!({"spec": {"replicas": 2}}));
    kubectl.run(&["label", "deployment/web", "team=web"]).expect_success();
    roll_out();
    assert_eq!(counts(), expected, "the template stays as it is");
    change_image("deployment/web", "/spec/template");
    roll_out();
    expected[1] += 1;
    assert_eq!(counts(), expected, "the template changes");

    kubectl.create(&cron_job.to_string()).expect_success();
    expected[3] += 1;
    merge("cronjob/dump", json!({"spec": {"suspend": true}}));
    assert_eq!(counts(), expected, "the job's template stays as it is");
    change_image("cronjob/dump", "/spec/jobTemplate/spec/template");
    expected[4] += 1;
    assert_eq!(counts(), expected, "the job's template changes");
    kubectl.run(&["create", "job", "now", "--from=cronjob/dump"]).expect_success();
    assert_eq!(counts(), expected, "a job that is controlled");
}

#[test]
fn while_the_guard_is_stopped_pods_are_made_as_they_are() {
    let cluster = Harness::exclusive();
    let namespace = cluster.namespace("unanswered", &[]);
    let kubectl = namespace.kubectl();
    assert_eq!(policy_of_new_pod(&kubectl), json!("OnRootMismatch"));
    cluster.guard().stop().unwrap();
    assert_eq!(policy_of_new_pod(&kubectl), Value::Null);
}

#[test]
fn a_guard_whose_mutating_configuration_was_taken_away_serves_all_the_same() {
    let cluster = Harness::exclusive();
    let namespace = cluster.namespace("untold", &[]);
    let kubectl = namespace.kubectl();
    let admin = cluster.kubectl(User::Admin);
    let mut configuration = admin.get(&[CONFIGURATION, "nfs-guard"]);
    let metadata = configuration["metadata"].as_object_mut().unwrap();
    metadata.retain(|key, _| ["name", "labels", "annotations"].contains(&key.as_str()));

    cluster.guard().stop().unwrap();
    admin.run(&["delete", CONFIGURATION, "nfs-guard"]).expect_success();
    let started = cluster.guard().start();
    let policy = policy_of_new_pod(&kubectl);
    admin.create(&configuration.to_string()).expect_success();
    wait_for("the configuration to be known again", Duration::from_secs(30), || {
        let policy = policy_of_new_pod(&kubectl);
        let known = policy == "OnRootMismatch";
        Ok(if known { Progress::Done(()) } else { Progress::NotYet(policy.to_string()) })
    })
    .unwrap();

    started.unwrap();
    assert_eq!(policy, Value::Null);
}

/// What a pod's fsGroupChangePolicy would be stored as, if none is given.
#[track_caller]
fn policy_of_new_pod(kubectl: &Kubectl) -> Value {
    let mut pod = pod("app", "app");
    pod["spec"]["securityContext"] = json!({"fsGroup": 1000});
    pod["spec"]["volumes"] = json!([{"name": "v", "csi": {"driver": "nfs.csi.k8s.io"}}]);
    pod["spec"]["containers"][0]["volumeMounts"] = json!([{"name": "v", "mountPath": "/v"}]);
    let create = ["create", "--dry-run=server", "--output=json", "-f", "-"];
    let created = kubectl.feed(&create, &pod.to_string()).expect_success();
    let stored: Value = serde_json::from_str(&created.stdout).unwrap();
    stored["spec"]["securityContext"]["fsGroupChangePolicy"].clone()
}

fn pod(name: &str, app: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": app}},
        "spec": {"containers": [{"name": "app", "image": "app:1"}]},
    })
}

/// How many reviews of that write the guard was asked to add to, since it started.
fn reviews(cluster: &Harness, kind: &str, operation: &str) -> u64 {
    let (_, metrics) = http::get(&format!("{}/metrics", cluster.guard().admin_url()));
    let series = format!(
        "nfs_guard_reviews_total{{webhook=\"mutating\",kind=\"{kind}\",operation=\"{operation}\","
    );
    let counts = metrics.lines().filter(|line| line.starts_with(&series));
    counts.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
}
