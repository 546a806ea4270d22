//! Watches of custom resources, which a cluster may not serve.

use std::time::Duration;

use futures::{Stream, StreamExt, stream};
use kube::runtime::watcher::{Error, Event, Result};
use nfs_guard_policies::facts::Kind;

/// How long it takes at the most to notice that a kind is served at last. The watcher's
/// own backoff begins anew with every attempt, as each begins by telling of itself.
const RETRY: Duration = Duration::from_secs(30);

/// The events of a watch. While the apiserver does not know the kind there is nothing of
/// it: an empty list says so, where an error would leave the guard unready for as long.
pub(super) fn none_while_unserved<K: Send + 'static>(
    events: impl Stream<Item = Result<Event<K>>> + Send + 'static,
    kind: Kind,
) -> impl Stream<Item = Result<Event<K>>> + Send {
    let unserved = events.scan(false, move |was_unserved, event| {
        let is_unserved = matches!(&event, Err(error) if is_not_found(error));
        let is_news = is_unserved != *was_unserved;
        // Each attempt begins with `Init`, and says nothing by it.
        if is_unserved || !matches!(event, Ok(Event::Init)) {
            *was_unserved = is_unserved;
        }
        std::future::ready(Some((event, is_unserved, is_news)))
    });
    let told = unserved.then(move |(event, is_unserved, is_news)| async move {
        if !is_unserved {
            return vec![event];
        }
        if is_news {
            tracing::warn!(kind = %kind, "not served by this cluster: there are none");
            return vec![Ok(Event::Init), Ok(Event::InitDone)];
        }
        tokio::time::sleep(RETRY).await;
        Vec::new()
    });
    told.flat_map(stream::iter)
}

fn is_not_found(error: &Error) -> bool {
    let (Error::InitialListFailed(error) | Error::WatchStartFailed(error)) = error else {
        return false;
    };
    matches!(error, kube::Error::Api(status) if status.code == 404)
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    fn failed(code: u16) -> Result<Event<()>> {
        let status = Status { code, ..Status::default() };
        Err(Error::InitialListFailed(kube::Error::Api(Box::new(status))))
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_not_served_is_read_as_none_and_asked_for_again() {
        let attempts = stream::iter([
            Ok(Event::Init),
            failed(404),
            Ok(Event::Init),
            failed(404),
            failed(500),
            Ok(Event::Init),
            Ok(Event::InitApply(())),
            Ok(Event::InitDone),
        ]);
        let began = tokio::time::Instant::now();
        let told: Vec<_> = none_while_unserved(attempts, Kind::Exemption).collect().await;
        let told: Vec<_> = told
            .iter()
            .map(|event| match event {
                Ok(Event::Init) => "begins",
                Ok(Event::InitDone) => "is whole",
                Ok(_) => "an object",
                Err(_) => "fails",
            })
            .collect();
        let expected =
            ["begins", "begins", "is whole", "begins", "fails", "begins", "an object", "is whole"];
        assert_eq!(told, expected);
        assert_eq!(began.elapsed(), RETRY, "no more often than that");
    }
}
