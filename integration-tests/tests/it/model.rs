//! The rule, held against random sequences of what people and clusters do.

mod broken;

use std::{
    env,
    io::{Write as _, stderr},
};

use nfs_guard_integration_tests::{
    Harness,
    model::{
        self, Engine, Sequence, Setting,
        operation::{Label, Named, Operation, Owner, Source, Workload},
    },
};
use nfs_guard_policies::facts::WorkloadKind;

/// Enough that each of the broken guards below is found many times over.
const SEQUENCES: u64 = 2_000;

#[test]
fn no_sequence_leaves_a_critical_pod_on_nfs_without_a_reason() {
    let (sequences, seed) = (from_environment("SEQUENCES", SEQUENCES), from_environment("SEED", 1));
    let report = model::search(seed, sequences, &Engine);
    assert_eq!(report.violations, 0, "\n{report}");
    // Not by `eprintln!`, which the test runner keeps to itself.
    writeln!(stderr(), "model, seed {seed}: {report}").unwrap();
}

#[test]
fn no_sequence_on_a_real_control_plane_leaves_a_critical_pod_on_nfs() {
    // Volumes without a class are anybody's.
    let cluster = Harness::exclusive();
    let seed = from_environment("SEED", 1);
    let sequences = from_environment("REAL_SEQUENCES", 5);
    let report = model::search_real(cluster.control_plane(), seed, sequences);
    assert_eq!(report.violations, 0, "\n{report}");
    writeln!(stderr(), "model on a real control plane, seed {seed}: {report}").unwrap();
}

#[test]
fn what_a_guard_that_is_down_lets_pass_is_seen_on_a_real_control_plane() {
    let cluster = Harness::exclusive();
    let run = |seed| {
        let object = Named { kind: WorkloadKind::Pod, namespace: "web".into(), name: "p".into() };
        let pod = Workload {
            object,
            replicas: 1,
            start: 0,
            label: Label::Object,
            volumes: vec![Source::Nfs],
            owner: Owner::None,
        };
        let setting = Setting {
            strict: true,
            fails_closed: true,
            reverse_denies: false,
            scale_up_denies: false,
            knows_operator: false,
            classes: Vec::new(),
        };
        let sequence = Sequence { seed, setting, operations: vec![Operation::Apply(pod)] };
        model::run_real(cluster.control_plane(), &sequence, &mut model::policy())
    };
    assert_eq!(run(0).map(|ran| ran.denied), Ok(1));
    cluster.guard().stop().unwrap();
    let violation = run(1).unwrap_err();
    assert!(violation.what.contains("/p has data on NFS"), "{violation:?}");
}

fn from_environment(variable: &str, default: u64) -> u64 {
    match env::var(variable) {
        Ok(value) => {
            value.parse().unwrap_or_else(|_| panic!("{variable} is not a number: {value}"))
        }
        Err(_) => default,
    }
}
