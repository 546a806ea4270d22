use std::{future, pin::pin, task::Poll};

use tokio::sync::Semaphore;

/// Work that takes the processor for long, of which one piece at a time is done.
///
/// If each were free to run, many of them would fill the queue of the runtime,
/// or of the system, and a request would wait behind them all. So they wait for each
/// other, and a request waits for at most one.
#[derive(Debug)]
pub(super) struct Turn(Semaphore);

impl Turn {
    pub(super) fn new() -> Self {
        Self(Semaphore::new(1))
    }

    /// Polls the future whenever it is its turn. Between polls, while it waits for
    /// something, the turn is another's: a slow client keeps nobody waiting.
    pub(super) async fn take<F: Future>(&self, future: F) -> F::Output {
        let mut future = pin!(future);
        loop {
            let turn = self.0.acquire().await.expect("nobody closes it");
            if let Poll::Ready(output) = futures::poll!(future.as_mut()) {
                return output;
            }
            drop(turn);
            woken().await;
        }
    }
}

/// Waits until something wakes the task.
async fn woken() {
    let mut waited = false;
    future::poll_fn(|_| {
        if std::mem::replace(&mut waited, true) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };

    use tokio::{sync::oneshot, task::JoinSet};

    use super::*;

    #[tokio::test]
    async fn one_that_waits_keeps_nobody_waiting() {
        let turn = Arc::new(Turn::new());
        let (go, wait) = oneshot::channel();
        let waits = tokio::spawn({
            let turn = Arc::clone(&turn);
            async move { turn.take(wait).await }
        });
        tokio::task::yield_now().await;
        assert_eq!(turn.take(async { 1 }).await, 1);
        go.send(2).unwrap();
        assert_eq!(waits.await.unwrap(), Ok(2));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn one_at_a_time_is_polled() {
        let turn = Arc::new(Turn::new());
        let polled = Arc::new(AtomicUsize::new(0));
        let mut all = JoinSet::new();
        for _ in 0..64 {
            let (turn, polled) = (Arc::clone(&turn), Arc::clone(&polled));
            all.spawn(async move {
                let step = || {
                    assert_eq!(polled.fetch_add(1, Ordering::SeqCst), 0, "another is polled");
                    std::thread::yield_now();
                    polled.fetch_sub(1, Ordering::SeqCst);
                };
                let steps = async {
                    for _ in 0..16 {
                        step();
                        tokio::task::yield_now().await;
                    }
                };
                turn.take(steps).await;
            });
        }
        while let Some(ended) = all.join_next().await {
            ended.unwrap();
        }
    }
}
