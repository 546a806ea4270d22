//! What is asked: a cluster, and claims that look for volumes in it.

use serde_json::{Value, json};

/// A claim, and the objects around it, as manifests.
#[derive(Clone, Debug)]
pub(super) struct Question {
    pub(super) claim: Value,
    /// How many claims like it there are; more than one only of a template.
    pub(super) claims: u64,
    pub(super) volumes: Vec<Value>,
    pub(super) classes: Vec<Value>,
    pub(super) nodes: Vec<Value>,
    /// Whether a volume that requires a node has one of its own, as local
    /// volumes do, and there is a node besides that none requires.
    pub(super) own_nodes: bool,
    /// Whether upstream is asked once every volume has been looked at.
    pub(super) all_seen: bool,
}

impl Question {
    /// As the oracle reads it.
    pub(super) fn to_json(&self) -> Value {
        let Self { claim, claims, volumes, classes, nodes, own_nodes: _, all_seen } = self;
        let mut volumes = volumes.clone();
        for volume in volumes.iter_mut().filter(|volume| *all_seen && is_unseen(volume)) {
            volume["status"]["phase"] = "Available".into();
        }
        json!({
            "claim": claim,
            "claims": claims,
            "volumes": volumes,
            "classes": classes,
            "nodes": nodes,
        })
    }

    /// Whether what comes of it hangs on when somebody looks at a volume.
    pub(super) fn is_foreseen_only(&self) -> bool {
        self.volumes.iter().any(is_unseen)
    }

    /// As it is, and once every volume has been looked at.
    pub(super) fn moments(self) -> Vec<Self> {
        if !self.is_foreseen_only() {
            return vec![self];
        }
        vec![Self { all_seen: true, ..self.clone() }, self]
    }

    /// The same with one thing less, in every way.
    pub(super) fn smaller(&self) -> Vec<Self> {
        let mut all = Vec::new();
        let mut with = |change: &mut dyn FnMut(&mut Self)| {
            let mut smaller = self.clone();
            change(&mut smaller);
            all.push(smaller);
        };
        for n in 0..self.volumes.len() {
            with(&mut |question| drop(question.volumes.remove(n)));
        }
        for n in 0..self.classes.len() {
            with(&mut |question| drop(question.classes.remove(n)));
        }
        if self.claims > 1 {
            with(&mut |question| question.claims -= 1);
        }
        for claim in without_a_part(&self.claim) {
            with(&mut |question| question.claim.clone_from(&claim));
        }
        for (n, volume) in self.volumes.iter().enumerate() {
            for volume in without_a_part(volume) {
                with(&mut |question| question.volumes[n].clone_from(&volume));
            }
        }
        for (n, class) in self.classes.iter().enumerate() {
            for class in without_a_part(class) {
                with(&mut |question| question.classes[n].clone_from(&class));
            }
        }
        all
    }
}

/// Whether the controller has yet to look at the volume.
fn is_unseen(volume: &Value) -> bool {
    let phase = volume.pointer("/status/phase").and_then(Value::as_str);
    matches!(phase, None | Some("" | "Pending"))
}

/// The object less one of its parts, at any depth; what names it or gives a
/// part its meaning stays.
fn without_a_part(object: &Value) -> Vec<Value> {
    const NEEDED: [&str; 7] =
        ["metadata", "name", "namespace", "accessModes", "key", "operator", "values"];
    match object {
        Value::Object(fields) => {
            let mut all = Vec::new();
            for (key, part) in fields {
                if !NEEDED.contains(&key.as_str()) {
                    let mut less = fields.clone();
                    less.remove(key);
                    all.push(less.into());
                }
                if key != "nodeAffinity" {
                    all.extend(without_a_part(part).into_iter().map(|part| {
                        let mut less = fields.clone();
                        less.insert(key.clone(), part);
                        less.into()
                    }));
                }
            }
            all
        }
        Value::Array(items) if items.len() > 1 => {
            let without = |n| {
                let mut less = items.clone();
                less.remove(n);
                less.into()
            };
            (0..items.len()).map(without).collect()
        }
        _ => Vec::new(),
    }
}
