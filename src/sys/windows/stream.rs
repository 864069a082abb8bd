//! Standard streams, and files that may be pipes, consoles or devices.
//!
//! Must not buffer: what is read is gone, and what is written cannot be taken back.

use std::fs::File;
use std::io;
use std::os::windows::io::{AsHandle as _, AsRawHandle as _, RawHandle};

use windows_sys::Win32::Foundation::{ERROR_INVALID_FUNCTION, ERROR_INVALID_HANDLE};
use windows_sys::Win32::Storage::FileSystem::{
    FILE_TYPE_DISK, FILE_TYPE_PIPE, FILE_TYPE_UNKNOWN, GetFileType,
};

/// How many bytes a pipe takes at once here.
const READY_BYTES: usize = 4096;

/// Standard input, to be read without the buffer that the standard library puts before it.
pub fn stdin() -> io::Result<File> {
    Ok(io::stdin().as_handle().try_clone_to_owned()?.into())
}

/// Standard output, likewise.
pub fn stdout() -> io::Result<File> {
    Ok(io::stdout().as_handle().try_clone_to_owned()?.into())
}

/// Standard error, likewise.
pub fn stderr() -> io::Result<File> {
    Ok(io::stderr().as_handle().try_clone_to_owned()?.into())
}

/// What a handle is of.
fn kind(handle: RawHandle) -> u32 {
    // SAFETY: it takes a handle, which need not even be one.
    #[allow(unsafe_code)]
    unsafe {
        GetFileType(handle)
    }
}

pub(super) fn is_pipe(handle: RawHandle) -> bool {
    kind(handle) == FILE_TYPE_PIPE
}

pub(super) fn is_disk(handle: RawHandle) -> bool {
    kind(handle) == FILE_TYPE_DISK
}

/// Whether a standard stream was closed when this program began.
#[must_use]
pub fn is_closed(stream: &File) -> bool {
    kind(stream.as_raw_handle()) == FILE_TYPE_UNKNOWN
}

/// Whether standard error goes to a journal that notes the time of each line by itself.
#[must_use]
pub fn stderr_has_times() -> bool {
    false
}

/// How many bytes can be written to it once it is ready, without waiting for who reads them; none
/// where nobody does, because it is a file.
// One signature on all systems.
#[allow(clippy::unnecessary_wraps)]
pub(crate) fn ready_bytes(file: &File) -> io::Result<Option<usize>> {
    Ok((!is_disk(file.as_raw_handle())).then_some(READY_BYTES))
}

/// Brings to disk what was written, where it went to one.
pub(crate) fn sync(file: &File) -> io::Result<()> {
    if is_pipe(file.as_raw_handle()) {
        // It would wait until somebody has read all of it.
        return Ok(());
    }
    let Err(error) = file.sync_all() else {
        return Ok(());
    };
    match error.raw_os_error().map(i32::cast_unsigned) {
        // No file.
        Some(ERROR_INVALID_FUNCTION | ERROR_INVALID_HANDLE) => Ok(()),
        _ => Err(error),
    }
}
