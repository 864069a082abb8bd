//! `WalkStep`: what a walk comes upon.
//!
//! Must not know how it walks.

use std::path::PathBuf;

use crate::model::entry::{Kind, Mode, Time};
use crate::model::outcome::{LeftOut, Why};
use crate::model::relpath::RelPath;

/// What a walk comes upon.
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
        /// How many bytes of its disk it takes up.
        allocated: u64,
    },
    /// A folder that leads to where the receiver puts what is sent.
    Way {
        /// Its path in the manifest.
        path: RelPath,
    },
    /// The innermost folder that has not ended has no more entries.
    DirEnd {
        /// Whether all names in it could be read and looked at, in this very folder: whoever
        /// removes what is missing must not believe in a folder where not. What is below it counts
        /// for itself.
        complete: bool,
    },
    /// Something that cannot be sent.
    Skipped {
        /// Where it is on this machine.
        path: PathBuf,
        /// Why not.
        why: Why,
    },
    /// Something that is not to be sent.
    LeftOut {
        /// Where it is on this machine.
        path: PathBuf,
        /// Why not.
        why: LeftOut,
    },
}
