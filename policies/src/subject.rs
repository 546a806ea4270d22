//! What is judged: a write, or an object as it stands.

use std::fmt;

use crate::{facts::Object, text::Text, texts::Texts, verdict::SubjectName};

/// A write under judgement.
#[derive(Clone, Debug)]
pub struct Subject<'a> {
    /// Who asks about it.
    pub gate: Gate,
    /// What is written.
    pub change: Change<'a>,
    /// Namespace it is written to; empty for cluster-scoped kinds. The request
    /// says so, an object may leave it out.
    pub namespace: Text<'a>,
    /// Name of the user who writes it; empty when nobody does, as in a file.
    pub user: Text<'a>,
}

impl<'a> Subject<'a> {
    /// The object as it will be, or as it was before it goes.
    #[must_use]
    pub fn object(&self) -> &Object<'a> {
        match &self.change {
            Change::Create(object)
            | Change::Update { new: object, .. }
            | Change::Delete(object)
            | Change::Standing(object) => object,
        }
    }

    /// What it is called.
    #[must_use]
    pub fn name(&self) -> SubjectName {
        SubjectName::of(self.object(), &self.namespace)
    }
}

/// Where a subject is judged, and so what can be done about what is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Gate {
    /// On its way to be stored, when it can still be changed.
    Mutating,
    /// On its way to be stored, in the form it will have.
    Validating,
    /// In a file or in a cluster, by somebody who wants to know.
    Inspection,
}

impl Gate {
    /// The name used in output.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Mutating => "mutating",
            Self::Validating => "validating",
            Self::Inspection => "inspection",
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
        /// Both, as they came.
        texts: Texts<'a>,
    },
    /// An object that goes.
    Delete(Object<'a>),
    /// None: an object of a cluster as it stands, which nobody writes.
    Standing(Object<'a>),
}

impl Change<'_> {
    /// The operation it comes from. What stands is asked about as if it were to be
    /// created.
    #[must_use]
    pub fn operation(&self) -> Operation {
        match self {
            Self::Create(_) | Self::Standing(_) => Operation::Create,
            Self::Update { .. } => Operation::Update,
            Self::Delete(_) => Operation::Delete,
        }
    }

    /// Whether it changes nothing that any rule reads: finalizers, status, or
    /// anything else that facts leave out.
    pub(crate) fn is_unread(&self) -> bool {
        match self {
            Self::Update { new: Object::Volume(new), old: Object::Volume(old), .. } => {
                // Its phase is read, and written with its status alone.
                new.metadata == old.metadata && new.spec == old.spec
            }
            Self::Update { new, old, .. } => new == old,
            Self::Create(_) | Self::Delete(_) | Self::Standing(_) => false,
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
    /// An object that goes.
    Delete,
}

impl Operation {
    /// The name used in reviews and webhook rules.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "CREATE",
            Self::Update => "UPDATE",
            Self::Delete => "DELETE",
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
