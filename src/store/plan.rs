//! Where a file goes: under its own name, beside an existing file of that name, or nowhere because
//! it is there already.
//!
//! Must not open or change anything: it looks only at names, sizes and times. It claims what it
//! finds, so that no other entry with an equivalent name takes it.

use std::io;

use super::durability::{Doubt, Suspects};
use super::folder::Folder;
use super::found::{in_the_way, may_make_way, same_time, why};
use super::name::nth_name;
use super::partial::{EarlierPartial, MODE};
use super::times::{Sent, SentTimes};
use crate::model::digest::CHUNK_SIZE;
use crate::model::entry::{Mode, Time};
use crate::model::outcome::{OnConflict, Why};
use crate::model::reason::Obstacle;
use crate::sys::fs::Stat;

/// How many numbered names are tried after the first is taken.
pub(super) const MAX_BESIDE: u32 = 999;

/// The size of a stream, which is unknown until it ends. No real file is this large.
pub const STREAM: u64 = u64::MAX;

/// What the sender announced about a file.
#[derive(Debug, Clone, Copy)]
pub struct NewFile {
    /// In bytes; [`STREAM`] for a stream.
    pub size: u64,
    /// How many bytes it takes up on the sender's disk, if announced as less than its size.
    pub allocated: Option<u64>,
    /// Its modification time.
    pub mtime: Time,
    /// Its permissions.
    pub mode: Mode,
}

impl NewFile {
    /// Its size in bytes; `None` for a stream.
    pub(super) fn known_size(&self) -> Option<u64> {
        Some(self.size).filter(|&size| size != STREAM)
    }
}

/// Where a file goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Plan {
    /// It is here already, under this name.
    Have(Vec<u8>),
    /// Store it under this name.
    Store(Vec<u8>),
    /// An existing file may be the same: its content decides.
    Compare {
        /// The file that may be the same.
        existing: Vec<u8>,
        /// Where the new one goes if it is not.
        otherwise: Vec<u8>,
    },
    /// Replace the file or link of this name, which is another version.
    Replace {
        /// Its name.
        name: Vec<u8>,
        /// Whether some chunks may be the same. Never for a link, nor for a small file of another
        /// size.
        held: bool,
        /// Whether the whole file may be the same.
        same_size: bool,
        /// What the disk may have lost of it.
        doubt: Option<Doubt>,
    },
    /// Something else has the name and stays.
    Keep,
    /// A session that never finished stored the file of this name, and the disk may have lost part
    /// of it. Replace it if it is not as it should be.
    Mend {
        /// Its name.
        name: Vec<u8>,
        /// What may be wrong with it.
        doubt: Doubt,
    },
}

impl Plan {
    /// Whether the whole file may be here already, so that it may need no space.
    pub(super) fn may_be_here(&self) -> bool {
        match self {
            Self::Compare { .. } | Self::Mend { .. } => true,
            Self::Replace {
                held, same_size, ..
            } => *held && *same_size,
            _ => false,
        }
    }

    /// Whether the file replaces something.
    pub(super) fn replaces(&self) -> bool {
        matches!(self, Self::Replace { .. } | Self::Mend { .. })
    }

    /// Whether the existing file cannot be trusted, however often it is read: it may be in memory
    /// alone, so that even an identical file must replace it.
    pub(super) fn must_rewrite(&self) -> bool {
        match self {
            Self::Mend { doubt, .. } => *doubt == Doubt::Unwritten,
            Self::Replace { doubt, .. } => *doubt == Some(Doubt::Unwritten),
            _ => false,
        }
    }
}

/// What a plan is based on.
#[derive(Debug, Clone, Copy)]
pub(super) struct PlanRules<'a> {
    /// Whether the sender may learn what existing files contain.
    pub(super) may_compare: bool,
    /// Whether to compare content even if size and time are the same.
    pub(super) checksum: bool,
    /// What to do if something else has the name.
    pub(super) conflict: OnConflict,
    /// Files that the disk may have lost part of.
    pub(super) suspects: Option<&'a Suspects>,
    /// The sender's fingerprint.
    pub(super) owner: &'a [u8; 32],
    /// What is known of the sender's earlier files, where times are not kept.
    pub(super) times: Option<&'a SentTimes>,
    /// What an earlier session left of this file.
    pub(super) unfinished: Option<EarlierPartial>,
}

/// Whether `found` is the empty file that reserves a name while a partial with all of its `size`
/// bytes is renamed: a session was cut off in the middle of that.
fn is_placeholder(found: &Stat, unfinished: &EarlierPartial, size: u64) -> bool {
    let EarlierPartial { partial, began } = unfinished;
    let is_new = found.is_file() && found.size == 0 && found.links <= 1;
    // Where modes are not kept, both files have the same one.
    let modes = [MODE, partial.mode];
    is_new
        && found.user == partial.user
        && modes.contains(&found.mode)
        && partial.size == size
        // Not older than the partial.
        && found.mtime.seconds >= *began
}

/// Plans a file of `size` bytes and `mtime` that should get `name`.
pub(super) fn plan(
    folder: &Folder,
    name: &[u8],
    size: u64,
    mtime: Time,
    rules: PlanRules<'_>,
) -> Result<Plan, Why> {
    let mut same_size = None;
    for n in 1..=MAX_BESIDE {
        let candidate = nth_name(name, n);
        let found = match folder.with(|dir| dir.stat_at(&candidate)) {
            Ok(found) => found,
            Err(e) => return Err(why(&e)),
        };
        let Some(found) = found else {
            return Ok(match same_size {
                Some(existing) => Plan::Compare {
                    existing,
                    otherwise: candidate,
                },
                None => Plan::Store(candidate),
            });
        };
        folder.claim(&candidate, &found)?;
        let unfinished = rules.unfinished.as_ref();
        if unfinished.is_some_and(|unfinished| is_placeholder(&found, unfinished, size)) {
            let (name, doubt) = (candidate, Doubt::Unwritten);
            return Ok(Plan::Mend { name, doubt });
        }
        let right_size = found.is_file() && found.size == size;
        let suspicion = match rules.suspects {
            Some(all) if found.is_file() => all.of(&found, rules.owner),
            _ => None,
        };
        let has_time = || {
            let name = &candidate;
            let sent = Sent {
                folder,
                name,
                size,
                mtime,
            };
            same_time(&found, mtime) || rules.times.is_some_and(|times| times.knows(sent, &found))
        };
        if found.is_file() && has_time() {
            match suspicion {
                None if right_size && !rules.checksum => return Ok(Plan::Have(candidate)),
                // Mending replaces and reveals what is here, which this sender must be allowed to
                // do.
                Some((owner, doubt)) if owner == rules.owner && rules.may_compare => {
                    let name = candidate;
                    return Ok(Plan::Mend { name, doubt });
                }
                _ => {}
            }
        }
        let doubt = suspicion.map(|(_, doubt)| doubt);
        match rules.conflict {
            OnConflict::Replace => return replace(candidate, &found, size, doubt),
            OnConflict::Skip => return Ok(Plan::Keep),
            OnConflict::Fail => return Err(in_the_way(Some(&found))),
            OnConflict::Beside => {}
        }
        // A file that may be in memory alone is no reason not to store another.
        let is_here = right_size && doubt != Some(Doubt::Unwritten);
        if is_here && rules.may_compare && same_size.is_none() {
            same_size = Some(candidate);
        }
    }
    Err(Why::InTheWay(Obstacle::AllNames(MAX_BESIDE)))
}

/// Plans a file of `size` bytes that replaces what was found. Only files and links are replaced.
fn replace(name: Vec<u8>, found: &Stat, size: u64, doubt: Option<Doubt>) -> Result<Plan, Why> {
    if !may_make_way(found) {
        return Err(in_the_way(Some(found)));
    }
    let same_size = found.is_file() && found.size == size;
    let is_large = size > u64::from(CHUNK_SIZE);
    Ok(Plan::Replace {
        name,
        held: found.is_file() && (is_large || same_size),
        same_size,
        doubt,
    })
}

/// Whether publishing failed because the name is taken.
pub(super) fn is_taken(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AlreadyExists
}
