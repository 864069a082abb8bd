//! The terminal that standard input and standard error are.
//!
//! Must not draw, nor wait for longer than it is told to.

use std::io;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::getpgrp;
use rustix::termios::{QueueSelector, tcflush, tcgetpgrp, tcgetwinsize};

/// How many columns and rows standard error has, where it is a terminal that knows.
#[must_use]
pub fn size() -> Option<(u16, u16)> {
    let size = tcgetwinsize(io::stderr()).ok()?;
    (size.ws_col > 0 && size.ws_row > 0).then_some((size.ws_col, size.ws_row))
}

/// Whether this program may read from the terminal that standard input is: whoever does so from
/// its background is stopped by the system.
#[must_use]
pub fn is_in_foreground() -> bool {
    tcgetpgrp(io::stdin()).is_ok_and(|group| group == getpgrp())
}

/// Forgets what was typed and not yet read.
pub fn forget_typed() {
    // What is no terminal keeps nothing.
    let _ = tcflush(io::stdin(), QueueSelector::IFlush);
}

/// Whether something was typed, or the terminal is gone. Waits for it as long as `time`.
#[must_use]
pub fn was_typed_within(time: Duration) -> bool {
    let stdin = io::stdin();
    let mut fds = [PollFd::new(&stdin, PollFlags::IN)];
    let time = Timespec::try_from(time).ok();
    matches!(poll(&mut fds, time.as_ref()), Ok(n) if n > 0)
}

/// The next byte that was typed, without a buffer in between that would hide what comes behind
/// it; none at the end.
pub fn read_byte() -> io::Result<Option<u8>> {
    let mut byte = [0];
    loop {
        match rustix::io::read(io::stdin(), &mut byte) {
            Ok(0) => return Ok(None),
            Ok(_) => return Ok(Some(byte[0])),
            Err(Errno::INTR) => {}
            Err(e) => return Err(e.into()),
        }
    }
}
