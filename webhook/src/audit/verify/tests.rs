//! Whatever is done to a log is found.

use super::*;
use crate::audit::{
    chain::{Chain, Torn},
    record::{Closed, Dropped, Opened, Rotated, json},
};

/// The lines of a chain: opened, decisions, dropped, closed.
fn chain(instance: &str) -> Vec<String> {
    let now = jiff::Timestamp::UNIX_EPOCH;
    let decision = |name: &str| {
        format!(r#"{{"event":"decision","version":1,"name":"{name}","findings":[]}}"#).into_bytes()
    };
    sealed(
        &mut Chain::begin(instance),
        &[
            json(&Opened::new(crate::config::Fingerprint::default(), false, None)),
            decision("vault"),
            decision("db"),
            json(&Dropped::new(7, now, now)),
            decision("web"),
            json(&Closed::new()),
        ],
    )
}

fn sealed(chain: &mut Chain, records: &[Vec<u8>]) -> Vec<String> {
    let mut text = Vec::new();
    for record in records {
        chain.seal(record, &mut text);
    }
    String::from_utf8(text).unwrap().lines().map(str::to_owned).collect()
}

fn text(lines: &[String]) -> Vec<u8> {
    lines.iter().flat_map(|line| format!("{line}\n").into_bytes()).collect()
}

fn verify(text: &[u8]) -> Report {
    let mut verifier = Verifier::default();
    verifier.read("a", text).unwrap();
    verifier.finish()
}

/// Kind and line of each problem.
fn problems(lines: &[String]) -> Vec<(ProblemKind, u64)> {
    let report = verify(&text(lines));
    assert_eq!(report.whole, report.problems.is_empty());
    let at = |problem: Problem| (problem.kind, problem.place.map_or(0, |place| place.line));
    report.problems.into_iter().map(at).collect()
}

#[test]
fn what_nobody_touched_is_whole() {
    let report = verify(&text(&chain("guard-0")));
    assert!(report.whole, "{report:?}");
    assert_eq!((report.records, report.dropped, report.chains.len()), (6, 7, 1));
    let chain = &report.chains[0];
    assert_eq!((chain.begins, chain.first, chain.last, chain.closed), (Begins::Whole, 0, 5, true));
    assert_eq!(chain.instance, "guard-0");
}

#[test]
fn a_change_of_any_byte_is_found() {
    let whole = text(&chain("guard-0"));
    for at in 0..whole.len() {
        for new in [whole[at] ^ 1, whole[at] ^ 0x20, b'\n', b' ', b'"', b'}', b'0'] {
            let mut changed = whole.clone();
            changed[at] = new;
            if changed != whole {
                let found = verify(&changed);
                assert!(!found.whole, "byte {at} as {:?}", char::from(new));
            }
        }
    }
}

#[test]
fn any_line_that_is_taken_out_is_found_but_the_last() {
    let whole = chain("guard-0");
    for at in 0..whole.len() {
        let mut lines = whole.clone();
        lines.remove(at);
        // Problems are seen at the line that follows.
        let line = at as u64 + 1;
        let expected = match at {
            0 => vec![(ProblemKind::TruncatedFront, line)],
            5 => vec![],
            _ => vec![(ProblemKind::Removed, line)],
        };
        assert_eq!(problems(&lines), expected, "line {line}");
    }
}

#[test]
fn any_line_that_is_there_twice_is_found() {
    let whole = chain("guard-0");
    for from in 0..whole.len() {
        for to in from + 1..=whole.len() {
            let mut lines = whole.clone();
            lines.insert(to, whole[from].clone());
            let found = problems(&lines);
            assert_eq!(found, [(ProblemKind::Inserted, to as u64 + 1)], "{from} before {to}");
        }
    }
}

#[test]
fn any_two_lines_that_change_places_are_found() {
    let whole = chain("guard-0");
    for (first, second) in (0..whole.len()).flat_map(|a| (a + 1..whole.len()).map(move |b| (a, b)))
    {
        let mut lines = whole.clone();
        lines.swap(first, second);
        let found = problems(&lines);
        let kinds: Vec<_> = found.iter().map(|(kind, _)| *kind).collect();
        let kind = if first == 0 { ProblemKind::Inserted } else { ProblemKind::Reordered };
        assert!(kinds.contains(&kind), "{first} and {second}: {found:?}");
    }
}

#[test]
fn a_change_that_is_sealed_anew_breaks_the_chain_after_it() {
    let mut lines = chain("guard-0");
    let Line::Sealed(before) = Line::read(lines[1].as_bytes()) else { panic!("a record") };
    let forged = br#"{"event":"decision","version":1,"name":"forged","findings":[]}"#.to_vec();
    lines[2] = sealed(&mut Chain::resume(&before, "guard-0"), &[forged])[0].clone();
    assert_eq!(problems(&lines), [(ProblemKind::Changed, 4)]);
}

#[test]
fn a_changed_line_is_one_problem_whatever_was_changed() {
    for (name, from, to) in [
        ("the record", "\"vault\"", "\"other\""),
        ("its number", "\"sequence\":1,", "\"sequence\":9,"),
        ("its end", "\"}", "\"]"),
    ] {
        let mut lines = chain("guard-0");
        lines[1] = lines[1].replace(from, to);
        assert_eq!(problems(&lines), [(ProblemKind::Changed, 2)], "{name}");
    }
}

#[test]
fn replicas_and_other_lines_may_be_mixed() {
    let [first, second] = ["guard-0", "guard-1"].map(chain);
    let serving = r#"{"event":"serving","url":"https://[::]:8443/validate"}"#.to_owned();
    let mixed: Vec<_> = first
        .into_iter()
        .zip(second)
        .flat_map(|(a, b)| [serving.clone(), a, b, "thread main panicked".to_owned()])
        .collect();
    let report = verify(&text(&mixed));
    assert!(report.whole, "{report:?}");
    assert_eq!((report.chains.len(), report.records, report.dropped), (2, 12, 14));
}

#[test]
fn a_chain_may_begin_with_a_file_and_in_the_middle_only_if_asked() {
    let mut own = Chain::begin("guard-0");
    let rotated = sealed(&mut own, &[b"{}".to_vec(), json(&Rotated::new(3)), json(&Closed::new())]);
    let report = verify(&text(&rotated[1..]));
    assert!(report.whole, "{report:?}");
    assert_eq!(report.chains[0].begins, Begins::Rotated);

    let tail = text(&chain("guard-0")[2..]);
    assert_eq!(verify(&tail).problems[0].kind, ProblemKind::TruncatedFront);
    let mut partial = Verifier::new(true, None);
    partial.read("a", &*tail).unwrap();
    let report = partial.finish();
    assert!(report.whole && report.chains[0].begins == Begins::Middle, "{report:?}");
}

#[test]
fn a_line_cut_short_is_torn_and_no_change() {
    let lines = chain("guard-0");
    let whole = text(&lines);
    let last_starts = whole.len() - lines[5].len() - 1;
    for end in last_starts..whole.len() {
        let report = verify(&whole[..end]);
        assert!(report.whole, "{end}: {report:?}");
        let torn = (last_starts < end && end < whole.len() - 1)
            .then(|| Place { path: "a".into(), line: 6 });
        assert_eq!(report.torn, torn.into_iter().collect::<Vec<_>>(), "{end}");
    }
}

#[test]
fn a_torn_line_is_torn_only_as_the_next_record_tells_of_it() {
    let mut chain = Chain::begin("guard-0");
    let opened = |torn| json(&Opened::new(crate::config::Fingerprint::default(), true, torn));
    let first = sealed(&mut chain, &[opened(None)]).remove(0);
    for rest in ["{\"event\":\"dec", "{\"event\":\"decision\",\"chainId\":\"00", "a\nb\n"] {
        let torn = Some(Torn::of(rest.as_bytes()));
        let Line::Sealed(last) = Line::read(first.as_bytes()) else { panic!("a record") };
        let next = &sealed(&mut Chain::resume(&last, "guard-0"), &[opened(torn)])[0];
        let text = format!("{first}\n{rest}\n{next}\n");
        let report = verify(text.as_bytes());
        assert!(report.whole, "{report:?}");
        assert_eq!(report.torn, [Place { path: "a".into(), line: 2 }]);
        for changed in [text.replacen(rest, "", 1), text.replacen(rest, &format!("{rest} "), 1)] {
            assert_eq!(verify(changed.as_bytes()).problems[0].kind, ProblemKind::Changed);
        }
    }
}

#[test]
fn a_known_hash_shows_that_the_end_is_missing() {
    let lines = chain("guard-0");
    let last = verify(&text(&lines)).chains[0].last_hash;
    for (lines, whole) in [(&lines[..], true), (&lines[..5], false)] {
        let mut verifier = Verifier::new(false, Some(last));
        verifier.read("a", &*text(lines)).unwrap();
        let report = verifier.finish();
        assert_eq!(report.whole, whole, "{report:?}");
        assert!(whole || report.problems[0].kind == ProblemKind::Missing);
    }
}
