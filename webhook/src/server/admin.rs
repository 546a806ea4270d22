use axum::{
    Router,
    extract::State,
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::get,
};

use super::Service;

pub(super) fn router(service: Service) -> Router {
    Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(service)
}

/// Each part by name, as the apiserver's own `/readyz?verbose` tells them. The
/// certificate and the configuration need no line that could fail: without them
/// nothing listens here.
async fn ready(State(service): State<Service>) -> Response {
    let unsynced = service.reviewer.view().unsynced();
    let caches = match &unsynced[..] {
        [] => "[+] caches synced\n".to_owned(),
        kinds => {
            let kinds: Vec<_> = kinds.iter().map(|kind| kind.resource()).collect();
            format!("[-] caches not synced: {}\n", kinds.join(", "))
        }
    };
    let draining = service.is_draining();
    let drain = if draining { "[-] shutting down\n" } else { "[+] serving\n" };
    let good = unsynced.is_empty() && !draining;
    let status = if good { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, format!("{caches}{drain}[+] certificate served\n[+] configuration loaded\n"))
        .into_response()
}

async fn metrics(State(service): State<Service>) -> Response {
    let text = service.metrics.render(&service.reviewer.view().load());
    // The content type prometheus-client documents for its encoding.
    ([(CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text)
        .into_response()
}
