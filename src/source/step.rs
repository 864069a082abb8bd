//! `WalkStep`: what a walk finds.
//!
//! Must not know how it walks.

use std::path::PathBuf;

use crate::model::entry::{Kind, Mode, Time};
use crate::model::outcome::{LeftOut, Why};
use crate::model::relpath::RelPath;

/// What a walk finds.
#[derive(Debug)]
pub enum WalkStep {
    /// Something to send.
    Found {
        /// Its path in the manifest.
        path: RelPath,
        /// What it is.
        kind: Kind,
        /// Its time.
        mtime: Time,
        /// Its permissions.
        mode: Mode,
        /// How many bytes it takes up on its disk.
        allocated: u64,
    },
    /// A folder that only leads to what is sent, or to where the receiver puts that.
    Way {
        /// Its path in the manifest.
        path: RelPath,
    },
    /// The innermost folder that has not ended has no more entries.
    DirEnd {
        /// Whether all names in it could be read and examined, in this folder alone: each folder
        /// below it has its own answer. A mirror must not delete from a folder that is incomplete.
        complete: bool,
    },
    /// Something that cannot be sent.
    Skipped {
        /// Where it is on this machine.
        path: PathBuf,
        /// Why not.
        why: Why,
    },
    /// Something that is left out.
    LeftOut {
        /// Where it is on this machine.
        path: PathBuf,
        /// Why not.
        why: LeftOut,
    },
}
