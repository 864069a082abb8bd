//! What the system is told about how files are read and written, where it can be told.
//!
//! Must not matter for anything but speed.

use std::os::fd::AsFd;

/// A file is read once, from its beginning to its end.
pub(crate) fn read_through(file: impl AsFd) {
    #[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
    let _ = rustix::fs::fadvise(file, 0, None, rustix::fs::Advice::Sequential);
    #[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
    let _ = file;
}

/// What was written of a file, from `offset` on for `len` bytes, is not read again: it is brought
/// to disk at some time soon, so that a sync at the end finds little to do.
pub(crate) fn written(file: impl AsFd, offset: u64, len: u64) {
    #[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
    let _ = rustix::fs::fadvise(
        file,
        offset,
        std::num::NonZeroU64::new(len),
        rustix::fs::Advice::DontNeed,
    );
    #[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
    let _ = (file, offset, len);
}
