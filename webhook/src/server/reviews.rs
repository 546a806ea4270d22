use std::{panic::resume_unwind, sync::Arc, time::Duration};

use axum::{
    Json, Router,
    body::Body,
    extract::{Query, Request, State, rejection::QueryRejection},
    http::{
        HeaderMap, HeaderValue, Version,
        header::{CONNECTION, CONTENT_TYPE},
    },
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::post,
};
use nfs_guard_policies::Gate;
use serde::Deserialize;
use tokio::{
    runtime::Handle,
    task::spawn_blocking,
    time::{Instant, timeout_at},
};
use tower_http::catch_panic::CatchPanicLayer;

use super::{
    Service,
    body::{self, Whole},
};
use crate::{fault::Fault, manifest::clip, review::Answer};

/// Largest body that is judged on a thread of the runtime, which serves nobody
/// else meanwhile. The costliest objects, all volumes, take 45 ms for each MiB,
/// so 11 ms at this size; and 99 of 100 objects are smaller, as the apiserver says
/// (`resourceBody99Percentile` in its `secure_serving.go`).
const LARGE: usize = 256 << 10;

/// Kept back from the time the apiserver grants, for the way there and back and
/// for a busy machine: an answer that comes too late is no answer.
const MARGIN: Duration = Duration::from_millis(200);

pub(super) fn router(service: Service) -> Router {
    let panicked = service.clone();
    let leaving = service.clone();
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
        .layer(from_fn_with_state(leaving, leave))
        .layer(CatchPanicLayer::custom(move |_panic: Box<dyn std::any::Any + Send>| {
            // The panic's own words went to the log by the panic hook.
            faulted(&panicked, Fault::Panic)
        }))
}

/// Marks an answer given before the body was whole.
#[derive(Clone)]
struct Unread;

/// While draining, tells HTTP/1.1 clients not to use the connection again: the
/// apiserver keeps idle ones, and would write its next review to one we close.
/// So does the answer to a body that was not read, as what follows on the
/// connection is its rest. HTTP/2 has frames of its own for both.
async fn leave(State(service): State<Service>, request: Request, next: Next) -> Response {
    let http1 = request.version() == Version::HTTP_11;
    let mut response = next.run(request).await;
    let is_unread = response.extensions_mut().remove::<Unread>().is_some();
    if http1 && (is_unread || service.is_draining()) {
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
    let body = match read(&service, &headers, body, deadline).await {
        Ok(body) => body,
        Err(fault) => {
            let mut response = faulted(&service, fault);
            response.extensions_mut().insert(Unread);
            return response;
        }
    };
    match judge(&service, gate, body, deadline).await {
        Ok(answer) => Json(answer).into_response(),
        Err(fault) => faulted(&service, fault),
    }
}

/// Reads the body. It takes room for bytes and no slot, so that clients who
/// are slow keep none from being judged.
async fn read(
    service: &Service,
    headers: &HeaderMap,
    body: Body,
    deadline: Instant,
) -> Result<Whole, Fault> {
    is_json(headers)?;
    let started = Instant::now();
    let read = timeout_at(deadline, body::whole(body, service.limits.body, &service.bodies));
    read.await.map_err(|_| Fault::Body(format!("not whole within {:.1?}", started.elapsed())))?
}

/// Judges a body that is whole; a large one on a thread of its own.
async fn judge(
    service: &Service,
    gate: Gate,
    body: Whole,
    deadline: Instant,
) -> Result<Answer, Fault> {
    let limit = service.limits.concurrent;
    let _slot = service
        .slots
        .try_acquire()
        .map_err(|_| Fault::Overload(format!("{limit} requests are being judged already")))?;
    let time = deadline.saturating_duration_since(Instant::now());
    if body.bytes.len() <= LARGE {
        return service.reviewer.review(gate, &body.bytes, time).await;
    }
    let (reviewer, turn) = (Arc::clone(&service.reviewer), Arc::clone(&service.large));
    let runtime = Handle::current();
    let judged = spawn_blocking(move || {
        let review = turn.take(reviewer.review(gate, &body.bytes, time));
        runtime.block_on(async { timeout_at(deadline, review).await })
    });
    let full = || Fault::Overload("other large requests are being judged".to_owned());
    match judged.await {
        Ok(in_time) => in_time.unwrap_or_else(|_| Err(full())),
        Err(ended) => match ended.try_into_panic() {
            Ok(panic) => resume_unwind(panic),
            Err(_runtime_ends) => Err(full()),
        },
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
