//! What the API server is told of a pod.

use std::{collections::BTreeMap, net::Ipv4Addr};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use serde_json::{Value, json};

/// What a kubelet sees of a pod.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Observed {
    pub(super) address: Option<Ipv4Addr>,
    pub(super) containers: Vec<ContainerStatus>,
    /// Its containers have ended, and none is started any more.
    pub(super) over: bool,
}

/// Turns what is seen into statuses, and remembers since when a condition holds.
#[derive(Debug)]
pub(super) struct Reporter {
    node: Ipv4Addr,
    start: Timestamp,
    conditions: BTreeMap<&'static str, (bool, Timestamp)>,
}

impl Reporter {
    pub(super) fn new(node: Ipv4Addr, pod: &Pod) -> Self {
        let status = pod.status.as_ref();
        let start = status.and_then(|status| status.start_time.as_ref()).map(|time| time.0);
        let conditions = status.and_then(|status| status.conditions.as_ref()).into_iter().flatten();
        let conditions = conditions.filter_map(|condition| {
            let kind = CONDITIONS.into_iter().find(|kind| *kind == condition.type_)?;
            let since = condition.last_transition_time.as_ref()?.0;
            Some((kind, (condition.status == "True", since)))
        });
        Self { node, start: start.unwrap_or_else(Timestamp::now), conditions: conditions.collect() }
    }

    /// A strategic merge patch: conditions are merged by type, so that those of
    /// others stay; all else is the kubelet's.
    pub(super) fn status(&mut self, observed: &Observed, now: Timestamp) -> Value {
        let Observed { address, containers, over } = observed;
        let ready = !over && !containers.is_empty() && containers.iter().all(|status| status.ready);
        let phase = phase(containers, *over);
        let conditions = CONDITIONS.map(|kind| {
            let holds = match kind {
                "PodReadyToStartContainers" => address.is_some() && !over,
                "Initialized" => true,
                _ => ready,
            };
            let since = self.conditions.entry(kind).or_insert((holds, now));
            if since.0 != holds {
                *since = (holds, now);
            }
            let reason = match (kind, holds) {
                ("Ready" | "ContainersReady", false) if *over => Some("PodCompleted"),
                ("Ready" | "ContainersReady", false) => Some("ContainersNotReady"),
                _ => None,
            };
            let status = if holds { "True" } else { "False" };
            json!({"type": kind, "status": status, "reason": reason, "lastTransitionTime": since.1})
        });
        let mut status = json!({
            "phase": phase,
            "startTime": self.start,
            "hostIP": self.node,
            "hostIPs": [{"ip": self.node}],
            "conditions": conditions,
            "containerStatuses": containers,
        });
        if let Some(address) = address {
            status["podIP"] = json!(address);
            status["podIPs"] = json!([{"ip": address}]);
        }
        status
    }
}

const CONDITIONS: [&str; 4] =
    ["PodReadyToStartContainers", "Initialized", "ContainersReady", "Ready"];

/// The phase by the kubelet's rules.
fn phase(containers: &[ContainerStatus], over: bool) -> &'static str {
    let state = |status: &ContainerStatus| status.state.clone().unwrap_or_default();
    if over {
        let failed = containers.iter().any(|status| {
            // One that was never started has not succeeded either.
            state(status).terminated.is_none_or(|terminated| terminated.exit_code != 0)
        });
        return if failed { "Failed" } else { "Succeeded" };
    }
    let never_ran = |status: &ContainerStatus| {
        state(status).running.is_none()
            && state(status).terminated.is_none()
            && status.last_state.as_ref().is_none_or(|last| last.terminated.is_none())
    };
    if containers.is_empty() || containers.iter().any(never_ran) { "Pending" } else { "Running" }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container(ready: bool, state: &Value, last_state: &Value) -> ContainerStatus {
        serde_json::from_value(json!({
            "name": "guard", "image": "", "imageID": "", "restartCount": 0,
            "ready": ready, "state": state, "lastState": last_state,
        }))
        .expect("a container's status")
    }

    #[test]
    fn phase_and_readiness_follow_from_the_containers() {
        let waiting = json!({"waiting": {"reason": "CrashLoopBackOff"}});
        let running = json!({"running": {}});
        let ended = |code: i32| json!({"terminated": {"exitCode": code}});
        let none = json!({});
        for (containers, over, expected) in [
            (vec![], false, ("Pending", "False")),
            (vec![container(false, &waiting, &none)], false, ("Pending", "False")),
            (vec![container(false, &waiting, &ended(1))], false, ("Running", "False")),
            (vec![container(false, &running, &none)], false, ("Running", "False")),
            (vec![container(true, &running, &none)], false, ("Running", "True")),
            (
                vec![container(true, &running, &none), container(false, &running, &none)],
                false,
                ("Running", "False"),
            ),
            (vec![container(false, &ended(0), &none)], true, ("Succeeded", "False")),
            (vec![container(false, &ended(137), &none)], true, ("Failed", "False")),
            (vec![container(false, &waiting, &none)], true, ("Failed", "False")),
        ] {
            let mut reporter = Reporter::new(Ipv4Addr::LOCALHOST, &Pod::default());
            let observed = Observed { address: None, containers, over };
            let status = reporter.status(&observed, Timestamp::now());
            assert_eq!(status["phase"], expected.0, "{observed:?}");
            assert_eq!(status["conditions"][3]["type"], "Ready");
            assert_eq!(status["conditions"][3]["status"], expected.1, "{observed:?}");
        }
    }

    #[test]
    fn a_condition_holds_since_it_changed_last() {
        let at = |second| Timestamp::from_second(second).expect("a time");
        let mut reporter = Reporter::new(Ipv4Addr::LOCALHOST, &Pod::default());
        let mut since = |ready, second| {
            let containers = vec![container(ready, &json!({"running": {}}), &json!({}))];
            let observed = Observed { address: None, containers, over: false };
            reporter.status(&observed, at(second))["conditions"][3]["lastTransitionTime"].clone()
        };
        assert_eq!(since(false, 1), json!(at(1)));
        assert_eq!(since(false, 2), json!(at(1)));
        assert_eq!(since(true, 3), json!(at(3)));
        assert_eq!(since(true, 4), json!(at(3)));
    }
}
