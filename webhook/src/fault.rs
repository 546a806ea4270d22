//! What is no decision: the guard could not judge, and says so by an HTTP
//! status, so that the operator's `failurePolicy` rules.

use std::time::Duration;

use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use nfs_guard_policies::Key;
use serde_json::json;

/// Why a request was not judged.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The body is not declared as JSON.
    #[error("content type is {0:?}; an AdmissionReview is application/json")]
    ContentType(String),
    /// The body is larger than any review.
    #[error("body is larger than {limit} bytes")]
    TooLarge {
        /// Largest body that is read.
        limit: usize,
    },
    /// The connection broke, or went quiet, before the body was whole.
    #[error("body could not be read: {0}")]
    Body(String),
    /// The body is no review of a version the guard speaks.
    #[error("body is not an admission.k8s.io/v1 AdmissionReview: {0}")]
    NotAReview(String),
    /// The review is one, but an object in it cannot be what it says.
    #[error("request {uid}: {field} cannot be read as {kind}: {problem}")]
    Object {
        /// The request's uid.
        uid: String,
        /// Field of the request that holds the object.
        field: &'static str,
        /// Kind the request says it is.
        kind: &'static str,
        /// What is wrong, and where in the object.
        problem: String,
    },
    /// The guard has not read the cluster yet.
    #[error("caches not synced yet: {0}")]
    NotSynced(String),
    /// An object could not be looked up.
    #[error("look-up of {key} failed: {reason}")]
    LookUp {
        /// The object.
        key: Key,
        /// What the apiserver, or the way to it, said.
        reason: String,
    },
    /// The time the apiserver grants is about to be over.
    #[error("no decision within {time:?}, while the apiserver was asked for {keys}")]
    Deadline {
        /// The time there was.
        time: Duration,
        /// The objects that were waited for.
        keys: String,
    },
    /// What was looked up led on and on.
    #[error("no decision after {rounds} rounds of look-ups; still to be asked for: {keys}")]
    TooDeep {
        /// Most rounds for one request.
        rounds: usize,
        /// The objects that are left.
        keys: String,
    },
    /// More than can be held, or judged, at once.
    #[error("overloaded: {0}")]
    Overload(String),
    /// A bug; the request is lost, the server is not.
    #[error("a panic while judging; please report it")]
    Panic,
}

impl Fault {
    /// The HTTP status it is answered with.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self {
            Self::ContentType(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Body(_) | Self::NotAReview(_) => StatusCode::BAD_REQUEST,
            Self::Object { .. } => StatusCode::UNPROCESSABLE_ENTITY,
            Self::NotSynced(_) | Self::Overload(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::LookUp { .. } => StatusCode::BAD_GATEWAY,
            Self::Deadline { .. } | Self::TooDeep { .. } => StatusCode::GATEWAY_TIMEOUT,
            Self::Panic => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The name used in metrics and logs.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::ContentType(_) => "content_type",
            Self::TooLarge { .. } => "too_large",
            Self::Body(_) => "body",
            Self::NotAReview(_) => "not_a_review",
            Self::Object { .. } => "object",
            Self::NotSynced(_) => "not_synced",
            Self::LookUp { .. } => "look_up",
            Self::Deadline { .. } => "deadline",
            Self::TooDeep { .. } => "too_deep",
            Self::Overload(_) => "overload",
            Self::Panic => "panic",
        }
    }
}

impl IntoResponse for Fault {
    /// A Kubernetes `Status`, whose message the apiserver repeats to its user.
    fn into_response(self) -> Response {
        let status = self.status();
        let body = json!({
            "apiVersion": "v1",
            "kind": "Status",
            "metadata": {},
            "status": "Failure",
            "message": format!("nfs-guard: {self}"),
            "code": status.as_u16(),
        });
        (status, Json(body)).into_response()
    }
}
