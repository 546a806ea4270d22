//! What is thought of a cluster.

use jiff::Timestamp;
use nfs_guard_policies::{
    Change, Cluster, Effect, Finding, Gate, Leniency, Lookup, Operation, Policy, Subject, decide,
    facts::{Kind, Metadata, Object},
};
use schemars::JsonSchema;
use serde::Serialize;

use crate::{config::Fingerprint, report::FindingReport};

/// The answer of `scan`, version 1.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::cli) struct ScanReport {
    /// Version of this form.
    pub(super) version: u32,
    /// What it was judged by.
    pub(super) judged_by: JudgedBy,
    /// How many objects.
    pub(super) summary: Summary,
    /// What was found: violations first, then by namespace, kind and name.
    pub(super) findings: Vec<Standing>,
}

/// What a cluster was judged by.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct JudgedBy {
    /// Where the configuration stands: a file, a `ConfigMap`, or `defaults`.
    pub(super) config: String,
    /// The first 16 digits of the SHA-256 of its text, as in the metric
    /// `nfs_guard_config_info`.
    #[schemars(with = "String")]
    pub(super) fingerprint: Fingerprint,
    /// What was there before this time is old; null if nobody could say.
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub(super) since: Option<Timestamp>,
}

/// Numbers of objects; one may count as several.
#[derive(Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub(super) struct Summary {
    /// Judged.
    pub(super) objects: usize,
    /// With a violation.
    pub(super) violations: usize,
    /// With storage that nobody can name.
    pub(super) unknown: usize,
    /// With something that is borne with, as it was there before the guard.
    pub(super) grandfathered: usize,
    /// With something that is excused.
    pub(super) exempt: usize,
    /// With anything else a rule has to say.
    pub(super) warnings: usize,
}

/// One finding about an object as it stands.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Standing {
    /// What is to be thought of it.
    pub(super) category: Category,
    /// What excuses it, if anything does.
    pub(super) excuse: Option<String>,
    /// When the object was made.
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub(super) creation_timestamp: Option<Timestamp>,
    /// What made the object in the end, if a controller did: of a pod of a Deployment,
    /// the Deployment.
    pub(super) owner: Option<Owner>,
    /// The finding; its `decision` is what would be said of it if it were written now
    /// and its rule enforced.
    #[serde(flatten)]
    pub(super) finding: FindingReport,
}

/// What is to be thought of a finding, the worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Category {
    /// On storage that is forbidden, and nothing excuses it: it came in while the guard
    /// was down, or where admission could not see it in time.
    Violation,
    /// On storage that nobody can name.
    Unknown,
    /// On storage that is forbidden, and borne with: it was there before the guard.
    Grandfathered,
    /// On storage that is forbidden, and excused by an exemption or by the configuration.
    Exempt,
    /// Anything else a rule has to say, that it would never deny.
    Warning,
}

/// The owner of an object, in the same namespace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
pub(super) struct Owner {
    /// Its kind.
    pub(super) kind: String,
    /// Its name.
    pub(super) name: String,
}

/// Judges every object of a cluster that a rule would see made. The cluster is whole,
/// so nothing has to be looked up.
pub(super) fn judge(
    objects: Vec<Object<'static>>,
    cluster: &dyn Cluster,
    policy: &Policy,
    judged_by: JudgedBy,
    now: Timestamp,
) -> ScanReport {
    let (mut summary, mut findings) = (Summary::default(), Vec::new());
    for object in objects.into_iter().filter(|object| is_judged(object.kind(), policy)) {
        let creation_timestamp = object.metadata().creation_timestamp;
        let owner = owner(object.metadata(), cluster);
        let verdict = decide(&subject(object), cluster, policy, now).verdict;
        let standing = verdict.findings.iter().zip(FindingReport::all(&verdict));
        let standing: Vec<_> = standing
            .map(|(found, finding)| Standing {
                category: Category::of(found),
                excuse: found.leniency.as_ref().map(Leniency::to_string),
                creation_timestamp,
                owner: owner.clone(),
                finding,
            })
            .collect();
        summary.count(&standing);
        findings.extend(standing);
    }
    findings.sort_by(|a, b| a.rank().cmp(&b.rank()));
    ScanReport { version: 1, judged_by, summary, findings }
}

fn is_judged(kind: Kind, policy: &Policy) -> bool {
    let mut reads = policy.rules.iter().flat_map(|rule| rule.reads(Gate::Inspection));
    reads.any(|reads| reads.kind == kind && reads.operations.contains(&Operation::Create))
}

fn subject(object: Object<'static>) -> Subject<'static> {
    let namespace = object.metadata().namespace.clone().unwrap_or_default();
    Subject { gate: Gate::Inspection, change: Change::Standing(object), namespace, user: "".into() }
}

/// The last of the chain of controllers above an object, as far as it can be followed.
fn owner(metadata: &Metadata<'static>, cluster: &dyn Cluster) -> Option<Owner> {
    // Pod, ReplicaSet, Deployment is three; nothing keeps anybody from writing a ring.
    const LONGEST: usize = 8;
    let namespace = metadata.namespace.as_deref().unwrap_or_default();
    let mut last = metadata.controller()?.clone();
    for _ in 0..LONGEST {
        let Some(Kind::Workload(kind)) = Kind::of_manifest(&last.api_version, &last.kind) else {
            break;
        };
        let Lookup::Found(found) = cluster.workload(kind, namespace, &last.name) else { break };
        if found.metadata.uid.as_ref() != Some(&last.uid) {
            break;
        }
        let Some(next) = found.metadata.controller() else { break };
        last = next.clone();
    }
    Some(Owner { kind: last.kind.to_string(), name: last.name.to_string() })
}

impl Category {
    fn of(finding: &Finding) -> Self {
        match (&finding.leniency, finding.effect) {
            (Some(Leniency::Exempt { .. } | Leniency::Excepted { .. }), _) => Self::Exempt,
            (Some(_), _) => Self::Grandfathered,
            (None, Effect::Deny) => Self::Violation,
            (None, _) if finding.wrong.is_unknown() => Self::Unknown,
            (None, _) => Self::Warning,
        }
    }

    /// The name used in output.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Violation => "violation",
            Self::Unknown => "unknown",
            Self::Grandfathered => "grandfathered",
            Self::Exempt => "exempt",
            Self::Warning => "warning",
        }
    }
}

impl Summary {
    fn count(&mut self, findings: &[Standing]) {
        let any = |category| usize::from(findings.iter().any(|f| f.category == category));
        let Self { objects, violations, unknown, grandfathered, exempt, warnings } = self;
        *objects += 1;
        *violations += any(Category::Violation);
        *unknown += any(Category::Unknown);
        *grandfathered += any(Category::Grandfathered);
        *exempt += any(Category::Exempt);
        *warnings += any(Category::Warning);
    }
}

impl Standing {
    /// What its place in the report goes by.
    fn rank(&self) -> impl Ord + use<'_> {
        let FindingReport { namespace, kind, name, field, .. } = &self.finding;
        (self.category, namespace, *kind, name, field)
    }
}

#[cfg(test)]
mod tests;
