//! This machine: its name, its addresses, and where its state is kept.
//!
//! Must not change anything except the folders for its state, created on first use.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};

use directories::{BaseDirs, ProjectDirs, UserDirs};
use xfer::Error;
use xfer::net::{Identity, Peers};
use xfer::sys::own::OwnFolders;
use xfer::transfer::Device;

/// The most addresses to show.
const MAX_ADDRESSES: usize = 3;
/// Prefixes of interfaces that lead to containers and virtual machines, not to other machines.
const INNER: [&str; 9] = [
    "docker", "veth", "br-", "virbr", "cni", "flannel", "podman", "lxc", "vnet",
];

/// Prefixes of interfaces that lead into a network of far machines, which others in the room are
/// hardly in.
const TUNNELS: [&str; 9] = [
    "tun",
    "tap",
    "wg",
    "utun",
    "ppp",
    "ipsec",
    "tailscale",
    "zt",
    "nordlynx",
];

/// The host name.
pub(crate) fn name() -> String {
    let name = xfer::sys::host::name();
    if name.is_empty() {
        "unnamed".to_owned()
    } else {
        name
    }
}

/// This machine: its identity, created on first use, and the machines it knows.
pub(crate) fn device() -> xfer::Result<Device> {
    let dirs = dirs()?;
    let identity = Identity::load_or_create(dirs.config_dir())?;
    // Created now, so that it is recognized later and not created during a transfer.
    let _ = data_dir();
    let own = [
        dirs.config_dir(),
        dirs.data_local_dir(),
        dirs.data_dir(),
        dirs.state_dir().unwrap_or(dirs.data_local_dir()),
    ];
    Ok(Device {
        identity,
        peers: peers()?,
        own: OwnFolders::at(
            own.map(Path::to_path_buf).to_vec(),
            &Identity::file_in(dirs.config_dir()),
        ),
    })
}

/// The machines that this one knows.
pub(crate) fn peers() -> xfer::Result<Peers> {
    Ok(Peers::in_dir(dirs()?.data_local_dir()))
}

fn dirs() -> xfer::Result<ProjectDirs> {
    ProjectDirs::from("", "", "xfer").ok_or(Error::NoHome)
}

/// The path of the settings file, which may not exist.
pub(crate) fn config_file() -> xfer::Result<PathBuf> {
    Ok(dirs()?.config_dir().join("config.toml"))
}

/// The user's home.
pub(crate) fn home() -> Option<PathBuf> {
    Some(BaseDirs::new()?.home_dir().to_path_buf())
}

/// The user's Downloads folder; none if they have no home.
pub(crate) fn downloads() -> Option<PathBuf> {
    let home = home().filter(|home| home.parent().is_some())?;
    let set = UserDirs::new()?.download_dir().map(Path::to_path_buf);
    // The home itself stands for "no such folder".
    let set = set.filter(|dir| *dir != home && dir.is_absolute());
    Some(set.unwrap_or_else(|| home.join("Downloads")))
}

/// The folder with the list of known machines, created if missing; none if that fails.
pub(crate) fn data_dir() -> Option<PathBuf> {
    let dir = dirs().ok()?.data_local_dir().to_path_buf();
    Peers::in_dir(&dir).make_dir().ok()?;
    Some(dir)
}

/// The addresses at which a listener on `addr` can be reached, best first.
pub(crate) fn addresses(addr: SocketAddr) -> Vec<IpAddr> {
    if !addr.ip().is_unspecified() {
        return vec![addr.ip()];
    }
    let interfaces = if_addrs::get_if_addrs().unwrap_or_default();
    let mut found: Vec<_> = interfaces
        .into_iter()
        .filter(|i| i.is_oper_up() || i.oper_status == if_addrs::IfOperStatus::Unknown)
        .filter(|i| !i.is_loopback() && !i.is_link_local())
        .filter(|i| !INNER.iter().any(|inner| i.name.starts_with(inner)))
        .filter(|i| addr.is_ipv6() || i.ip().is_ipv4())
        .map(|i| {
            (
                TUNNELS.iter().any(|tunnel| i.name.starts_with(tunnel)),
                i.ip(),
            )
        })
        .collect();
    // The one that leads to others comes first.
    let routed = [true, false].map(routed);
    found.sort_by_key(|(tunnel, ip)| {
        let is_private = matches!(ip, IpAddr::V4(ip) if ip.is_private());
        (
            *tunnel,
            ip.is_ipv6(),
            !routed.contains(&Some(*ip)),
            !is_private,
        )
    });
    found.truncate(MAX_ADDRESSES);
    let mut found: Vec<_> = found.into_iter().map(|(_, ip)| ip).collect();
    if found.is_empty() {
        found.push(IpAddr::from([127, 0, 0, 1]));
    }
    found
}

/// The address that this machine has where its packets to far away leave it. Sends nothing: the
/// addresses are of documents, and a socket of this kind only takes note of where it would send to.
fn routed(v4: bool) -> Option<IpAddr> {
    let (here, there): (IpAddr, IpAddr) = match v4 {
        true => (
            Ipv4Addr::UNSPECIFIED.into(),
            Ipv4Addr::new(192, 0, 2, 1).into(),
        ),
        false => (
            Ipv6Addr::UNSPECIFIED.into(),
            Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into(),
        ),
    };
    let socket = UdpSocket::bind((here, 0)).ok()?;
    socket.connect((there, 9)).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_a_name_and_an_address() {
        assert!(!name().is_empty());
        let shown = addresses(([127, 0, 0, 1], 0).into());
        assert_eq!(shown, [IpAddr::from([127, 0, 0, 1])]);
        let all = addresses(([0, 0, 0, 0], 0).into());
        assert!((1..=MAX_ADDRESSES).contains(&all.len()));
        assert!(all.iter().all(IpAddr::is_ipv4));
    }
}
