//! TCP connections: what the standard library does not give of them.
//!
//! Must not know what is said on them, nor decide when one is given up.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::windows::io::{AsRawSocket as _, FromRawSocket as _, OwnedSocket, RawSocket};
use std::time::{Duration, Instant};

use windows_sys::Win32::Networking::WinSock::{
    AF_INET, AF_INET6, FD_SET, IN_ADDR, IN_ADDR_0, IN6_ADDR, IN6_ADDR_0, INVALID_SOCKET,
    IPPROTO_IPV6, IPPROTO_TCP, IPV6_V6ONLY, SO_EXCLUSIVEADDRUSE, SO_REUSEADDR, SOCK_DGRAM,
    SOCK_STREAM, SOCKADDR_IN, SOCKADDR_IN6, SOCKADDR_IN6_0, SOCKET, SOCKET_ERROR, SOL_SOCKET,
    TCP_MAXRT, TIMEVAL, WSA_FLAG_NO_HANDLE_INHERIT, WSA_FLAG_OVERLAPPED, WSAEWOULDBLOCK,
    WSAGetLastError, WSASocketW, bind, connect as wsa_connect, listen as wsa_listen, select,
    setsockopt,
};

use windows_sys::Win32::System::IO::CancelIoEx;

pub(crate) use crate::sys::told::Delivery;

/// How many connections may wait to be accepted.
const BACKLOG: i32 = 128;
/// How long is waited at once for a connection, so that one that was shut down is noticed.
const LOOK: Duration = Duration::from_millis(50);

/// What has become of what `stream` was given to send: the system does not say which of it the
/// other side has confirmed.
pub(crate) fn delivery(_: &TcpStream) -> Option<Delivery> {
    None
}

/// Has the system give a connection up by which nothing arrives for so long.
pub(crate) fn give_up_after(stream: &TcpStream, time: Duration) {
    let seconds = i32::try_from(time.as_secs()).unwrap_or(i32::MAX);
    // Without it, it takes the system as long as it likes.
    let _ = set_option(
        raw(stream.as_raw_socket()),
        (IPPROTO_TCP, TCP_MAXRT),
        seconds,
    );
}

/// The system decides by itself how often it sends again what is lost.
pub(crate) fn retry_often(_: &TcpStream) {}

/// Whether the other side has closed its connection, or says no more on it, as far as that shows
/// behind what is not read yet. Only for one that does not block.
#[cfg(feature = "web")]
pub(crate) fn has_gone(stream: &TcpStream) -> bool {
    match stream.peek(&mut [0]) {
        Ok(bytes) => bytes == 0,
        Err(e) => e.kind() != io::ErrorKind::WouldBlock,
    }
}

/// Closes a connection at once, from any thread: one that waits for it gets an error or the end.
pub(crate) fn close(stream: &TcpStream) {
    // What begins after this fails at once. It fails itself if the connection is closed already.
    let _ = stream.shutdown(Shutdown::Both);
    let handle = std::ptr::with_exposed_provenance_mut(raw(stream.as_raw_socket()));
    // SAFETY: the socket is open for as long as `stream` is borrowed; a socket is a handle as well.
    #[allow(unsafe_code)]
    unsafe {
        // What had begun waits on otherwise.
        CancelIoEx(handle, std::ptr::null());
    }
}

/// A socket that [`connect`] can connect to an address.
pub(crate) fn unconnected(addr: SocketAddr) -> io::Result<TcpStream> {
    socket(addr, SOCK_STREAM).map(TcpStream::from)
}

/// Connects to an address, in no more than `time`. How large packets are can not be told here. A
/// shutdown ends the attempt.
pub(crate) fn connect(
    stream: &TcpStream,
    addr: SocketAddr,
    time: Duration,
    _max_segment: Option<u16>,
) -> io::Result<()> {
    stream.set_nonblocking(true)?;
    let (bytes, len) = address(addr);
    // SAFETY: the system reads `len` bytes, which are there.
    #[allow(unsafe_code)]
    let done = unsafe { wsa_connect(raw(stream.as_raw_socket()), bytes.as_ptr().cast(), len) };
    if done == SOCKET_ERROR {
        match last_error() {
            e if e.raw_os_error() == Some(WSAEWOULDBLOCK) => wait_until_connected(stream, time)?,
            e => return Err(e),
        }
    }
    stream.set_nonblocking(false)
}

fn wait_until_connected(stream: &TcpStream, time: Duration) -> io::Result<()> {
    let end = Instant::now() + time;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let only = || {
            let mut set = FD_SET {
                fd_count: 1,
                fd_array: [0; 64],
            };
            set.fd_array[0] = raw(stream.as_raw_socket());
            set
        };
        // Unlike WSAPoll, it has told of failures since there is Windows.
        let (mut writable, mut failed) = (only(), only());
        let wait = left.min(LOOK);
        let wait = TIMEVAL {
            tv_sec: 0,
            tv_usec: i32::try_from(wait.as_micros()).unwrap_or(0),
        };
        // SAFETY: the system reads and writes two sets and a time, which are there.
        #[allow(unsafe_code)]
        let found = unsafe {
            select(
                0,
                std::ptr::null_mut(),
                &raw mut writable,
                &raw mut failed,
                &raw const wait,
            )
        };
        match found {
            SOCKET_ERROR => return Err(last_error()),
            0 => {}
            _ => return stream.take_error()?.map_or(Ok(()), Err),
        }
    }
}

/// Listens on an address. On `[::]` that is on all addresses of both families.
pub(crate) fn listen(addr: SocketAddr) -> io::Result<TcpListener> {
    let socket = socket(addr, SOCK_STREAM)?;
    let number = raw(socket.as_raw_socket());
    // Without it, another program of any user could take the port over.
    set_option(number, (SOL_SOCKET, SO_EXCLUSIVEADDRUSE), 1)?;
    if addr.is_ipv6() && addr.ip().is_unspecified() {
        set_option(number, (IPPROTO_IPV6, IPV6_V6ONLY), 0)?;
    }
    bind_to(number, addr)?;
    // SAFETY: it takes two numbers.
    #[allow(unsafe_code)]
    match unsafe { wsa_listen(number, BACKLOG) } {
        SOCKET_ERROR => Err(last_error()),
        _ => Ok(socket.into()),
    }
}

/// Says whether this process can have a UDP port that several have at once, on either family.
pub(crate) fn try_port_of_many(port: u16) -> io::Result<()> {
    let try_one = |ip: IpAddr| {
        let addr = SocketAddr::new(ip, port);
        let socket = socket(addr, SOCK_DGRAM)?;
        set_option(raw(socket.as_raw_socket()), (SOL_SOCKET, SO_REUSEADDR), 1)?;
        bind_to(raw(socket.as_raw_socket()), addr)
    };
    let v4 = try_one(Ipv4Addr::UNSPECIFIED.into());
    let v6 = || try_one(Ipv6Addr::UNSPECIFIED.into());
    v4.or_else(|error| v6().map_err(|_| error))
}

fn raw(socket: RawSocket) -> SOCKET {
    usize::try_from(socket).unwrap_or(INVALID_SOCKET)
}

fn last_error() -> io::Error {
    // SAFETY: it takes nothing and gives a number.
    #[allow(unsafe_code)]
    io::Error::from_raw_os_error(unsafe { WSAGetLastError() })
}

fn socket(addr: SocketAddr, kind: i32) -> io::Result<OwnedSocket> {
    begin();
    let family = match addr {
        SocketAddr::V4(_) => AF_INET,
        SocketAddr::V6(_) => AF_INET6,
    };
    let flags = WSA_FLAG_OVERLAPPED | WSA_FLAG_NO_HANDLE_INHERIT;
    // SAFETY: it takes numbers, and makes a socket that nobody else has.
    #[allow(unsafe_code)]
    unsafe {
        match WSASocketW(family.into(), kind, 0, std::ptr::null(), 0, flags) {
            INVALID_SOCKET => Err(last_error()),
            socket => Ok(OwnedSocket::from_raw_socket(socket as RawSocket)),
        }
    }
}

/// Sees to it that this process has begun to use sockets, which the standard library does.
fn begin() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| drop(std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))));
}

fn set_option(socket: SOCKET, (level, option): (i32, i32), value: i32) -> io::Result<()> {
    // SAFETY: the system reads no more than the number, which outlives the call.
    #[allow(unsafe_code)]
    match unsafe { setsockopt(socket, level, option, (&raw const value).cast(), 4) } {
        SOCKET_ERROR => Err(last_error()),
        _ => Ok(()),
    }
}

fn bind_to(socket: SOCKET, addr: SocketAddr) -> io::Result<()> {
    let (bytes, len) = address(addr);
    // SAFETY: the system reads `len` bytes, which are there.
    #[allow(unsafe_code)]
    match unsafe { bind(socket, bytes.as_ptr().cast(), len) } {
        SOCKET_ERROR => Err(last_error()),
        _ => Ok(()),
    }
}

/// An address as the system has it, and how many bytes of that count.
fn address(addr: SocketAddr) -> (AlignedAddress, i32) {
    let len = |bytes: usize| i32::try_from(bytes).unwrap_or(0);
    match addr {
        SocketAddr::V4(addr) => {
            let v4 = SOCKADDR_IN {
                sin_family: AF_INET,
                sin_port: addr.port().to_be(),
                sin_addr: IN_ADDR {
                    S_un: IN_ADDR_0 {
                        S_addr: u32::from_ne_bytes(addr.ip().octets()),
                    },
                },
                sin_zero: [0; 8],
            };
            (AlignedAddress { v4 }, len(size_of::<SOCKADDR_IN>()))
        }
        SocketAddr::V6(addr) => {
            let v6 = SOCKADDR_IN6 {
                sin6_family: AF_INET6,
                sin6_port: addr.port().to_be(),
                sin6_flowinfo: addr.flowinfo(),
                sin6_addr: IN6_ADDR {
                    u: IN6_ADDR_0 {
                        Byte: addr.ip().octets(),
                    },
                },
                Anonymous: SOCKADDR_IN6_0 {
                    sin6_scope_id: addr.scope_id(),
                },
            };
            (AlignedAddress { v6 }, len(size_of::<SOCKADDR_IN6>()))
        }
    }
}

#[repr(C)]
union AlignedAddress {
    v4: SOCKADDR_IN,
    v6: SOCKADDR_IN6,
}

impl AlignedAddress {
    fn as_ptr(&self) -> *const Self {
        self
    }
}
