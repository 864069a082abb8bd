//! Names of files as this system has them, and as the bytes that travel.
//!
//! Must not judge a name: `RelPath` does. Names are bytes here, and a file system says by itself
//! which it cannot hold.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use crate::sys::name_rules::BadName;

/// Whether programs can have files of any name, as far as the system knows.
pub const HOLDS_ALL: bool = true;
/// Whether shells replace patterns by the names that match.
pub const SHELLS_EXPAND: bool = true;

/// The bytes of a text, as they travel.
#[must_use]
pub fn from_system(text: &(impl AsRef<OsStr> + ?Sized)) -> &[u8] {
    text.as_ref().as_bytes()
}

/// The bytes of a name or a path on disk, as they travel.
#[must_use]
pub fn from_path(path: &(impl AsRef<OsStr> + ?Sized)) -> Cow<'_, [u8]> {
    Cow::Borrowed(from_system(path))
}

/// The text that the bytes stand for.
#[must_use]
pub fn to_system(bytes: &[u8]) -> Cow<'_, Path> {
    Cow::Borrowed(Path::new(OsStr::from_bytes(bytes)))
}

/// The path on disk that the bytes stand for, which have '/' between names.
#[must_use]
pub fn path_to_system(bytes: &[u8]) -> Cow<'_, Path> {
    to_system(bytes)
}

/// Checks whether programs can have a file of this name: of any, as far as the system knows.
#[inline]
pub fn check_new(_: &[u8]) -> Result<(), BadName> {
    Ok(())
}

/// The absolute path without links, as people know it.
pub fn canonical(path: &Path) -> io::Result<PathBuf> {
    path.canonicalize()
}

/// Whether a text can only be a path here.
#[must_use]
pub fn is_only_a_path(_: &str) -> bool {
    false
}

/// A path that people typed, with '/' between names.
#[must_use]
pub fn with_slashes(text: &str) -> Cow<'_, str> {
    Cow::Borrowed(text)
}
