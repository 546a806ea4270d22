//! Since when a cluster is guarded.

use std::{
    future::{self, Future},
    pin::pin,
};

use futures::StreamExt as _;
use jiff::Timestamp;
use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use kube::{
    Api, Client, ResourceExt as _,
    core::PartialObjectMeta,
    runtime::{WatchStreamExt as _, watcher::watch_object},
};
use tokio::sync::watch;

/// Finds out when the guard was installed: the time that the apiserver wrote into the
/// webhook configuration of that name. Helm makes that after the first pods run, so it
/// is watched for. The future never ends.
///
/// The first time that is told stays: a configuration that somebody takes away and puts
/// back does not make old what was written in between.
pub(super) fn find(
    client: Client,
    name: String,
) -> (impl Future<Output = ()>, watch::Receiver<Option<Timestamp>>) {
    let (known, receiver) = watch::channel(None);
    let finding = async move {
        let configurations: Api<PartialObjectMeta<ValidatingWebhookConfiguration>> =
            Api::all(client);
        let mut told = pin!(watch_object(configurations, &name).default_backoff());
        while let Some(told) = told.next().await {
            let created = match told {
                Ok(configuration) => configuration.and_then(|found| found.creation_timestamp()),
                // The watch goes on by itself, with backoff.
                Err(error) => {
                    tracing::warn!(
                        configuration = name, %error,
                        "nobody can tell when the guard was installed: nothing counts as old yet",
                    );
                    None
                }
            };
            if let Some(created) = created {
                tracing::info!(since = %created.0, "what was there before the guard counts as old");
                known.send_replace(Some(created.0));
                break;
            }
        }
        future::pending::<()>().await;
    };
    (finding, receiver)
}

#[cfg(test)]
mod tests {
    use std::{
        convert::Infallible,
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering},
        },
        time::Duration,
    };

    use axum::http::{Request, Response};
    use kube::client::Body;
    use serde_json::{Value, json};

    use super::*;

    /// What an apiserver answers to one request after another; to further ones nothing.
    fn apiserver(answers: Vec<(u16, Value)>) -> Client {
        let asked = Arc::new(AtomicUsize::new(0));
        let service = tower::service_fn(move |request: Request<Body>| {
            let wanted = "fieldSelector=metadata.name%3Dguard";
            let query = request.uri().query().unwrap_or_default().to_owned();
            assert!(query.contains(wanted), "RBAC grants no other: {query}");
            let answer = answers.get(asked.fetch_add(1, Ordering::Relaxed)).cloned();
            async move {
                let Some((status, body)) = answer else { return future::pending().await };
                let body = Body::from(body.to_string().into_bytes());
                let response = Response::builder().status(status).body(body);
                Ok::<_, Infallible>(response.expect("a status and a body make a response"))
            }
        });
        Client::new(service, "default")
    }

    fn list(items: &Value) -> (u16, Value) {
        let version = json!({"resourceVersion": "7"});
        (200, json!({"metadata": version, "items": items}))
    }

    fn configuration(created: &str) -> Value {
        json!({"metadata": {"name": "guard", "creationTimestamp": created, "resourceVersion": "8"}})
    }

    const CREATED: &str = "2026-05-01T12:00:00Z";

    #[tokio::test(start_paused = true)]
    async fn the_time_is_found_as_soon_as_it_can_be_read() {
        let forbidden = (403, json!({"kind": "Status", "status": "Failure", "code": 403}));
        let added = (200, json!({"type": "ADDED", "object": configuration(CREATED)}));
        for (name, answers) in [
            ("it is there", vec![list(&json!([configuration(CREATED)]))]),
            ("it comes later", vec![list(&json!([])), added]),
            (
                "the right comes later",
                vec![forbidden.clone(), forbidden, list(&json!([configuration(CREATED)]))],
            ),
        ] {
            let (finding, mut installed) = find(apiserver(answers), "guard".to_owned());
            let found = async {
                let known = installed.wait_for(Option::is_some);
                let known = tokio::time::timeout(Duration::from_mins(5), known).await;
                *known.expect(name).expect(name)
            };
            tokio::select! {
                () = finding => panic!("{name}: it never ends"),
                found = found => assert_eq!(found, Some(CREATED.parse().unwrap()), "{name}"),
            }
        }
    }
}
