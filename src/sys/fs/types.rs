//! Types for files and folders, the same on every system.
//!
//! Must not name a system.

use std::time::{SystemTime, UNIX_EPOCH};

/// What something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// A regular file.
    File,
    /// A folder.
    Dir,
    /// A symbolic link.
    Link,
    /// A fifo, a socket, a device.
    Special,
}

/// What makes a thing the same one, whatever it is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId {
    /// The file system that it lies on.
    pub device: u64,
    /// Its number there.
    pub inode: u64,
}

/// A moment, in seconds since 1970 and nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp {
    /// Seconds; negative before 1970.
    pub seconds: i64,
    /// Nanoseconds, below a second.
    pub nanos: u32,
}

impl Timestamp {
    /// This moment, by this machine's clock.
    #[must_use]
    pub fn now() -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.unwrap_or_default();
        Self {
            seconds: i64::try_from(now.as_secs()).unwrap_or(i64::MAX),
            nanos: now.subsec_nanos(),
        }
    }
}

/// What the system says of something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    /// What it is.
    pub kind: FileKind,
    /// Which one it is.
    pub id: FileId,
    /// Its size, in bytes.
    pub size: u64,
    /// How many bytes it takes up on its disk.
    pub allocated: u64,
    /// How many names it has; none of what was removed.
    pub links: u64,
    /// Its permissions, with setuid, setgid and sticky.
    pub mode: u32,
    /// The user that it belongs to.
    pub user: u32,
    /// The group that it belongs to.
    pub group: u32,
    /// When its content was last changed, or what was set.
    pub mtime: Timestamp,
    /// When anything about it was last changed.
    pub ctime: Timestamp,
}

impl Stat {
    /// Whether it is a regular file.
    #[must_use]
    pub fn is_file(&self) -> bool {
        self.kind == FileKind::File
    }

    /// Whether it is a folder.
    #[must_use]
    pub fn is_dir(&self) -> bool {
        self.kind == FileKind::Dir
    }

    /// Whether it is a symbolic link.
    #[must_use]
    pub fn is_link(&self) -> bool {
        self.kind == FileKind::Link
    }

    /// Whether it is what was found `before` under the same name, or by the same handle. Some file
    /// systems make their numbers up, so that a thing has another one each time it is looked at:
    /// then it is the same one that has not changed.
    #[must_use]
    pub fn is_still(&self, before: &Self) -> bool {
        let state = |stat: &Self| (stat.id.device, stat.size, stat.mtime, stat.ctime);
        self.kind == before.kind && (self.id == before.id || state(self) == state(before))
    }
}

/// What a folder's list says of one name in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedName {
    /// The name.
    pub name: Vec<u8>,
    /// The number of what has it. Not on every file system the one that [`Stat`] has.
    pub inode: u64,
    /// What it is, where the list says.
    pub kind: Option<FileKind>,
}

/// How much a file system has left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FreeSpace {
    /// How many bytes this user can still write.
    pub bytes: u64,
    /// In how large pieces it gives them away, in bytes; 0 where it does not say.
    pub block: u64,
    /// Whether it has no room for one more file, whatever room it has for bytes.
    pub no_files: bool,
}

/// Who a lock keeps out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lock {
    /// Everybody else.
    Exclusive,
    /// Those who want it exclusively.
    Shared,
}

/// What came of trying to lock a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LockState {
    /// It is this handle's until it is closed.
    Ours,
    /// Another handle has it.
    Theirs,
    /// This file system has no locks: nobody can tell.
    Unknown,
}
