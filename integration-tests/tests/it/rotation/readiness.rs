//! What probes are told of the certificate.

use std::sync::Arc;

use axum::{body::Body, http::Request};
use http_body_util::BodyExt as _;
use jiff::{SignedDuration, Timestamp};
use nfs_guard::{
    audit::audit,
    cluster::View,
    metrics::Metrics,
    reviewer::Reviewer,
    server::{Limits, Service},
};
use nfs_guard_certs::{ServerNames, Slot, issue};
use nfs_guard_policies::{Policy, Snapshot};
use tower::ServiceExt as _;

#[tokio::test]
async fn readiness_names_the_certificate_and_fails_at_its_end_not_before() {
    let slot = Arc::new(Slot::default());
    let metrics = Arc::new(Metrics::default());
    let (audit, _writer) = audit(Arc::clone(&metrics));
    let view = View::fixed(Snapshot::complete());
    let reviewer = Reviewer::new(Policy::default(), view, audit, Arc::clone(&metrics));
    let service = Service::new(Arc::new(reviewer), metrics, Arc::clone(&slot), Limits::default());
    service.set_trusted();
    let admin = service.admin_router();
    let days_ago = |days: i64| Timestamp::now() - SignedDuration::from_hours(24 * days);
    for (issued, status, part) in [
        (None, 503, "[-] no certificate yet"),
        // Two thirds of its year are over, and it was not renewed.
        (Some(days_ago(364)), 200, "[+] certificate valid"),
        (Some(days_ago(366)), 503, "[-] certificate expired at "),
    ] {
        if let Some(issued) = issued {
            slot.swap(issue(&ServerNames::loopback(), issued).unwrap().identity());
        }
        let request = Request::get("/readyz").body(Body::empty()).unwrap();
        let answer = admin.clone().oneshot(request).await.unwrap();
        assert_eq!(answer.status(), status, "{part}");
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        let parts = String::from_utf8(body.to_vec()).unwrap();
        assert!(parts.contains(part), "{parts}");
    }
}
