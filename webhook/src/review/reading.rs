//! From the bytes of a review to its request, in one pass.
//!
//! A review is mostly its objects, and an object mostly what no rule reads. To
//! keep it as text first is to skip through all of it twice. The apiserver
//! writes what an object is before the object itself (the order of the fields
//! in `k8s.io/api/admission/v1/types.go`), so its facts are read as it comes by.

use std::fmt;

use nfs_guard_policies::{
    Gate,
    facts::{Kind, Object},
    text::Text,
};
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, Error, IgnoredAny, MapAccess, Visitor},
};
use serde_json::value::RawValue;

use super::Request;

/// How the objects of a request are held.
#[derive(Clone, Copy)]
pub(super) enum Objects {
    /// As facts, where it is known by then of what, and where that gate does not
    /// ask for more of them.
    AsFacts {
        /// The gate.
        gate: Gate,
    },
    /// As text, whatever is known.
    AsText,
}

/// An object of a request.
#[derive(Debug, Default)]
pub(super) enum Held<'a> {
    /// `null`, or not there.
    #[default]
    Nothing,
    /// What rules read of it.
    Facts(Box<Object<'a>>),
    /// As it came.
    Text(&'a str),
}

impl<'a> Held<'a> {
    /// The object as it came; empty where only its facts were kept.
    pub(super) fn text(&self) -> &'a str {
        match self {
            Self::Nothing => "null",
            Self::Facts(_) => "",
            Self::Text(text) => text,
        }
    }
}

/// A review.
#[derive(Debug, Default)]
pub(super) struct Review<'a> {
    pub(super) api_version: Text<'a>,
    pub(super) kind: Text<'a>,
    pub(super) request: Option<Request<'a>>,
}

/// Reads a review. As text, which is how kube reads what it watches, too: the
/// reading of every kind is compiled once for both.
pub(super) fn read(body: &[u8], objects: Objects) -> Result<Review<'_>, serde_json::Error> {
    let text = str::from_utf8(body).map_err(Error::custom)?;
    let mut json = serde_json::Deserializer::from_str(text);
    let review = json.deserialize_map(ReviewVisitor(objects))?;
    json.end()?;
    Ok(review)
}

struct ReviewVisitor(Objects);

impl<'de> Visitor<'de> for ReviewVisitor {
    type Value = Review<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an AdmissionReview")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let (mut api_version, mut kind, mut request) = (None, None, None);
        while let Some(key) = map.next_key::<Text<'de>>()? {
            match key.as_str() {
                "apiVersion" => once(&mut api_version, "apiVersion", map.next_value()?)?,
                "kind" => once(&mut kind, "kind", map.next_value()?)?,
                "request" => once(&mut request, "request", map.next_value_seed(self.0)?)?,
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(Review {
            api_version: api_version.ok_or_else(|| A::Error::missing_field("apiVersion"))?,
            kind: kind.ok_or_else(|| A::Error::missing_field("kind"))?,
            request: request.flatten(),
        })
    }
}

impl<'de> DeserializeSeed<'de> for Objects {
    type Value = Option<Request<'de>>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_option(RequestVisitor(self))
    }
}

struct RequestVisitor(Objects);

impl<'de> Visitor<'de> for RequestVisitor {
    type Value = Option<Request<'de>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the request of an AdmissionReview")
    }

    fn visit_none<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut request = Request::default();
        let mut seen = Seen::default();
        while let Some(key) = map.next_key::<Text<'de>>()? {
            match key.as_str() {
                "uid" => once(&mut seen.uid, "uid", request.uid = map.next_value()?)?,
                "kind" => once(&mut seen.kind, "kind", request.kind = map.next_value()?)?,
                "resource" => request.resource = map.next_value()?,
                "subResource" => request.sub_resource = map.next_value()?,
                "namespace" => request.namespace = map.next_value()?,
                "operation" => {
                    once(&mut seen.operation, "operation", request.operation = map.next_value()?)?;
                }
                "userInfo" => request.user_info = map.next_value()?,
                "dryRun" => request.dry_run = map.next_value()?,
                "object" => {
                    let object = map.next_value_seed(self.0.of(&request))?;
                    once(&mut seen.object, "object", request.object = object)?;
                }
                "oldObject" => {
                    let object = map.next_value_seed(self.0.of(&request))?;
                    once(&mut seen.old_object, "oldObject", request.old_object = object)?;
                }
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        for (seen, field) in [(seen.uid, "uid"), (seen.kind, "kind"), (seen.operation, "operation")]
        {
            seen.ok_or_else(|| A::Error::missing_field(field))?;
        }
        Ok(Some(request))
    }
}

/// The fields of a request that must be there, or must not be there twice.
#[derive(Default)]
struct Seen {
    uid: Option<()>,
    kind: Option<()>,
    operation: Option<()>,
    object: Option<()>,
    old_object: Option<()>,
}

fn once<T, E: Error>(slot: &mut Option<T>, field: &'static str, value: T) -> Result<(), E> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(E::duplicate_field(field)),
    }
}

impl Objects {
    /// How the next object is held, by what is known of the request so far.
    fn of(self, request: &Request<'_>) -> Next {
        let Self::AsFacts { gate } = self else { return Next(None) };
        // What is to be changed is compared in parts that facts leave out.
        let needs_text = gate == Gate::Mutating && request.operation == *"UPDATE";
        Next(request.judged_kind().filter(|_| !needs_text))
    }
}

/// The object that comes next: of that kind, or as text.
struct Next(Option<Kind>);

impl<'de> DeserializeSeed<'de> for Next {
    type Value = Held<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        if self.0.is_some() {
            return deserializer.deserialize_option(self);
        }
        let text = Option::<&RawValue>::deserialize(deserializer)?;
        Ok(text.map_or(Held::Nothing, |text| Held::Text(text.get())))
    }
}

impl<'de> Visitor<'de> for Next {
    type Value = Held<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_none<E: Error>(self) -> Result<Self::Value, E> {
        Ok(Held::Nothing)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        let Self(Some(kind)) = self else { return Err(D::Error::custom("of no kind")) };
        Object::read(kind, deserializer).map(|object| Held::Facts(Box::new(object)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLAIM: &str = r#"{"metadata": {"name": "data"}, "spec": {"volumeName": "v"}}"#;

    fn review(fields: &[&str]) -> String {
        let version = r#""apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview""#;
        format!(r#"{{{version}, "request": {{{}}}}}"#, fields.join(", "))
    }

    #[test]
    fn facts_are_read_on_the_way_where_it_is_known_of_what() {
        let uid = r#""uid": "u""#;
        let kind = r#""kind": {"group": "", "version": "v1", "kind": "PersistentVolumeClaim"}"#;
        let other = r#""kind": {"group": "", "version": "v1", "kind": "Secret"}"#;
        let (create, update) = (r#""operation": "CREATE""#, r#""operation": "UPDATE""#);
        let object = &format!(r#""object": {CLAIM}"#)[..];
        let part = r#""subResource": "status""#;
        let none = r#""oldObject": null"#;
        for (name, gate, fields, facts) in [
            (
                "as the apiserver writes it",
                Gate::Validating,
                &[uid, kind, create, object, none][..],
                true,
            ),
            ("the object first", Gate::Validating, &[uid, object, kind, create], false),
            ("nothing the engine knows", Gate::Validating, &[uid, other, create, object], false),
            ("a part of an object", Gate::Validating, &[uid, kind, part, create, object], false),
            ("an update", Gate::Validating, &[uid, kind, update, object], true),
            ("to be changed", Gate::Mutating, &[uid, kind, create, object], true),
            ("an update to be changed", Gate::Mutating, &[uid, kind, update, object], false),
        ] {
            let body = review(fields);
            let request =
                read(body.as_bytes(), Objects::AsFacts { gate }).unwrap().request.unwrap();
            assert_eq!(matches!(request.object, Held::Facts(_)), facts, "{name}");
            assert_eq!(request.object.text().is_empty(), facts, "{name}");
            let request = read(body.as_bytes(), Objects::AsText).unwrap().request.unwrap();
            assert_eq!(request.object.text(), CLAIM, "{name}");
        }
    }

    #[test]
    fn what_is_missing_or_there_twice_is_no_review() {
        let kind = r#""kind": {"group": "", "kind": "Secret"}"#;
        for (fields, expected) in [
            (&[r#""uid": "u""#, kind][..], "missing field `operation`"),
            (&[kind, r#""operation": "CREATE""#], "missing field `uid`"),
            (&[kind, kind], "duplicate field `kind`"),
            (&[r#""object": {}"#, r#""object": null"#], "duplicate field `object`"),
        ] {
            let body = review(fields);
            for objects in [Objects::AsText, Objects::AsFacts { gate: Gate::Validating }] {
                let error = read(body.as_bytes(), objects).unwrap_err().to_string();
                assert!(error.contains(expected), "{fields:?}: {error}");
            }
        }
    }
}
