//! The webhook entries of a release, as the apiserver knows them.

use std::time::Duration;

use anyhow::{Context as _, anyhow};
use k8s_openapi::{
    ByteString,
    api::admissionregistration::v1::{
        MutatingWebhook, MutatingWebhookConfiguration, RuleWithOperations, ValidatingWebhook,
        ValidatingWebhookConfiguration, WebhookClientConfig,
    },
};
use kube::{Api, Client};
use nfs_guard_policies::Gate;

use super::Failure;
use crate::manifest::InputError;

/// What the API's defaults are for what an entry leaves out.
const DEFAULT_PORT: i32 = 443;
const DEFAULT_TIMEOUT_SECONDS: i32 = 10;

/// One entry of a webhook configuration.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) gate: Gate,
    /// The CA bundle the apiserver verifies the guard by, in PEM; empty counts
    /// as none, as the apiserver would then ask the node's own CAs.
    pub(super) ca_bundle: Option<String>,
    /// How long the apiserver waits for an answer.
    pub(super) timeout: Duration,
    rules: Vec<RuleWithOperations>,
    service: String,
    namespace: String,
    port: i32,
    path: String,
}

/// Every entry of both configurations of that name; that nothing is mutated is a
/// choice, so the mutating one may be missing.
pub(super) async fn read(client: Client, name: &str) -> Result<Vec<Entry>, Failure> {
    let validating: Api<ValidatingWebhookConfiguration> = Api::all(client.clone());
    let validating = validating.get_opt(name).await.map_err(unreadable)?;
    let missing = || {
        let advice = format!("no ValidatingWebhookConfiguration is called {name}");
        InputError::whole("--webhook-configuration", advice)
    };
    let validating = validating.ok_or_else(missing)?.webhooks.unwrap_or_default();
    if validating.is_empty() {
        let advice = format!("the ValidatingWebhookConfiguration {name} has no entry");
        return Err(InputError::whole("--webhook-configuration", advice).into());
    }
    let mutating: Api<MutatingWebhookConfiguration> = Api::all(client);
    let mutating = mutating.get_opt(name).await.map_err(unreadable)?;
    let mutating = mutating.and_then(|configuration| configuration.webhooks).unwrap_or_default();

    let validating = validating.into_iter().map(|webhook| {
        let ValidatingWebhook { name, client_config, timeout_seconds, rules, .. } = webhook;
        Entry::new(name, Gate::Validating, client_config, timeout_seconds, rules)
    });
    let mutating = mutating.into_iter().map(|webhook| {
        let MutatingWebhook { name, client_config, timeout_seconds, rules, .. } = webhook;
        Entry::new(name, Gate::Mutating, client_config, timeout_seconds, rules)
    });
    Ok(validating.chain(mutating).collect::<anyhow::Result<_>>()?)
}

fn unreadable(error: kube::Error) -> Failure {
    let doing = "cannot read the webhook configurations";
    match error {
        error @ kube::Error::Api(_) => Failure::Other(anyhow!(error).context(doing)),
        error => Failure::Unreachable(anyhow!(error).context(doing)),
    }
}

impl Entry {
    fn new(
        name: String,
        gate: Gate,
        client_config: WebhookClientConfig,
        timeout_seconds: Option<i32>,
        rules: Option<Vec<RuleWithOperations>>,
    ) -> anyhow::Result<Self> {
        let WebhookClientConfig { ca_bundle, service, url } = client_config;
        let service = service.with_context(|| {
            format!("entry {name} calls {}, which is no Service", url.unwrap_or_default())
        })?;
        let ca_bundle = ca_bundle.filter(|ByteString(pem)| !pem.is_empty());
        let ca_bundle = ca_bundle.map(|ByteString(pem)| String::from_utf8(pem)).transpose();
        let seconds = timeout_seconds.unwrap_or(DEFAULT_TIMEOUT_SECONDS);
        Ok(Self {
            ca_bundle: ca_bundle.with_context(|| format!("the caBundle of {name} is not PEM"))?,
            name,
            gate,
            timeout: Duration::from_secs(seconds.unsigned_abs().into()),
            rules: rules.unwrap_or_default(),
            service: service.name,
            namespace: service.namespace,
            port: service.port.unwrap_or(DEFAULT_PORT),
            path: service.path.unwrap_or_default(),
        })
    }

    /// Whether the apiserver calls it when an object of that group and resource is created.
    pub(super) fn is_called_for(&self, group: &str, resource: &str) -> bool {
        let names = |list: &Option<Vec<String>>, wanted: &str| {
            list.iter().flatten().any(|name| name == wanted || name == "*")
        };
        self.rules.iter().any(|rule| {
            let RuleWithOperations { api_groups, operations, resources, .. } = rule;
            names(api_groups, group) && names(resources, resource) && names(operations, "CREATE")
        })
    }

    /// The name the guard's certificate must be for.
    pub(super) fn server_name(&self) -> String {
        format!("{}.{}.svc", self.service, self.namespace)
    }

    /// What the apiserver calls; at another place, if one is given.
    pub(super) fn url(&self, base: Option<&str>) -> String {
        let service = || format!("https://{}:{}", self.server_name(), self.port);
        let base = base.map_or_else(service, str::to_owned);
        let slash = if self.path.starts_with('/') { "" } else { "/" };
        format!("{base}{slash}{}?timeout={}s", self.path, self.timeout.as_secs())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn entry(client_config: serde_json::Value) -> anyhow::Result<Entry> {
        let client_config = serde_json::from_value(client_config).unwrap();
        let rules = json!([
            {"apiGroups": ["apps"], "resources": ["statefulsets"], "operations": ["CREATE"]},
            {"apiGroups": [""], "resources": ["pods"], "operations": ["DELETE"]},
            {"apiGroups": ["batch"], "resources": ["*"], "operations": ["*"]},
        ]);
        let rules = serde_json::from_value(rules).unwrap();
        Entry::new("validate".into(), Gate::Validating, client_config, Some(3), rules)
    }

    #[test]
    fn an_entry_is_called_for_what_its_rules_name() {
        let service = json!({"name": "guard", "namespace": "storage"});
        let entry = entry(json!({"service": service})).unwrap();
        for (group, resource, called) in [
            ("apps", "statefulsets", true),
            ("apps", "deployments", false),
            ("", "statefulsets", false),
            ("", "pods", false),
            ("batch", "jobs", true),
        ] {
            assert_eq!(entry.is_called_for(group, resource), called, "{group} {resource}");
        }
    }

    #[test]
    fn the_service_is_called_by_the_name_its_certificate_is_for() {
        let service = json!({"name": "guard", "namespace": "storage", "path": "/validate"});
        let entry = entry(json!({"service": service, "caBundle": "cGVt"})).unwrap();
        assert_eq!(entry.url(None), "https://guard.storage.svc:443/validate?timeout=3s");
        assert_eq!(entry.url(Some("https://[::1]:1")), "https://[::1]:1/validate?timeout=3s");
        assert_eq!(entry.server_name(), "guard.storage.svc");
        assert_eq!(entry.ca_bundle.as_deref(), Some("pem"));
    }

    #[test]
    fn an_empty_bundle_is_none_and_a_url_is_no_service() {
        let service = json!({"name": "guard", "namespace": "storage", "port": 8443});
        let blank = entry(json!({"service": service, "caBundle": ""})).unwrap();
        assert_eq!(blank.ca_bundle, None);
        assert_eq!(blank.url(None), "https://guard.storage.svc:8443/?timeout=3s");
        let error = entry(json!({"url": "https://elsewhere"})).unwrap_err().to_string();
        assert!(error.contains("https://elsewhere"), "{error}");
    }
}
