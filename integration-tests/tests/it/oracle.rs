//! The engine's choice of volumes held against upstream's own functions, over
//! generated clusters: `ORACLE_CLUSTERS` says how many, `ORACLE_SEED` which.

mod generate;
mod question;
mod upstream;

use std::{
    env,
    io::{Write as _, stderr},
};

use nfs_guard_policies::{
    binding::{self, Wanted},
    facts::{BindingMode, Claim, ClassReference, PersistentVolume, StorageClass},
    text::{Reduce as _, Strings},
};

use self::{question::Question, upstream::Upstream};

const CLUSTERS: u64 = 10_000;

/// What is held against each other.
#[derive(Debug)]
struct Answer {
    default_class: Option<String>,
    class_as_written: String,
    class: String,
    delay_binding: bool,
    outcome: Outcome,
}

/// What can come of binding the claims.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    /// By name, sorted.
    volumes: Vec<String>,
    /// Whether every claim gets one.
    certain: bool,
}

#[test]
fn chooses_the_volumes_that_kubernetes_chooses() {
    let clusters = from_environment("ORACLE_CLUSTERS", CLUSTERS);
    let seed = from_environment("ORACLE_SEED", 1);
    let mut upstream = Upstream::start();
    let mut counts = Counts::default();
    let questions = (0..clusters).map(|n| generate::question(seed.wrapping_add(n)));
    let mut left = questions.flat_map(Question::moments).peekable();
    while left.peek().is_some() {
        let questions: Vec<_> = left.by_ref().take(500).collect();
        for (question, theirs) in questions.iter().zip(upstream.answers(&questions)) {
            if let Some(difference) = difference(question, &theirs) {
                let (smallest, difference) = shrunk(question.clone(), difference, &mut upstream);
                panic!("seed {seed}: {difference}\n{:#}", smallest.to_json());
            }
            counts.count(question, &theirs);
        }
    }
    // Not by `eprintln!`, which the test runner keeps to itself.
    writeln!(
        stderr(),
        "oracle: {clusters} clusters, 0 differences (seed {seed}; a volume to be had in {}, several in {})",
        counts.some_volume, counts.several_volumes,
    )
    .unwrap();
    if clusters >= CLUSTERS {
        counts.expect_all_of(clusters);
    }
}

fn from_environment(variable: &str, default: u64) -> u64 {
    match env::var(variable) {
        Ok(value) => {
            value.parse().unwrap_or_else(|_| panic!("{variable} is not a number: {value}"))
        }
        Err(_) => default,
    }
}

/// The smallest question whose answers still differ, and how they do, by taking
/// away one thing after the other.
fn shrunk(mut question: Question, mut how: String, upstream: &mut Upstream) -> (Question, String) {
    loop {
        let smaller = question.smaller();
        let answers = upstream.answers(&smaller);
        let mut smaller = smaller.into_iter().zip(answers);
        let Some(failing) = smaller.find_map(|(question, theirs)| {
            difference(&question, &theirs).map(|difference| (question, difference))
        }) else {
            return (question, how);
        };
        (question, how) = failing;
    }
}

/// How our answer differs from theirs, if it does.
fn difference(question: &Question, theirs: &Answer) -> Option<String> {
    let ours = our_answer(question);
    let Answer { default_class, class_as_written, class, delay_binding, outcome } = &ours;
    let same = *default_class == theirs.default_class
        && *class_as_written == theirs.class_as_written
        && *class == theirs.class
        && *delay_binding == theirs.delay_binding
        && if question.is_foreseen_only() || theirs.delay_binding && !question.own_nodes {
            outcome.covers(&theirs.outcome)
        } else {
            *outcome == theirs.outcome
        };
    (!same).then(|| format!("\nupstream: {theirs:?}\nours:     {ours:?}"))
}

impl Outcome {
    /// Whether all of `other` was foreseen. The engine does not ask which nodes
    /// a volume requires: of two that require the same ones it names both, and
    /// it counts on none. Nor does it count on a volume that nobody has looked
    /// at yet.
    fn covers(&self, other: &Self) -> bool {
        let named = other.volumes.iter().all(|volume| self.volumes.contains(volume));
        named && (other.certain || !self.certain)
    }
}

fn our_answer(question: &Question) -> Answer {
    let mut strings = Strings::default();
    let claim = question.claim.to_string();
    let claim: Claim<'_> = serde_json::from_str(&claim).unwrap();
    let classes = question.classes.iter().map(|class| {
        let class = class.to_string();
        serde_json::from_str::<StorageClass<'_>>(&class).unwrap().into_stored(&mut strings)
    });
    let classes: Vec<_> = classes.collect();
    let volumes = question.volumes.iter().map(|volume| {
        let volume = volume.to_string();
        serde_json::from_str::<PersistentVolume<'_>>(&volume).unwrap().into_stored(&mut strings)
    });
    let volumes: Vec<_> = volumes.collect();

    let default = binding::default_class(&classes).map(|class| class.metadata.name.as_str());
    let (class_as_written, class) = match claim.class() {
        ClassReference::Default => ("", default.unwrap_or_default()),
        ClassReference::Classless => ("", ""),
        ClassReference::Named(name) => (name, name),
    };
    let delay_binding = classes.iter().any(|known| {
        *known.metadata.name == *class
            && known.volume_binding_mode == BindingMode::WaitForFirstConsumer
    });
    let wanted = Wanted {
        claim: &claim,
        namespace: claim.metadata.namespace.as_deref().unwrap_or_default(),
        name: Some(claim.metadata.name.as_str()).filter(|name| !name.is_empty()),
        class,
        delay_binding,
    };
    let taken = binding::takes(&wanted, question.claims, &volumes);
    let mut names: Vec<_> =
        taken.volumes.iter().map(|volume| volume.metadata.name.to_string()).collect();
    names.sort_unstable();
    Answer {
        default_class: default.map(str::to_owned),
        class_as_written: class_as_written.to_owned(),
        class: class.to_owned(),
        delay_binding,
        outcome: Outcome { volumes: names, certain: taken.certain },
    }
}

/// How often what matters came up: a generator that stopped making it would
/// otherwise go unnoticed.
#[derive(Default)]
struct Counts {
    default_class: u64,
    delayed: u64,
    some_volume: u64,
    several_volumes: u64,
    uncertain: u64,
    templates: u64,
}

impl Counts {
    fn count(&mut self, question: &Question, theirs: &Answer) {
        let Answer { default_class, class_as_written: _, class: _, delay_binding, outcome } =
            theirs;
        let Outcome { volumes, certain } = outcome;
        self.default_class += u64::from(default_class.is_some());
        self.delayed += u64::from(*delay_binding && !volumes.is_empty());
        self.some_volume += u64::from(!volumes.is_empty());
        self.several_volumes += u64::from(volumes.len() > 1);
        self.uncertain += u64::from(!certain && !volumes.is_empty());
        self.templates += u64::from(question.claims > 1 && !volumes.is_empty());
    }

    fn expect_all_of(&self, clusters: u64) {
        let &Self { default_class, delayed, some_volume, several_volumes, uncertain, templates } =
            self;
        for often in [default_class, delayed, some_volume, several_volumes, uncertain, templates] {
            assert!(often >= clusters / 50, "a case that matters comes up too rarely");
        }
    }
}
