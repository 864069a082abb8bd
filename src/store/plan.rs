//! Where a file is to go: under its own name, beside what has that name, or nowhere because it
//! is there already.
//!
//! Must not open or change anything: it looks at names, sizes and times only.

use std::io;

use rustix::fs::{FileType, Stat};

use super::folder::{Folder, file_type, stat};
use super::mark::Suspects;
use super::name::nth_name;
use crate::entry::Time;
use crate::outcome::Why;
use crate::text::Text;

use super::why::why;

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
    /// The file of this name was stored in a session that never came to its end, and a power
    /// loss may have damaged it. What is not as it should be takes its place.
    Mend(Vec<u8>),
}

/// What a plan may rest on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules<'a> {
    /// Whether the sender may learn what files that are there contain.
    pub(super) may_compare: bool,
    /// Files that a power loss may have damaged.
    pub(super) suspects: &'a Suspects,
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
        if file_type(&found) != FileType::RegularFile {
            continue;
        }
        let right_size = u64::try_from(found.st_size) == Ok(size);
        if same_time(&found, mtime) {
            match rules.suspects.owner_of(&found) {
                None if right_size => return Ok(Plan::Have(candidate)),
                // Mending replaces, and tells what is there: not for those who may do neither.
                Some(owner) if owner == rules.owner && rules.may_compare => {
                    return Ok(Plan::Mend(candidate));
                }
                _ => {}
            }
        } else if right_size && rules.may_compare && same_size.is_none() {
            same_size = Some(candidate);
        }
    }
    Err(Why::InTheWay(Text::new(format!(
        "each of {MAX_BESIDE} files of that name"
    ))))
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
