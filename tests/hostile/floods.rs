//! Many connections from many addresses that lead to nothing. Whoever means it still gets in, from
//! wherever it comes.

use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use xfer::model::outcome::Role;
use xfer::wire::{Message, Preamble};

use crate::client::*;
use crate::support::*;

/// How many connections there are, each from an address of its own.
const FLOOD: u16 = 400;
/// How long it may take to get in. Connections that are silent go by themselves after two seconds,
/// and those that are half-way after ten.
const SOON: Duration = Duration::from_secs(8);

/// How many can wait at one stage.
const MOST_WAITING: usize = 192;

/// How far the connections of a flood come.
#[derive(Debug, Clone, Copy)]
enum Far {
    Silent,
    Greeted,
    Proven,
}

/// Addresses in the middle of all that are this machine's.
fn middle(n: u16) -> IpAddr {
    let [high, low] = n.to_be_bytes();
    Ipv4Addr::new(127, 100, high, low).into()
}

#[test]
fn a_flood_from_many_addresses_shuts_nobody_out() {
    let sandbox = Sandbox::new();
    let recv = sandbox.recv_with(&["--open"]);
    let (paired, open) = (Who::paired(&sandbox), Who::open_stranger());
    let flood = Who::stranger();
    for far in [Far::Silent, Far::Greeted, Far::Proven] {
        let begun = Instant::now();
        let (mut streams, mut lines) = (Vec::new(), Vec::new());
        for n in 0..FLOOD {
            match far {
                Far::Silent => streams.push(connect_from(middle(n), recv.addr())),
                Far::Greeted => {
                    let mut stream = connect_from(middle(n), recv.addr());
                    // It may have made room already.
                    let _ = stream.write_all(&Preamble::OURS.encode());
                    streams.push(stream);
                }
                // Each of these is known by nobody, and may have made room, too.
                Far::Proven => lines.extend(flood.try_dial_from(middle(n), recv.addr())),
            }
        }
        // As many wait as can.
        let full = Instant::now();
        while streams.iter().filter(|stream| is_open(stream)).count() > MOST_WAITING {
            assert!(full.elapsed() < SOON);
        }
        for from in [
            Ipv4Addr::new(127, 255, 255, 254),
            Ipv4Addr::new(127, 0, 0, 2),
        ] {
            Session::begin_from(from.into(), &open, recv.addr()).end(vec![]);
        }
        Session::begin_from(middle(FLOOD), &paired, recv.addr()).end(vec![]);
        assert!(begun.elapsed() < SOON, "{far:?}: {:?}", begun.elapsed());
        // All of its lanes come at once.
        still_serves(&sandbox, &recv);
    }
}

#[test]
fn whoever_is_known_makes_no_room_for_strangers() {
    let sandbox = Sandbox::new();
    let recv = sandbox.recv();
    let (paired, flood) = (Who::paired(&sandbox), Who::stranger());
    // Known by its key, it may take its time for its first word.
    let mut line = paired.dial_from(middle(FLOOD), recv.addr());
    let dial = |n| flood.try_dial_from(middle(n), recv.addr());
    let _held: Vec<_> = (0..FLOOD / 2 + 50).filter_map(dial).collect();
    line.say(&paired.hello(&line, Role::Sender));
    let theirs = line.hear();
    assert!(matches!(theirs, Message::Hello(_)), "{theirs:?}");
}

/// Moves this thread, and all that it starts, into a network where all of 2001:db8::/32 is this
/// machine.
fn enter_network() -> bool {
    use std::io::{BufRead as _, BufReader};
    use std::os::fd::AsFd as _;
    use std::process::{Command, Stdio};

    use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

    let script = "set -e; ip link set lo up; ip -6 route add local 2001:db8::/32 dev lo; \
                  echo 1 > /proc/sys/net/ipv6/ip_nonlocal_bind; echo ready; read -r _";
    let mut holder = Command::new("unshare")
        .args(["--net", "sh", "-c", script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = String::new();
    let mut stdout = BufReader::new(holder.stdout.take().unwrap());
    stdout.read_line(&mut said).unwrap();
    let is_ready = said == "ready\n";
    if is_ready {
        let net = std::fs::File::open(format!("/proc/{}/ns/net", holder.id())).unwrap();
        move_into_link_name_space(net.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
    } else {
        skip("no network of its own can be made here: that takes root, `unshare` and `ip`");
    }
    drop(holder.stdin.take());
    holder.wait().unwrap();
    is_ready
}

/// An address of a host in a network.
fn v6(network: u16, host: u16) -> IpAddr {
    Ipv6Addr::new(0x2001, 0xdb8, 0, network, 0, 0, 0, host).into()
}

#[test]
fn a_host_with_very_many_addresses_counts_as_one() {
    // What one network can have at a stage, as the protocol's description says.
    const MOST: usize = 96;
    if !enter_network() {
        return;
    }
    let sandbox = Sandbox::new();
    let me = sandbox.me();
    let mut command = me.command(&["recv", "--open", "--listen", "[::]:0", "--dir"]);
    command.arg(sandbox.dst());
    let recv = Recv::start(command);
    let addr = SocketAddr::new(v6(1, 1), recv.addr().port());
    let connect = |n| {
        let mut stream = connect_from(v6(7, n), addr);
        let _ = stream.write_all(&Preamble::OURS.encode());
        stream
    };
    let mut open: Vec<TcpStream> = (10..10 + FLOOD / 2).map(connect).collect();
    let begun = Instant::now();
    while open.len() > MOST {
        assert!(begun.elapsed() < SOON, "{} stay", open.len());
        open.retain(is_open);
        std::thread::sleep(Duration::from_millis(20));
    }
    let who = Who::open_stranger();
    Session::begin_from(v6(8, 1), &who, addr).end(vec![]);
    open.retain(is_open);
    assert_eq!(open.len(), MOST, "it was shed for somebody else");
    // From the same network somebody who means it gets in as well.
    Session::begin_from(v6(7, 1), &who, addr).end(vec![]);
}

/// Whether the other side has not closed it.
fn is_open(stream: &TcpStream) -> bool {
    let mut bytes = [0; 64];
    stream.set_nonblocking(true).unwrap();
    loop {
        match std::io::Read::read(&mut &*stream, &mut bytes) {
            Ok(0) => return false,
            Ok(_) => {}
            Err(e) => return e.kind() == std::io::ErrorKind::WouldBlock,
        }
    }
}
