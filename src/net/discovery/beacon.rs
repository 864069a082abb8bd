//! `Beacon`: what a machine announces about itself, encoded and decoded.
//!
//! Must not keep anything unchecked: anyone on the network can send one.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};

use mdns_sd::{ResolvedService, ScopedIp};

use super::super::fingerprint::{Fingerprint, write_groups};
use super::super::peers::device_name;
use crate::model::text::Text;

/// The service type and domain that xfer announces.
pub(super) const SERVICE_TYPE: &str = "_xfer._tcp.local.";
/// How many addresses of one instance are kept.
pub(super) const MAX_ADDRESSES: usize = 8;
/// The longest name of an instance, in bytes, without a suffix: a DNS label has 63, and ' (99)' has
/// to fit.
const MAX_INSTANCE_BYTES: usize = 57;
/// How many bytes of a fingerprint are announced.
const START_BYTES: usize = 8;
/// How many groups of them are shown: the fourth would be incomplete.
const START_GROUPS: usize = 3;

/// The keys of the TXT record. All others are ignored.
pub(super) const VERSION_KEY: &str = "v";
pub(super) const FINGERPRINT_KEY: &str = "fp";
pub(super) const SERVICE_KEY: &str = "kind";
pub(super) const NAME_KEY: &str = "name";

/// What a machine offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Service {
    /// It receives files.
    Receiver,
    /// It has a chat room.
    Room,
    /// It shares files, for others to fetch.
    Share,
}

impl Service {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Receiver => "recv",
            Self::Room => "chat",
            Self::Share => "share",
        }
    }

    fn from_word(word: &str) -> Option<Self> {
        [Self::Receiver, Self::Room, Self::Share]
            .into_iter()
            .find(|service| service.word() == word)
    }
}

/// The first bytes of a fingerprint: enough to know which machine to ask, but not enough to prove
/// which one answers.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct FingerprintStart([u8; START_BYTES]);

impl FingerprintStart {
    /// The start of a fingerprint.
    #[must_use]
    pub fn of(fingerprint: &Fingerprint) -> Self {
        let mut start = [0; START_BYTES];
        start.copy_from_slice(&fingerprint.0[..START_BYTES]);
        Self(start)
    }

    /// 16 hexadecimal digits.
    #[must_use]
    pub fn to_hex(self) -> String {
        let mut whole = Fingerprint([0; 32]);
        whole.0[..START_BYTES].copy_from_slice(&self.0);
        whole.to_hex()[..START_BYTES * 2].to_owned()
    }

    /// Parses 16 lower-case hexadecimal digits; `None` for anything else.
    #[must_use]
    pub fn from_hex(hex: &str) -> Option<Self> {
        if hex.len() != START_BYTES * 2 {
            return None;
        }
        let whole = Fingerprint::from_hex(&format!("{hex}{}", "0".repeat(64 - START_BYTES * 2)))?;
        Some(Self::of(&whole))
    }
}

/// Shown like the start of the whole fingerprint.
impl fmt::Display for FingerprintStart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_groups(f, &self.0, START_GROUPS)
    }
}

impl fmt::Debug for FingerprintStart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FingerprintStart({self})")
    }
}

/// A machine's announcement, as found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Beacon {
    /// The name that the machine gives itself, made safe to show, store and type.
    pub name: String,
    /// The name of its announcement, unique at any time. It may contain anything.
    pub instance: String,
    /// What it offers.
    pub service: Service,
    /// The start of the fingerprint that it claims.
    pub fingerprint: FingerprintStart,
    /// The protocol version that it speaks.
    pub version: u16,
    /// The addresses where it claims to listen, at least one; the best first.
    pub addresses: Vec<SocketAddr>,
}

impl Beacon {
    /// Whether it claims to be this machine. The claim may be false.
    #[must_use]
    pub fn may_be(&self, fingerprint: &Fingerprint) -> bool {
        self.fingerprint == FingerprintStart::of(fingerprint)
    }

    /// Decodes the announcement of a service; `None` if it is not one of xfer's.
    pub(super) fn of(found: &ResolvedService) -> Option<Self> {
        let instance = instance(&found.fullname)?;
        let value = |key| found.get_property_val(key).flatten();
        let text = |key| value(key).and_then(|bytes| std::str::from_utf8(bytes).ok());
        let version = text(VERSION_KEY)?.parse().ok()?;
        let fingerprint = FingerprintStart::from_hex(text(FINGERPRINT_KEY)?)?;
        let service = Service::from_word(text(SERVICE_KEY)?)?;
        let name = match value(NAME_KEY) {
            Some(_) => text(NAME_KEY)?,
            None => &instance,
        };
        if found.port == 0 {
            return None;
        }
        let mut addresses: Vec<_> = found
            .addresses
            .iter()
            .filter_map(|ip| address(ip, found.port))
            .collect();
        addresses.sort_by_key(|addr| (rank(addr.ip()), *addr));
        addresses.dedup();
        addresses.truncate(MAX_ADDRESSES);
        if addresses.is_empty() {
            return None;
        }
        Some(Self {
            name: device_name(&Text::new(name)),
            instance,
            service,
            fingerprint,
            version,
            addresses,
        })
    }
}

/// The instance's part of a full name; `None` if it has another type.
pub(super) fn instance(full: &str) -> Option<String> {
    let at = full.len().checked_sub(SERVICE_TYPE.len() + 1)?;
    let (instance, service) = full.split_at_checked(at)?;
    let service = service.strip_prefix('.')?;
    (service.eq_ignore_ascii_case(SERVICE_TYPE) && !instance.is_empty())
        .then(|| instance.to_owned())
}

/// The instance name for a machine of this name, if nobody else has it. Programs escape dots and
/// backslashes differently, so it contains none.
pub(super) fn instance_for(name: &str) -> String {
    let name = device_name(&Text::new(name)).replace(['.', '\\'], "-");
    let mut end = name.len().min(MAX_INSTANCE_BYTES);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    name[..end].trim_end().to_owned()
}

fn address(ip: &ScopedIp, port: u16) -> Option<SocketAddr> {
    let useless = |ip: IpAddr| ip.is_loopback() || ip.is_unspecified() || ip.is_multicast();
    let plain = ip.to_ip_addr();
    if useless(plain) || useless(plain.to_canonical()) {
        return None;
    }
    match ip {
        ScopedIp::V6(v6) if v6.addr().is_unicast_link_local() => {
            // It is useless without the network that it is on.
            let scope = v6.scope_id().index;
            (scope != 0).then(|| SocketAddrV6::new(*v6.addr(), port, 0, scope).into())
        }
        _ => Some(SocketAddr::new(plain, port)),
    }
}

/// The lower, the better.
fn rank(ip: IpAddr) -> u8 {
    match ip {
        IpAddr::V4(v4) if v4.is_link_local() => 2,
        IpAddr::V4(v4) if v4.is_broadcast() => 4,
        IpAddr::V4(_) => 0,
        IpAddr::V6(v6) if Ipv6Addr::is_unicast_link_local(&v6) => 3,
        IpAddr::V6(_) => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mdns_sd::ServiceInfo;

    const START: &str = "0123456789abcdef";

    fn found(instance: &str, txt: &[(&str, &str)]) -> ResolvedService {
        let ips = "fe80::1,10.0.0.1,127.0.0.1,::1,2001:db8::1,::,224.0.0.1,169.254.1.1";
        let info = ServiceInfo::new(SERVICE_TYPE, instance, "host.local.", ips, 9090, txt);
        info.unwrap().as_resolved_service()
    }

    #[test]
    fn what_is_whole_is_kept_and_its_best_address_comes_first() {
        let txt = [
            ("v", "1"),
            ("fp", START),
            ("kind", "recv"),
            ("more", "things"),
        ];
        let beacon = Beacon::of(&found("lap top (2)", &txt)).unwrap();
        assert_eq!(
            (&*beacon.name, &*beacon.instance),
            ("lap top (2)", "lap top (2)")
        );
        // The link-local IPv6 address is left out, because its network is unknown.
        let addresses = ["10.0.0.1:9090", "[2001:db8::1]:9090", "169.254.1.1:9090"];
        assert_eq!(beacon.addresses, addresses.map(|a| a.parse().unwrap()));
        let mut whole = Fingerprint([7; 32]);
        assert!(!beacon.may_be(&whole));
        whole.0[..8].copy_from_slice(&[0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef]);
        assert!(beacon.may_be(&whole));
        assert!(
            whole
                .to_string()
                .starts_with(&beacon.fingerprint.to_string())
        );
        assert_eq!(beacon.fingerprint.to_hex(), START);
    }

    #[test]
    fn a_name_does_nothing_to_a_terminal() {
        let txt = |name| [("v", "1"), ("fp", START), ("kind", "chat"), ("name", name)];
        let beacon = Beacon::of(&found("x", &txt("a\u{1b}[31m\u{202e}b\nc"))).unwrap();
        assert_eq!(beacon.name, "a[31mbc");
        assert_eq!(beacon.service, Service::Room);
        let long = "ä".repeat(100);
        let beacon = Beacon::of(&found("x", &txt(&long))).unwrap();
        assert_eq!(beacon.name.len(), 64);
    }

    #[test]
    fn what_is_wrong_is_passed_over() {
        let good = [("v", "1"), ("fp", START), ("kind", "recv")];
        assert!(Beacon::of(&found("x", &good)).is_some());
        let with = |key: &'static str, value: &'static str| {
            good.map(|(k, v)| if k == key { (k, value) } else { (k, v) })
        };
        for bad in [
            with("v", ""),
            with("v", "65536"),
            with("v", "one"),
            with("fp", "0123456789abcde"),
            with("fp", "0123456789abcdeg"),
            with("fp", "0123456789ABCDEF"),
            with("fp", "0123456789abcdé"),
            with("kind", "other"),
        ] {
            assert_eq!(Beacon::of(&found("x", &bad)), None, "{bad:?}");
        }
        for left_out in 0..good.len() {
            let mut some = good.to_vec();
            some.remove(left_out);
            assert_eq!(Beacon::of(&found("x", &some)), None, "{some:?}");
        }
        let mut portless = found("x", &good);
        portless.port = 0;
        assert_eq!(Beacon::of(&portless), None);
        let mut nowhere = found("x", &good);
        nowhere.addresses.retain(ScopedIp::is_loopback);
        assert_eq!(Beacon::of(&nowhere), None);
        for full in [
            "",
            SERVICE_TYPE,
            "._xfer._tcp.local.",
            "x._http._tcp.local.",
            "ä_xfer._tcp.local.",
        ] {
            assert_eq!(instance(full), None, "{full}");
        }
    }

    #[test]
    fn every_name_makes_a_label() {
        assert_eq!(instance_for("Anna's laptop"), "Anna's laptop");
        assert_eq!(instance_for("a.b\\c"), "a-b-c");
        assert_eq!(instance_for("\u{1b}"), "unnamed");
        let long = instance_for(&format!("a{}", "ä".repeat(40)));
        assert_eq!(long.len(), MAX_INSTANCE_BYTES);
        let ends_in_space = instance_for(&format!("{} bbb", "a".repeat(MAX_INSTANCE_BYTES - 1)));
        assert_eq!(ends_in_space.len(), MAX_INSTANCE_BYTES - 1);
    }
}
