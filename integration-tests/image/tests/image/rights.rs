//! What the tests may do here: change the root, and listen at port 53.

use std::{
    env,
    io::{self, Write as _},
    os::fd::OwnedFd,
    process::{Command, Stdio},
};

use rustix::{
    net::{
        AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink::SocketAddrNetlink,
        recv, sendto, socket_with,
    },
    process::geteuid,
};

/// Where the right to change the root comes from.
#[derive(Clone, Copy)]
pub(crate) enum Rights {
    /// The tests run as root.
    Root,
    /// Anybody may, within a user namespace.
    UserNamespace,
}

impl Rights {
    /// Nothing where nobody gives it, which a person is told. With `REQUIRE_ALL`
    /// set, as in CI, the test fails.
    pub(crate) fn to_change_root() -> Option<Self> {
        if env::var_os(INSIDE).is_none() && geteuid().is_root() {
            return Some(Self::Root);
        }
        let mut trial = Command::new("unshare");
        trial.args(["--user", "--map-root-user", "--net", "true"]).stdout(Stdio::null());
        if trial.status().is_ok_and(|status| status.success()) {
            return Some(Self::UserNamespace);
        }
        let missing = "neither root's rights nor user namespaces are to be had here";
        assert!(env::var_os("REQUIRE_ALL").is_none(), "{missing}");
        // `eprintln!` would be kept from whoever sees the test pass.
        let mut stderr = io::stderr();
        writeln!(stderr, "skipped: {missing}").unwrap();
        None
    }
}

/// Runs the body where it may listen at port 53 of loopback addresses. Whoever
/// is not root has such a place only in a network namespace: there the same
/// test, which is named for that, is run once more.
pub(crate) fn with_port_53(test: &str, body: impl FnOnce()) {
    if env::var_os(INSIDE).is_some() {
        raise_loopback();
        return body();
    }
    match Rights::to_change_root() {
        Some(Rights::Root) => body(),
        Some(Rights::UserNamespace) => {
            let mut again = Command::new("unshare");
            again.args(["--user", "--map-root-user", "--net", "--"]);
            again.arg(env::current_exe().unwrap()).args(["--exact", test, "--include-ignored"]);
            let ran = again.env(INSIDE, "1").output().unwrap();
            let told = String::from_utf8_lossy(&ran.stdout);
            assert!(told.contains("test result: ok. 1 passed"), "{told}");
        }
        None => {}
    }
}

/// Set within the namespace.
const INSIDE: &str = "NFS_GUARD_IMAGE_NAMESPACE";

/// Takes the loopback device of a new network namespace up, by rtnetlink(7):
/// the `ip` that would do it is not on every machine.
fn raise_loopback() {
    let socket = rtnetlink();
    let mut message = Vec::new();
    for number in [32_u32, u32::from(RTM_NEWLINK) | (NLM_F_REQUEST | NLM_F_ACK) << 16, 1, 0] {
        message.extend(number.to_ne_bytes());
    }
    for number in [0_u32, LOOPBACK, IFF_UP, IFF_UP] {
        message.extend(number.to_ne_bytes());
    }
    let kernel = SocketAddrNetlink::new(0, 0);
    sendto(&socket, &message, SendFlags::empty(), &kernel).unwrap();
    let mut answer = [0_u8; 128];
    let (length, _) = recv(&socket, &mut answer[..], RecvFlags::empty()).unwrap();
    assert!(length >= 20, "an acknowledgement is a header and an error number");
    let error = i32::from_ne_bytes(*answer[16..].first_chunk().unwrap());
    assert_eq!(error, 0, "the loopback device cannot be taken up");
}

fn rtnetlink() -> OwnedFd {
    // Without a protocol it is the first, NETLINK_ROUTE.
    socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None).unwrap()
}

/// From linux/rtnetlink.h, linux/netlink.h and linux/if.h.
const RTM_NEWLINK: u16 = 16;
const NLM_F_REQUEST: u32 = 1;
const NLM_F_ACK: u32 = 4;
const IFF_UP: u32 = 1;

/// The first device of every network namespace.
const LOOPBACK: u32 = 1;
