//! Files that are open, on every Unix.
//!
//! Must not do what only one of them can: that is in `linux.rs`, with the alternatives in
//! `other_unix.rs`.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;

use rustix::fs::{FlockOperation, SeekFrom};
use rustix::io::Errno;

use super::stat::{mode_of, stat_of, times};
use crate::sys::fs::types::{Lock, LockState, Stat, Timestamp};

#[cfg(target_os = "linux")]
use super::linux as system;
#[cfg(not(target_os = "linux"))]
use super::other_unix as system;

pub use system::{drop_cached, read_through, start_writeback};

/// What the system says of an open file.
pub fn stat(file: &File) -> io::Result<Stat> {
    Ok(stat_of(&rustix::fs::fstat(file)?))
}

/// What a path leads to, links and all.
pub fn stat_of_path(path: &Path) -> io::Result<Stat> {
    Ok(stat_of(&rustix::fs::stat(path)?))
}

/// How many bytes what the standard library has found takes up on its disk, as far as that says.
#[must_use]
pub fn allocated(meta: &std::fs::Metadata) -> u64 {
    use std::os::unix::fs::MetadataExt;
    meta.blocks().saturating_mul(512)
}

/// Sets the permissions of an open file.
pub fn set_mode(file: &File, mode: u32) -> io::Result<()> {
    Ok(rustix::fs::fchmod(file, mode_of(mode))?)
}

/// Whether files have what these permissions say: as far as their file system has it, which says
/// so when they are set.
#[inline]
#[must_use]
pub fn keeps_mode(_: u32) -> bool {
    true
}

/// Sets the time of an open file; it was last accessed now.
pub fn set_mtime(file: &File, mtime: Timestamp) -> io::Result<()> {
    Ok(rustix::fs::futimens(file, &times(mtime))?)
}

/// Makes a file so large. What is new of it is a hole, where the file system has those.
pub fn set_size(file: &File, size: u64) -> io::Result<()> {
    file.set_len(size)
}

/// What [`set_size`] has done is to be seen no more. Here it never is.
pub fn end_growing(_: &File, _: u64) {}

/// Whether nothing was ever written to a file from `offset` on for `length` bytes. Where the file
/// system cannot say, something was.
#[must_use]
pub fn is_hole(file: &File, offset: u64, length: u64) -> bool {
    match rustix::fs::seek(file, SeekFrom::Data(offset)) {
        Ok(data) => data >= offset.saturating_add(length),
        // No data from here to the end.
        Err(e) => e == Errno::NXIO,
    }
}

/// Tries to lock an open file or folder, without waiting. What this handle has is let go of first.
pub fn try_lock(file: &impl AsFd, lock: Lock) -> io::Result<LockState> {
    const NO_LOCKS: [Errno; 5] = [
        Errno::NOTSUP,
        Errno::OPNOTSUPP,
        Errno::NOLCK,
        Errno::NOSYS,
        Errno::INVAL,
    ];
    let operation = match lock {
        Lock::Exclusive => FlockOperation::NonBlockingLockExclusive,
        Lock::Shared => FlockOperation::NonBlockingLockShared,
    };
    match rustix::fs::flock(file, operation) {
        Ok(()) => Ok(LockState::Ours),
        Err(Errno::WOULDBLOCK) => Ok(LockState::Theirs),
        Err(e) if NO_LOCKS.contains(&e) => Ok(LockState::Unknown),
        Err(e) => Err(e.into()),
    }
}

/// The user whom what this process makes belongs to, on a file system that keeps users apart.
#[must_use]
pub fn effective_user() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// The permissions that this process's new files do not get. It is to be asked before there are
/// threads that make files: it can only be read by setting it.
#[must_use]
pub fn umask() -> u32 {
    let mask = rustix::process::umask(mode_of(0o077));
    rustix::process::umask(mask);
    // Narrower than 32 bits on some systems.
    #[allow(clippy::useless_conversion)]
    u32::from(mask.bits())
}
