//! What the documents say of the tests.

use std::{
    fs,
    path::{Path, PathBuf},
};

const PATHS: &str = include_str!("../../../docs/enforcement.md");

/// Where the tests are that it names.
const SOURCES: [&str; 3] = ["../policies/src", "../webhook/src", "tests/it"];

#[test]
fn every_path_to_nfs_names_a_gate_and_tests_that_exist() {
    let sources: String = SOURCES
        .into_iter()
        .flat_map(|folder| rust_files(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)))
        .map(|file| fs::read_to_string(file).unwrap())
        .collect();
    let (_, table) = PATHS.split_once("| path by which").unwrap();
    let (table, _) = table.split_once("\n\n").unwrap();
    for row in table.lines().skip(2) {
        let [path, gate, tests] = row.trim_matches('|').split(" | ").collect::<Vec<_>>()[..] else {
            panic!("not three cells: {row}");
        };
        assert!(!gate.trim().is_empty(), "no gate:{path}");
        let named: Vec<_> = tests.split('`').skip(1).step_by(2).collect();
        assert!(!named.is_empty(), "no test:{path}");
        for test in named.into_iter().filter(|name| !name.contains([' ', '/'])) {
            let name = test.rsplit("::").next().unwrap();
            let forms = [format!("fn {name}("), format!("mod {name};")];
            assert!(forms.iter().any(|form| sources.contains(form)), "there is no {test}:{path}");
        }
    }
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let files = entries.flat_map(|path| {
        let is_rust = path.extension().is_some_and(|extension| extension == "rs");
        if path.is_dir() { rust_files(&path) } else { Vec::from_iter(is_rust.then_some(path)) }
    });
    files.collect()
}
