use axum::{
    Router,
    extract::State,
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::get,
};

use jiff::Timestamp;

use super::Service;
use crate::metrics;

pub(super) fn router(service: Service) -> Router {
    Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(tell))
        .with_state(service)
}

/// Each part by name, as the apiserver's own `/readyz?verbose` tells them. A certificate
/// that could not be renewed is good until its end. The
/// configuration has no part that could fail: without a good one nothing listens
/// here, and a bad one later leaves it in force.
async fn ready(State(service): State<Service>) -> Response {
    let unsynced = service.reviewer.view().unsynced();
    let unsynced: Vec<_> = unsynced.iter().map(|kind| kind.resource()).collect();
    let caches = if unsynced.is_empty() {
        Ok("caches synced".to_owned())
    } else {
        Err(format!("caches not synced: {}", unsynced.join(", ")))
    };
    let certificate = match service.slot.check(Timestamp::now()) {
        Ok(()) => Ok("certificate valid".to_owned()),
        Err(error) => Err(error.to_string()),
    };
    let part = |good: bool, yes: &str, no: &str| if good { Ok(yes.into()) } else { Err(no.into()) };
    let trusted = part(service.is_trusted(), "CA bundle published", "CA bundle not published yet");
    let serving = part(!service.is_draining(), "serving", "shutting down");
    let parts = [caches, certificate, trusted, serving, part(true, "configuration loaded", "")];

    let good = parts.iter().all(Result::is_ok);
    let status = if good { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let lines = parts.map(|part| match part {
        Ok(text) => format!("[+] {text}\n"),
        Err(text) => format!("[-] {text}\n"),
    });
    (status, lines.concat()).into_response()
}

async fn tell(State(service): State<Service>) -> Response {
    let text = service.metrics.render(&service.reviewer.view().load(), service.in_flight());
    ([(CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response()
}
