use std::time::Duration;

use axum::{
    Json, Router,
    body::Body,
    error_handling::HandleErrorLayer,
    extract::{Query, Request, State, rejection::QueryRejection},
    http::{
        HeaderMap, HeaderValue, Version,
        header::{CONNECTION, CONTENT_TYPE},
    },
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::post,
};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use nfs_guard_policies::Gate;
use serde::Deserialize;
use tokio::time::Instant;
use tower::{
    BoxError, ServiceBuilder, limit::GlobalConcurrencyLimitLayer, load_shed::LoadShedLayer,
};
use tower_http::catch_panic::CatchPanicLayer;

use super::Service;
use crate::{fault::Fault, manifest::clip};

/// Kept back from the time the apiserver grants, for the way there and back and
/// for a busy machine: an answer that comes too late is no answer.
const MARGIN: Duration = Duration::from_millis(200);

pub(super) fn router(service: Service) -> Router {
    let limit = service.limits.concurrent;
    let overloaded = service.clone();
    let panicked = service.clone();
    let draining = service.clone();
    Router::new()
        .route(
            "/validate",
            post(|state, parameters, headers, body| {
                review(Gate::Validating, state, parameters, headers, body)
            }),
        )
        .route(
            "/mutate",
            post(|state, parameters, headers, body| {
                review(Gate::Mutating, state, parameters, headers, body)
            }),
        )
        .with_state(service)
        .layer(from_fn_with_state(draining, leave))
        .layer(CatchPanicLayer::custom(move |_panic: Box<dyn std::any::Any + Send>| {
            // The panic's own words went to the log by the panic hook.
            faulted(&panicked, Fault::Panic)
        }))
        .layer(
            ServiceBuilder::new()
                .layer(HandleErrorLayer::new(move |_full: BoxError| {
                    let response = faulted(&overloaded, Fault::Overload { limit });
                    async move { response }
                }))
                .layer(LoadShedLayer::new())
                .layer(GlobalConcurrencyLimitLayer::new(limit)),
        )
}

/// While draining, tells HTTP/1.1 clients not to use the connection again: the
/// apiserver keeps idle ones, and would write its next review to one we close.
/// HTTP/2 says the same with a frame of its own, when the listener closes.
async fn leave(State(service): State<Service>, request: Request, next: Next) -> Response {
    let http1 = request.version() == Version::HTTP_11;
    let mut response = next.run(request).await;
    if http1 && service.is_draining() {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// What the apiserver adds to the URL.
#[derive(Deserialize)]
struct Parameters {
    timeout: Option<String>,
}

async fn review(
    gate: Gate,
    State(service): State<Service>,
    parameters: Result<Query<Parameters>, QueryRejection>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let limits = service.limits;
    // Whatever else the query holds was not written by an apiserver.
    let granted = parameters.ok().and_then(|Query(parameters)| go_duration(&parameters.timeout?));
    let time = granted.unwrap_or(limits.deadline).min(limits.deadline).saturating_sub(MARGIN);
    let deadline = Instant::now() + time;
    let judged = async {
        is_json(&headers)?;
        let body = tokio::time::timeout_at(deadline, whole(body, limits.body)).await;
        let body = body.map_err(|_| Fault::Body(format!("not whole within {time:?}")))??;
        let time = deadline.saturating_duration_since(Instant::now());
        service.reviewer.review(gate, &body, time).await
    };
    match judged.await {
        Ok(answer) => Json(answer).into_response(),
        Err(fault) => faulted(&service, fault),
    }
}

fn faulted(service: &Service, fault: Fault) -> Response {
    service.metrics.fault(&fault);
    tracing::warn!(fault = fault.name(), reason = %fault, "request not judged");
    fault.into_response()
}

fn is_json(headers: &HeaderMap) -> Result<(), Fault> {
    let value = headers.get(CONTENT_TYPE).map_or("", |value| value.to_str().unwrap_or("?"));
    let media_type = value.split(';').next().unwrap_or_default().trim();
    if media_type.eq_ignore_ascii_case("application/json") {
        Ok(())
    } else {
        Err(Fault::ContentType(clip(value)))
    }
}

/// The whole body. One that is too large is read on to twice the limit and
/// thrown away: a client that is still sending would see a broken connection
/// instead of the answer.
async fn whole(mut body: Body, limit: usize) -> Result<Bytes, Fault> {
    let mut read = BytesMut::new();
    let mut size = 0;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Fault::Body(error.to_string()))?;
        let Ok(data) = frame.into_data() else { continue };
        size += data.len();
        if size > 2 * limit {
            break;
        }
        if size <= limit {
            read.extend_from_slice(&data);
        } else {
            read = BytesMut::new();
        }
    }
    if size > limit { Err(Fault::TooLarge { limit }) } else { Ok(read.freeze()) }
}

/// The apiserver writes its timeout as Go prints a duration: `10s`, `2.5s`,
/// `500ms`. Anything else is not its doing and leaves the default.
fn go_duration(text: &str) -> Option<Duration> {
    let unit = text.find(|c: char| c.is_ascii_alphabetic())?;
    let (number, unit) = text.split_at(unit);
    let factor = match unit {
        "ms" => 0.001,
        "s" => 1.0,
        _ => return None,
    };
    Duration::try_from_secs_f64(number.parse::<f64>().ok()? * factor).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_apiservers_timeout() {
        for (text, expected) in [
            ("10s", Some(Duration::from_secs(10))),
            ("2.5s", Some(Duration::from_millis(2500))),
            ("500ms", Some(Duration::from_millis(500))),
            ("-1s", None),
            ("", None),
            ("10", None),
            ("1m0s", None),
        ] {
            assert_eq!(go_duration(text), expected, "{text}");
        }
    }
}
