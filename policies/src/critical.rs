//! Whether a subject is critical, and why.

use std::fmt;

use crate::{
    facts::{Metadata, Object, WorkloadKind},
    policy::Policy,
    resolve::Resolver,
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
        }
    }
}

/// Why an object of that namespace is critical, if it is. The first reason
/// found is told; the namespace's labels come last, as only they may need a
/// look-up.
pub(crate) fn why(
    object: &Object<'_>,
    namespace: &str,
    policy: &Policy,
    resolver: &Resolver<'_>,
) -> Option<Criticality> {
    let critical = &policy.critical;
    let by_label = |metadata: &Metadata<'_>| {
        let mut selectors = critical.object_selectors.iter();
        selectors.find(|selector| selector.matches(&metadata.labels)).map(ToString::to_string)
    };

    if let Some(selector) = by_label(object.metadata()) {
        return Some(Criticality::ObjectLabel(selector));
    }
    if let Object::Workload(workload) = object {
        if let Some(selector) = by_label(&workload.template.metadata) {
            return Some(Criticality::TemplateLabel(selector));
        }
        if let Some(selector) = workload.job_metadata.as_ref().and_then(by_label) {
            return Some(Criticality::JobLabel(selector));
        }
        let class = workload.template.spec.priority_class_name.as_deref();
        if let Some(class) =
            class.filter(|class| critical.priority_classes.iter().any(|glob| glob.matches(class)))
        {
            return Some(match workload.kind {
                WorkloadKind::Pod => Criticality::PriorityClass(class.into()),
                _ => Criticality::PodPriorityClass(class.into()),
            });
        }
    }
    if namespace.is_empty() {
        return None;
    }
    if critical.namespaces.iter().any(|glob| glob.matches(namespace)) {
        return Some(Criticality::NamespaceName(namespace.into()));
    }
    if critical.namespace_selectors.is_empty() {
        return None;
    }
    let labels = &resolver.namespace(namespace)?.metadata.labels;
    let mut selectors = critical.namespace_selectors.iter();
    selectors.find(|selector| selector.matches(labels)).map(|selector| {
        Criticality::NamespaceLabel { namespace: namespace.into(), selector: selector.to_string() }
    })
}
