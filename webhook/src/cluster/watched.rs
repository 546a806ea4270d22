use std::{borrow::Cow, fmt, marker::PhantomData};

use kube::core::{ClusterResourceScope, NamespaceResourceScope, ObjectMeta, Resource};
use nfs_guard_policies::{
    facts::{Kind, Object},
    text::{Reduce, Strings},
};
use serde::{Deserialize, Deserializer};

/// An object of the API type `K`, of which only facts are kept: what comes over
/// the wire is reduced while it is read.
pub(super) struct Watched<K> {
    metadata: ObjectMeta,
    pub(super) object: Object<'static>,
    api_type: PhantomData<fn() -> K>,
}

impl<'de, K: k8s_openapi::Resource> Deserialize<'de> for Watched<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let kind = Kind::find(K::GROUP, K::KIND).ok_or_else(|| {
            serde::de::Error::custom(format_args!("{} is no kind the engine knows", K::KIND))
        })?;
        let object = Object::read(kind, deserializer)?;
        let facts = object.metadata();
        let metadata = ObjectMeta {
            name: Some(facts.name.to_string()),
            namespace: facts.namespace.as_deref().map(Into::into),
            uid: facts.uid.as_deref().map(Into::into),
            resource_version: facts.resource_version.0.as_deref().map(Into::into),
            ..ObjectMeta::default()
        };
        // The cache shares these strings with others once it takes the object.
        let object = object.into_stored(&mut Strings::default());
        Ok(Self { metadata, object, api_type: PhantomData })
    }
}

impl<K> Clone for Watched<K> {
    fn clone(&self) -> Self {
        let Self { metadata, object, api_type } = self;
        Self { metadata: metadata.clone(), object: object.clone(), api_type: *api_type }
    }
}

impl<K> fmt::Debug for Watched<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.object.fmt(f)
    }
}

impl<K: k8s_openapi::Resource<Scope = S>, S: ApiScope> Resource for Watched<K> {
    type DynamicType = ();
    type Scope = S::Kube;

    fn kind((): &()) -> Cow<'_, str> {
        K::KIND.into()
    }

    fn group((): &()) -> Cow<'_, str> {
        K::GROUP.into()
    }

    fn version((): &()) -> Cow<'_, str> {
        K::VERSION.into()
    }

    fn plural((): &()) -> Cow<'_, str> {
        K::URL_PATH_SEGMENT.into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

/// kube's name for a scope of `k8s_openapi`.
pub(super) trait ApiScope {
    type Kube;
}

impl ApiScope for k8s_openapi::NamespaceResourceScope {
    type Kube = NamespaceResourceScope;
}

impl ApiScope for k8s_openapi::ClusterResourceScope {
    type Kube = ClusterResourceScope;
}
