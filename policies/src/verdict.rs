//! What a judgement comes to, and how it is told.

use std::fmt::Write as _;

use crate::{
    backing::{Kind, Resolved},
    critical::Criticality,
    facts,
    finding::{Amendment, Effect, Finding, Wrong},
};

/// Length of a warning, in characters, beyond which the apiserver may cut it
/// (`kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/#response`).
pub const WARNING_LENGTH: usize = 120;

/// Most findings that are told one by one to whoever made the write. The
/// apiserver takes 4096 characters of warnings in all (`recorder.go` of
/// `apiserver/pkg/warning`), and nobody reads further.
pub const MOST_TOLD: usize = 20;

/// The answer about one subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// What was judged.
    pub subject: SubjectName,
    /// Why nothing was judged, if so.
    pub unjudged: Option<Unjudged>,
    /// Why the subject is critical, if it is.
    pub critical: Option<Criticality>,
    /// Whether the write takes away what made the subject critical.
    pub sheds_criticality: bool,
    /// What the rules found.
    pub findings: Vec<Finding>,
}

/// Name of a subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubjectName {
    /// Its kind.
    pub kind: facts::Kind,
    /// Its namespace; empty for cluster-scoped kinds.
    pub namespace: String,
    /// Its name, or the prefix of the name it will get.
    pub name: String,
}

impl SubjectName {
    /// The name of an object of that namespace.
    #[must_use]
    pub fn of(object: &facts::Object<'_>, namespace: &str) -> Self {
        Self {
            kind: object.kind(),
            namespace: namespace.to_owned(),
            name: object.metadata().display_name().to_owned(),
        }
    }
}

impl std::fmt::Display for SubjectName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { kind, namespace, name } = self;
        if namespace.is_empty() {
            write!(f, "{kind} {name}")
        } else {
            write!(f, "{kind} {namespace}/{name}")
        }
    }
}

/// Why a subject is allowed without being judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unjudged {
    /// It is on its way out; holding it up would only wedge it.
    BeingDeleted,
    /// Its namespace is excluded by configuration.
    ExcludedNamespace,
    /// It is a kubelet's image of a static pod, which runs whatever is said here.
    MirrorPod,
}

/// A denial, as the apiserver hands it on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// The whole message, several lines.
    pub message: String,
    /// The fields at fault: path and message.
    pub causes: Vec<(String, String)>,
}

impl Verdict {
    pub(crate) fn unjudged(subject: SubjectName, unjudged: Unjudged) -> Self {
        Self {
            subject,
            unjudged: Some(unjudged),
            critical: None,
            sheds_criticality: false,
            findings: Vec::new(),
        }
    }

    /// The strongest of the findings' effects.
    #[must_use]
    pub fn effect(&self) -> Effect {
        let findings = self.findings.iter().map(|finding| finding.effect);
        let shed = self.sheds_criticality.then_some(Effect::Warn);
        findings.chain(shed).max().unwrap_or(Effect::Allow)
    }

    /// What is changed about the subject.
    pub fn amendments(&self) -> impl Iterator<Item = &Amendment> {
        let patched = self.findings.iter().filter(|finding| finding.effect == Effect::Patch);
        patched.filter_map(|finding| finding.wrong.amendment())
    }

    /// The warnings for whoever made the write, each no longer than
    /// [`WARNING_LENGTH`].
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if let Some(critical) = self.critical.as_ref().filter(|_| self.sheds_criticality) {
            warnings.push(clip(&format!(
                "nfs-guard: no longer critical after this change: was so because {critical}"
            )));
        }
        let told = |finding: &&Finding| {
            let excused = finding.leniency.is_some();
            matches!(finding.effect, Effect::Warn | Effect::Patch) || excused
        };
        let findings = self.findings.iter().filter(told);
        let shown = findings.clone().take(MOST_TOLD);
        warnings
            .extend(shown.map(|finding| clip(&format!("{}: {}", finding.rule, finding.message()))));
        if let Some(more @ 1..) = findings.count().checked_sub(MOST_TOLD) {
            warnings.push(format!("nfs-guard: and {more} more like these"));
        }
        warnings
    }

    /// The denial, if the verdict is one.
    #[must_use]
    pub fn denial(&self) -> Option<Denial> {
        let denied: Vec<_> =
            self.findings.iter().filter(|finding| finding.effect == Effect::Deny).collect();
        let rule = denied.first()?.rule;
        let causes = denied.iter().take(MOST_TOLD).map(|finding| {
            let message = finding.wrong.volume().map(|(_, resolved)| resolved.to_string());
            (finding.field.clone(), message.unwrap_or_else(|| finding.message()))
        });
        Some(Denial { message: self.denial_message(rule, &denied), causes: causes.collect() })
    }

    fn denial_message(&self, rule: &str, denied: &[&Finding]) -> String {
        let mut message = self.denial_head(rule, denied);
        for finding in denied.iter().take(MOST_TOLD) {
            let Some((_, resolved)) = finding.wrong.volume() else { continue };
            let _ = match &finding.wrong {
                Wrong::Turned { other, .. } => writeln!(message, "  {other}: {resolved}"),
                _ => writeln!(message, "  {resolved}"),
            };
        }
        if let Some(more @ 1..) = denied.len().checked_sub(MOST_TOLD) {
            let _ = writeln!(message, "  and {more} more");
        }
        if let Some(critical) = &self.critical {
            let when = if self.sheds_criticality { "Before this change, it" } else { "It" };
            let _ = writeln!(message, "{when} is critical because {critical}.");
        }
        if let Some(classes) = classes_for_all(denied) {
            let _ = match &classes[..] {
                [] => writeln!(message, "No StorageClass of this cluster would pass."),
                classes => {
                    writeln!(message, "StorageClasses here that pass: {}.", shortened(classes))
                }
            };
        }
        message.push_str(
            "Does it have to be this storage? Ask whoever runs nfs-guard in this cluster for a \
             StorageExemption.",
        );
        message
    }

    /// What is denied, in one line.
    fn denial_head(&self, rule: &str, denied: &[&Finding]) -> String {
        let Self { subject, .. } = self;
        let on_nfs = resolved(denied).all(|resolved| resolved.backing.kind() == Kind::Nfs);
        let storage = if on_nfs { "NFS" } else { "storage that is forbidden or not known" };
        match (subject.kind, denied.len()) {
            (facts::Kind::Claim, _) => {
                format!("{rule}: {subject} is critical, and ends up on {storage}:\n")
            }
            (facts::Kind::Workload(_), 1) => {
                format!(
                    "{rule}: {subject} is critical, and 1 of its volumes ends up on {storage}:\n"
                )
            }
            (facts::Kind::Workload(_), several) => format!(
                "{rule}: {subject} is critical, and {several} of its volumes end up on {storage}:\n"
            ),
            _ if denied.iter().any(|finding| matches!(finding.wrong, Wrong::Turned { .. })) => {
                format!("{rule}: {subject} would turn to {storage} what is critical:\n")
            }
            _ => format!("{rule}: {subject} would put a critical claim on {storage}:\n"),
        }
    }
}

fn resolved<'f>(findings: &[&'f Finding]) -> impl Iterator<Item = &'f Resolved> {
    findings.iter().filter_map(|finding| finding.wrong.volume()).map(|(_, resolved)| resolved)
}

/// The classes that would pass for every finding that a class decides.
fn classes_for_all(denied: &[&Finding]) -> Option<Vec<String>> {
    let mut lists = denied.iter().filter_map(|finding| match &finding.wrong {
        Wrong::Storage { passing_classes, .. } => passing_classes.as_ref(),
        _ => None,
    });
    let first = lists.next()?.clone();
    Some(lists.fold(first, |mut all, list| {
        all.retain(|class| list.contains(class));
        all
    }))
}

/// A list of names, no longer than a message can bear.
fn shortened(names: &[String]) -> String {
    const MOST: usize = 5;
    match names.len().checked_sub(MOST) {
        None | Some(0) => names.join(", "),
        Some(more) => format!("{} and {more} more", names[..MOST].join(", ")),
    }
}

fn clip(warning: &str) -> String {
    match warning.char_indices().nth(WARNING_LENGTH - 1) {
        Some((at, _)) if warning.chars().count() > WARNING_LENGTH => format!("{}…", &warning[..at]),
        _ => warning.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_warning_is_cut_at_a_character_not_inside_one() {
        let long = "ä".repeat(WARNING_LENGTH + 1);
        assert_eq!(clip(&long).chars().count(), WARNING_LENGTH);
        let fits = "ä".repeat(WARNING_LENGTH);
        assert_eq!(clip(&fits), fits);
    }
}
