use jiff::Timestamp;
use serde::Deserialize;

use super::{Metadata, metadata::if_in_range, nullable};
use crate::{
    glob::Glob,
    text::{Reduce, Strings, Text},
};

/// A `StorageExemption`: leave for one workload, or one claim, to be where a rule
/// forbids it, until a day.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Exemption<'a> {
    /// Name and namespace; it counts in its own namespace only.
    #[serde(borrow, deserialize_with = "nullable")]
    pub metadata: Metadata<'a>,
    /// What is exempt, and for how long.
    #[serde(borrow, deserialize_with = "nullable")]
    pub spec: ExemptionSpec<'a>,
}

/// `spec` of an exemption.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ExemptionSpec<'a> {
    /// What is exempt.
    #[serde(borrow, deserialize_with = "nullable")]
    pub target: ExemptionTarget<'a>,
    /// The rules it is exempt from, by name.
    #[serde(borrow, deserialize_with = "nullable")]
    pub rules: Vec<Text<'a>>,
    /// Where the reason was agreed on.
    #[serde(borrow)]
    pub ticket: Option<Text<'a>>,
    /// When it ends. One that cannot be read has ended.
    #[serde(deserialize_with = "if_in_range")]
    pub expires_at: Option<Timestamp>,
}

/// `spec.target` of an exemption.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct ExemptionTarget<'a> {
    /// Kind of the workload, or `PersistentVolumeClaim`.
    #[serde(borrow, deserialize_with = "nullable")]
    pub kind: Text<'a>,
    /// Its name; takes globs.
    #[serde(deserialize_with = "nullable")]
    pub name: Glob,
    /// The volumes that are exempt, as the pod calls them or by the claim it mounts;
    /// take globs. None named means all.
    #[serde(deserialize_with = "nullable")]
    pub volumes: Vec<Glob>,
}

impl Reduce for Exemption<'_> {
    type Stored = Exemption<'static>;

    fn into_stored(self, strings: &mut Strings) -> Exemption<'static> {
        let Self { metadata, spec } = self;
        let ExemptionSpec { target, rules, ticket, expires_at } = spec;
        let ExemptionTarget { kind, name, volumes } = target;
        Exemption {
            metadata: metadata.into_stored(strings),
            spec: ExemptionSpec {
                target: ExemptionTarget { kind: kind.into_stored(strings), name, volumes },
                rules: rules.into_stored(strings),
                ticket: ticket.into_stored(strings),
                expires_at,
            },
        }
    }
}
