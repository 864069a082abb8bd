//! TCP connections: what the standard library does not offer.
//!
//! Must not know what they carry, nor decide when to give one up.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketType, sockopt};

pub(crate) use crate::sys::told::Delivery;

/// How many connections may wait to be accepted.
const BACKLOG: i32 = 128;

/// What has become of what `stream` was given to send; none where the system does not say.
pub(crate) fn delivery(stream: &TcpStream) -> Option<Delivery> {
    system::delivery(stream)
}

/// Has the system give a connection up by which nothing arrives for so long, where it cannot say
/// what arrives.
pub(crate) fn give_up_after(stream: &TcpStream, time: Duration) {
    system::give_up_after(stream, time);
}

/// Has the system send what is lost again at most ten seconds after the last time, where it can be
/// told: by itself it waits longer each time, and notices late that a network is back.
pub(crate) fn retry_often(stream: &TcpStream) {
    system::retry_often(stream);
}

/// Closes a connection at once, from any thread: one that waits for it gets an error or the end.
pub(crate) fn close(stream: &TcpStream) {
    // It fails if it is closed already.
    let _ = stream.shutdown(Shutdown::Both);
}

/// Whether the other side has closed its connection, or says no more on it: on Linux also behind
/// what is not read yet. Only for one that does not block.
#[cfg(feature = "web")]
pub(crate) fn has_gone(stream: &TcpStream) -> bool {
    system::has_hung_up(stream)
        || match stream.peek(&mut [0]) {
            Ok(bytes) => bytes == 0,
            Err(e) => e.kind() != io::ErrorKind::WouldBlock,
        }
}

/// A socket that [`connect`] can connect to an address.
pub(crate) fn unconnected(addr: SocketAddr) -> io::Result<TcpStream> {
    socket(addr).map(TcpStream::from)
}

/// Connects to an address, in no more than `time`; with `max_segment`, no packet either way is to
/// carry more bytes than that, as far as the system can be told. A shutdown ends the attempt where
/// the system lets it.
pub(crate) fn connect(
    stream: &TcpStream,
    addr: SocketAddr,
    time: Duration,
    max_segment: Option<u16>,
) -> io::Result<()> {
    let limit = |bytes| system::set_max_segment(stream, bytes).is_err();
    let too_early = max_segment.filter(|bytes| limit(*bytes));
    stream.set_nonblocking(true)?;
    match rustix::net::connect(stream, &addr) {
        Ok(()) => {}
        Err(Errno::INPROGRESS | Errno::INTR) => wait_until_connected(stream, time)?,
        Err(e) => return Err(e.into()),
    }
    // On BSDs it may only be lowered, and before it is connected it is lower. After that it counts
    // in one direction, which is better than in none.
    let _ = too_early.map(limit);
    stream.set_nonblocking(false)
}

fn wait_until_connected(stream: &TcpStream, time: Duration) -> io::Result<()> {
    let end = std::time::Instant::now() + time;
    loop {
        let left = end.saturating_duration_since(std::time::Instant::now());
        let left = Timespec::try_from(left).map_err(io::Error::other)?;
        let mut fds = [PollFd::new(stream, PollFlags::OUT)];
        match poll(&mut fds, Some(&left)) {
            Ok(0) => return Err(io::ErrorKind::TimedOut.into()),
            Ok(_) => return stream.take_error()?.map_or(Ok(()), Err),
            Err(Errno::INTR) => {}
            Err(e) => return Err(e.into()),
        }
    }
}

/// Listens on an address. On `[::]` that is on all addresses of both families, whatever the system
/// makes of it by itself.
pub(crate) fn listen(addr: SocketAddr) -> io::Result<TcpListener> {
    let socket = socket(addr)?;
    // As the standard library does: the port of a receiver that has just ended is free.
    sockopt::set_socket_reuseaddr(&socket, true)?;
    if addr.is_ipv6() && addr.ip().is_unspecified() {
        sockopt::set_ipv6_v6only(&socket, false)?;
    }
    rustix::net::bind(&socket, &addr)?;
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(socket.into())
}

/// Says whether this process can have a UDP port that several have at once, on either family.
pub(crate) fn try_port_of_many(port: u16) -> io::Result<()> {
    let bind = |addr: SocketAddr| {
        let socket = rustix::net::socket(AddressFamily::of(addr), SocketType::DGRAM, None)?;
        sockopt::set_socket_reuseaddr(&socket, true)?;
        sockopt::set_socket_reuseport(&socket, true)?;
        if addr.is_ipv6() {
            sockopt::set_ipv6_v6only(&socket, true)?;
        }
        rustix::net::bind(&socket, &addr)
    };
    let v4 = bind((Ipv4Addr::UNSPECIFIED, port).into());
    let v6 = || bind((Ipv6Addr::UNSPECIFIED, port).into());
    v4.or_else(|error| v6().map_err(|_| error.into()))
}

#[cfg(not(target_vendor = "apple"))]
fn socket(addr: SocketAddr) -> io::Result<std::os::fd::OwnedFd> {
    let (family, flags) = (AddressFamily::of(addr), rustix::net::SocketFlags::CLOEXEC);
    Ok(rustix::net::socket_with(
        family,
        SocketType::STREAM,
        flags,
        None,
    )?)
}

/// There a program that is started in between keeps it open, which harms nobody.
#[cfg(target_vendor = "apple")]
fn socket(addr: SocketAddr) -> io::Result<std::os::fd::OwnedFd> {
    use rustix::io::{FdFlags, fcntl_setfd};
    let socket = rustix::net::socket(AddressFamily::of(addr), SocketType::STREAM, None)?;
    fcntl_setfd(&socket, FdFlags::CLOEXEC)?;
    sockopt::set_socket_nosigpipe(&socket, true)?;
    Ok(socket)
}

trait Of {
    fn of(addr: SocketAddr) -> Self;
}

impl Of for AddressFamily {
    fn of(addr: SocketAddr) -> Self {
        match addr {
            SocketAddr::V4(_) => Self::INET,
            SocketAddr::V6(_) => Self::INET6,
        }
    }
}

/// Sets an option of TCP that is a number.
// It is the size of a number.
#[allow(unsafe_code, clippy::cast_possible_truncation)]
fn set_tcp_option(stream: &TcpStream, option: i32, value: i32) -> io::Result<()> {
    use std::os::fd::AsRawFd as _;
    // SAFETY: the descriptor is open for as long as `stream` is borrowed, and the system reads no
    // more than the number, which outlives the call.
    let set = unsafe {
        libc::setsockopt(
            stream.as_raw_fd(),
            libc::IPPROTO_TCP,
            option,
            (&raw const value).cast(),
            size_of::<i32>() as libc::socklen_t,
        )
    };
    match set {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(target_os = "linux")]
mod system {
    use std::io;
    use std::net::TcpStream;
    use std::os::fd::AsRawFd as _;
    use std::time::Duration;

    use super::set_tcp_option;
    use crate::sys::told::Delivery;

    /// How often in a row the system asks whether there is room before that counts as no answer.
    const PROBES: u8 = 3;
    /// For how long a side that has taken back its room may not have answered, in milliseconds:
    /// longer than the system waits before it asks again.
    const ASKED_AGAIN: u32 = 150_000;
    /// `TCP_RTO_MAX_MS` (linux/tcp.h), since Linux 6.15.
    const RTO_MAX_MS: i32 = 44;
    /// How long the system waits at most before it sends what is lost again, in milliseconds. Of
    /// that depends as well for how long it tries: 15 times (`tcp_retries2`), which is about two
    /// minutes, and twice this where the other side has taken back its room. Shorter, it would give
    /// up sessions that the next seconds would save; longer, it would notice only behind the half a
    /// minute after which a silent peer counts as gone that a network is back.
    const AGAIN: i32 = 10_000;
    /// Where things are in `struct tcp_info` (linux/tcp.h), which only ever grows at its end.
    const AT_PROBES: usize = 3;
    const AT_UNCONFIRMED: usize = 24;
    const AT_LAST_CONFIRMED: usize = 56;
    const AT_CONFIRMED: usize = 120;
    const AT_ROOM: usize = 228;

    /// So much of `struct tcp_info` as is looked at, as the system gave it.
    struct TcpInfo {
        bytes: [u8; 232],
        len: usize,
    }

    impl TcpInfo {
        fn number<const N: usize>(&self, at: usize) -> Option<[u8; N]> {
            self.bytes[..self.len].get(at..at + N)?.try_into().ok()
        }

        fn word(&self, at: usize) -> Option<u32> {
            self.number(at).map(u32::from_ne_bytes)
        }
    }

    // It is no longer than that.
    #[allow(unsafe_code, clippy::cast_possible_truncation)]
    fn tcp_info(stream: &TcpStream) -> Option<TcpInfo> {
        let mut bytes = [0; 232];
        let mut len = bytes.len() as libc::socklen_t;
        // SAFETY: the descriptor is open for as long as `stream` is borrowed, and the system writes
        // no more than `len` bytes, which `bytes` has.
        let got = unsafe {
            libc::getsockopt(
                stream.as_raw_fd(),
                libc::IPPROTO_TCP,
                libc::TCP_INFO,
                bytes.as_mut_ptr().cast(),
                &raw mut len,
            )
        };
        let len = bytes.len().min(len as usize);
        (got == 0).then_some(TcpInfo { bytes, len })
    }

    pub(super) fn delivery(stream: &TcpStream) -> Option<Delivery> {
        let info = tcp_info(stream)?;
        let confirmed = u64::from_ne_bytes(info.number(AT_CONFIRMED)?);
        let is_on_its_way = info.word(AT_UNCONFIRMED)? > 0;
        // Systems before Linux 5.4 do not say, and hardly ever have a side take back its room.
        let has_room = info.word(AT_ROOM).is_none_or(|room| room > 0);
        let [probes] = info.number(AT_PROBES)?;
        let waits = match (is_on_its_way, has_room) {
            (true, true) => true,
            (true, false) => info.word(AT_LAST_CONFIRMED)? > ASKED_AGAIN,
            (false, _) => probes >= PROBES,
        };
        Some(Delivery { confirmed, waits })
    }

    #[cfg(feature = "web")]
    pub(super) fn has_hung_up(stream: &TcpStream) -> bool {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        const AT_ONCE: Timespec = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        let flags = PollFlags::RDHUP | PollFlags::HUP | PollFlags::ERR;
        let mut fds = [PollFd::new(stream, flags)];
        poll(&mut fds, Some(&AT_ONCE)).is_ok_and(|many| many > 0)
    }

    pub(super) fn give_up_after(_: &TcpStream, _: Duration) {}

    pub(super) fn retry_often(stream: &TcpStream) {
        // Older systems go on as they do.
        let _ = set_tcp_option(stream, RTO_MAX_MS, AGAIN);
    }

    pub(super) fn set_max_segment(stream: &TcpStream, bytes: u16) -> io::Result<()> {
        set_tcp_option(stream, libc::TCP_MAXSEG, bytes.into())
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use std::io;
    use std::net::TcpStream;
    use std::time::Duration;

    use super::set_tcp_option;
    use crate::sys::told::Delivery;

    /// After how many seconds without a confirmation of what is on its way a connection is dropped:
    /// `TCP_RXT_CONNDROPTIME` on macOS. FreeBSD's `TCP_MAXUNACKTIME` is no such thing: it also drops
    /// one whose other side has no room and says so.
    const DROP_TIME: Option<i32> = if cfg!(target_vendor = "apple") {
        Some(0x80)
    } else {
        None
    };
    /// The same everywhere.
    const MAX_SEGMENT: i32 = 2;

    pub(super) fn delivery(_: &TcpStream) -> Option<Delivery> {
        None
    }

    #[cfg(feature = "web")]
    pub(super) fn has_hung_up(_: &TcpStream) -> bool {
        false
    }

    pub(super) fn give_up_after(stream: &TcpStream, time: Duration) {
        let seconds = i32::try_from(time.as_secs()).unwrap_or(i32::MAX);
        // Without it, it takes the system longer.
        let _ = DROP_TIME.map(|option| set_tcp_option(stream, option, seconds));
    }

    pub(super) fn retry_often(_: &TcpStream) {}

    pub(super) fn set_max_segment(stream: &TcpStream, bytes: u16) -> io::Result<()> {
        set_tcp_option(stream, MAX_SEGMENT, bytes.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read as _, Write as _};

    const TIME: Duration = Duration::from_secs(10);

    fn pair(max_segment: Option<u16>) -> (TcpStream, TcpStream) {
        let listener = listen(([127, 0, 0, 1], 0).into()).unwrap();
        let addr = listener.local_addr().unwrap();
        let dialer = unconnected(addr).unwrap();
        connect(&dialer, addr, TIME, max_segment).unwrap();
        (dialer, listener.accept().unwrap().0)
    }

    #[test]
    fn a_connection_of_small_packets_is_one_like_any_other() {
        let (mut ours, mut theirs) = pair(Some(1200));
        ours.write_all(&[7; 100_000]).unwrap();
        let mut all = vec![0; 100_000];
        theirs.read_exact(&mut all).unwrap();
        assert_eq!(all, [7; 100_000]);
    }

    #[test]
    fn nothing_listens_where_nobody_does() {
        let addr = listen(([127, 0, 0, 1], 0).into())
            .and_then(|listener| listener.local_addr())
            .unwrap();
        for max_segment in [None, Some(1200)] {
            let stream = unconnected(addr).unwrap();
            let refused = connect(&stream, addr, TIME, max_segment).unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
        }
    }

    /// Nobody answers there (RFC 5737), if there is a way to it at all.
    #[cfg(target_os = "linux")]
    #[test]
    fn an_attempt_to_connect_can_be_ended() {
        let addr = ([192, 0, 2, 1], 9).into();
        let stream = unconnected(addr).unwrap();
        let began = std::time::Instant::now();
        std::thread::scope(|s| {
            let connecting = s.spawn(|| connect(&stream, addr, TIME, None));
            while !connecting.is_finished() && began.elapsed() < TIME / 2 {
                let _ = stream.shutdown(Shutdown::Both);
                std::thread::yield_now();
            }
            let _ = connecting.join().unwrap();
        });
        assert!(began.elapsed() < TIME / 2);
        assert!(stream.peer_addr().is_err());
    }

    #[cfg(all(target_os = "linux", feature = "web"))]
    #[test]
    fn whoever_has_gone_is_seen_behind_what_is_not_read() {
        for is_half in [true, false] {
            let (mut ours, theirs) = pair(None);
            theirs.set_nonblocking(true).unwrap();
            ours.write_all(&[7; 100]).unwrap();
            assert!(!has_gone(&theirs));
            let kept = match is_half {
                true => ours.shutdown(Shutdown::Write).map(|()| Some(ours)).unwrap(),
                false => {
                    drop(ours);
                    None
                }
            };
            let began = std::time::Instant::now();
            while !has_gone(&theirs) {
                assert!(began.elapsed() < TIME);
                std::thread::yield_now();
            }
            drop(kept);
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_peer_that_has_no_room_has_answered() {
        let (mut ours, theirs) = pair(None);
        ours.write_all(&[0; 1000]).unwrap();
        ours.set_write_timeout(Some(Duration::from_millis(300)))
            .unwrap();
        while ours.write(&[0; 1 << 16]).is_ok() {}
        let full = delivery(&ours).unwrap();
        assert!(full.confirmed >= 1000 && !full.waits, "{full:?}");
        drop(theirs);
    }
}
