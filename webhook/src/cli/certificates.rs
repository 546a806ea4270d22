//! The certificate of a running server: kept, counted, and its CA written out.

use std::{future::Future, path::PathBuf, sync::Arc};

use nfs_guard_certs::{Event, Rotator};
use tokio::sync::watch;

use crate::metrics::Metrics;

/// Keeps the certificates for as long as the future is polled; the receiver changes whenever
/// the apiserver has been told to trust another CA. That CA, or while a rotation is on
/// those CAs, are written to the file.
pub(super) fn keep(
    rotator: Rotator,
    metrics: Arc<Metrics>,
    ca_out: Option<PathBuf>,
) -> (impl Future<Output = ()>, watch::Receiver<()>) {
    let (trusted, receiver) = watch::channel(());
    let kept = rotator.run(move |event| match event {
        Event::Serving { leaf_expires, ca_expires } => {
            metrics.certificate_served(leaf_expires, ca_expires);
        }
        Event::Took(step) => metrics.certificate_step(step),
        Event::Published { repaired: true } => metrics.ca_bundle_repaired(),
        Event::Published { repaired: false } => {}
        Event::Failed(attempt) => metrics.certificate_failed(attempt),
        Event::Trusted(ca_bundle) => {
            if let (Some(file), Some(ca_bundle)) = (&ca_out, ca_bundle)
                && let Err(error) = std::fs::write(file, ca_bundle)
            {
                tracing::error!(file = %file.display(), %error, "the CA could not be written");
            }
            trusted.send_replace(());
        }
    });
    (kept, receiver)
}
