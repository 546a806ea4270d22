//! Kubernetes label selectors.

use std::{collections::BTreeMap, fmt};

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

use crate::facts::{StringMap, known, nullable};

/// A Kubernetes `LabelSelector`: every requirement must hold, so that an empty
/// one selects everything. One the apiserver would refuse selects nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "StoredSelector", into = "ConfiguredSelector")]
pub struct LabelSelector {
    requirements: Vec<Requirement>,
}

impl LabelSelector {
    /// Selects objects whose label `key` has that value.
    #[must_use]
    pub fn label(key: &str, value: &str) -> Self {
        let requirement =
            Requirement { key: key.into(), operator: Operator::In, values: vec![value.into()] };
        Self { requirements: vec![requirement] }
    }

    /// Whether an object with these labels is selected.
    #[must_use]
    pub fn matches(&self, labels: &StringMap<'_>) -> bool {
        self.requirements.iter().all(|requirement| requirement.holds(labels))
    }
}

impl fmt::Display for LabelSelector {
    /// As `kubectl get -l` takes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, Requirement { key, operator, values }) in self.requirements.iter().enumerate() {
            f.write_str(if n == 0 { "" } else { "," })?;
            match (operator, &values[..]) {
                (Operator::In, [value]) => write!(f, "{key}={value}"),
                (Operator::NotIn, [value]) => write!(f, "{key}!={value}"),
                (Operator::In, values) => write!(f, "{key} in ({})", values.join(",")),
                (Operator::NotIn, values) => write!(f, "{key} notin ({})", values.join(",")),
                (Operator::Exists, _) => f.write_str(key),
                (Operator::DoesNotExist, _) => write!(f, "!{key}"),
            }?;
        }
        Ok(())
    }
}

/// A requirement on one label. As in Kubernetes, a label that is absent is
/// `NotIn` every list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Requirement {
    /// Key of the label.
    key: String,
    /// How the label's value relates to `values`.
    operator: Operator,
    /// At least one for `In` and `NotIn`, none for `Exists` and `DoesNotExist`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    values: Vec<String>,
}

impl Requirement {
    // As `labels.Requirement.Matches` of apimachinery: an absent label is
    // "not in" every set.
    fn holds(&self, labels: &StringMap<'_>) -> bool {
        let label = labels.get(&self.key);
        let listed = label.is_some_and(|label| self.values.iter().any(|value| value == label));
        match self.operator {
            Operator::In => listed,
            Operator::NotIn => !listed,
            Operator::Exists => label.is_some(),
            Operator::DoesNotExist => label.is_none(),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
enum Operator {
    In,
    NotIn,
    Exists,
    DoesNotExist,
}

impl Operator {
    fn takes_values(self) -> bool {
        matches!(self, Self::In | Self::NotIn)
    }
}

/// A selector as an object of the cluster holds it.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct StoredSelector {
    #[serde(deserialize_with = "nullable")]
    match_labels: BTreeMap<String, String>,
    #[serde(deserialize_with = "nullable")]
    match_expressions: Vec<StoredRequirement>,
}

#[derive(Deserialize)]
struct StoredRequirement {
    #[serde(default)]
    key: String,
    #[serde(default)]
    operator: String,
    #[serde(default, deserialize_with = "nullable")]
    values: Vec<String>,
}

impl From<StoredSelector> for LabelSelector {
    fn from(StoredSelector { match_labels, match_expressions }: StoredSelector) -> Self {
        let expressions = match_expressions.into_iter().map(|stored| {
            let StoredRequirement { key, operator, values } = stored;
            match known::<Operator>(&operator) {
                Some(operator) if operator.takes_values() != values.is_empty() => {
                    Requirement { key, operator, values }
                }
                _ => Requirement { key, operator: Operator::In, values: Vec::new() },
            }
        });
        Self { requirements: equal(match_labels).chain(expressions).collect() }
    }
}

fn equal(match_labels: BTreeMap<String, String>) -> impl Iterator<Item = Requirement> {
    match_labels.into_iter().map(|(key, value)| Requirement {
        key,
        operator: Operator::In,
        values: vec![value],
    })
}

/// Reads the selectors of a configuration, where whatever is odd is a mistake.
pub(crate) fn configured<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<LabelSelector>, D::Error> {
    let configured: Vec<Configured> = Vec::deserialize(deserializer)?;
    Ok(configured.into_iter().map(|Configured(selector)| selector).collect())
}

#[derive(Deserialize)]
#[serde(try_from = "ConfiguredSelector")]
struct Configured(LabelSelector);

/// A Kubernetes label selector: every requirement must hold. An empty one is
/// refused: in Kubernetes it selects everything, which here would be a slip of
/// the pen.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "LabelSelector")]
pub(crate) struct ConfiguredSelector {
    /// Labels that must have exactly these values.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    match_labels: BTreeMap<String, String>,
    /// Further requirements on labels.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    match_expressions: Vec<Requirement>,
}

impl From<LabelSelector> for ConfiguredSelector {
    fn from(selector: LabelSelector) -> Self {
        let mut configured = Self { match_labels: BTreeMap::new(), match_expressions: Vec::new() };
        for requirement in selector.requirements {
            match (requirement.operator, &requirement.values[..]) {
                (Operator::In, [value])
                    if !configured.match_labels.contains_key(&requirement.key) =>
                {
                    configured.match_labels.insert(requirement.key, value.clone());
                }
                _ => configured.match_expressions.push(requirement),
            }
        }
        configured
    }
}

impl TryFrom<ConfiguredSelector> for Configured {
    type Error = String;

    fn try_from(configured: ConfiguredSelector) -> Result<Self, String> {
        let ConfiguredSelector { match_labels, match_expressions } = configured;
        for Requirement { key, operator, values } in &match_expressions {
            if operator.takes_values() == values.is_empty() {
                let wants =
                    if operator.takes_values() { "at least one value" } else { "no values" };
                return Err(format!("label selector on {key}: {operator:?} takes {wants}"));
            }
        }
        let requirements: Vec<_> = equal(match_labels).chain(match_expressions).collect();
        // An empty selector selects everything in Kubernetes; here that would
        // make all of a cluster critical by a slip of the pen.
        if requirements.is_empty() {
            return Err(
                "an empty label selector would select everything; to make every namespace \
                        critical, write namespaces: [\"*\"]"
                    .into(),
            );
        }
        Ok(Self(LabelSelector { requirements }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selects_as_kubernetes_does() {
        let labels: StringMap<'_> = [("tier", "db"), ("app", "vault")].into_iter().collect();
        for (json, expected, shown) in [
            (r#"{"matchLabels": {"tier": "db"}}"#, true, "tier=db"),
            (r#"{"matchLabels": {"tier": "web"}}"#, false, "tier=web"),
            (
                r#"{"matchLabels": {"app": "vault"}, "matchExpressions":
                   [{"key": "tier", "operator": "In", "values": ["db", "queue"]}]}"#,
                true,
                "app=vault,tier in (db,queue)",
            ),
            (
                r#"{"matchExpressions": [{"key": "tier", "operator": "NotIn", "values": ["db"]}]}"#,
                false,
                "tier!=db",
            ),
            (
                r#"{"matchExpressions": [{"key": "x", "operator": "NotIn", "values": ["db"]}]}"#,
                true,
                "x!=db",
            ),
            (r#"{"matchExpressions": [{"key": "x", "operator": "Exists"}]}"#, false, "x"),
            (r#"{"matchExpressions": [{"key": "x", "operator": "DoesNotExist"}]}"#, true, "!x"),
        ] {
            let stored: LabelSelector = serde_json::from_str(json).unwrap();
            let Configured(configured) = serde_json::from_str(json).unwrap();
            assert_eq!(stored, configured, "{json}");
            assert_eq!(stored.matches(&labels), expected, "{json}");
            assert_eq!(stored.to_string(), shown, "{json}");
        }
    }

    #[test]
    fn in_an_object_an_empty_selector_selects_everything_and_a_broken_one_nothing() {
        let labels: StringMap<'_> = [("tier", "db")].into_iter().collect();
        for (json, expected) in [
            ("{}", true),
            (r#"{"matchLabels": null, "matchExpressions": null}"#, true),
            (r#"{"matchLabel": {"a": "b"}}"#, true),
            (r#"{"matchExpressions": [{"key": "tier", "operator": "In"}]}"#, false),
            (r#"{"matchExpressions": [{"key": "x", "operator": "NotIn", "values": null}]}"#, false),
            (
                r#"{"matchExpressions": [{"key": "tier", "operator": "Exists", "values": ["db"]}]}"#,
                false,
            ),
            (
                r#"{"matchExpressions": [{"key": "tier", "operator": "Equals", "values": ["db"]}]}"#,
                false,
            ),
            (r#"{"matchExpressions": [{}]}"#, false),
        ] {
            let selector: LabelSelector = serde_json::from_str(json).unwrap();
            assert_eq!(selector.matches(&labels), expected, "{json}");
        }
    }

    #[test]
    fn a_configuration_refuses_what_the_apiserver_would_and_what_selects_everything() {
        for json in [
            "{}",
            r#"{"matchExpressions": [{"key": "x", "operator": "In"}]}"#,
            r#"{"matchExpressions": [{"key": "x", "operator": "Exists", "values": ["a"]}]}"#,
            r#"{"matchExpressions": [{"key": "x", "operator": "Equals", "values": ["a"]}]}"#,
            r#"{"matchLabel": {"a": "b"}}"#,
        ] {
            assert!(serde_json::from_str::<Configured>(json).is_err(), "{json}");
        }
    }
}
