//! The program, run in a root that holds it and what a kubelet mounts.

use std::net::Ipv4Addr;

use rcgen::{CertificateParams, KeyPair};

use crate::{
    empty_root::{EmptyRoot, text},
    name_server::NameServer,
    rights,
    tls_listener::TlsListener,
};

#[test]
#[ignore = "needs the image: make image"]
fn tells_its_version() {
    let Some(root) = EmptyRoot::new() else { return };
    let ran = root.run(&["--version"], &[]);
    assert_eq!(text(&ran.stdout).trim(), concat!("nfs-guard ", env!("CARGO_PKG_VERSION")));
    assert!(ran.status.success(), "{ran:?}");
}

#[test]
#[ignore = "needs the image: make image"]
fn replays_the_incident_over_tls() {
    let Some(root) = EmptyRoot::new() else { return };
    let ran = root.run(&["demo"], &[]);
    assert!(text(&ran.stdout).contains("demo: 7 requests over TLS: 3 denied"), "{ran:?}");
    assert!(ran.status.success(), "{ran:?}");
}

#[test]
#[ignore = "needs the image: make image"]
fn may_write_nowhere() {
    let Some(root) = EmptyRoot::new() else { return };
    let listen = ["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"];
    let ran = root.run(&[&["serve", "--embedded"], &listen[..]].concat(), &[("TMPDIR", "/")]);
    assert_eq!(ran.status.code(), Some(1), "{ran:?}");
    assert!(text(&ran.stderr).contains("Permission denied"), "{ran:?}");
}

/// As in a pod: a name in the hosts file, by a name server, and completed by a
/// search domain, with no library beside the program to look it up with.
#[test]
#[ignore = "needs the image: make image"]
fn finds_the_apiserver_by_its_name() {
    rights::with_port_53("program::finds_the_apiserver_by_its_name", || {
        let names = NameServer::start("apiserver.example.test", APISERVER);
        for (name, hosts) in [
            ("listed.example.test", format!("{APISERVER} listed.example.test\n")),
            ("apiserver.example.test", String::new()),
            ("apiserver", String::new()),
        ] {
            let listener = TlsListener::start(APISERVER);
            let ran = serve(name, listener.port(), &hosts, &names);
            let Some(hello) = listener.first_message() else { panic!("nobody came: {ran}") };
            // As the server's name it has in it what the client was told.
            assert!(hello.windows(name.len()).any(|part| part == name.as_bytes()), "{name}");
        }
        assert!(names.asked().iter().any(|name| name == "apiserver.example.test"));
        assert!(!names.asked().iter().any(|name| name.starts_with("listed")));
    });
}

#[test]
#[ignore = "needs the image: make image"]
fn says_so_when_there_is_no_such_name() {
    rights::with_port_53("program::says_so_when_there_is_no_such_name", || {
        let names = NameServer::start("apiserver.example.test", APISERVER);
        let told = serve("missing.example.test", 6443, "", &names);
        for part in [
            "error: cannot reach the cluster at https://missing.example.test:6443",
            "failed to lookup address information: Name or service not known",
        ] {
            assert!(told.contains(part), "no {part:?} in {told}");
        }
        assert!(names.asked().iter().any(|name| name == "missing.example.test"));
    });
}

/// A loopback address that is nobody's.
const APISERVER: Ipv4Addr = Ipv4Addr::new(127, 53, 0, 1);

/// Starts the guard as in a pod, with that API server in its environment, and
/// returns what it tells in the end: the API server is none.
fn serve(apiserver: &str, port: u16, hosts: &str, names: &NameServer) -> String {
    let mut root = EmptyRoot::new().expect("whoever may bind port 53 may change the root");
    let resolver =
        format!("search example.test\nnameserver {}\noptions ndots:5\n", names.address());
    root.mount("etc/resolv.conf", &resolver);
    root.mount("etc/hosts", hosts);
    let account = "var/run/secrets/kubernetes.io/serviceaccount";
    root.mount(&format!("{account}/token"), "token");
    root.mount(&format!("{account}/namespace"), "nfs-guard");
    let key = KeyPair::generate().unwrap();
    let ca = CertificateParams::new([]).unwrap().self_signed(&key).unwrap().pem();
    root.mount(&format!("{account}/ca.crt"), &ca);
    let environment =
        [("KUBERNETES_SERVICE_HOST", apiserver), ("KUBERNETES_SERVICE_PORT", &port.to_string())];
    let ran = root.run(&["serve"], &environment);
    assert_eq!(ran.status.code(), Some(3), "the cluster is not reached: {ran:?}");
    text(&ran.stderr).to_owned()
}
