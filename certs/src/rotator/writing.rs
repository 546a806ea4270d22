//! What a rotator writes, and what it makes of a refusal.

use std::error::Error;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use tokio::time::Instant;

use super::observation::Observation;
use super::{Attempt, Event, Rotator};
use crate::ca_bundle::{Configuration, Published, publish};
use crate::issue::IssueError;
use crate::plan::{Reason, Step};
use crate::store::StoreError;

/// After a failure, doubled with each further one up to the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// How often a conflict is answered by trying again at once. A conflict means that another
/// writer came first: a replica that did the same, after which nothing is left to do, or an
/// upgrade of the chart, which writes once. The same three times in a row is no race,
/// and its cause is reported.
const ROUNDS: u32 = 3;

impl Rotator {
    pub(super) async fn step(
        &mut self,
        step: Step,
        reason: &Reason,
        tell: &mut impl FnMut(Event<'_>),
    ) {
        let secret = self.store.to_string();
        match self.try_step(step, tell).await {
            Ok(true) => {
                self.storing = Pause::after_success();
                tracing::info!(secret, step = step.as_str(), %reason, "certificates stored");
                tell(Event::Took(step));
            }
            Ok(false) => tracing::debug!(secret, "another writer came first"),
            Err(error) => {
                let pause = self.storing.lengthen();
                tracing::error!(
                    secret,
                    step = step.as_str(),
                    %reason,
                    error = report(&error),
                    pause_seconds = pause.as_secs(),
                    "certificates not stored, those that are valid go on being served"
                );
                tell(Event::Failed(Attempt::Store));
            }
        }
    }

    /// Takes a step upon the Secret as it is known. Whether it did not come too late.
    async fn try_step(
        &mut self,
        step: Step,
        tell: &mut impl FnMut(Event<'_>),
    ) -> Result<bool, StepError> {
        let secret = self.view.take(step, Timestamp::now())?;
        let written = self.store.write(&secret).await?;
        let (took, seen) = match written {
            Some(secret) => (true, Observation::Changed(secret)),
            None if self.storing.may_try_again(ROUNDS) => (false, self.read().await?),
            None => return Err(StepError::Contended(self.store.to_string())),
        };
        if self.view.see_secret(seen, self.moment()) {
            self.present(tell);
        }
        Ok(took)
    }

    pub(super) async fn publish(
        &mut self,
        configuration: &Configuration,
        tell: &mut impl FnMut(Event<'_>),
    ) {
        match self.try_publish(configuration, tell).await {
            Ok(Some(repaired)) => {
                self.publishing.insert(configuration.clone(), Pause::after_success());
                tracing::info!(%configuration, repaired, "CA bundle written");
                tell(Event::Published { repaired });
            }
            Ok(None) => tracing::debug!(%configuration, "another writer came first"),
            Err(error) => {
                let pause = self.publishing.entry(configuration.clone()).or_default().lengthen();
                tracing::error!(
                    %configuration,
                    error = report(&*error),
                    pause_seconds = pause.as_secs(),
                    "the apiserver could not be told which CA to trust"
                );
                tell(Event::Failed(Attempt::Publish));
            }
        }
    }

    /// Writes the bundle into a configuration as it is known. Whether it had been there
    /// before; `None` if another writer came first.
    async fn try_publish(
        &mut self,
        configuration: &Configuration,
        tell: &mut impl FnMut(Event<'_>),
    ) -> Result<Option<bool>, Box<dyn Error + Send + Sync>> {
        let Some((entries, repaired)) = self.view.entries(configuration) else { return Ok(None) };
        // In this order: if another replica stores and publishes between the two, the
        // patch is upon a version that is no more. The other way round an old bundle
        // could take the place of a newer one.
        let seen = self.read().await?;
        if self.view.see_secret(seen, self.moment()) {
            self.present(tell);
        }
        let Some(ca_bundle) = self.view.ca_bundle() else { return Ok(None) };
        let published = publish(&self.client, configuration, &entries, ca_bundle).await?;
        let moment = self.moment();
        match published {
            Published::Done(entries) => {
                self.view.see_entries(configuration, Observation::Changed(entries), moment);
                Ok(Some(repaired))
            }
            Published::Conflict(entries, error) => {
                self.view.see_entries(configuration, Observation::Listed(entries), moment);
                let pause = self.publishing.entry(configuration.clone()).or_default();
                if pause.may_try_again(ROUNDS) { Ok(None) } else { Err(error.into()) }
            }
        }
    }

    /// The Secret as it is at this moment.
    async fn read(&mut self) -> Result<Observation<Secret>, StoreError> {
        let secret = self.store.read().await?;
        Ok(secret.map_or(Observation::Listed(None), Observation::Changed))
    }
}

/// Why a step was not taken.
#[derive(Debug, thiserror::Error)]
enum StepError {
    #[error("cannot issue certificates")]
    Issue(#[from] IssueError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(
        "Secret {0} was changed each time before it could be written; find what else writes it, \
         such as a second release with the same Secret"
    )]
    Contended(String),
}

/// Until when not to try again, and why so long.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pause {
    pub(super) until: Instant,
    failures: u32,
    conflicts: u32,
}

impl Default for Pause {
    fn default() -> Self {
        Self { until: Instant::now(), failures: 0, conflicts: 0 }
    }
}

impl Pause {
    /// After a write that was taken: something that undoes each one is answered once a
    /// second and not without end.
    fn after_success() -> Self {
        Self { until: Instant::now() + FIRST_PAUSE, ..Self::default() }
    }

    pub(super) fn is_over(&self) -> bool {
        self.until <= Instant::now()
    }

    /// After a failure: the longer, the more of them there were.
    fn lengthen(&mut self) -> Duration {
        let pause = FIRST_PAUSE.saturating_mul(1 << self.failures.min(16)).min(LONGEST_PAUSE);
        *self = Self { until: Instant::now() + pause, failures: self.failures + 1, conflicts: 0 };
        pause
    }

    /// After a conflict: whether to try again at once.
    fn may_try_again(&mut self, rounds: u32) -> bool {
        self.conflicts += 1;
        self.conflicts < rounds
    }
}

/// An error with its causes, on one line.
fn report(error: &dyn Error) -> String {
    let mut report = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        report = format!("{report}: {error}");
        cause = error.source();
    }
    report
}
