//! An object as it came, for the parts that facts leave out.

use std::{borrow::Cow, collections::HashMap};

use serde_json::value::RawValue;

/// Both states of an updated object as JSON text, as the apiserver wrote them:
/// by the same encoder from the same type, so that equal parts are equal text.
/// Without texts nothing differs but what facts show.
#[derive(Clone, Copy, Debug, Default)]
pub struct Texts<'a> {
    /// As it will be.
    pub new: &'a str,
    /// As it was.
    pub old: &'a str,
}

impl Texts<'_> {
    /// Whether the member at that path, from the outside in, is not the same in
    /// both. It reads just the members on the way there; texts that are no
    /// objects, or lack the member, do not differ.
    #[must_use]
    pub fn differ_at(&self, path: &[&str]) -> bool {
        member(self.new, path) != member(self.old, path)
    }
}

fn member<'t>(text: &'t str, path: &[&str]) -> Option<&'t str> {
    path.iter().try_fold(text, |text, name| {
        let members: HashMap<Cow<'_, str>, &RawValue> = serde_json::from_str(text).ok()?;
        members.get(*name).map(|value| value.get())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_differs_by_its_own_text_alone() {
        let old = r#"{"metadata": {"generation": 1}, "spec": {"replicas": 1, "template": {"a": [1, {"b": "c"}]}}}"#;
        let scaled = r#"{"metadata": {"generation": 2}, "spec": {"replicas": 9, "template": {"a": [1, {"b": "c"}]}}}"#;
        let changed = r#"{"metadata": {"generation": 2}, "spec": {"replicas": 1, "template": {"a": [1, {"b": "d"}]}}}"#;
        let path = ["spec", "template"];
        for (name, new, expected) in [
            ("the same", old, false),
            ("another part", scaled, false),
            ("this part", changed, true),
            ("the part is gone", r#"{"spec": {}}"#, true),
        ] {
            assert_eq!(Texts { new, old }.differ_at(&path), expected, "{name}");
        }
        assert!(!Texts::default().differ_at(&path), "nothing is known");
    }
}
