//! The permissions that folders and files need while they are filled, and those they get in the
//! end.
//!
//! Must not know who owns them.

use std::io;

use crate::model::entry::Mode;
use crate::sys::fs::{self, Dir};

use super::found::{SENDERS_BITS, open_file};

/// What the owner of a folder that is being filled must be allowed.
pub(super) const OWNER_ALL: u32 = 0o700;

/// Lets the owner of an open folder fill it, whatever mode it has. Gives the mode that it had,
/// where it had to be changed.
pub(super) fn unlock_open(dir: &Dir) -> io::Result<Option<u32>> {
    let mode = dir.stat()?.mode;
    if mode & OWNER_ALL == OWNER_ALL {
        return Ok(None);
    }
    match dir.set_mode(mode | OWNER_ALL) {
        // It may be one that can be filled all the same.
        Err(e) if fs::is_refused(&e) => Ok(None),
        set => set.map(|()| Some(mode)),
    }
}

/// Lets the owner of a folder that cannot even be opened fill it. Gives the mode that it had.
pub(super) fn unlock_by_name(dir: &Dir, name: &[u8]) -> io::Result<u32> {
    dir.add_mode_at(name, OWNER_ALL)
}

/// The mode of something that gets a sender's permissions. Bits that it inherits here, such as
/// setgid, stay.
pub(super) fn with_senders_bits(mode: u32, senders: Mode) -> u32 {
    (mode & !SENDERS_BITS) | (senders.bits() & SENDERS_BITS)
}

/// Gives the file `name` the permissions that its sender has, if it has others.
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
