use std::{fmt::Debug, sync::Arc};

use arc_swap::ArcSwap;
use futures::{
    StreamExt,
    future::ready,
    stream::{self, BoxStream},
};
use k8s_openapi::api::{
    apps::v1::{DaemonSet, Deployment, ReplicaSet, StatefulSet},
    batch::v1::{CronJob, Job},
    core::v1::{Namespace, PersistentVolume, PersistentVolumeClaim, Pod, ReplicationController},
    storage::v1::{CSIDriver, StorageClass},
};
use kube::{
    Api, Client,
    runtime::{
        WatchStreamExt,
        watcher::{self, Event, watcher},
    },
};
use nfs_guard_policies::{
    Snapshot,
    facts::{Kind, Object, WorkloadKind},
    text::{Reduce, Strings},
};
use tokio::sync::Notify;

use super::{
    CACHED,
    watched::{ApiScope, Watched},
};
use crate::metrics::Metrics;

/// Most events that are published together. One publication per event would be
/// as right; a busy cluster is cheaper so.
const BATCH: usize = 256;

/// The caches of a live cluster. One task owns them and publishes a new
/// snapshot after each batch of events, so nothing is ever locked.
pub struct Caches {
    published: Arc<ArcSwap<Snapshot>>,
    synced: Arc<Notify>,
    client: Client,
    metrics: Arc<Metrics>,
}

impl Caches {
    /// Caches of the client's cluster, still empty.
    #[must_use]
    pub fn new(client: Client, metrics: Arc<Metrics>) -> Self {
        let published = Arc::new(ArcSwap::from_pointee(Snapshot::default()));
        Self { published, synced: Arc::new(Notify::new()), client, metrics }
    }

    pub(super) fn published(&self) -> Arc<ArcSwap<Snapshot>> {
        Arc::clone(&self.published)
    }

    /// Notified once, when every kind has been read.
    #[must_use]
    pub fn synced(&self) -> Arc<Notify> {
        Arc::clone(&self.synced)
    }

    /// Keeps the caches, for as long as it is polled.
    pub async fn run(self) {
        let Self { published, synced, client, metrics } = self;
        let events = stream::select_all(CACHED.map(|kind| watch(kind, &client, &metrics)));
        let mut batches = events.ready_chunks(BATCH);
        let mut writer = Writer::default();
        let mut all_synced = false;
        while let Some(batch) = batches.next().await {
            for (kind, event) in batch {
                metrics.watch_told(kind);
                writer.apply(kind, event);
            }
            published.store(Arc::new(writer.snapshot.clone()));
            if !all_synced && CACHED.iter().all(|kind| writer.snapshot.is_synced(*kind)) {
                all_synced = true;
                synced.notify_one();
            }
        }
    }
}

/// The state the watches write to.
#[derive(Default)]
struct Writer {
    snapshot: Snapshot,
    strings: Strings,
    /// Objects of a listing that is not complete yet.
    listing: std::collections::HashMap<Kind, Vec<Object<'static>>>,
}

impl Writer {
    fn apply(&mut self, kind: Kind, event: Event<Object<'static>>) {
        match event {
            Event::Apply(object) => self.snapshot.insert(object.into_stored(&mut self.strings)),
            Event::Delete(object) => self.snapshot.remove(&object),
            Event::Init => drop(self.listing.insert(kind, Vec::new())),
            Event::InitApply(object) => {
                let object = object.into_stored(&mut self.strings);
                self.listing.entry(kind).or_default().push(object);
            }
            Event::InitDone => {
                let objects = self.listing.remove(&kind).unwrap_or_default();
                tracing::info!(kind = %kind, objects = objects.len(), "cache synced");
                self.snapshot.replace(kind, objects);
            }
        }
    }
}

type Events = BoxStream<'static, (Kind, Event<Object<'static>>)>;

fn watch(kind: Kind, client: &Client, metrics: &Arc<Metrics>) -> Events {
    let watch = match kind {
        Kind::Namespace => events::<Namespace, _>,
        Kind::Claim => events::<PersistentVolumeClaim, _>,
        Kind::Volume => events::<PersistentVolume, _>,
        Kind::Class => events::<StorageClass, _>,
        Kind::CsiDriver => events::<CSIDriver, _>,
        Kind::Exemption => |_: &_, _: &_, _| stream::empty().boxed(),
        Kind::Workload(kind) => match kind {
            WorkloadKind::StatefulSet => events::<StatefulSet, _>,
            WorkloadKind::Deployment => events::<Deployment, _>,
            WorkloadKind::DaemonSet => events::<DaemonSet, _>,
            WorkloadKind::ReplicaSet => events::<ReplicaSet, _>,
            WorkloadKind::ReplicationController => events::<ReplicationController, _>,
            WorkloadKind::Job => events::<Job, _>,
            WorkloadKind::CronJob => events::<CronJob, _>,
            WorkloadKind::Pod => events::<Pod, _>,
        },
    };
    watch(client, metrics, kind)
}

fn events<K, S>(client: &Client, metrics: &Arc<Metrics>, kind: Kind) -> Events
where
    K: k8s_openapi::Resource<Scope = S> + Debug + 'static,
    S: ApiScope<Kube: 'static>,
{
    let objects: Api<Watched<K>> = Api::all(client.clone());
    let events = watcher(objects, watcher::Config::default()).default_backoff();
    let metrics = Arc::clone(metrics);
    let events = events.filter_map(move |event| {
        let told = match event {
            Ok(event) => Some((kind, reduce(event))),
            // The watcher goes on by itself, with backoff.
            Err(error) => {
                tracing::warn!(kind = %kind, %error, "watch interrupted");
                metrics.watch_interrupted(kind);
                None
            }
        };
        ready(told)
    });
    events.boxed()
}

fn reduce<K>(event: Event<Watched<K>>) -> Event<Object<'static>> {
    match event {
        Event::Apply(watched) => Event::Apply(watched.object),
        Event::Delete(watched) => Event::Delete(watched.object),
        Event::Init => Event::Init,
        Event::InitApply(watched) => Event::InitApply(watched.object),
        Event::InitDone => Event::InitDone,
    }
}

#[cfg(test)]
mod tests {
    use nfs_guard_policies::{Cluster, Lookup};
    use serde_json::json;

    use super::*;

    fn class(name: &str) -> Object<'static> {
        let manifest = json!({"metadata": {"name": name}, "provisioner": "nfs.csi.k8s.io"});
        Object::read(Kind::Class, &manifest).unwrap().into_stored(&mut Strings::default())
    }

    #[test]
    fn a_listing_counts_when_it_is_complete() {
        let mut writer = Writer::default();
        let found = |writer: &Writer, name| writer.snapshot.class(name);
        writer.apply(Kind::Class, Event::Init);
        writer.apply(Kind::Class, Event::InitApply(class("a")));
        assert!(matches!(found(&writer, "a"), Lookup::NotSynced), "half a list is no list");
        writer.apply(Kind::Class, Event::InitDone);
        assert!(matches!(found(&writer, "a"), Lookup::Found(_)));
        assert!(matches!(found(&writer, "b"), Lookup::Missing));
    }

    #[test]
    fn a_new_listing_replaces_what_vanished_meanwhile() {
        let mut writer = Writer::default();
        for event in [Event::Init, Event::InitApply(class("gone")), Event::InitDone] {
            writer.apply(Kind::Class, event);
        }
        writer.apply(Kind::Class, Event::Apply(class("new")));
        writer.apply(Kind::Class, Event::Init);
        assert!(matches!(writer.snapshot.class("gone"), Lookup::Found(_)), "kept until then");
        writer.apply(Kind::Class, Event::InitApply(class("new")));
        writer.apply(Kind::Class, Event::InitDone);
        assert!(matches!(writer.snapshot.class("gone"), Lookup::Missing));
        writer.apply(Kind::Class, Event::Delete(class("new")));
        assert!(matches!(writer.snapshot.class("new"), Lookup::Missing));
    }
}
