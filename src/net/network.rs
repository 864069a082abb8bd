//! `Network`: which addresses count as one when addresses are counted.
//!
//! Must not identify anyone: an address proves nothing.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// How many leading bits of an IPv6 address identify its network, in which one host may have any
/// number of addresses.
const NETWORK_BITS: u32 = 64;

/// The addresses that one host may have at once: an IPv4 address, an IPv6 network of 64 bits, or
/// all link-local addresses of one interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Network {
    prefix: IpAddr,
    /// The number of the interface of a link-local address; otherwise 0.
    interface: u32,
}

#[cfg(feature = "web")]
impl Network {
    /// This address alone: for those that have shown that they know a secret, of whom several can be
    /// in one network.
    pub(crate) fn alone(addr: SocketAddr) -> Self {
        let prefix = addr.ip().to_canonical();
        let interface = Self::from(addr).interface;
        Self { prefix, interface }
    }
}

impl From<SocketAddr> for Network {
    fn from(addr: SocketAddr) -> Self {
        let interface = match addr {
            SocketAddr::V6(v6) if v6.ip().is_unicast_link_local() => v6.scope_id(),
            _ => 0,
        };
        let prefix = match addr.ip().to_canonical() {
            IpAddr::V6(ip) => {
                Ipv6Addr::from_bits(ip.to_bits() >> NETWORK_BITS << NETWORK_BITS).into()
            }
            v4 => v4,
        };
        Self { prefix, interface }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_has_one_network_however_many_addresses_it_has() {
        let network = |text: &str| Network::from(text.parse::<SocketAddr>().unwrap());
        for (one, other, same) in [
            ("[2001:db8::1]:1", "[2001:db8::ffff:1:2:3]:2", true),
            ("[2001:db8::1]:1", "[2001:db8:0:1::1]:1", false),
            ("10.0.0.1:1", "10.0.0.1:2", true),
            ("10.0.0.1:1", "10.0.0.2:1", false),
            ("[::ffff:10.0.0.1]:1", "10.0.0.1:2", true),
            ("[::ffff:10.0.0.1]:1", "[::ffff:10.0.0.2]:1", false),
            ("[fe80::1%2]:1", "[fe80::2%2]:1", true),
            ("[fe80::1%2]:1", "[fe80::1%3]:1", false),
        ] {
            assert_eq!(network(one) == network(other), same, "{one} {other}");
        }
    }

    #[cfg(feature = "web")]
    #[test]
    fn an_address_can_count_alone() {
        let alone = |text: &str| Network::alone(text.parse().unwrap());
        assert_eq!(alone("[2001:db8::1]:1"), alone("[2001:db8::1]:2"));
        assert_ne!(alone("[2001:db8::1]:1"), alone("[2001:db8::2]:1"));
        assert_eq!(alone("[::ffff:10.0.0.1]:1"), alone("10.0.0.1:1"));
    }
}
