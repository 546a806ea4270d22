//! The names under which clients reach the webhook.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use rustls::pki_types::{DnsName, InvalidDnsNameError, ServerName};

/// DNS names and IP addresses a server certificate must be valid for; never
/// empty, the name the API server dials first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerNames {
    dns: Vec<DnsName<'static>>,
    ips: Vec<IpAddr>,
}

impl ServerNames {
    /// Names of a Service inside the cluster. The API server dials
    /// `<service>.<namespace>.svc`; the others are for people and probes.
    pub fn for_service(service: &str, namespace: &str) -> Result<Self, NamesError> {
        let dns = [
            format!("{service}.{namespace}.svc"),
            format!("{service}.{namespace}"),
            service.to_owned(),
            format!("{service}.{namespace}.svc.cluster.local"),
        ];
        let dns = dns
            .into_iter()
            .map(|name| {
                DnsName::try_from(name.clone()).map_err(|source| NamesError { name, source })
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { dns, ips: vec![] })
    }

    /// Names of this machine, for a server run outside a cluster.
    #[must_use]
    pub fn loopback() -> Self {
        Self {
            dns: vec![localhost()],
            ips: vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()],
        }
    }

    pub(crate) fn dns(&self) -> impl Iterator<Item = &str> {
        self.dns.iter().map(AsRef::as_ref)
    }

    pub(crate) fn ips(&self) -> impl Iterator<Item = IpAddr> {
        self.ips.iter().copied()
    }

    /// Every name in the form a TLS client asks for it.
    pub(crate) fn iter(&self) -> impl Iterator<Item = ServerName<'_>> {
        let dns = self.dns.iter().map(DnsName::borrow);
        dns.map(ServerName::DnsName).chain(self.ips.iter().map(|ip| ServerName::from(*ip)))
    }
}

fn localhost() -> DnsName<'static> {
    DnsName::try_from("localhost").expect("`localhost` is a DNS name")
}

/// A service and a namespace that make no DNS name.
#[derive(Debug, thiserror::Error)]
#[error(
    "{name:?} is not a DNS name; give the service and the namespace by their names in the cluster"
)]
pub struct NamesError {
    name: String,
    source: InvalidDnsNameError,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_is_reached_first_as_the_apiserver_dials_it() {
        let names = ServerNames::for_service("nfs-guard", "storage").expect("valid");

        assert_eq!(
            names.dns().collect::<Vec<_>>(),
            [
                "nfs-guard.storage.svc",
                "nfs-guard.storage",
                "nfs-guard",
                "nfs-guard.storage.svc.cluster.local",
            ]
        );
        assert_eq!(names.ips().count(), 0);
    }

    #[test]
    fn loopback_is_a_name_and_two_addresses() {
        let names = ServerNames::loopback();

        assert_eq!(names.dns().collect::<Vec<_>>(), ["localhost"]);
        assert_eq!(names.ips().map(|ip| ip.to_string()).collect::<Vec<_>>(), ["127.0.0.1", "::1"]);
    }

    #[test]
    fn what_makes_no_dns_name_is_refused() {
        for (case, service, namespace) in [
            ("empty service", "", "storage"),
            ("empty namespace", "nfs-guard", ""),
            ("a space", "nfs guard", "storage"),
            ("a label of 64 characters", &"a".repeat(64), "storage"),
        ] {
            let error = ServerNames::for_service(service, namespace).expect_err(case);
            assert!(error.to_string().contains("is not a DNS name"), "{case}: {error}");
        }
    }
}
