//! Decides which endpoints SETs may be sent to. The owner of a stream chooses its endpoint, so without
//! this policy any Receiver could make us send requests into our own network.
//!
//! One [`EndpointPolicy`] judges an endpoint twice: when a Receiver gives its URL, and whenever a
//! connection is opened. A URL says all about a literal address and a port. A name is resolved again
//! for each connection, because it may point elsewhere by then.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
    sync::Arc,
};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

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

/// Permits public addresses and what the operator allows. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct EndpointPolicy(Arc<Rules>);

#[derive(Debug, PartialEq, Eq, Hash, Default)]
struct Rules {
    /// Permitted although they are not public.
    networks: Vec<IpNet>,
    /// The only ports. An empty list permits every port.
    ports: Vec<u16>,
    /// The only hosts outside `networks`. An empty list permits every host.
    hosts: Vec<HostPattern>,
}

/// A host name, or `*.` and a host name for every name below it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HostPattern {
    /// In lower case.
    name: String,
    below: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is neither a host name nor `*.` and a host name")]
pub struct InvalidHostPattern(String);

/// Why an endpoint must not be dialled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EndpointRefused {
    #[error("{0} is not a public address, and in none of the allowed networks")]
    Address(IpAddr),
    #[error("port {0} is none of the allowed ports")]
    Port(u16),
    #[error("its host is none of the allowed hosts")]
    Host,
}

impl EndpointPolicy {
    pub fn new(networks: Vec<IpNet>, ports: Vec<u16>, hosts: Vec<HostPattern>) -> Self {
        Self(Arc::new(Rules { networks, ports, hosts }))
    }

    /// Judges what a URL says: the port, and the host as the parser of URLs writes it. A name is
    /// judged again once its addresses are known, by [`Self::permits`].
    pub fn check(&self, host: &str, port: u16) -> Result<(), EndpointRefused> {
        let Rules { networks, ports, hosts } = &*self.0;
        if !ports.is_empty() && !ports.contains(&port) {
            return Err(EndpointRefused::Port(port));
        }
        let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
        if let Ok(address) = bare.parse::<IpAddr>() {
            if !self.permits(address) {
                return Err(EndpointRefused::Address(address));
            }
            if networks.iter().any(|network| network.contains(&address)) {
                return Ok(());
            }
        }
        if hosts.is_empty() || hosts.iter().any(|pattern| pattern.matches(bare)) {
            Ok(())
        } else {
            Err(EndpointRefused::Host)
        }
    }

    /// Tells whether an address may be dialled.
    pub fn permits(&self, address: IpAddr) -> bool {
        if self.0.networks.iter().any(|network| network.contains(&address)) {
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

impl HostPattern {
    fn matches(&self, host: &str) -> bool {
        let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        if self.below {
            host.strip_suffix(&self.name).is_some_and(|rest| rest.ends_with('.'))
        } else {
            host == self.name
        }
    }
}

impl FromStr for HostPattern {
    type Err = InvalidHostPattern;

    fn from_str(raw: &str) -> Result<Self, InvalidHostPattern> {
        let (name, below) = raw.strip_prefix("*.").map_or((raw, false), |name| (name, true));
        let name = name.to_ascii_lowercase();
        let literal = !below && name.parse::<IpAddr>().is_ok();
        if literal || super::endpoint_url::is_host_name(&name) {
            Ok(Self { name, below })
        } else {
            Err(InvalidHostPattern(raw.to_owned()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowing(networks: &[&str]) -> EndpointPolicy {
        let networks = networks.iter().map(|network| network.parse().expect("a network"));
        EndpointPolicy::new(networks.collect(), Vec::new(), Vec::new())
    }

    #[track_caller]
    fn check(networks: &[&str], address: &str, permitted: bool) {
        let (policy, bare) = (allowing(networks), address.parse().expect("an address"));
        assert_eq!(policy.permits(bare), permitted, "{address}");
        let host = if bare.is_ipv6() { format!("[{address}]") } else { address.to_owned() };
        assert_eq!(policy.check(&host, 443).is_ok(), permitted, "{host}");
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

    fn patterns(raw: &[&str]) -> Vec<HostPattern> {
        raw.iter().map(|raw| raw.parse().expect("a pattern")).collect()
    }

    #[test]
    fn allowed_hosts_and_ports_narrow_what_is_public() {
        let networks = vec!["10.0.0.0/8".parse().expect("a network")];
        let hosts = patterns(&["rx.example", "*.Okta.com", "1.1.1.1"]);
        let policy = EndpointPolicy::new(networks, vec![443, 8443], hosts);
        for host in
            ["rx.example", "RX.example.", "a.okta.com", "a.b.okta.com", "1.1.1.1", "10.1.2.3"]
        {
            assert_eq!(policy.check(host, 8443), Ok(()), "{host}");
            assert_eq!(policy.check(host, 80), Err(EndpointRefused::Port(80)), "{host}");
        }
        for host in ["okta.com", "notokta.com", "a.rx.example", "rx.example.evil", "8.8.8.8"] {
            assert_eq!(policy.check(host, 443), Err(EndpointRefused::Host), "{host}");
        }
        let loopback = Ipv4Addr::LOCALHOST;
        let refused = Err(EndpointRefused::Address(loopback.into()));
        assert_eq!(policy.check("127.0.0.1", 443), refused);
    }

    #[test]
    fn a_pattern_is_a_host_name_or_all_names_below_one() {
        for raw in ["", "*", "*.", "a.*", "*.1.1.1.1:1", "https://rx.example", "rx example", "a..b"]
        {
            assert!(raw.parse::<HostPattern>().is_err(), "{raw}");
        }
    }
}
