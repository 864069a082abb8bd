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
