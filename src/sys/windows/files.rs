//! Files that are open.
//!
//! Must not reach a file by a path, but for those of this program's own.

use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::os::windows::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::os::windows::io::{AsHandle, AsRawHandle as _};
use std::path::Path;

use windows_sys::Wdk::Storage::FileSystem::{FILE_BASIC_INFORMATION, FileBasicInformation};
use windows_sys::Win32::Foundation::{ERROR_INVALID_HANDLE, ERROR_LOCK_VIOLATION};
use windows_sys::Win32::Storage::FileSystem::{
    FILE_ATTRIBUTE_DIRECTORY, FILE_ATTRIBUTE_READONLY, FILE_FLAG_BACKUP_SEMANTICS,
    FILE_READ_ATTRIBUTES, LOCKFILE_EXCLUSIVE_LOCK, LOCKFILE_FAIL_IMMEDIATELY, LockFileEx,
    UnlockFile,
};
use windows_sys::Win32::System::IO::OVERLAPPED;
use windows_sys::Win32::System::Ioctl::{FSCTL_QUERY_ALLOCATED_RANGES, FSCTL_SET_SPARSE};

use super::nt::{self, is_code};
use super::stat::{is_read_only, set_times, stat_of_handle};
use crate::sys::fs::types::{Lock, LockState, Stat, Timestamp};

/// Locks keep others from reading what they are on: so they are on a byte that no file has. By its
/// lower and upper half.
const LOCKED: (u32, u32) = (u32::MAX - 1, 0x7fff_ffff);

/// What the system says of an open file.
pub fn stat(file: &File) -> io::Result<Stat> {
    stat_of_handle(file.as_raw_handle())
}

/// What a path leads to, links and all.
pub fn stat_of_path(path: &Path) -> io::Result<Stat> {
    let file = OpenOptions::new()
        .access_mode(FILE_READ_ATTRIBUTES)
        .custom_flags(FILE_FLAG_BACKUP_SEMANTICS)
        .open(path)?;
    stat(&file)
}

/// How many bytes what the standard library has found takes up on its disk, as far as that says.
#[must_use]
pub fn allocated(meta: &Metadata) -> u64 {
    match meta.file_attributes() & FILE_ATTRIBUTE_DIRECTORY {
        0 => meta.file_size(),
        _ => 0,
    }
}

/// Sets the permissions of an open file: whether it is read-only.
pub fn set_mode(file: &File, mode: u32) -> io::Result<()> {
    let handle = file.as_raw_handle();
    let now: FILE_BASIC_INFORMATION = nt::query(handle, FileBasicInformation)?;
    let others = now.FileAttributes & !FILE_ATTRIBUTE_READONLY;
    let wanted = match is_read_only(mode) {
        true => others | FILE_ATTRIBUTE_READONLY,
        false => others,
    };
    if wanted == now.FileAttributes {
        return Ok(());
    }
    let basic = FILE_BASIC_INFORMATION {
        // None at all is FILE_ATTRIBUTE_NORMAL: 0 leaves them as they are.
        FileAttributes: if wanted == 0 { 0x80 } else { wanted },
        ..FILE_BASIC_INFORMATION::default()
    };
    nt::set_all(handle, &basic, FileBasicInformation)
}

/// Sets the time of an open file.
pub fn set_mtime(file: &File, mtime: Timestamp) -> io::Result<()> {
    set_times(file.as_raw_handle(), mtime)
}

/// Makes a file so large. What is new of it is a hole, where the file system has those. Of one that
/// is not told to have some, the system fills what is left out with zeros as soon as something is
/// written behind it.
///
/// Wine takes it and does nothing: this was never run.
pub fn set_size(file: &File, size: u64) -> io::Result<()> {
    // FAT has no holes.
    let _ = nt::control(file.as_raw_handle(), FSCTL_SET_SPARSE, &[], &mut []);
    file.set_len(size)
}

/// Whether nothing was ever written to a file from `offset` on for `length` bytes. Where the file
/// system cannot say, something was.
#[must_use]
pub fn is_hole(file: &File, offset: u64, length: u64) -> bool {
    let mut asked = [0; 16];
    asked[..8].copy_from_slice(&offset.to_ne_bytes());
    asked[8..].copy_from_slice(&length.to_ne_bytes());
    let mut found = [0; 16];
    let code = FSCTL_QUERY_ALLOCATED_RANGES;
    nt::control(file.as_raw_handle(), code, &asked, &mut found).is_ok_and(|bytes| bytes == 0)
}

/// Tries to lock an open file or folder, without waiting. What this handle has is let go of first.
/// Folders have no locks.
pub fn try_lock(file: &impl AsHandle, lock: Lock) -> io::Result<LockState> {
    let handle = file.as_handle().as_raw_handle();
    let flags = LOCKFILE_FAIL_IMMEDIATELY
        | match lock {
            Lock::Exclusive => LOCKFILE_EXCLUSIVE_LOCK,
            Lock::Shared => 0,
        };
    let mut at = lock_place();
    // SAFETY: the handle is open for as long as it is borrowed, and synchronous.
    #[allow(unsafe_code)]
    let locked = unsafe {
        UnlockFile(handle, LOCKED.0, LOCKED.1, 1, 0);
        LockFileEx(handle, flags, 0, 1, 0, &raw mut at)
    };
    if locked != 0 {
        return Ok(LockState::Ours);
    }
    match io::Error::last_os_error() {
        e if is_code(&e, ERROR_LOCK_VIOLATION) => Ok(LockState::Theirs),
        // What Wine says of folders.
        e if is_code(&e, ERROR_INVALID_HANDLE) => Ok(LockState::Unknown),
        e if super::file_errors::is_unsupported(&e) => Ok(LockState::Unknown),
        e => Err(e),
    }
}

/// Waits for an exclusive lock.
pub(super) fn wait_to_lock(file: &File) -> io::Result<()> {
    let mut at = lock_place();
    // SAFETY: the handle is open for as long as it is borrowed, and synchronous.
    #[allow(unsafe_code)]
    let locked = unsafe {
        LockFileEx(
            file.as_raw_handle(),
            LOCKFILE_EXCLUSIVE_LOCK,
            0,
            1,
            0,
            &raw mut at,
        )
    };
    match locked {
        0 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

fn lock_place() -> OVERLAPPED {
    let mut at = OVERLAPPED::default();
    at.Anonymous.Anonymous.Offset = LOCKED.0;
    at.Anonymous.Anonymous.OffsetHigh = LOCKED.1;
    at
}

/// The user whom what this process makes belongs to: owners are not told of here.
#[must_use]
pub fn effective_user() -> u32 {
    0
}

/// The permissions that this process's new files do not get: there is no such mask.
#[must_use]
pub fn umask() -> u32 {
    0
}

/// Begins to bring to disk what was written of a file, where that can be asked for.
pub fn start_writeback(_: &File, _: u64, _: u64) {}

/// A file is read once, from its beginning to its end.
pub fn read_through(_: &File) {}

/// Has what memory holds of a file forgotten, where that can be asked for.
pub fn drop_cached(_: &File) {}
