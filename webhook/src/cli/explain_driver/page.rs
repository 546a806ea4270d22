use std::fmt::{self, Display, Formatter};

use nfs_guard_policies::backing::Kind;

use super::Explained;

const HEAD: &str = "\
# Drivers

<!-- Written by `nfs-guard explain-driver -o markdown`; a test fails when it is stale. -->

What the compiled-in catalogue knows of CSI drivers and provisioners: what their volumes end up on, what becomes of a pod's
`fsGroup`, and where that was read. [Your own entries](configuration.md#drivers) come before these. A volume handed over raw
(`volumeMode: Block`) is a block device unless an entry says otherwise. Of a driver that is not here, or not decided,
[signs of NFS](configuration.md#signs) may tell.

`fsGroupPolicy` is what the driver ships, or the API's default where it ships none; the `CSIDriver` object in your cluster is the better
source.
";

/// Whether what a driver's volumes may be puts it into a part of the page.
type Belongs = fn(&[Kind]) -> bool;

/// Which drivers go together.
const PARTS: [(&str, Belongs); 4] = [
    ("Always NFS", |kinds| kinds == [Kind::Nfs]),
    ("NFS in some cases", |kinds| kinds.len() > 1 && kinds[0] == Kind::Nfs),
    ("Never NFS", |kinds| kinds[0] != Kind::Nfs && !kinds.contains(&Kind::Unknown)),
    ("Not decided", |kinds| kinds[0] != Kind::Nfs && kinds.contains(&Kind::Unknown)),
];

/// The page of these drivers.
pub(super) fn markdown(drivers: &[Explained<'_>]) -> impl Display {
    struct Page<'a>(&'a [Explained<'a>]);

    impl Display for Page<'_> {
        fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
            f.write_str(HEAD)?;
            for (title, belongs) in PARTS {
                let drivers: Vec<_> =
                    self.0.iter().filter(|driver| belongs(&driver.kinds())).collect();
                if drivers.is_empty() {
                    continue;
                }
                write!(
                    f,
                    "\n## {title}\n\n| driver | storage | fsGroup | known from |\n|---|---|---|---|\n"
                )?;
                for driver in drivers {
                    row(f, driver)?;
                }
            }
            Ok(())
        }
    }

    Page(drivers)
}

fn row(f: &mut Formatter<'_>, explained: &Explained<'_>) -> fmt::Result {
    let driver = explained.driver;
    let names = driver.names.iter().map(|name| format!("`{name}`"));
    let patterns = driver.patterns.iter().map(|pattern| format!("/`{}`/", pattern.as_str()));
    let names: Vec<String> = names.chain(patterns).collect();
    let version = driver.version_fixed.as_ref();
    let version = version.map_or(String::new(), |version| format!("; NFS version {version}"));
    let cells = [
        names.join("<br>"),
        format!("{}{version}", explained.storage),
        explained.fs_group(),
        driver.evidence.clone().unwrap_or_default(),
    ];
    // A bar would end the cell.
    writeln!(f, "| {} |", cells.map(|cell| cell.replace('|', "\\|")).join(" | "))
}

#[cfg(test)]
mod tests {
    use nfs_guard_policies::catalogue::Catalogue;

    use super::{super::all, *};

    #[test]
    fn the_committed_page_is_what_the_command_writes() {
        let catalogue = Catalogue::with(&[]);
        let committed = include_str!("../../../../docs/drivers.md");
        assert!(
            markdown(&all(&catalogue, 0)).to_string() == committed,
            "stale: nfs-guard explain-driver -o markdown > docs/drivers.md"
        );
    }

    #[test]
    fn every_driver_is_on_the_page_once() {
        let catalogue = Catalogue::with(&[]);
        let drivers = all(&catalogue, 0);
        for driver in &drivers {
            let parts = PARTS.iter().filter(|(_, belongs)| belongs(&driver.kinds()));
            assert_eq!(parts.count(), 1, "{}", driver.title());
        }
        let page = markdown(&drivers).to_string();
        assert_eq!(page.lines().filter(|line| line.starts_with("| ")).count(), drivers.len() + 4);
    }
}
