//! The admission review, as the apiserver writes it and wants it answered
//! (`admission.k8s.io/v1`).

mod answer;
mod reading;
mod scale;

use nfs_guard_policies::{
    Change, Gate, Operation, Subject, Texts,
    facts::{Kind, Object, Scope, WorkloadKind},
    rules::{RULES, Reads},
    text::Text,
};
use serde::Deserialize;

use self::{
    reading::{Held, Objects},
    scale::Replicas,
};
use crate::{fault::Fault, manifest};

pub use answer::Answer;
pub(crate) use scale::Scale;

const API_VERSION: &str = "admission.k8s.io/v1";
const KIND: &str = "AdmissionReview";

/// The part of a workload that says how many replicas it has, and what the apiserver
/// writes of it.
const SCALE: &str = "scale";
const SCALE_KIND: (&str, &str) = ("autoscaling", "Scale");

/// Longer than any uid: those of an apiserver have 36 characters.
const LONGEST_UID: usize = 128;

/// The request of a review.
#[derive(Debug, Default)]
pub struct Request<'a> {
    /// Names the request; the answer must repeat it.
    pub uid: Text<'a>,
    /// Whether the write will not be kept.
    pub dry_run: Option<bool>,
    kind: GroupVersionKind<'a>,
    /// What is addressed. It is not of `kind` where a part of it is written that has
    /// a kind of its own.
    resource: GroupVersionResource<'a>,
    /// Part of the object that is addressed, e.g. `scale`.
    sub_resource: Option<Text<'a>>,
    namespace: Option<Text<'a>>,
    operation: Text<'a>,
    user_info: UserInfo<'a>,
    object: Held<'a>,
    old_object: Held<'a>,
}

#[derive(Debug, Default, Deserialize)]
struct GroupVersionKind<'a> {
    #[serde(borrow, default)]
    group: Text<'a>,
    #[serde(borrow, default)]
    version: Text<'a>,
    #[serde(borrow)]
    kind: Text<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct GroupVersionResource<'a> {
    #[serde(borrow)]
    group: Text<'a>,
    #[serde(borrow)]
    version: Text<'a>,
    #[serde(borrow)]
    resource: Text<'a>,
}

#[derive(Debug, Default, Deserialize)]
struct UserInfo<'a> {
    #[serde(borrow, default)]
    username: Text<'a>,
    #[serde(borrow)]
    groups: Option<Vec<Text<'a>>>,
}

impl<'a> Request<'a> {
    /// Reads a review for that gate.
    ///
    /// # Errors
    /// [`Fault::NotAReview`] when it is none, or lacks the uid that every
    /// answer needs.
    pub fn read(gate: Gate, body: &'a [u8]) -> Result<Self, Fault> {
        let not_a_review = |why: &str| Fault::NotAReview(why.to_owned());
        // The facts are read on the way. If that fails, the second reading finds
        // out whether the review is none, or one of its objects.
        let review = reading::read(body, Objects::AsFacts { gate })
            .or_else(|_| reading::read(body, Objects::AsText))
            .map_err(|error| not_a_review(&manifest::without_values(&error)))?;
        if review.api_version != *API_VERSION || review.kind != *KIND {
            let found = format!("it is a {} {}", review.api_version, review.kind);
            return Err(not_a_review(&manifest::clip(&found)));
        }
        let request = review.request.ok_or_else(|| not_a_review("it has no request"))?;
        if request.uid.is_empty() {
            return Err(not_a_review("its request has no uid"));
        }
        if request.uid.len() > LONGEST_UID {
            return Err(not_a_review("its request's uid is none of an apiserver's"));
        }
        Ok(request)
    }

    /// What the request writes, as that gate sees it; `None` when it is nothing
    /// the engine judges. It takes the objects with it, and so is asked once.
    ///
    /// # Errors
    /// [`Fault::Object`] when an object is not what the request says.
    pub fn subject(&mut self, gate: Gate) -> Result<Option<Subject<'a>>, Fault> {
        let Some(kind) = self.judged_kind() else { return Ok(None) };
        let (object, old) =
            (std::mem::take(&mut self.object), std::mem::take(&mut self.old_object));
        let change = match self.operation.as_str() {
            "CREATE" => Change::Create(self.facts(kind, "object", object)?),
            "UPDATE" => Change::Update {
                texts: Texts { new: object.text(), old: old.text() },
                new: self.facts(kind, "object", object)?,
                old: self.facts(kind, "oldObject", old)?,
            },
            "DELETE" if is_read(gate, |reads| is_deletion(reads, kind)) => {
                Change::Delete(self.facts(kind, "oldObject", old)?)
            }
            "DELETE" | "CONNECT" => return Ok(None),
            other => {
                let found = manifest::clip(&format!("no operation is called {other}"));
                return Err(Fault::NotAReview(found));
            }
        };
        let namespace = self.namespace_of(kind)?;
        Ok(Some(Subject { gate, change, namespace, user: self.user_info.username.clone() }))
    }

    /// The workload that the request scales, if that gate reads it; `None` when it is
    /// another request. It takes the objects with it, and so is asked once.
    ///
    /// # Errors
    /// [`Fault::Object`] when an object is no `Scale`.
    pub(crate) fn scale(&mut self, gate: Gate) -> Result<Option<Scale<'a>>, Fault> {
        let Some(kind) = self.scaled_kind() else { return Ok(None) };
        let is_scaling = |reads: &Reads| reads.scale && reads.kind == Kind::Workload(kind);
        if self.operation != *"UPDATE" || !is_read(gate, is_scaling) {
            return Ok(None);
        }
        let (object, old) =
            (std::mem::take(&mut self.object), std::mem::take(&mut self.old_object));
        Ok(Some(Scale {
            gate,
            kind,
            namespace: self.namespace_of(Kind::Workload(kind))?,
            user: self.user_info.username.clone(),
            from: Replicas::read(&self.uid, "oldObject", old.text())?,
            to: Replicas::read(&self.uid, "object", object.text())?,
        }))
    }

    /// The groups of who makes the write.
    pub fn groups(&self) -> impl Iterator<Item = &Text<'a>> {
        self.user_info.groups.iter().flatten()
    }

    /// Group and version of the kind of object, as in a manifest; of the workload,
    /// where that is scaled.
    #[must_use]
    pub fn api_version(&self) -> String {
        let (group, version) = match self.scaled_kind() {
            Some(_) => (&self.resource.group, &self.resource.version),
            None => (&self.kind.group, &self.kind.version),
        };
        if group.is_empty() { version.to_string() } else { format!("{group}/{version}") }
    }

    /// The kind of object it writes, if the engine judges that: not a part of an
    /// object, such as its status.
    fn judged_kind(&self) -> Option<Kind> {
        let whole = self.sub_resource.as_deref().is_none_or(str::is_empty);
        Kind::find(&self.kind.group, &self.kind.kind).filter(|_| whole)
    }

    /// The kind of workload it scales, if it scales one.
    fn scaled_kind(&self) -> Option<WorkloadKind> {
        let GroupVersionResource { group, version: _, resource } = &self.resource;
        let scales = self.sub_resource.as_deref() == Some(SCALE)
            && (&*self.kind.group, &*self.kind.kind) == SCALE_KIND;
        WorkloadKind::ALL.into_iter().filter(|_| scales).find(|kind| {
            let kind = Kind::Workload(*kind);
            *resource == *kind.resource() && *group == *kind.group()
        })
    }

    /// The namespace of its object, which is of that kind.
    fn namespace_of(&self, kind: Kind) -> Result<Text<'a>, Fault> {
        match kind.scope() {
            Scope::Namespaced => {
                let namespace = self.namespace.clone().filter(|namespace| !namespace.is_empty());
                let missing =
                    || Fault::NotAReview(format!("its request names no namespace for a {kind}"));
                namespace.ok_or_else(missing)
            }
            // Of a Namespace the apiserver says it lies in itself.
            Scope::Cluster => Ok(Text::default()),
        }
    }

    fn facts(
        &self,
        kind: Kind,
        field: &'static str,
        object: Held<'a>,
    ) -> Result<Object<'a>, Fault> {
        let text = object.text();
        match object {
            Held::Facts(facts) => Ok(*facts),
            Held::Text(_) | Held::Nothing => {
                let mut json = serde_json::Deserializer::from_str(text);
                Object::read(kind, &mut json).map_err(|_| Fault::Object {
                    uid: self.uid.to_string(),
                    field,
                    kind: kind.as_str(),
                    problem: manifest::problem(kind, text),
                })
            }
        }
    }
}

fn is_deletion(reads: &Reads, kind: Kind) -> bool {
    reads.kind == kind && reads.operations.contains(&Operation::Delete)
}

/// Whether there is a rule that reads that at that gate.
fn is_read(gate: Gate, is_it: impl Fn(&Reads) -> bool) -> bool {
    RULES.iter().flat_map(|rule| rule.reads(gate)).any(is_it)
}

#[cfg(test)]
mod tests;
