//! What watches tell of one object.

use futures::{Stream, StreamExt, future};
use kube::Api;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{Config, Error, Event, watcher};

/// News of an object.
#[derive(Clone, Debug)]
pub(crate) enum Observation<T> {
    /// The object, or that there is none, as a listing has it. Between it and what was
    /// known before, anything may have happened.
    Listed(Option<T>),
    /// The object after one change.
    Changed(T),
    /// The object as it was when it was deleted.
    Deleted(T),
}

impl<T> Observation<T> {
    pub(crate) fn map<U>(self, map: impl FnOnce(T) -> U) -> Observation<U> {
        match self {
            Self::Listed(object) => Observation::Listed(object.map(map)),
            Self::Changed(object) => Observation::Changed(map(object)),
            Self::Deleted(object) => Observation::Deleted(map(object)),
        }
    }
}

/// Watches the object of that name for ever; after an error it goes on by itself, with
/// backoff.
pub(crate) fn observe<K>(
    api: Api<K>,
    name: &str,
) -> impl Stream<Item = Result<Observation<K>, Error>> + use<K>
where
    K: kube::Resource + Clone + serde::de::DeserializeOwned + std::fmt::Debug + Send + 'static,
{
    // RBAC grants to list and watch a single name if it is asked for just so.
    let config = Config::default().fields(&format!("metadata.name={name}"));
    let events = watcher(api, config).default_backoff();
    let mut listing = None;
    events.filter_map(move |event| {
        future::ready(match event {
            Ok(Event::Init) => {
                listing = None;
                None
            }
            Ok(Event::InitApply(object)) => {
                listing = Some(object);
                None
            }
            Ok(Event::InitDone) => Some(Ok(Observation::Listed(listing.take()))),
            Ok(Event::Apply(object)) => Some(Ok(Observation::Changed(object))),
            Ok(Event::Delete(object)) => Some(Ok(Observation::Deleted(object))),
            Err(error) => Some(Err(error)),
        })
    })
}

/// Whether the object of version `told` is older than the one of version `known`.
/// Versions compare as numbers; one that is none is taken for news.
pub(crate) fn is_older(told: &str, known: &str) -> bool {
    match (told.parse::<u64>(), known.parse::<u64>()) {
        (Ok(told), Ok(known)) => told < known,
        _ => false,
    }
}
