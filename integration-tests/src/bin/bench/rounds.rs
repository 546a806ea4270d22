//! Rounds against the guard and the floor, in turns.

use std::{io::Write, path::Path};

use anyhow::{Context as _, Result};
use tokio::runtime::Runtime;

use crate::{
    handshake,
    load::{self, Load, Round},
    report::{Rounds, Summary, heading, row, table},
    review::{Review, microseconds},
    server::Server,
};

/// How often each server is loaded in each way.
const ROUNDS: usize = 7;

/// The ways, the names of their figures in the summary, and what they are.
const LOADS: [(&str, &str, Load); 5] = [
    ("c1", "HTTP/1.1, 1 connection", Load::Http1(1)),
    ("c8", "HTTP/1.1, 8 connections", Load::Http1(8)),
    ("c16", "HTTP/1.1, 16 connections", Load::Http1(16)),
    ("h2_s1", "HTTP/2, 1 stream", Load::Http2(1)),
    ("h2_s16", "HTTP/2, 16 streams", Load::Http2(16)),
];

/// Where reviews per second and CPU per review are read: a server at work, which
/// is not woken up for each review.
const BUSIEST: &str = "c16";

/// The guard and the floor, and the client that loads them.
pub(crate) struct Servers {
    guard: Server,
    floor: Server,
    client: Runtime,
}

impl Servers {
    pub(crate) fn start(files: &Path) -> Result<Self> {
        let client = Runtime::new().context("starting the client's runtime")?;
        Ok(Self { guard: Server::guard(files)?, floor: Server::floor(files)?, client })
    }

    /// Prints and sums up everything there is to measure of servers.
    pub(crate) fn measure(&self, out: &mut impl Write, summary: &mut Summary) -> Result<()> {
        summary.set("ready_ms", self.guard.ready_after().as_secs_f64() * 1000.0);
        summary.set("rss_idle_mib", self.guard.resident()?);
        for (key, name, load) in LOADS {
            let compared = self.in_turns(&Review::allowed(), load)?;
            compared.print(out, name)?;
            compared.sum_up(key, summary);
        }
        // Most reviews are not about what is critical, and leave no audit record.
        let compared = self.in_turns(&Review::not_critical(), Load::Http1(1))?;
        compared.print(out, "HTTP/1.1, 1 connection")?;
        compared.sum_up("not_critical_c1", summary);
        self.handshakes(out, summary)?;
        summary.set("rss_after_load_mib", self.guard.resident()?);
        summary.set("audit_lost", self.guard.audit_lost()?);
        Ok(())
    }

    /// The same load on both: whatever else the machine does meanwhile, it does
    /// to both.
    fn in_turns(&self, review: &Review, load: Load) -> Result<Compared> {
        let (mut guard, mut floor) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            for (server, rounds) in [(&self.guard, &mut guard), (&self.floor, &mut floor)] {
                rounds.push(self.client.block_on(load::round(server, review, load))?);
            }
        }
        Ok(Compared { review: review.name, guard: Side::of(&guard), floor: Side::of(&floor) })
    }

    fn handshakes(&self, out: &mut impl Write, summary: &mut Summary) -> Result<()> {
        let round = |_| self.client.block_on(handshake::round(&self.guard));
        let rounds = (0..ROUNDS).map(round).collect::<Result<Vec<_>>>()?;
        let per_second = Rounds::new(rounds.iter().map(|round| round.per_second));
        let cpu_us = Rounds::new(rounds.iter().map(|round| round.cpu_us));
        heading(out, "Full handshakes: TLS 1.3, ECDSA P-256, no resumption")?;
        table(
            out,
            &[
                row(["", "per second", "CPU µs of the guard"]),
                row(["guard", &per_second.with_spread(0), &cpu_us.with_spread(0)]),
            ],
        )?;
        summary.set("handshakes_per_second", per_second.median());
        summary.set("handshake_cpu_us", cpu_us.median());
        Ok(())
    }
}

/// What one load came to on both.
struct Compared {
    review: &'static str,
    guard: Side,
    floor: Side,
}

/// What one server made of it.
struct Side {
    p50_us: Rounds,
    p99_us: Rounds,
    cpu_us: Rounds,
    per_second: Rounds,
}

impl Side {
    fn of(rounds: &[Round]) -> Self {
        let figures = |of: fn(&Round) -> f64| Rounds::new(rounds.iter().map(of));
        Self {
            p50_us: figures(|round| microseconds(&round.latency, 0.5)),
            p99_us: figures(|round| microseconds(&round.latency, 0.99)),
            cpu_us: figures(|round| round.cpu_us),
            per_second: figures(|round| round.reviews_per_second),
        }
    }

    fn row(&self, name: &str) -> Vec<String> {
        let Self { p50_us, p99_us, cpu_us, per_second } = self;
        let figures = [p50_us, p99_us, cpu_us, per_second].map(|figures| figures.with_spread(0));
        [name.to_owned()].into_iter().chain(figures).collect()
    }
}

impl Compared {
    fn print(&self, out: &mut impl Write, load: &str) -> Result<()> {
        let Self { review, guard, floor } = self;
        heading(out, &format!("{load}, {review}: median of {ROUNDS} rounds and spread"))?;
        let ratios = [
            guard.p50_us.median() / floor.p50_us.median(),
            guard.p99_us.median() / floor.p99_us.median(),
            guard.cpu_us.median() / floor.cpu_us.median(),
            guard.per_second.median() / floor.per_second.median(),
        ];
        let ratios = ratios.map(|ratio| format!("{ratio:.2}"));
        let rows = [
            row(["", "p50 µs", "p99 µs", "CPU µs", "reviews/s"]),
            guard.row("guard"),
            floor.row("floor"),
            ["ratio".to_owned()].into_iter().chain(ratios).collect(),
        ];
        Ok(table(out, &rows)?)
    }

    fn sum_up(&self, key: &str, summary: &mut Summary) {
        let Self { review: _, guard, floor } = self;
        let cpu_ratio = guard.cpu_us.median() / floor.cpu_us.median();
        summary.set(format!("tls_ratio_{key}"), guard.p50_us.median() / floor.p50_us.median());
        summary.set(format!("cpu_ratio_{key}"), cpu_ratio);
        for (name, side) in [("guard", guard), ("floor", floor)] {
            summary.set(format!("{name}_p50_us_{key}"), side.p50_us.median());
            summary.set(format!("{name}_p99_us_{key}"), side.p99_us.median());
            summary.set(format!("{name}_cpu_us_{key}"), side.cpu_us.median());
            summary.set(format!("{name}_per_second_{key}"), side.per_second.median());
        }
        if key == BUSIEST {
            summary.set("cpu_ratio", cpu_ratio);
            summary.set("cpu_us_per_review", guard.cpu_us.median());
            summary.set("reviews_per_second", guard.per_second.median());
        }
    }
}
