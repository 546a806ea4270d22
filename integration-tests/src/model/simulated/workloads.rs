//! The controllers of workloads, as far as it matters what they write and when.

use std::{
    collections::{BTreeMap, hash_map::DefaultHasher},
    hash::{Hash as _, Hasher as _},
    sync::Arc,
};

use nfs_guard_policies::facts::{Kind, WorkloadKind};
use serde_json::{Value, json};

use super::apiserver::{Apiserver, Refused, beside, owned_by};
use crate::model::json::{
    controller, is_controlled_by, is_going, key, kind, label, list, name, namespace, number, text,
};

const SETS: &str = "system:serviceaccount:kube-system:statefulset-controller";
const DEPLOYMENTS: &str = "system:serviceaccount:kube-system:deployment-controller";
const REPLICA_SETS: &str = "system:serviceaccount:kube-system:replicaset-controller";
const JOBS: &str = "system:serviceaccount:kube-system:job-controller";
const CRON_JOBS: &str = "system:serviceaccount:kube-system:cronjob-controller";
const COLLECTOR: &str = "system:serviceaccount:kube-system:generic-garbage-collector";

const REVISION: &str = "controller-revision-hash";
const TEMPLATE_HASH: &str = "pod-template-hash";

/// Lets every controller look at every object of its kind once. What is refused is left
/// for the next time.
pub(super) fn sync(api: &mut Apiserver<'_>) {
    collect_garbage(api);
    for cron_job in api.list(Kind::Workload(WorkloadKind::CronJob)) {
        sync_cron_job(api, &cron_job);
    }
    for job in api.list(Kind::Workload(WorkloadKind::Job)) {
        sync_job(api, &job);
    }
    for deployment in api.list(Kind::Workload(WorkloadKind::Deployment)) {
        sync_deployment(api, &deployment);
    }
    for replica_set in api.list(Kind::Workload(WorkloadKind::ReplicaSet)) {
        sync_replica_set(api, &replica_set);
    }
    for set in api.list(Kind::Workload(WorkloadKind::StatefulSet)) {
        // Refused: the set's next pod waits.
        let _ = sync_set(api, &set);
    }
}

/// Has nobody own what `owner` owns (`--cascade=orphan`).
pub(super) fn orphan_dependents(api: &mut Apiserver<'_>, owner: &Value) {
    let dependents: Vec<_> =
        api.objects().values().filter(|object| is_controlled_by(object, owner)).cloned().collect();
    for dependent in dependents {
        set_owner(api, COLLECTOR, &dependent, &Value::Null);
    }
}

/// Deletes what no owner is left of. Owners of kinds that are not part of the model are
/// taken to be there.
fn collect_garbage(api: &mut Apiserver<'_>) {
    let is_there = |owner: &Value, object: &Value| {
        kind(owner).is_none_or(|kind| {
            let found = api.get(kind, namespace(object), text(owner, "/name"));
            found.is_some_and(|found| found["metadata"]["uid"] == owner["uid"])
        })
    };
    let garbage = api.objects().iter().filter(|(_, object)| {
        let owners = list(object, "/metadata/ownerReferences");
        !owners.is_empty() && !owners.iter().any(|owner| is_there(owner, object))
    });
    let garbage: Vec<_> = garbage.map(|(key, _)| key.clone()).collect();
    for key in garbage {
        let _ = api.delete(COLLECTOR, &key);
    }
}

fn set_owner(api: &mut Apiserver<'_>, user: &str, object: &Value, owner: &Value) {
    let patch = json!({"metadata": {"ownerReferences": owner}});
    let _ = api.patch(user, &key(object), &patch);
}

/// The objects of that kind an owner has, after it took in those that nobody owns and
/// that are its own by `is_member`, and let go of those that are not.
fn claim_members(
    api: &mut Apiserver<'_>,
    user: &str,
    owner: &Value,
    members: WorkloadKind,
    is_member: impl Fn(&Value) -> bool,
) -> Vec<Arc<Value>> {
    let candidates = api.list(Kind::Workload(members));
    let here = candidates.iter().filter(|object| namespace(object) == namespace(owner));
    for object in here.filter(|object| !is_going(object)) {
        match (controller(object), is_member(object)) {
            (None, true) => set_owner(api, user, object, &owned_by(owner)),
            (Some(_), false) if is_controlled_by(object, owner) => {
                set_owner(api, user, object, &Value::Null);
            }
            _ => {}
        }
    }
    let mut own = api.list(Kind::Workload(members));
    own.retain(|object| is_controlled_by(object, owner) && !is_going(object));
    own
}

fn sync_set(api: &mut Apiserver<'_>, set: &Value) -> Result<(), Refused> {
    let ordinal = |pod: &Value| {
        let (parent, ordinal) = name(pod).rsplit_once('-')?;
        (parent == name(set)).then(|| ordinal.parse::<u64>().ok()).flatten()
    };
    let app = text(set, "/spec/selector/matchLabels/app");
    let is_member = |pod: &Value| label(pod, "app") == app && ordinal(pod).is_some();
    let pods = claim_members(api, SETS, set, WorkloadKind::Pod, is_member);
    let mut pods: BTreeMap<u64, Arc<Value>> =
        pods.into_iter().filter_map(|pod| Some((ordinal(&pod)?, pod))).collect();

    let start = number(set, "/spec/ordinals/start").unwrap_or(0);
    let replicas = number(set, "/spec/replicas").unwrap_or(1);
    let revision = hash(&set["spec"]["template"]);
    for ordinal in start..start + replicas {
        match pods.get(&ordinal) {
            None => {
                make_claims(api, set, ordinal)?;
                let pod = set_pod(set, ordinal, &revision);
                return api.create(SETS, pod).map(drop);
            }
            Some(pod) if !is_running(pod) => return make_claims(api, set, ordinal),
            Some(_) => {}
        }
    }
    let outside = |ordinal: &u64| !(start..start + replicas).contains(ordinal);
    let condemned = pods.keys().rev().find(|ordinal| outside(ordinal)).copied();
    let stale = pods.iter().rev().find(|(_, pod)| label(pod, REVISION) != revision);
    let next = condemned.or(stale.map(|(ordinal, _)| *ordinal));
    if let Some(pod) = next.and_then(|ordinal| pods.remove(&ordinal)) {
        api.delete(SETS, &key(&pod))?;
    }
    Ok(())
}

/// Makes the claims of one pod that are not there, and takes those that are as they are.
fn make_claims(api: &mut Apiserver<'_>, set: &Value, ordinal: u64) -> Result<(), Refused> {
    for template in list(set, "/spec/volumeClaimTemplates") {
        let claim_name = claim_name(set, template, ordinal);
        match api.get(Kind::Claim, namespace(set), &claim_name) {
            // "pvc … is to be deleted"
            Some(claim) if is_going(&claim) => return Err(Refused::Exists),
            Some(_) => {}
            None => {
                let mut claim = template.clone();
                claim["apiVersion"] = json!("v1");
                claim["kind"] = json!("PersistentVolumeClaim");
                claim["metadata"]["name"] = json!(claim_name);
                claim["metadata"]["namespace"] = json!(namespace(set));
                claim["metadata"]["labels"] = set["spec"]["selector"]["matchLabels"].clone();
                api.create(SETS, claim)?;
            }
        }
    }
    Ok(())
}

fn claim_name(set: &Value, template: &Value, ordinal: u64) -> String {
    format!("{}-{}-{ordinal}", name(template), name(set))
}

fn set_pod(set: &Value, ordinal: u64, revision: &str) -> Value {
    let pod_name = format!("{}-{ordinal}", name(set));
    let mut pod = pod_of(set, &set["spec"]["template"], &pod_name);
    pod["metadata"]["labels"][REVISION] = json!(revision);
    let mut volumes: Vec<_> = list(&pod, "/spec/volumes").to_vec();
    for template in list(set, "/spec/volumeClaimTemplates") {
        volumes.retain(|volume| volume["name"] != template["metadata"]["name"]);
        volumes.push(json!({
            "name": name(template),
            "persistentVolumeClaim": {"claimName": claim_name(set, template, ordinal)},
        }));
    }
    pod["spec"]["volumes"] = json!(volumes);
    pod
}

fn sync_deployment(api: &mut Apiserver<'_>, deployment: &Value) {
    let app = text(deployment, "/spec/selector/matchLabels/app");
    let is_member = |object: &Value| label(object, "app") == app;
    let owned = claim_members(api, DEPLOYMENTS, deployment, WorkloadKind::ReplicaSet, is_member);
    let hash = hash(&deployment["spec"]["template"]);
    let current = format!("{}-{hash}", name(deployment));
    let replicas = number(deployment, "/spec/replicas").unwrap_or(1);
    let Some(new) = owned.iter().find(|owned| name(owned) == current) else {
        let mut template = deployment["spec"]["template"].clone();
        template["metadata"]["labels"][TEMPLATE_HASH] = json!(hash);
        let replica_set = json!({
            "apiVersion": "apps/v1", "kind": "ReplicaSet",
            "metadata": {
                "name": current, "namespace": namespace(deployment),
                "labels": template["metadata"]["labels"], "ownerReferences": owned_by(deployment),
            },
            "spec": {
                "replicas": replicas,
                "selector": {"matchLabels": {"app": app, TEMPLATE_HASH: hash}},
                "template": template,
            },
        });
        let _ = api.create(DEPLOYMENTS, replica_set);
        return;
    };
    set_replicas(api, new, replicas);
    let pods = api.pods();
    let ready = pods.iter().filter(|pod| is_controlled_by(pod, new) && is_running(pod)).count();
    // No pod is given up before its successor runs.
    if ready as u64 >= replicas {
        for old in owned.iter().filter(|owned| name(owned) != current) {
            set_replicas(api, old, 0);
        }
    }
}

fn set_replicas(api: &mut Apiserver<'_>, replica_set: &Value, replicas: u64) {
    let patch = json!({"spec": {"replicas": replicas}});
    let _ = api.patch(DEPLOYMENTS, &key(replica_set), &patch);
}

fn sync_replica_set(api: &mut Apiserver<'_>, replica_set: &Value) {
    let wanted = replica_set["spec"]["selector"]["matchLabels"].as_object();
    let is_member = |pod: &Value| {
        wanted.is_some_and(|wanted| wanted.iter().all(|(key, value)| label(pod, key) == value))
    };
    let mut pods = claim_members(api, REPLICA_SETS, replica_set, WorkloadKind::Pod, is_member);
    let replicas = number(replica_set, "/spec/replicas").unwrap_or(1);
    let replicas = usize::try_from(replicas).unwrap_or(usize::MAX);
    // Those that do not run go first, then the newest.
    pods.sort_by_key(|pod| (!is_running(pod), version(pod)));
    for pod in pods.iter().skip(replicas) {
        let _ = api.delete(REPLICA_SETS, &key(pod));
    }
    for _ in pods.len()..replicas {
        let name = made_name(api, replica_set);
        let pod = pod_of(replica_set, &replica_set["spec"]["template"], &name);
        if api.create(REPLICA_SETS, pod).is_err() {
            break;
        }
    }
}

fn sync_job(api: &mut Apiserver<'_>, job: &Value) {
    let pods = api.pods();
    if !pods.iter().any(|pod| is_controlled_by(pod, job)) {
        let name = made_name(api, job);
        let mut pod = pod_of(job, &job["spec"]["template"], &name);
        pod["metadata"]["labels"]["job-name"] = job["metadata"]["name"].clone();
        let _ = api.create(JOBS, pod);
    }
}

fn sync_cron_job(api: &mut Apiserver<'_>, cron_job: &Value) {
    let jobs = api.list(Kind::Workload(WorkloadKind::Job));
    if !jobs.iter().any(|job| is_controlled_by(job, cron_job)) {
        let job = json!({
            "apiVersion": "batch/v1", "kind": "Job",
            "metadata": {
                "name": made_name(api, cron_job), "namespace": namespace(cron_job),
                "labels": cron_job["spec"]["jobTemplate"]["metadata"]["labels"],
                "ownerReferences": owned_by(cron_job),
            },
            "spec": cron_job["spec"]["jobTemplate"]["spec"],
        });
        let _ = api.create(CRON_JOBS, job);
    }
}

fn pod_of(owner: &Value, template: &Value, name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": name, "namespace": namespace(owner),
            "labels": template["metadata"]["labels"], "ownerReferences": owned_by(owner),
        },
        "spec": template["spec"],
    })
}

/// A name for something made of `owner` that nothing else has or had.
fn made_name(api: &Apiserver<'_>, owner: &Value) -> String {
    let mut number = api.written;
    let taken = |name: &str| {
        WorkloadKind::ALL
            .into_iter()
            .any(|kind| api.find(&beside(owner, Kind::Workload(kind), name)).is_some())
    };
    loop {
        let name = format!("{}-{number}", name(owner));
        if !taken(&name) {
            return name;
        }
        number += 1;
    }
}

fn is_running(pod: &Value) -> bool {
    text(pod, "/status/phase") == "Running"
}

fn version(object: &Value) -> u64 {
    text(object, "/metadata/resourceVersion").parse().unwrap_or_default()
}

fn hash(template: &Value) -> String {
    let mut hasher = DefaultHasher::new();
    template.to_string().hash(&mut hasher);
    format!("{:x}", hasher.finish() % (1 << 32))
}
