//! The policy in force: of the configuration file, and of what the cluster adds to it.

use std::{future, sync::Arc};

use jiff::Timestamp;
use nfs_guard_policies::{GuardConfig, Policy, glob::Glob};
use tokio::sync::watch;

use crate::{
    config::{ConfigFile, Fingerprint},
    metrics::Metrics,
    reviewer::{InForce, Reviewer},
};

/// What a configuration says, and what it is called.
pub(super) type Configured = (GuardConfig, Fingerprint);

/// What the cluster adds to a configuration.
#[derive(Debug)]
pub(super) struct Circumstances {
    /// The guard's own namespace, in which nothing is judged.
    pub(super) own_namespace: Option<Glob>,
    /// When the guard was installed, once that is known. What was there before is old,
    /// unless the configuration says since when.
    pub(super) installed: watch::Receiver<Option<Timestamp>>,
}

impl Circumstances {
    /// Of no cluster: the configuration alone counts.
    pub(super) fn none() -> Self {
        Self { own_namespace: None, installed: watch::channel(None).1 }
    }

    /// The policy of that configuration, as things stand.
    pub(super) fn policy(&self, (mut config, fingerprint): Configured) -> InForce {
        config.excluded_namespaces.extend(self.own_namespace.clone());
        config.ratchet.since = config.ratchet.since.or(*self.installed.borrow());
        InForce::new(Policy::new(config), fingerprint)
    }
}

/// Has the reviewer judge by the newest configuration, in the circumstances there are,
/// whenever one of the two changes. It never ends.
pub(super) async fn follow(
    first: Configured,
    file: Option<ConfigFile>,
    mut circumstances: Circumstances,
    reviewer: Arc<Reviewer>,
    metrics: Arc<Metrics>,
) {
    let (loaded, mut newest) = watch::channel(first);
    let reading = async move {
        // Without a file there is nothing to follow.
        let Some(file) = file else { return future::pending().await };
        let read = move |config| {
            metrics.config_reloaded(Result::is_ok(&config));
            match config {
                Ok(config) => drop(loaded.send_replace(config)),
                Err(error) => {
                    tracing::error!(%error, "configuration not reloaded, the last good one stays");
                }
            }
        };
        file.follow(read).await;
    };
    let adopting = async move {
        loop {
            let reloaded = tokio::select! {
                Ok(()) = newest.changed() => true,
                Ok(()) = circumstances.installed.changed() => false,
                else => return future::pending().await,
            };
            let configured = newest.borrow_and_update().clone();
            circumstances.installed.mark_unchanged();
            let fingerprint = configured.1;
            reviewer.adopt(circumstances.policy(configured));
            if reloaded {
                tracing::info!(%fingerprint, "configuration reloaded");
            }
        }
    };
    tokio::join!(reading, adopting);
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use nfs_guard_policies::Snapshot;

    use super::*;
    use crate::{audit::audit, cluster::View, config};

    fn configured(text: &str) -> Configured {
        (config::parse(Path::new("c.yaml"), text).unwrap(), Fingerprint::of(text))
    }

    fn seconds(time: &str) -> String {
        let time: Timestamp = time.parse().unwrap();
        format!("nfs_guard_ratchet_since_timestamp_seconds {}\n", time.as_second())
    }

    const INSTALLED: &str = "2026-05-01T12:00:00Z";

    #[tokio::test(start_paused = true)]
    async fn what_is_old_is_told_by_the_installation_unless_the_configuration_says() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.yaml");
        fs::write(&path, "{}").unwrap();
        let file = config::load(Some(&path)).unwrap().file;
        let (tell, installed) = watch::channel(None);
        let circumstances = Circumstances { own_namespace: Some("guard".into()), installed };
        let metrics = Arc::new(Metrics::default());
        let (audit, _writer) = audit(Arc::clone(&metrics));
        let view = View::fixed(Snapshot::complete());
        let first = circumstances.policy(configured("{}"));
        let reviewer = Arc::new(Reviewer::new(first, view, audit, Arc::clone(&metrics)));
        let told = || metrics.render(&Snapshot::default(), 0);
        assert!(told().contains("nfs_guard_ratchet_since_timestamp_seconds 0\n"), "{}", told());

        let following = follow(
            configured("{}"),
            file,
            circumstances,
            Arc::clone(&reviewer),
            Arc::clone(&metrics),
        );
        let following = tokio::spawn(following);
        let until = async |expected: &str| {
            while !told().contains(expected) {
                tokio::time::advance(std::time::Duration::from_secs(1)).await;
                tokio::task::yield_now().await;
            }
        };
        tell.send_replace(Some(INSTALLED.parse().unwrap()));
        until(&seconds(INSTALLED)).await;
        for (text, since) in
            [("ratchet: {since: 2026-04-22}", "2026-04-22T00:00:00Z"), ("rules: {}", INSTALLED)]
        {
            fs::write(&path, text).unwrap();
            until(&seconds(since)).await;
            let fingerprint = format!("fingerprint=\"{}\"", Fingerprint::of(text));
            assert!(told().contains(&fingerprint), "{}", told());
        }
        following.abort();
    }

    #[tokio::test]
    async fn without_a_file_and_a_cluster_there_is_nothing_to_wait_for() {
        let circumstances = Circumstances::none();
        let in_force = circumstances.policy(configured("{}"));
        let metrics = Arc::new(Metrics::default());
        let (audit, _writer) = audit(Arc::clone(&metrics));
        let view = View::fixed(Snapshot::complete());
        let reviewer = Arc::new(Reviewer::new(in_force, view, audit, Arc::clone(&metrics)));
        let following = follow(configured("{}"), None, circumstances, reviewer, metrics);
        let ended = futures::FutureExt::now_or_never(following);
        assert!(ended.is_none(), "it would end the server");
    }
}
