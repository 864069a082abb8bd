//! What an error of the system means, for those who must not look at its code.
//!
//! Must not decide what is done about it.

use std::io;

use windows_sys::Win32::Foundation::{
    ERROR_ACCESS_DENIED, ERROR_BAD_PATHNAME, ERROR_CALL_NOT_IMPLEMENTED, ERROR_CANT_ACCESS_FILE,
    ERROR_DIR_NOT_EMPTY, ERROR_DIRECTORY, ERROR_DISK_FULL, ERROR_DISK_QUOTA_EXCEEDED,
    ERROR_FILENAME_EXCED_RANGE, ERROR_HANDLE_DISK_FULL, ERROR_INVALID_FUNCTION, ERROR_INVALID_NAME,
    ERROR_INVALID_PARAMETER, ERROR_NOT_SUPPORTED, ERROR_PRIVILEGE_NOT_HELD,
    ERROR_STOPPED_ON_SYMLINK, ERROR_WRITE_PROTECT,
};

/// Whether the file system is out of space, or out of what this user may use of it.
#[must_use]
pub fn is_full(error: &io::Error) -> bool {
    is_one(
        error,
        &[
            ERROR_DISK_FULL,
            ERROR_HANDLE_DISK_FULL,
            ERROR_DISK_QUOTA_EXCEEDED,
        ],
    )
}

/// Whether the system cannot do at all what it was asked to.
#[must_use]
pub fn is_unsupported(error: &io::Error) -> bool {
    let codes = [
        ERROR_NOT_SUPPORTED,
        ERROR_CALL_NOT_IMPLEMENTED,
        ERROR_INVALID_FUNCTION,
        ERROR_INVALID_PARAMETER,
    ];
    is_one(error, &codes) || error.kind() == io::ErrorKind::Unsupported
}

/// Whether a file system does not have what was asked for, or does not let this user do it.
#[must_use]
pub fn is_refused(error: &io::Error) -> bool {
    let codes = [
        ERROR_ACCESS_DENIED,
        ERROR_PRIVILEGE_NOT_HELD,
        ERROR_WRITE_PROTECT,
    ];
    is_unsupported(error) || is_one(error, &codes)
}

/// Whether files cannot be made without a name, or not be named afterwards, where that was tried.
#[must_use]
pub fn cannot_be_unnamed(error: &io::Error) -> bool {
    is_unsupported(error)
}

/// Whether opening a folder failed because it is a link or a file.
#[must_use]
pub fn is_not_a_dir(error: &io::Error) -> bool {
    is_one(error, &[ERROR_DIRECTORY, ERROR_STOPPED_ON_SYMLINK])
}

/// Whether opening a file failed because it is a link.
#[must_use]
pub fn is_no_file(error: &io::Error) -> bool {
    is_one(error, &[ERROR_STOPPED_ON_SYMLINK, ERROR_CANT_ACCESS_FILE])
}

/// Whether a folder could not be removed because something is in it.
#[must_use]
pub fn is_not_empty(error: &io::Error) -> bool {
    is_one(error, &[ERROR_DIR_NOT_EMPTY])
}

/// Whether a name is too long for its file system.
#[must_use]
pub fn is_name_too_long(error: &io::Error) -> bool {
    is_one(error, &[ERROR_FILENAME_EXCED_RANGE])
}

/// Whether a file system cannot hold a name, whatever its length.
#[must_use]
pub fn is_name_impossible(error: &io::Error) -> bool {
    is_one(error, &[ERROR_INVALID_NAME, ERROR_BAD_PATHNAME])
}

/// What failed to make a name that nothing has.
#[must_use]
pub fn of_new_name(error: io::Error) -> io::Error {
    error
}

/// Whether permissions are what something failed for, rather than whose it is.
#[must_use]
pub fn is_denied(error: &io::Error) -> bool {
    is_one(error, &[ERROR_ACCESS_DENIED])
}

pub(super) fn is_one(error: &io::Error, codes: &[u32]) -> bool {
    error
        .raw_os_error()
        .is_some_and(|code| codes.contains(&code.cast_unsigned()))
}
