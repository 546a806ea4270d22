//! A slice of the loopback network for one control plane.

use std::{
    fmt,
    net::{Ipv4Addr, TcpListener},
};

use anyhow::{Context, Result};

/// A /24 inside 127.96.0.0/11 that belongs to one control plane.
///
/// The API server hands out `ClusterIP`s from it, and calls a webhook's Service
/// at its `ClusterIP`: since that address is loopback, a host process can listen
/// there and is reached with no kube-proxy in between. The control plane's own
/// processes listen in it too, each on its usual port, so no free port has to
/// be guessed and then lost to someone else.
#[derive(Debug)]
pub struct Loopback {
    network: u16,
    /// Held as long as the network is in use: the next control plane, of this
    /// process or another, finds the port taken and moves on.
    _claim: TcpListener,
}

impl Loopback {
    /// Claims a network no other control plane on this machine uses.
    pub fn claim() -> Result<Self> {
        let process = std::process::id() % u32::from(NETWORKS);
        let first = u16::try_from(process).expect("a remainder of a u16 fits in one");
        (0..NETWORKS)
            .map(|offset| (first + offset) % NETWORKS)
            .find_map(|network| {
                let claim =
                    TcpListener::bind((address(SERVICES, network, CLAIM_HOST), CLAIM_PORT)).ok()?;
                Some(Self { network, _claim: claim })
            })
            .context("every /24 of 127.96.0.0/11 is taken, or is no loopback address here")
    }

    /// The address with this last byte.
    #[must_use]
    pub fn address(&self, host: u8) -> Ipv4Addr {
        address(SERVICES, self.network, host)
    }

    /// The address of a pod, or of a node: in a /24 of their own, beside the one
    /// that `ClusterIP`s come from, so that the API server gives none of them away.
    #[must_use]
    pub fn pod_address(&self, host: u8) -> Ipv4Addr {
        address(PODS, self.network, host)
    }
}

/// In CIDR notation.
impl fmt::Display for Loopback {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/24", self.address(0))
    }
}

/// The second bytes that 127.96.0.0/11 and 127.64.0.0/11 begin with.
const SERVICES: u8 = 96;
const PODS: u8 = 64;
/// How many /24 there are in each of them.
const NETWORKS: u16 = 32 * 256;
const CLAIM_HOST: u8 = 254;
const CLAIM_PORT: u16 = 6443;

fn address(range: u8, network: u16, host: u8) -> Ipv4Addr {
    let [high, low] = network.to_be_bytes();
    Ipv4Addr::new(127, range + high, low, host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_claims_never_share_a_network() {
        let first = Loopback::claim().expect("a network is free");
        let second = Loopback::claim().expect("another network is free");
        assert_ne!(first.to_string(), second.to_string());
        assert!(first.address(50).is_loopback());
    }

    #[test]
    fn networks_stay_inside_their_range() {
        for (range, network, host, expected) in [
            (SERVICES, 0, 50, [127, 96, 0, 50]),
            (SERVICES, NETWORKS - 1, 1, [127, 127, 255, 1]),
            (PODS, 0, 50, [127, 64, 0, 50]),
            (PODS, NETWORKS - 1, 1, [127, 95, 255, 1]),
        ] {
            assert_eq!(address(range, network, host), Ipv4Addr::from(expected));
        }
    }
}
