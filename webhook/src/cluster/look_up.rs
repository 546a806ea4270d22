use std::{
    collections::HashMap,
    fmt::{self, Debug},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures::future::try_join_all;
use k8s_openapi::{
    NamespaceResourceScope,
    api::{
        apps::v1::{DaemonSet, Deployment, ReplicaSet, StatefulSet},
        batch::v1::{CronJob, Job},
        core::v1::{
            Namespace, PersistentVolume, PersistentVolumeClaim, Pod, ReplicationController,
        },
        storage::v1::{CSIDriver, StorageClass},
    },
};
use kube::{Api, Client};
use nfs_guard_policies::{
    Key,
    facts::{Kind, Object, WorkloadKind},
};
use tokio::time::Instant;

use super::watched::Watched;
use crate::{fault::Fault, metrics::Metrics};

/// How long an object that is not there is not asked for again. The watch tells
/// of its creation long before; this only spares the apiserver.
const ABSENT_FOR: Duration = Duration::from_secs(5);

/// Most look-ups of one request at once: a set may name thousands of claims.
const AT_ONCE: usize = 16;

/// Most absent objects that are remembered.
const MOST_ABSENT: usize = 4096;

/// Asks the apiserver for single objects.
pub struct LookUp {
    client: Client,
    absent: Mutex<HashMap<Key, Instant>>,
    metrics: Arc<Metrics>,
}

impl LookUp {
    /// Look-ups by that client.
    #[must_use]
    pub fn new(client: Client, metrics: Arc<Metrics>) -> Self {
        Self { client, absent: Mutex::default(), metrics }
    }

    /// Those of the objects that exist, all asked for at once.
    pub(super) async fn all(&self, keys: &[Key]) -> Result<Vec<Object<'static>>, Fault> {
        let wanted: Vec<_> = keys.iter().filter(|key| !self.is_absent(key)).collect();
        let mut all = Vec::new();
        for some in wanted.chunks(AT_ONCE) {
            let found = try_join_all(some.iter().map(|key| self.one(key))).await?;
            all.extend(found.into_iter().flatten());
        }
        Ok(all)
    }

    /// That object, if it exists.
    pub(super) async fn one(&self, key: &Key) -> Result<Option<Object<'static>>, Fault> {
        let client = self.client.clone();
        let (namespace, name) = (&*key.namespace, &*key.name);
        let got = match key.kind {
            Kind::Namespace => get::<Namespace>(Api::all(client), name).await,
            Kind::Volume => get::<PersistentVolume>(Api::all(client), name).await,
            Kind::Class => get::<StorageClass>(Api::all(client), name).await,
            Kind::CsiDriver => get::<CSIDriver>(Api::all(client), name).await,
            Kind::Claim => named::<PersistentVolumeClaim>(client, namespace, name).await,
            // Asked for by namespace, never by name.
            Kind::Exemption => Ok(None),
            Kind::Workload(kind) => match kind {
                WorkloadKind::StatefulSet => named::<StatefulSet>(client, namespace, name).await,
                WorkloadKind::Deployment => named::<Deployment>(client, namespace, name).await,
                WorkloadKind::DaemonSet => named::<DaemonSet>(client, namespace, name).await,
                WorkloadKind::ReplicaSet => named::<ReplicaSet>(client, namespace, name).await,
                WorkloadKind::ReplicationController => {
                    named::<ReplicationController>(client, namespace, name).await
                }
                WorkloadKind::Job => named::<Job>(client, namespace, name).await,
                WorkloadKind::CronJob => named::<CronJob>(client, namespace, name).await,
                WorkloadKind::Pod => named::<Pod>(client, namespace, name).await,
            },
        };
        self.metrics.looked_up(key.kind, got.as_ref().map(Option::is_some));
        match got {
            Ok(None) => self.remember_absent(key),
            Ok(Some(_)) => {}
            Err(ref error) => tracing::warn!(%key, %error, "look-up failed"),
        }
        got.map_err(|error| Fault::LookUp { key: key.clone(), reason: error.to_string() })
    }

    fn is_absent(&self, key: &Key) -> bool {
        let absent = self.absent.lock().unwrap_or_else(PoisonError::into_inner);
        absent.get(key).is_some_and(|since| since.elapsed() < ABSENT_FOR)
    }

    fn remember_absent(&self, key: &Key) {
        let mut absent = self.absent.lock().unwrap_or_else(PoisonError::into_inner);
        if absent.len() >= MOST_ABSENT {
            absent.retain(|_, since| since.elapsed() < ABSENT_FOR);
        }
        if absent.len() < MOST_ABSENT {
            absent.insert(key.clone(), Instant::now());
        }
    }
}

impl Debug for LookUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LookUp").finish_non_exhaustive()
    }
}

async fn named<K>(
    client: Client,
    namespace: &str,
    name: &str,
) -> Result<Option<Object<'static>>, kube::Error>
where
    K: k8s_openapi::Resource<Scope = NamespaceResourceScope> + 'static,
{
    get::<K>(Api::namespaced(client, namespace), name).await
}

async fn get<K: k8s_openapi::Resource + 'static>(
    objects: Api<Watched<K>>,
    name: &str,
) -> Result<Option<Object<'static>>, kube::Error> {
    Ok(objects.get_opt(name).await?.map(|watched| watched.object))
}
