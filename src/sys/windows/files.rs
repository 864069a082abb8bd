//! Files that are open.
//!
//! Must not reach a file by a path, but for those of this program's own.

use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::os::windows::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::os::windows::io::{AsRawHandle as _, RawHandle};
use std::path::Path;

use windows_sys::Wdk::Storage::FileSystem::{FILE_BASIC_INFORMATION, FileBasicInformation};
use windows_sys::Win32::Foundation::ERROR_LOCK_VIOLATION;
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

/// Locks keep others from reading what they are on: so they are on a byte that no file has.
const LOCKED: u64 = 0x7fff_ffff_ffff_fffe;
/// Smaller files are filled up with zeros as fast as they are written.
const LEAST_SPARSE: u64 = 16 * 1024 * 1024;

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

/// Whether a file keeps what these permissions say that matters: no file can be made executable.
#[must_use]
pub fn keeps_mode(mode: u32) -> bool {
    mode & 0o111 == 0
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
    if size >= LEAST_SPARSE {
        // FAT has no holes.
        let _ = nt::control(file.as_raw_handle(), FSCTL_SET_SPARSE, &[], &mut []);
    }
    file.set_len(size)
}

/// What [`set_size`] has told a file is taken back where it has no holes: Windows mounts no image of
/// a disk that could have some.
pub fn end_growing(file: &File, size: u64) {
    if size >= LEAST_SPARSE && !has_holes(file, size) {
        let _ = nt::control(file.as_raw_handle(), FSCTL_SET_SPARSE, &[0], &mut []);
    }
}

/// Whether anything of a file was never written, as far as its file system says.
fn has_holes(file: &File, size: u64) -> bool {
    written_range(file, 0, size).ok().flatten() != Some((0, size))
}

/// Whether nothing was ever written to a file from `offset` on for `length` bytes. Where the file
/// system cannot say, something was.
#[must_use]
pub fn is_hole(file: &File, offset: u64, length: u64) -> bool {
    matches!(written_range(file, offset, length), Ok(None))
}

/// The first range in a part of a file where something was written, by its offset and its length
/// within that part; none where nothing was.
fn written_range(file: &File, offset: u64, length: u64) -> io::Result<Option<(u64, u64)>> {
    let asked = [offset.to_ne_bytes(), length.to_ne_bytes()].concat();
    let mut found = [[0; 8]; 2];
    let code = FSCTL_QUERY_ALLOCATED_RANGES;
    let bytes = nt::control(file.as_raw_handle(), code, &asked, found.as_flattened_mut())?;
    let [start, range] = found.map(u64::from_ne_bytes);
    let end = offset.saturating_add(length);
    Ok((bytes > 0).then_some((start, range.min(end.saturating_sub(start)))))
}

/// What can be locked.
pub trait Lockable {
    /// The open file, and the byte in it, that stand for it.
    fn lock_place(&self) -> io::Result<(RawHandle, u64)>;
}

impl Lockable for File {
    fn lock_place(&self) -> io::Result<(RawHandle, u64)> {
        Ok((self.as_raw_handle(), LOCKED))
    }
}

/// Tries to lock an open file or folder, without waiting. What this handle has is let go of first.
pub fn try_lock(file: &impl Lockable, lock: Lock) -> io::Result<LockState> {
    let (handle, byte) = file.lock_place()?;
    let flags = LOCKFILE_FAIL_IMMEDIATELY
        | match lock {
            Lock::Exclusive => LOCKFILE_EXCLUSIVE_LOCK,
            Lock::Shared => 0,
        };
    let mut at = overlapped(byte);
    let (low, high) = halves(byte);
    // SAFETY: the handle is open for as long as it is borrowed, and synchronous.
    #[allow(unsafe_code)]
    let locked = unsafe {
        UnlockFile(handle, low, high, 1, 0);
        LockFileEx(handle, flags, 0, 1, 0, &raw mut at)
    };
    if locked != 0 {
        return Ok(LockState::Ours);
    }
    match io::Error::last_os_error() {
        e if is_code(&e, ERROR_LOCK_VIOLATION) => Ok(LockState::Theirs),
        e if super::file_errors::is_unsupported(&e) => Ok(LockState::Unknown),
        e => Err(e),
    }
}

/// Waits for an exclusive lock.
pub(super) fn wait_to_lock(file: &File) -> io::Result<()> {
    let mut at = overlapped(LOCKED);
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

fn overlapped(byte: u64) -> OVERLAPPED {
    let mut at = OVERLAPPED::default();
    (
        at.Anonymous.Anonymous.Offset,
        at.Anonymous.Anonymous.OffsetHigh,
    ) = halves(byte);
    at
}

/// A number as the system takes it: its lower and its upper half.
fn halves(number: u64) -> (u32, u32) {
    let [a, b, c, d, e, f, g, h] = number.to_le_bytes();
    (
        u32::from_le_bytes([a, b, c, d]),
        u32::from_le_bytes([e, f, g, h]),
    )
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
