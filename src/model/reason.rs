//! Reasons for failures, as data: what the system reported, what is in the way, what a peer does
//! not support.
//!
//! Must not make sentences: [`std::fmt::Display`] is short here, for logs and for peers that
//! predate these types. All of them travel: append variants, never reorder them.

use std::io::{self, ErrorKind};

use serde::{Deserialize, Serialize};

use crate::model::text::Text;
use crate::sys::error::{Meaning, meaning};

/// A system error, in terms that every system has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum SystemError {
    /// This user may not do that.
    #[error("permission denied")]
    PermissionDenied,
    /// The file system is full.
    #[error("no space left on the disk")]
    NoSpace,
    /// The user has used up a quota.
    #[error("disk quota exceeded")]
    QuotaExceeded,
    /// The file system cannot be written to.
    #[error("read-only file system")]
    ReadOnly,
    /// The name is too long for the file system.
    #[error("its name is too long here")]
    NameTooLong,
    /// The file system cannot hold the name.
    #[error("this file system cannot hold its name")]
    InvalidName,
    /// The disk, or what stands for it, failed.
    #[error("I/O error")]
    Io,
    /// Too many files are open.
    #[error("too many open files")]
    TooManyOpenFiles,
    /// The system or the file system cannot do that.
    #[error("not supported")]
    Unsupported,
    /// It is not there.
    #[error("no such file or directory")]
    NotFound,
    /// It exists already.
    #[error("file exists")]
    AlreadyExists,
    /// It is not a folder.
    #[error("not a directory")]
    NotADirectory,
    /// It is a folder.
    #[error("is a directory")]
    IsADirectory,
    /// A folder is not empty.
    #[error("directory not empty")]
    DirectoryNotEmpty,
    /// The file system does not take files of that size.
    #[error("file too large")]
    FileTooLarge,
    /// It is in use.
    #[error("device or resource busy")]
    InUse,
    /// Links lead in a circle, or there are too many of them.
    #[error("too many levels of symbolic links")]
    LinkLoop,
    /// There is no memory.
    #[error("out of memory")]
    OutOfMemory,
    /// It took too long.
    #[error("timed out")]
    TimedOut,
    /// Nobody reads what is written.
    #[error("nobody reads it any more")]
    NobodyReads,
    /// The file system has room for bytes, but for no more files.
    #[error("the disk has room for bytes, but for no more files")]
    NoFilesLeft,
    /// Something else, in the system's words.
    #[error("{0}")]
    Other(Text),
}

/// Why the sender could not read an entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum ReadError {
    /// The system refused.
    #[error(transparent)]
    System(#[from] SystemError),
    /// A link to follow leads nowhere.
    #[error("a link that leads nowhere")]
    DanglingLink,
    /// A link to follow leads to a folder that contains it.
    #[error("a loop of links")]
    LinkLoop,
    /// It was a file when it was announced, and is no longer one.
    #[error("it is no file any more")]
    NotAFile,
    /// Reading it gives more or less than its size, each time.
    #[error("it is not as long as the system says")]
    WrongSize,
    /// It is larger than a file can be.
    #[error("a file that is too large")]
    TooLarge,
    /// It is a link whose target is empty or too long.
    #[error("a link whose target is empty or too long")]
    LinkTarget,
}

/// What is in the way of an entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Obstacle {
    /// A file.
    #[error("a file")]
    File,
    /// A folder.
    #[error("a folder")]
    Folder,
    /// A symbolic link.
    #[error("a link")]
    Link,
    /// Something else: a socket, fifo or device.
    #[error("a special file")]
    Special,
    /// Something that was gone when it was examined.
    #[error("something that is gone now")]
    Gone,
    /// Another entry, whose name is the same on this file system.
    #[error("{0}, which is the same name here,")]
    SameName(Text),
    /// Files beside it, under every name to try.
    #[error("each of {0} files of that name")]
    AllNames(u32),
}

/// A limit of the receiver that prevents storing an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Limit {
    /// On the bytes of the names of files that are being received.
    #[error("too many long names at once")]
    Names,
    /// On the names in folders that are mirrored.
    #[error("too many names to mirror it")]
    MirroredNames,
    /// On the files begun and not finished.
    #[error("too many files at once")]
    Files,
    /// What its user agreed to.
    #[error("it is more than its user was asked about")]
    Offered,
}

/// The part of an offer that a receiver does not support.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Unsupported {
    /// Chunks of this many bytes.
    #[error("chunks of {0} bytes")]
    ChunkSize(u32),
    /// No lane at all.
    #[error("an offer without a lane")]
    NoLanes,
    /// A dry run to standard output.
    #[error("a dry run, of what goes to standard output")]
    DryRunToOutput,
}

/// Why a receiver cannot store anything.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum StoreFault {
    /// Its system refused.
    #[error(transparent)]
    System(#[from] SystemError),
    /// It cannot read its list of known machines.
    #[error("its list of known machines cannot be read")]
    PeersUnreadable,
    /// It cannot write its list of known machines.
    #[error("it cannot write down whom it knows")]
    PeersUnwritable,
    /// Its receive folder was removed.
    #[error("its folder was removed, so that it must be started again")]
    FolderRemoved,
}

/// Why a side ended the session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum AbortReason {
    /// Its user stopped it.
    #[error("its user stopped it")]
    Stopped,
    /// The other side broke the protocol, in this way.
    #[error("the other side broke the protocol: {0}")]
    Protocol(Text),
    /// More than one file was offered to a receiver that takes one.
    #[error("only a single file, and no folder, goes to standard output")]
    NotOneFile,
    /// The sender knows another machine by the name that the receiver gives itself.
    #[error("this sender knows another machine by the same name")]
    NameTaken,
    /// The code was not typed in time.
    #[error("the code was not typed in time")]
    CodeTimeout,
    /// The lane belongs to no session.
    #[error("there is no such session")]
    NoSession,
    /// A file or folder that the session needs failed.
    #[error("{0}")]
    File(SystemError),
    /// Stored files could not be written to disk.
    #[error("what was received could not be brought to disk: {0}")]
    Sync(SystemError),
    /// The system refused to start a thread.
    #[error("cannot start a thread: {0}")]
    Thread(SystemError),
    /// Something else, in its words.
    #[error("{0}")]
    Other(Text),
    /// The sender may no longer send to it.
    #[error("this sender may not send there any more")]
    Unpaired,
    /// Nothing came, and another session needed the place.
    #[error("nothing was sent for a long time, and others needed the place")]
    Idle,
}

impl From<&io::Error> for SystemError {
    fn from(error: &io::Error) -> Self {
        if let Some(meaning) = meaning(error) {
            return match meaning {
                Meaning::NameTooLong => Self::NameTooLong,
                Meaning::InvalidName => Self::InvalidName,
                Meaning::Io => Self::Io,
                Meaning::TooManyOpenFiles => Self::TooManyOpenFiles,
                Meaning::LinkLoop => Self::LinkLoop,
            };
        }
        // It was made by this program, with words that say more than its kind.
        if error.get_ref().is_some() {
            return Self::Other(Text::new(words(error)));
        }
        match error.kind() {
            ErrorKind::PermissionDenied => Self::PermissionDenied,
            ErrorKind::StorageFull => Self::NoSpace,
            ErrorKind::QuotaExceeded => Self::QuotaExceeded,
            ErrorKind::ReadOnlyFilesystem => Self::ReadOnly,
            ErrorKind::InvalidFilename => Self::InvalidName,
            ErrorKind::Unsupported => Self::Unsupported,
            ErrorKind::NotFound => Self::NotFound,
            ErrorKind::AlreadyExists => Self::AlreadyExists,
            ErrorKind::NotADirectory => Self::NotADirectory,
            ErrorKind::IsADirectory => Self::IsADirectory,
            ErrorKind::DirectoryNotEmpty => Self::DirectoryNotEmpty,
            ErrorKind::FileTooLarge => Self::FileTooLarge,
            ErrorKind::ResourceBusy | ErrorKind::ExecutableFileBusy => Self::InUse,
            ErrorKind::OutOfMemory => Self::OutOfMemory,
            ErrorKind::TimedOut => Self::TimedOut,
            ErrorKind::BrokenPipe => Self::NobodyReads,
            _ => Self::Other(Text::new(words(error))),
        }
    }
}

impl From<&io::Error> for ReadError {
    fn from(error: &io::Error) -> Self {
        Self::System(error.into())
    }
}

impl SystemError {
    pub(crate) fn text_bytes(&self) -> usize {
        match self {
            Self::Other(text) => text.as_str().len(),
            _ => 0,
        }
    }
}

impl ReadError {
    pub(crate) fn text_bytes(&self) -> usize {
        match self {
            Self::System(error) => error.text_bytes(),
            _ => 0,
        }
    }
}

impl Obstacle {
    pub(crate) fn text_bytes(&self) -> usize {
        match self {
            Self::SameName(text) => text.as_str().len(),
            _ => 0,
        }
    }
}

impl AbortReason {
    /// What a peer says that has only words for it. Those that mean something to this side are
    /// taken for what they mean.
    #[must_use]
    pub fn from_text(text: Text) -> Self {
        [Self::Stopped, Self::NotOneFile]
            .into_iter()
            .find(|known| known.to_string() == text.as_str())
            .unwrap_or(Self::Other(text))
    }
}

/// The words of an error without the "(os error 13)" that only a programmer reads.
fn words(error: &io::Error) -> String {
    let text = error.to_string();
    let words = match text.find(" (os error ") {
        Some(at) => &text[..at],
        None => &text,
    };
    // Some systems write whole sentences.
    let words = words.trim_end_matches('.');
    let mut chars = words.chars();
    match (chars.next(), chars.next()) {
        // "Connection refused" reads better in the middle of a sentence in lower case; "RPC
        // failed" does not.
        (Some(first), Some(second)) if second.is_lowercase() => {
            first.to_lowercase().chain(words.chars().skip(1)).collect()
        }
        _ => words.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::tests::Sample;

    #[test]
    fn errors_have_a_kind_or_words_without_a_number() {
        let of = |sample: Sample| SystemError::from(&sample.error());
        assert_eq!(of(Sample::Denied), SystemError::PermissionDenied);
        assert_eq!(of(Sample::QuotaExceeded), SystemError::QuotaExceeded);
        assert_eq!(of(Sample::InvalidName), SystemError::InvalidName);
        assert_eq!(of(Sample::Io), SystemError::Io);
        let SystemError::Other(refused) = of(Sample::Refused) else {
            panic!("it has a kind")
        };
        let refused = refused.as_str();
        assert!(refused.contains("refused"), "{refused}");
        assert!(!refused.contains(|c: char| c.is_ascii_digit()), "{refused}");
        let sentence = io::Error::other("Invalid function. (os error 1)");
        assert_eq!(words(&sentence), "invalid function");
    }
}
