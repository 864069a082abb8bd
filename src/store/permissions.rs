//! The permissions that folders and files need while they are filled, and those they get in the
//! end.
//!
//! Must not know who owns them.

use std::io;

use crate::model::entry::Mode;
use crate::sys::fs::{self, Dir};

use super::found::{SENDERS_BITS, open_file};

/// The bits that a folder's owner needs to fill it.
pub(super) const OWNER_ALL: u32 = 0o700;

/// Lets the owner of an open folder fill it. Returns its old mode if that had to be changed.
pub(super) fn unlock_open(dir: &Dir) -> io::Result<Option<u32>> {
    let mode = dir.stat()?.mode;
    if mode & OWNER_ALL == OWNER_ALL {
        return Ok(None);
    }
    match dir.set_mode(mode | OWNER_ALL) {
        // Filling it may work all the same.
        Err(e) if fs::is_refused(&e) => Ok(None),
        set => set.map(|()| Some(mode)),
    }
}

/// Lets the owner of a folder that cannot be opened fill it. Returns its old mode.
pub(super) fn unlock_by_name(dir: &Dir, name: &[u8]) -> io::Result<u32> {
    dir.add_mode_at(name, OWNER_ALL)
}

/// The mode of something that gets a sender's permissions. Other bits, such as an inherited setgid,
/// stay.
pub(super) fn with_senders_bits(mode: u32, senders: Mode) -> u32 {
    (mode & !SENDERS_BITS) | (senders.bits() & SENDERS_BITS)
}

/// Gives the file `name` its sender's permissions, if it has others.
pub(super) fn set_mode_at(dir: &Dir, name: &[u8], mode: Mode) -> io::Result<()> {
    let Some(found) = dir.stat_at(name)? else {
        return Ok(());
    };
    let wanted = with_senders_bits(found.mode, mode);
    if !found.is_file() || found.mode == wanted {
        return Ok(());
    }
    fs::set_mode(&open_file(dir, name)?, wanted)
}
