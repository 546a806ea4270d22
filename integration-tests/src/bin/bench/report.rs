//! Figures, their spread, and the budgets they are held against.

use std::{
    collections::BTreeMap,
    fmt, fs,
    io::{self, Write},
    path::Path,
};

use anstyle::{AnsiColor, Style};
use anyhow::{Context as _, Result};

/// What is measured more than once: the median counts, the rest is its spread.
#[derive(Clone, Debug)]
pub(crate) struct Rounds(Vec<f64>);

impl Rounds {
    pub(crate) fn new(figures: impl IntoIterator<Item = f64>) -> Self {
        let mut figures: Vec<_> = figures.into_iter().collect();
        figures.sort_by(f64::total_cmp);
        Self(figures)
    }

    pub(crate) fn median(&self) -> f64 {
        self.0[self.0.len() / 2]
    }

    /// With the smallest and the largest behind it.
    pub(crate) fn with_spread(&self, decimals: usize) -> String {
        let (median, least, most) = (self.median(), self.0[0], self.0[self.0.len() - 1]);
        format!("{median:.decimals$} ({least:.decimals$} to {most:.decimals$})")
    }
}

/// Prints what the next figures are of.
pub(crate) fn heading(out: &mut impl Write, text: &str) -> io::Result<()> {
    let bold = Style::new().bold();
    writeln!(out, "\n{bold}{text}{bold:#}")
}

/// One row of a [`table`].
pub(crate) fn row<const N: usize>(cells: [&str; N]) -> Vec<String> {
    cells.map(str::to_owned).into()
}

/// Prints rows in columns, the first to the left and the others to the right.
/// What is over budget stands out.
pub(crate) fn table(out: &mut impl Write, rows: &[Vec<String>]) -> io::Result<()> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
    let widths: Vec<_> = (0..columns)
        .filter_map(|column| {
            rows.iter().filter_map(|row| row.get(column)).map(|cell| width(cell)).max()
        })
        .collect();
    for row in rows {
        let over = row.iter().any(|cell| cell == OVER_BUDGET);
        let style = if over { AnsiColor::Red.on_default() } else { Style::new() };
        write!(out, "{style}")?;
        for (column, (cell, &width)) in row.iter().zip(&widths).enumerate() {
            if column == 0 {
                write!(out, "  {cell:<width$}")?;
            } else {
                write!(out, "   {cell:>width$}")?;
            }
        }
        writeln!(out, "{style:#}")?;
    }
    Ok(())
}

const OVER_BUDGET: &str = "over budget";

fn width(cell: &str) -> usize {
    cell.chars().count()
}

/// The figures by the names they have in the summary.
#[derive(Debug, Default)]
pub(crate) struct Summary(BTreeMap<String, f64>);

impl Summary {
    pub(crate) fn set(&mut self, name: impl Into<String>, figure: f64) {
        // More digits would be noise.
        self.0.insert(name.into(), (figure * 1000.0).round() / 1000.0);
    }

    /// Writes it as JSON.
    pub(crate) fn write(&self, file: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(&self.0)? + "\n";
        fs::write(file, text).with_context(|| format!("writing {}", file.display()))
    }

    /// Every figure that has a budget, as rows of a [`table`].
    pub(crate) fn beside_budgets(&self) -> Result<Vec<Vec<String>>> {
        let mut rows = vec![row(["", "figure", "budget", "part of it", ""])];
        for Budget { what, figure, limit } in &BUDGETS {
            let found =
                *self.0.get(*figure).with_context(|| format!("{figure} was not measured"))?;
            let part = limit.part(found);
            let mark = if part > 1.0 { OVER_BUDGET } else { "" };
            let (found, part) = (format!("{found:.2}"), format!("{part:.2}"));
            rows.push(row([what, &found, &limit.to_string(), &part, mark]));
        }
        Ok(rows)
    }
}

struct Budget {
    what: &'static str,
    /// Its name in the summary.
    figure: &'static str,
    limit: Limit,
}

enum Limit {
    AtMost(f64),
    AtLeast(f64),
}

impl Limit {
    /// How much of the budget is used: more than 1 is over it.
    fn part(&self, figure: f64) -> f64 {
        match self {
            Self::AtMost(limit) => figure / limit,
            Self::AtLeast(limit) => limit / figure,
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtMost(limit) => write!(formatter, "at most {limit}"),
            Self::AtLeast(limit) => write!(formatter, "at least {limit}"),
        }
    }
}

/// An apiserver waits for the guard in every write it asks about: what the guard
/// adds is to be small beside what TLS and HTTP cost anyway.
const BUDGETS: [Budget; 6] = [
    Budget { what: "decide: p99, µs", figure: "decide_p99_us", limit: Limit::AtMost(100.0) },
    Budget {
        what: "p50 at 1 connection / floor",
        figure: "tls_ratio_c1",
        limit: Limit::AtMost(1.25),
    },
    Budget { what: "CPU per review / floor", figure: "cpu_ratio", limit: Limit::AtMost(2.0) },
    Budget {
        what: "reviews per second",
        figure: "reviews_per_second",
        limit: Limit::AtLeast(10_000.0),
    },
    Budget { what: "resident when idle, MiB", figure: "rss_idle_mib", limit: Limit::AtMost(30.0) },
    Budget {
        what: "resident with 10k claims, 10k volumes, 5k pods, MiB",
        figure: "rss_loaded_mib",
        limit: Limit::AtMost(64.0),
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_that_of_the_rounds_in_whatever_order() {
        let rounds = Rounds::new([9.0, 1.0, 2.0, 3.0, 2.5]);
        assert_eq!(rounds.with_spread(1), "2.5 (1.0 to 9.0)");
    }

    #[test]
    fn more_than_one_part_of_a_budget_is_over_it_whichever_way_it_goes() {
        for (limit, figure, over) in [
            (Limit::AtMost(100.0), 99.0, false),
            (Limit::AtMost(100.0), 101.0, true),
            (Limit::AtLeast(100.0), 101.0, false),
            (Limit::AtLeast(100.0), 99.0, true),
        ] {
            assert_eq!(limit.part(figure) > 1.0, over, "{figure}, {limit}");
        }
    }
}
