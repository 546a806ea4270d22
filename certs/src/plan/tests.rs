use super::*;
use crate::issue::{Issuance, Lifetimes, retire};

const ISSUED: &str = "2026-03-01T12:00:00Z";
const SETTLE: Duration = Duration::from_mins(10);
const ALMOST: Duration = Duration::from_millis(10 * 60 * 1000 - 1);

/// Time since the material of the tests was issued.
fn after(duration: SignedDuration) -> Timestamp {
    ISSUED.parse::<Timestamp>().expect("valid") + duration
}

fn hours(hours: i64) -> SignedDuration {
    SignedDuration::from_hours(hours)
}

fn days(days: i64) -> SignedDuration {
    hours(24 * days)
}

const SECOND: SignedDuration = SignedDuration::from_secs(1);

fn at(names: &ServerNames, age: SignedDuration) -> Issuance<'_> {
    Issuance { names, lifetimes: Lifetimes::default(), now: after(age) }
}

fn issued(names: &ServerNames, age: SignedDuration) -> Material {
    at(names, age).anew().expect("issues")
}

/// The CA of one, the server certificate of the other.
fn crossed(ca: &Material, leaf: &Material) -> Material {
    let identity = leaf.identity();
    let leaf = (identity.chain_pem().to_owned(), identity.key_pem().to_owned());
    Material::parse(ca.ca_bundle().to_owned(), ca.ca_key().to_owned(), None, leaf).expect("parses")
}

/// Material that nobody has asked to rotate, and of which nothing is known yet.
fn situation<'a>(
    stored: Option<&'a Result<Material, MaterialError>>,
    names: &'a ServerNames,
    age: SignedDuration,
) -> Situation<'a> {
    Situation {
        stored,
        held: None,
        request: None,
        names,
        published_for: None,
        stored_for: Duration::ZERO,
        settle: SETTLE,
        now: after(age),
    }
}

/// The step, and why; `None` if there is none.
fn step(plan: Plan) -> Option<(Step, Reason)> {
    match plan {
        Plan::Keep { .. } => None,
        Plan::Take(step, reason) => Some((step, reason)),
    }
}

#[test]
fn certificates_are_replaced_at_two_thirds_of_their_lives() {
    let names = ServerNames::loopback();
    let issued = issued(&names, hours(0));
    let stored = Ok(issued.clone());
    // Valid from an hour before they are issued.
    let two_thirds = |lifetime: SignedDuration| (lifetime + hours(1)) / 3 * 2 - hours(1);
    let (leaf_due, ca_due) = (two_thirds(days(365)), two_thirds(days(3650)));
    let fresh = Ok(at(&names, ca_due - days(1)).reissue(&issued).expect("issues"));
    let last = Ok(at(&names, days(3649)).reissue(&issued).expect("issues"));
    let reissue = |reason| Some((Step::Reissue, reason));
    let issue = |reason| Some((Step::Issue, reason));

    for (case, stored, age, expected) in [
        ("just issued", &stored, hours(0), None),
        ("our clock an hour behind the issuer's", &stored, hours(-1), None),
        ("our clock further behind", &stored, hours(-1) - SECOND, issue(Reason::CaNotYetValid)),
        ("a second before the leaf is due", &stored, leaf_due - SECOND, None),
        ("the leaf is due", &stored, leaf_due, reissue(Reason::LeafDueForRenewal)),
        ("the leaf's last second", &stored, days(365), reissue(Reason::LeafDueForRenewal)),
        ("past the leaf's end", &stored, days(365) + SECOND, reissue(Reason::LeafExpired)),
        ("a second before the CA is due", &fresh, ca_due - SECOND, None),
        ("the CA is due", &fresh, ca_due, Some((Step::Publish, Reason::CaDueForRenewal))),
        ("the CA's last second", &last, days(3650), reissue(Reason::LeafDueForRenewal)),
        ("past the CA's end", &last, days(3650) + SECOND, issue(Reason::CaExpired)),
    ] {
        assert_eq!(step(plan(&situation(Some(stored), &names, age))), expected, "{case}");
    }
}

#[test]
fn a_ca_is_published_then_served_then_retired() {
    let names = ServerNames::loopback();
    let now = hours(1);
    let first = issued(&names, hours(0));
    let published = at(&names, now).publish(&first).expect("issues");
    let served = at(&names, now).serve(&published).expect("issues");
    let retired = retire(&served).expect("issues");

    for (case, stored, published_for, stored_for, expected) in [
        ("nothing asked for", &first, Some(SETTLE), SETTLE, None),
        ("no entry carries the next CA", &published, None, 9 * SETTLE, None),
        ("every entry does", &published, Some(Duration::ZERO), 9 * SETTLE, None),
        ("almost for long enough", &published, Some(ALMOST), 9 * SETTLE, None),
        (
            "for long enough",
            &published,
            Some(SETTLE),
            Duration::ZERO,
            Some((Step::Serve, Reason::NextCaPublished)),
        ),
        ("served by some", &served, Some(9 * SETTLE), Duration::ZERO, None),
        ("served by some more", &served, Some(9 * SETTLE), ALMOST, None),
        ("served by all", &served, None, SETTLE, Some((Step::Retire, Reason::NewCaServed))),
        ("only the new one left", &retired, Some(SETTLE), SETTLE, None),
    ] {
        let stored = Ok(stored.clone());
        let situation = situation(Some(&stored), &names, now);
        let plan = plan(&Situation { published_for, stored_for, ..situation });
        assert_eq!(step(plan), expected, "{case}");
    }
    assert_ne!(first.ca().certificate, retired.ca().certificate);
}

#[test]
fn asks_again_when_time_alone_changes_the_answer() {
    let names = ServerNames::loopback();
    let first = issued(&names, hours(0));
    let published = at(&names, hours(0)).publish(&first).expect("issues");
    let served = at(&names, hours(0)).serve(&published).expect("issues");
    let leaf_due = (days(365) + hours(1)) / 3 * 2 - hours(1);
    let (minute, rest) = (Duration::from_mins(1), SignedDuration::from_mins(9));

    for (case, stored, published_for, stored_for, expected) in [
        ("nothing is going on", &first, None, SETTLE, leaf_due),
        ("it waits for the apiserver", &published, None, SETTLE, leaf_due),
        ("clients learn of the next CA", &published, Some(minute), SETTLE, rest),
        ("replicas learn of the new CA", &served, Some(SETTLE), minute, rest),
    ] {
        let stored = Ok(stored.clone());
        let situation = situation(Some(&stored), &names, hours(0));
        let plan = plan(&Situation { published_for, stored_for, ..situation });
        assert_eq!(plan, Plan::Keep { ask_again: expected }, "{case}");
    }
}

#[test]
fn stored_material_is_kept_if_clients_that_trust_its_ca_are_served() {
    let names = ServerNames::for_service("nfs-guard", "storage").expect("valid");
    let renamed = ServerNames::for_service("nfs-guard", "other").expect("valid");
    let loopback = ServerNames::loopback();
    let now = hours(48);

    let good = issued(&names, now);
    let other = issued(&names, now);
    let earlier = issued(&names, hours(0));
    let later = issued(&names, hours(96));
    let missing = MaterialError::Missing { key: "tls.crt" };
    let lacks = |name: &str| Some((Step::Reissue, Reason::LeafLacksName(name.to_owned())));

    for (case, stored, names, expected) in [
        ("it serves", Some(Ok(good.clone())), &names, None),
        ("nothing is stored", None, &names, Some((Step::Issue, Reason::Absent))),
        (
            "a part is missing",
            Some(Err(missing.clone())),
            &names,
            Some((Step::Issue, Reason::Unreadable(missing))),
        ),
        (
            "the leaf is of a later time",
            Some(Ok(crossed(&earlier, &later))),
            &names,
            Some((Step::Reissue, Reason::LeafNotYetValid)),
        ),
        (
            "the namespace was renamed",
            Some(Ok(good.clone())),
            &renamed,
            lacks("nfs-guard.other.svc"),
        ),
        ("addresses are wanted", Some(Ok(good.clone())), &loopback, lacks("localhost")),
        (
            "the leaf is of another CA of the same name",
            Some(Ok(crossed(&other, &good))),
            &names,
            Some((Step::Reissue, Reason::LeafNotSignedByCa)),
        ),
    ] {
        let plan = plan(&situation(stored.as_ref(), names, now));
        assert_eq!(step(plan), expected, "{case}");
    }
}

#[test]
fn what_serves_is_stored_again_before_anything_is_issued_anew() {
    let names = ServerNames::loopback();
    let moved = ServerNames::for_service("nfs-guard", "storage").expect("valid");
    let held = issued(&names, days(3650));
    let ended = Ok(issued(&names, hours(0)));
    let cut = Err(MaterialError::CaKeyDoesNotFit);
    let unreadable = Reason::Unreadable(MaterialError::CaKeyDoesNotFit);
    let soon = days(3651);

    for (case, stored, held, names, age, expected) in [
        ("blanked", None, Some(&held), &names, soon, (Step::Restore, Reason::Absent)),
        ("garbled", Some(&cut), Some(&held), &names, soon, (Step::Restore, unreadable.clone())),
        (
            "replaced by what has ended",
            Some(&ended),
            Some(&held),
            &names,
            soon,
            (Step::Restore, Reason::CaExpired),
        ),
        ("nothing held", Some(&cut), None, &names, soon, (Step::Issue, unreadable)),
        (
            "what is held has ended as well",
            None,
            Some(&held),
            &names,
            days(3650 + 366),
            (Step::Issue, Reason::Absent),
        ),
        (
            "what is held is for other names",
            None,
            Some(&held),
            &moved,
            soon,
            (Step::Issue, Reason::Absent),
        ),
    ] {
        let situation = Situation { held, ..situation(stored, names, age) };
        assert_eq!(step(plan(&situation)), Some(expected), "{case}");
    }
}

#[test]
fn a_rotation_that_was_held_up_makes_the_best_of_it() {
    let names = ServerNames::loopback();
    let first = issued(&names, hours(0));
    let lively = at(&names, days(2500)).publish(&first).expect("issues");
    let lively = at(&names, days(3649)).reissue(&lively).expect("issues");
    let served = at(&names, days(3649)).serve(&lively).expect("issues");
    // Both CAs made at once.
    let twins = at(&names, hours(0)).publish(&first).expect("issues");
    // The next one ends first.
    let brief = Lifetimes { ca: days(1), leaf: days(1) };
    let brief = Issuance { lifetimes: brief, ..at(&names, hours(0)) };
    let brief = brief.publish(&first).expect("issues");

    for (case, stored, age, expected) in [
        (
            "the CA that signs has ended, the next has not",
            &lively,
            days(3651),
            Some((Step::Serve, Reason::CaExpired)),
        ),
        ("both have ended", &twins, days(3651), Some((Step::Issue, Reason::CaExpired))),
        ("only the next has ended", &brief, days(2), Some((Step::Publish, Reason::CaExpired))),
        (
            "the one before has ended: nobody can miss it",
            &served,
            days(3651),
            Some((Step::Retire, Reason::NewCaServed)),
        ),
        ("the one before has not", &served, days(3650), None),
    ] {
        let stored = Ok(stored.clone());
        let plan = plan(&situation(Some(&stored), &names, age));
        assert_eq!(step(plan), expected, "{case}");
    }
}

#[test]
fn a_person_may_ask_and_waits_their_turn() {
    let names = ServerNames::loopback();
    let now = hours(1);
    let steady = issued(&names, hours(0));
    let published = at(&names, now).publish(&steady).expect("issues");
    let served = at(&names, now).serve(&published).expect("issues");
    let requested = |step| Some((step, Reason::Requested));

    for (case, stored, request, expected) in [
        ("a CA", &steady, Request::RotateCa, requested(Step::Publish)),
        ("a leaf", &steady, Request::RotateLeaf, requested(Step::Reissue)),
        ("a CA while one is on its way", &published, Request::RotateCa, None),
        ("a CA while one is on its way out", &served, Request::RotateCa, None),
        ("a leaf meanwhile", &published, Request::RotateLeaf, requested(Step::Reissue)),
    ] {
        let stored = Ok(stored.clone());
        let situation =
            Situation { request: Some(request), ..situation(Some(&stored), &names, now) };
        assert_eq!(step(plan(&situation)), expected, "{case}");
    }
    for (value, expected) in [
        ("ca", Some(Request::RotateCa)),
        ("leaf", Some(Request::RotateLeaf)),
        ("CA", None),
        ("", None),
    ] {
        assert_eq!(Request::parse(value), expected, "{value:?}");
    }
}

#[test]
fn a_reason_reads_as_a_sentence() {
    let missing = MaterialError::Missing { key: "ca.key" };
    for (reason, text) in [
        (Reason::Absent, "nothing is stored"),
        (Reason::Unreadable(missing), "ca.key is missing"),
        (
            Reason::LeafLacksName("nfs-guard.storage.svc".to_owned()),
            "the server certificate is not valid for nfs-guard.storage.svc",
        ),
    ] {
        assert_eq!(reason.to_string(), text);
    }
}
