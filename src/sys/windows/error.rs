//! What errors of the system mean that the standard library has no kind for.
//!
//! Must not decide what becomes of them.

use std::io;

use windows_sys::Win32::Foundation::{
    ERROR_BAD_PATHNAME, ERROR_CRC, ERROR_FILENAME_EXCED_RANGE, ERROR_INVALID_NAME, ERROR_IO_DEVICE,
    ERROR_STOPPED_ON_SYMLINK, ERROR_TOO_MANY_OPEN_FILES,
};

pub(crate) use crate::sys::told::Meaning;

/// What an error means, where its kind does not say it.
pub(crate) fn meaning(error: &io::Error) -> Option<Meaning> {
    Some(match error.raw_os_error()?.cast_unsigned() {
        ERROR_FILENAME_EXCED_RANGE => Meaning::NameTooLong,
        ERROR_INVALID_NAME | ERROR_BAD_PATHNAME => Meaning::InvalidName,
        ERROR_IO_DEVICE | ERROR_CRC => Meaning::Io,
        ERROR_TOO_MANY_OPEN_FILES => Meaning::TooManyOpenFiles,
        ERROR_STOPPED_ON_SYMLINK => Meaning::LinkLoop,
        _ => return None,
    })
}
