//! What one replica knows, and what it is to do about it: values in, values out.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;

use super::custody::{Circumstances, Custody, Held};
use super::observation::{Observation, is_older};
use crate::bundle::Bundle;
use crate::ca_bundle::{Configuration, Entries};
use crate::issue::{Issuance, IssueError, Lifetimes, retire};
use crate::names::ServerNames;
use crate::plan::{Plan, Reason, Step};
use crate::store::{filled, request, unknown_request};

/// One moment, by both clocks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    /// Time since this replica started, by a clock that never jumps: what it waits by.
    pub(crate) steady: Duration,
    /// The time of day, which certificates go by.
    pub(crate) wall: Timestamp,
}

/// What one replica knows of the Secret and the webhook configurations, and since when.
///
/// Nothing of a rotation's progress is stored: how long the others have had to learn
/// of a step, each replica measures for itself from what it has seen. One that starts
/// anew waits anew; nobody has to trust another's clock.
#[derive(Debug)]
pub(crate) struct View {
    names: ServerNames,
    lifetimes: Lifetimes,
    settle: Duration,
    custody: Custody,
    listed: bool,
    secret: Option<Secret>,
    stored_since: Duration,
    published: Vec<Publication>,
}

/// What is to be done. Each part is worth a try without the other.
#[derive(Debug, Default)]
pub(crate) struct Wanted {
    pub(crate) step: Option<(Step, Reason)>,
    /// The configurations with an entry that lacks the bundle.
    pub(crate) publish: Vec<Configuration>,
    /// When time alone may change the answer.
    pub(crate) ask_again: Option<Duration>,
}

/// A configuration, and which bundle all of its entries carried last.
#[derive(Debug)]
struct Publication {
    configuration: Configuration,
    listed: bool,
    entries: Option<Entries>,
    carried: Option<Carried>,
}

/// A bundle, and since when it is carried without interruption; `None` if it is not.
#[derive(Debug)]
struct Carried {
    bundle: String,
    since: Option<Duration>,
}

impl View {
    /// A view of nothing yet.
    pub(crate) fn new(
        custody: Custody,
        names: ServerNames,
        lifetimes: Lifetimes,
        settle: Duration,
        configurations: &[Configuration],
    ) -> Self {
        let published = configurations.iter().cloned();
        let published = published.map(|configuration| Publication {
            configuration,
            listed: false,
            entries: None,
            carried: None,
        });
        Self {
            names,
            lifetimes,
            settle,
            custody,
            listed: false,
            secret: None,
            stored_since: Duration::ZERO,
            published: published.collect(),
        }
    }

    /// Takes note of the Secret. Whether other certificates are served now than before.
    pub(crate) fn see_secret(&mut self, seen: Observation<Secret>, moment: Moment) -> bool {
        let version = |secret: &Secret| secret.metadata.resource_version.clone();
        let known = self.secret.as_ref().and_then(version).unwrap_or_default();
        let is_old = |secret: &Secret| is_older(&version(secret).unwrap_or_default(), &known);
        let (secret, in_sequence) = match seen {
            Observation::Changed(secret) | Observation::Deleted(secret) if is_old(&secret) => {
                return false;
            }
            Observation::Changed(secret) => (Some(secret), true),
            Observation::Deleted(_) => (None, true),
            Observation::Listed(secret) => {
                let same = secret.as_ref().and_then(version).is_some_and(|told| told == known);
                self.listed = true;
                (secret, same)
            }
        };
        let before = self.custody.stored_identity().cloned();
        let data = secret.as_ref().and_then(|secret| secret.data.as_ref());
        self.custody.store(data, !self.published.is_empty());
        if !in_sequence || self.custody.stored_identity() != before.as_ref() {
            self.stored_since = moment.steady;
        }
        self.secret = secret;
        self.adopt(moment)
    }

    /// Takes note of a webhook configuration.
    pub(crate) fn see_entries(
        &mut self,
        configuration: &Configuration,
        seen: Observation<Entries>,
        moment: Moment,
    ) {
        let bundle = self.ca_bundle().map(str::to_owned);
        for publication in &mut self.published {
            if publication.configuration == *configuration {
                publication.see(seen, bundle.as_deref(), moment);
                return;
            }
        }
    }

    /// Serves with what is stored if that is better; as a certificate that was not valid
    /// yet may be valid now, that is asked again and again. Whether it is another.
    pub(crate) fn adopt(&mut self, moment: Moment) -> bool {
        let adopted = self.custody.adopt(&self.names, moment.wall);
        if adopted {
            let bundle = self.ca_bundle().map(str::to_owned);
            for publication in &mut self.published {
                publication.note_carried(bundle.as_deref(), moment);
            }
        }
        adopted
    }

    /// What is to be done.
    pub(crate) fn wanted(&self, moment: Moment) -> Wanted {
        let mut wanted = Wanted::default();
        if !self.listed {
            return wanted;
        }
        if self.secret.is_some() {
            let plan = self.custody.plan(&Circumstances {
                request: self.secret.as_ref().and_then(request),
                names: &self.names,
                published_for: self.published_for(moment),
                stored_for: moment.steady.saturating_sub(self.stored_since),
                settle: self.settle,
                now: moment.wall,
            });
            match plan {
                Some(Plan::Take(step, reason)) => wanted.step = Some((step, reason)),
                Some(Plan::Keep { ask_again }) => {
                    wanted.ask_again = Some(ask_again.try_into().unwrap_or_default());
                }
                None => {}
            }
        }
        if let Some(bundle) = self.ca_bundle() {
            let lacking = self.published.iter().filter(|publication| {
                publication.entries.as_ref().is_some_and(|entries| !entries.all_carry(bundle))
            });
            wanted.publish = lacking.map(|lacking| lacking.configuration.clone()).collect();
        }
        wanted
    }

    /// The Secret as it is after that step, which [`wanted`](Self::wanted) named.
    pub(crate) fn take(&self, step: Step, now: Timestamp) -> Result<Secret, IssueError> {
        const PLANNED: &str = "a step is wanted only of what is there";
        let Self { names, lifetimes, custody, .. } = self;
        let issuance = Issuance { names, lifetimes: *lifetimes, now };
        let stored = || custody.stored_material().expect(PLANNED);
        let material = match step {
            Step::Issue => issuance.anew()?,
            Step::Restore => custody.held_material().expect(PLANNED).clone(),
            Step::Reissue => issuance.reissue(stored())?,
            Step::Publish => issuance.publish(stored())?,
            Step::Serve => issuance.serve(stored())?,
            Step::Retire => retire(stored())?,
        };
        Ok(filled(self.secret.clone().expect(PLANNED), &material, step))
    }

    /// How long every entry is known to carry the bundle; `None` if one does not.
    pub(crate) fn published_for(&self, moment: Moment) -> Option<Duration> {
        let Some(bundle) = self.ca_bundle() else { return Some(Duration::MAX) };
        let mut shortest = Duration::MAX;
        for publication in &self.published {
            shortest = shortest.min(publication.carries_for(bundle, moment)?);
        }
        Some(shortest)
    }

    /// What is served.
    pub(crate) fn held(&self) -> Option<Held<'_>> {
        self.custody.held()
    }

    /// The bundle that webhook entries are to carry; `None` if there is none yet, or if
    /// others see to that.
    pub(crate) fn ca_bundle(&self) -> Option<&str> {
        self.custody.held().and_then(|held| held.bundle).map(Bundle::pem)
    }

    /// The entries of a configuration as they were seen last, and whether all of them have
    /// carried the bundle before.
    pub(crate) fn entries(&self, configuration: &Configuration) -> Option<(Entries, bool)> {
        let mut published = self.published.iter();
        let publication =
            published.find(|publication| publication.configuration == *configuration)?;
        let bundle = self.ca_bundle()?;
        let once = publication.carried.as_ref().is_some_and(|carried| carried.bundle == bundle);
        Some((publication.entries.clone()?, once))
    }

    /// Why what is stored is of no use, if the guard cannot mend it.
    pub(crate) fn complaint(&self, moment: Moment) -> Option<Complaint> {
        if !self.listed {
            return None;
        }
        if self.secret.is_none() {
            return Some(Complaint::Missing);
        }
        let complaint = self.custody.complaint(&self.names, moment.wall).map(Complaint::Unusable);
        let unknown = || unknown_request(self.secret.as_ref()?).map(Complaint::UnknownRequest);
        complaint.or_else(unknown)
    }
}

/// What somebody else has to mend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Complaint {
    /// There is no Secret.
    Missing,
    /// What it holds is no good.
    Unusable(Reason),
    /// The annotation that asks for a rotation has this value.
    UnknownRequest(String),
}

impl Publication {
    fn see(&mut self, seen: Observation<Entries>, bundle: Option<&str>, moment: Moment) {
        let known = self.entries.as_ref().map(|entries| entries.version.as_str());
        let is_old = |entries: &Entries| is_older(&entries.version, known.unwrap_or_default());
        let entries = match seen {
            Observation::Changed(entries) | Observation::Deleted(entries) if is_old(&entries) => {
                return;
            }
            Observation::Changed(entries) => Some(entries),
            Observation::Deleted(_) => None,
            Observation::Listed(entries) => {
                self.listed = true;
                if entries.as_ref().map(|entries| entries.version.as_str()) != known {
                    // Who knows what it carried meanwhile.
                    self.interrupt();
                }
                entries
            }
        };
        self.entries = entries;
        self.note_carried(bundle, moment);
    }

    /// Notes since when all entries carry `bundle`, or that they do not.
    fn note_carried(&mut self, bundle: Option<&str>, moment: Moment) {
        let Some(bundle) = bundle else { return };
        if !self.entries.as_ref().is_some_and(|entries| entries.all_carry(bundle)) {
            return self.interrupt();
        }
        match &mut self.carried {
            Some(carried) if carried.bundle == bundle => {
                carried.since.get_or_insert(moment.steady);
            }
            carried => {
                let (bundle, since) = (bundle.to_owned(), Some(moment.steady));
                *carried = Some(Carried { bundle, since });
            }
        }
    }

    fn interrupt(&mut self) {
        if let Some(carried) = &mut self.carried {
            carried.since = None;
        }
    }

    fn carries_for(&self, bundle: &str, moment: Moment) -> Option<Duration> {
        if !self.listed {
            return None;
        }
        if self.entries.is_none() {
            // Who does not want objects changed takes the mutating one away. Without the
            // other, nothing is guarded.
            let may_be_missing = matches!(self.configuration, Configuration::Mutating(_));
            return may_be_missing.then_some(Duration::MAX);
        }
        let carried = self.carried.as_ref().filter(|carried| carried.bundle == bundle)?;
        Some(moment.steady.saturating_sub(carried.since?))
    }
}
