//! Waking a thread that waits for a socket or a stream.
//!
//! Must not have two threads wait for one that is cleared: one of them would miss it.
//!
//! A socket can be waited for beside another one; a pipe or a console cannot, so that it is looked
//! at again and again.

use std::fs::File;
use std::io;
use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::os::windows::io::{AsRawHandle as _, AsRawSocket as _, RawHandle, RawSocket};
use std::ptr;
use std::time::{Duration, Instant};

use windows_sys::Win32::Networking::WinSock::{
    POLLRDNORM, SOCKET_ERROR, WSAGetLastError, WSAPOLLFD, WSAPoll,
};
use windows_sys::Win32::System::Pipes::PeekNamedPipe;

use super::stream::is_pipe;
use super::terminal;

/// How often a stream is looked at.
const LOOK: Duration = Duration::from_millis(10);
/// How long is waited at once, in milliseconds.
const LONG: i32 = 60_000;

/// What can be waited for: a listener for a connection, a stream for bytes or for room.
#[derive(Debug, Clone, Copy)]
#[expect(
    dead_code,
    reason = "nothing tells here whether there is room, or readers"
)]
pub(crate) enum Awaited<'a> {
    /// That a connection can be accepted.
    Connection(&'a TcpListener),
    /// That something can be read, be it the end.
    Input(&'a File),
    /// That something can be written, or nobody reads it any more. Nothing tells here: a write
    /// waits by itself.
    Room(&'a File),
    /// That nobody reads it any more.
    Readers(&'a File),
}

/// Wakes whoever waits for something else. Once it is raised it stays so until it is cleared.
#[derive(Debug)]
pub(crate) struct WakeUp(UdpSocket);

impl WakeUp {
    pub(crate) fn new() -> io::Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        // It hears nobody but itself.
        socket.connect(socket.local_addr()?)?;
        socket.set_nonblocking(true)?;
        Ok(Self(socket))
    }

    pub(crate) fn raise(&self) {
        let _ = self.0.send(&[0]);
    }

    pub(crate) fn clear(&self) {
        while self.0.recv(&mut [0]).is_ok() {}
    }

    /// Waits for something, or until this is raised, or the time is over. Says whether it is
    /// raised.
    pub(crate) fn wait(&self, other: Awaited<'_>, time: Option<Duration>) -> io::Result<bool> {
        self.wait_for_either(other, time).map(|(raised, _)| raised)
    }

    /// The same, and says of both whether they are.
    pub(crate) fn wait_for_either(
        &self,
        other: Awaited<'_>,
        time: Option<Duration>,
    ) -> io::Result<(bool, bool)> {
        // A time beyond what can be counted is for ever.
        let end = time.and_then(|time| Instant::now().checked_add(time));
        let own = self.0.as_raw_socket();
        loop {
            let left = end.map(|end| end.saturating_duration_since(Instant::now()));
            let [raised, ready] = match other {
                Awaited::Connection(listener) => poll([own, listener.as_raw_socket()], left)?,
                Awaited::Input(file) => {
                    let ready = has_input(file.as_raw_handle());
                    let [raised] = poll([own], Some(look(ready, left)))?;
                    [raised, ready]
                }
                Awaited::Room(_) => {
                    let [raised] = poll([own], Some(Duration::ZERO))?;
                    [raised, true]
                }
                Awaited::Readers(_) => {
                    let [raised] = poll([own], left)?;
                    [raised, false]
                }
            };
            if raised || ready || left.is_some_and(|left| left.is_zero()) {
                return Ok((raised, ready));
            }
        }
    }
}

/// How long to wait before a stream is looked at again.
fn look(ready: bool, left: Option<Duration>) -> Duration {
    match ready {
        true => Duration::ZERO,
        false => left.unwrap_or(LOOK).min(LOOK),
    }
}

/// Whether something can be read, be it the end.
fn has_input(handle: RawHandle) -> bool {
    if !is_pipe(handle) {
        return terminal::has_input(handle);
    }
    let mut bytes = 0;
    // SAFETY: the system writes a number alone.
    #[allow(unsafe_code)]
    let open = unsafe {
        PeekNamedPipe(
            handle,
            ptr::null_mut(),
            0,
            ptr::null_mut(),
            &raw mut bytes,
            ptr::null_mut(),
        )
    };
    // Where nobody can write any more, its end can be read.
    open == 0 || bytes > 0
}

/// Waits until something can be read of one of these, or accepted. Says of which.
pub(super) fn poll<const N: usize>(
    sockets: [RawSocket; N],
    time: Option<Duration>,
) -> io::Result<[bool; N]> {
    let mut polled = sockets.map(|socket| WSAPOLLFD {
        fd: usize::try_from(socket).unwrap_or(usize::MAX),
        events: POLLRDNORM,
        revents: 0,
    });
    let count = u32::try_from(N).unwrap_or_default();
    let up = |time: Duration| time.as_nanos().div_ceil(1_000_000);
    let wait = time.map_or(LONG, |time| {
        i32::try_from(up(time)).unwrap_or(LONG).min(LONG)
    });
    // SAFETY: the system reads and writes so many structures, which are there.
    #[allow(unsafe_code)]
    let found = unsafe { WSAPoll(polled.as_mut_ptr(), count, wait) };
    if found == SOCKET_ERROR {
        // SAFETY: it takes nothing and gives a number.
        #[allow(unsafe_code)]
        return Err(io::Error::from_raw_os_error(unsafe { WSAGetLastError() }));
    }
    Ok(polled.map(|polled| polled.revents != 0))
}

/// Whether something has come on a connection that nobody has read, be it the end; waits for it as
/// long as `time`.
pub(crate) fn has_input_within(stream: &TcpStream, time: Duration) -> bool {
    poll([stream.as_raw_socket()], Some(time)).is_ok_and(|[ready]| ready)
}
