//! Metrics of certificates.

use jiff::Timestamp;
use nfs_guard_certs::{Attempt, Step};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

use super::Metrics;

#[derive(Debug, Default)]
pub(super) struct Certificates {
    expiry: Family<Certificate, Gauge>,
    steps: Family<Stepped, Counter>,
    failures: Family<Failed, Counter>,
    repairs: Counter,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Certificate {
    certificate: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Stepped {
    step: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Failed {
    attempt: &'static str,
}

impl Certificates {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        let Self { expiry, steps, failures, repairs } = &metrics;
        registry.register(
            "certificate_expiry_timestamp_seconds",
            "When the certificates end that are served, in seconds since 1970",
            expiry.clone(),
        );
        registry.register(
            "certificate_steps",
            "Steps this replica took to renew certificates",
            steps.clone(),
        );
        registry.register(
            "certificate_failures",
            "Attempts to keep the certificates that did not succeed",
            failures.clone(),
        );
        registry.register(
            "ca_bundle_repairs",
            "Times the CA bundle was written back into a webhook configuration",
            repairs.clone(),
        );
        // A rate is known from the first failure on only if there was a zero before.
        for attempt in [Attempt::Watch, Attempt::Read, Attempt::Store, Attempt::Publish] {
            drop(failures.get_or_create(&Failed { attempt: attempt.as_str() }));
        }
        metrics
    }
}

impl Metrics {
    /// Sets when the certificates end that are served.
    pub fn certificate_served(&self, leaf_expires: Timestamp, ca_expires: Option<Timestamp>) {
        let expiry = &self.certificates.expiry;
        let set = |certificate, at: Timestamp| {
            expiry.get_or_create(&Certificate { certificate }).set(at.as_second());
        };
        set("leaf", leaf_expires);
        match ca_expires {
            Some(at) => set("ca", at),
            None => drop(expiry.remove(&Certificate { certificate: "ca" })),
        }
    }

    /// Counts a step towards new certificates.
    pub fn certificate_step(&self, step: Step) {
        self.certificates.steps.get_or_create(&Stepped { step: step.as_str() }).inc();
    }

    /// Counts an attempt that did not succeed.
    pub fn certificate_failed(&self, attempt: Attempt) {
        self.certificates.failures.get_or_create(&Failed { attempt: attempt.as_str() }).inc();
    }

    /// Counts a CA bundle that something had taken away, and that is there again.
    pub fn ca_bundle_repaired(&self) {
        self.certificates.repairs.inc();
    }
}
