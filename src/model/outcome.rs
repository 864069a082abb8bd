//! How an entry ended, how a session ended, and why something was refused, in terms that both sides
//! share.
//!
//! Must not decide anything: the engines and the store do.

use std::fmt;
use std::io;

use serde::{Deserialize, Serialize};

use crate::model::reason::{Limit, Obstacle, ReadError, StoreFault, SystemError, Unsupported};
use crate::model::relpath::{PathError, RelPath};
use crate::model::surplus::{Objection, RemovalCount};
use crate::model::text::Text;

/// What a side does in a session, regardless of who opened the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Role {
    /// Reads and offers.
    Sender,
    /// Decides, verifies and stores.
    Receiver,
}

/// Why a receiver does not take part. Variants are appended, never reordered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Decline {
    /// It does not know the sender, and has nobody to show a code to.
    #[error("the two do not know each other, and it has no terminal to show a code on")]
    Unknown,
    /// It accepts anyone, but this sender did not agree to that.
    #[error("it was started with --open, this side was not")]
    NotOpen,
    /// It has too many sessions at the moment.
    #[error("it has too many sessions at the moment")]
    TooManySessions,
    /// In words, to and from peers without [`crate::wire::Features::REASONS`]: it cannot do what
    /// the offer asks for.
    #[error("it cannot do what is asked for: {0}")]
    UnsupportedText(Text),
    /// In words, to and from such peers: it cannot store anything at the moment.
    #[error("it cannot store anything: {0}")]
    StoreText(Text),
    /// It shows no more codes after too many wrong ones, until its user asks.
    #[error("it lets nobody new in, after too many wrong codes in a row")]
    Locked,
    /// Too many are waiting to be let in.
    #[error("too many are waiting to be let in at the moment")]
    Crowded,
    /// It knows another machine by this one's name.
    #[error("it knows another machine by the same name, with another key")]
    NameTaken,
    /// Its user said no.
    #[error("its user said no")]
    Refused,
    /// It has to ask its user about each offer, and nobody is there.
    #[error("it asks its user about each offer, and nobody is there")]
    Unattended,
    /// It deletes nothing, and the sender asks for it.
    #[error("it does not let this sender remove anything")]
    NoMirror,
    /// It cannot do what the offer asks for.
    #[error("it cannot do what is asked for: {0}")]
    Unsupported(Unsupported),
    /// It cannot store anything at the moment.
    #[error("it cannot store anything: {0}")]
    Store(StoreFault),
    /// It replaces nothing, and the sender asks for it.
    #[error("it does not let this sender replace files")]
    NoUpdate,
    /// It knows the peer, and has not granted it this.
    #[error("it does not let this machine {0}")]
    NotGranted(Ability),
    /// There is no room here: it receives files.
    #[error("no chat is open there")]
    NoRoom,
    /// There is a room here, and nothing else.
    #[error("only a chat is open there")]
    OnlyRoom,
    /// Its room, or its commands, have too many at the moment.
    #[error("too many are there at the moment")]
    Full,
    /// It offers no command of this name.
    #[error("it offers no command of that name")]
    NoCommand,
    /// It offers the command, but not with these arguments.
    #[error("it does not take these arguments")]
    NoArguments,
    /// It shares files, but nothing at this path.
    #[error("it does not share {}", .0.as_str())]
    NotShared(Text),
    /// It shares files, and does nothing else.
    #[error("it only shares files")]
    OnlyShare,
    /// It shares no files.
    #[error("it shares no files")]
    NoShare,
}

/// What a peer can be allowed to do. Variants are appended, never reordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Ability {
    /// To send files.
    Files,
    /// To send messages, and to be in a room.
    Messages,
    /// To run commands.
    Commands,
    /// To fetch shared files.
    Fetch,
}

impl Ability {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Files, Self::Messages, Self::Commands, Self::Fetch];
}

impl fmt::Display for Ability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Files => "send files",
            Self::Messages => "send messages",
            Self::Commands => "run commands",
            Self::Fetch => "fetch files",
        })
    }
}

/// What a sender asks for where files exist already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Wish {
    /// Whether to replace files that differ.
    pub update: bool,
    /// Whether to compare content even if size and time are the same.
    pub checksum: bool,
    /// Whether to delete what the sender does not have, in the folders that it sends. Implies
    /// `update`.
    pub mirror: bool,
    /// Whether to do nothing, and only report what would be done.
    pub dry_run: bool,
}

/// What happens to a new entry whose name is taken. Each is stricter than those before it. Variants
/// are appended, never reordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub enum OnConflict {
    /// It replaces the old one.
    Replace,
    /// It is stored beside the old one.
    #[default]
    Beside,
    /// It is left out, which is not a failure.
    Skip,
    /// It fails.
    Fail,
}

/// Why an entry was not stored. Variants are appended, never reordered. Those with words are what
/// peers without [`crate::wire::Features::REASONS`] say and are told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Why {
    /// In words: the sender could not read it.
    #[error("cannot be read: {0}")]
    UnreadableText(Text),
    /// It was gone when it was to be read.
    #[error("was gone when it was to be read")]
    Vanished,
    /// It changed each time it was read.
    #[error("changed each time it was read")]
    Changed,
    /// It is a socket, fifo or device.
    #[error("is a socket, fifo or device")]
    Special,
    /// In words: its name breaks a rule.
    #[error("has a name that cannot be sent: {0}")]
    NameText(Text),
    /// The folder it belongs into could not be made.
    #[error("its folder could not be made")]
    Parent,
    /// In words: something else is in its way.
    #[error("{0} is in its way")]
    InTheWayText(Text),
    /// There is too little space: so many bytes are needed, so many free.
    #[error("needs {needed} bytes of space, {free} are free")]
    Space {
        /// Bytes that are still to be stored for this file.
        needed: u64,
        /// Bytes that are free.
        free: u64,
    },
    /// Another session is writing the same file at the moment.
    #[error("is being received in another session")]
    InUse,
    /// In words: the receiver could not store it.
    #[error("could not be stored: {0}")]
    SystemText(Text),
    /// What arrived is not what was sent.
    #[error("arrived damaged")]
    Damaged,
    /// It is a link that leads out of the receive directory.
    #[error("is a link that leads out of the receiver's folder")]
    Outside,
    /// In words: it is a folder of which not everything could be removed that a mirror is to
    /// remove.
    #[error("not all that was to go could be removed: {0}")]
    NotRemovedText(Text),
    /// The sender could not read it.
    #[error("cannot be read: {0}")]
    Unreadable(ReadError),
    /// Its name breaks this rule of the protocol.
    #[error("has a name that cannot be sent: {0}")]
    Name(PathError),
    /// Something else is in its way: a file where a folder is to be, a link, a device.
    #[error("{0} is in its way")]
    InTheWay(Obstacle),
    /// The receiver's system refused.
    #[error("could not be stored: {0}")]
    System(SystemError),
    /// It is a folder of which not everything could be removed that a mirror is to remove.
    #[error("not all that was to go could be removed: {0}")]
    NotRemoved(SystemError),
    /// The receiver keeps no more in mind at once.
    #[error("could not be stored: {0}")]
    Limit(Limit),
    /// A file that the receiver has was changed by somebody else while it was compared.
    #[error("could not be stored: a file here changed meanwhile")]
    ChangedThere,
    /// The session was over before it could be stored.
    #[error("could not be stored: the session is over")]
    Ended,
    /// It needs more than is left of the receiver's quota.
    #[error("needs {needed} bytes, {left} are left of the quota")]
    Quota {
        /// Bytes that are still to be stored for this file.
        needed: u64,
        /// Bytes that are left of the quota.
        left: u64,
    },
    /// It is a folder of a mirror that would remove too much there, so that nothing is removed.
    #[error("nothing is removed there: {} of {} would go, and {objection}", count.would_go, count.there)]
    TooManyRemovals {
        /// What would go, of how many.
        count: RemovalCount,
        /// Why that is too much.
        objection: Objection,
    },
}

impl Why {
    /// How many bytes its words have.
    #[must_use]
    pub fn variable_bytes(&self) -> usize {
        match self {
            Self::UnreadableText(text)
            | Self::NameText(text)
            | Self::InTheWayText(text)
            | Self::NotRemovedText(text)
            | Self::SystemText(text) => text.as_str().len(),
            Self::Unreadable(error) => error.text_bytes(),
            Self::InTheWay(obstacle) => obstacle.text_bytes(),
            Self::System(error) | Self::NotRemoved(error) => error.text_bytes(),
            _ => 0,
        }
    }

    /// The receiver's system refused.
    #[must_use]
    pub fn system(error: &io::Error) -> Self {
        Self::System(error.into())
    }

    /// The sender's system refused.
    #[must_use]
    pub fn unreadable(error: &io::Error) -> Self {
        Self::Unreadable(error.into())
    }

    /// Whether its name is one that the receiver's file system does not take.
    #[must_use]
    pub fn is_name(&self) -> bool {
        matches!(
            self,
            Self::System(SystemError::NameTooLong | SystemError::InvalidName)
        )
    }

    /// Whether something else has its name.
    #[must_use]
    pub fn is_in_the_way(&self) -> bool {
        matches!(self, Self::InTheWay(_) | Self::InTheWayText(_))
    }
}

/// Why something is not sent that the user did not want to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
    /// It is a socket, fifo or device, which nobody named.
    Special,
}

/// How one entry ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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

/// What of an entry could not be kept where it is stored. Variants are appended, never reordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Attribute {
    /// Its permissions.
    Mode,
    /// Its time of modification.
    Time,
    /// That it is on disk when the session says that it is done: the file system does not bring
    /// files to disk when it is asked to.
    Sync,
}

/// What a file system did not keep of entries that are stored on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotKept {
    /// What.
    pub what: Attribute,
    /// Of how many entries.
    pub entries: u64,
    /// What the system said of the first.
    pub why: SystemError,
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

    /// Counts an entry that ended: of `size` bytes if it is a file, of which `held` did not travel.
    pub fn count(&mut self, outcome: &Outcome, is_file: bool, size: u64, held: u64) {
        match outcome {
            Outcome::Stored(_) | Outcome::Replaced => {
                self.stored += 1;
                self.files += u64::from(is_file);
                self.bytes += size;
                self.held_bytes += held;
                self.renamed += u64::from(matches!(outcome, Outcome::Stored(Some(_))));
                self.replaced += u64::from(matches!(outcome, Outcome::Replaced));
            }
            Outcome::Kept => self.kept += 1,
            Outcome::Have(_) => {
                self.have += 1;
                self.have_files += u64::from(is_file);
                self.have_bytes += size;
            }
            Outcome::Failed(_) => self.failed += 1,
        }
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
