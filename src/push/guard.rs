//! Decides which addresses may be dialled. The owner of a stream chooses its endpoint, so without this
//! check any Receiver could make us send requests into our own network.

use std::{
    error::Error,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    task::{Context, Poll},
};

use futures_util::future::BoxFuture;
use hyper_util::client::legacy::connect::dns::Name;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use tower_service::Service;

/// The IPv4 networks that are not public (RFC 6890 and its registry).
const REFUSED_V4: [Ipv4Net; 15] = [
    v4([0, 0, 0, 0], 8),       // this network, unspecified
    v4([10, 0, 0, 0], 8),      // private
    v4([100, 64, 0, 0], 10),   // carrier-grade NAT
    v4([127, 0, 0, 0], 8),     // loopback
    v4([169, 254, 0, 0], 16),  // link-local, and the metadata service of clouds
    v4([172, 16, 0, 0], 12),   // private
    v4([192, 0, 0, 0], 24),    // protocol assignments
    v4([192, 0, 2, 0], 24),    // documentation
    v4([192, 88, 99, 0], 24),  // relays of 6to4
    v4([192, 168, 0, 0], 16),  // private
    v4([198, 18, 0, 0], 15),   // benchmarking
    v4([198, 51, 100, 0], 24), // documentation
    v4([203, 0, 113, 0], 24),  // documentation
    v4([224, 0, 0, 0], 4),     // multicast
    v4([240, 0, 0, 0], 4),     // reserved, broadcast
];

/// The only IPv6 network that is public. Loopback, unique local, link-local and multicast addresses
/// lie outside of it.
const GLOBAL_V6: Ipv6Net = v6([0x2000, 0, 0], 3);
/// The parts of [`GLOBAL_V6`] that are not public.
const REFUSED_V6: [Ipv6Net; 3] = [
    v6([0x2001, 0, 0], 23), // protocol assignments: Teredo, benchmarking, ORCHID
    v6([0x2001, 0xdb8, 0], 32), // documentation
    v6([0x3fff, 0, 0], 20), // documentation
];
/// 6to4 (RFC 3056), which carries an IPv4 address in the second and third group.
const SIX_TO_FOUR: Ipv6Net = v6([0x2002, 0, 0], 16);
/// NAT64 (RFC 6052), which carries an IPv4 address at the end.
const NAT64: Ipv6Net = v6([0x64, 0xff9b, 0], 96);

const fn v4(address: [u8; 4], prefix: u8) -> Ipv4Net {
    let [a, b, c, d] = address;
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix)
}

const fn v6(head: [u16; 3], prefix: u8) -> Ipv6Net {
    let [a, b, c] = head;
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0), prefix)
}

/// Permits public addresses and the networks that the operator allows. Cheap to clone.
#[derive(Debug, Clone)]
pub struct AddressGuard {
    allow: Arc<[IpNet]>,
}

/// A host has an address that must not be dialled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{address} is not a public address, and in none of the allowed networks")]
pub struct AddressRefused {
    pub address: IpAddr,
}

impl AddressGuard {
    pub fn new(allow: Vec<IpNet>) -> Self {
        Self { allow: allow.into() }
    }

    pub fn permits(&self, address: IpAddr) -> bool {
        if self.allow.iter().any(|network| network.contains(&address)) {
            return true;
        }
        match address {
            IpAddr::V4(v4) => !REFUSED_V4.iter().any(|network| network.contains(&v4)),
            IpAddr::V6(v6) => match embedded(v6) {
                // The packets reach the IPv4 address in the end.
                Some(v4) => self.permits(IpAddr::V4(v4)),
                None => {
                    GLOBAL_V6.contains(&v6)
                        && !REFUSED_V6.iter().any(|network| network.contains(&v6))
                }
            },
        }
    }

    /// Checks a host that is a literal address, which no resolver gets to see.
    pub(super) fn check_literal(&self, host: &str) -> Result<(), AddressRefused> {
        let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
        match bare.parse() {
            Ok(address) if !self.permits(address) => Err(AddressRefused { address }),
            _ => Ok(()),
        }
    }
}

/// Returns the IPv4 address that an IPv6 address stands for: mapped, 6to4 or NAT64.
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let octets = address.octets();
    let at = |start: usize| {
        let four: [u8; 4] = octets[start..start + 4].try_into().expect("a range of four");
        Some(Ipv4Addr::from(four))
    };
    if SIX_TO_FOUR.contains(&address) {
        at(2)
    } else if NAT64.contains(&address) {
        at(12)
    } else {
        address.to_ipv4_mapped()
    }
}

/// Looks up a name and drops every address that must not be dialled. Each connection looks up its
/// name again, because a name that was harmless when its stream was created may point elsewhere now.
#[derive(Debug, Clone)]
pub(super) struct GuardedResolver(pub(super) AddressGuard);

impl Service<Name> for GuardedResolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = Box<dyn Error + Send + Sync>;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let guard = self.0.clone();
        Box::pin(async move {
            // The connector replaces the port.
            let found = tokio::net::lookup_host((name.as_str(), 0)).await;
            let (permitted, refused): (Vec<_>, Vec<_>) =
                found?.partition(|address| guard.permits(address.ip()));
            match refused.first() {
                Some(address) if permitted.is_empty() => {
                    Err(AddressRefused { address: address.ip() }.into())
                }
                _ => Ok(permitted.into_iter()),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(allow: &[&str], address: &str, permitted: bool) {
        let allow = allow.iter().map(|network| network.parse().expect("a network")).collect();
        let address = address.parse().expect("an address");
        assert_eq!(AddressGuard::new(allow).permits(address), permitted, "{address}");
    }

    #[test]
    fn public_addresses_are_dialled() {
        for address in [
            "1.1.1.1",
            "8.8.8.8",
            "100.63.255.255",
            "100.128.0.0",
            "172.15.0.1",
            "172.32.0.1",
            "192.0.1.1",
            "198.17.255.255",
            "198.20.0.1",
            "223.255.255.255",
            "2606:4700::1111",
            "2a00:1450::1",
            "2001:200::1",
            "::ffff:1.1.1.1",
            "64:ff9b::1.1.1.1",
            "2002:101:101::1",
        ] {
            check(&[], address, true);
        }
    }

    /// PUSH-12: an endpoint in our own network is not dialled.
    #[test]
    fn other_addresses_are_refused() {
        for address in [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "100.64.0.1",
            "127.0.0.1",
            "127.255.255.254",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.8",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.7",
            "203.0.113.9",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::7f00:1",
            "100::1",
            "2001::1",
            "2001:2::1",
            "2001:10::1",
            "2001:db8::1",
            "3fff::1",
            "5f00::1",
            "64:ff9b:1::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "64:ff9b::10.0.0.1",
            "2002:7f00:1::",
            "2002:c0a8:101::1",
        ] {
            check(&[], address, false);
        }
    }

    #[test]
    fn an_allowed_network_is_dialled_and_its_neighbours_are_not() {
        let allow = ["10.1.0.0/16", "::1/128"];
        check(&allow, "10.1.2.3", true);
        check(&allow, "::ffff:10.1.2.3", true);
        check(&allow, "::1", true);
        check(&allow, "10.2.0.1", false);
        check(&allow, "127.0.0.1", false);
        check(&allow, "fe80::1", false);
        check(&allow, "1.1.1.1", true);
    }

    #[test]
    fn a_literal_host_is_checked_and_a_name_is_left_to_the_resolver() {
        let guard = AddressGuard::new(Vec::new());
        assert!(guard.check_literal("127.0.0.1").is_err());
        assert!(guard.check_literal("[::1]").is_err());
        assert!(guard.check_literal("1.1.1.1").is_ok());
        assert!(guard.check_literal("[2606:4700::1111]").is_ok());
        assert!(guard.check_literal("localhost").is_ok());
    }

    #[tokio::test]
    async fn a_name_that_points_into_our_network_is_refused() {
        let resolve = |allow: Vec<IpNet>| {
            let name = "localhost".parse().expect("a name");
            GuardedResolver(AddressGuard::new(allow)).call(name)
        };
        let refused = resolve(Vec::new()).await.expect_err("loopback");
        assert!(refused.is::<AddressRefused>());
        let loopback = ["127.0.0.0/8", "::1/128"].map(|n| n.parse().expect("a network"));
        assert!(resolve(loopback.to_vec()).await.is_ok_and(|mut found| found.next().is_some()));
    }
}
