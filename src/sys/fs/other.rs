//! What other Unixes than Linux do instead of what only that can.

use std::fs::File;
use std::io;
use std::os::fd::BorrowedFd;
use std::path::PathBuf;

use rustix::fs::{AtFlags, Mode, OFlags};

use super::unix::{Dir, mode_of};

/// Whether [`Dir::sync_file_system`] waits until everything is on disk, and tells of errors. Here
/// it may return as soon as that has begun: files are to be synced one by one.
#[must_use]
pub fn syncs_whole_file_systems() -> bool {
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

pub(super) fn sync_file_system(_: &Dir) -> io::Result<()> {
    rustix::fs::sync();
    Ok(())
}

pub(super) fn create_unnamed(_: &Dir, _: Mode) -> io::Result<File> {
    Err(io::ErrorKind::Unsupported.into())
}

pub(super) fn name_unnamed(_: &Dir, _: &File, _: &[u8]) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

pub(super) fn add_mode_at(dir: &Dir, name: &[u8], more: u32) -> io::Result<u32> {
    let found = dir.stat_at(name)?.ok_or(io::ErrorKind::NotFound)?;
    let mode = mode_of(found.mode | more);
    rustix::fs::chmodat(dir, name, mode, AtFlags::SYMLINK_NOFOLLOW)?;
    Ok(found.mode)
}

pub(super) fn folds_case(_: &Dir) -> bool {
    false
}

/// Begins to bring to disk what was written of a file, where that can be asked for.
pub fn start_writeback(_: &File, _: u64, _: u64) {}

/// Has what memory holds of a file forgotten, where that can be asked for.
pub fn drop_cached(file: &File) {
    #[cfg(any(target_os = "android", target_os = "freebsd"))]
    let _ = rustix::fs::fadvise(file, 0, None, rustix::fs::Advice::DontNeed);
    #[cfg(not(any(target_os = "android", target_os = "freebsd")))]
    let _ = file;
}
