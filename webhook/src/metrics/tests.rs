//! What the pages say of the metrics, and what they count.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use nfs_guard_certs::Step;

use super::*;

const PAGE: &str = include_str!("../../../docs/metrics.md");
const ALERTS: &str = include_str!("../../../docs/alerts.yaml");

/// Every metric there is, with one series at least.
fn text() -> String {
    let metrics = Metrics::default();
    let (kind, operation) = ("StatefulSet", "CREATE");
    let (webhook, decision) = ("validating", "deny");
    let review = Review { webhook, kind, operation, decision };
    metrics.reviews.get_or_create(&review).inc();
    metrics.findings.get_or_create(&Finding { rule: "a", decision }).inc();
    metrics.fault(&Fault::Panic);
    metrics.looked_up::<()>(Kind::Claim, Ok(true));
    metrics.watch_told(Kind::Claim);
    metrics.crowded_out(true);
    metrics.certificate_served(Timestamp::UNIX_EPOCH, Some(Timestamp::UNIX_EPOCH));
    metrics.certificate_step(Step::Issue);
    metrics.config_adopted(Fingerprint::default());
    drop(metrics.connected("admin"));
    metrics.render(&Snapshot::default(), 0)
}

/// Type and labels of each metric.
fn told() -> BTreeMap<String, (String, BTreeSet<String>)> {
    let mut told = BTreeMap::new();
    let mut name = String::new();
    for line in text().lines() {
        if let Some((metric, kind)) =
            line.strip_prefix("# TYPE ").and_then(|described| described.split_once(' '))
        {
            metric.clone_into(&mut name);
            told.insert(name.clone(), (kind.to_owned(), BTreeSet::new()));
        } else if let Some((_, labels)) = line.split_once('{') {
            let labels = labels.split("\",").filter_map(|label| Some(label.split_once('=')?.0));
            let labels = labels.filter(|label| *label != "le").map(str::to_owned);
            told.get_mut(&name).unwrap().1.extend(labels);
        }
    }
    told
}

#[test]
fn the_page_lists_every_metric_with_its_type_and_labels_and_no_other() {
    let rows = PAGE.lines().filter(|line| line.starts_with("| `"));
    let listed: BTreeMap<_, _> = rows
        .map(|row| {
            let cells: Vec<_> = row.split('|').map(str::trim).collect();
            // What a label may be stands in brackets after it.
            let mut labels = cells[3].to_owned();
            while let Some((before, (_, after))) = labels
                .split_once(" (")
                .and_then(|(before, rest)| Some((before, rest.split_once(')')?)))
            {
                labels = format!("{before}{after}");
            }
            let labels = labels.split(", ").filter(|label| !label.is_empty());
            let labels = labels.map(|label| label.trim_matches('`').to_owned()).collect();
            (cells[1].trim_matches('`').to_owned(), (cells[2].to_owned(), labels))
        })
        .collect();
    assert_eq!(listed, told());
}

#[test]
fn the_alerts_name_no_metric_that_is_not() {
    let told = told();
    let mut named = 0;
    for word in ALERTS.split(|c: char| !c.is_ascii_alphanumeric() && c != '_') {
        if word.starts_with("nfs_guard_") {
            let name = word.strip_suffix("_bucket").unwrap_or(word);
            assert!(told.contains_key(name), "{word}");
            named += 1;
        }
    }
    assert!(named > 5);
}

#[test]
fn a_connection_counts_until_it_ends() {
    let metrics = Metrics::default();
    let open = |expected: &str| {
        let text = metrics.render(&Snapshot::default(), 0);
        let line = format!("nfs_guard_connections{{listener=\"reviews\"}} {expected}\n");
        assert!(text.contains(&line), "{text}");
    };
    let [first, second] = [(); 2].map(|()| metrics.connected("reviews"));
    open("2");
    drop(first);
    open("1");
    drop(second);
    open("0");
}

#[test]
fn one_configuration_is_in_force_at_a_time() {
    let metrics = Metrics::default();
    for text in ["", "rules: {}"] {
        let fingerprint = Fingerprint::of(text);
        metrics.config_adopted(fingerprint);
        let text = metrics.render(&Snapshot::default(), 0);
        let line = format!("nfs_guard_config_info{{fingerprint=\"{fingerprint}\"}} 1\n");
        assert!(text.contains(&line), "{text}");
        assert_eq!(text.matches("nfs_guard_config_info{").count(), 1, "{text}");
    }
}
