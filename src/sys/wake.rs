//! Wakes a thread that waits for a descriptor.
//!
//! Must not be waited for by more than one thread where it is cleared: one would miss it.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};

/// A bell that is heard while something else is waited for. It goes on ringing until it is
/// cleared.
#[derive(Debug)]
pub(crate) struct Bell {
    hears: OwnedFd,
    rings: OwnedFd,
}

impl Bell {
    pub(crate) fn new() -> io::Result<Self> {
        let (hears, rings) = pipe_with(PipeFlags::CLOEXEC)?;
        // A full pipe rings already.
        for end in [&hears, &rings] {
            rustix::io::ioctl_fionbio(end, true)?;
        }
        Ok(Self { hears, rings })
    }

    pub(crate) fn ring(&self) {
        let _ = rustix::io::write(&self.rings, &[0]);
    }

    pub(crate) fn clear(&self) {
        let mut bytes = [0; 64];
        while rustix::io::read(&self.hears, &mut bytes).is_ok_and(|n| n == bytes.len()) {}
    }

    /// Waits until a descriptor is ready for what `flags` say, or it rings, or the time is over.
    /// Says whether it rings.
    pub(crate) fn wait(
        &self,
        other: impl AsFd,
        flags: PollFlags,
        timeout: Option<&Timespec>,
    ) -> io::Result<bool> {
        let mut fds = [
            PollFd::new(&self.hears, PollFlags::IN),
            PollFd::from_borrowed_fd(other.as_fd(), flags),
        ];
        loop {
            match poll(&mut fds, timeout) {
                Ok(_) => return Ok(!fds[0].revents().is_empty()),
                Err(Errno::INTR) => {}
                Err(e) => return Err(e.into()),
            }
        }
    }
}
