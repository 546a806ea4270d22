//! What is thought of a cluster, for a person.

use std::{
    collections::HashMap,
    io::{self, Write},
};

use anstyle::{AnsiColor, Style};

use super::report::{Category, Owner, ScanReport, Standing, Summary};
use crate::report::FindingReport;

/// Prints the report. What one owner has many of, and all in the same state, is one
/// line.
pub(super) fn print(output: &mut impl Write, report: &ScanReport) -> io::Result<()> {
    let rows = rows(&report.findings);
    if !rows.is_empty() {
        let head = ["CATEGORY", "OBJECT", "CREATED", "EXCUSE", "WHY"].map(str::to_owned);
        let widths: [usize; 4] = std::array::from_fn(|column| {
            let cells = rows.iter().map(|(_, row)| row).chain([&head]);
            cells.map(|row| row[column].chars().count()).max().unwrap_or_default()
        });
        print_row(output, &head, &widths, Style::new().bold())?;
        for (category, row) in &rows {
            print_row(output, row, &widths, style(*category))?;
        }
    }
    let Summary { objects, violations, unknown, grandfathered, exempt, warnings } = &report.summary;
    writeln!(
        output,
        "objects judged: {objects}, violations: {violations}, unknown: {unknown}, grandfathered: \
         {grandfathered}, exempt: {exempt}, warnings: {warnings}"
    )
}

/// One row for each finding, or for all of the same about the objects of one owner.
fn rows(findings: &[Standing]) -> Vec<(Category, [String; 5])> {
    let mut groups: Vec<(&Standing, usize)> = Vec::new();
    let mut by_owner = HashMap::new();
    for standing in findings {
        let Standing { category, excuse, creation_timestamp: _, owner, finding } = standing;
        let Some(owner) = owner else {
            groups.push((standing, 1));
            continue;
        };
        let key = (category, excuse, owner, finding.kind, &finding.namespace, &finding.field);
        let at = *by_owner.entry(key).or_insert(groups.len());
        match groups.get_mut(at) {
            Some((_, several)) => *several += 1,
            None => groups.push((standing, 1)),
        }
    }
    groups
        .into_iter()
        .map(|(standing, several)| (standing.category, row(standing, several)))
        .collect()
}

fn row(standing: &Standing, several: usize) -> [String; 5] {
    let Standing { category, excuse, creation_timestamp, owner, finding } = standing;
    let FindingReport { kind, namespace, name, why, .. } = finding;
    let object = match owner {
        Some(owner) if several > 1 => {
            let Owner { kind: by, name } = owner;
            format!("{by} {namespace}/{name} ({several} of kind {kind})")
        }
        _ => format!("{kind} {namespace}/{name}"),
    };
    let created = creation_timestamp.map(|time| time.to_string()).unwrap_or_default();
    let excuse = excuse.clone().unwrap_or_default();
    [category.as_str().to_owned(), object, created, excuse, why.clone()]
}

fn print_row(
    output: &mut impl Write,
    [category, object, created, excuse, why]: &[String; 5],
    [first, second, third, fourth]: &[usize; 4],
    style: Style,
) -> io::Result<()> {
    writeln!(
        output,
        "{style}{category:first$}{style:#}  {object:second$}  {created:third$}  {excuse:fourth$}  {why}"
    )
}

fn style(category: Category) -> Style {
    let color = match category {
        Category::Violation => AnsiColor::Red,
        Category::Unknown | Category::Warning => AnsiColor::Yellow,
        Category::Grandfathered => AnsiColor::Cyan,
        Category::Exempt => AnsiColor::Green,
    };
    color.on_default()
}
