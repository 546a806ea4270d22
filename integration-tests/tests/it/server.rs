//! A server of this process, reached over real TLS.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};

use hyper::StatusCode;
use jiff::Timestamp;
use nfs_guard::{
    audit::audit,
    client::ReviewClient,
    cluster::View,
    metrics::Metrics,
    reviewer::Reviewer,
    server::{Limits, Listeners, Service, Serving},
};
use nfs_guard_certs::{ServerNames, Slot, issue, server_config};
use nfs_guard_policies::{Policy, Snapshot, facts::Kind};
use serde_json::{Value, json};

use crate::manifests;

/// A server of this process, on ports of its own.
pub(crate) struct Server {
    pub(crate) client: ReviewClient,
    pub(crate) url: String,
    /// Where reviews are taken.
    pub(crate) address: SocketAddr,
    pub(crate) ca: String,
    pub(crate) admin: SocketAddr,
    pub(crate) serving: Serving,
}

impl Server {
    pub(crate) fn start(policy: Policy, cluster: Snapshot, limits: Limits) -> Self {
        let free = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let listeners = Listeners::bind(free, free).unwrap();
        let admin = listeners.admin_address().unwrap();
        let address = listeners.review_address().unwrap();
        let url = format!("https://{address}/validate");
        let material = issue(&ServerNames::loopback(), Timestamp::now()).unwrap();
        let metrics = Arc::new(Metrics::default());
        let (audit, _writer) = audit(Arc::clone(&metrics));
        let reviewer = Reviewer::new(policy, View::fixed(cluster), audit, Arc::clone(&metrics));
        let slot = Arc::new(Slot::new(material.identity()));
        let service = Service::new(Arc::new(reviewer), metrics, Arc::clone(&slot), limits);
        service.set_trusted();
        let tls = server_config(slot).unwrap();
        let serving = listeners.serve(service, Arc::new(tls));
        let ca = material.ca_bundle().to_owned();
        let client = ReviewClient::new(&url, &ca).unwrap();
        Self { client, url, address, ca, admin, serving }
    }

    pub(crate) async fn post(&self, content_type: &str, body: String) -> (StatusCode, Value) {
        let (status, body) = self.client.post(content_type, body).await.unwrap();
        (status, serde_json::from_slice(&body).unwrap())
    }

    pub(crate) async fn assert_serves(&self) {
        let body = review(&manifests::claim("data", None)).to_string();
        let (status, answer) = self.post("application/json", body).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        assert_eq!(answer["response"]["uid"], "a-uid");
        assert_eq!(answer["response"]["allowed"], true, "{answer}");
    }
}

/// A review of the CREATE of a claim.
pub(crate) fn review(object: &Value) -> Value {
    let kind = Kind::Claim;
    json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "a-uid",
            "kind": {"group": kind.group(), "version": "v1", "kind": kind.as_str()},
            "namespace": "web",
            "operation": "CREATE",
            "userInfo": {"username": "developer"},
            "object": object,
        },
    })
}
