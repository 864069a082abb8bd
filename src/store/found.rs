//! What was found under a name, what the system reported, and what that means for an entry.
//!
//! Must not decide what happens next, and must not change anything.

use std::io;

use crate::model::entry::Time;
use crate::model::outcome::Why;
use crate::model::reason::Obstacle;
use crate::sys::fs::{self, Dir, File, FileKind, Stat, Timestamp};

/// The permission bits that a sender decides; setuid, setgid and sticky are not among them.
pub(super) const SENDERS_BITS: u32 = 0o777;

/// Converts the system's error into the reason why an entry failed.
pub(super) fn why(error: &io::Error) -> Why {
    Why::system(error)
}

/// Why an entry failed if something else is in its way.
pub(super) fn in_the_way(found: Option<&Stat>) -> Why {
    Why::InTheWay(match found.map(|found| found.kind) {
        None => Obstacle::Gone,
        Some(FileKind::File) => Obstacle::File,
        Some(FileKind::Dir) => Obstacle::Folder,
        Some(FileKind::Link) => Obstacle::Link,
        Some(FileKind::Special) => Obstacle::Special,
    })
}

/// Whether a file or link may replace what was found.
pub(super) fn may_make_way(found: &Stat) -> bool {
    found.is_file() || found.is_link()
}

/// Whether a file has a time, as precisely as its file system keeps it: some round down to 100 ns,
/// 1 µs, 10 ms or 1 s, and FAT to 2 s.
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

/// A time in the system's form.
pub(super) fn timestamp(time: Time) -> Timestamp {
    Timestamp {
        seconds: time.seconds(),
        nanos: time.nanos(),
    }
}

/// Opens the file `name` in `dir` for reading; fails if it is not a file.
pub(super) fn open_file(dir: &Dir, name: &[u8]) -> io::Result<File> {
    let file = dir.open_file(name)?;
    match fs::stat(&file)?.is_file() {
        true => Ok(file),
        // A file may have been replaced by a FIFO since it was examined.
        false => Err(io::Error::other("no longer a file")),
    }
}
