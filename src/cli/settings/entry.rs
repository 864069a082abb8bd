//! A key of the file with the settings, and a path in it.
//!
//! Must not know what a key means.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use super::super::machine;

/// A key and what it is set to.
#[derive(Debug)]
pub(crate) struct SettingEntry {
    pub(crate) key: &'static str,
    /// One, but where it is set to a list.
    pub(crate) words: Vec<OsString>,
    pub(crate) line: usize,
}

/// A path in the file: what a shell would make of `~` has to be done here, and where the program
/// was started says nothing.
pub(super) fn path(word: &OsStr) -> Result<OsString, String> {
    let given = Path::new(word);
    match (given.strip_prefix("~"), machine::home()) {
        _ if given.is_absolute() => Ok(word.to_owned()),
        (Ok(below), Some(home)) => Ok(home.join(below).into()),
        _ => Err(format!(
            "'{}' begins with neither / nor ~/",
            given.display()
        )),
    }
}
