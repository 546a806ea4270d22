//! Modes of rules per namespace, by label: raised above the configuration, never
//! lowered.

use crate::{
    config::Mode,
    facts::{Namespace, Object, StringMap},
    finding::{Effect, Finding, Wrong},
    policy::Policy,
    subject::{Change, Subject},
    terms::Terms,
};

/// What labels of modes begin with; the rule's name follows.
const PREFIX: &str = "nfs-guard.io/";

/// The mode of a rule in a namespace.
pub(crate) fn in_namespace(terms: Terms<'_>, rule: &str, mode: Mode, namespace: &str) -> Mode {
    // Nothing is above it, so that nobody has to look.
    if mode == Mode::Enforce || namespace.is_empty() {
        return mode;
    }
    let found = terms.resolver.namespace(namespace);
    let label = found.as_ref().and_then(|found| label(&found.metadata.labels, rule));
    label.and_then(read).map_or(mode, |raised| mode.max(raised))
}

/// What is to be told of the labels a write gives a namespace: each change of one,
/// for the record, and that one is no mode or raises nothing.
pub(crate) fn findings(subject: &Subject<'_>, policy: &Policy) -> Vec<Finding> {
    let (new, old) = match &subject.change {
        Change::Create(Object::Namespace(new)) => (new, None),
        Change::Update { new: Object::Namespace(new), old: Object::Namespace(old), .. } => {
            (new, Some(old))
        }
        _ => return Vec::new(),
    };
    let found = policy.rules.iter().filter_map(|rule| {
        let of = |namespace: &Namespace<'_>| {
            label(&namespace.metadata.labels, rule.name()).map(str::to_owned)
        };
        let (now, before) = (of(new), old.and_then(of));
        if now == before {
            return None;
        }
        let configured = rule.setting(&policy.settings).mode;
        let raises = |label: &str| read(label).is_some_and(|mode| mode > configured);
        let in_vain = now.as_deref().is_some_and(|label| !raises(label));
        Some(Finding {
            rule: rule.name(),
            effect: if in_vain { Effect::Warn } else { Effect::Audit },
            leniency: None,
            field: format!("metadata.labels[{PREFIX}{}]", rule.name()),
            wrong: Wrong::ModeChanged { before, now, in_vain },
        })
    });
    found.collect()
}

fn label<'l>(labels: &'l StringMap<'_>, rule: &str) -> Option<&'l str> {
    let mut labels = labels.iter();
    labels.find_map(|(key, value)| (key.strip_prefix(PREFIX)? == rule).then_some(value))
}

fn read(label: &str) -> Option<Mode> {
    match label {
        "enforce" => Some(Mode::Enforce),
        "warn" => Some(Mode::Warn),
        "audit" => Some(Mode::Audit),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
