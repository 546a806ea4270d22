//! The tables a snapshot is made of: persistent sets, cheap to clone.

use std::{mem, ops::Range, sync::Arc};

use imbl::OrdSet;

use super::place::{Entry, Key, Located, Place};
use crate::{
    cluster::{Lookup, NotSynced},
    ordinal,
    text::Text,
};

/// Objects of one kind, by namespace and name.
#[derive(Debug)]
pub(super) struct Table<T: Located> {
    synced: bool,
    objects: OrdSet<Entry<(), T>>,
    /// While a list is read: what is held and was not named in it yet.
    unlisted: OrdSet<Entry<(), T>>,
}

impl<T: Located> Table<T> {
    /// A list of all objects begins. What is held stays until it has ended.
    pub(super) fn begin_list(&mut self) {
        self.unlisted = self.objects.clone();
    }

    /// The list has ended. What it did not name is removed, and returned.
    pub(super) fn end_list(&mut self) -> Vec<Arc<T>> {
        self.synced = true;
        let gone = mem::take(&mut self.unlisted);
        for entry in &gone {
            self.objects.remove(entry);
        }
        gone.into_iter().map(|entry| entry.object).collect()
    }

    /// Whether all objects have been read.
    pub(super) fn is_synced(&self) -> bool {
        self.synced
    }

    pub(super) fn len(&self) -> usize {
        self.objects.len()
    }

    /// Half a list is no list: until all objects have been read, none is told.
    pub(super) fn get(&self, namespace: &str, name: &str) -> Lookup<Arc<T>> {
        if !self.synced {
            return Lookup::NotSynced;
        }
        match self.objects.get(&Place { namespace, name }) {
            Some(entry) => Lookup::Found(Arc::clone(&entry.object)),
            None => Lookup::Missing,
        }
    }

    /// All objects of that namespace, or of all namespaces, in the order of their
    /// names.
    pub(super) fn all(&self, namespace: Option<&str>) -> Vec<Arc<T>> {
        match namespace {
            Some(namespace) => self.starting(namespace, "").cloned().collect(),
            None => self.iter().cloned().collect(),
        }
    }

    /// All objects, one after the other.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<T>> {
        self.objects.iter().map(|entry| &entry.object)
    }

    /// The objects of a namespace called `prefix` and one of those numbers, in
    /// that order.
    pub(super) fn numbered(
        &self,
        namespace: &str,
        prefix: &str,
        numbers: Range<u64>,
    ) -> Vec<Arc<T>> {
        let starting = self.starting(namespace, prefix).map(|object| (object.place().name, object));
        numbered(starting, prefix, numbers, |name| {
            let called = self.objects.get(&Place { namespace, name });
            called.map(|entry| Arc::clone(&entry.object)).into_iter().collect()
        })
    }

    /// An enumeration is only worth something when nothing is left to read.
    pub(super) fn enumerated<U>(&self, objects: impl FnOnce() -> U) -> Result<U, NotSynced> {
        if self.synced { Ok(objects()) } else { Err(NotSynced) }
    }

    /// Whether that very state of the object is held. If so, it counts as named
    /// by the list that is read.
    pub(super) fn confirm(&mut self, object: &T) -> bool
    where
        T: PartialEq,
    {
        let place = object.place();
        let is_held = self.objects.get(&place).is_some_and(|entry| *entry.object == *object);
        if is_held {
            self.unlisted.remove(&place);
        }
        is_held
    }

    /// Adds an object; what was held in its place is returned.
    pub(super) fn insert(&mut self, object: Arc<T>) -> Option<Arc<T>> {
        self.unlisted.remove(&object.place());
        self.objects.insert(Entry { key: (), object }).map(|before| before.object)
    }

    /// Removes what is held in the object's place, and returns it.
    pub(super) fn remove(&mut self, object: &T) -> Option<Arc<T>> {
        self.unlisted.remove(&object.place());
        self.objects.remove(&object.place()).map(|entry| entry.object)
    }

    /// The objects of a namespace whose name starts so, in the order of names.
    fn starting(&self, namespace: &str, prefix: &str) -> impl Iterator<Item = &Arc<T>> {
        let from = Place { namespace, name: prefix };
        self.objects.range(from..).map(|entry| &entry.object).take_while(move |object| {
            let place = object.place();
            place.namespace == namespace && place.name.starts_with(prefix)
        })
    }
}

impl<T: Located> Clone for Table<T> {
    fn clone(&self) -> Self {
        let Self { synced, objects, unlisted } = self;
        Self { synced: *synced, objects: objects.clone(), unlisted: unlisted.clone() }
    }
}

impl<T: Located> Default for Table<T> {
    fn default() -> Self {
        Self { synced: false, objects: OrdSet::default(), unlisted: OrdSet::default() }
    }
}

/// Objects of one kind by something other than their name. Several may share
/// a key: a class has thousands of volumes.
#[derive(Debug)]
pub(super) struct Index<T: Located>(OrdSet<Entry<Key, T>>);

impl<T: Located> Index<T> {
    /// The objects of a key, in the order of their names.
    pub(super) fn get(&self, namespace: &str, name: &str) -> Vec<Arc<T>> {
        let starting = self.starting(namespace, name);
        let called = starting.take_while(|(key, _)| *key == name);
        called.map(|(_, object)| Arc::clone(object)).collect()
    }

    /// The objects under the keys called `prefix` and one of those numbers, in
    /// that order.
    pub(super) fn numbered(
        &self,
        namespace: &str,
        prefix: &str,
        numbers: Range<u64>,
    ) -> Vec<Arc<T>> {
        let starting = self.starting(namespace, prefix);
        numbered(starting, prefix, numbers, |name| self.get(namespace, name))
    }

    pub(super) fn insert(
        &mut self,
        namespace: &Text<'static>,
        name: &Text<'static>,
        object: &Arc<T>,
    ) {
        let key = (namespace.clone(), name.clone());
        self.0.insert(Entry { key, object: Arc::clone(object) });
    }

    pub(super) fn remove(&mut self, namespace: &str, name: &str, object: &T) {
        self.0.remove(&(Place { namespace, name }, object.place()));
    }

    /// The objects of a namespace whose key starts so, in the order of keys.
    fn starting(&self, namespace: &str, prefix: &str) -> impl Iterator<Item = (&str, &Arc<T>)> {
        let from = (Place { namespace, name: prefix }, Place::default());
        let entries = self.0.range(from..).take_while(move |entry| {
            let (held_in, name) = &entry.key;
            *held_in == *namespace && name.starts_with(prefix)
        });
        entries.map(|entry| (entry.key.1.as_str(), &entry.object))
    }
}

impl<T: Located> Clone for Index<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T: Located> Default for Index<T> {
    fn default() -> Self {
        Self(OrdSet::default())
    }
}

/// The objects called `prefix` and one of those numbers, in that order, out of
/// those whose name starts so: by whichever of the two is fewer, numbers or
/// objects.
fn numbered<'t, T: 't>(
    starting: impl Iterator<Item = (&'t str, &'t Arc<T>)>,
    prefix: &str,
    numbers: Range<u64>,
    called: impl Fn(&str) -> Vec<Arc<T>>,
) -> Vec<Arc<T>> {
    let count = usize::try_from(numbers.end.saturating_sub(numbers.start)).unwrap_or(usize::MAX);
    let objects: Vec<_> = starting.take(count.saturating_add(1)).collect();
    if objects.len() > count {
        return numbers.flat_map(|n| called(&format!("{prefix}{n}"))).collect();
    }
    let numbered = objects.into_iter().filter_map(|(name, object)| {
        let n = ordinal::read(name.strip_prefix(prefix)?)?;
        numbers.contains(&n).then_some((n, object))
    });
    let mut numbered: Vec<_> = numbered.collect();
    numbered.sort_by_key(|(n, _)| *n);
    numbered.into_iter().map(|(_, object)| Arc::clone(object)).collect()
}
