//! Where a file is to go: under its own name, beside what has that name, or nowhere because it
//! is there already.
//!
//! Must not open or change anything: it looks at names, sizes and times only. What it finds it
//! claims for the file, so that no other entry whose name means the same takes it for its own.

use std::io;

use rustix::fs::{FileType, Stat};

use super::folder::{Folder, file_type, stat};
use super::mark::Suspects;
use super::name::nth_name;
use crate::model::digest::CHUNK_SIZE;
use crate::model::entry::Time;
use crate::model::outcome::{OnConflict, Why};
use crate::model::reason::Obstacle;

use super::why::{in_the_way, why};

/// How many names beside a taken one are tried.
pub(super) const MAX_BESIDE: u32 = 999;

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
    },
    /// Something else has the name, and stays.
    Keep,
    /// The file of this name was stored in a session that never came to its end, and a power
    /// loss may have damaged it. What is not as it should be takes its place.
    Mend(Vec<u8>),
}

impl Plan {
    /// Whether all of the file may be here already, so that it may need no space.
    pub(super) fn may_be_here(&self) -> bool {
        match self {
            Self::Compare { .. } | Self::Mend(_) => true,
            Self::Replace {
                held, same_size, ..
            } => *held && *same_size,
            _ => false,
        }
    }
}

/// What a plan may rest on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules<'a> {
    /// Whether the sender may learn what files that are there contain.
    pub(super) may_compare: bool,
    /// Whether content is compared where size and time are the same.
    pub(super) checksum: bool,
    /// What becomes of the file where something else has its name.
    pub(super) conflict: OnConflict,
    /// Files that a power loss may have damaged.
    pub(super) suspects: Option<&'a Suspects>,
    /// Who sends.
    pub(super) owner: &'a [u8; 32],
}

/// Plans a file of `size` bytes and `mtime` that is to have `name`.
pub(super) fn plan(
    folder: &Folder,
    name: &[u8],
    size: u64,
    mtime: Time,
    rules: Rules<'_>,
) -> Result<Plan, Why> {
    let mut same_size = None;
    for n in 1..=MAX_BESIDE {
        let candidate = nth_name(name, n);
        let found = match folder.with(|dir| stat(dir, &candidate)) {
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
        let is_file = file_type(&found) == FileType::RegularFile;
        let right_size = is_file && u64::try_from(found.st_size) == Ok(size);
        if is_file && same_time(&found, mtime) {
            let suspects = rules.suspects;
            match suspects.and_then(|all| all.owner_of(&found, rules.owner)) {
                None if right_size && !rules.checksum => return Ok(Plan::Have(candidate)),
                // Mending replaces, and tells what is there: not for those who may do neither.
                Some(owner) if owner == rules.owner && rules.may_compare => {
                    return Ok(Plan::Mend(candidate));
                }
                _ => {}
            }
        }
        match rules.conflict {
            OnConflict::Replace => return replace(candidate, &found, size, right_size),
            OnConflict::Skip => return Ok(Plan::Keep),
            OnConflict::Fail => return Err(in_the_way(Some(&found))),
            OnConflict::Beside => {}
        }
        if right_size && rules.may_compare && same_size.is_none() {
            same_size = Some(candidate);
        }
    }
    Err(Why::InTheWay(Obstacle::AllNames(MAX_BESIDE)))
}

/// Plans a file of `size` bytes in the place of what was found. Folders, and what is neither a
/// file nor a link, make way for nothing.
fn replace(name: Vec<u8>, found: &Stat, size: u64, same_size: bool) -> Result<Plan, Why> {
    let kind = file_type(found);
    if !may_make_way(found) {
        return Err(in_the_way(Some(found)));
    }
    let is_large = size > u64::from(CHUNK_SIZE);
    Ok(Plan::Replace {
        name,
        held: kind == FileType::RegularFile && (is_large || same_size),
        same_size,
    })
}

/// Whether what was found can be replaced by a file or link.
pub(super) fn may_make_way(found: &Stat) -> bool {
    matches!(file_type(found), FileType::RegularFile | FileType::Symlink)
}

/// Whether a file has a time, as far as its file system can tell: some keep only so many
/// nanoseconds of it, FAT even two seconds.
pub(super) fn same_time(found: &Stat, mtime: Time) -> bool {
    const GRAINS: [i128; 5] = [1, 100, 1_000, 10_000_000, 1_000_000_000];
    let (seconds, nanos) = (i128::from(mtime.seconds()), i128::from(mtime.nanos()));
    let there = (i128::from(found.st_mtime), i128::from(found.st_mtime_nsec));
    let cut = |grain: i128| (seconds, nanos - nanos % grain);
    GRAINS.iter().any(|&grain| there == cut(grain)) || there == (seconds & !1, 0)
}

/// Whether a failed publication means that the name is taken.
pub(super) fn is_taken(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AlreadyExists
}
