//! Random walks through time: replicas that hear late, are interrupted between any two calls,
//! end and start anew; webhook entries that are blanked and added; a Secret that is blanked;
//! people who ask for new CAs. In every state, whoever trusts what an API server may still
//! hold for any entry must take what any replica presents.
//!
//! `WALKS=2000 WALK_SEED=7 cargo test -p nfs-guard-certs walk` asks for more of them.

mod cluster;

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use fastrand::Rng;
use jiff::{SignedDuration, Timestamp};

use self::cluster::{Cluster, configurations, entries, names, wall};
use super::custody::Custody;
use super::observation::Observation;
use super::view::{View, Wanted};
use crate::bundle::Bundle;
use crate::identity::Identity;
use crate::issue::Lifetimes;
use crate::plan::Step;
use crate::store::ROTATE;

/// How long a step has to settle, in seconds.
const SETTLE: u64 = 60;
/// How late news may come, and how long a call may take: less, or no wait would do.
const LATEST: u64 = 50;
const REPLICAS: usize = 3;
const MOVES: usize = 250;

#[test]
fn whoever_trusts_any_bundle_takes_whatever_is_presented() {
    let ask = |name: &str, otherwise| {
        std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(otherwise)
    };
    // Among these is one that fails if a bundle is published from what a watch told and not
    // from what is stored.
    let (walks, first) = (ask("WALKS", 24), ask("WALK_SEED", 250));
    let (mut steps, mut checks) = (BTreeMap::new(), 0);
    for seed in first..first + walks {
        let mut world = World::new(seed);
        for _ in 0..MOVES {
            world.walk();
            world.check();
        }
        world.finish();
        for (step, times) in world.steps {
            *steps.entry(step).or_insert(0) += times;
        }
        checks += world.checks;
    }
    #[expect(clippy::print_stdout, reason = "figures are shown with --nocapture")]
    {
        println!("{walks} walks, {checks} handshakes, steps taken: {steps:?}");
    }
    for step in ["publish", "serve", "retire", "reissue", "restore"] {
        assert!(steps.contains_key(step), "no walk came past {step:?}: {steps:?}");
    }
}

/// A cluster, and what became of it so far.
struct World {
    seed: u64,
    rng: Rng,
    cluster: Cluster,
    replicas: Vec<Replica>,
    verified: HashMap<(String, String), bool>,
    steps: BTreeMap<&'static str, usize>,
    checks: usize,
}

struct Replica {
    view: View,
    /// How much of the Secret's and each configuration's history it has heard.
    heard: Vec<usize>,
    /// A patch on its way, made from what it knew at that time.
    patch: Option<Patch>,
}

struct Patch {
    since: u64,
    configuration: usize,
    version: u64,
    bundle: String,
}

impl World {
    /// One replica has filled the Secret and told every entry; the others start.
    fn new(seed: u64) -> Self {
        let mut world = Self {
            seed,
            rng: Rng::with_seed(seed),
            cluster: Cluster::installed(),
            replicas: Vec::new(),
            verified: HashMap::new(),
            steps: BTreeMap::new(),
            checks: 0,
        };
        for replica in 0..REPLICAS {
            let started = world.start();
            world.replicas.push(started);
            if replica == 0 {
                world.settle();
            }
        }
        world
    }

    /// One thing happens.
    fn walk(&mut self) {
        let (replica, object) = (self.rng.usize(..REPLICAS), self.rng.usize(..3));
        let seconds = self.rng.u64(1..=20);
        match self.rng.u32(..100) {
            0..25 => self.pass(seconds),
            25..45 => self.hear(replica, object),
            45..84 => drop(self.act(replica)),
            84..87 => self.restart(replica),
            87..89 => self.list_anew(replica),
            89..92 => self.blank_or_add_an_entry(),
            92..94 => self.cluster.change_secret(|secret| secret.data = None),
            94..98 => {
                let what = if self.rng.bool() { "ca" } else { "leaf" };
                self.cluster.change_secret(|secret| {
                    let annotations = secret.metadata.annotations.get_or_insert_default();
                    annotations.insert(ROTATE.to_owned(), what.to_owned());
                });
            }
            _ => {
                self.settle();
                let hours = 1 + self.rng.u64(..48);
                self.cluster.now += hours * 3600;
            }
        }
    }

    /// Everybody acts until nothing is left to do, however long it takes: no walk ends in a
    /// state that nobody finds a way out of.
    fn finish(&mut self) {
        for _ in 0..100 {
            self.settle();
            self.check();
            self.pass(SETTLE);
        }
        let secret = self.cluster.secret();
        let bundle = String::from_utf8(secret.data.as_ref().expect("has data")["ca.crt"].0.clone());
        let bundle = bundle.expect("is text");
        let authorities = Bundle::parse(bundle.clone()).expect("is a bundle").authorities().len();
        assert_eq!(authorities, 1, "seed {}: a rotation never ended", self.seed);
        for (configuration, history) in &self.cluster.configurations {
            let entries = &history.last().expect("has a version").object;
            let told = entries.iter().all(|(_, carried)| *carried == bundle);
            assert!(told, "seed {}: {configuration} was never told", self.seed);
        }
    }

    /// What an API server may still hold for any entry verifies what any replica presents.
    fn check(&mut self) {
        let oldest = self.cluster.now.saturating_sub(LATEST);
        for (_, history) in &self.cluster.configurations {
            let ends = history.iter().skip(1).map(|version| version.since).chain([u64::MAX]);
            let recent = history.iter().zip(ends).filter(|(_, end)| *end >= oldest);
            for (_, bundle) in recent.flat_map(|(version, _)| &version.object) {
                // A blank one trusts nobody, whatever is presented.
                for replica in self.replicas.iter().filter(|_| !bundle.is_empty()) {
                    let held = replica.view.held().expect("every replica serves");
                    let wall = wall(self.cluster.now);
                    let served = held.identity;
                    assert!(
                        served.expires() >= wall,
                        "seed {}: what is served has ended",
                        self.seed
                    );
                    let pair = (bundle.clone(), served.chain_pem().to_owned());
                    let verifies =
                        self.verified.entry(pair).or_insert_with(|| verifies(bundle, served, wall));
                    assert!(
                        *verifies,
                        "seed {}, second {}: a failed handshake",
                        self.seed, self.cluster.now
                    );
                    self.checks += 1;
                }
            }
        }
    }

    /// Time passes; whatever would come later than the latest comes first.
    fn pass(&mut self, seconds: u64) {
        for replica in 0..REPLICAS {
            if let Some(Patch { since, .. }) = self.replicas[replica].patch
                && since + LATEST < self.cluster.now + seconds
            {
                self.act(replica);
            }
            self.hear_overdue(replica, self.cluster.now + seconds);
        }
        self.cluster.now += seconds;
    }

    /// A replica hears everything that would come later than the latest at that time.
    fn hear_overdue(&mut self, replica: usize, at: u64) {
        for object in 0..=self.cluster.configurations.len() {
            while self
                .cluster
                .next(object, self.replicas[replica].heard[object])
                .is_some_and(|since| since + LATEST < at)
            {
                self.hear(replica, object);
            }
        }
    }

    /// All news arrive and all do what they want, until they want nothing.
    fn settle(&mut self) {
        let mut quiet = false;
        while !quiet {
            quiet = true;
            for replica in 0..self.replicas.len() {
                self.hear_overdue(replica, u64::MAX);
                quiet &= !self.act(replica);
            }
        }
    }

    /// A replica hears the next news of an object: the Secret, or a configuration.
    fn hear(&mut self, replica: usize, object: usize) {
        let moment = self.cluster.moment();
        let Replica { view, heard, .. } = &mut self.replicas[replica];
        let heard = &mut heard[object];
        if object == 0 {
            let Some(version) = self.cluster.secrets.get(*heard) else { return };
            view.see_secret(Observation::Changed(version.object.clone()), moment);
        } else {
            let (configuration, history) = &self.cluster.configurations[object - 1];
            let Some(version) = history.get(*heard) else { return };
            view.see_entries(configuration, Observation::Changed(entries(version)), moment);
        }
        *heard += 1;
    }

    /// A replica's watches start over.
    fn list_anew(&mut self, replica: usize) {
        let moment = self.cluster.moment();
        let Replica { view, heard, .. } = &mut self.replicas[replica];
        heard[0] = self.cluster.secrets.len();
        let secret = self.cluster.secrets.last().map(|version| version.object.clone());
        view.see_secret(Observation::Listed(secret), moment);
        for ((configuration, history), heard) in
            self.cluster.configurations.iter().zip(&mut heard[1..])
        {
            *heard = history.len();
            let listed = Observation::Listed(history.last().map(entries));
            view.see_entries(configuration, listed, moment);
        }
    }

    /// A replica makes its next call, and may not live to hear the answer. Whether it had
    /// one to make.
    fn act(&mut self, replica: usize) -> bool {
        if let Some(patch) = self.replicas[replica].patch.take() {
            self.patch(replica, &patch);
            return true;
        }
        let moment = self.cluster.moment();
        self.replicas[replica].view.adopt(moment);
        let Wanted { step, publish, .. } = self.replicas[replica].view.wanted(moment);
        if let Some((step, _)) = step {
            self.step(replica, step);
            return true;
        }
        let Some(wanted) = publish.first() else { return false };
        let view = &mut self.replicas[replica].view;
        let (entries, _) = view.entries(wanted).expect("was seen");
        let read = self.cluster.secrets.last().expect("has a version").object.clone();
        view.see_secret(Observation::Changed(read), moment);
        let bundle = view.ca_bundle().expect("every replica serves").to_owned();
        let mut configurations = self.cluster.configurations.iter();
        let index = configurations.position(|(configuration, _)| configuration == wanted);
        self.replicas[replica].patch = Some(Patch {
            since: self.cluster.now,
            configuration: index.expect("is one of them"),
            version: entries.version.parse().expect("is a number"),
            bundle,
        });
        true
    }

    fn blank_or_add_an_entry(&mut self) {
        let configuration = self.rng.usize(..self.cluster.configurations.len());
        let history = &self.cluster.configurations[configuration].1;
        let mut entries = history.last().expect("has a version").object.clone();
        if self.rng.bool() && entries.len() < 5 {
            let place = self.rng.usize(..=entries.len());
            entries.insert(place, (format!("added-{}", self.cluster.versions), String::new()));
        } else {
            let place = self.rng.usize(..entries.len());
            entries[place].1.clear();
        }
        self.cluster.change_entries(configuration, entries);
    }

    fn step(&mut self, replica: usize, step: Step) {
        let moment = self.cluster.moment();
        let view = &self.replicas[replica].view;
        let secret = view.take(step, moment.wall).expect("issues");
        let current = self.cluster.secret();
        let seen = if secret.metadata.resource_version == current.metadata.resource_version {
            *self.steps.entry(step.as_str()).or_default() += 1;
            self.cluster.change_secret(|current| *current = secret);
            self.cluster.secret().clone()
        } else {
            current.clone()
        };
        if self.dies() {
            return self.restart(replica);
        }
        self.replicas[replica].view.see_secret(Observation::Changed(seen), moment);
    }

    fn patch(&mut self, replica: usize, patch: &Patch) {
        let Patch { since: _, configuration, version, bundle } = patch;
        let current = self.cluster.configurations[*configuration].1.last().expect("has a version");
        let lost = current.number != *version;
        if !lost {
            let names = current.object.iter().map(|(name, _)| name.clone());
            let patched = names.map(|name| (name, bundle.clone())).collect();
            self.cluster.change_entries(*configuration, patched);
        }
        if self.dies() {
            return self.restart(replica);
        }
        let moment = self.cluster.moment();
        let (configuration, history) = &self.cluster.configurations[*configuration];
        let now = entries(history.last().expect("has a version"));
        let seen = if lost { Observation::Listed(Some(now)) } else { Observation::Changed(now) };
        self.replicas[replica].view.see_entries(configuration, seen, moment);
    }

    fn dies(&mut self) -> bool {
        self.replicas.len() == REPLICAS && self.may_end() && self.rng.u32(..4) == 0
    }

    /// Whether a replica may end. While the Secret is blank, those that run are all that knows
    /// the keys.
    fn may_end(&self) -> bool {
        self.cluster.secret().data.is_some()
    }

    fn restart(&mut self, replica: usize) {
        if self.may_end() {
            self.replicas[replica] = self.start();
        }
    }

    fn start(&self) -> Replica {
        let lifetimes = Lifetimes {
            ca: SignedDuration::from_hours(24 * 30),
            leaf: SignedDuration::from_hours(24 * 9),
        };
        let settle = Duration::from_secs(SETTLE);
        let mut view = View::new(Custody::managed(), names(), lifetimes, settle, &configurations());
        let moment = self.cluster.moment();
        let mut heard = vec![self.cluster.secrets.len()];
        view.see_secret(Observation::Listed(Some(self.cluster.secret().clone())), moment);
        for (configuration, history) in &self.cluster.configurations {
            heard.push(history.len());
            let listed = Observation::Listed(history.last().map(entries));
            view.see_entries(configuration, listed, moment);
        }
        Replica { view, heard, patch: None }
    }
}

fn verifies(bundle: &str, identity: &Identity, now: Timestamp) -> bool {
    let bundle = Bundle::parse(bundle.to_owned()).expect("is a bundle");
    bundle.authorities().iter().any(|ca| ca.vouches_for(identity, now))
}
