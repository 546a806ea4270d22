//! The tables a snapshot is made of: persistent maps, cheap to clone.

use std::{ops::Range, sync::Arc};

use imbl::HashMap;

use crate::{
    cluster::{Lookup, NotSynced},
    facts::{Object, Scope},
    text::Text,
};

/// Objects of one kind, by namespace and name.
#[derive(Debug)]
pub(super) struct Table<T> {
    synced: bool,
    objects: ByName<ByName<Arc<T>>>,
}

impl<T> Table<T> {
    pub(super) fn synced() -> Self {
        Self { synced: true, objects: HashMap::new() }
    }

    /// Whether the objects have been read.
    pub(super) fn is_synced(&self) -> bool {
        self.synced
    }

    pub(super) fn get(&self, namespace: &str, name: &str) -> Lookup<Arc<T>> {
        match self.objects.get(namespace).and_then(|objects| objects.get(name)) {
            Some(object) => Lookup::Found(Arc::clone(object)),
            None if self.synced => Lookup::Missing,
            None => Lookup::NotSynced,
        }
    }

    /// All objects of a namespace, in the order of their names.
    pub(super) fn all(&self, namespace: &str) -> Vec<Arc<T>> {
        self.objects.get(namespace).map(by_name).unwrap_or_default()
    }

    /// All objects of that namespace, or of all namespaces, in the order of their
    /// names.
    pub(super) fn all_of(&self, namespace: Option<&str>) -> Vec<Arc<T>> {
        if let Some(namespace) = namespace {
            return self.all(namespace);
        }
        let mut namespaces: Vec<_> = self.objects.iter().collect();
        namespaces.sort_by_key(|(name, _)| name.as_str());
        namespaces.into_iter().flat_map(|(_, objects)| by_name(objects)).collect()
    }

    /// The objects of a namespace called `prefix` and one of those numbers, in
    /// that order.
    pub(super) fn numbered(
        &self,
        namespace: &str,
        prefix: &str,
        numbers: Range<u64>,
    ) -> Vec<Arc<T>> {
        let Some(objects) = self.objects.get(namespace) else { return Vec::new() };
        numbered(objects, prefix, numbers).into_iter().cloned().collect()
    }

    /// An enumeration is only worth something when nothing is left to read.
    pub(super) fn enumerated<U>(
        &self,
        objects: impl FnOnce() -> Vec<U>,
    ) -> Result<Vec<U>, NotSynced> {
        if self.synced { Ok(objects()) } else { Err(NotSynced) }
    }

    pub(super) fn insert(&mut self, key: &ObjectKey, object: Arc<T>) {
        self.objects.entry(key.namespace.clone()).or_default().insert(key.name.clone(), object);
    }

    pub(super) fn remove(&mut self, key: &ObjectKey) -> Option<Arc<T>> {
        let objects = self.objects.get_mut(&*key.namespace)?;
        let removed = objects.remove(&*key.name);
        if objects.is_empty() {
            self.objects.remove(&*key.namespace);
        }
        removed
    }

    pub(super) fn len(&self) -> usize {
        self.objects.values().map(HashMap::len).sum()
    }
}

impl<T> Clone for Table<T> {
    fn clone(&self) -> Self {
        Self { synced: self.synced, objects: self.objects.clone() }
    }
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self { synced: false, objects: HashMap::new() }
    }
}

/// Objects of one kind by something other than their name. Several may share
/// a key: a class has thousands of volumes.
#[derive(Debug)]
pub(super) struct Index<T>(ByName<ByName<ByName<Arc<T>>>>);

impl<T> Index<T> {
    pub(super) fn get(&self, namespace: &str, key: &str) -> Vec<Arc<T>> {
        let objects = self.0.get(namespace).and_then(|keys| keys.get(key));
        objects.map(by_name).unwrap_or_default()
    }

    /// The objects under the keys called `prefix` and one of those numbers, in
    /// that order.
    pub(super) fn numbered(
        &self,
        namespace: &str,
        prefix: &str,
        numbers: Range<u64>,
    ) -> Vec<Arc<T>> {
        let Some(keys) = self.0.get(namespace) else { return Vec::new() };
        numbered(keys, prefix, numbers).into_iter().flat_map(by_name).collect()
    }

    pub(super) fn insert(
        &mut self,
        namespace: &str,
        key: &str,
        object: &ObjectKey,
        value: &Arc<T>,
    ) {
        let keys = self.0.entry(Text::from(namespace).to_shared()).or_default();
        let objects = keys.entry(Text::from(key).to_shared()).or_default();
        objects.insert(object.name.clone(), Arc::clone(value));
    }

    pub(super) fn remove(&mut self, namespace: &str, key: &str, object: &ObjectKey) {
        let Some(keys) = self.0.get_mut(namespace) else { return };
        if let Some(objects) = keys.get_mut(key) {
            objects.remove(&*object.name);
            if objects.is_empty() {
                keys.remove(key);
            }
        }
        if keys.is_empty() {
            self.0.remove(namespace);
        }
    }
}

impl<T> Clone for Index<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> Default for Index<T> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

/// Where an object is held; cluster-scoped ones under no namespace, whatever
/// they say.
pub(super) struct ObjectKey {
    pub(super) namespace: Text<'static>,
    name: Text<'static>,
}

impl ObjectKey {
    pub(super) fn of(object: &Object<'static>) -> Self {
        let metadata = object.metadata();
        let namespace = match object.kind().scope() {
            Scope::Namespaced => metadata.namespace.clone().unwrap_or_default(),
            Scope::Cluster => Text::default(),
        };
        Self { namespace, name: metadata.name.clone() }
    }
}

type ByName<T> = HashMap<Text<'static>, T>;

/// The entries called `prefix` and one of those numbers, in that order: by
/// whichever of the two is fewer, numbers or entries. A number is written as Go
/// prints it, so `data-01` is none.
fn numbered<'t, T>(entries: &'t ByName<T>, prefix: &str, numbers: Range<u64>) -> Vec<&'t T> {
    if numbers.end.saturating_sub(numbers.start) <= entries.len() as u64 {
        return numbers.filter_map(|n| entries.get(format!("{prefix}{n}").as_str())).collect();
    }
    let numbered = entries.iter().filter_map(|(name, entry)| {
        let number = name.strip_prefix(prefix)?;
        let n: u64 = number.parse().ok()?;
        (numbers.contains(&n) && n.to_string() == number).then_some((n, entry))
    });
    let mut numbered: Vec<_> = numbered.collect();
    numbered.sort_by_key(|(n, _)| *n);
    numbered.into_iter().map(|(_, entry)| entry).collect()
}

fn by_name<T>(objects: &ByName<Arc<T>>) -> Vec<Arc<T>> {
    let mut objects: Vec<_> = objects.iter().collect();
    objects.sort_by_key(|(name, _)| name.as_str());
    objects.into_iter().map(|(_, object)| Arc::clone(object)).collect()
}
