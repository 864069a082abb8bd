//! Renaming and removing what is open.
//!
//! Must not look anything up. Where the file system cannot do it as Unix does, it is done in the older
//! way: then a name that somebody has open stays taken.

use std::io;
use std::os::windows::io::RawHandle;

use windows_sys::Wdk::Storage::FileSystem::{
    FILE_BASIC_INFORMATION, FILE_RENAME_INFORMATION, FILE_RENAME_INFORMATION_0,
    FileBasicInformation, FileDispositionInformation, FileDispositionInformationEx,
    FileRenameInformation, FileRenameInformationEx,
};
use windows_sys::Win32::Foundation::{
    NTSTATUS, STATUS_ACCESS_DENIED, STATUS_FILE_LOCK_CONFLICT, STATUS_INVALID_DEVICE_REQUEST,
    STATUS_INVALID_INFO_CLASS, STATUS_INVALID_PARAMETER, STATUS_NOT_IMPLEMENTED,
    STATUS_NOT_SUPPORTED, STATUS_SHARING_VIOLATION, STATUS_USER_MAPPED_FILE,
};

use windows_sys::Win32::Storage::FileSystem::{FILE_ATTRIBUTE_NORMAL, FILE_ATTRIBUTE_READONLY};

use super::nt;

/// Whether a file system, or an older Windows, does not know what it was asked for: FAT, SMB, Wine.
fn is_unknown(status: NTSTATUS) -> bool {
    [
        STATUS_INVALID_PARAMETER,
        STATUS_NOT_SUPPORTED,
        STATUS_INVALID_INFO_CLASS,
        STATUS_NOT_IMPLEMENTED,
        STATUS_INVALID_DEVICE_REQUEST,
    ]
    .contains(&status)
}

/// Tries for about a second what is in the way of somebody who looks at each new file for a moment:
/// those who look for viruses, or make an index or a backup.
fn patiently(mut attempt: impl FnMut() -> NTSTATUS) -> NTSTATUS {
    const IN_THE_WAY: [NTSTATUS; 4] = [
        STATUS_SHARING_VIOLATION,
        STATUS_ACCESS_DENIED,
        STATUS_FILE_LOCK_CONFLICT,
        STATUS_USER_MAPPED_FILE,
    ];
    const PAUSES: [u64; 8] = [1, 2, 5, 10, 30, 100, 300, 500];
    for pause in PAUSES {
        match attempt() {
            status if IN_THE_WAY.contains(&status) => {
                std::thread::sleep(std::time::Duration::from_millis(pause));
            }
            status => return status,
        }
    }
    attempt()
}

/// Has what is open removed: its name is free at once, where the file system can do that.
pub(super) fn remove(handle: RawHandle) -> io::Result<()> {
    // FILE_DISPOSITION_DELETE, _POSIX_SEMANTICS and _IGNORE_READONLY_ATTRIBUTE.
    const AT_ONCE: u32 = 0x1 | 0x2 | 0x10;
    let bytes = size_of::<u32>();
    match patiently(|| nt::set(handle, &AT_ONCE, bytes, FileDispositionInformationEx)) {
        status if is_unknown(status) => {}
        0.. => return Ok(()),
        status => return Err(nt::error_of(status)),
    }
    let before = make_writable(handle);
    match patiently(|| nt::set(handle, &1_u8, 1, FileDispositionInformation)) {
        0.. => Ok(()),
        status => {
            if let Some(before) = before {
                let _ = nt::set_all(handle, &before, FileBasicInformation);
            }
            Err(nt::error_of(status))
        }
    }
}

/// Renames what is open.
pub(super) fn rename(file: RawHandle, folder: RawHandle, to: &[u16], over: bool) -> io::Result<()> {
    /// `FILE_RENAME_INFORMATION`, with room for any name.
    #[repr(C)]
    struct Rename {
        head: FILE_RENAME_INFORMATION_0,
        folder: RawHandle,
        bytes: u32,
        name: [u16; 256],
    }
    // FILE_RENAME_POSIX_SEMANTICS and _IGNORE_READONLY_ATTRIBUTE.
    const AT_ONCE: u32 = 0x2 | 0x40;
    let mut new = Rename {
        head: FILE_RENAME_INFORMATION_0 {
            Flags: AT_ONCE | u32::from(over),
        },
        folder,
        bytes: u32::try_from(size_of_val(to)).unwrap_or_default(),
        name: [0; 256],
    };
    let Some(name) = new.name.get_mut(..to.len()) else {
        return Err(io::ErrorKind::InvalidFilename.into());
    };
    name.copy_from_slice(to);
    let bytes = std::mem::offset_of!(Rename, name) + size_of_val(to);
    let bytes = bytes.max(size_of::<FILE_RENAME_INFORMATION>());
    match patiently(|| nt::set(file, &new, bytes, FileRenameInformationEx)) {
        status if is_unknown(status) => {}
        0.. => return Ok(()),
        status => return Err(nt::error_of(status)),
    }
    new.head = FILE_RENAME_INFORMATION_0 {
        Flags: u32::from(over),
    };
    match patiently(|| nt::set(file, &new, bytes, FileRenameInformation)) {
        0.. => Ok(()),
        status => Err(nt::error_of(status)),
    }
}

/// Takes away what keeps an open file from being removed. Gives what it was.
fn make_writable(handle: RawHandle) -> Option<FILE_BASIC_INFORMATION> {
    let now: FILE_BASIC_INFORMATION = nt::query(handle, FileBasicInformation).ok()?;
    if now.FileAttributes & FILE_ATTRIBUTE_READONLY == 0 {
        return None;
    }
    let basic = FILE_BASIC_INFORMATION {
        FileAttributes: FILE_ATTRIBUTE_NORMAL,
        ..FILE_BASIC_INFORMATION::default()
    };
    let _ = nt::set_all(handle, &basic, FileBasicInformation);
    let before = FILE_BASIC_INFORMATION {
        FileAttributes: now.FileAttributes,
        ..FILE_BASIC_INFORMATION::default()
    };
    Some(before)
}
