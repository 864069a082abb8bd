//! What was found under a name, what the system said, and what that means for an entry.
//!
//! Must not decide what happens next, and must not change anything.

use std::io;

use crate::model::entry::Time;
use crate::model::outcome::Why;
use crate::model::reason::Obstacle;
use crate::sys::fs::{self, Dir, File, FileKind, Stat, Timestamp};

/// The permissions that a sender decides; setuid, setgid and sticky are not among them.
pub(super) const SENDERS_BITS: u32 = 0o777;

/// Why an entry failed, from the system's error.
pub(super) fn why(error: &io::Error) -> Why {
    Why::system(error)
}

/// Why an entry failed that something else is in the way of.
pub(super) fn in_the_way(found: Option<&Stat>) -> Why {
    Why::InTheWay(match found.map(|found| found.kind) {
        None => Obstacle::Gone,
        Some(FileKind::File) => Obstacle::File,
        Some(FileKind::Dir) => Obstacle::Folder,
        Some(FileKind::Link) => Obstacle::Link,
        Some(FileKind::Special) => Obstacle::Special,
    })
}

/// Whether what was found can be replaced by a file or link.
pub(super) fn may_make_way(found: &Stat) -> bool {
    found.is_file() || found.is_link()
}

/// Whether a file has a time, as far as its file system can tell: some keep only so many
/// nanoseconds of it, FAT even two seconds.
pub(super) fn same_time(found: &Stat, mtime: Time) -> bool {
    const GRAINS: [u32; 5] = [1, 100, 1_000, 10_000_000, 1_000_000_000];
    let there = found.mtime;
    let cut = |grain: u32| Timestamp {
        seconds: mtime.seconds(),
        nanos: mtime.nanos() - mtime.nanos() % grain,
    };
    let even = Timestamp {
        seconds: mtime.seconds() & !1,
        nanos: 0,
    };
    GRAINS.iter().any(|&grain| there == cut(grain)) || there == even
}

/// A time as the system has it.
pub(super) fn timestamp(time: Time) -> Timestamp {
    Timestamp {
        seconds: time.seconds(),
        nanos: time.nanos(),
    }
}

/// Opens the file `name` in `dir` for reading; fails where it is none.
pub(super) fn open_file(dir: &Dir, name: &[u8]) -> io::Result<File> {
    let file = dir.open_file(name)?;
    match fs::stat(&file)?.is_file() {
        true => Ok(file),
        // What was a file when it was looked at may be a fifo now.
        false => Err(io::Error::other("no longer a file")),
    }
}
