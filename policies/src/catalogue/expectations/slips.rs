//! Slips of the pen: the catalogue with one thing changed. The tables must
//! notice each, or they say too little.

use super::{Row, Says, at, facts};
use crate::{
    backing::Kind,
    catalogue::{
        Case, Catalogue, Driver, When,
        when::{Entry, Value},
    },
};

/// The condition, with one thing in it changed, in every way.
fn slips(when: &When) -> Vec<When> {
    match when {
        When::All(conditions) => within(conditions, When::All),
        When::Any(conditions) => within(conditions, When::Any),
        When::Not(condition) => {
            slips(condition).into_iter().map(|slip| When::Not(Box::new(slip))).collect()
        }
        When::FsType(types) => one_less(types, When::FsType),
        When::AccessModes(modes) => one_less(modes, When::AccessModes),
        When::VolumeMode(_) => vec![When::FsType(Vec::new())],
        When::VolumeHandle(value) => of_value(value).map(When::VolumeHandle).collect(),
        When::Parameter(entry) | When::Attribute(entry) | When::ClaimAnnotation(entry) => {
            let again = |entry| match when {
                When::Parameter(_) => When::Parameter(entry),
                When::Attribute(_) => When::Attribute(entry),
                _ => When::ClaimAnnotation(entry),
            };
            let misspelt = format!("{}-", entry.key);
            let mut slips = vec![again(Entry { key: misspelt, ..entry.clone() })];
            slips.extend(
                of_value(&entry.value).map(|value| again(Entry { key: entry.key.clone(), value })),
            );
            slips
        }
    }
}

fn within(conditions: &[When], again: fn(Vec<When>) -> When) -> Vec<When> {
    let changed = conditions.iter().enumerate().flat_map(|(at, condition)| {
        slips(condition).into_iter().map(move |slip| {
            let mut conditions = conditions.to_vec();
            conditions[at] = slip;
            again(conditions)
        })
    });
    changed.chain(one_less(conditions, again)).collect()
}

fn one_less<T: Clone>(items: &[T], again: impl Fn(Vec<T>) -> When) -> Vec<When> {
    let without = |at| {
        let mut items = items.to_vec();
        items.remove(at);
        items
    };
    (0..items.len()).map(|at| again(without(at))).collect()
}

fn of_value(value: &Value) -> impl Iterator<Item = Value> {
    let slips = match value {
        Value::Values(values) => (0..values.len())
            .map(|at| {
                let mut values = values.clone();
                values.remove(at);
                Value::Values(values)
            })
            .collect(),
        Value::Prefix(text) => vec![Value::Prefix(text[..1].to_owned())],
        Value::Suffix(text) => vec![Value::Suffix(text[1..].to_owned())],
        Value::Lists(text) => vec![Value::Values(vec![text.clone()]), Value::Prefix(text.clone())],
        Value::Exists(exists) => vec![Value::Exists(!exists)],
    };
    slips.into_iter()
}

/// The driver with one thing changed, in every way; and which.
fn of_driver(driver: &Driver) -> Vec<(String, Driver)> {
    let kinds = [Kind::Nfs, Kind::Block, Kind::Local, Kind::OtherNetworkFs, Kind::Unknown];
    let mut changed = Vec::new();
    let mut change = |what: String, change: &dyn Fn(&mut Driver)| {
        let mut driver = driver.clone();
        change(&mut driver);
        changed.push((what, driver));
    };
    for kind in kinds.into_iter().filter(|kind| *kind != driver.otherwise) {
        change(format!("otherwise {kind:?}"), &|driver| driver.otherwise = kind);
    }
    for (at, Case { when, backing }) in driver.cases.iter().enumerate() {
        for kind in kinds.into_iter().filter(|kind| kind != backing) {
            change(format!("{kind:?} when {when}"), &|driver| driver.cases[at].backing = kind);
        }
        for slip in slips(when) {
            change(format!("{slip} for {when}"), &|driver| driver.cases[at].when = slip.clone());
        }
    }
    changed
}

#[test]
fn every_slip_of_the_pen_in_an_entry_is_noticed() {
    let catalogue = Catalogue::with(&[]);
    let mut rows: Vec<Vec<&Row>> = catalogue.drivers().iter().map(|_| Vec::new()).collect();
    for says in facts().flat_map(|fact| fact.says) {
        if let Says::Drivers(names, expected) = says {
            for name in *names {
                rows[catalogue.position(name).unwrap()].extend(*expected);
            }
        }
    }
    let mut unnoticed = Vec::new();
    for (driver, rows) in catalogue.drivers().iter().zip(rows) {
        for (what, slipped) in of_driver(driver) {
            let holds = |Row(moment, given, expected): &&Row| {
                at(*moment, given, |probe| slipped.judge(probe)) == *expected
            };
            if rows.iter().all(holds) {
                unnoticed.push(format!("{:?}: {what}", driver.names));
            }
        }
    }
    assert!(unnoticed.is_empty(), "{}\n{} unnoticed", unnoticed.join("\n"), unnoticed.len());
}
