//! Prometheus metrics. Labels are bounded: never the name of an object.

mod certificates;

use std::time::Duration;

use nfs_guard_policies::{Snapshot, Subject, Verdict, facts::Kind};
use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::Registry,
};

use crate::{cluster::CACHED, fault::Fault};

/// The guard's metrics.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
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
        let reviews = Family::default();
        registry.register("reviews", "Admission reviews judged", reviews.clone());
        let findings = Family::default();
        registry.register("findings", "Findings, by what they led to", findings.clone());
        let faults = Family::default();
        registry.register("faults", "Requests that got no decision", faults.clone());
        // 10 µs to 2.6 s: a judgement from the caches to one that waited for look-ups.
        let seconds = Histogram::new(exponential_buckets(0.000_01, 4.0, 10));
        registry.register(
            "review_duration_seconds",
            "Time from a whole body to a decision",
            seconds.clone(),
        );
        let look_ups = Family::default();
        registry.register("look_ups", "Single objects asked of the apiserver", look_ups.clone());
        let cached = Family::default();
        registry.register("cached_objects", "Objects in the caches", cached.clone());
        let audit_dropped = Counter::default();
        registry.register(
            "audit_dropped",
            "Audit records lost because the queue was full",
            audit_dropped.clone(),
        );
        let config_good = Gauge::default();
        config_good.set(1);
        registry.register(
            "config_last_reload_successful",
            "Whether the configuration file, as it is now, is in force",
            config_good.clone(),
        );
        let crowded_out = Family::default();
        registry.register(
            "connections_crowded_out",
            "Connections closed because there was no room for more",
            crowded_out.clone(),
        );
        let certificates = certificates::Certificates::register(&mut registry);
        Self {
            registry,
            reviews,
            findings,
            faults,
            seconds,
            look_ups,
            cached,
            audit_dropped,
            config_good,
            crowded_out,
            certificates,
        }
    }
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
            let labels = Finding { rule: finding.rule, decision: finding.effect.as_str() };
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

    /// Everything, in the text format.
    #[must_use]
    pub fn render(&self, caches: &Snapshot) -> String {
        for kind in CACHED {
            let count = i64::try_from(caches.count(kind)).unwrap_or(i64::MAX);
            self.cached.get_or_create(&Cached { kind: kind.as_str() }).set(count);
        }
        let mut text = String::new();
        encode(&mut text, &self.registry).expect("writing to a string does not fail");
        text
    }
}
