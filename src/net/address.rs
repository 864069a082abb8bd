//! `PeerAddress`: a machine's address, as it is saved and shown.
//!
//! Must not look anything up except the name of an interface.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::sys::host;

/// An address with a port. A link-local address includes the name of its interface, because
/// interface numbers change at each boot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PeerAddress {
    ip: IpAddr,
    interface: Option<String>,
    port: u16,
}

/// The text is not an address with a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no address with a port")]
pub struct NoPeerAddress;

impl PeerAddress {
    /// The address without its port, as a resolver accepts it: `fe80::1%eth0`.
    #[must_use]
    pub fn host(&self) -> String {
        match &self.interface {
            Some(interface) => format!("{}%{interface}", self.ip),
            None => self.ip.to_string(),
        }
    }

    /// Its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl From<SocketAddr> for PeerAddress {
    fn from(addr: SocketAddr) -> Self {
        let number = match addr {
            SocketAddr::V6(addr) => addr.scope_id(),
            SocketAddr::V4(_) => 0,
        };
        Self {
            ip: addr.ip(),
            interface: (number != 0)
                .then(|| host::interface_name(number).unwrap_or_else(|| number.to_string())),
            port: addr.port(),
        }
    }
}

impl fmt::Display for PeerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.ip {
            IpAddr::V4(ip) => write!(f, "{ip}:{}", self.port),
            IpAddr::V6(_) => write!(f, "[{}]:{}", self.host(), self.port),
        }
    }
}

impl FromStr for PeerAddress {
    type Err = NoPeerAddress;

    fn from_str(text: &str) -> Result<Self, NoPeerAddress> {
        let (host, port) = text.rsplit_once(':').ok_or(NoPeerAddress)?;
        let port = port.parse().map_err(|_| NoPeerAddress)?;
        let inner = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
        let (ip, interface) = match inner {
            Some(inner) => inner
                .split_once('%')
                .map_or((inner, None), |(ip, interface)| {
                    (ip, Some(named(interface)))
                }),
            None => (host, None),
        };
        let ip: IpAddr = ip.parse().map_err(|_| NoPeerAddress)?;
        let is_odd = |name: &String| name.is_empty() || name.contains(char::is_control);
        match ip.is_ipv6() == inner.is_some() && !interface.as_ref().is_some_and(is_odd) {
            true => Ok(Self {
                ip,
                interface,
                port,
            }),
            false => Err(NoPeerAddress),
        }
    }
}

/// The name of an interface, which earlier versions saved as a number.
fn named(interface: &str) -> String {
    let number = interface.parse().ok().filter(|number| *number != 0);
    let name = number.and_then(host::interface_name);
    name.unwrap_or_else(|| interface.to_owned())
}

impl TryFrom<String> for PeerAddress {
    type Error = NoPeerAddress;

    fn try_from(text: String) -> Result<Self, NoPeerAddress> {
        text.parse()
    }
}

impl From<PeerAddress> for String {
    fn from(address: PeerAddress) -> Self {
        address.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        for (text, host) in [
            ("10.0.0.1:9090", "10.0.0.1"),
            ("[::1]:1", "::1"),
            ("[fe80::1%eth0]:9090", "fe80::1%eth0"),
            ("[fe80::1%wlan0.7:x]:9090", "fe80::1%wlan0.7:x"),
            // There is no such interface.
            ("[fe80::1%4000000000]:9090", "fe80::1%4000000000"),
        ] {
            let address: PeerAddress = text.parse().unwrap();
            assert_eq!(
                (address.to_string(), address.host()),
                (text.into(), host.into())
            );
        }
        for text in [
            "",
            "1",
            "::1:1",
            "[10.0.0.1]:1",
            "[::1%]:1",
            "[::1]",
            "[::1]:x",
            "a:1",
        ] {
            assert_eq!(text.parse::<PeerAddress>(), Err(NoPeerAddress), "{text}");
        }
    }

    #[test]
    fn an_interface_has_a_name() {
        let lo: SocketAddr = "[fe80::1%1]:9090".parse().unwrap();
        let shown = PeerAddress::from(lo).to_string();
        let kept: PeerAddress = "[fe80::1%1]:9090".parse().unwrap();
        assert_eq!(kept, PeerAddress::from(lo));
        assert!(
            ["[fe80::1%lo]:9090", "[fe80::1%lo0]:9090"].contains(&&*shown),
            "{shown}"
        );
    }
}
