//! A stand-in for the storage drivers.

mod volume;

use std::{fs::File, io::Write as _, path::Path};

use anyhow::{Context, Result};
use futures::{StreamExt, TryStreamExt, future::Either, stream};
use k8s_openapi::api::{
    core::v1::{PersistentVolume, PersistentVolumeClaim},
    storage::v1::StorageClass,
};
use kube::{
    Api, Client,
    api::{DeleteParams, PostParams},
    runtime::{WatchStreamExt, watcher},
};

use crate::{User, credentials::Credentials, worker::Worker};

/// Makes and deletes volumes as the drivers `nfs.csi.k8s.io` and
/// `csi.proxmox.sinextra.dev` do through their external-provisioner.
///
/// The API objects are theirs: name, claimRef, driver, attributes, mount
/// options, annotation. What it leaves out: there is no storage behind them, no
/// topology (`nodeAffinity`), no finalizer of the provisioner's own, no
/// snapshots, no cloning, no resizing, and no `CSIDriver` or `CSINode` object.
#[derive(Debug)]
pub struct Provisioner {
    _worker: Worker,
}

impl Provisioner {
    /// Starts it on a thread of its own; what it cannot do it writes to
    /// `<folder>/provisioner.log`.
    pub fn start(credentials: &Credentials, folder: &Path) -> Result<Self> {
        let log = File::create(folder.join("provisioner.log")).context("making a log")?;
        let work = |client| Ok(run(client, log));
        Ok(Self { _worker: Worker::start("provisioner", credentials, User::Provisioner, work)? })
    }
}

/// Runs until dropped: a watch that fails is begun again.
async fn run(client: Client, mut log: File) {
    let claims = Api::<PersistentVolumeClaim>::all(client.clone());
    let volumes = Api::<PersistentVolume>::all(client.clone());
    let classes = Api::<StorageClass>::all(client);
    let claims = watcher(claims, watcher::Config::default())
        .default_backoff()
        .applied_objects()
        .map_ok(Either::Left);
    let released = watcher(volumes.clone(), watcher::Config::default())
        .default_backoff()
        .applied_objects()
        .map_ok(Either::Right);
    let mut events = stream::select(claims.boxed(), released.boxed());
    while let Some(event) = events.next().await {
        let done = match event {
            Ok(Either::Left(claim)) => provision(&claim, &classes, &volumes).await,
            Ok(Either::Right(volume)) => reclaim(&volume, &volumes).await,
            Err(error) => Err(error).context("watching"),
        };
        if let Err(error) = done {
            // Nobody to tell but the log; the test that waits will show it missed.
            let _ = writeln!(log, "{error:#}");
        }
    }
}

async fn provision(
    claim: &PersistentVolumeClaim,
    classes: &Api<StorageClass>,
    volumes: &Api<PersistentVolume>,
) -> Result<()> {
    let Some(class) = volume::class_to_provision(claim) else { return Ok(()) };
    let class = classes.get(class).await.with_context(|| format!("getting class {class}"))?;
    let Some(volume) = volume::provisioned(claim, &class)? else { return Ok(()) };
    match volumes.create(&PostParams::default(), &volume).await {
        Ok(_) => Ok(()),
        // An earlier event of the same claim made it.
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(()),
        Err(error) => Err(error).with_context(|| format!("creating {:?}", volume.metadata.name)),
    }
}

async fn reclaim(volume: &PersistentVolume, volumes: &Api<PersistentVolume>) -> Result<()> {
    let Some(name) = volume::name_to_reclaim(volume) else { return Ok(()) };
    match volumes.delete(name, &DeleteParams::default()).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        Err(error) => Err(error).with_context(|| format!("deleting {name}")),
    }
}
