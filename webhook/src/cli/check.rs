use std::{
    collections::BTreeSet,
    io::{self, Write},
    path::PathBuf,
};

use anstyle::{AnsiColor, Style};
use clap::{Args, ValueHint};
use jiff::Timestamp;
use nfs_guard_policies::{
    Change, Effect, Gate, Operation, Outcome, Policy, Snapshot, Subject, Verdict, decide,
    facts::Kind,
};
use schemars::JsonSchema;
use serde::Serialize;

use super::{ClusterArgument, ConfigArgument, Exit, Failure, output::Output, tell};
use crate::{
    config,
    manifest::{InputError, Manifest, Manifests},
    report::FindingReport,
};

/// Judge manifests from files, by the same rules as the admission server
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  nfs-guard check deploy/ --cluster snapshot.yaml\n  \
                        helm template vault hashicorp/vault | nfs-guard check - -o json\n\n\
                        The manifests see each other: a claim finds its StorageClass in the same \
                        input, else in the snapshot.\nExit codes: 0 nothing denied, 1 at least one \
                        denial, 2 something could not be read.")]
pub(super) struct Check {
    /// Files, directories, or - for standard input: YAML or JSON, any number of documents
    #[arg(required = true, value_name = "PATH", value_hint = ValueHint::AnyPath)]
    paths: Vec<PathBuf>,
    #[command(flatten)]
    cluster: ClusterArgument,
    #[command(flatten)]
    config: ConfigArgument,
    /// Form of the answer; `nfs-guard schema check` describes the JSON
    #[arg(short, long, default_value = "table")]
    output: Output,
}

/// The answer of `check`, version 1.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct CheckReport {
    /// Version of this form.
    version: u32,
    /// How many objects.
    summary: Summary,
    /// What was found, in the order of the input.
    findings: Vec<FindingReport>,
}

/// Numbers of objects; one may count as several.
#[derive(Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
struct Summary {
    /// Judged.
    objects: usize,
    /// With at least one denial.
    denied: usize,
    /// Not denied, with at least one warning.
    warned: usize,
    /// With a volume of unknown backing.
    unknown: usize,
}

impl Check {
    pub(super) fn run(&self) -> Result<Exit, Failure> {
        let policy = Policy::new(config::load(self.config.config.as_deref())?.config);
        let stdin = |paths: &[PathBuf]| paths.iter().filter(|path| path.as_os_str() == "-").count();
        if stdin(&self.paths) + stdin(&self.cluster.cluster) > 1 {
            return Err(
                InputError::whole("-", "standard input can be read once only".into()).into()
            );
        }
        let (cluster, mut errors) = self.cluster.read();
        let manifests = Manifests::read(&self.paths);
        errors.extend(manifests.errors.iter().cloned());

        let (report, unknown_namespaces) = judge(&manifests, cluster, &policy);
        if !unknown_namespaces.is_empty() {
            let names: Vec<_> = unknown_namespaces.into_iter().collect();
            tell(format_args!(
                "warning: no input holds these namespaces, so nothing in them counts as critical \
                 by a namespace label: {}",
                names.join(", ")
            ));
        }
        self.output.print(&report, print_table)?;
        if !errors.is_empty() {
            return Err(Failure::Input(errors));
        }
        Ok(if report.summary.denied > 0 { Exit::Negative } else { Exit::Good })
    }
}

/// The report, and the namespaces it would have needed to know.
fn judge(
    manifests: &Manifests,
    mut cluster: Snapshot,
    policy: &Policy,
) -> (CheckReport, BTreeSet<String>) {
    manifests.apply_to(&mut cluster);
    let now = Timestamp::now();
    let mut unknown_namespaces = BTreeSet::new();
    let mut report = CheckReport { version: 1, summary: Summary::default(), findings: Vec::new() };
    for manifest in manifests.objects.iter().filter(|manifest| is_judged(manifest, policy)) {
        let subject = subject(manifest);
        let Outcome { verdict, missed, settled: _ } = decide(&subject, &cluster, policy, now);
        let missed = missed.keys.into_iter().filter(|key| key.kind == Kind::Namespace);
        unknown_namespaces.extend(missed.map(|key| key.name));
        report.summary.count(&verdict);
        report.findings.extend(
            FindingReport::all(&verdict)
                .into_iter()
                .map(|finding| FindingReport { source: Some(manifest.source.clone()), ..finding }),
        );
    }
    (report, unknown_namespaces)
}

fn is_judged(manifest: &Manifest, policy: &Policy) -> bool {
    let kind = manifest.object.kind();
    let mut reads = policy.rules.iter().flat_map(|rule| rule.reads(Gate::Inspection));
    reads.any(|reads| reads.kind == kind && reads.operations.contains(&Operation::Create))
}

/// A manifest is judged as the object it would create.
fn subject(manifest: &Manifest) -> Subject<'static> {
    let object = manifest.object.clone();
    let namespace = object.metadata().namespace.clone().unwrap_or_default();
    let change = Change::Create(object);
    Subject { gate: Gate::Inspection, change, namespace, user: "".into() }
}

impl Summary {
    fn count(&mut self, verdict: &Verdict) {
        let mut findings = verdict.findings.iter();
        self.objects += 1;
        self.denied += usize::from(verdict.effect() == Effect::Deny);
        self.warned += usize::from(verdict.effect() == Effect::Warn);
        self.unknown += usize::from(findings.any(|finding| finding.wrong.is_unknown()));
    }
}

fn print_table(output: &mut impl Write, report: &CheckReport) -> io::Result<()> {
    let CheckReport { version: _, summary, findings } = report;
    if !findings.is_empty() {
        let head = ["DECISION", "OBJECT", "SOURCE", "WHY"].map(str::to_owned);
        let rows: Vec<_> = findings.iter().map(row).collect();
        let widths: [usize; 3] = std::array::from_fn(|column| {
            let cells = rows.iter().chain([&head]).map(|row| row[column].chars().count());
            cells.max().unwrap_or_default()
        });
        print_row(output, &head, &widths, Style::new().bold())?;
        for row in &rows {
            print_row(output, row, &widths, style(&row[0]))?;
        }
    }
    let Summary { objects, denied, warned, unknown } = summary;
    writeln!(
        output,
        "objects judged: {objects}, denied: {denied}, warned: {warned}, with unknown storage: {unknown}"
    )
}

fn row(finding: &FindingReport) -> [String; 4] {
    let FindingReport { decision, kind, namespace, name, why, source, .. } = finding;
    let place = source.as_ref().map_or(String::new(), |at| format!("{}:{}", at.path, at.line));
    [(*decision).to_owned(), format!("{kind} {namespace}/{name}"), place, why.clone()]
}

fn print_row(
    output: &mut impl Write,
    [decision, object, place, why]: &[String; 4],
    [first, second, third]: &[usize; 3],
    style: Style,
) -> io::Result<()> {
    writeln!(output, "{style}{decision:first$}{style:#}  {object:second$}  {place:third$}  {why}")
}

fn style(decision: &str) -> Style {
    let color = match decision {
        "deny" => AnsiColor::Red,
        "warn" => AnsiColor::Yellow,
        _ => AnsiColor::Green,
    };
    color.on_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLASS: &str = "apiVersion: storage.k8s.io/v1\nkind: StorageClass\nmetadata: {name: nas}\nprovisioner: nfs.csi.k8s.io\n---\n";

    fn claim(class: &str) -> String {
        format!(
            "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {{name: data, labels: {{nfs-guard.io/critical: \"true\"}}}}\nspec: {{storageClassName: {class}}}\n"
        )
    }

    fn check(text: &str) -> CheckReport {
        let mut manifests = Manifests::default();
        manifests.read_text("m.yaml", text);
        judge(&manifests, Snapshot::complete(), &Policy::default()).0
    }

    #[test]
    fn manifests_see_each_other() {
        let report = check(&format!("{CLASS}{}", claim("nas")));
        assert_eq!(report.summary, Summary { objects: 1, denied: 1, warned: 0, unknown: 0 });
        assert_eq!(report.findings[0].source.as_ref().map(|at| at.line), Some(6));
    }

    #[test]
    fn without_the_class_the_storage_is_unknown_and_warned_about() {
        let report = check(&claim("nas"));
        assert_eq!(report.summary, Summary { objects: 1, denied: 0, warned: 1, unknown: 1 });
    }

    #[test]
    fn the_json_keeps_its_form() {
        let report = check(&format!("{CLASS}{}", claim("nas")));
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(
            json,
            serde_json::json!({
                "version": 1,
                "summary": {"objects": 1, "denied": 1, "warned": 0, "unknown": 0},
                "findings": [{
                    "rule": "critical-on-nfs",
                    "decision": "deny",
                    "kind": "PersistentVolumeClaim",
                    "namespace": "default",
                    "name": "data",
                    "volume": "data",
                    "backing": "nfs",
                    "chain": ["claim data", "StorageClass nas", "provisioner nfs.csi.k8s.io", "NFS"],
                    "critical": "it has the label nfs-guard.io/critical=true",
                    "exemption": null,
                    "field": "spec.storageClassName",
                    "message": "volume data ends up on NFS",
                    "source": {"path": "m.yaml", "line": 6},
                }],
            })
        );
    }
}
