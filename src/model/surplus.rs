//! What a mirror would remove, and what its sender says to that.
//!
//! Must not decide: the sender knows what it has and what it hides, the receiver what is there.

use serde::{Deserialize, Serialize};

use crate::model::relpath::RelPath;

/// Something that is in a folder of the receiver, and was not announced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Surplus {
    /// Its path in the manifest.
    pub path: RelPath,
    /// What it is.
    pub kind: SurplusKind,
}

/// What something is that was not announced. Variants are appended, never reordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SurplusKind {
    /// A folder.
    Dir,
    /// A symbolic link.
    Symlink,
    /// A file of so many bytes, or what is none of these.
    File(u64),
}

/// What is to become of something that was not announced. Variants are appended, never reordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Decision {
    /// It stays: the sender has it, or it is of what the sender's user does not want sent.
    Keep,
    /// It goes, with all that is in it.
    Remove,
    /// It goes where nothing stays of what is in it, which is to be asked about.
    AskInside,
}
