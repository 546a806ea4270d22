//! Whether a subject is critical, and why.

use std::fmt;

use crate::{
    excuse,
    facts::{Claim, Kind, Metadata, Namespace, Object, Workload, WorkloadKind},
    policy::Policy,
    terms::{Asked, Terms},
};

/// Why a subject is critical.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Criticality {
    /// A label of the object itself.
    ObjectLabel(String),
    /// A label of the pods it makes.
    TemplateLabel(String),
    /// A label of the jobs it makes.
    JobLabel(String),
    /// The priority class of the pods it makes.
    PodPriorityClass(String),
    /// Its own priority class.
    PriorityClass(String),
    /// The name of its namespace.
    NamespaceName(String),
    /// A label of its namespace.
    NamespaceLabel {
        /// The namespace.
        namespace: String,
        /// The selector that chose it.
        selector: String,
    },
    /// Another object that is, and that it belongs to.
    Inherited {
        /// What the other has to do with it.
        relation: Relation,
        /// Kind of the other.
        kind: Kind,
        /// Name of the other, in the same namespace.
        name: String,
        /// Why that is critical.
        why: Box<Self>,
    },
}

/// What one object has to do with another that is critical.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    /// The other makes it.
    MadeBy,
    /// The other uses it.
    UsedBy,
    /// It is promised to the other.
    PromisedTo,
}

impl fmt::Display for Criticality {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ObjectLabel(selector) => write!(f, "it has the label {selector}"),
            Self::TemplateLabel(selector) => write!(f, "its pods have the label {selector}"),
            Self::JobLabel(selector) => write!(f, "its jobs have the label {selector}"),
            Self::PodPriorityClass(name) => {
                write!(f, "its pods have the priority class {name}")
            }
            Self::PriorityClass(name) => write!(f, "it has the priority class {name}"),
            Self::NamespaceName(name) => write!(f, "namespace {name} is configured as critical"),
            Self::NamespaceLabel { namespace, selector } => {
                write!(f, "namespace {namespace} has the label {selector}")
            }
            Self::Inherited { relation, kind, name, why } => {
                let relation = match relation {
                    Relation::MadeBy => "which makes it",
                    Relation::UsedBy => "which uses it",
                    Relation::PromisedTo => "which it is promised to",
                };
                write!(f, "{kind} {name}, {relation}, is critical: {why}")
            }
        }
    }
}

/// Why an object is critical, if it is. The first reason found is told; what needs
/// a look at other objects comes last.
pub(crate) fn why(terms: Terms<'_>, asked: Asked<'_>) -> Option<Criticality> {
    match asked.object {
        Object::Workload(workload) => of_workload(terms, asked, workload),
        Object::Claim(claim) => {
            of_claim(terms, asked.namespace, claim.metadata.display_name(), Some(claim))
        }
        Object::Volume(volume) => {
            let claim = volume.spec.claim_ref.as_ref()?;
            let (namespace, name) = (&claim.namespace, &claim.name);
            let facts = terms.resolver.claim_called(namespace, name);
            let why = of_claim(terms, namespace, name, facts.as_deref())?;
            Some(inherited(Relation::PromisedTo, Kind::Claim, name, why))
        }
        Object::Namespace(namespace) => {
            let by_name = by_namespace_name(terms.policy, &namespace.metadata.name);
            by_name.or_else(|| by_namespace_labels(terms.policy, namespace))
        }
        Object::Class(_) | Object::CsiDriver(_) | Object::Exemption(_) => None,
    }
}

fn of_workload(terms: Terms<'_>, asked: Asked<'_>, workload: &Workload<'_>) -> Option<Criticality> {
    if excuse::excepts_workload(terms, asked, workload) {
        return None;
    }
    let own = by_itself(terms.policy, &workload.metadata, Some(workload));
    if let Some(own) = own.or_else(|| by_namespace(terms, asked.namespace)) {
        return Some(own);
    }
    // Who has no volume that lasts is asked nothing more.
    if !workload.has_persistent_volumes() {
        return None;
    }
    let owners = terms.resolver.owners(asked.namespace, &workload.metadata);
    owners.chain.iter().find_map(|owner| {
        let why = by_itself(terms.policy, &owner.metadata, Some(owner))?;
        let kind = Kind::Workload(owner.kind);
        Some(inherited(Relation::MadeBy, kind, &owner.metadata.name, why))
    })
}

/// A claim is critical by itself, or for the sake of whoever uses it: a label that
/// makes a set critical does not reach the claims it makes.
fn of_claim(
    terms: Terms<'_>,
    namespace: &str,
    name: &str,
    claim: Option<&Claim<'_>>,
) -> Option<Criticality> {
    // What is excepted is not critical for its own sake, only for that of others.
    if !excuse::excepts_claim(terms.policy, name) {
        let own = claim.and_then(|claim| by_itself(terms.policy, &claim.metadata, None));
        if let Some(own) = own.or_else(|| by_namespace(terms, namespace)) {
            return Some(own);
        }
    }
    critical_consumers(terms, namespace, name).next().map(|(consumer, why)| {
        let (kind, name) = (consumer.kind(), &consumer.metadata().name);
        inherited(Relation::UsedBy, kind, name, why)
    })
}

/// The critical workloads that use a claim, but for those that are excepted with it.
pub(crate) fn critical_consumers<'t>(
    terms: Terms<'t>,
    namespace: &'t str,
    claim: &'t str,
) -> impl Iterator<Item = (Object<'static>, Criticality)> + 't {
    let consumers = terms.resolver.consumers(namespace, claim).into_iter();
    consumers.filter_map(move |consumer| {
        let object = Object::Workload((*consumer).clone());
        let asked = Asked { object: &object, namespace, owner_is_maker: true };
        let why = of_workload(terms, asked, &consumer)?;
        let excepted = excuse::exception(terms, asked, claim).is_some();
        (!excepted).then_some((object, why))
    })
}

/// Why an object is critical by what it says itself.
fn by_itself(
    policy: &Policy,
    metadata: &Metadata<'_>,
    workload: Option<&Workload<'_>>,
) -> Option<Criticality> {
    let critical = &policy.critical;
    let by_label = |metadata: &Metadata<'_>| {
        let mut selectors = critical.object_selectors.iter();
        selectors.find(|selector| selector.matches(&metadata.labels)).map(ToString::to_string)
    };
    if let Some(selector) = by_label(metadata) {
        return Some(Criticality::ObjectLabel(selector));
    }
    let workload = workload?;
    if let Some(selector) = by_label(&workload.template.metadata) {
        return Some(Criticality::TemplateLabel(selector));
    }
    if let Some(selector) = workload.job_metadata.as_ref().and_then(by_label) {
        return Some(Criticality::JobLabel(selector));
    }
    let class = workload.template.spec.priority_class_name.as_deref()?;
    let is_critical = critical.priority_classes.iter().any(|glob| glob.matches(class));
    is_critical.then(|| match workload.kind {
        WorkloadKind::Pod => Criticality::PriorityClass(class.into()),
        _ => Criticality::PodPriorityClass(class.into()),
    })
}

/// By the namespace's name, and then by its labels, which may need a look-up.
fn by_namespace(terms: Terms<'_>, name: &str) -> Option<Criticality> {
    by_namespace_name(terms.policy, name).or_else(|| {
        if name.is_empty() || terms.policy.critical.namespace_selectors.is_empty() {
            return None;
        }
        by_namespace_labels(terms.policy, &*terms.resolver.namespace(name)?)
    })
}

fn by_namespace_name(policy: &Policy, name: &str) -> Option<Criticality> {
    let mut globs = policy.critical.namespaces.iter();
    let is_named = !name.is_empty() && globs.any(|glob| glob.matches(name));
    is_named.then(|| Criticality::NamespaceName(name.into()))
}

fn by_namespace_labels(policy: &Policy, namespace: &Namespace<'_>) -> Option<Criticality> {
    let Metadata { name, labels, .. } = &namespace.metadata;
    let mut selectors = policy.critical.namespace_selectors.iter();
    selectors.find(|selector| selector.matches(labels)).map(|selector| {
        let namespace = name.to_string();
        Criticality::NamespaceLabel { namespace, selector: selector.to_string() }
    })
}

fn inherited(relation: Relation, kind: Kind, name: &str, why: Criticality) -> Criticality {
    Criticality::Inherited { relation, kind, name: name.into(), why: Box::new(why) }
}

#[cfg(test)]
mod tests;
