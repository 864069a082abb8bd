//! From what the system says to why an entry was not stored.
//!
//! Must not decide what happens next.

use std::io;

use rustix::fs::Stat;
use rustix::io::Errno;

use crate::model::outcome::Why;

use super::folder::describe;

/// Why an entry failed, from the system's error.
pub(super) fn why(error: &io::Error) -> Why {
    Why::system(error)
}

/// Why an entry failed that something else is in the way of.
pub(super) fn in_the_way(found: Option<&Stat>) -> Why {
    Why::InTheWay(describe(found))
}

/// Whether the system is out of space, or out of what this user may use of it.
pub(super) fn is_full(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error().map(Errno::from_raw_os_error),
        Some(Errno::NOSPC | Errno::DQUOT)
    )
}
