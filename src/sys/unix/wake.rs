//! Waking a thread that waits for a socket or a stream.
//!
//! Must not have two threads wait for one that is cleared: one of them would miss it.

use std::fs::File;
use std::io;
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

/// What can be waited for: a listener for a connection, a stream for bytes or for room.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Awaited<'a> {
    /// That a connection can be accepted.
    Connection(&'a TcpListener),
    /// That something can be read, be it the end.
    Input(&'a File),
    /// That something can be written, or nobody reads it any more.
    Room(&'a File),
    /// That nobody reads it any more.
    Readers(&'a File),
}

/// Wakes whoever waits for something else. Once it is raised it stays so until it is cleared.
#[derive(Debug)]
pub(crate) struct WakeUp {
    raised: OwnedFd,
    raise: OwnedFd,
}

impl WakeUp {
    pub(crate) fn new() -> io::Result<Self> {
        let (raised, raise) = pipe()?;
        // A full pipe wakes already.
        for end in [&raised, &raise] {
            rustix::io::ioctl_fionbio(end, true)?;
        }
        Ok(Self { raised, raise })
    }

    pub(crate) fn raise(&self) {
        let _ = rustix::io::write(&self.raise, &[0]);
    }

    pub(crate) fn clear(&self) {
        let mut bytes = [0; 64];
        while rustix::io::read(&self.raised, &mut bytes).is_ok_and(|n| n == bytes.len()) {}
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
        let (other, flags): (BorrowedFd<'_>, _) = match other {
            Awaited::Connection(listener) => (listener.as_fd(), PollFlags::IN),
            Awaited::Input(file) => (file.as_fd(), PollFlags::IN),
            Awaited::Room(file) => (file.as_fd(), PollFlags::OUT),
            // That is told in any case.
            Awaited::Readers(file) => (file.as_fd(), PollFlags::empty()),
        };
        let mut fds = [
            PollFd::new(&self.raised, PollFlags::IN),
            PollFd::from_borrowed_fd(other, flags),
        ];
        // A time beyond what the system can count is for ever.
        let time = time.and_then(|time| Timespec::try_from(time).ok());
        loop {
            match poll(&mut fds, time.as_ref()) {
                Ok(_) => {
                    let [raised, other] = fds.map(|fd| !fd.revents().is_empty());
                    return Ok((raised, other));
                }
                Err(Errno::INTR) => {}
                Err(e) => return Err(e.into()),
            }
        }
    }
}

/// Whether something has come on a connection that nobody has read, be it the end; waits for it as
/// long as `time`.
pub(crate) fn has_input_within(stream: &TcpStream, time: Duration) -> bool {
    let mut fds = [PollFd::new(stream, PollFlags::IN)];
    // A time beyond what the system can count is for ever.
    let time = Timespec::try_from(time).ok();
    matches!(poll(&mut fds, time.as_ref()), Ok(n) if n > 0)
}

#[cfg(not(target_vendor = "apple"))]
fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    use rustix::pipe::{PipeFlags, pipe_with};
    Ok(pipe_with(PipeFlags::CLOEXEC)?)
}

/// There a program that is started in between keeps both ends open, which harms nobody.
#[cfg(target_vendor = "apple")]
fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    use rustix::io::{FdFlags, fcntl_setfd};
    let (raised, raise) = rustix::pipe::pipe()?;
    for end in [&raised, &raise] {
        fcntl_setfd(end, FdFlags::CLOEXEC)?;
    }
    Ok((raised, raise))
}
