//! What others issue.

use jiff::{SignedDuration, Timestamp};

use super::cluster::{Replica, SECRET, all_carry, both, data, installed, names, secret};
use crate::ServerNames;
use crate::issue::issue;
use crate::material::Material;
use crate::reading::SecretData;
use crate::rotator::Issuer;

#[tokio::test(start_paused = true)]
async fn what_others_issue_is_served_and_never_written() {
    let server = installed();
    server.delete(SECRET);
    let mut replica = Replica::with(&server.client(), Issuer::Others, both());
    replica.tells("failed to read", 1).await;
    assert!(replica.slot.presents().is_none());

    let external = |material: &Material| {
        let mut data = data(material);
        data.remove("ca.key");
        secret(Some(&data))
    };
    let first = issue(&names(), Timestamp::now()).expect("issues");
    server.put(SECRET, external(&first));
    replica.tells("trusted true", 1).await;
    assert!(replica.serves(&first) && all_carry(&server, first.ca_bundle()));

    let second = issue(&names(), Timestamp::now()).expect("issues");
    server.put(SECRET, external(&second));
    replica.tells("trusted true", 2).await;
    assert!(replica.serves(&second) && all_carry(&server, second.ca_bundle()));

    let long_ago = Timestamp::now() - SignedDuration::from_hours(24 * 400);
    let expired = issue(&names(), long_ago).expect("issues");
    let elsewhere = issue(&ServerNames::loopback(), Timestamp::now()).expect("issues");
    for (failures, (case, object)) in (2..).zip([
        ("blanked", secret(None)),
        ("expired", external(&expired)),
        ("for another server", external(&elsewhere)),
    ]) {
        server.put(SECRET, object);
        replica.tells("failed to read", failures).await;
        assert!(replica.serves(&second) && all_carry(&server, second.ca_bundle()), "{case}");
    }
    assert!(server.writes().iter().all(|write| write.starts_with("PATCH")), "only the bundle");
}

#[tokio::test(start_paused = true)]
async fn entries_that_others_look_after_are_left_alone() {
    let server = installed();
    let issued = issue(&names(), Timestamp::now()).expect("issues");
    let data: SecretData =
        data(&issued).into_iter().filter(|(key, _)| key.starts_with("tls")).collect();
    server.put(SECRET, secret(Some(&data)));
    let mut replica = Replica::with(&server.client(), Issuer::Others, vec![]);
    replica.tells("trusted false", 1).await;

    assert!(replica.serves(&issued), "without a ca.crt, which is not ours to publish");
    assert_eq!(server.writes(), [] as [String; 0]);
}
