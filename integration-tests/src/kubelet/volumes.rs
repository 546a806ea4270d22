//! A pod's volumes, each a folder of this machine.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
    sync::Arc,
};

use anyhow::{Context, Result, bail};
use futures::{
    StreamExt,
    stream::{BoxStream, SelectAll},
};
use k8s_openapi::api::{
    authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec},
    core::v1::{
        ConfigMap, DownwardAPIVolumeFile, KeyToPath, Pod, Secret, ServiceAccount,
        ServiceAccountTokenProjection, Volume,
    },
};
use kube::{Api, api::PostParams, runtime::watcher::watch_object};
use tokio::sync::oneshot;

use super::{
    arguments::Mounts,
    environment::field,
    folder::{self, Files},
    host::Host,
};

/// The volumes of one pod.
pub(super) struct Volumes {
    host: Arc<Host>,
    pod: Pod,
    folder: PathBuf,
}

/// What a volume is filled from.
#[derive(Clone, Debug)]
enum Source {
    Object { object: Object, items: Option<Vec<KeyToPath>>, optional: bool },
    Fields(Vec<DownwardAPIVolumeFile>),
    Token(ServiceAccountTokenProjection),
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Object {
    ConfigMap(String),
    Secret(String),
}

impl Volumes {
    /// Those of that pod, each below `folder`.
    pub(super) fn new(host: Arc<Host>, pod: Pod, folder: PathBuf) -> Self {
        Self { host, pod, folder }
    }

    /// Where the mounts of that container are.
    pub(super) fn mounts(&self, container: &k8s_openapi::api::core::v1::Container) -> Mounts {
        let mounts = container.volume_mounts.iter().flatten();
        mounts.map(|mount| (mount.mount_path.clone(), self.folder.join(&mount.name))).collect()
    }

    /// Fills every volume, says so, and follows what they are filled from for as
    /// long as it is polled.
    pub(super) async fn keep(&self, mounted: oneshot::Sender<()>) -> Result<()> {
        let mut volumes = BTreeMap::new();
        for volume in self.pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten()) {
            let sources = sources(volume).with_context(|| format!("volume {}", volume.name))?;
            volumes.insert(volume.name.clone(), sources);
        }
        let objects: BTreeSet<Object> = volumes
            .values()
            .flatten()
            .filter_map(|source| match source {
                Source::Object { object, .. } => Some(object.clone()),
                Source::Fields(_) | Source::Token(_) => None,
            })
            .collect();
        let mut known = BTreeMap::<Object, Option<Files>>::new();
        let mut changes = SelectAll::new();
        for object in &objects {
            changes.push(self.watch(object));
        }
        let tokens = self.tokens(&volumes).await?;
        let mut mounted = Some(mounted);
        loop {
            if known.len() == objects.len() && self.fill(&volumes, &known, &tokens)? {
                // Nobody waits for it any more if the pod is to go.
                let _ = mounted.take().map(|mounted| mounted.send(()));
            }
            let Some((object, content)) = changes.next().await else {
                return std::future::pending().await;
            };
            known.insert(object, content);
        }
    }

    /// Whether everything was there to fill them with.
    fn fill(
        &self,
        volumes: &BTreeMap<String, Vec<Source>>,
        known: &BTreeMap<Object, Option<Files>>,
        tokens: &BTreeMap<String, String>,
    ) -> Result<bool> {
        for (volume, sources) in volumes {
            let path = self.folder.join(volume);
            if sources.is_empty() {
                fs::create_dir_all(&path).context("making an empty volume")?;
                continue;
            }
            let mut files = Files::new();
            for source in sources {
                match source {
                    Source::Object { object, items, optional } => match &known[object] {
                        Some(content) => files.extend(picked(content, items.as_deref())),
                        None if *optional => {}
                        None => return Ok(false),
                    },
                    Source::Fields(fields) => {
                        for DownwardAPIVolumeFile { path, field_ref, .. } in fields {
                            let field_ref =
                                field_ref.as_ref().context("only fields are known here")?;
                            files.insert(
                                path.clone(),
                                field(&field_ref.field_path, &self.pod)?.into(),
                            );
                        }
                    }
                    Source::Token(token) => {
                        files.insert(token.path.clone(), tokens[&token.path].clone().into());
                    }
                }
            }
            folder::write(&path, &files)?;
        }
        Ok(true)
    }

    /// The content of an object, now and whenever it changes; none when it is gone.
    fn watch(&self, object: &Object) -> BoxStream<'static, (Object, Option<Files>)> {
        let client = self.host.client.clone();
        let namespace = self.pod.metadata.namespace.clone().unwrap_or_default();
        let (host, object) = (Arc::clone(&self.host), object.clone());
        let contents = match &object {
            Object::ConfigMap(name) => {
                watch_object(Api::<ConfigMap>::namespaced(client, &namespace), name)
                    .map(|found| found.map(|found| found.map(of_config_map)))
                    .boxed()
            }
            Object::Secret(name) => {
                watch_object(Api::<Secret>::namespaced(client, &namespace), name)
                    .map(|found| found.map(|found| found.map(of_secret)))
                    .boxed()
            }
        };
        contents
            .filter_map(move |content| {
                let (host, object) = (Arc::clone(&host), object.clone());
                async move {
                    match content {
                        Ok(content) => Some((object, content)),
                        Err(error) => {
                            host.log(format_args!("watching {object:?}: {error}"));
                            // The watch itself begins again at once.
                            tokio::time::sleep(super::RETRY).await;
                            None
                        }
                    }
                }
            })
            .boxed()
    }

    /// A token for each file that wants one, by the file's path in its volume.
    async fn tokens(
        &self,
        volumes: &BTreeMap<String, Vec<Source>>,
    ) -> Result<BTreeMap<String, String>> {
        let mut tokens = BTreeMap::new();
        for source in volumes.values().flatten() {
            if let Source::Token(projection) = source {
                tokens.insert(projection.path.clone(), self.token(projection).await?);
            }
        }
        Ok(tokens)
    }

    async fn token(&self, projection: &ServiceAccountTokenProjection) -> Result<String> {
        let metadata = &self.pod.metadata;
        let namespace = metadata.namespace.as_deref().unwrap_or_default();
        let account = self.pod.spec.as_ref().and_then(|spec| spec.service_account_name.as_deref());
        let request = TokenRequest {
            spec: Some(TokenRequestSpec {
                audiences: projection.audience.clone().map(|audience| vec![audience]),
                expiration_seconds: projection.expiration_seconds,
                bound_object_ref: Some(BoundObjectReference {
                    api_version: Some("v1".into()),
                    kind: Some("Pod".into()),
                    name: metadata.name.clone(),
                    uid: metadata.uid.clone(),
                }),
                ..TokenRequestSpec::default()
            }),
            ..TokenRequest::default()
        };
        let accounts = Api::<ServiceAccount>::namespaced(self.host.client.clone(), namespace);
        let account = account.unwrap_or("default");
        loop {
            match accounts.create_token_request(account, &PostParams::default(), &request).await {
                Ok(granted) => {
                    let token = granted.status.and_then(|status| status.token);
                    return token.context("a grant holds a token");
                }
                // The authorizer may not know yet that the pod is on this node.
                Err(error) => {
                    self.host.log(format_args!("a token of {namespace}/{account}: {error}"));
                }
            }
            tokio::time::sleep(super::RETRY).await;
        }
    }
}

/// What fills a volume, in order; nothing for an empty one.
fn sources(volume: &Volume) -> Result<Vec<Source>> {
    let object = |object, items: &Option<Vec<KeyToPath>>, optional: Option<bool>| {
        let optional = optional.unwrap_or_default();
        Source::Object { object, items: items.clone(), optional }
    };
    if let Some(source) = &volume.config_map {
        return Ok(vec![object(
            Object::ConfigMap(source.name.clone()),
            &source.items,
            source.optional,
        )]);
    }
    if let Some(source) = &volume.secret {
        let name = source.secret_name.clone().context("a Secret has a name")?;
        return Ok(vec![object(Object::Secret(name), &source.items, source.optional)]);
    }
    if volume.empty_dir.is_some() {
        return Ok(vec![]);
    }
    if let Some(source) = &volume.downward_api {
        return Ok(vec![Source::Fields(source.items.clone().unwrap_or_default())]);
    }
    let Some(projected) = &volume.projected else {
        bail!("a volume of that kind is not known here")
    };
    let mut sources = Vec::new();
    for projection in projected.sources.iter().flatten() {
        if let Some(source) = &projection.config_map {
            sources.push(object(
                Object::ConfigMap(source.name.clone()),
                &source.items,
                source.optional,
            ));
        } else if let Some(source) = &projection.secret {
            sources.push(object(
                Object::Secret(source.name.clone()),
                &source.items,
                source.optional,
            ));
        } else if let Some(source) = &projection.downward_api {
            sources.push(Source::Fields(source.items.clone().unwrap_or_default()));
        } else if let Some(source) = &projection.service_account_token {
            sources.push(Source::Token(source.clone()));
        } else {
            bail!("a projection of that kind is not known here");
        }
    }
    Ok(sources)
}

fn of_config_map(ConfigMap { data, binary_data, .. }: ConfigMap) -> Files {
    let text = data.into_iter().flatten().map(|(key, text)| (key, text.into_bytes()));
    let binary = binary_data.into_iter().flatten().map(|(key, bytes)| (key, bytes.0));
    text.chain(binary).collect()
}

fn of_secret(secret: Secret) -> Files {
    secret.data.into_iter().flatten().map(|(key, bytes)| (key, bytes.0)).collect()
}

/// The keys that are named, under the paths they are given; all of them without names.
fn picked(content: &Files, items: Option<&[KeyToPath]>) -> Files {
    let Some(items) = items else { return content.clone() };
    let item = |item: &KeyToPath| Some((item.path.clone(), content.get(&item.key)?.clone()));
    items.iter().filter_map(item).collect()
}
