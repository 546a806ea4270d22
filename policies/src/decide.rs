//! The one call every judgement is made by: of a request, a file, a cluster.

use std::fmt;

use jiff::Timestamp;

use crate::{
    cluster::{Cluster, Missed},
    critical,
    facts::Object,
    policy::Policy,
    resolve::Resolver,
    rules::Case,
    text::Text,
    verdict::{Effect, Exempt, Finding, Leniency, SubjectName, Verdict},
};

/// A write under judgement.
#[derive(Clone, Debug)]
pub struct Subject<'a> {
    /// What is written.
    pub change: Change<'a>,
    /// Namespace it is written to; empty for cluster-scoped kinds. The request
    /// says so, an object may leave it out.
    pub namespace: Text<'a>,
    /// Name of the user who writes it; empty when nobody does, as in a file.
    pub user: Text<'a>,
}

impl<'a> Subject<'a> {
    /// The object as it will be.
    #[must_use]
    pub fn object(&self) -> &Object<'a> {
        match &self.change {
            Change::Create(object) | Change::Update { new: object, .. } => object,
        }
    }

    /// What it is called.
    #[must_use]
    pub fn name(&self) -> SubjectName {
        SubjectName {
            kind: self.object().kind(),
            namespace: self.namespace.to_string(),
            name: self.object().metadata().display_name().to_owned(),
        }
    }
}

/// What a write does.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "one lives at a time, on the stack of its request")]
pub enum Change<'a> {
    /// A new object.
    Create(Object<'a>),
    /// Another state of an object.
    Update {
        /// As it will be.
        new: Object<'a>,
        /// As it was.
        old: Object<'a>,
    },
}

impl Change<'_> {
    /// The operation it comes from.
    #[must_use]
    pub fn operation(&self) -> Operation {
        match self {
            Self::Create(_) => Operation::Create,
            Self::Update { .. } => Operation::Update,
        }
    }
}

/// The operations of an admission review that make a subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Operation {
    /// A new object.
    Create,
    /// Another state of an object.
    Update,
}

impl Operation {
    /// The name used in reviews and webhook rules.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "CREATE",
            Self::Update => "UPDATE",
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A judgement, and what it had to do without.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The judgement on what is known.
    pub verdict: Verdict,
    /// What was looked for and not there. Whoever can find some of it decides
    /// again with it.
    pub missed: Missed,
}

/// Judges a subject in its cluster, by a policy, at a time. No I/O, no clock:
/// the same four values give the same outcome.
#[must_use]
pub fn decide(
    subject: &Subject<'_>,
    cluster: &dyn Cluster,
    policy: &Policy,
    now: Timestamp,
) -> Outcome {
    if let Some(exempt) = exempt(subject, policy) {
        let verdict = Verdict::exempt(subject.name(), exempt);
        return Outcome { verdict, missed: Missed::default() };
    }

    let resolver = Resolver::new(cluster, &policy.catalogue);
    let why = |object| critical::why(object, &subject.namespace, policy, &resolver);
    let is_critical = why(subject.object());
    // Who sheds the label in the change that adds NFS is judged all the same.
    let was_critical = match &subject.change {
        Change::Update { old, .. } if is_critical.is_none() => why(old),
        _ => None,
    };
    let sheds_criticality = was_critical.is_some();
    let critical = is_critical.or(was_critical);

    let judge = |object| {
        let critical = critical.as_ref();
        let case = Case { subject, object, critical, policy, resolver: &resolver, now };
        let findings = policy.rules.iter().filter(|rule| rule.applies_to(subject));
        findings.flat_map(|rule| rule.judge(&case)).collect::<Vec<_>>()
    };
    let mut findings = judge(subject.object());
    if let Change::Update { old, .. } = &subject.change
        && findings.iter().any(|finding| finding.effect == Effect::Deny)
    {
        forgive_what_is_not_new(&mut findings, &judge(old));
    }

    let verdict =
        Verdict { subject: subject.name(), exempt: None, critical, sheds_criticality, findings };
    Outcome { verdict, missed: resolver.into_missed() }
}

/// What is allowed whatever it holds, before anything is looked up.
fn exempt(subject: &Subject<'_>, policy: &Policy) -> Option<Exempt> {
    if subject.object().metadata().deletion_timestamp.is_some() {
        return Some(Exempt::BeingDeleted);
    }
    let mut excluded = policy.excluded_namespaces.iter();
    excluded.any(|glob| glob.matches(&subject.namespace)).then_some(Exempt::ExcludedNamespace)
}

/// Denying an update over what the object has had all along would only keep
/// its owner from mending anything else about it.
fn forgive_what_is_not_new(findings: &mut [Finding], before: &[Finding]) {
    for finding in findings.iter_mut().filter(|finding| finding.effect == Effect::Deny) {
        if before.iter().any(|old| old.same_wrong(finding)) {
            finding.effect = Effect::Warn;
            finding.leniency = Some(Leniency::NotNew);
        }
    }
}
