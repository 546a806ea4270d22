//! Where an object is held, and what that makes of the order of objects.

use std::{cmp::Ordering, sync::Arc};

use equivalent::{Comparable, Equivalent};

use crate::{
    facts::{
        Claim, CsiDriver, Exemption, Metadata, Namespace, PersistentVolume, Scope, StorageClass,
        Workload,
    },
    text::Text,
};

/// Where an object is held; cluster-scoped ones under no namespace, whatever
/// they say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place<'a> {
    pub(super) namespace: &'a str,
    pub(super) name: &'a str,
}

/// An object that knows where it is held.
pub(super) trait Located {
    /// Where.
    fn place(&self) -> Place<'_>;
}

macro_rules! located {
    ($($object:ident: $scope:ident),*) => {$(
        impl Located for $object<'static> {
            fn place(&self) -> Place<'_> {
                place(&self.metadata, Scope::$scope)
            }
        }
    )*};
}

located!(
    Namespace: Cluster, PersistentVolume: Cluster, StorageClass: Cluster, CsiDriver: Cluster,
    Claim: Namespaced, Workload: Namespaced, Exemption: Namespaced
);

fn place<'a>(metadata: &'a Metadata<'_>, scope: Scope) -> Place<'a> {
    let namespace = match scope {
        Scope::Namespaced => metadata.namespace.as_deref().unwrap_or_default(),
        Scope::Cluster => "",
    };
    Place { namespace, name: &metadata.name }
}

/// An object among others of its kind. Without a key (`()`) it takes no more
/// than a pointer: what it is ordered by it holds itself.
#[derive(Debug)]
pub(super) struct Entry<K, T> {
    pub(super) key: K,
    pub(super) object: Arc<T>,
}

/// What an object is held under beside its place: a namespace, and a name in it
/// that is not its own.
pub(super) type Key = (Text<'static>, Text<'static>);

impl<K, T: Located> Entry<K, T> {
    fn order(&self) -> (&K, Place<'_>) {
        (&self.key, self.object.place())
    }
}

impl<T: Located> Equivalent<Entry<(), T>> for Place<'_> {
    fn equivalent(&self, entry: &Entry<(), T>) -> bool {
        self.compare(entry).is_eq()
    }
}

impl<T: Located> Comparable<Entry<(), T>> for Place<'_> {
    fn compare(&self, entry: &Entry<(), T>) -> Ordering {
        self.cmp(&entry.object.place())
    }
}

impl<T: Located> Equivalent<Entry<Key, T>> for (Place<'_>, Place<'_>) {
    fn equivalent(&self, entry: &Entry<Key, T>) -> bool {
        self.compare(entry).is_eq()
    }
}

impl<T: Located> Comparable<Entry<Key, T>> for (Place<'_>, Place<'_>) {
    fn compare(&self, entry: &Entry<Key, T>) -> Ordering {
        let (namespace, name) = &entry.key;
        self.cmp(&(Place { namespace, name }, entry.object.place()))
    }
}

impl<K: Clone, T> Clone for Entry<K, T> {
    fn clone(&self) -> Self {
        Self { key: self.key.clone(), object: Arc::clone(&self.object) }
    }
}

impl<K: Ord, T: Located> Ord for Entry<K, T> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.order().cmp(&other.order())
    }
}

impl<K: Ord, T: Located> PartialOrd for Entry<K, T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<K: Ord, T: Located> PartialEq for Entry<K, T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl<K: Ord, T: Located> Eq for Entry<K, T> {}
