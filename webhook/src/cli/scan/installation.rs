//! The guard of a cluster: since when it is there, and what it runs by.

use std::path::Path;

use jiff::Timestamp;
use k8s_openapi::api::{
    admissionregistration::v1::ValidatingWebhookConfiguration, core::v1::ConfigMap,
};
use kube::{Api, Client, Resource, api::ListParams};
use nfs_guard_policies::glob::Glob;
use serde::de::DeserializeOwned;

use super::super::{Failure, tell};
use crate::{
    config::{self, Fingerprint, Loaded},
    manifest::InputError,
};

/// What the chart labels everything it installs with.
const LABEL: &str = "app.kubernetes.io/name=nfs-guard";

/// The chart's name for the configuration in its ConfigMap.
const KEY: &str = "config.yaml";

/// The guard's webhook configurations, as far as they can be read.
pub(super) struct Installation {
    webhooks: Found<ValidatingWebhookConfiguration>,
}

/// What was found of a kind; or who may not look.
enum Found<T> {
    All(Vec<T>),
    Forbidden(String),
}

impl Installation {
    /// Looks for it.
    pub(super) async fn find(client: &Client) -> Result<Self, Failure> {
        Ok(Self { webhooks: labelled(client).await? })
    }

    /// When the oldest of its webhook configurations was made.
    pub(super) fn installed(&self) -> Option<Timestamp> {
        let made = self.webhooks().iter().filter_map(|w| w.metadata.creation_timestamp.as_ref());
        made.map(|time| time.0).min()
    }

    /// Why nobody can say when it was installed.
    pub(super) fn no_time(&self) -> String {
        match &self.webhooks {
            Found::All(_) => format!("no ValidatingWebhookConfiguration has the label {LABEL}"),
            Found::Forbidden(why) => why.clone(),
        }
    }

    /// Its own namespaces, in which it judges nothing.
    pub(super) fn namespaces(&self) -> Vec<Glob> {
        let mut namespaces: Vec<_> = self
            .webhooks()
            .iter()
            .flat_map(|configuration| configuration.webhooks.iter().flatten())
            .filter_map(|entry| entry.client_config.service.as_ref())
            .map(|service| service.namespace.as_str())
            .collect();
        namespaces.sort_unstable();
        namespaces.dedup();
        namespaces.into_iter().map(Into::into).collect()
    }

    /// The configuration it runs by and where that stands; the defaults if there is
    /// none that can be read, which is said.
    pub(super) async fn config(&self, client: &Client) -> Result<(String, Loaded), Failure> {
        let defaults = |why: String| {
            tell(format_args!("warning: {why}; judged by the defaults, unless --config says else"));
            ("defaults".to_owned(), Loaded::default())
        };
        let maps = match labelled::<ConfigMap>(client).await? {
            Found::All(maps) => maps,
            Found::Forbidden(why) => return Ok(defaults(why)),
        };
        let configs: Vec<_> = maps.iter().filter_map(text).collect();
        match &configs[..] {
            [] => Ok(defaults(format!("no ConfigMap with the label {LABEL} has {KEY}"))),
            [(source, text)] => {
                let config = config::parse(Path::new(source), text)?;
                let fingerprint = Fingerprint::of(text);
                Ok((source.clone(), Loaded { config, fingerprint, file: None }))
            }
            several => {
                let sources: Vec<_> = several.iter().map(|(source, _)| source.as_str()).collect();
                let advice = format!("must say which guard's is meant: {}", sources.join(", "));
                Err(InputError::whole("--config", advice).into())
            }
        }
    }

    fn webhooks(&self) -> &[ValidatingWebhookConfiguration] {
        match &self.webhooks {
            Found::All(webhooks) => webhooks,
            Found::Forbidden(_) => &[],
        }
    }
}

/// The objects of that kind which the chart installed, in all namespaces.
async fn labelled<K>(client: &Client) -> Result<Found<K>, Failure>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug,
{
    let objects: Api<K> = Api::all(client.clone());
    match objects.list(&ListParams::default().labels(LABEL)).await {
        Ok(list) => Ok(Found::All(list.items)),
        Err(kube::Error::Api(status)) if status.code == 403 => Ok(Found::Forbidden(status.message)),
        Err(error) => {
            let doing = format!("cannot list {} objects", K::kind(&()));
            Err(Failure::Unreachable(anyhow::Error::new(error).context(doing)))
        }
    }
}

/// The configuration in a `ConfigMap`, and what that is called.
fn text(map: &ConfigMap) -> Option<(String, &str)> {
    let text = map.data.as_ref()?.get(KEY)?;
    let metadata = &map.metadata;
    let (namespace, name) = (metadata.namespace.as_deref()?, metadata.name.as_deref()?);
    Some((format!("ConfigMap {namespace}/{name}"), text))
}
