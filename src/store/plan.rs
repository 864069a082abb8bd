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

/// How many names beside a taken one are tried.
pub(super) const MAX_BESIDE: u32 = 999;

/// The size of a file that is made of a stream: none, before that has ended. No other file is as
/// large.
pub const STREAM: u64 = u64::MAX;

/// What is said of a file that is to come.
#[derive(Debug, Clone, Copy)]
pub struct NewFile {
    /// Its size; [`STREAM`] of a stream.
    pub size: u64,
    /// How much of its disk it takes up where it is now, if that is said to be less.
    pub allocated: Option<u64>,
    /// Its time.
    pub mtime: Time,
    /// Its permissions.
    pub mode: Mode,
}

impl NewFile {
    /// Its size; none of a stream.
    pub(super) fn known_size(&self) -> Option<u64> {
        Some(self.size).filter(|&size| size != STREAM)
    }
}

/// Where a file is to go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Plan {
    /// It is there, under this name.
    Have(Vec<u8>),
    /// It is to be stored under this name.
    Store(Vec<u8>),
    /// This file may be the same: its content decides.
    Compare {
        /// The file that may be the same.
        existing: Vec<u8>,
        /// Where the new one goes if it is not.
        otherwise: Vec<u8>,
    },
    /// The file or link of this name is another version, whose place the new one takes.
    Replace {
        /// Its name.
        name: Vec<u8>,
        /// Whether chunks of it may be the same; not of a link, nor of a small file of another
        /// size.
        held: bool,
        /// Whether all of it may be the same.
        same_size: bool,
        /// What the disk may have lost of it.
        doubt: Option<Doubt>,
    },
    /// Something else has the name, and stays.
    Keep,
    /// The file of this name was stored in a session that never came to its end, and the disk may
    /// have lost of it what it may. What is not as it should be takes its place.
    Mend {
        /// Its name.
        name: Vec<u8>,
        /// What may be wrong with it.
        doubt: Doubt,
    },
}

impl Plan {
    /// Whether all of the file may be here already, so that it may need no space.
    pub(super) fn may_be_here(&self) -> bool {
        match self {
            Self::Compare { .. } | Self::Mend { .. } => true,
            Self::Replace {
                held, same_size, ..
            } => *held && *same_size,
            _ => false,
        }
    }

    /// Whether something makes way for the file.
    pub(super) fn replaces(&self) -> bool {
        matches!(self, Self::Replace { .. } | Self::Mend { .. })
    }

    /// Whether the file that is here cannot be believed, however often it is read: it may only be
    /// in memory, so that its place must be taken even by the same.
    pub(super) fn must_rewrite(&self) -> bool {
        match self {
            Self::Mend { doubt, .. } => *doubt == Doubt::Unwritten,
            Self::Replace { doubt, .. } => *doubt == Some(Doubt::Unwritten),
            _ => false,
        }
    }
}

/// What a plan may rest on.
#[derive(Debug, Clone, Copy)]
pub(super) struct PlanRules<'a> {
    /// Whether the sender may learn what files that are there contain.
    pub(super) may_compare: bool,
    /// Whether content is compared where size and time are the same.
    pub(super) checksum: bool,
    /// What becomes of the file where something else has its name.
    pub(super) conflict: OnConflict,
    /// Files that the disk may have lost something of.
    pub(super) suspects: Option<&'a Suspects>,
    /// Who sends.
    pub(super) owner: &'a [u8; 32],
    /// What is known of what it sent before, where times are not kept.
    pub(super) times: Option<&'a SentTimes>,
    /// What is here of the file, from an earlier session.
    pub(super) unfinished: Option<EarlierPartial>,
}

/// Whether what was found is the empty file that keeps a name free for a partial, which has all of
/// `size` bytes, while that is renamed: a session ended in the middle of that.
fn is_placeholder(found: &Stat, unfinished: &EarlierPartial, size: u64) -> bool {
    let EarlierPartial { partial, began } = unfinished;
    let is_new = found.is_file() && found.size == 0 && found.links <= 1;
    // Where modes are not kept, both have the same.
    let modes = [MODE, partial.mode];
    is_new
        && found.user == partial.user
        && modes.contains(&found.mode)
        && partial.size == size
        // Not what was here when the partial was made.
        && found.mtime.seconds >= *began
}

/// Plans a file of `size` bytes and `mtime` that is to have `name`.
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
                // Mending replaces, and tells what is there: not for those who may do neither.
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
        // What may be in memory alone is no reason not to store another.
        let is_here = right_size && doubt != Some(Doubt::Unwritten);
        if is_here && rules.may_compare && same_size.is_none() {
            same_size = Some(candidate);
        }
    }
    Err(Why::InTheWay(Obstacle::AllNames(MAX_BESIDE)))
}

/// Plans a file of `size` bytes in the place of what was found. Folders, and what is neither a
/// file nor a link, make way for nothing.
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

/// Whether a failed publication means that the name is taken.
pub(super) fn is_taken(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AlreadyExists
}
