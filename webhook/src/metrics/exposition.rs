//! The Prometheus text format.
//!
//! `prometheus-client` writes `OpenMetrics`, which names a counter without the
//! `_total` of its samples. Who reads the older format, which is what a client
//! gets that does not ask for another, would take the two for different metrics.

use std::fmt::Write as _;

use prometheus_client::{encoding::text::encode_registry, registry::Registry};

/// The content type of that format.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// All metrics of those registries.
pub(super) fn text(registries: &[&Registry]) -> String {
    let mut openmetrics = String::new();
    for registry in registries {
        encode_registry(&mut openmetrics, registry).expect("writing to a string does not fail");
    }
    let mut text = String::with_capacity(openmetrics.len() + 1024);
    let mut help = "";
    for line in openmetrics.lines() {
        if let Some(described) = line.strip_prefix("# HELP ") {
            help = described.split_once(' ').map_or("", |(_name, help)| help);
        } else if let Some(described) = line.strip_prefix("# TYPE ") {
            let (name, kind) = described.split_once(' ').unwrap_or((described, "untyped"));
            let total = if kind == "counter" { "_total" } else { "" };
            writeln!(text, "# HELP {name}{total} {help}\n# TYPE {name}{total} {kind}")
                .expect("writing to a string does not fail");
        } else {
            text.push_str(line);
            text.push('\n');
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use prometheus_client::metrics::{counter::Counter, gauge::Gauge};

    use super::*;

    #[test]
    fn a_counter_is_described_by_the_name_of_its_samples() {
        let mut registry = Registry::with_prefix("a");
        registry.register("hits", "Hits", Counter::<u64>::default());
        registry.register("size", "Size", Gauge::<i64>::default());
        let expected = "# HELP a_hits_total Hits.\n# TYPE a_hits_total counter\na_hits_total 0\n\
                        # HELP a_size Size.\n# TYPE a_size gauge\na_size 0\n";
        assert_eq!(text(&[&registry]), expected);
    }
}
