//! The downward API: what a pod is told of itself.

use std::net::Ipv4Addr;

use anyhow::{Context, Result, bail};
use k8s_openapi::api::core::v1::{Container, EnvVar, Pod};

/// The variables of a container.
pub(super) fn variables(
    container: &Container,
    pod: &Pod,
    address: Ipv4Addr,
    host: Ipv4Addr,
) -> Result<Vec<(String, String)>> {
    container.env.iter().flatten().map(|variable| value(variable, pod, address, host)).collect()
}

fn value(
    EnvVar { name, value, value_from }: &EnvVar,
    pod: &Pod,
    address: Ipv4Addr,
    host: Ipv4Addr,
) -> Result<(String, String)> {
    let Some(from) = value_from else {
        return Ok((name.clone(), value.clone().unwrap_or_default()));
    };
    let path =
        &from.field_ref.as_ref().with_context(|| format!("{name} refers to no field"))?.field_path;
    let value = match path.as_str() {
        "status.podIP" => address.to_string(),
        "status.hostIP" => host.to_string(),
        path => field(path, pod)?,
    };
    Ok((name.clone(), value))
}

/// The field of a pod that never changes, or the label or annotation it has now.
pub(super) fn field(path: &str, pod: &Pod) -> Result<String> {
    let metadata = &pod.metadata;
    let spec = pod.spec.as_ref().context("a pod has a spec")?;
    let keyed = |map: &str| path.strip_prefix(map)?.strip_prefix("['")?.strip_suffix("']");
    let of_map = if let Some(key) = keyed("metadata.labels") {
        metadata.labels.as_ref().map(|labels| labels.get(key))
    } else if let Some(key) = keyed("metadata.annotations") {
        metadata.annotations.as_ref().map(|annotations| annotations.get(key))
    } else {
        let field = match path {
            "metadata.name" => &metadata.name,
            "metadata.namespace" => &metadata.namespace,
            "metadata.uid" => &metadata.uid,
            "spec.nodeName" => &spec.node_name,
            "spec.serviceAccountName" => &spec.service_account_name,
            _ => bail!("the field {path} is not known here"),
        };
        return Ok(field.clone().unwrap_or_default());
    };
    Ok(of_map.flatten().cloned().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_pod_is_told_of_itself_by_the_names_of_its_fields() {
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {"name": "guard-1", "namespace": "storage", "labels": {"app": "guard"}},
            "spec": {
                "nodeName": "host-1",
                "containers": [{"name": "guard", "env": [
                    {"name": "PLAIN", "value": "x"},
                    {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
                    {"name": "APP", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['app']"}}},
                    {"name": "NONE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.annotations['a']"}}},
                    {"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
                    {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
                ]}],
            },
        }))
        .expect("a pod");
        let container = &pod.spec.as_ref().expect("a spec").containers[0];
        let address = Ipv4Addr::new(127, 64, 0, 16);
        let variables = variables(container, &pod, address, address).expect("all are known");
        let values: Vec<&str> = variables.iter().map(|(_, value)| value.as_str()).collect();
        assert_eq!(values, ["x", "guard-1", "guard", "", "host-1", "127.64.0.16"]);
        let unknown = field("status.qosClass", &pod).expect_err("it is not known");
        assert_eq!(unknown.to_string(), "the field status.qosClass is not known here");
    }
}
