use std::ops::ControlFlow;

use futures::future::join_all;
use kube::{
    Client,
    core::{Request, params::GetParams, params::ListParams, response::Status},
};
use nfs_guard_policies::{
    facts::{Kind, Object, Scope, WorkloadKind},
    text::{Reduce, Strings},
};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::manifest::problem;

/// Most objects of one answer, as kubectl asks for them.
const PAGE: u32 = 500;

/// A pod that has ended mounts nothing any more, and never will again.
const PODS_THAT_RUN: &str = "status.phase!=Succeeded,status.phase!=Failed";

/// Every kind, in the order they are read: what names others before what it names, so
/// that an object made meanwhile is never named by one that was read, and missing. The
/// kinds of one row do not name each other, and are read at once.
const ORDER: [&[Kind]; 5] = [
    &[Kind::Workload(WorkloadKind::Pod)],
    &[
        Kind::Workload(WorkloadKind::ReplicaSet),
        Kind::Workload(WorkloadKind::Job),
        Kind::Workload(WorkloadKind::StatefulSet),
        Kind::Workload(WorkloadKind::DaemonSet),
        Kind::Workload(WorkloadKind::ReplicationController),
    ],
    &[Kind::Workload(WorkloadKind::Deployment), Kind::Workload(WorkloadKind::CronJob), Kind::Claim],
    &[Kind::Volume],
    &[Kind::Class, Kind::CsiDriver, Kind::Namespace, Kind::Exemption],
];

/// A reading of a whole cluster, or of what one namespace of it can see.
pub(crate) struct Listing<'l> {
    pub(crate) client: &'l Client,
    /// The namespace; none means all.
    pub(crate) namespace: Option<&'l str>,
    /// Told of how many objects each answer had.
    pub(crate) progress: &'l dyn Fn(usize),
}

/// Why objects could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ListError {
    /// The apiserver does not show them to this user.
    #[error("{}", status.message)]
    Forbidden { kind: Kind, status: Box<Status> },
    /// There is no such namespace.
    #[error("there is no namespace {0}")]
    NoSuchNamespace(String),
    /// An object is not what its kind says.
    #[error("{kind} {name}: {problem}")]
    Unreadable { kind: Kind, name: String, problem: String },
    /// The apiserver did not answer, or could not.
    #[error("cannot list {kind} objects")]
    Failed { kind: Kind, source: kube::Error },
}

impl Listing<'_> {
    /// All objects of every kind.
    ///
    /// # Errors
    /// Every kind that may not be listed; or the first failure of another sort.
    pub(crate) async fn read(&self) -> Result<Vec<Object<'static>>, Vec<ListError>> {
        let mut objects = Vec::new();
        let mut errors = Vec::new();
        for row in ORDER {
            for listed in join_all(row.iter().map(|kind| self.kind(*kind))).await {
                match listed {
                    Ok(listed) => objects.extend(listed),
                    Err(error) => errors.push(error),
                }
            }
            let goes_on = |error: &ListError| matches!(error, ListError::Forbidden { .. });
            if !errors.iter().all(goes_on) {
                break;
            }
        }
        if errors.is_empty() { Ok(objects) } else { Err(errors) }
    }

    async fn kind(&self, kind: Kind) -> Result<Vec<Object<'static>>, ListError> {
        if let (Kind::Namespace, Some(name)) = (kind, self.namespace) {
            return self.own_namespace(name).await;
        }
        let mut strings = Strings::default();
        let mut objects = Vec::new();
        let mut parameters = ListParams {
            limit: Some(PAGE),
            field_selector: (kind == Kind::Workload(WorkloadKind::Pod))
                .then(|| PODS_THAT_RUN.to_owned()),
            ..ListParams::default()
        };
        loop {
            let page = match self.page(kind, &parameters).await? {
                ControlFlow::Continue(page) => page,
                // It took so long that the apiserver has forgotten where it was. As in
                // client-go (`tools/pager`), all is asked for at once then.
                ControlFlow::Break(()) => {
                    objects.clear();
                    parameters.limit = None;
                    parameters.continue_token = None;
                    continue;
                }
            };
            let page = Page::read(kind, &page)?;
            (self.progress)(page.items.len());
            for item in page.items {
                objects.push(read(kind, item)?.into_stored(&mut strings));
            }
            match page.metadata.next {
                Some(next) if !next.is_empty() => parameters.continue_token = Some(next),
                _ => return Ok(objects),
            }
        }
    }

    /// One answer; a break where it is to be asked for all at once.
    async fn page(
        &self,
        kind: Kind,
        parameters: &ListParams,
    ) -> Result<ControlFlow<(), String>, ListError> {
        let request = Request::new(url(kind, self.namespace)).list(parameters);
        let request = request.map_err(|error| failed(kind, kube::Error::BuildRequest(error)))?;
        match self.client.request_text(request).await {
            Ok(text) => Ok(ControlFlow::Continue(text)),
            Err(kube::Error::Api(status)) => match status.code {
                410 if parameters.continue_token.is_some() => Ok(ControlFlow::Break(())),
                // A cluster that does not have the CRD has no exemptions.
                404 if kind == Kind::Exemption => Ok(ControlFlow::Continue(NOTHING.to_owned())),
                403 => Err(ListError::Forbidden { kind, status }),
                _ => Err(failed(kind, kube::Error::Api(status))),
            },
            Err(error) => Err(failed(kind, error)),
        }
    }

    /// The namespace itself, which may be shown to who may not list all of them.
    async fn own_namespace(&self, name: &str) -> Result<Vec<Object<'static>>, ListError> {
        let kind = Kind::Namespace;
        let request = Request::new(url(kind, None)).get(name, &GetParams::default());
        let request = request.map_err(|error| failed(kind, kube::Error::BuildRequest(error)))?;
        let text = self.client.request_text(request).await.map_err(|error| match error {
            kube::Error::Api(status) if status.code == 404 => {
                ListError::NoSuchNamespace(name.to_owned())
            }
            kube::Error::Api(status) if status.code == 403 => ListError::Forbidden { kind, status },
            error => failed(kind, error),
        })?;
        (self.progress)(1);
        let namespace: &RawValue = serde_json::from_str(&text)
            .map_err(|error| failed(kind, kube::Error::SerdeError(error)))?;
        Ok(vec![read(kind, namespace)?.into_stored(&mut Strings::default())])
    }
}

/// A list without items.
const NOTHING: &str = r#"{"metadata": {}, "items": []}"#;

/// An answer, its objects as they came.
#[derive(Deserialize)]
struct Page<'t> {
    metadata: PageMetadata,
    #[serde(borrow)]
    items: Vec<&'t RawValue>,
}

#[derive(Deserialize)]
struct PageMetadata {
    #[serde(default, rename = "continue")]
    next: Option<String>,
}

impl<'t> Page<'t> {
    fn read(kind: Kind, text: &'t str) -> Result<Self, ListError> {
        serde_json::from_str(text).map_err(|error| failed(kind, kube::Error::SerdeError(error)))
    }
}

fn read(kind: Kind, item: &RawValue) -> Result<Object<'_>, ListError> {
    Object::read(kind, &mut serde_json::Deserializer::from_str(item.get())).map_err(|_| {
        let named: Option<Named> = serde_json::from_str(item.get()).ok();
        let name = named.map(|named| match named.metadata {
            NamedMetadata { namespace: Some(namespace), name } => format!("{namespace}/{name}"),
            NamedMetadata { namespace: None, name } => name,
        });
        let problem = problem(kind, item.get());
        ListError::Unreadable { kind, name: name.unwrap_or_default(), problem }
    })
}

/// What an object is called that else cannot be read.
#[derive(Deserialize)]
struct Named {
    metadata: NamedMetadata,
}

#[derive(Deserialize)]
struct NamedMetadata {
    namespace: Option<String>,
    name: String,
}

fn failed(kind: Kind, source: kube::Error) -> ListError {
    ListError::Failed { kind, source }
}

/// Where the apiserver has the objects of a kind.
fn url(kind: Kind, namespace: Option<&str>) -> String {
    let (group, version, resource) = (kind.group(), kind.version(), kind.resource());
    let api = match group {
        "" => format!("/api/{version}"),
        group => format!("/apis/{group}/{version}"),
    };
    match namespace.filter(|_| kind.scope() == Scope::Namespaced) {
        Some(namespace) => format!("{api}/namespaces/{namespace}/{resource}"),
        None => format!("{api}/{resource}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_read_once() {
        let mut read: Vec<_> = ORDER.concat();
        read.sort();
        let mut all = Kind::ALL.to_vec();
        all.sort();
        assert_eq!(read, all);
    }

    #[test]
    fn objects_are_asked_for_where_the_apiserver_has_them() {
        for (kind, namespace, expected) in [
            (Kind::Claim, None, "/api/v1/persistentvolumeclaims"),
            (Kind::Claim, Some("vault"), "/api/v1/namespaces/vault/persistentvolumeclaims"),
            (Kind::Volume, Some("vault"), "/api/v1/persistentvolumes"),
            (Kind::Class, None, "/apis/storage.k8s.io/v1/storageclasses"),
            (
                Kind::Exemption,
                Some("vault"),
                "/apis/nfs-guard.io/v1alpha1/namespaces/vault/storageexemptions",
            ),
        ] {
            assert_eq!(url(kind, namespace), expected);
        }
    }

    #[test]
    fn an_object_that_cannot_be_read_is_named_and_its_values_are_not() {
        let text = r#"{"metadata": {"continue": ""}, "items": [
            {"metadata": {"namespace": "vault", "name": "vault-0"}, "spec": {"volumes": "hunter2"}}
        ]}"#;
        let kind = Kind::Workload(WorkloadKind::Pod);
        let page = Page::read(kind, text).unwrap();
        let error = read(kind, page.items[0]).unwrap_err().to_string();
        assert!(error.starts_with("Pod vault/vault-0: spec.volumes: invalid type"), "{error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
}
