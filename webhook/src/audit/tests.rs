//! What the writer writes, and that it can be verified whatever happened.

use std::{
    fs,
    io::{self, Write},
    path::Path,
    sync::{Arc, Mutex},
};

use serde_json::Value;

use super::{
    queue::MOST_WAITING,
    record::Line,
    verify::{Report, Verifier},
    *,
};
use crate::metrics::Metrics;

fn origin() -> Origin {
    Origin { instance: "guard-0".to_owned(), ..Origin::default() }
}

fn record(name: &str) -> Vec<u8> {
    format!(r#"{{"event":"decision","name":"{name}"}}"#).into_bytes()
}

/// What an output got, piece by piece.
#[derive(Clone, Default)]
struct Pieces(Arc<Mutex<Vec<Vec<u8>>>>);

impl Pieces {
    fn text(&self) -> Vec<u8> {
        self.0.lock().unwrap().concat()
    }
}

impl Write for Pieces {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().push(piece.to_vec());
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Takes a few bytes, then fails, and so on: a disk that is full now and then.
#[derive(Default)]
struct Grudging {
    pieces: Pieces,
    asked: usize,
}

impl Write for Grudging {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        self.asked += 1;
        match self.asked % 3 {
            0 if self.asked < 10 => Err(io::ErrorKind::StorageFull.into()),
            _ => self.pieces.write(&piece[..piece.len().min(100)]),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn verify(text: &[u8]) -> Report {
    let mut verifier = Verifier::default();
    verifier.read("a", text).unwrap();
    verifier.finish()
}

fn lines(text: &[u8]) -> Vec<Value> {
    let text = std::str::from_utf8(text).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn what_waits_together_is_written_together_in_order_between_opened_and_closed() {
    let (audit, writer) = audit(Arc::default());
    for name in ["first", "second", "third"] {
        assert!(audit.queue(record(name)));
    }
    drop(audit);
    let pieces = Pieces::default();
    writer.run(Log::to_stream(Box::new(pieces.clone()), &origin()));
    assert_eq!(pieces.0.lock().unwrap().len(), 3, "opened, all records, closed");
    let lines = lines(&pieces.text());
    let told = |line: &Value| line["name"].as_str().or(line["event"].as_str()).map(str::to_owned);
    let told: Vec<_> = lines.iter().filter_map(told).collect();
    assert_eq!(told, ["opened", "first", "second", "third", "closed"]);
    assert!(lines.iter().all(|line| line["instance"] == "guard-0"), "{lines:?}");
    let report = verify(&pieces.text());
    assert!(report.whole && report.chains[0].closed, "{report:?}");
}

#[test]
fn a_write_that_fails_is_taken_up_where_it_stopped() {
    let metrics = Arc::new(Metrics::default());
    let (audit, writer) = audit(Arc::clone(&metrics));
    for name in ["first", "second", "third"] {
        assert!(audit.queue(record(name)));
    }
    drop(audit);
    let grudging = Grudging::default();
    let pieces = grudging.pieces.clone();
    writer.run(Log::to_stream(Box::new(grudging), &origin()));
    let report = verify(&pieces.text());
    assert!(report.whole && report.records == 5, "{report:?}");
    let metrics = metrics.render(&nfs_guard_policies::Snapshot::default(), 0);
    assert!(metrics.contains("\nnfs_guard_audit_write_errors_total 3\n"), "{metrics}");
    assert!(metrics.contains("\nnfs_guard_audit_records_total 3\n"), "{metrics}");
    assert!(metrics.contains("\nnfs_guard_audit_queue_bytes 0\n"), "{metrics}");
}

#[test]
fn what_does_not_fit_is_counted_and_the_chain_says_so() {
    let metrics = Arc::new(Metrics::default());
    let (audit, writer) = audit(Arc::clone(&metrics));
    let large = record(&"x".repeat(1 << 20));
    let queued = (0..6).filter(|_| audit.queue(large.clone())).count();
    assert_eq!(queued, MOST_WAITING / large.len());
    let small = (0..MOST_WAITING).take_while(|_| audit.queue(record("small"))).count();
    assert!(small > 0, "what is small still fits");
    drop(audit);
    let pieces = Pieces::default();
    writer.run(Log::to_stream(Box::new(pieces.clone()), &origin()));

    let lost = 6 - queued + 1;
    let report = verify(&pieces.text());
    assert!(report.whole, "{report:?}");
    assert_eq!(report.dropped, lost as u64);
    let lines = lines(&pieces.text());
    let dropped: Vec<_> = lines.iter().filter(|line| line["event"] == "dropped").collect();
    assert_eq!(dropped.len(), 1, "all of one time in one record");
    assert_eq!(dropped[0]["count"], lost);
    assert!(dropped[0]["since"].as_str() <= dropped[0]["until"].as_str(), "{dropped:?}");
    let metrics = metrics.render(&nfs_guard_policies::Snapshot::default(), 0);
    let told = format!("\nnfs_guard_audit_dropped_total {lost}\n");
    assert!(metrics.contains(&told), "{metrics}");
}

/// A log in a file, written once with those records.
fn write(path: &Path, max_size: u64, records: &[Vec<u8>]) {
    let (audit, writer) = audit(Arc::default());
    for record in records {
        assert!(audit.queue(record.clone()));
    }
    drop(audit);
    let file = LogFile::open(path, Rotation { max_size, keep: 3 }).unwrap();
    writer.run(Log::to_file(file, &origin()));
}

fn verify_files(paths: &[&Path]) -> Report {
    let mut verifier = Verifier::default();
    for path in paths {
        verifier.read(&path.display().to_string(), &*fs::read(path).unwrap()).unwrap();
    }
    verifier.finish()
}

#[test]
fn a_full_file_is_rotated_and_the_chain_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.jsonl");
    let records: Vec<_> = (0..60).map(|number| record(&format!("{number:0>1000}"))).collect();
    write(&path, 8 << 10, &records);

    let mut names: Vec<_> =
        fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["audit.jsonl", "audit.jsonl.1", "audit.jsonl.2", "audit.jsonl.3"]);
    let [one, two, three] =
        ["1", "2", "3"].map(|number| path.with_extension(format!("jsonl.{number}")));
    let report = verify_files(&[&three, &two, &one, &path]);
    assert!(report.whole, "{report:?}");
    assert_eq!(report.chains.len(), 1);
    assert_eq!(report.chains[0].begins, verify::Begins::Rotated);
    for file in [&path, &one, &two, &three] {
        assert!(fs::metadata(file).unwrap().len() <= 8 << 10, "{}", file.display());
        let first = &lines(&fs::read(file).unwrap())[0];
        assert_eq!((&first["event"], &first["keep"]), (&"rotated".into(), &3.into()), "{first}");
    }
}

#[test]
fn a_restart_goes_on_with_the_chain_of_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.jsonl");
    for _ in 0..3 {
        write(&path, 1 << 20, &[record("a")]);
    }
    let report = verify_files(&[&path]);
    assert!(report.whole, "{report:?}");
    assert_eq!((report.chains.len(), report.records), (1, 9));
    let lines = lines(&fs::read(&path).unwrap());
    let opened = lines.iter().filter(|line| line["event"] == "opened");
    let continued: Vec<_> = opened.map(|line| line["continued"].as_bool().unwrap()).collect();
    assert_eq!(continued, [false, true, true]);
}

#[test]
fn what_a_crash_left_is_kept_and_told_of() {
    for (name, cut, torn) in [
        ("in the middle of a line", 40, true),
        ("before the newline", 1, false),
        ("nowhere", 0, false),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        write(&path, 1 << 20, &[record("a")]);
        let mut left = fs::read(&path).unwrap();
        left.truncate(left.len() - cut);
        fs::write(&path, &left).unwrap();
        // And once more, before the next one could write a whole line.
        write(&path, 1 << 20, &[record("b")]);
        let text = fs::read(&path).unwrap();
        assert!(text.starts_with(&left), "{name}");
        let report = verify(&text);
        assert!(report.whole, "{name}: {report:?}");
        assert_eq!((report.chains.len(), report.torn.len()), (1, usize::from(torn)), "{name}");
    }
}

#[test]
fn a_crash_between_two_files_does_not_end_the_chain() {
    for (rest, records) in [("", 7), ("{\"event\":\"rota", 6)] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        write(&path, 1 << 20, &[record("a")]);
        let old = path.with_extension("jsonl.1");
        fs::rename(&path, &old).unwrap();
        fs::write(&path, rest).unwrap();
        write(&path, 1 << 20, &[record("b")]);
        let report = verify_files(&[&old, &path]);
        assert!(report.whole, "{report:?}");
        assert_eq!((report.chains.len(), report.records), (1, records));
        // The old file goes in time.
        let report = verify_files(&[&path]);
        assert!(report.whole, "{report:?}");
        assert_eq!(report.chains[0].begins, verify::Begins::Rotated);
    }
}

#[test]
fn what_is_no_log_begins_a_chain_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.jsonl");
    fs::write(&path, "somebody's notes\n").unwrap();
    write(&path, 1 << 20, &[record("a")]);
    let text = fs::read(&path).unwrap();
    assert!(text.starts_with(b"somebody's notes\n"));
    let report = verify(&text);
    assert!(report.whole && report.chains[0].first == 0, "{report:?}");
}

#[test]
fn a_file_has_one_writer_and_is_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.jsonl");
    let rotation = Rotation { max_size: 1 << 20, keep: 3 };
    let first = LogFile::open(&path, rotation).unwrap();
    assert!(matches!(LogFile::open(&path, rotation), Err(OpenError::InUse)));
    drop(first);
    LogFile::open(&path, rotation).unwrap();
    assert!(matches!(LogFile::open(folder.path(), rotation), Err(OpenError::Unusable(_))));
    let full = LogFile::open(Path::new("/dev/full"), rotation);
    assert!(matches!(full, Err(OpenError::NotAFile)), "{full:?}");
}

#[test]
fn a_file_that_cannot_be_rotated_is_used_further() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.jsonl");
    // A folder where the new file should be made.
    fs::create_dir_all(path.with_extension("jsonl.new").join("x")).unwrap();
    let records: Vec<_> = (0..20).map(|number| record(&format!("{number:0>1000}"))).collect();
    write(&path, 8 << 10, &records);
    let report = verify_files(&[&path]);
    assert!(report.whole && report.records == 22, "{report:?}");
}

#[test]
fn the_schema_describes_every_line_to_its_last_field() {
    let schema = serde_json::to_value(schemars::schema_for!(Line)).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.jsonl");
    let records: Vec<_> = (0..20).map(|number| record(&format!("{number:0>1000}"))).collect();
    write(&path, 8 << 10, &records);
    let now = jiff::Timestamp::now();
    write(&path, 8 << 10, &[record::json(&record::Dropped::new(1, now, now))]);
    let mut seen = std::collections::BTreeSet::new();
    for file in ["", ".1", ".2", ".3"] {
        let Ok(text) = fs::read(format!("{}{file}", path.display())) else { continue };
        for line in lines(&text).iter().filter(|line| line["event"] != "decision") {
            let event = line["event"].as_str().unwrap();
            let form = schema["$defs"].as_object().unwrap().values();
            let form = form
                .filter(|form| form["properties"]["event"]["const"] == event)
                .collect::<Vec<_>>();
            let described: Vec<_> = form[0]["properties"].as_object().unwrap().keys().collect();
            let mut written: Vec<_> = line.as_object().unwrap().keys().collect();
            written.sort();
            assert_eq!(written, described, "{event}");
            seen.insert(event.to_owned());
        }
    }
    let events: Vec<_> = seen.iter().map(String::as_str).collect();
    assert_eq!(events, ["closed", "dropped", "opened", "rotated"]);
}

#[test]
fn the_page_tells_of_every_field() {
    const PAGE: &str = include_str!("../../../docs/audit.md");
    let schema = serde_json::to_value(schemars::schema_for!(Line)).unwrap();
    let forms = schema["$defs"].as_object().unwrap();
    let fields: std::collections::BTreeSet<_> = forms
        .values()
        .filter_map(|form| form["properties"].as_object())
        .flat_map(|properties| properties.keys())
        .collect();
    assert!(fields.len() > 30, "{fields:?}");
    for field in fields {
        assert!(PAGE.contains(&format!("`{field}`")), "{field} is not described");
    }
}
