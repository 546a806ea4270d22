//! What the caches lack is looked up, hop by hop, in time.

use std::{
    convert::Infallible,
    sync::atomic::{AtomicUsize, Ordering},
};

use axum::http::{Request as HttpRequest, Response as HttpResponse};
use kube::{Client, client::Body};
use nfs_guard_policies::{
    Snapshot,
    facts::{Kind, Object},
    text::{Reduce as _, Strings},
};
use serde_json::{Value, json};

use super::*;
use crate::{audit::audit, cluster::LookUp};

pub(super) const TIME: Duration = Duration::from_secs(2);

/// What an apiserver answers to a GET of that path.
pub(super) type Answers = fn(&str) -> Option<(u16, Value)>;

/// A reviewer whose caches hold the critical namespace and nothing else, and
/// the number of look-ups it made. No answer means the apiserver hangs.
pub(super) fn reviewer(answers: Answers) -> (Reviewer, Arc<AtomicUsize>) {
    reviewer_of(answers, &[])
}

/// The same, whose caches hold these as well.
pub(super) fn reviewer_of(
    answers: Answers,
    objects: &[(Kind, Value)],
) -> (Reviewer, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&asked);
    let apiserver = tower::service_fn(move |request: HttpRequest<Body>| {
        counter.fetch_add(1, Ordering::Relaxed);
        let answer = answers(request.uri().path());
        async move {
            let Some((status, body)) = answer else { return std::future::pending().await };
            let body = Body::from(body.to_string().into_bytes());
            let response = HttpResponse::builder().status(status).body(body);
            Ok::<_, Infallible>(response.expect("a status and a body make a response"))
        }
    });
    let mut caches = Snapshot::complete();
    let labels = json!({"nfs-guard.io/critical": "true"});
    let namespace = json!({"metadata": {"name": "vault", "labels": labels}});
    for (kind, object) in objects.iter().chain([&(Kind::Namespace, namespace)]) {
        let object = Object::read(*kind, object).unwrap();
        caches.insert(object.into_stored(&mut Strings::default()));
    }
    let metrics = Arc::new(Metrics::default());
    let look_up = LookUp::new(Client::new(apiserver, "default"), Arc::clone(&metrics));
    let (audit, _writer) = audit(Arc::clone(&metrics));
    let view = View::lagging(caches, look_up);
    (Reviewer::new(Policy::default(), view, audit, metrics), asked)
}

fn review(spec: &Value) -> Vec<u8> {
    json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
        "uid": "u",
        "kind": {"group": "", "version": "v1", "kind": "PersistentVolumeClaim"},
        "namespace": "vault",
        "operation": "CREATE",
        "object": {"metadata": {"name": "data"}, "spec": spec},
    }})
    .to_string()
    .into_bytes()
}

pub(super) fn absent() -> (u16, Value) {
    (
        404,
        json!({"kind": "Status", "status": "Failure", "reason": "NotFound", "code": 404, "message": "no"}),
    )
}

async fn decision(reviewer: &Reviewer, spec: Value) -> Result<Value, Fault> {
    let answer = reviewer.review(Gate::Validating, &review(&spec), TIME).await?;
    Ok(serde_json::to_value(answer).unwrap()["response"].take())
}

#[tokio::test]
async fn what_the_caches_lack_is_looked_up_hop_by_hop() {
    let (reviewer, asked) = reviewer(|path| match path {
        "/api/v1/persistentvolumes/old" => Some((
            200,
            json!({"metadata": {"name": "old"}, "spec": {"nfs": {"server": "nas", "path": "/x"}}}),
        )),
        "/apis/storage.k8s.io/v1/storageclasses/nas" => {
            Some((200, json!({"metadata": {"name": "nas"}, "provisioner": "nfs.csi.k8s.io"})))
        }
        other => panic!("nobody should ask for {other}"),
    });
    let response = decision(&reviewer, json!({"storageClassName": "nas"})).await.unwrap();
    assert_eq!(response["allowed"], false, "{response}");
    let response = decision(&reviewer, json!({"volumeName": "old"})).await.unwrap();
    assert_eq!(response["allowed"], false, "{response}");
    assert_eq!(asked.load(Ordering::Relaxed), 2, "each object once");
}

#[tokio::test(start_paused = true)]
async fn what_does_not_exist_is_not_asked_for_again_at_once() {
    let (reviewer, asked) = reviewer(|_| Some(absent()));
    for _ in 0..10 {
        let response = decision(&reviewer, json!({"storageClassName": "gone"})).await.unwrap();
        assert_eq!(response["allowed"], true, "{response}");
        assert!(response["warnings"][0].as_str().unwrap().contains("gone does not exist"));
    }
    assert_eq!(asked.load(Ordering::Relaxed), 1);
    tokio::time::advance(Duration::from_secs(6)).await;
    decision(&reviewer, json!({"storageClassName": "gone"})).await.unwrap();
    assert_eq!(asked.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn a_failed_look_up_is_a_fault_and_no_decision() {
    let (reviewer, _) = reviewer(|_| {
        Some((
            403,
            json!({"kind": "Status", "status": "Failure", "reason": "Forbidden", "code": 403, "message": "not yours"}),
        ))
    });
    let fault = decision(&reviewer, json!({"storageClassName": "nas"})).await.unwrap_err();
    assert!(matches!(&fault, Fault::LookUp { key, .. } if key.name == "nas"), "{fault:?}");
    assert!(fault.to_string().contains("not yours"), "{fault}");
}

#[tokio::test(start_paused = true)]
async fn an_apiserver_that_hangs_costs_no_more_than_the_time_granted() {
    let (reviewer, _) = reviewer(|_| None);
    let fault = decision(&reviewer, json!({"storageClassName": "nas"})).await.unwrap_err();
    assert!(
        matches!(&fault, Fault::Deadline { keys, .. } if keys == "StorageClass nas"),
        "{fault:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_denial_that_stands_needs_no_look_up_to_succeed() {
    let set = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
        "uid": "u",
        "kind": {"group": "apps", "version": "v1", "kind": "StatefulSet"},
        "namespace": "vault",
        "operation": "CREATE",
        "object": {"metadata": {"name": "db"}, "spec": {"template": {"spec": {"volumes": [
            {"name": "a", "nfs": {"server": "nas", "path": "/x"}},
            {"name": "b", "persistentVolumeClaim": {"claimName": "unreadable"}},
        ]}}}},
    }});
    let broken: Answers =
        |_| Some((500, json!({"kind": "Status", "status": "Failure", "code": 500})));
    let hangs: Answers = |_| None;
    for answers in [broken, hangs] {
        let (reviewer, _) = reviewer(answers);
        let answer =
            reviewer.review(Gate::Validating, set.to_string().as_bytes(), TIME).await.unwrap();
        assert_eq!(serde_json::to_value(answer).unwrap()["response"]["allowed"], false);
    }
}

#[tokio::test]
async fn a_denial_over_the_unknown_does_not_stand_on_a_failed_look_up() {
    let (reviewer, _) =
        reviewer(|_| Some((500, json!({"kind": "Status", "status": "Failure", "code": 500}))));
    let rules = json!({"rules": {"critical-on-nfs": {"onUnknown": "deny"}}});
    reviewer.adopt(Policy::new(serde_json::from_value(rules).unwrap()));
    let fault = decision(&reviewer, json!({"storageClassName": "nas"})).await.unwrap_err();
    assert!(matches!(fault, Fault::LookUp { .. }), "{fault:?}");
}
