//! The catalogue against a table written by hand: the facts it was made from,
//! one by one, and what is expected of each. Neither is derived from the other,
//! so a slip in one shows.

mod arrays;
mod clouds;
mod fs_group;
mod in_cluster;
mod in_tree;
mod others;
mod slips;

use std::{collections::BTreeSet, io::Write as _};

use super::{
    Catalogue, branches,
    scene::{Given, Moment, at},
};
use crate::{
    backing::Kind,
    facts::AccessMode::{ReadOnlyMany, ReadWriteMany, ReadWriteOnce, ReadWriteOncePod},
    in_tree as sources,
};

/// One fact about a driver, or about a few that go together.
struct Fact {
    name: &'static str,
    says: &'static [Says],
}

enum Says {
    /// What volumes of drivers of these names end up on.
    Drivers(&'static [&'static str], &'static [Row]),
    /// What the source of that field ends up on.
    Source(&'static str, Option<Kind>),
    /// No driver is named; why not.
    Nothing(&'static str),
}

/// When the driver is asked, what is known then, and what is expected.
struct Row(Moment, &'static [Given<'static>], Kind);

const fn fact(name: &'static str, says: &'static [Says]) -> Fact {
    Fact { name, says }
}

const fn class(given: &'static [Given<'static>], expected: Kind) -> Row {
    Row(Moment::Class, given, expected)
}

const fn volume(given: &'static [Given<'static>], expected: Kind) -> Row {
    Row(Moment::Volume, given, expected)
}

const RWO: Given<'_> = Given::Modes(&[ReadWriteOnce]);
const ROX: Given<'_> = Given::Modes(&[ReadOnlyMany]);
const RWX: Given<'_> = Given::Modes(&[ReadWriteOnce, ReadWriteMany]);
const RWOP: Given<'_> = Given::Modes(&[ReadWriteOncePod]);

const ALWAYS_NFS: &[Row] = &[
    class(&[], Kind::Nfs),
    volume(&[], Kind::Nfs),
    volume(&[RWO, Given::FsType("ext4")], Kind::Nfs),
    class(&[Given::Raw], Kind::Block),
];
const ALWAYS_OTHER: &[Row] = &[
    class(&[], Kind::OtherNetworkFs),
    volume(&[], Kind::OtherNetworkFs),
    volume(&[RWX], Kind::OtherNetworkFs),
];
const ALWAYS_BLOCK: &[Row] =
    &[class(&[], Kind::Block), volume(&[], Kind::Block), class(&[RWX], Kind::Block)];
const ALWAYS_LOCAL: &[Row] =
    &[class(&[], Kind::Local), volume(&[], Kind::Local), class(&[RWX], Kind::Local)];

fn facts() -> impl Iterator<Item = &'static Fact> {
    [in_tree::FACTS, clouds::FACTS, arrays::FACTS, in_cluster::FACTS, others::FACTS]
        .into_iter()
        .flatten()
}

#[test]
fn every_fact_holds_and_every_branch_is_tested() {
    let catalogue = Catalogue::with(&[]);
    let mut decided = BTreeSet::new();
    for fact in facts() {
        assert!(!fact.says.is_empty(), "{} says nothing", fact.name);
        for says in fact.says {
            match says {
                Says::Drivers(names, rows) => {
                    for name in *names {
                        decided.extend(check(&catalogue, fact.name, name, rows));
                    }
                }
                Says::Source(field, expected) => {
                    let kind = sources::find(field).map(sources::InTree::kind);
                    assert_eq!(kind, Some(*expected), "{}: {field}", fact.name);
                }
                Says::Nothing(why) => assert!(!why.is_empty(), "{}", fact.name),
            }
        }
    }
    let (mut conditions, mut branches) = (0, 0);
    for (entry, driver) in catalogue.drivers().iter().enumerate() {
        for branch in 0..=driver.cases.len() {
            let what = driver.cases.get(branch).map_or("otherwise".into(), |c| c.when.to_string());
            assert!(decided.contains(&(entry, branch)), "{:?}: {what}: no row", driver.names);
        }
        for case in &driver.cases {
            let (single, shown) = branches::tally(&case.when);
            assert_eq!(shown, 2 * single, "{:?}: {}", driver.names, case.when);
            conditions += single;
            branches += shown;
        }
    }
    let drivers = facts().count();
    // Past the harness, which keeps what a passing test prints to itself.
    writeln!(
        std::io::stderr(),
        "{drivers} drivers, {conditions} conditions, {branches} branches tested"
    )
    .unwrap();
}

/// Asks one driver for every row: which case of which entry decided each.
fn check(
    catalogue: &Catalogue,
    fact: &str,
    name: &str,
    rows: &[Row],
) -> impl Iterator<Item = (usize, usize)> {
    assert!(!rows.is_empty(), "{fact}: nothing is expected of {name}");
    let entry = catalogue.position(name).unwrap_or_else(|| panic!("{fact}: no entry of {name}"));
    let driver = &catalogue.drivers()[entry];
    rows.iter().map(move |Row(moment, given, expected)| {
        at(*moment, given, |probe| {
            let judged = driver.judge(probe);
            assert_eq!(judged, *expected, "{fact}: {name}: {moment:?} with {given:?}");
            let case = driver.cases.iter().position(|case| case.when.holds(probe));
            (entry, case.unwrap_or(driver.cases.len()))
        })
    })
}

#[test]
fn no_fact_is_told_twice() {
    let mut seen = BTreeSet::new();
    for fact in facts() {
        assert!(seen.insert(fact.name), "{} is there twice", fact.name);
    }
}

#[test]
fn patterns_fit_the_names_installations_choose_and_no_others() {
    let catalogue = Catalogue::with(&[]);
    for (name, expected) in [
        ("cluster.local/prod-nfs-subdir-external-provisioner", Some(Kind::Nfs)),
        ("cluster.local/nfs-client-provisioner-2", Some(Kind::Nfs)),
        ("cluster.local/a-nfs-server-provisioner", Some(Kind::Nfs)),
        ("cluster.local/nfs-other", None),
        ("example.com/cluster.local/nfs-client-provisioner", None),
        ("dev.fss.csi.oraclecloud.com", Some(Kind::Nfs)),
        ("a.b.fss.csi.oraclecloud.com", None),
        ("dev.lustre.csi.oraclecloud.com", Some(Kind::OtherNetworkFs)),
        ("dev.blockvolume.csi.oraclecloud.com", Some(Kind::Block)),
        ("nfs.prod.manila.csi.openstack.org", Some(Kind::Nfs)),
        ("cephfs.prod.manila.csi.openstack.org", Some(Kind::OtherNetworkFs)),
        ("my-rook.nfs.csi.ceph.com", Some(Kind::Nfs)),
        ("my-rook.cephfs.csi.ceph.com", Some(Kind::OtherNetworkFs)),
        ("my-rook.rbd.csi.ceph.com", Some(Kind::Block)),
        ("cephnfs.csi.ceph.com", None),
        ("nfs.csi.ceph.com.example", None),
        ("ORG.democratic-csi.truenas-NFS", Some(Kind::Nfs)),
        ("org.democratic-csi.iscsi", Some(Kind::Unknown)),
        ("org.democratic-csi.", None),
        ("orgXdemocratic-csi.iscsi", None),
    ] {
        let judged =
            catalogue.find(name).map(|driver| at(Moment::Volume, &[], |p| driver.judge(p)));
        assert_eq!(judged, expected, "{name}");
    }
}
