//! What other Unix systems do in place of Linux's own file operations.
//!
//! Must not export what its counterpart (`linux.rs`) does not.

use std::fs::File;
use std::io;
use std::os::fd::BorrowedFd;
use std::path::PathBuf;

use rustix::fs::{AtFlags, Mode, OFlags, RawMode};
use rustix::io::Errno;

use super::stat::MODE_BITS;

/// Whether [`crate::sys::fs::Dir::sync_file_system`] waits until everything is on disk, and tells of errors.
/// Here it may return as soon as that has begun: files are to be synced one by one.
pub(super) fn syncs_whole_file_system(_: BorrowedFd<'_>) -> bool {
    false
}

/// Whether things may have other numbers there than the last time they were looked at. Nobody
/// says so here.
pub(super) fn makes_numbers_up(_: BorrowedFd<'_>) -> bool {
    false
}

/// Opens a folder for nothing but to reach what is in it: `O_SEARCH`, where the system has it.
pub(super) const TO_PASS: OFlags = OFlags::from_bits_retain(if cfg!(target_vendor = "apple") {
    0x4010_0000
} else if cfg!(target_os = "freebsd") {
    0x0004_0000
} else {
    0
});

pub(super) fn path_of_handle(_: BorrowedFd<'_>) -> Option<PathBuf> {
    None
}

#[cfg(target_vendor = "apple")]
pub(super) fn rename_new(dir: BorrowedFd<'_>, from: &[u8], to: &[u8]) -> Result<(), Errno> {
    rustix::fs::renameat_with(dir, from, dir, to, rustix::fs::RenameFlags::NOREPLACE)
}

#[cfg(not(target_vendor = "apple"))]
pub(super) fn rename_new(_: BorrowedFd<'_>, _: &[u8], _: &[u8]) -> Result<(), Errno> {
    Err(Errno::NOSYS)
}

#[cfg(target_vendor = "apple")]
pub(super) fn sync_dir(dir: BorrowedFd<'_>) -> io::Result<()> {
    match rustix::fs::fcntl_fullfsync(dir) {
        // What is no disk of its own has no more than this.
        Err(_) => Ok(rustix::fs::fsync(dir)?),
        Ok(()) => Ok(()),
    }
}

#[cfg(not(target_vendor = "apple"))]
pub(super) fn sync_dir(dir: BorrowedFd<'_>) -> io::Result<()> {
    Ok(rustix::fs::fsync(dir)?)
}

pub(super) fn sync_file_system(_: BorrowedFd<'_>) -> io::Result<()> {
    rustix::fs::sync();
    Ok(())
}

pub(super) fn create_unnamed(_: BorrowedFd<'_>, _: Mode) -> io::Result<File> {
    Err(io::ErrorKind::Unsupported.into())
}

pub(super) fn name_unnamed(_: BorrowedFd<'_>, _: &File, _: &[u8]) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

pub(super) fn add_mode_at(dir: BorrowedFd<'_>, name: &[u8], more: u32) -> io::Result<u32> {
    let flags = AtFlags::SYMLINK_NOFOLLOW;
    // Narrower than 32 bits on some systems; the bits are the same on all of them.
    #[allow(clippy::useless_conversion)]
    let before = u32::from(rustix::fs::statat(dir, name, flags)?.st_mode) & MODE_BITS;
    #[allow(clippy::unnecessary_cast, clippy::cast_possible_truncation)]
    let mode = Mode::from_raw_mode((before | more) as RawMode);
    rustix::fs::chmodat(dir, name, mode, flags)?;
    Ok(before)
}

pub(super) fn has_default_acl(_: BorrowedFd<'_>) -> bool {
    false
}

pub(super) fn folds_case(_: BorrowedFd<'_>) -> bool {
    false
}

/// Begins to bring to disk what was written of a file, where that can be asked for.
pub fn start_writeback(_: &File, _: u64, _: u64) {}

/// A file is read once, from its beginning to its end.
pub fn read_through(file: &File) {
    #[cfg(any(target_os = "android", target_os = "freebsd"))]
    let _ = rustix::fs::fadvise(file, 0, None, rustix::fs::Advice::Sequential);
    #[cfg(not(any(target_os = "android", target_os = "freebsd")))]
    let _ = file;
}

/// Has what memory holds of a file forgotten, where that can be asked for.
pub fn drop_cached(file: &File) {
    #[cfg(any(target_os = "android", target_os = "freebsd"))]
    let _ = rustix::fs::fadvise(file, 0, None, rustix::fs::Advice::DontNeed);
    #[cfg(not(any(target_os = "android", target_os = "freebsd")))]
    let _ = file;
}
