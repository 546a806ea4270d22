//! What claims take that are alike: each choice is made once for all of them.

use std::cell::RefCell;

use super::claim::End;
use crate::{
    binding::Wanted,
    facts::{Claim, ClaimSpec},
    text::{Reduce, Strings},
};

/// Fewest volumes to choose from for which a choice is worth remembering.
pub(super) const MANY: usize = 16;

/// Most choices that are remembered. Claims are made from templates, of which a
/// cluster has few; looking through the choices of claims that are all different
/// costs more than it saves.
const MOST: usize = 64;

/// The choices made so far among volumes that are promised to nobody. Neither the
/// name of a claim nor its namespace counts there.
#[derive(Default)]
pub(super) struct Choices(RefCell<Vec<(Wish, Choice)>>);

/// The worst of the volumes that may be taken, if any, and whether one is for certain.
pub(super) type Choice = (Option<End>, bool);

/// All that the choice hangs on.
struct Wish {
    class: String,
    delay_binding: bool,
    has_node: bool,
    claims: u64,
    spec: ClaimSpec<'static>,
}

impl Choices {
    /// What that many claims like this one take, by `choose` where that is not known.
    pub(super) fn of(
        &self,
        wanted: &Wanted<'_>,
        claims: u64,
        choose: impl FnOnce() -> Choice,
    ) -> Choice {
        let made = self
            .0
            .borrow()
            .iter()
            .find_map(|(wish, choice)| wish.is_for(wanted, claims).then(|| choice.clone()));
        made.unwrap_or_else(|| {
            let choice = choose();
            let mut made = self.0.borrow_mut();
            if made.len() < MOST {
                made.push((Wish::of(wanted, claims), choice.clone()));
            }
            choice
        })
    }
}

impl Wish {
    fn of(wanted: &Wanted<'_>, claims: u64) -> Self {
        let &Wanted { claim, namespace: _, name: _, class, delay_binding } = wanted;
        let Claim { metadata: _, spec, status: _ } = claim;
        Self {
            class: class.to_owned(),
            delay_binding,
            has_node: wanted.has_node(),
            claims,
            spec: spec.clone().into_stored(&mut Strings::default()),
        }
    }

    fn is_for(&self, wanted: &Wanted<'_>, n: u64) -> bool {
        let Self { class, delay_binding, has_node, claims, spec } = self;
        *class == *wanted.class
            && *delay_binding == wanted.delay_binding
            && *claims == n
            && *has_node == wanted.has_node()
            && *spec == wanted.claim.spec
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::MANY;
    use crate::{
        Effect,
        testing::{Judge, claim, set},
    };

    fn volumes() -> Vec<Value> {
        let volume = |n: usize, size: &str, source: Value| {
            let mut volume = json!({"apiVersion": "v1", "kind": "PersistentVolume",
                "metadata": {"name": format!("volume-{n}")},
                "spec": {"storageClassName": "static", "capacity": {"storage": size},
                    "accessModes": ["ReadWriteOnce", "ReadWriteMany"]},
                "status": {"phase": "Available"}});
            volume["spec"].as_object_mut().unwrap().extend(source.as_object().unwrap().clone());
            volume
        };
        let disks = (0..MANY).map(|n| volume(n, "1Gi", json!({"iscsi": {}})));
        let share = json!({"nfs": {"server": "nas", "path": "/x"}});
        disks.chain([volume(MANY, "5Gi", share)]).collect()
    }

    #[test]
    fn what_is_alike_takes_the_same_and_what_is_not_another() {
        let mut one = claim(&json!({"storageClassName": "static",
            "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}));
        one["metadata"]["namespace"] = json!("vault");
        let judge = Judge::incident().with(&volumes()).with(&[one]);
        for (name, replicas, sizes, expected) in [
            ("alike, and enough for all", 8, ["1Gi", "1Gi"], &[][..]),
            ("another size, that NFS alone has", 1, ["1Gi", "2Gi"], &["b"]),
            ("the other way round", 1, ["2Gi", "1Gi"], &["a"]),
            ("more than there are disks but for one", 9, ["1Gi", "1Gi"], &["a", "b"]),
        ] {
            let one = json!([{"name": "c", "persistentVolumeClaim": {"claimName": "data"}}]);
            let mut set = set(&[("a", "static"), ("b", "static")], &one);
            set["spec"]["replicas"] = json!(replicas);
            for (at, size) in sizes.iter().enumerate() {
                let spec = &mut set["spec"]["volumeClaimTemplates"][at]["spec"];
                spec["resources"] = json!({"requests": {"storage": size}});
            }
            let verdict = judge.create("vault", &set).verdict;
            let denied = verdict.findings.iter().filter(|finding| finding.effect == Effect::Deny);
            let denied: Vec<_> =
                denied.filter_map(|finding| Some(finding.wrong.volume()?.0)).collect();
            assert_eq!(denied, expected, "{name}: {:#?}", verdict.findings);
        }
    }
}
