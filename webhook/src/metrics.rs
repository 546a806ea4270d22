//! Prometheus metrics. Labels are bounded: never the name of an object.

mod certificates;
mod exposition;
mod process;

use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use nfs_guard_policies::{Leniency, Snapshot, Subject, Verdict, facts::Kind};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::{Metric, Registry},
};

use crate::{cluster::CACHED, config::Fingerprint, fault::Fault};

pub use exposition::CONTENT_TYPE;

/// The guard's metrics.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    process: Registry,
    reviews: Family<Review, Counter>,
    findings: Family<Finding, Counter>,
    faults: Family<FaultName, Counter>,
    seconds: Histogram,
    look_ups: Family<LookUp, Counter>,
    cached: Family<Cached, Gauge>,
    audit_dropped: Counter,
    config_good: Gauge,
    crowded_out: Family<Crowded, Counter>,
    certificates: certificates::Certificates,
    connections: Family<Listener, Gauge>,
    in_flight: Gauge,
    audit_records: Counter,
    audit_write_errors: Counter,
    audit_queue: Gauge,
    config: Family<Config, Gauge>,
    config_time: Gauge,
    ratchet_since: Gauge,
    watch_interruptions: Family<Cached, Counter>,
    watch_event_time: Family<Cached, Gauge>,
    build: Family<Build, Gauge>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Listener {
    listener: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Config {
    fingerprint: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Build {
    version: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Crowded {
    which: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Review {
    webhook: &'static str,
    kind: &'static str,
    operation: &'static str,
    decision: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Finding {
    rule: &'static str,
    decision: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FaultName {
    fault: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LookUp {
    kind: &'static str,
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Cached {
    kind: &'static str,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("nfs_guard");
        let to = &mut registry;
        // 10 µs to 2.6 s: a judgement from the caches to one that waited for look-ups.
        let seconds = Histogram::new(exponential_buckets(0.000_01, 4.0, 10));
        to.register(
            "review_duration_seconds",
            "Time from a whole body to a decision",
            seconds.clone(),
        );
        let metrics = Self {
            process: process::registry(),
            reviews: new(to, "reviews", "Admission reviews judged"),
            findings: new(to, "findings", "Findings, by what they led to"),
            faults: new(to, "faults", "Requests that got no decision"),
            seconds,
            in_flight: new(to, "reviews_in_flight", "Requests being judged"),
            look_ups: new(to, "look_ups", "Single objects asked of the apiserver"),
            cached: new(to, "cached_objects", "Objects in the caches"),
            watch_interruptions: new(
                to,
                "watch_interruptions",
                "Watches that broke and were begun again",
            ),
            watch_event_time: new(
                to,
                "watch_last_event_timestamp_seconds",
                "When a watch last told of an object, or began to list them",
            ),
            audit_records: new(to, "audit_records", "Audit records of decisions that were written"),
            audit_dropped: new(
                to,
                "audit_dropped",
                "Audit records lost because no more could wait to be written",
            ),
            audit_write_errors: new(
                to,
                "audit_write_errors",
                "Attempts to write the audit log that failed",
            ),
            audit_queue: new(to, "audit_queue_bytes", "Audit records that wait to be written"),
            config_good: new(
                to,
                "config_last_reload_successful",
                "Whether the configuration file, as it is now, is in force",
            ),
            config_time: new(
                to,
                "config_last_reload_success_timestamp_seconds",
                "When the configuration in force was read",
            ),
            ratchet_since: new(
                to,
                "ratchet_since_timestamp_seconds",
                "What was there before this time counts as old",
            ),
            config: new(to, "config_info", "The configuration in force, by its fingerprint"),
            connections: new(to, "connections", "Connections that are open"),
            crowded_out: new(
                to,
                "connections_crowded_out",
                "Connections closed because there was no room for more",
            ),
            certificates: certificates::Certificates::register(to),
            build: new(to, "build_info", "The program"),
            registry,
        };
        metrics.config_good.set(1);
        metrics.build.get_or_create(&Build { version: env!("CARGO_PKG_VERSION") }).set(1);
        // A rate is known from the first event on only if there was a zero before.
        for kind in CACHED {
            drop(metrics.watch_interruptions.get_or_create(&Cached { kind: kind.as_str() }));
        }
        metrics
    }
}

/// A metric of that registry.
fn new<M: Metric + Clone + Default>(registry: &mut Registry, name: &str, help: &str) -> M {
    let metric = M::default();
    registry.register(name, help, metric.clone());
    metric
}

impl Metrics {
    /// Counts a decision.
    pub fn decided(&self, subject: &Subject<'_>, verdict: &Verdict, took: Duration) {
        let webhook = subject.gate.as_str();
        let kind = verdict.subject.kind.as_str();
        let operation = subject.change.operation().as_str();
        let decision = verdict.effect().as_str();
        self.reviews.get_or_create(&Review { webhook, kind, operation, decision }).inc();
        self.seconds.observe(took.as_secs_f64());
        for finding in &verdict.findings {
            let exemption = finding.leniency.as_ref().and_then(Leniency::exemption);
            let decision = if exemption.is_some() { "exempt" } else { finding.effect.as_str() };
            let labels = Finding { rule: finding.rule, decision };
            self.findings.get_or_create(&labels).inc();
        }
    }

    /// Counts a request that got no decision.
    pub fn fault(&self, fault: &Fault) {
        self.faults.get_or_create(&FaultName { fault: fault.name() }).inc();
    }

    /// Counts a look-up: found, not found, or failed.
    pub fn looked_up<E>(&self, kind: Kind, found: Result<bool, &E>) {
        let result = match found {
            Ok(true) => "found",
            Ok(false) => "absent",
            Err(_) => "failed",
        };
        self.look_ups.get_or_create(&LookUp { kind: kind.as_str(), result }).inc();
    }

    /// Counts an audit record that was lost.
    pub fn audit_dropped(&self) {
        self.audit_dropped.inc();
    }

    /// Counts an audit record that waits to be written.
    pub fn audit_queued(&self, bytes: usize) {
        self.audit_queue.inc_by(count(bytes));
    }

    /// Counts audit records that were written and wait no more.
    pub fn audit_written(&self, records: usize, bytes: usize) {
        self.audit_records.inc_by(records as u64);
        self.audit_queue.dec_by(count(bytes));
    }

    /// Counts an attempt to write the audit log that failed.
    pub fn audit_write_failed(&self) {
        self.audit_write_errors.inc();
    }

    /// Counts a connection to that listener, until what is returned is dropped.
    #[must_use]
    pub fn connected(&self, listener: &'static str) -> Connected {
        let open = self.connections.get_or_create_owned(&Listener { listener });
        open.inc();
        Connected(open)
    }

    /// Counts an event of a watch.
    pub fn watch_told(&self, kind: Kind) {
        self.watch_event_time.get_or_create(&Cached { kind: kind.as_str() }).set(now());
    }

    /// Counts a watch that broke.
    pub fn watch_interrupted(&self, kind: Kind) {
        self.watch_interruptions.get_or_create(&Cached { kind: kind.as_str() }).inc();
    }

    /// Counts a connection that was closed for lack of room: one that gave way to a
    /// newer one, or the newer one, for which nobody had to.
    pub fn crowded_out(&self, newer: bool) {
        let which = if newer { "newer" } else { "older" };
        self.crowded_out.get_or_create(&Crowded { which }).inc();
    }

    /// Sets whether the configuration file, as it is now, is in force.
    pub fn config_reloaded(&self, good: bool) {
        self.config_good.set(good.into());
    }

    /// Sets which configuration is in force from now on.
    pub fn config_adopted(&self, fingerprint: Fingerprint) {
        // The one before would stay as a series for ever.
        self.config.clear();
        self.config.get_or_create(&Config { fingerprint: fingerprint.to_string() }).set(1);
        self.config_time.set(now());
    }

    /// Sets since when what comes to be is not old; nobody may know.
    pub fn ratchet_adopted(&self, since: Option<Timestamp>) {
        self.ratchet_since.set(since.map_or(0, Timestamp::as_second));
    }

    /// Everything, in the text format ([`CONTENT_TYPE`]); what the caches hold and
    /// how many reviews are being judged is asked of those who know.
    #[must_use]
    pub fn render(&self, caches: &Snapshot, in_flight: usize) -> String {
        for kind in CACHED {
            self.cached
                .get_or_create(&Cached { kind: kind.as_str() })
                .set(count(caches.count(kind)));
        }
        self.in_flight.set(count(in_flight));
        exposition::text(&[&self.registry, &self.process])
    }
}

/// A connection that is open.
#[derive(Debug)]
pub struct Connected(Gauge);

impl Drop for Connected {
    fn drop(&mut self) {
        self.0.dec();
    }
}

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// The time, in seconds since 1970.
fn now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
