//! Names of files as this system has them, and as the bytes that travel.
//!
//! Must not judge a name: `RelPath` does. A port whose names are no bytes gives those of UTF-8,
//! and has the names refused that it cannot hold before they come here.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

/// The bytes of a name or a path, as they travel.
#[must_use]
pub fn from_system(name: &(impl AsRef<OsStr> + ?Sized)) -> &[u8] {
    name.as_ref().as_bytes()
}

/// The name or path that the bytes stand for.
#[must_use]
pub fn to_system(bytes: &[u8]) -> Cow<'_, Path> {
    Cow::Borrowed(Path::new(OsStr::from_bytes(bytes)))
}

/// The path that the bytes stand for, which have '/' between names.
#[must_use]
pub fn path_to_system(bytes: &[u8]) -> Cow<'_, Path> {
    to_system(bytes)
}
