//! TARGET: what a person writes to name a receiver.
//!
//! Must not look names up: the engine does.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use anyhow::{Context, Result, anyhow, bail, ensure};

use xfer::transfer::{DEFAULT_PORT, DialTarget};

/// Reads a target: a name, or `host`, `host:port`, `[v6]`, `[v6]:port` or a bare IPv6 address. A
/// name may have what a host's has not, as a device's may.
pub(crate) fn target(text: &str) -> Result<DialTarget> {
    let is_name = !text.contains(|c: char| c.is_control() || "/\\@[]?#:".contains(c))
        && !text.starts_with('-')
        && text.trim() == text;
    let (host, port) = match split(text) {
        Err(_) if is_name && !text.is_empty() => (text, None),
        split => split?,
    };
    let port = match port {
        None if !looks_like_target(text) => return Ok(DialTarget::Name(host.to_owned())),
        None => DEFAULT_PORT,
        Some(port) => match port.parse() {
            Ok(0) | Err(_) => bail!("invalid port {port} (1–65535)"),
            Ok(port) => port,
        },
    };
    Ok(DialTarget::Host {
        host: host.to_owned(),
        port,
    })
}

/// Whether this can hardly be meant as a file: an address, or a name with a port.
pub(crate) fn looks_like_target(text: &str) -> bool {
    let is_address = |host: &str| is_v6(host) || host.parse::<Ipv4Addr>().is_ok();
    match split(text) {
        Ok((host, None)) => is_address(host),
        Ok((_, Some(port))) => port.parse::<u16>().is_ok(),
        Err(_) => false,
    }
}

/// Reads where to listen: a port, or an address and a port.
pub(crate) fn listen(text: &str) -> Result<SocketAddr> {
    if let Ok(port) = text.strip_prefix(':').unwrap_or(text).parse() {
        return Ok((Ipv6Addr::UNSPECIFIED, port).into());
    }
    let port = text.rsplit(':').next().unwrap_or(text);
    let is_number = !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
    ensure!(
        !is_number || port.parse::<u16>().is_ok(),
        "invalid port {port} (0–65535)"
    );
    // The words of the standard library would only confuse.
    let address = text.parse().ok();
    address.context("use PORT or ADDR:PORT, such as 9091, 127.0.0.1:0 or '[::1]:9090'")
}

fn split(text: &str) -> Result<(&str, Option<&str>)> {
    let none = || anyhow!("use HOST or HOST:PORT, such as laptop or 192.168.0.90:9090");
    let (host, port) = if is_v6(text) {
        return Ok((text, None));
    } else if let Some(rest) = text.strip_prefix('[') {
        let (host, rest) = rest.split_once(']').context("missing ']'")?;
        if !is_v6(host) {
            bail!("invalid IPv6 address '{host}'");
        }
        match (rest, rest.strip_prefix(':')) {
            ("", _) => (host, None),
            (_, Some(port)) => (host, Some(port)),
            _ => return Err(none()),
        }
    } else {
        match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        }
    };
    let odd = |c: char| c.is_whitespace() || c.is_control() || "/\\@[]?#".contains(c);
    let no_port = port.is_some_and(|port| port.contains(':'));
    if host.is_empty() || host.starts_with('-') || host.contains(odd) || no_port {
        return Err(none());
    }
    Ok((host, port))
}

// With or without a zone: fe80::1%eth0.
fn is_v6(text: &str) -> bool {
    match text.split_once('%') {
        Some((address, zone)) => !zone.is_empty() && address.parse::<Ipv6Addr>().is_ok(),
        None => text.parse::<Ipv6Addr>().is_ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_hosts_and_ports() {
        for (text, host, port) in [
            ("192.168.0.90", "192.168.0.90", 9090),
            ("192.168.0.90:9091", "192.168.0.90", 9091),
            ("desktop.local:1", "desktop.local", 1),
            ("[::1]", "::1", 9090),
            ("[::1]:65535", "::1", 65535),
            ("fe80::1", "fe80::1", 9090),
            ("fe80::1%eth0", "fe80::1%eth0", 9090),
            ("[fe80::1%eth0]:9", "fe80::1%eth0", 9),
        ] {
            let host = host.to_owned();
            assert_eq!(
                target(text).unwrap(),
                DialTarget::Host { host, port },
                "{text}"
            );
        }
        for text in ["desktop", "desktop.local", "Anna's laptop", "laptop (2)"] {
            assert_eq!(target(text).unwrap(), DialTarget::Name(text.to_owned()));
        }
    }

    #[test]
    fn what_is_no_target_is_said_to_be_none() {
        for text in [
            "",
            ":9090",
            "a:",
            "a:0",
            "a:x",
            "a:65536",
            "a:1:2",
            "[::1",
            "[a]:1",
            "[::1]x",
            "./a",
            "user@a",
            "http://a:1",
            " a",
            "a b:1",
            "-a",
            "a\n",
            "a:+",
        ] {
            assert!(target(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_bare_name_may_be_a_file() {
        for text in ["10.0.0.1", "::1", "[::1]", "desktop:9090"] {
            assert!(looks_like_target(text), "{text}");
        }
        for text in ["desktop", "file.iso", "a:b", "./10.0.0.1", "1.2.3"] {
            assert!(!looks_like_target(text), "{text}");
        }
    }

    #[test]
    fn listening_takes_a_port_or_an_address_with_one() {
        for (text, addr) in [
            ("9090", "[::]:9090"),
            (":9090", "[::]:9090"),
            ("127.0.0.1:0", "127.0.0.1:0"),
            ("[::1]:0", "[::1]:0"),
            ("0.0.0.0:9090", "0.0.0.0:9090"),
        ] {
            let addr: SocketAddr = addr.parse().unwrap();
            assert_eq!(listen(text).unwrap(), addr, "{text}");
        }
        for text in ["", "127.0.0.1", "::1", "localhost:1", "70000", "a"] {
            assert!(listen(text).is_err(), "{text}");
        }
    }
}
