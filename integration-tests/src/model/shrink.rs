//! The shortest sequence that still shows what a long one showed.

use super::{Sequence, operation::Operation};

/// Takes operations away, many at a time and then one by one, while `fails` of what is
/// left (ddmin, Zeller and Hildebrandt 2002).
pub(super) fn shrunk(mut sequence: Sequence, fails: &mut dyn FnMut(&Sequence) -> bool) -> Sequence {
    let mut size = sequence.operations.len().div_ceil(2);
    loop {
        let mut shorter = false;
        let mut from = 0;
        while from < sequence.operations.len() {
            let to = (from + size).min(sequence.operations.len());
            let mut rest = sequence.clone();
            rest.operations.drain(from..to);
            if fails(&rest) {
                sequence = rest;
                shorter = true;
            } else {
                from = to;
            }
        }
        if size > 1 {
            size = size.div_ceil(2);
        } else if !shorter {
            return simplified(sequence, fails);
        }
    }
}

/// The same with as few volumes and replicas as still fail.
fn simplified(mut sequence: Sequence, fails: &mut dyn FnMut(&Sequence) -> bool) -> Sequence {
    for at in 0..sequence.operations.len() {
        while let Some(simpler) =
            simpler(&sequence.operations[at]).into_iter().find_map(|simpler| {
                let mut changed = sequence.clone();
                changed.operations[at] = simpler;
                fails(&changed).then_some(changed)
            })
        {
            sequence = simpler;
        }
    }
    sequence
}

fn simpler(operation: &Operation) -> Vec<Operation> {
    let Operation::Apply(workload) = operation else { return Vec::new() };
    let mut simpler = Vec::new();
    let mut change = |change: &dyn Fn(&mut super::operation::Workload)| {
        let mut changed = workload.clone();
        change(&mut changed);
        if changed != *workload {
            simpler.push(Operation::Apply(changed));
        }
    };
    change(&|workload| drop(workload.volumes.pop()));
    change(&|workload| workload.volumes.truncate(1));
    change(&|workload| workload.replicas = workload.replicas.min(1));
    change(&|workload| workload.start = 0);
    simpler
}
