//! Keeps the certificates: watches what there is, and takes one step after another.

mod custody;
mod observation;
mod view;
mod writing;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::{BoxStream, SelectAll};
use futures::{FutureExt, StreamExt};
use jiff::Timestamp;
use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingWebhookConfiguration,
};
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client};
use tokio::time::{Instant, sleep_until};

use self::custody::{Custody, Held};
use self::observation::{Observation, observe};
use self::view::{Complaint, Moment, View, Wanted};
use self::writing::Pause;
use crate::ca_bundle::{Configuration, Entries, WebhookConfiguration};
use crate::issue::Lifetimes;
use crate::names::ServerNames;
use crate::plan::Step;
use crate::slot::Slot;
use crate::store::{ROTATE, Store};

/// How long API servers and replicas get to learn of a step before the next is taken:
/// 10 minutes. A connection that has died unnoticed is given up by a watch of ours
/// after 305 s (kube-runtime: `timeout` of 290 s, and a margin of 15 s), after which it
/// tries again every 30 s at the longest; doubled, since nothing is in a hurry.
pub const SETTLE: Duration = Duration::from_mins(10);

/// The longest time to rely on a plan: should the clock that tells the time of day jump, it
/// is noticed by then.
const LONGEST_SLEEP: Duration = Duration::from_hours(1);

/// Who issues the certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Issuer {
    /// The guard, into a Secret of its own.
    Guard,
    /// Somebody else, into a Secret that the guard reads and never writes.
    Others,
}

/// What a [`Rotator`] is to keep.
#[derive(Clone, Debug)]
pub struct Charge {
    /// Who issues.
    pub issuer: Issuer,
    /// The namespace of the Secret.
    pub namespace: String,
    /// The name of the Secret.
    pub secret: String,
    /// The names clients ask for.
    pub names: ServerNames,
    /// The webhook configurations to write the CA bundle into; none if others do.
    pub configurations: Vec<Configuration>,
    /// How long what is issued is valid.
    pub lifetimes: Lifetimes,
    /// How long API servers and replicas get to learn of a step; see [`SETTLE`].
    pub settle: Duration,
}

/// What a [`Rotator`] tells of.
#[derive(Debug)]
pub enum Event<'a> {
    /// Other certificates are served from now on.
    Serving {
        /// When the server's certificate ends.
        leaf_expires: Timestamp,
        /// When the CA ends that signs, if it is known.
        ca_expires: Option<Timestamp>,
    },
    /// This replica took a step.
    Took(Step),
    /// This replica wrote the CA bundle into a webhook configuration.
    Published {
        /// Whether it was there before, and something took it away.
        repaired: bool,
    },
    /// Clients trust what is served: every webhook entry carries this CA bundle. `None` if
    /// others see to that.
    Trusted(Option<&'a str>),
    /// Something did not succeed. It is tried again, and what is valid goes on being
    /// served.
    Failed(Attempt),
}

/// What was tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Attempt {
    /// To watch the Secret or a webhook configuration.
    Watch,
    /// To use what the Secret holds.
    Read,
    /// To issue a certificate, or to write it into the Secret.
    Store,
    /// To write the CA bundle into a webhook configuration.
    Publish,
}

impl Attempt {
    /// Its name, as metrics have it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Watch => "watch",
            Self::Read => "read",
            Self::Store => "store",
            Self::Publish => "publish",
        }
    }
}

/// Keeps the certificates of one replica, and with the others those of all.
pub struct Rotator {
    store: Store,
    client: Client,
    slot: Arc<Slot>,
    view: View,
    started: Instant,
    news: SelectAll<BoxStream<'static, News>>,
    storing: Pause,
    publishing: BTreeMap<Configuration, Pause>,
    complaint: Option<Complaint>,
    trusted: Option<Trusted>,
}

impl Rotator {
    /// A rotator that serves through `slot`. `watching` is for watches, which last;
    /// `asking` for single calls, which should not.
    #[must_use]
    pub fn new(charge: Charge, watching: &Client, asking: Client, slot: Arc<Slot>) -> Self {
        let Charge { issuer, namespace, secret, names, configurations, lifetimes, settle } = charge;
        let custody = match issuer {
            Issuer::Guard => Custody::managed(),
            Issuer::Others => Custody::external(),
        };
        let view = View::new(custody, names, lifetimes, settle, &configurations);
        let secrets = Api::<Secret>::namespaced(watching.clone(), &namespace);
        let secrets = observe(secrets, &secret).map(News::of_secret);
        let mut news = SelectAll::new();
        news.push(secrets.boxed());
        news.extend(configurations.into_iter().map(|configuration| match &configuration {
            Configuration::Validating(name) => {
                let api = Api::<ValidatingWebhookConfiguration>::all(watching.clone());
                observe(api, name).map(News::of_entries(configuration)).boxed()
            }
            Configuration::Mutating(name) => {
                let api = Api::<MutatingWebhookConfiguration>::all(watching.clone());
                observe(api, name).map(News::of_entries(configuration)).boxed()
            }
        }));
        Self {
            store: Store::new(asking.clone(), &namespace, secret),
            client: asking,
            slot,
            view,
            started: Instant::now(),
            news,
            storing: Pause::default(),
            publishing: BTreeMap::new(),
            complaint: None,
            trusted: None,
        }
    }

    /// Keeps them for as long as it is polled. It never ends of itself: whatever fails
    /// is tried again, while what is valid is served.
    pub async fn run(mut self, mut tell: impl FnMut(Event<'_>)) {
        loop {
            // Whatever is known already comes before acting on less.
            while let Some(Some(news)) = self.news.next().now_or_never() {
                self.hear(news, &mut tell);
            }
            let moment = self.moment();
            if self.view.adopt(moment) {
                self.present(&mut tell);
            }
            self.complain(moment, &mut tell);
            self.say_who_is_trusted(moment, &mut tell);

            let Wanted { step, publish, ask_again } = self.view.wanted(moment);
            self.forget_pauses(step.is_some(), &publish);
            let now = Instant::now();
            let mut wake = now + ask_again.unwrap_or(LONGEST_SLEEP).min(LONGEST_SLEEP);
            if let Some((step, reason)) = step {
                if self.storing.until <= now {
                    self.step(step, &reason, &mut tell).await;
                    continue;
                }
                wake = wake.min(self.storing.until);
            }
            let pause = |configuration: &Configuration| {
                self.publishing.get(configuration).map_or(now, |pause| pause.until)
            };
            if let Some(configuration) = publish.into_iter().min_by_key(&pause) {
                let until = pause(&configuration);
                if until <= now {
                    self.publish(&configuration, &mut tell).await;
                    continue;
                }
                wake = wake.min(until);
            }
            tokio::select! {
                Some(news) = self.news.next() => self.hear(news, &mut tell),
                () = sleep_until(wake) => {}
            }
        }
    }

    fn hear(&mut self, news: News, tell: &mut impl FnMut(Event<'_>)) {
        let moment = self.moment();
        match news {
            News::Secret(seen) => {
                if self.view.see_secret(seen, moment) {
                    self.present(tell);
                }
            }
            News::Entries(configuration, seen) => {
                self.view.see_entries(&configuration, seen, moment);
            }
            News::Failed(kind, error) => {
                tracing::warn!(kind, %error, "watch interrupted");
                tell(Event::Failed(Attempt::Watch));
            }
        }
    }

    /// Serves with what the view holds.
    fn present(&mut self, tell: &mut impl FnMut(Event<'_>)) {
        let Some(Held { identity, bundle: _, ca_expires }) = self.view.held() else { return };
        self.slot.swap(identity);
        let leaf_expires = identity.expires();
        let shown = ca_expires.map(tracing::field::display);
        tracing::info!(%leaf_expires, ca_expires = shown, "certificate served");
        tell(Event::Serving { leaf_expires, ca_expires });
    }

    /// Reports what somebody else has to mend, once.
    fn complain(&mut self, moment: Moment, tell: &mut impl FnMut(Event<'_>)) {
        let complaint = self.view.complaint(moment);
        if self.complaint == complaint {
            return;
        }
        let secret = &self.store;
        match &complaint {
            Some(Complaint::Missing) => {
                tracing::error!(%secret, "there is no such Secret; install the chart, which makes it");
            }
            Some(Complaint::Unusable(reason)) => {
                tracing::error!(%secret, %reason, "what the Secret holds cannot be served");
            }
            Some(Complaint::UnknownRequest(value)) => {
                tracing::error!(%secret, annotation = ROTATE, value, "not known: `ca` and `leaf` are");
            }
            None => tracing::info!(%secret, "nothing is wrong with the Secret any more"),
        }
        if complaint.is_some() {
            tell(Event::Failed(Attempt::Read));
        }
        self.complaint = complaint;
    }

    /// What is wanted no more, another replica did: the next time starts afresh.
    fn forget_pauses(&mut self, storing: bool, publishing: &[Configuration]) {
        if !storing && self.storing.is_over() {
            self.storing = Pause::default();
        }
        self.publishing
            .retain(|configuration, pause| publishing.contains(configuration) || !pause.is_over());
    }

    fn say_who_is_trusted(&mut self, moment: Moment, tell: &mut impl FnMut(Event<'_>)) {
        if self.view.held().is_none() || self.view.published_for(moment).is_none() {
            return;
        }
        let bundle = self.view.ca_bundle();
        if self.trusted.as_ref().is_none_or(|trusted| trusted.bundle.as_deref() != bundle) {
            tell(Event::Trusted(bundle));
            self.trusted = Some(Trusted { bundle: bundle.map(str::to_owned) });
        }
    }

    fn moment(&self) -> Moment {
        Moment { steady: self.started.elapsed(), wall: Timestamp::now() }
    }
}

impl fmt::Debug for Rotator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rotator").field("store", &self.store).finish_non_exhaustive()
    }
}

/// That clients trust what is served; by which bundle, if the guard sees to that.
#[derive(Debug)]
struct Trusted {
    bundle: Option<String>,
}

/// What a watch tells.
#[expect(clippy::large_enum_variant, reason = "one at a time, and moved once")]
enum News {
    Secret(Observation<Secret>),
    Entries(Configuration, Observation<Entries>),
    Failed(&'static str, kube::runtime::watcher::Error),
}

impl News {
    fn of_secret(told: Result<Observation<Secret>, kube::runtime::watcher::Error>) -> Self {
        told.map_or_else(|error| Self::Failed("Secret", error), Self::Secret)
    }

    fn of_entries<C: WebhookConfiguration>(
        configuration: Configuration,
    ) -> impl FnMut(Result<Observation<C>, kube::runtime::watcher::Error>) -> Self {
        let kind = match configuration {
            Configuration::Validating(_) => "ValidatingWebhookConfiguration",
            Configuration::Mutating(_) => "MutatingWebhookConfiguration",
        };
        move |told| match told {
            Ok(seen) => Self::Entries(configuration.clone(), seen.map(|seen| Entries::of(&seen))),
            Err(error) => Self::Failed(kind, error),
        }
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod walk;
