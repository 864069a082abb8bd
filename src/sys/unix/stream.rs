//! Standard streams, and files that may be pipes, sockets or devices.
//!
//! Must not buffer: what is read is gone, and what is written cannot be taken back.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;

use rustix::fs::{FileType, OFlags, fcntl_getfl, fstat, stat};
use rustix::io::Errno;

/// What a pipe that is ready takes without making its writer wait, in bytes: on Linux a page, and
/// on any Unix at least this.
const READY_BYTES: usize = if cfg!(target_os = "linux") { 4096 } else { 512 };

/// Standard input, to be read without the buffer that the standard library puts before it.
pub fn stdin() -> io::Result<File> {
    Ok(io::stdin().as_fd().try_clone_to_owned()?.into())
}

/// Standard output, likewise.
pub fn stdout() -> io::Result<File> {
    Ok(io::stdout().as_fd().try_clone_to_owned()?.into())
}

/// Standard error, likewise.
pub fn stderr() -> io::Result<File> {
    Ok(io::stderr().as_fd().try_clone_to_owned()?.into())
}

/// Whether a standard stream was closed when this program began. Its place is taken then, by
/// /dev/null for reading and writing, which nobody has a use for.
#[must_use]
pub fn is_closed(stream: &File) -> bool {
    let is_both = fcntl_getfl(stream).is_ok_and(|flags| flags.contains(OFlags::RDWR));
    let null = stat("/dev/null").map(|null| null.st_rdev);
    let is_null = |null| fstat(stream).is_ok_and(|stream| stream.st_rdev == null);
    is_both && null.is_ok_and(is_null)
}

/// Whether standard error goes to a journal that notes the time of each line by itself. systemd
/// says in the environment which stream that is.
#[must_use]
pub fn stderr_has_times() -> bool {
    let Some(journal) = std::env::var_os("JOURNAL_STREAM") else {
        return false;
    };
    let stat = fstat(io::stderr());
    stat.is_ok_and(|stat| *journal == *format!("{}:{}", stat.st_dev, stat.st_ino))
}

/// How many bytes can be written to it once it is ready, without waiting for who reads them; none
/// where nobody does, because it is a file.
pub(crate) fn ready_bytes(file: &File) -> io::Result<Option<usize>> {
    let mode = fstat(file)?.st_mode;
    let is_file = FileType::from_raw_mode(mode) == FileType::RegularFile;
    Ok((!is_file).then_some(READY_BYTES))
}

/// Brings to disk what was written, where it went to one.
pub(crate) fn sync(file: &File) -> io::Result<()> {
    // The standard library knows that macOS has a call of its own for this.
    let Err(error) = file.sync_all() else {
        return Ok(());
    };
    match error.raw_os_error().map(Errno::from_raw_os_error) {
        // No file.
        Some(Errno::INVAL | Errno::ROFS | Errno::NOTSUP | Errno::NOTTY) => Ok(()),
        _ => Err(error),
    }
}
