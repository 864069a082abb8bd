//! TARGET: what a person writes to name a receiver.
//!
//! Must not look names up: the engine does.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use anyhow::{Context, Result, anyhow, bail, ensure};

use xfer::model::relpath::RelPath;
use xfer::sys::name::{is_only_a_path, with_slashes};
use xfer::transfer::{DEFAULT_PORT, DialTarget};

use crate::ui::{quoted, safe};

/// A receiver, and where in its folder what is sent goes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) to: DialTarget,
    /// None for the receive folder itself.
    pub(crate) folder: Option<RelPath>,
}

/// Reads a target that names a machine alone.
pub(crate) fn target(text: &str) -> Result<DialTarget> {
    let Place { to, folder } = place(text)?;
    match folder {
        None => Ok(to),
        Some(folder) => bail!(
            "only `xfer send` takes a folder; leave out ':{}'",
            folder.as_path().display()
        ),
    }
}

/// Reads a target: a machine, then a port, a folder, or both, with a colon before each. What has
/// only digits is a port. A machine is a name, `host`, `[v6]`, or a bare IPv6 address where nothing
/// follows. A name may have what a host's has not, as a device's may.
pub(crate) fn place(text: &str) -> Result<Place> {
    let Parts {
        machine,
        port,
        folder,
    } = split(text)?;
    let folder = folder
        .map(|folder| {
            let before = text.strip_suffix(folder).unwrap_or(text);
            folder_of(before, &with_slashes(folder))
        })
        .transpose()?;
    let port = match port {
        None if !is_address(machine) => None,
        None => Some(DEFAULT_PORT),
        Some(port) => match port.parse() {
            Ok(0) | Err(_) => bail!("invalid port {port} (1–65535)"),
            Ok(port) => Some(port),
        },
    };
    let name = machine.to_owned();
    let to = match port {
        None => DialTarget::Name(name),
        Some(port) => DialTarget::Host { host: name, port },
    };
    Ok(Place { to, folder })
}

/// What stands behind a user's name, as `scp` and `rsync` take one before the host.
pub(crate) fn without_user(text: &str) -> Option<&str> {
    let (user, place) = text.split_once('@')?;
    let place = place.trim_end_matches(':');
    (!user.contains(['/', ':']) && !place.is_empty()).then_some(place)
}

/// `before` is what stands before the folder, with the colon.
fn folder_of(before: &str, text: &str) -> Result<RelPath> {
    let shown = safe(text);
    let below = text.trim_matches('/');
    if text.starts_with('/') {
        let such_as = match folder_of(before, below) {
            Ok(_) => format!(
                ", such as {}",
                quoted(&safe(&format!("{before}{below}/")).to_string())
            ),
            Err(_) => String::new(),
        };
        bail!("'{shown}' is not below the receiver's folder; use a relative path{such_as}");
    }
    if below
        .split('/')
        .any(|part| matches!(part, "." | ".." | "~"))
    {
        bail!("a folder of the receiver cannot have the parts '.', '..' or '~': '{shown}'");
    }
    if below.contains(':') {
        bail!("a folder of the receiver cannot have ':' in it: '{shown}'");
    }
    if text.chars().any(char::is_control) {
        bail!("a folder of the receiver cannot have control characters in it: '{shown}'");
    }
    RelPath::new(below).map_err(|why| anyhow!("'{shown}' cannot be a folder: {why}"))
}

/// Whether this can hardly be meant as a file: an address, or a name with a port.
pub(crate) fn looks_like_target(text: &str) -> bool {
    split(text).is_ok_and(|parts| match parts.port {
        Some(port) => port.parse::<u16>().is_ok(),
        None => is_address(parts.machine),
    })
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

/// What a target has, as it stands there.
struct Parts<'a> {
    machine: &'a str,
    /// Digits.
    port: Option<&'a str>,
    folder: Option<&'a str>,
}

fn split(text: &str) -> Result<Parts<'_>> {
    let not_valid = || {
        anyhow!("not a valid target; use NAME or HOST:PORT, such as laptop or 192.168.0.90:9090")
    };
    if is_only_a_path(text) {
        return Err(not_valid());
    }
    let (machine, rest) = if is_v6(text) {
        (text, None)
    } else if let Some(rest) = text.strip_prefix('[') {
        let (machine, rest) = rest.split_once(']').context("']' is missing")?;
        if !is_v6(machine) {
            bail!("'{}' is not a valid IPv6 address", safe(machine));
        }
        match (rest, rest.strip_prefix(':')) {
            ("", _) => (machine, None),
            (_, Some(rest)) => (machine, Some(rest)),
            _ => return Err(not_valid()),
        }
    } else {
        match text.split_once(':') {
            Some((machine, rest)) => (machine, Some(rest)),
            None => (text, None),
        }
    };
    if let Some(place) = without_user(machine) {
        bail!("xfer needs no user name: use {}", safe(place));
    }
    let odd = |c: char| c.is_control() || "/\\@[]?#".contains(c);
    let is_odd = machine.contains(odd) || machine.starts_with('-') || machine.trim() != machine;
    if machine.is_empty() || is_odd && !is_v6(machine) {
        return Err(not_valid());
    }
    let is_port = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let (port, folder) = match rest {
        None => (None, None),
        // As for scp.
        Some("") => bail!("leave out the ':' at the end: use {}", safe(machine)),
        Some(rest) if rest.starts_with(':') => {
            bail!("put an IPv6 address in brackets: '[fe80::1]:9090'")
        }
        Some(rest) if is_port(rest) => (Some(rest), None),
        Some(rest) => match rest.split_once(':') {
            Some((port, "")) if is_port(port) => (Some(port), None),
            Some((port, folder)) if is_port(port) => (Some(port), Some(folder)),
            _ => (None, Some(rest)),
        },
    };
    Ok(Parts {
        machine,
        port,
        folder,
    })
}

fn is_address(machine: &str) -> bool {
    is_v6(machine) || machine.parse::<Ipv4Addr>().is_ok()
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
            "a:65536",
            "a:00000",
            "[::1",
            "[a]:1",
            "[::1]x",
            "./a",
            "user@a",
            "http://a:1",
            " a",
            "-a",
            "a\n",
            "lap::1",
            "fe80::1:photos",
            "a:/photos",
            "a:../photos",
            "a:photos/..",
            "a:./photos",
            "a:~/photos",
            "a:a//b",
            "a:1:b:c",
            "a:.xfer/b",
            "a:b\nc",
            "user@a:photos",
            "http://a:1/b",
        ] {
            assert!(target(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_folder_may_follow() {
        let host = |host: &str, port| DialTarget::Host {
            host: host.to_owned(),
            port,
        };
        let name = |name: &str| DialTarget::Name(name.to_owned());
        for (text, to, folder) in [
            ("lap:photos", name("lap"), Some("photos")),
            ("lap:photos/", name("lap"), Some("photos")),
            ("lap:photos/2024/", name("lap"), Some("photos/2024")),
            ("lap:2024/", name("lap"), Some("2024")),
            ("lap:2024", host("lap", 2024), None),
            ("lap:9091:2024", host("lap", 9091), Some("2024")),
            (
                "Anna's laptop:my photos",
                name("Anna's laptop"),
                Some("my photos"),
            ),
            ("Anna's laptop:9091", host("Anna's laptop", 9091), None),
            (
                "192.168.0.90:photos/",
                host("192.168.0.90", 9090),
                Some("photos"),
            ),
            (
                "192.168.0.90:9091:photos/",
                host("192.168.0.90", 9091),
                Some("photos"),
            ),
            (
                "[fe80::1%eth0]:7000:photos/",
                host("fe80::1%eth0", 7000),
                Some("photos"),
            ),
            ("[::1]:photos", host("::1", 9090), Some("photos")),
        ] {
            let folder = folder.map(|folder| RelPath::new(folder).unwrap());
            assert_eq!(place(text).unwrap(), Place { to, folder }, "{text}");
        }
        assert!(target("lap:9091").is_ok());
        assert!(
            target("lap:photos")
                .unwrap_err()
                .to_string()
                .contains("only `xfer send`")
        );
    }

    #[test]
    fn a_relative_path_is_proposed_where_there_is_one() {
        for (text, proposed) in [
            ("laptop:/photos", Some("laptop:photos/")),
            ("laptop:/photos/new/", Some("laptop:photos/new/")),
            ("laptop:/2024", Some("laptop:2024/")),
            ("host:7000:/x", Some("host:7000:x/")),
            ("[::1]:/x", Some("'[::1]:x/'")),
            ("laptop:/my photos", Some("'laptop:my photos/'")),
            ("laptop:/", None),
            ("laptop://", None),
            ("host:7000:/", None),
            ("laptop:/../x", None),
            ("laptop:/a:b", None),
        ] {
            let error = place(text).unwrap_err().to_string();
            let (_, after) = error.split_once("use a relative path").unwrap();
            assert_eq!(after.strip_prefix(", such as "), proposed, "{text}");
            assert!(proposed.is_some() || after.is_empty(), "{text}: {error}");
            if let Some(proposed) = proposed {
                assert!(place(proposed.trim_matches('\'')).is_ok(), "{proposed}");
            }
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
