//! What a review costs, beside its budget: `make bench`. It judges nobody: a
//! noisy machine is no fault of the code.
//!
//! The guard is the real binary in a process of its own. So is the [`floor`], a
//! server with the same router, runtime and TLS that judges nothing; rounds
//! against one and the other alternate, and what counts is the ratio.

mod cluster;
mod decide;
mod floor;
mod handshake;
mod load;
mod report;
mod review;
mod rounds;
mod server;
mod turned;

use std::{env, fs, io::Write, path::Path};

use anyhow::{Context as _, Result, bail};
use nfs_guard_integration_tests::binaries;

use report::{Summary, heading, row, table};
use review::{Review, microseconds};
use rounds::Servers;

/// The argument that makes this program the floor.
const FLOOR: &str = "floor";

fn main() -> Result<()> {
    let mut arguments = env::args_os().skip(1);
    match (arguments.next(), arguments.next()) {
        (None, _) => measure(&mut anstream::stdout()),
        (Some(argument), Some(ca)) if argument == FLOOR => floor::serve(Path::new(&ca)),
        (Some(argument), _) => bail!("{} means nothing here", argument.display()),
    }
}

fn measure(out: &mut impl Write) -> Result<()> {
    let folder = binaries::target_folder()?.join("bench");
    fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
    if cfg!(debug_assertions) {
        heading(out, "A debug build: its figures mean nothing")?;
    }
    let mut summary = Summary::default();
    decisions(out, &mut summary)?;
    let files = tempfile::tempdir().context("making a folder for logs and certificates")?;
    Servers::start(files.path())?.measure(out, &mut summary)?;
    cluster::measure(files.path(), out, &mut summary)?;

    heading(out, "Beside the budgets")?;
    table(out, &summary.beside_budgets()?)?;
    let file = folder.join("summary.json");
    summary.write(&file)?;
    writeln!(out, "\nAll figures: {}", file.display())?;
    Ok(())
}

/// In process: what it costs to read, judge and answer.
fn decisions(out: &mut impl Write, summary: &mut Summary) -> Result<()> {
    let reviews = [Review::not_critical(), Review::allowed(), Review::denied()];
    let size = reviews[0].body.len();
    heading(out, &format!("Decide, in process: µs for a review of {size} bytes"))?;
    let mut rows = vec![row(["", "p50", "p99"])];
    let (mut p50, mut p99) = (0.0_f64, 0.0_f64);
    for review in &reviews {
        let took = decide::measure(review)?;
        let (half, most) = (microseconds(&took, 0.5), microseconds(&took, 0.99));
        rows.push(row([review.name, &format!("{half:.1}"), &format!("{most:.1}")]));
        (p50, p99) = (p50.max(half), p99.max(most));
    }
    table(out, &rows)?;
    // The costliest of the three is what the budget is about.
    summary.set("decide_p50_us", p50);
    summary.set("decide_p99_us", p99);

    heading(out, "A class that turns 1,666 sets beside 5,000 pods, in process: ms")?;
    let took = turned::measure()?;
    let [half, most] = [0.5, 0.99].map(|quantile| microseconds(&took, quantile) / 1000.0);
    let figures = row(["", &format!("{half:.1}"), &format!("{most:.1}")]);
    table(out, &[row(["", "p50", "p99"]), figures])?;
    summary.set("turned_p50_ms", half);
    summary.set("turned_p99_ms", most);
    Ok(())
}
