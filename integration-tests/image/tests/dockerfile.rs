//! The Dockerfile cannot be built by every test machine, but it can be read: it
//! makes the image that `make image` makes, with the toolchain of all else.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{collections::BTreeSet, fs};

use nfs_guard_image::{BUILD, ENTRYPOINT, Package, USER};

#[test]
fn builds_with_the_pinned_toolchain_as_make_image_does() {
    let [build, _] = stages();
    let toolchain = read("rust-toolchain.toml");
    let pinned = toolchain.lines().find_map(|line| line.strip_prefix("channel = ")).unwrap();
    let base = format!("rust:{}-bookworm AS build", pinned.trim_matches('"'));
    assert_eq!(build.only("FROM"), base);
    let run = build.only("RUN");
    let commands: Vec<_> = run.split("&&").map(str::trim).collect();
    assert_eq!(commands[0], format!("cargo {}", BUILD.join(" ")));
    assert_eq!(commands[1..], [format!("install -m 0555 target/*/release/nfs-guard {ENTRYPOINT}")]);
}

#[test]
fn holds_the_program_alone_and_runs_it_as_the_same_user() {
    let [_, image] = stages();
    assert_eq!(image.only("FROM"), "scratch");
    assert_eq!(image.only("COPY"), format!("--from=build {ENTRYPOINT} {ENTRYPOINT}"));
    assert_eq!(image.only("USER"), USER);
    assert_eq!(image.only("ENTRYPOINT"), format!("[\"{ENTRYPOINT}\"]"));
    let instructions: BTreeSet<_> = image.0.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(instructions, ["COPY", "ENTRYPOINT", "FROM", "LABEL", "USER"].into());
}

#[test]
fn says_the_same_of_itself() {
    let [_, image] = stages();
    let (package, _) = Package::read().unwrap();
    let labels: Vec<_> =
        package.labels().iter().map(|(name, value)| format!("{name}=\"{value}\"")).collect();
    let mut written = image.only("LABEL").to_owned();
    for label in &labels {
        assert!(written.contains(label), "no {label} in {written}");
        written = written.replace(label, "");
    }
    assert_eq!(written.trim(), "", "and nothing else");
}

#[test]
fn is_given_every_member_of_the_workspace() {
    let workspace = read("Cargo.toml");
    let members = workspace.lines().find_map(|line| line.strip_prefix("members = ")).unwrap();
    let members: Vec<String> = serde_json::from_str(members).unwrap();
    let ignored = read(".dockerignore");
    let given: BTreeSet<_> = ignored.lines().filter_map(|line| line.strip_prefix('!')).collect();
    let files = [".cargo", "Cargo.lock", "Cargo.toml"];
    // One that lies in another comes with it.
    let folders = members.iter().filter_map(|member| member.split('/').next());
    assert_eq!(given, folders.chain(files).collect());
}

/// The instructions of a stage, in order.
struct Stage(Vec<(String, String)>);

impl Stage {
    /// The arguments of an instruction that stands once.
    fn only(&self, instruction: &str) -> &str {
        let mut found = self.0.iter().filter(|(name, _)| name == instruction);
        let (_, arguments) = found.next().unwrap();
        assert_eq!(found.count(), 0, "{instruction} stands once");
        arguments
    }
}

/// The Dockerfile without its comments, lines that go on joined.
fn stages() -> [Stage; 2] {
    let file = read("Dockerfile");
    let lines: Vec<_> = file.lines().filter(|line| !line.starts_with('#')).collect();
    let mut stages = Vec::new();
    for line in lines.join("\n").replace("\\\n", "").lines() {
        let Some((name, arguments)) = line.split_once(' ') else { continue };
        if name == "FROM" {
            stages.push(Stage(Vec::new()));
        }
        let words: Vec<_> = arguments.split_whitespace().collect();
        stages.last_mut().unwrap().0.push((name.to_owned(), words.join(" ")));
    }
    stages.try_into().ok().expect("two stages")
}

fn read(file: &str) -> String {
    fs::read_to_string(format!("{}/../../{file}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}
