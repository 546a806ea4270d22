mod page;

use std::{
    io::{self, Write},
    iter,
};

use anstyle::{AnsiColor, Style};
use clap::{Args, ValueEnum};
use nfs_guard_policies::{
    backing::Kind,
    catalogue::{Catalogue, Driver},
};
use serde::Serialize;

use super::{ConfigArgument, Exit, Failure, output::print_json, printed};
use crate::{config, manifest::InputError};

/// Say what the volumes of a driver end up on, when, and how that is known
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  nfs-guard explain-driver driver.longhorn.io\n  \
                        nfs-guard explain-driver --config nfs-guard.yaml -o json\n\n\
                        The drivers of the configuration come before the compiled-in ones.\n\
                        Exit codes: 0 known, 2 not known, or the configuration is none.")]
pub(super) struct ExplainDriver {
    /// Name of a CSI driver or provisioner; without it, all that are known
    name: Option<String>,
    #[command(flatten)]
    config: ConfigArgument,
    /// Form of the answer
    #[arg(short, long, default_value = "table")]
    output: Output,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Output {
    /// For a person.
    Table,
    /// For a machine: the entries as a configuration would write them, in words
    /// too.
    Json,
    /// The page docs/drivers.md.
    Markdown,
}

/// How alike two names are, from 0 to 1, for one to be worth mentioning.
const ALIKE: f64 = 0.6;

/// How many names are mentioned.
const MENTIONED: usize = 3;

/// The answer of `explain-driver`, version 1.
#[derive(Debug, Serialize)]
struct DriversReport<'c> {
    version: u32,
    drivers: Vec<Explained<'c>>,
}

/// One driver.
#[derive(Debug, Serialize)]
struct Explained<'c> {
    #[serde(flatten)]
    driver: &'c Driver,
    /// What it ends up on and when, in a sentence.
    storage: String,
    /// Whether the configuration holds it, rather than the catalogue.
    configured: bool,
}

impl ExplainDriver {
    pub(super) fn run(&self) -> Result<Exit, Failure> {
        let own = config::load(self.config.config.as_deref())?.config.drivers;
        let catalogue = Catalogue::with(&own);
        let drivers = match &self.name {
            Some(name) => vec![one(&catalogue, own.len(), name)?],
            None => all(&catalogue, own.len()),
        };
        match self.output {
            Output::Table => {
                let mut output = anstream::stdout();
                printed(match (&self.name, &*drivers) {
                    (Some(name), [driver]) => print_one(&mut output, name, driver),
                    _ => print_all(&mut output, &drivers),
                })?;
            }
            Output::Json => {
                let report = DriversReport { version: 1, drivers };
                print_json(&report)?;
            }
            Output::Markdown => {
                printed(write!(io::stdout(), "{}", page::markdown(&drivers)))?;
            }
        }
        Ok(Exit::Good)
    }
}

/// Every entry that is of use, in the order they are asked: one whose names
/// earlier ones have taken is left out.
fn all(catalogue: &Catalogue, own: usize) -> Vec<Explained<'_>> {
    let entries = catalogue.drivers().iter().enumerate();
    let reached = entries.filter(|(_, driver)| {
        let mut names = driver.names.iter();
        !driver.patterns.is_empty()
            || names.any(|name| catalogue.find(name).is_some_and(|at| std::ptr::eq(at, *driver)))
    });
    reached.map(|(at, driver)| Explained::new(driver, at < own)).collect()
}

fn one<'c>(catalogue: &'c Catalogue, own: usize, name: &str) -> Result<Explained<'c>, InputError> {
    let Some(driver) = catalogue.find(name) else {
        let alike = alike(catalogue, name);
        let hint = if alike.is_empty() {
            "explain-driver without a name lists all".to_owned()
        } else {
            format!("there is {}", alike.join(", "))
        };
        return Err(InputError::whole(name, format!("no driver of that name is known; {hint}")));
    };
    let own = &catalogue.drivers()[..own];
    let configured = own.iter().any(|entry| std::ptr::eq(entry, driver));
    Ok(Explained::new(driver, configured))
}

/// The names most like the one that was not found, the best first.
fn alike<'c>(catalogue: &'c Catalogue, name: &str) -> Vec<&'c str> {
    let sought = name.to_ascii_lowercase();
    let names = catalogue.drivers().iter().flat_map(|driver| &driver.names);
    let scored = names.map(|name| {
        let known = name.to_ascii_lowercase();
        let score = if known.contains(&sought) {
            1.0
        } else {
            strsim::normalized_damerau_levenshtein(&known, &sought)
        };
        (score, &**name)
    });
    let mut scored: Vec<_> = scored.filter(|(score, _)| *score >= ALIKE).collect();
    scored.sort_by(|(a, _), (b, _)| b.total_cmp(a));
    scored.into_iter().take(MENTIONED).map(|(_, name)| name).collect()
}

impl<'c> Explained<'c> {
    fn new(driver: &'c Driver, configured: bool) -> Self {
        Self { driver, storage: driver.to_string(), configured }
    }

    /// What it is called: its first name, or what its names look like.
    fn title(&self) -> &str {
        let name = self.driver.names.first().map(String::as_str);
        name.or_else(|| Some(self.driver.patterns.first()?.as_str())).unwrap_or_default()
    }

    /// What its volumes can be, NFS first.
    fn kinds(&self) -> Vec<Kind> {
        let cases = self.driver.cases.iter().map(|case| case.backing);
        let mut kinds: Vec<Kind> = cases.chain([self.driver.otherwise]).collect();
        kinds.sort_unstable();
        kinds.dedup();
        kinds
    }

    fn fs_group(&self) -> String {
        let Driver { fs_group_policy, default_fs_type, takes_fs_group, .. } = self.driver;
        if *takes_fs_group {
            return "the driver applies it; fsGroupChangePolicy is ignored".to_owned();
        }
        let policy = fs_group_policy.as_ref();
        let policy = policy.map_or("policy not known".to_owned(), ToString::to_string);
        match default_fs_type {
            Some(fs_type) => format!("{policy}, fsType {fs_type} where the class names none"),
            None => policy,
        }
    }
}

fn print_one(output: &mut impl Write, name: &str, explained: &Explained<'_>) -> io::Result<()> {
    let Driver { names, patterns, version_fixed, evidence, .. } = explained.driver;
    let bold = Style::new().bold();
    writeln!(output, "{bold}{name}{bold:#}")?;
    let others: Vec<&str> = names
        .iter()
        .map(String::as_str)
        .filter(|other| !other.eq_ignore_ascii_case(name))
        .chain(patterns.iter().map(nfs_guard_policies::catalogue::Pattern::as_str))
        .collect();
    let fixed = version_fixed.as_ref().map(|version| format!("{version}, whatever the options"));
    for (title, text) in storage(explained.driver) {
        writeln!(output, "  {title:11}  {text}")?;
    }
    let lines = [
        ("NFS version", fixed),
        ("fsGroup", Some(explained.fs_group())),
        ("also called", (!others.is_empty()).then(|| others.join(", "))),
        ("entry of", explained.configured.then(|| "the configuration".to_owned())),
        ("known from", evidence.clone()),
    ];
    for (title, text) in lines {
        if let Some(text) = text {
            writeln!(output, "  {title:11}  {text}")?;
        }
    }
    Ok(())
}

/// What its volumes end up on, a case a line.
fn storage(driver: &Driver) -> impl Iterator<Item = (&'static str, String)> {
    let cases = driver.cases.iter().map(ToString::to_string);
    let kind = driver.otherwise.describe();
    let last = if driver.cases.is_empty() { "always" } else { "otherwise" };
    let titles = iter::once("storage").chain(iter::repeat(""));
    titles.zip(cases.chain([format!("{last} {kind}")]))
}

fn print_all(output: &mut impl Write, drivers: &[Explained<'_>]) -> io::Result<()> {
    let kinds = |explained: &Explained<'_>| {
        explained.kinds().into_iter().map(Kind::as_str).collect::<Vec<_>>().join(", ")
    };
    let widest =
        |of: &dyn Fn(&Explained<'_>) -> usize| drivers.iter().map(of).max().unwrap_or_default();
    let (first, second) =
        (widest(&|driver| driver.title().len()), widest(&|driver| kinds(driver).len()));
    let bold = Style::new().bold();
    writeln!(output, "{bold}{:first$}  {:second$}  STORAGE{bold:#}", "DRIVER", "MAY BE")?;
    for explained in drivers {
        let style = match explained.kinds()[0] {
            Kind::Nfs => AnsiColor::Red.on_default(),
            Kind::Unknown => AnsiColor::Yellow.on_default(),
            _ => Style::new(),
        };
        let (title, kinds) = (explained.title(), kinds(explained));
        writeln!(output, "{style}{title:first$}{style:#}  {kinds:second$}  {}", explained.storage)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn configured(json: &str) -> Vec<Driver> {
        serde_json::from_str(json).unwrap()
    }

    fn told(catalogue: &Catalogue, own: usize, name: &str) -> String {
        let mut output = Vec::new();
        print_one(&mut output, name, &one(catalogue, own, name).unwrap()).unwrap();
        anstream::adapter::strip_str(&String::from_utf8(output).unwrap()).to_string()
    }

    #[test]
    fn a_driver_is_explained_in_sentences() {
        let catalogue = Catalogue::with(&[]);
        assert_eq!(
            told(&catalogue, 0, "Blob.csi.azure.com").lines().take(5).collect::<Vec<_>>(),
            [
                "Blob.csi.azure.com",
                "  storage      NFS when the class parameter protocol is nfs, nfsv3 or aznfs, or \
                 the volume attribute protocol is nfs, nfsv3 or aznfs",
                "               otherwise network filesystem other than NFS",
                "  NFS version  3, whatever the options",
                "  fsGroup      the driver applies it; fsGroupChangePolicy is ignored",
            ]
        );
        let zadara = told(&catalogue, 0, "csi.zadara.com");
        assert!(
            zadara.contains("ReadWriteOnceWithFSType, fsType nfs where the class names none"),
            "{zadara}"
        );
        let ceph = told(&catalogue, 0, "prod.nfs.csi.ceph.com");
        assert!(
            ceph.contains("also called  nfs.csi.ceph.com, rook-ceph.nfs.csi.ceph.com"),
            "{ceph}"
        );
    }

    #[test]
    fn the_configurations_entry_is_the_one_explained() {
        let own = configured(r#"[{"names": ["nfs.csi.k8s.io"], "otherwise": "block"}]"#);
        let catalogue = Catalogue::with(&own);
        let told = told(&catalogue, own.len(), "nfs.csi.k8s.io");
        assert!(told.contains("always block device\n"), "{told}");
        assert!(told.contains("entry of     the configuration\n"), "{told}");
        let listed = all(&catalogue, own.len());
        let named = |driver: &&Explained<'_>| driver.title() == "nfs.csi.k8s.io";
        assert_eq!(listed.iter().filter(named).count(), 1, "the one it replaces is left out");
        assert_eq!(listed.iter().filter(|driver| driver.configured).count(), 1);
    }

    #[test]
    fn an_unknown_name_is_refused_with_those_most_like_it() {
        let catalogue = Catalogue::with(&[]);
        for (name, expected) in [
            ("longhorn", "driver.longhorn.io"),
            ("nfs.csi.k8s.oi", "nfs.csi.k8s.io"),
            ("efs.csi.amazonaws.com", "efs.csi.aws.com"),
        ] {
            let error = one(&catalogue, 0, name).unwrap_err().to_string();
            assert!(error.starts_with(&format!("{name}: no driver of that name")), "{error}");
            assert!(error.contains(expected), "{error}");
        }
        let task = ExplainDriver {
            name: Some("longhorn".into()),
            config: ConfigArgument { config: None },
            output: Output::Table,
        };
        assert!(matches!(task.run(), Err(Failure::Input(_))), "bad input: exit code 2");
        let error = one(&catalogue, 0, "zzzz").unwrap_err().to_string();
        assert!(error.ends_with("without a name lists all"), "{error}");
    }

    #[test]
    fn the_json_holds_the_entry_as_it_is_written_and_in_words() {
        let own = configured(r#"[{"names": ["a"], "otherwise": "nfs", "versionFixed": "3"}]"#);
        let catalogue = Catalogue::with(&own);
        let json = serde_json::to_value(one(&catalogue, 1, "a").unwrap()).unwrap();
        assert_eq!(
            json,
            serde_json::json!({
                "names": ["a"], "otherwise": "nfs", "versionFixed": "3",
                "storage": "always NFS", "configured": true,
            })
        );
    }

    #[test]
    fn the_list_says_of_each_what_it_may_be() {
        let catalogue = Catalogue::with(&[]);
        let mut output = Vec::new();
        print_all(&mut output, &all(&catalogue, 0)).unwrap();
        let text = anstream::adapter::strip_str(&String::from_utf8(output).unwrap()).to_string();
        assert_eq!(text.lines().count(), 1 + catalogue.drivers().len());
        let longhorn = text.lines().find(|line| line.starts_with("driver.longhorn.io ")).unwrap();
        assert!(longhorn.contains("  nfs, block "), "{longhorn}");
    }
}
