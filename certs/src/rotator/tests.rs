//! Whole rotators against an API server in memory, in paused time.

mod cluster;
mod external;

use std::collections::BTreeSet;
use std::time::Duration;

use hyper::{Method, StatusCode};
use jiff::{SignedDuration, Timestamp};
use tokio::time::{Instant, advance, timeout};

use self::cluster::{
    MUTATING, Replica, SECRET, VALIDATING, all_carry, annotate, both, carried, configuration, data,
    installed, names, secret, stored,
};
use super::{Issuer, SETTLE};
use crate::bundle::Bundle;
use crate::fake_apiserver::{FakeApiserver, Fate};
use crate::issue::{Issuance, Lifetimes};
use crate::store::ROTATE;

#[tokio::test(start_paused = true)]
async fn fills_an_empty_secret_and_tells_every_entry() {
    let server = installed();
    let mut replica = Replica::start(&server);
    replica.tells("trusted true", 1).await;

    let events = ["serving", "issue", "published", "published", "trusted true"];
    assert_eq!(replica.told(), events);
    let stored = stored(&server);
    assert!(replica.serves(&stored));
    assert!(all_carry(&server, stored.ca_bundle()));
    let writes = [("PUT", SECRET), ("PATCH", MUTATING), ("PATCH", VALIDATING)];
    assert_eq!(server.writes(), writes.map(|(method, path)| format!("{method} {path}")));
}

#[tokio::test(start_paused = true)]
async fn replicas_that_start_at_once_agree() {
    let server = installed();
    let mut replicas: Vec<_> = (0..5).map(|_| Replica::start(&server)).collect();
    for replica in &mut replicas {
        replica.tells("trusted true", 1).await;
    }

    let stored = stored(&server);
    assert!(all_carry(&server, stored.ca_bundle()));
    assert!(replicas.iter().all(|replica| replica.serves(&stored)));
    let told: Vec<_> = replicas.iter().flat_map(Replica::told).collect();
    assert_eq!(told.iter().filter(|event| *event == "issue").count(), 1, "{told:?}");
    assert!(!told.iter().any(|event| event.starts_with("failed")), "{told:?}");
    let puts = server.writes().iter().filter(|write| write.starts_with("PUT")).count();
    assert!(puts > 1, "they raced");
}

#[tokio::test(start_paused = true)]
async fn an_entry_that_lacks_the_bundle_gets_it_at_once() {
    for (case, path, entries) in [
        ("blanked", VALIDATING, &[("a", ""), ("b", "")][..]),
        ("with another's", VALIDATING, &[("a", "other"), ("b", "other")]),
        ("added", VALIDATING, &[("c", ""), ("a", ""), ("b", "")]),
        ("blanked while another is removed", VALIDATING, &[("a", "")]),
        ("blanked in the other", MUTATING, &[("m", "")]),
    ] {
        let server = installed();
        let mut replica = Replica::start(&server);
        replica.tells("trusted true", 1).await;
        let bundle = stored(&server).ca_bundle().to_owned();
        advance(Duration::from_secs(1)).await;
        let happened = Instant::now();

        server.put(path, configuration(entries));
        replica.tells("repaired", 1).await;
        assert_eq!(carried(&server, path), BTreeSet::from([bundle]), "{case}");
        assert_eq!(replica.when("repaired"), happened, "{case}: no time passes");
        let told = replica.told();
        assert!(!told.iter().any(|event| event.starts_with("failed")), "{case}: {told:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_blanks_the_bundle_without_end_is_answered_once_a_second() {
    let server = installed();
    let mut replica = Replica::start(&server);
    replica.tells("trusted true", 1).await;
    let started = Instant::now();
    for repaired in 1..=10 {
        server.put(VALIDATING, configuration(&[("a", "")]));
        replica.tells("repaired", repaired).await;
    }
    assert!(started.elapsed() >= Duration::from_secs(9), "{:?}", started.elapsed());
    assert!(started.elapsed() <= Duration::from_secs(11), "{:?}", started.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_configuration_may_be_taken_away_and_come_later() {
    let server = installed();
    server.delete(MUTATING);
    let mut replica = Replica::start(&server);
    replica.tells("trusted true", 1).await;

    server.put(MUTATING, configuration(&[("m", "")]));
    replica.tells("published", 2).await;
    assert!(all_carry(&server, stored(&server).ca_bundle()));

    let server = installed();
    server.delete(VALIDATING);
    let mut replica = Replica::start(&server);
    replica.tells("published", 1).await;
    assert!(!replica.told().contains(&"trusted true".to_owned()), "nothing is guarded");
    server.put(VALIDATING, configuration(&[("a", "")]));
    replica.tells("trusted true", 1).await;
}

#[tokio::test(start_paused = true)]
async fn what_is_served_is_stored_again_if_the_secret_loses_it() {
    let server = installed();
    let mut replica = Replica::start(&server);
    replica.tells("trusted true", 1).await;
    let before = stored(&server);

    server.put(SECRET, secret(None));
    replica.tells("restore", 1).await;
    assert!(stored(&server) == before, "blanked");

    server.put(SECRET, secret(Some(&data(&before).into_iter().skip(1).collect())));
    replica.tells("restore", 2).await;
    assert!(stored(&server) == before, "without its CA");

    server.delete(SECRET);
    replica.tells("failed to read", 1).await;
    assert!(replica.serves(&before), "goes on serving");
    let writes = server.writes().len();
    server.put(SECRET, secret(None));
    replica.tells("restore", 3).await;
    assert!(stored(&server) == before, "deleted, and made anew by Helm");
    assert_eq!(server.writes().len(), writes + 1, "no entry had to be told");
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_not_known_is_told_of_once_and_changes_nothing() {
    let server = installed();
    let mut replica = Replica::start(&server);
    replica.tells("trusted true", 1).await;
    let before = stored(&server);

    annotate(&server, "everything");
    replica.tells("failed to read", 1).await;
    annotate(&server, "leaf");
    replica.tells("reissue", 1).await;

    assert!(stored(&server).ca_bundle() == before.ca_bundle());
    let failures = replica.told().into_iter().filter(|event| event.starts_with("failed"));
    assert_eq!(failures.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_rotation_waits_for_apiservers_and_for_replicas() {
    let server = installed();
    let mut replicas = [Replica::start(&server), Replica::start(&server)];
    for replica in &mut replicas {
        replica.tells("trusted true", 1).await;
    }
    let before = stored(&server);
    annotate(&server, "ca");
    // Of the two, whichever comes first takes a step.
    server.until(|server| server.object(SECRET)["metadata"]["annotations"][ROTATE].is_null()).await;
    let since_published = Instant::now();
    assert!(stored(&server).identity() == before.identity(), "published, not served");
    server.until(|server| stored(server).identity() != before.identity()).await;
    assert!(since_published.elapsed() >= SETTLE, "{:?}", since_published.elapsed());
    let since_served = Instant::now();
    assert_eq!(stored(&server).bundle().authorities().len(), 2, "served, not retired");
    server.until(|server| stored(server).bundle().authorities().len() == 1).await;
    assert!(since_served.elapsed() >= SETTLE, "{:?}", since_served.elapsed());

    let after = stored(&server);
    assert_ne!(after.ca().certificate, before.ca().certificate);
    server.until(|server| all_carry(server, after.ca_bundle())).await;
    let told: Vec<_> = replicas.iter().flat_map(Replica::told).collect();
    for step in ["publish", "serve", "retire"] {
        assert_eq!(told.iter().filter(|event| *event == step).count(), 1, "{step}: {told:?}");
    }
    assert!(!told.iter().any(|event| event.starts_with("failed")), "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn a_rotation_survives_the_end_of_the_process_at_every_write() {
    let server = installed();
    let mut first = Replica::start(&server);
    first.tells("trusted true", 1).await;
    drop(first);
    let before = stored(&server);
    annotate(&server, "ca");

    // Each process ends at its first write, in turn before and after the API server has heard.
    let (mut deaths, mut heard) = (0, false);
    let is_over = |server: &FakeApiserver| {
        let stored = stored(server);
        stored.ca().certificate != before.ca().certificate
            && stored.bundle().authorities().len() == 1
            && all_carry(server, stored.ca_bundle())
    };
    while !is_over(&server) {
        let (client, mut ended) = server.doomed_client(Fate { write: 1, heard });
        let replica = Replica::with(&client, Issuer::Guard, both());
        let dies = timeout(Duration::from_hours(100), ended.wait_for(|ended| *ended));
        dies.await.expect("it has something to write").expect("it writes");
        drop(replica);
        (deaths, heard) = (deaths + 1, !heard);
        // Whatever the moment, who trusts what any entry carries takes what is stored.
        let stored = stored(&server);
        for path in [VALIDATING, MUTATING] {
            for bundle in carried(&server, path) {
                let bundle = Bundle::parse(bundle).expect("is a bundle");
                let mut authorities = bundle.authorities().iter();
                let now = Timestamp::now();
                let trusted = authorities.any(|ca| ca.vouches_for(stored.identity(), now));
                assert!(trusted, "after {deaths} deaths: {path}");
            }
        }
    }
    // Three writes of the Secret and two times two of configurations.
    assert_eq!(deaths, 2 * 7);
    let mut last = Replica::start(&server);
    last.tells("trusted true", 1).await;
    assert_eq!(last.told(), ["serving", "trusted true"], "nothing is left to do");
}

#[tokio::test(start_paused = true)]
async fn while_the_apiserver_refuses_what_is_valid_is_served() {
    let forbidden = (StatusCode::FORBIDDEN, "Forbidden", "no");
    for (method, request, failure, success) in [
        (Method::PUT, "leaf", "failed to store", "reissue"),
        (Method::PATCH, "ca", "failed to publish", "serve"),
    ] {
        let server = installed();
        let mut replica = Replica::start(&server);
        replica.tells("trusted true", 1).await;
        let before = stored(&server);
        server.refuse(method, forbidden);
        annotate(&server, request);
        let (started, failures) = (Instant::now(), 66);
        replica.tells(failure, failures).await;
        // 1 + 2 + 4 + 8 + 16 + 32 s, then every minute.
        let configurations = if request == "ca" { 2 } else { 1 };
        let minutes = u64::try_from(failures / configurations).expect("is small") - 6;
        let expected = Duration::from_secs(63 + 60 * (minutes - 1));
        assert!(started.elapsed() >= expected, "{failure}: {:?}", started.elapsed());
        assert!(replica.serves(&before), "{failure}");
        server.relent();
        replica.tells(success, 1).await;
        assert!(!replica.serves(&before), "{success}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_found_at_the_start_is_mended() {
    let names = names();
    let lifetimes =
        Lifetimes { ca: SignedDuration::from_hours(48), leaf: SignedDuration::from_hours(24) };
    let ago = |hours| Issuance {
        names: &names,
        lifetimes,
        now: Timestamp::now() - SignedDuration::from_hours(hours),
    };
    for (case, found, step, same_ca) in [
        ("good", ago(1).anew().expect("issues"), None, true),
        ("an expired leaf", ago(30).anew().expect("issues"), Some("reissue"), true),
        ("an expired CA", ago(50).anew().expect("issues"), Some("issue"), false),
    ] {
        let server = installed();
        server.put(SECRET, secret(Some(&data(&found))));
        let mut replica = Replica::start(&server);
        replica.tells("trusted true", 1).await;

        let took = replica.told().into_iter().find(|event| event == "reissue" || event == "issue");
        assert_eq!(took.as_deref(), step, "{case}");
        let stored = stored(&server);
        assert!(replica.serves(&stored), "{case}");
        assert_eq!(stored.ca().certificate == found.ca().certificate, same_ca, "{case}");
        assert!(all_carry(&server, stored.ca_bundle()), "{case}");
    }
}
