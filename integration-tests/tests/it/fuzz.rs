//! A short run of what `make fuzz` does for longer.

use std::time::Duration;

use nfs_guard_integration_tests::fuzz;

#[test]
fn what_others_write_is_taken_or_refused_and_never_a_panic() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let ran = fuzz::run(seed, Duration::from_secs(2)).unwrap_or_else(|found| panic!("{found}"));
    println!("{ran}");
    assert!(ran.tried.iter().any(|(_, taken, _)| *taken > 0), "nothing was taken");
    assert!(ran.tried.iter().any(|(_, _, refused)| *refused > 0), "nothing was refused");
}
