use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, de};

use super::nullable;
use crate::text::{Reduce, Strings, Text};

/// kubectl's copy of the whole manifest; skipped, since it is as large as the
/// object and no rule reads it.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// The part of an object's metadata that a judgement reads.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Metadata<'a> {
    /// Name; empty on CREATE while `generateName` is still to be filled in.
    #[serde(borrow, deserialize_with = "nullable")]
    pub name: Text<'a>,
    /// Prefix of the name the apiserver will make up.
    #[serde(borrow)]
    pub generate_name: Option<Text<'a>>,
    /// Namespace; absent for cluster-scoped objects.
    #[serde(borrow)]
    pub namespace: Option<Text<'a>>,
    /// Identity that survives no re-creation.
    #[serde(borrow)]
    pub uid: Option<Text<'a>>,
    /// Version of the stored object; the watch needs it, no rule does.
    #[serde(borrow)]
    pub resource_version: ResourceVersion<'a>,
    /// Labels.
    #[serde(borrow, deserialize_with = "nullable")]
    pub labels: StringMap<'a>,
    /// Annotations, less kubectl's copy of the manifest.
    #[serde(borrow, deserialize_with = "nullable")]
    pub annotations: StringMap<'a>,
    /// Owners, of which at most one is the controller.
    #[serde(borrow, deserialize_with = "nullable")]
    pub owner_references: Vec<OwnerReference<'a>>,
    /// When the object came to be.
    #[serde(deserialize_with = "if_in_range")]
    pub creation_timestamp: Option<Timestamp>,
    /// When its deletion was asked for; set means the object is on its way out.
    #[serde(deserialize_with = "if_in_range")]
    pub deletion_timestamp: Option<Timestamp>,
}

impl Metadata<'_> {
    /// The name, or the prefix of it while the apiserver has yet to make it up.
    #[must_use]
    pub fn display_name(&self) -> &str {
        match &self.generate_name {
            Some(prefix) if self.name.is_empty() => prefix,
            _ => &self.name,
        }
    }
}

impl Metadata<'_> {
    /// Whether the object says that a controller made it and looks after it.
    #[must_use]
    pub fn is_controlled(&self) -> bool {
        self.controller().is_some()
    }
}

impl<'a> Metadata<'a> {
    /// The same with these annotations alone, of those it has. What is kept by the ten
    /// thousand is kept for being read.
    pub(super) fn with_annotations(mut self, read: &[&str]) -> Self {
        self.annotations.0.retain(|(key, _)| read.contains(&key.as_str()));
        self
    }

    /// The owner that the object says made it and looks after it.
    #[must_use]
    pub fn controller(&self) -> Option<&OwnerReference<'a>> {
        self.owner_references.iter().find(|owner| owner.controller == Some(true))
    }
}

/// Reads a time, or `None` where it is none. The apiserver sets those of an
/// object itself; those of a template anybody may write, and of the last hours of
/// the year 9999, which Go can tell, there is no [`Timestamp`].
pub(super) fn if_in_range<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Timestamp>, D::Error> {
    let text: Option<Text<'de>> = Option::deserialize(deserializer)?;
    Ok(text.and_then(|text| text.parse().ok()))
}

impl Reduce for Metadata<'_> {
    type Stored = Metadata<'static>;

    fn into_stored(self, strings: &mut Strings) -> Metadata<'static> {
        let Self {
            name,
            generate_name: _, // a stored object has its name
            namespace,
            uid,
            resource_version: _,
            labels,
            annotations,
            owner_references,
            creation_timestamp,
            deletion_timestamp,
        } = self;
        Metadata {
            name: name.into_stored(strings),
            generate_name: None,
            namespace: namespace.into_stored(strings),
            uid: uid.map(|uid| uid.to_shared()), // never shared by two objects
            resource_version: ResourceVersion::default(),
            labels: labels.into_stored(strings),
            annotations: annotations.into_stored(strings),
            owner_references: owner_references.into_stored(strings),
            creation_timestamp,
            deletion_timestamp,
        }
    }
}

/// `metadata.resourceVersion`. Two of them compare equal: they differ by every
/// write, and say nothing of what was written.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(transparent)]
pub struct ResourceVersion<'a>(#[serde(borrow)] pub Option<Text<'a>>);

impl PartialEq for ResourceVersion<'_> {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for ResourceVersion<'_> {}

/// One entry of `metadata.ownerReferences`. It is the object's own claim and
/// can be forged; only a user name says who really made something.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OwnerReference<'a> {
    /// Group and version, e.g. `apps/v1`.
    #[serde(borrow)]
    pub api_version: Text<'a>,
    /// Kind, e.g. `StatefulSet`.
    #[serde(borrow)]
    pub kind: Text<'a>,
    /// Name, in the same namespace.
    #[serde(borrow)]
    pub name: Text<'a>,
    /// Identity of the owner.
    #[serde(borrow)]
    pub uid: Text<'a>,
    /// Whether this owner manages the object.
    #[serde(default)]
    pub controller: Option<bool>,
}

impl Reduce for OwnerReference<'_> {
    type Stored = OwnerReference<'static>;

    fn into_stored(self, strings: &mut Strings) -> OwnerReference<'static> {
        let Self { api_version, kind, name, uid, controller } = self;
        OwnerReference {
            api_version: api_version.into_stored(strings),
            kind: kind.into_stored(strings),
            name: name.into_stored(strings),
            uid: uid.into_stored(strings),
            controller,
        }
    }
}

/// A small map of strings: labels, annotations, parameters, attributes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StringMap<'a>(Vec<(Text<'a>, Text<'a>)>);

impl StringMap<'_> {
    /// The value of `key`.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.iter().find(|(name, _)| *name == key).map(|(_, value)| value)
    }

    /// The value of `key` in whatever case it is written: drivers disagree
    /// about the case of their own parameters.
    #[must_use]
    pub fn get_ignore_case(&self, key: &str) -> Option<&str> {
        self.iter().find(|(name, _)| name.eq_ignore_ascii_case(key)).map(|(_, value)| value)
    }

    /// Takes over the entries of `other` whose keys are missing here.
    pub fn extend_missing(&mut self, other: &StringMap<'static>) {
        for (key, value) in &other.0 {
            if self.get(key).is_none() {
                self.0.push((key.clone(), value.clone()));
            }
        }
    }

    /// All entries, in the order they were written.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }
}

impl<'a, K: Into<Text<'a>>, V: Into<Text<'a>>> FromIterator<(K, V)> for StringMap<'a> {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        Self(entries.into_iter().map(|(key, value)| (key.into(), value.into())).collect())
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for StringMap<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl<'de> de::Visitor<'de> for Visitor {
            type Value = StringMap<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map of strings")
            }

            fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while let Some(key) = map.next_key::<Text<'de>>()? {
                    if key == *LAST_APPLIED {
                        map.next_value::<de::IgnoredAny>()?;
                    } else {
                        let value: Option<Text<'de>> = map.next_value()?;
                        entries.push((key, value.unwrap_or_default()));
                    }
                }
                Ok(StringMap(entries))
            }
        }

        deserializer.deserialize_map(Visitor)
    }
}

impl Reduce for StringMap<'_> {
    type Stored = StringMap<'static>;

    fn into_stored(self, strings: &mut Strings) -> StringMap<'static> {
        let entries = self.0.into_iter();
        let mut entries: Vec<_> = entries
            .map(|(key, value)| (key.into_stored(strings), value.into_stored(strings)))
            .collect();
        entries.shrink_to_fit();
        StringMap(entries)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_that_nobody_can_tell_keeps_no_object_from_being_read() {
        for (json, expected) in [
            (r#""2026-04-22T09:00:00Z""#, Some("2026-04-22T09:00:00Z")),
            ("null", None),
            (r#""9999-12-31T23:59:59Z""#, None),
        ] {
            let json = format!(r#"{{"creationTimestamp": {json}, "deletionTimestamp": {json}}}"#);
            let metadata: Metadata<'_> = serde_json::from_str(&json).unwrap();
            let expected = expected.map(|text| text.parse().unwrap());
            assert_eq!(
                (metadata.creation_timestamp, metadata.deletion_timestamp),
                (expected, expected),
                "{json}"
            );
        }
    }

    #[test]
    fn a_label_without_a_value_is_an_empty_one() {
        let labels: StringMap<'_> = serde_json::from_str(r#"{"a": null, "b": "c"}"#).unwrap();
        assert_eq!(
            (labels.get("a"), labels.get("b"), labels.get("c")),
            (Some(""), Some("c"), None)
        );
    }
}
