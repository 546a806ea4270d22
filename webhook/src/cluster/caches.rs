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
    unserved::none_while_unserved,
    watched::{ApiScope, Watched},
};
use crate::{exemption::StorageExemption, metrics::Metrics};

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
            let mut is_news = false;
            for (kind, event) in batch {
                metrics.watch_told(kind);
                is_news |= writer.apply(kind, event);
            }
            // Most events are not: a pod's status changes many times, and a list
            // that is read anew names what is held.
            if is_news {
                published.store(Arc::new(writer.snapshot.clone()));
            }
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
}

impl Writer {
    /// Takes in an event, and says whether it is any news to readers.
    ///
    /// A list that is read anew is taken in as it comes: an object that is as it
    /// was stays the one that is held, and what the list did not name goes at its
    /// end. Two whole lists at once would be the most memory a guard ever takes.
    fn apply(&mut self, kind: Kind, event: Event<Object<'static>>) -> bool {
        let Self { snapshot, strings } = self;
        match event {
            Event::Init => {
                snapshot.begin_list(kind);
                false
            }
            Event::Apply(object) | Event::InitApply(object) => {
                let is_held = snapshot.confirm(&object);
                if !is_held {
                    snapshot.insert(object.into_stored(strings));
                }
                !is_held && snapshot.is_synced(kind)
            }
            Event::Delete(object) => {
                snapshot.remove(&object);
                true
            }
            Event::InitDone => {
                snapshot.end_list(kind);
                tracing::info!(kind = %kind, objects = snapshot.count(kind), "cache synced");
                true
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
        Kind::Exemption => events::<StorageExemption, _>,
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
    let events = none_while_unserved(events, kind);
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
    fn what_a_new_list_names_is_kept_or_replaced_and_what_it_does_not_name_goes_at_its_end() {
        let mut writer = Writer::default();
        let found = |writer: &Writer, name| match writer.snapshot.class(name) {
            Lookup::Found(class) => Some(class),
            Lookup::Missing | Lookup::NotSynced => None,
        };
        writer.apply(Kind::Class, Event::Init);
        for name in ["same", "other", "gone"] {
            writer.apply(Kind::Class, Event::InitApply(class(name)));
        }
        writer.apply(Kind::Class, Event::InitDone);
        writer.apply(Kind::Class, Event::Apply(class("late")));
        let before = found(&writer, "same").unwrap();

        let Object::Class(mut other) = class("other") else { unreachable!() };
        other.provisioner = "csi.proxmox.sinextra.dev".into();
        for (named, is_news) in
            [(class("same"), false), (Object::Class(other), true), (class("new"), true)]
        {
            if named.metadata().name == *"same" {
                assert!(!writer.apply(Kind::Class, Event::Init));
            }
            assert_eq!(writer.apply(Kind::Class, Event::InitApply(named)), is_news);
        }
        for name in ["same", "other", "gone", "late", "new"] {
            assert!(found(&writer, name).is_some(), "{name} is held until the list has ended");
        }
        assert!(writer.apply(Kind::Class, Event::InitDone));
        assert!(Arc::ptr_eq(&found(&writer, "same").unwrap(), &before), "not even copied");
        assert_eq!(found(&writer, "other").unwrap().provisioner, *"csi.proxmox.sinextra.dev");
        assert!(found(&writer, "new").is_some());
        assert!(found(&writer, "gone").is_none() && found(&writer, "late").is_none());
        writer.apply(Kind::Class, Event::Delete(class("new")));
        assert!(found(&writer, "new").is_none());
    }

    #[test]
    fn a_list_that_broke_off_removes_nothing() {
        let mut writer = Writer::default();
        for event in [Event::Init, Event::InitApply(class("a")), Event::InitDone] {
            writer.apply(Kind::Class, event);
        }
        // The watcher begins again.
        writer.apply(Kind::Class, Event::Init);
        for event in [Event::Init, Event::InitApply(class("a")), Event::InitDone] {
            assert!(matches!(writer.snapshot.class("a"), Lookup::Found(_)), "{event:?}");
            writer.apply(Kind::Class, event);
        }
        assert!(matches!(writer.snapshot.class("a"), Lookup::Found(_)));
    }

    #[test]
    fn an_event_that_changes_no_fact_is_no_news() {
        let pod = |node: Option<&str>, phase: &str, labels| {
            let manifest = json!({
                "metadata": {"name": "vault-0", "namespace": "vault", "labels": labels, "resourceVersion": phase},
                "spec": {"nodeName": node, "volumes": [{"name": "d", "persistentVolumeClaim": {"claimName": "data"}}]},
                "status": {"phase": phase},
            });
            let pod = Object::read(Kind::Workload(WorkloadKind::Pod), &manifest).unwrap();
            pod.into_stored(&mut Strings::default())
        };
        let kind = Kind::Workload(WorkloadKind::Pod);
        let mut writer = Writer::default();
        writer.apply(kind, Event::Init);
        writer.apply(kind, Event::InitDone);
        let critical = json!({"nfs-guard.io/critical": "true"});
        for (what, event, is_news) in [
            ("a pod", Event::Apply(pod(None, "Pending", json!({}))), true),
            ("a node", Event::Apply(pod(Some("n1"), "Pending", json!({}))), false),
            ("a status", Event::Apply(pod(Some("n1"), "Running", json!({}))), false),
            ("a label", Event::Apply(pod(Some("n1"), "Running", critical.clone())), true),
            ("the end", Event::Delete(pod(Some("n1"), "Succeeded", critical)), true),
        ] {
            assert_eq!(writer.apply(kind, event), is_news, "{what}");
        }
    }
}
