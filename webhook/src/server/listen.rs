//! Where to listen, on nodes with and without IPv6.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener},
};

use rustix::io::Errno;

/// Listens at that address. `[::]` means every address, also those of IPv4; a
/// node whose kernel has no IPv6 (`ipv6.disable=1`) has those only.
pub(super) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    first_of(address, TcpListener::bind)
}

fn first_of<L>(address: SocketAddr, bind: impl Fn(SocketAddr) -> io::Result<L>) -> io::Result<L> {
    let bound = match bind(address) {
        Err(error) if address.is_ipv6() && address.ip().is_unspecified() && has_no_ipv6(&error) => {
            bind((Ipv4Addr::UNSPECIFIED, address.port()).into())
        }
        bound => bound,
    };
    bound.map_err(|error| {
        io::Error::new(error.kind(), format!("cannot listen on {address}: {error}"))
    })
}

fn has_no_ipv6(error: &io::Error) -> bool {
    Errno::from_io_error(error) == Some(Errno::AFNOSUPPORT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_address_is_those_of_ipv4_where_there_is_no_ipv6() {
        let without_ipv6 = |address: SocketAddr| {
            if address.is_ipv6() { Err(Errno::AFNOSUPPORT.into()) } else { Ok(address) }
        };
        let taken = |_: SocketAddr| Err::<SocketAddr, _>(Errno::ADDRINUSE.into());
        for (case, address, expected) in [
            ("IPv4 is as it is", "0.0.0.0:1", Some("0.0.0.0:1")),
            ("every address", "[::]:8443", Some("0.0.0.0:8443")),
            ("one address has no other", "[::1]:8443", None),
        ] {
            let bound = first_of(address.parse().unwrap(), without_ipv6);
            assert_eq!(bound.ok().map(|at| at.to_string()).as_deref(), expected, "{case}");
        }
        let error = first_of("[::]:8443".parse().unwrap(), taken).unwrap_err();
        assert!(error.to_string().starts_with("cannot listen on [::]:8443: "), "{error}");
    }
}
