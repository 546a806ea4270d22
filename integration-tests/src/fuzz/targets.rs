mod logs;

use std::{path::Path, sync::Arc, time::Duration};

use axum::{
    body::Body,
    http::{Request, StatusCode},
};
use json_patch::Patch;
use k8s_openapi::ByteString;
use nfs_guard::{
    audit::{AuditWriter, audit},
    cluster::View,
    config,
    metrics::Metrics,
    reviewer::Reviewer,
    server::{Limits, Service},
};
use nfs_guard_policies::{Gate, Policy, catalogue::Catalogue};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::runtime::{Builder, Runtime};
use tower::ServiceExt as _;

use super::{Said, corpus};

/// Something that reads what others wrote.
pub(super) trait Target {
    fn name(&self) -> &'static str;

    /// Inputs as they should be.
    fn corpus(&self) -> &[Vec<u8>];

    /// Words that mean something to it.
    fn words(&self) -> &[&str];

    /// Reads the input.
    ///
    /// # Errors
    /// What it did that it must not do.
    fn attempt(&self, input: &[u8]) -> Result<Said, String>;
}

/// A guard, and what of it reads what others wrote.
pub(super) struct Targets {
    runtime: Runtime,
    reviewer: Arc<Reviewer>,
    service: Service,
    /// Held, so that the audit log has somewhere to go.
    _audit: AuditWriter,
    reviews: Vec<Vec<u8>>,
    heads: Vec<Vec<u8>>,
    drivers: Vec<Vec<u8>>,
    configs: Vec<Vec<u8>>,
    logs: Vec<Vec<u8>>,
}

impl Targets {
    pub(super) fn new() -> Self {
        let runtime =
            Builder::new_current_thread().enable_time().build().expect("a runtime starts");
        let metrics = Arc::new(Metrics::default());
        let (audit, writer) = audit(Arc::clone(&metrics));
        let view = View::fixed(corpus::cluster());
        let reviewer = Reviewer::new(Policy::default(), view, audit, Arc::clone(&metrics));
        let reviewer = Arc::new(reviewer);
        let service =
            Service::new(Arc::clone(&reviewer), metrics, Arc::default(), Limits::default());
        let drivers: Vec<Value> =
            serde_json::from_str(include_str!("../../../policies/src/catalogue/drivers.json"))
                .expect("the catalogue is JSON");
        let mut configs: Vec<_> =
            corpus::CONFIGS.iter().map(|text| text.as_bytes().to_vec()).collect();
        // JSON is YAML, and bends as a tree.
        configs.push(json!({"drivers": drivers}).to_string().into_bytes());
        Self {
            runtime,
            reviewer,
            service,
            _audit: writer,
            reviews: corpus::reviews(),
            heads: corpus::HEADS.iter().map(|text| text.as_bytes().to_vec()).collect(),
            drivers: drivers.iter().map(|driver| driver.to_string().into_bytes()).collect(),
            configs,
            logs: corpus::LOGS.iter().map(|text| text.as_bytes().to_vec()).collect(),
        }
    }

    pub(super) fn all(&self) -> impl Iterator<Item = Box<dyn Target + '_>> {
        let all: [Box<dyn Target>; 5] = [
            Box::new(Reviews(self)),
            Box::new(Heads(self)),
            Box::new(Drivers(self)),
            Box::new(Configs(self)),
            Box::new(logs::Logs(&self.logs)),
        ];
        all.into_iter()
    }

    /// Judges a review that is one, by a policy that somebody else wrote.
    fn judge_by(&self, policy: Policy) -> Result<(), String> {
        self.reviewer.adopt(policy);
        let judged = self.review(&self.reviews[0]);
        self.reviewer.adopt(Policy::default());
        judged.map(|_| ())
    }

    /// Asks both webhooks about that body.
    fn review(&self, body: &[u8]) -> Result<Said, String> {
        let mut said = Said::Refused;
        for gate in [Gate::Mutating, Gate::Validating] {
            let review = self.reviewer.review(gate, body, Duration::from_secs(1));
            let Ok(answer) = self.runtime.block_on(review) else { continue };
            said = Said::Taken;
            let answer = serde_json::to_value(answer).map_err(|error| error.to_string())?;
            let asked = uid(body).ok_or("judged, without a uid to answer to")?;
            if answer["response"]["uid"] != *asked {
                return Err(format!("answered with another uid: {answer}"));
            }
            patched(body, &answer["response"]["patch"])?;
        }
        Ok(said)
    }
}

/// A patch has to fit the object it is for.
fn patched(review: &[u8], patch: &Value) -> Result<(), String> {
    let text = |error: serde_json::Error| error.to_string();
    let Some(ByteString(patch)) = serde_json::from_value(patch.clone()).map_err(text)? else {
        return Ok(());
    };
    let patch: Patch = serde_json::from_slice(&patch).map_err(text)?;
    // What a `Value` cannot hold, an apiserver cannot have sent.
    let Ok(mut review) = serde_json::from_slice::<Value>(review) else { return Ok(()) };
    json_patch::patch(&mut review["request"]["object"], &patch).map_err(|error| error.to_string())
}

/// The uid of a review, whatever else is in it: a `Value` would have to hold all
/// of it, and there are numbers, strings and depths that it cannot.
fn uid(review: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Review {
        request: Request,
    }
    #[derive(Deserialize)]
    struct Request {
        uid: String,
    }
    serde_json::from_slice(review).ok().map(|review: Review| review.request.uid)
}

/// The bodies of reviews.
struct Reviews<'a>(&'a Targets);

impl Target for Reviews<'_> {
    fn name(&self) -> &'static str {
        "bodies of reviews"
    }

    fn corpus(&self) -> &[Vec<u8>] {
        &self.0.reviews
    }

    fn words(&self) -> &[&str] {
        &[
            "vault",
            "nas",
            "block",
            "static",
            "UPDATE",
            "DELETE",
            "CREATE",
            "StatefulSet",
            "Pod",
            "CronJob",
            "Always",
            "windows",
            "Namespace",
            "PersistentVolume",
            "PersistentVolumeClaim",
            "StorageClass",
            "apps",
            "storage.k8s.io",
            "nfs.csi.k8s.io",
            "status",
            "nfs-guard.io/critical",
            "true",
            "10Gi",
            "-1Ei",
            "1e-999",
            "2026-02-30T25:61:61Z",
            "volumeName",
            "storageClassName",
            "nfs",
            "ephemeral",
        ]
    }

    fn attempt(&self, input: &[u8]) -> Result<Said, String> {
        self.0.review(input)
    }
}

/// The query and the headers of requests: a line each.
struct Heads<'a>(&'a Targets);

impl Target for Heads<'_> {
    fn name(&self) -> &'static str {
        "heads of requests"
    }

    fn corpus(&self) -> &[Vec<u8>] {
        &self.0.heads
    }

    fn words(&self) -> &[&str] {
        &[
            "timeout=",
            "10s",
            "1e308s",
            "-1s",
            "NaNs",
            "infs",
            "ms",
            "%00",
            "%",
            "&",
            "1h2m3s",
            "application/json",
            ";",
            "content-length: 18446744073709551615",
            "expect: 100-continue",
        ]
    }

    fn attempt(&self, input: &[u8]) -> Result<Said, String> {
        let mut lines = input.split(|byte| *byte == b'\n');
        let target = [b"/validate?".as_slice(), lines.next().unwrap_or_default()].concat();
        let mut request = Request::post(target.as_slice());
        for line in lines {
            let mut parts = line.splitn(2, |byte| *byte == b':');
            if let (Some(name), Some(value)) = (parts.next(), parts.next()) {
                request = request.header(name, value.trim_ascii());
            }
        }
        // What is no head is refused before it comes to us.
        let Ok(request) = request.body(Body::from(self.0.reviews[0].clone())) else {
            return Ok(Said::Refused);
        };
        let answer = self.0.service.review_router().oneshot(request);
        let Ok(answer) = self.0.runtime.block_on(answer);
        match answer.status() {
            StatusCode::OK => Ok(Said::Taken),
            StatusCode::UNSUPPORTED_MEDIA_TYPE | StatusCode::BAD_REQUEST => Ok(Said::Refused),
            other => Err(format!("answered with {other}")),
        }
    }
}

/// Entries of the driver catalogue.
struct Drivers<'a>(&'a Targets);

impl Target for Drivers<'_> {
    fn name(&self) -> &'static str {
        "entries of the catalogue"
    }

    fn corpus(&self) -> &[Vec<u8>] {
        &self.0.drivers
    }

    fn words(&self) -> &[&str] {
        &[
            "nfs",
            "block",
            "(",
            "((a*)*)*",
            "x{1000}{1000}",
            "[[:^",
            "nfs.csi.k8s.io",
            "parameters",
            "any",
        ]
    }

    fn attempt(&self, input: &[u8]) -> Result<Said, String> {
        let entry = String::from_utf8_lossy(input);
        let text = format!("{{\"drivers\": [{entry}]}}");
        match config::parse(Path::new(FILE), &text) {
            Ok(config) => {
                let catalogue = Catalogue::with(&config.drivers);
                let mut names = config.drivers.iter().flat_map(|driver| &driver.names);
                if let Some(lost) = names.find(|name| catalogue.find(name).is_none()) {
                    return Err(format!("the catalogue does not find {lost:?}"));
                }
                self.0.judge_by(Policy::new(config)).map(|()| Said::Taken)
            }
            Err(error) => one_line(&error.to_string()),
        }
    }
}

/// Configuration files.
struct Configs<'a>(&'a Targets);

impl Target for Configs<'_> {
    fn name(&self) -> &'static str {
        "configuration files"
    }

    fn corpus(&self) -> &[Vec<u8>] {
        &self.0.configs
    }

    fn words(&self) -> &[&str] {
        &[
            "&a",
            "*a",
            "<<: *a",
            "!!binary",
            "!!set",
            "---",
            "...",
            "|",
            ">",
            "- ",
            "? ",
            ": ",
            "'",
            "%YAML 1.1",
            "enforce",
            "warn",
            "off",
            "critical",
            "namespaces",
            "drivers",
            "matchLabels",
            "  ",
            "#",
            ".inf",
        ]
    }

    fn attempt(&self, input: &[u8]) -> Result<Said, String> {
        let text = String::from_utf8_lossy(input);
        match config::parse(Path::new(FILE), &text) {
            Ok(config) => self.0.judge_by(Policy::new(config)).map(|()| Said::Taken),
            Err(error) => one_line(&error.to_string()),
        }
    }
}

/// What errors call the text.
const FILE: &str = "config.yaml";

/// An error is one line, and names the place.
fn one_line(error: &str) -> Result<Said, String> {
    if error.contains(char::is_control) {
        return Err(format!("an error of more than one line: {error:?}"));
    }
    // The file, the line, the column and what is wrong.
    let mut parts = error.splitn(4, ':');
    let named = parts.next() == Some(FILE)
        && parts.next().is_some_and(is_number)
        && parts.next().is_some_and(is_number);
    if named { Ok(Said::Refused) } else { Err(format!("an error without its place: {error:?}")) }
}

fn is_number(text: &str) -> bool {
    text.parse::<u64>().is_ok()
}
