//! A write to the sub-resource `scale`. The apiserver sends how many replicas a
//! workload is to have, and nothing else of it: no template, no labels.

use nfs_guard_policies::{
    Change, Gate, Key, Subject, Texts,
    facts::{Kind, Object, Workload, WorkloadKind},
    text::Text,
};
use serde::Deserialize;

use crate::{fault::Fault, manifest};

/// A workload that is given another number of replicas.
#[derive(Debug)]
pub(crate) struct Scale<'a> {
    pub(super) gate: Gate,
    pub(super) kind: WorkloadKind,
    pub(super) namespace: Text<'a>,
    pub(super) user: Text<'a>,
    pub(super) from: Replicas<'a>,
    pub(super) to: Replicas<'a>,
}

impl<'a> Scale<'a> {
    /// The workload's kind.
    pub(crate) fn kind(&self) -> WorkloadKind {
        self.kind
    }

    /// The workload.
    pub(crate) fn workload(&self) -> Key {
        Key {
            kind: Kind::Workload(self.kind),
            namespace: self.namespace.to_string(),
            name: self.to.name.to_string(),
        }
    }

    /// The update it stands for, of its workload as it is in the cluster.
    pub(crate) fn of(self, workload: Workload<'static>) -> Subject<'a> {
        let Self { gate, kind: _, namespace, user, from, to } = self;
        let old = Object::Workload(workload.clone().scaled(from.replicas));
        let new = Object::Workload(workload.scaled(to.replicas));
        let change = Change::Update { new, old, texts: Texts::default() };
        Subject { gate, change, namespace, user }
    }
}

/// What an `autoscaling/v1` `Scale` says of its workload.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Replicas<'a> {
    /// The workload's name.
    name: Text<'a>,
    replicas: u64,
}

impl<'a> Replicas<'a> {
    /// Reads the `Scale` in that field of the request called `uid`.
    pub(super) fn read(uid: &str, field: &'static str, text: &'a str) -> Result<Self, Fault> {
        let fault = |problem| Fault::Object { uid: uid.to_owned(), field, kind: "Scale", problem };
        let Scaling { metadata, spec } = serde_json::from_str(text).map_err(|_| {
            fault(manifest::why_not(text, |json| Scaling::deserialize(json).map(drop)))
        })?;
        if metadata.name.is_empty() {
            return Err(fault("metadata.name: empty".to_owned()));
        }
        // Go leaves a zero out; a number below it is the apiserver's to refuse.
        let replicas = spec.and_then(|spec| spec.replicas).unwrap_or(0);
        Ok(Self { name: metadata.name, replicas: replicas.try_into().unwrap_or(0) })
    }
}

#[derive(Deserialize)]
#[serde(expecting = "a Scale")]
struct Scaling<'a> {
    #[serde(borrow)]
    metadata: Named<'a>,
    spec: Option<Spec>,
}

#[derive(Deserialize)]
struct Named<'a> {
    #[serde(borrow)]
    name: Text<'a>,
}

#[derive(Deserialize)]
struct Spec {
    replicas: Option<i32>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scale_says_how_many_of_what() {
        for (text, replicas) in [
            (r#"{"metadata": {"name": "db"}, "spec": {"replicas": 3}}"#, 3),
            (r#"{"metadata": {"name": "db"}, "spec": {}, "status": {"replicas": 3}}"#, 0),
            (r#"{"metadata": {"name": "db"}, "spec": {"replicas": null}}"#, 0),
            (r#"{"metadata": {"name": "db", "uid": "u"}, "spec": null}"#, 0),
            (r#"{"metadata": {"name": "db"}}"#, 0),
            (r#"{"metadata": {"name": "db"}, "spec": {"replicas": -1}}"#, 0),
        ] {
            let expected = Replicas { name: "db".into(), replicas };
            assert_eq!(Replicas::read("u", "object", text).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_scale_is_told_by_its_place() {
        for (text, problem) in [
            ("null", "invalid type: null"),
            ("7", "invalid type: integer, expected a Scale"),
            ("[]", "invalid length 0, expected a Scale"),
            ("{}", "missing field `metadata`"),
            (r#"{"metadata": null}"#, "metadata: invalid type: null"),
            (r#"{"metadata": {}}"#, "metadata: missing field `name`"),
            (r#"{"metadata": {"name": null}}"#, "metadata.name: invalid type: null"),
            (r#"{"metadata": {"name": ""}}"#, "metadata.name: empty"),
            (r#"{"metadata": {"name": "db"}, "spec": 3}"#, "spec: invalid type: integer"),
            (
                r#"{"metadata": {"name": "db"}, "spec": {"replicas": "secret"}}"#,
                "spec.replicas: invalid type: string, expected i32",
            ),
            (
                r#"{"metadata": {"name": "db"}, "spec": {"replicas": 4294967296}}"#,
                "spec.replicas: invalid value: integer, expected i32",
            ),
        ] {
            let fault = Replicas::read("u", "oldObject", text).unwrap_err().to_string();
            assert!(fault.starts_with("request u: oldObject cannot be read as Scale: "), "{fault}");
            assert!(fault.contains(problem), "{text}: {fault}");
            assert!(!fault.contains("secret"), "{fault}");
        }
    }
}
