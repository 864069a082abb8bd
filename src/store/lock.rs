//! Locks: whether a session has a file.
//!
//! Must not wait for a session to end: whoever can do so comes again.

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

/// How often a lock is tried for that somebody has: who only looks whether a file is locked has
/// it, too, but no longer than that.
const TRIES: usize = 20;
/// How long to wait between.
const PAUSE: Duration = Duration::from_millis(1);

/// What came of trying to lock a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Locked {
    /// No session has it; this one does until the file is closed.
    Ours,
    /// Another session has it.
    Theirs,
    /// This file system has no locks: nobody can tell.
    Unknown,
}

/// Locks a file for this session, unless another one has it.
pub(super) fn lock(file: impl AsFd) -> io::Result<Locked> {
    for _ in 1..TRIES {
        match try_lock(&file, FlockOperation::NonBlockingLockExclusive)? {
            Locked::Theirs => std::thread::sleep(PAUSE),
            other => return Ok(other),
        }
    }
    try_lock(&file, FlockOperation::NonBlockingLockExclusive)
}

/// Looks whether a session has a file. Others can look at the same time.
pub(super) fn look(file: impl AsFd) -> io::Result<Locked> {
    try_lock(file, FlockOperation::NonBlockingLockShared)
}

fn try_lock(file: impl AsFd, operation: FlockOperation) -> io::Result<Locked> {
    const NO_LOCKS: [Errno; 5] = [
        Errno::NOTSUP,
        Errno::OPNOTSUPP,
        Errno::NOLCK,
        Errno::NOSYS,
        Errno::INVAL,
    ];
    match flock(file, operation) {
        Ok(()) => Ok(Locked::Ours),
        Err(Errno::WOULDBLOCK) => Ok(Locked::Theirs),
        Err(e) if NO_LOCKS.contains(&e) => Ok(Locked::Unknown),
        Err(e) => Err(e.into()),
    }
}
