//! Every condition of the compiled-in catalogue, both ways: for each single one
//! there is a volume for which it holds, and one for which it does not, and on
//! both what the whole case comes to depends on it. A condition that never
//! matters is a mistake in the catalogue.

use super::{
    When,
    scene::{Given, Moment, at},
    when::{Entry, Value},
};
use crate::facts::{AccessMode, VolumeMode};

/// A value no driver knows.
const OTHER: &str = "something else";

/// How many single conditions `when` has, and how many of their outcomes are
/// shown to matter.
pub(super) fn tally(when: &When) -> (usize, usize) {
    let conditions = singles(when);
    let givens: Vec<Vec<Given<'_>>> = conditions.iter().map(|condition| about(condition)).collect();
    let mut shown = vec![[false; 2]; conditions.len()];
    for moment in [Moment::Class, Moment::Volume] {
        combinations(&givens, moment, &mut Vec::new(), &mut |given| {
            for (at_condition, condition) in conditions.iter().enumerate() {
                at(moment, given, |probe| {
                    let without = negated(when, &mut at_condition.clone());
                    if when.holds(probe) != without.holds(probe) {
                        shown[at_condition][usize::from(condition.holds(probe))] = true;
                    }
                });
            }
        });
    }
    (conditions.len(), shown.as_flattened().iter().filter(|shown| **shown).count())
}

/// The conditions that are not made of others, from left to right.
fn singles(when: &When) -> Vec<&When> {
    match when {
        When::All(conditions) | When::Any(conditions) => {
            conditions.iter().flat_map(singles).collect()
        }
        When::Not(condition) => singles(condition),
        _ => vec![when],
    }
}

/// `when` with one of its single conditions turned round, counted from the left.
fn negated(when: &When, left: &mut usize) -> When {
    let mut each = |conditions: &[When]| conditions.iter().map(|c| negated(c, left)).collect();
    match when {
        When::All(conditions) => When::All(each(conditions)),
        When::Any(conditions) => When::Any(each(conditions)),
        When::Not(condition) => When::Not(Box::new(negated(condition, left))),
        single => {
            let this = *left == 0;
            *left = left.wrapping_sub(1);
            if this { When::Not(Box::new(single.clone())) } else { single.clone() }
        }
    }
}

/// What could be known that bears on a single condition, for it and against it.
fn about(condition: &When) -> Vec<Given<'_>> {
    match condition {
        When::Parameter(entry) => of_entry(entry, Given::Parameter),
        When::Attribute(entry) => of_entry(entry, Given::Attribute),
        When::ClaimAnnotation(entry) => of_entry(entry, Given::Annotation),
        When::FsType(types) => {
            types.iter().map(|name| Given::FsType(name)).chain([Given::FsType(OTHER)]).collect()
        }
        When::AccessModes(modes) => modes
            .chunks(1)
            .map(Given::Modes)
            .chain([Given::Modes(&[AccessMode::ReadWriteOncePod])])
            .collect(),
        When::VolumeMode(VolumeMode::Block) => vec![Given::Raw],
        When::VolumeMode(VolumeMode::Filesystem) => vec![],
        When::VolumeHandle(value) => {
            let handles = of_value(value).into_iter().map(Given::Handle);
            handles.chain([Given::Inline]).collect()
        }
        When::All(_) | When::Any(_) | When::Not(_) => unreachable!("made of others"),
    }
}

fn of_entry<'a>(entry: &'a Entry, given: fn(&'a str, &'a str) -> Given<'a>) -> Vec<Given<'a>> {
    of_value(&entry.value).into_iter().map(|value| given(&entry.key, value)).collect()
}

fn of_value(value: &Value) -> Vec<&str> {
    match value {
        Value::Values(values) => values.iter().map(String::as_str).chain([OTHER]).collect(),
        Value::Prefix(text) | Value::Suffix(text) | Value::Lists(text) => vec![text, OTHER],
        Value::Exists(_) => vec![OTHER],
    }
}

/// Every way to know, of each condition, one thing that bears on it or nothing.
fn combinations<'a>(
    of_each: &[Vec<Given<'a>>],
    moment: Moment,
    chosen: &mut Vec<Given<'a>>,
    visit: &mut impl FnMut(&[Given<'a>]),
) {
    let Some((first, rest)) = of_each.split_first() else { return visit(chosen) };
    combinations(rest, moment, chosen, visit);
    for given in first.iter().filter(|given| given.fits(moment)) {
        chosen.push(*given);
        combinations(rest, moment, chosen, visit);
        chosen.pop();
    }
}

#[test]
fn a_condition_that_never_matters_is_found() {
    for (json, expected) in [
        (r#"{"fsType": ["nfs"]}"#, (1, 2)),
        (r#"{"any": [{"fsType": ["nfs"]}, {"accessModes": ["ReadWriteMany"]}]}"#, (2, 4)),
        // The second asks for what the first has settled.
        (
            r#"{"any": [{"fsType": ["nfs"]}, {"all": [{"fsType": ["nfs"]}, {"accessModes": ["ReadWriteMany"]}]}]}"#,
            (3, 3),
        ),
        // Nobody knows the class's parameters and the volume's attributes at once.
        (
            r#"{"all": [{"parameter": {"key": "a", "exists": true}}, {"attribute": {"key": "a", "exists": true}}]}"#,
            (2, 2),
        ),
    ] {
        let when: When = serde_json::from_str(json).unwrap();
        assert_eq!(tally(&when), expected, "{json}");
    }
}
