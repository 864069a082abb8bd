//! A key of the settings file, and a path in it.
//!
//! Must not know what a key means.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use super::super::machine;

/// A key and its value.
#[derive(Debug)]
pub(crate) struct SettingEntry {
    pub(crate) key: &'static str,
    /// One word, unless the value is a list.
    pub(crate) words: Vec<OsString>,
    pub(crate) line: usize,
}

/// Reads a path. It expands `~` as a shell would, and refuses relative paths: the working directory
/// has no meaning here.
pub(super) fn path(word: &OsStr) -> Result<OsString, String> {
    let given = Path::new(word);
    match (given.strip_prefix("~"), machine::home()) {
        _ if given.is_absolute() => Ok(word.to_owned()),
        (Ok(below), Some(home)) => Ok(home.join(below).into()),
        _ => Err(format!("'{}' must begin with / or ~/", given.display())),
    }
}
