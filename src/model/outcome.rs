//! How an entry ended, how a session ended, and why something was refused: the words that both
//! sides use for it.
//!
//! Must not decide anything: the engines and the store do.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::model::relpath::RelPath;
use crate::model::text::Text;

/// What a side does in a session, whoever opened the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Role {
    /// Reads and offers.
    Sender,
    /// Decides, verifies and stores.
    Receiver,
}

/// Why a receiver does not take part. Variants are appended, never reordered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Decline {
    /// It does not know the sender, and nobody is there to whom it could show a code.
    Unknown,
    /// It takes from anyone, but this sender has not agreed to send to anyone.
    NotOpen,
    /// It has too many sessions at the moment.
    Busy,
    /// It cannot do what the offer asks for.
    Unsupported(Text),
    /// It cannot store anything at the moment.
    Store(Text),
    /// It shows no code any more after too many wrong ones, until its user asks for it.
    Locked,
    /// Too many are waiting to be let in.
    Crowded,
    /// It knows another machine by the name that this one gives itself.
    NameTaken,
    /// Its user said no.
    Refused,
    /// Its user is to be asked about each offer, and nobody is there.
    Unattended,
    /// It removes nothing, and the sender would like it to.
    NoMirror,
}

impl fmt::Display for Decline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str(
                "the two do not know each other, and it has no terminal to show a code on",
            ),
            Self::NotOpen => f.write_str("it was started with --open, this side was not"),
            Self::Busy => f.write_str("it has too many sessions at the moment"),
            Self::Unsupported(what) => write!(f, "it cannot do what is asked for: {what}"),
            Self::Store(what) => write!(f, "it cannot store anything: {what}"),
            Self::Locked => {
                f.write_str("it lets nobody new in, after too many wrong codes in a row")
            }
            Self::Crowded => f.write_str("too many are waiting to be let in at the moment"),
            Self::NameTaken => {
                f.write_str("it knows another machine by the same name, with another key")
            }
            Self::Refused => f.write_str("its user said no"),
            Self::Unattended => {
                f.write_str("it asks its user about each offer, and nobody is there")
            }
            Self::NoMirror => f.write_str("it does not let this sender remove anything"),
        }
    }
}

/// What a sender would like done with what is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Wish {
    /// Whether what differs is to be replaced.
    pub update: bool,
    /// Whether content is to be compared where size and time are the same, too.
    pub checksum: bool,
    /// Whether what the sender does not have is to be removed, in folders that it sends. To wish
    /// that is to wish `update`, too.
    pub mirror: bool,
    /// Whether nothing is to be done: the sender wants to know what would be.
    pub dry_run: bool,
}

/// What becomes of what comes where something else has its name. Each is stricter than those
/// before it. Variants are appended, never reordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub enum OnConflict {
    /// It takes the place of what is there.
    Replace,
    /// It is stored beside that.
    #[default]
    Beside,
    /// It is left out, and that is no failure.
    Skip,
    /// It fails.
    Fail,
}

/// Why an entry was not stored. Variants are appended, never reordered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Why {
    /// The sender could not read it.
    Unreadable(Text),
    /// It was gone when it was to be read.
    Vanished,
    /// It changed each time it was read.
    Changed,
    /// It is a socket, fifo or device.
    Special,
    /// Its name is one that xfer keeps for itself, or too long or deep for the protocol.
    Name(Text),
    /// The folder it belongs into could not be made.
    Parent,
    /// Something else is in its way: a file where a folder is to be, a link, a device.
    InTheWay(Text),
    /// There is too little space: so many bytes are needed, so many free.
    Space {
        /// Bytes that are still to be stored for this file.
        needed: u64,
        /// Bytes that are free.
        free: u64,
    },
    /// Another session is writing the same file at the moment.
    Busy,
    /// The receiver's system refused.
    System(Text),
    /// What arrived is not what was sent.
    Damaged,
    /// It is a link that leads out of the receive directory.
    Outside,
    /// It is a folder of which not everything could be removed that a mirror is to remove.
    NotRemoved(Text),
}

impl Why {
    /// How many bytes its words have.
    #[must_use]
    pub fn variable_bytes(&self) -> usize {
        match self {
            Self::Unreadable(text)
            | Self::Name(text)
            | Self::InTheWay(text)
            | Self::NotRemoved(text)
            | Self::System(text) => text.as_str().len(),
            _ => 0,
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(what) => write!(f, "cannot be read: {what}"),
            Self::Vanished => f.write_str("was gone when it was to be read"),
            Self::Changed => f.write_str("changed each time it was read"),
            Self::Special => f.write_str("is a socket, fifo or device"),
            Self::Name(what) => write!(f, "has a name that cannot be sent: {what}"),
            Self::Parent => f.write_str("its folder could not be made"),
            Self::InTheWay(what) => write!(f, "{what} is in its way"),
            Self::Space { needed, free } => {
                write!(f, "needs {needed} bytes of space, {free} are free")
            }
            Self::Busy => f.write_str("is being received in another session"),
            Self::System(what) => write!(f, "could not be stored: {what}"),
            Self::Damaged => f.write_str("arrived damaged"),
            Self::Outside => f.write_str("is a link that leads out of the receiver's folder"),
            Self::NotRemoved(what) => write!(f, "not all that was to go could be removed: {what}"),
        }
    }
}

/// Why something is not sent that the user did not want to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum LeftOut {
    /// A pattern names it.
    Pattern,
    /// It is larger than files may be.
    Size,
    /// It is a symbolic link.
    Link,
    /// It is a folder that something is mounted on. The folder is sent, what is in it is not.
    Mounted,
    /// It is what a receiver keeps for itself.
    Own,
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pattern => "by a pattern",
            Self::Size => "too large",
            Self::Link => "a link",
            Self::Mounted => "what is in it, on another file system",
            Self::Own => "what xfer keeps for itself",
        })
    }
}

/// How one entry ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Outcome {
    /// It was stored; under this path where it is not its own.
    Stored(Option<RelPath>),
    /// The receiver had it already; under this path where it is not its own.
    Have(Option<RelPath>),
    /// It was not stored.
    Failed(Why),
    /// It was stored, in the place of another version, which is no more.
    Replaced,
    /// It was left out, because something else has its name and the receiver's user wants that
    /// left alone.
    Kept,
}

impl Outcome {
    /// Whether it ended as expected, so that it is worth a word only to those who want to hear of
    /// every entry.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        matches!(self, Self::Stored(None) | Self::Have(None) | Self::Replaced)
    }
}

/// How a session ended, in numbers. Every entry counts once: as stored, had, failed or kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Summary {
    /// Files and links that were stored, and folders that were made.
    pub stored: u64,
    /// Entries that the receiver had already.
    pub have: u64,
    /// Entries that failed, on either side.
    pub failed: u64,
    /// Of the stored ones, how many are files.
    pub files: u64,
    /// Bytes of the stored files.
    pub bytes: u64,
    /// Of these, bytes that the receiver held already and that did not travel.
    pub held_bytes: u64,
    /// Of those that the receiver had already, how many are files.
    pub have_files: u64,
    /// Bytes of the files that the receiver had already.
    pub have_bytes: u64,
    /// Files that were stored under another name because theirs was taken.
    pub renamed: u64,
    /// Of the stored ones, how many took the place of another version.
    pub replaced: u64,
    /// Entries that were left out, because what has their name stays.
    pub kept: u64,
    /// What was removed because the sender does not have it; not among the entries.
    pub removed: u64,
    /// Of a dry run: how many bytes are free at the receiver, where that is known.
    pub free: Option<u64>,
    /// What the receiver's lanes did.
    pub shares: Shares,
}

/// What the lanes of one side spent their time with, in thousandths of it. All zero where there
/// was nothing to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Shares {
    /// Reading or writing files.
    pub disk: u16,
    /// Hashing, compressing.
    pub processor: u16,
    /// Sending or receiving: encryption, and waiting for the other side.
    pub network: u16,
    /// Waiting for something to do.
    pub waiting: u16,
}

impl Shares {
    /// Whether anything was measured.
    #[must_use]
    pub fn is_known(&self) -> bool {
        *self != Self::default()
    }
}

impl Summary {
    /// Whether every entry is where it should be.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.failed == 0
    }

    /// This and another one, as one. What is free, and what the lanes did, is this one's: neither
    /// can be added.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        let sum = |of: fn(&Self) -> u64| of(self).saturating_add(of(other));
        Self {
            stored: sum(|s| s.stored),
            have: sum(|s| s.have),
            failed: sum(|s| s.failed),
            files: sum(|s| s.files),
            bytes: sum(|s| s.bytes),
            held_bytes: sum(|s| s.held_bytes),
            have_files: sum(|s| s.have_files),
            have_bytes: sum(|s| s.have_bytes),
            renamed: sum(|s| s.renamed),
            replaced: sum(|s| s.replaced),
            kept: sum(|s| s.kept),
            removed: sum(|s| s.removed),
            free: self.free,
            shares: self.shares,
        }
    }
}
