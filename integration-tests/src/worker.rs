//! Parts of a cluster that this process plays itself.

use std::thread::{self, JoinHandle};

use anyhow::{Context, Result};
use kube::Client;
use tokio::{runtime, sync::oneshot};

use crate::{User, credentials::Credentials};

/// A thread that does one piece of work, as one user of the API server, until it is
/// dropped: then the work ends where it waits, and the thread is joined.
///
/// The runtime is its own, so that what it plays goes on while a test blocks.
#[derive(Debug)]
pub(crate) struct Worker {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Worker {
    /// Starts a thread of that name on the work that is made of the user's client.
    pub(crate) fn start<F>(
        name: &str,
        credentials: &Credentials,
        user: User,
        work: impl FnOnce(Client) -> Result<F>,
    ) -> Result<Self>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .with_context(|| format!("making a runtime for {name}"))?;
        let config = runtime.block_on(credentials.client_config(user))?;
        let client = {
            let _runtime = runtime.enter();
            Client::try_from(config).with_context(|| format!("making a client for {name}"))?
        };
        let work = work(client)?;
        let (stop, stopped) = oneshot::channel();
        let thread = thread::Builder::new()
            .name(name.into())
            .spawn(move || {
                runtime.block_on(async {
                    tokio::select! {
                        () = work => {}
                        _ = stopped => {}
                    }
                });
            })
            .with_context(|| format!("starting {name}"))?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // If it panicked, its message has been printed.
            let _ = thread.join();
        }
    }
}
