//! The API server's own audit log: it tells what the guard's tells.

use std::{fs, time::Duration};

use nfs_guard_integration_tests::{
    Harness,
    wait::{Progress, wait_for},
};
use serde_json::Value;

use crate::manifests::{CRITICAL, apply_denied_warned_and_added_to};

/// Far longer than a line takes to be written.
const DEADLINE: Duration = Duration::from_mins(1);

#[test]
fn the_api_servers_own_audit_log_tells_the_same_and_names_the_record() {
    let cluster = Harness::shared();
    let namespace = cluster.namespace("audit", CRITICAL);
    apply_denied_warned_and_added_to(&namespace.kubectl());

    let entry = "critical.validate.nfs-guard.io";
    for (name, entry, decision, webhook) in [
        ("denied", entry, "deny", "validating"),
        ("warned", entry, "warn", "validating"),
        ("added-to", entry, "allow", "validating"),
        ("added-to", "mutate.nfs-guard.io", "patch", "mutating"),
    ] {
        let event = apiserver_event(&cluster, namespace.name(), name);
        let told = |key: &str| event["annotations"][format!("{entry}/{key}")].as_str();
        let record = cluster.guard().wait_for_audit(name, |record| {
            record["namespace"] == namespace.name()
                && record["name"] == name
                && record["webhook"] == webhook
                && record["operation"] == "CREATE"
        });
        assert_eq!(told("decision"), Some(decision), "{event}");
        assert_eq!(record["decision"], decision, "{record}");
        assert_eq!(told("uid"), record["uid"].as_str(), "{event}");
        assert_eq!(told("critical"), record["critical"].as_str(), "{event}");
        assert_eq!(event["user"]["username"], record["user"], "{event}");
        assert_eq!(event["user"]["groups"], record["groups"], "{event}");
        let findings = record["findings"].as_array().unwrap();
        assert_eq!(told("findings").is_some(), !findings.is_empty(), "{event}");
        for finding in findings {
            let rule = finding["rule"].as_str().unwrap();
            assert!(told("findings").unwrap().contains(rule), "{event}");
        }
    }
}

/// What the API server's audit log says of the first write of that object.
fn apiserver_event(cluster: &Harness, namespace: &str, name: &str) -> Value {
    let log = cluster.control_plane().audit_log();
    wait_for(&format!("the event of {name}"), DEADLINE, || {
        let text = fs::read_to_string(&log)?;
        let events = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let mut of_object = events.filter(|event| {
            let object = &event["objectRef"];
            object["namespace"] == namespace
                && object["name"] == name
                && event["verb"] == "create"
                && event["stage"] == "ResponseComplete"
        });
        let found = of_object.next();
        Ok(found.map_or_else(|| Progress::NotYet(text.len().to_string()), Progress::Done))
    })
    .unwrap()
}
