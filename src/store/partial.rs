//! Partials: large files that are being received, under a hidden name beside their final place.
//!
//! Must not be believed: what a partial holds counts only after it has been hashed again. So
//! there is no journal; a record below `.xfer/partials` says whose a partial is and where, for
//! finding those that nobody comes back for.

use std::collections::HashSet;
use std::io::{self, Write};
use std::sync::Arc;

use cap_std::fs::{Dir, File, OpenOptions};
use rustix::fs::{AtFlags, FileType, OFlags};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::model::entry::Time;
use crate::model::relpath::RelPath;
use crate::wire::{decode, encode};

use super::folder::{Folder, file_type, open_dir, open_file, stat};
use super::lock::{Locked, lock, look};
use super::name::partial_name;

/// Where the records of partials lie, below the state directory.
pub(super) const PARTIALS: &str = "partials";
/// A partial that nobody has written to for so long is removed, in seconds: 30 days.
const MAX_AGE: i64 = 30 * 24 * 3600;
/// The longest record, in bytes.
const MAX_RECORD_BYTES: u64 = 64 * 1024;
/// How often opening is tried again when a partial is renamed at that moment.
const TRIES: usize = 8;

/// The permissions of a partial.
pub(super) const MODE: rustix::fs::Mode = rustix::fs::Mode::from_raw_mode(0o600);

/// What a record says.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    version: u32,
    owner: [u8; 32],
    path: RelPath,
    size: u64,
    mtime: Time,
}

const VERSION: u32 = 1;

/// An open, locked partial.
#[derive(Debug)]
pub(super) struct Partial {
    pub(super) file: File,
    /// Whether it was made just now, so that what has not been written reads as zero.
    pub(super) fresh: bool,
}

/// Why a partial could not be opened.
pub(super) enum OpenError {
    /// Another session has it.
    Busy,
    Io(io::Error),
}

impl From<io::Error> for OpenError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::WouldBlock => Self::Busy,
            _ => Self::Io(error),
        }
    }
}

impl From<Errno> for OpenError {
    fn from(error: Errno) -> Self {
        io::Error::from(error).into()
    }
}

/// Opens and locks the partial `id` in `folder`, or makes it, with `size` bytes. `record` is
/// called before it is made.
pub(super) fn open(
    folder: &Folder,
    id: &str,
    size: u64,
    record: impl Fn() -> io::Result<()>,
) -> Result<Partial, OpenError> {
    let name = partial_name(id);
    for _ in 0..TRIES {
        let (file, fresh) = match open_existing(folder, &name)? {
            Some(file) => (file, false),
            None => {
                record()?;
                match folder.with(|dir| create(dir, &name)) {
                    Ok(file) => (file, true),
                    Err(e) if e.kind() == io::ErrorKind::AlreadyExists => continue,
                    Err(e) => return Err(e.into()),
                }
            }
        };
        // On a file system without locks, one session at a time is up to the user.
        if lock(&file)? == Locked::Theirs {
            return Err(OpenError::Busy);
        }
        // Between opening and locking, who had the lock may have given the file its final name.
        // That file must not be written to any more.
        let ours = rustix::fs::fstat(&file)?;
        let there = folder.with(|dir| stat(dir, name.as_bytes()))?;
        if there.is_some_and(|there| (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino)) {
            rustix::fs::ftruncate(&file, size)?;
            return Ok(Partial { file, fresh });
        }
    }
    Err(OpenError::Busy)
}

/// Opens what is under a partial's name, if it is a file that only this program has; anything
/// else that was put there is removed.
fn open_existing(folder: &Folder, name: &str) -> io::Result<Option<File>> {
    folder.with(|dir| match open_named(dir, name) {
        Ok(file) => {
            let stat = rustix::fs::fstat(&file)?;
            if file_type(&stat) == FileType::RegularFile && stat.st_nlink == 1 {
                return Ok(Some(file));
            }
            rustix::fs::unlinkat(dir, name, AtFlags::empty())?;
            Ok(None)
        }
        Err(Errno::NOENT) => Ok(None),
        Err(Errno::LOOP | Errno::NXIO | Errno::ACCESS) => {
            rustix::fs::unlinkat(dir, name, AtFlags::empty())?;
            Ok(None)
        }
        Err(e) => Err(e.into()),
    })
}

/// Opens what has a name, never through a link. One that a session gave the mode of its file, and
/// was killed before it could rename it, gets its own mode back where that is in the way.
fn open_named(dir: &Dir, name: &str) -> rustix::io::Result<File> {
    let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let open = || rustix::fs::openat(dir, name, flags, rustix::fs::Mode::empty());
    let opened = match open() {
        Err(Errno::ACCESS) if unlock(dir, name)? => open(),
        other => other,
    };
    opened.map(|fd| File::from_std(fd.into()))
}

/// Lets a partial be written to again that can only be read; says whether it did.
fn unlock(dir: &Dir, name: &str) -> rustix::io::Result<bool> {
    let Ok(file) = open_file(dir, name.as_bytes()) else {
        return Ok(false);
    };
    if rustix::fs::fstat(&file)?.st_nlink != 1 {
        return Ok(false);
    }
    // While somebody has it, it is about to be renamed.
    match lock(&file) {
        Ok(Locked::Theirs) => Err(Errno::WOULDBLOCK),
        Ok(_) => rustix::fs::fchmod(&file, MODE).map(|()| true),
        Err(_) => Ok(false),
    }
}

fn create(dir: &Dir, name: &str) -> io::Result<File> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fd = rustix::fs::openat(dir, name, flags, MODE)?;
    Ok(File::from_std(fd.into()))
}

/// Writes the record of a partial.
pub(super) fn write_record(
    records: &Dir,
    id: &str,
    owner: &[u8; 32],
    path: &RelPath,
    size: u64,
    mtime: Time,
) -> io::Result<()> {
    let record = Record {
        version: VERSION,
        owner: *owner,
        path: path.clone(),
        size,
        mtime,
    };
    let mut bytes = Vec::new();
    encode(&record, &mut bytes).map_err(io::Error::other)?;
    let mut options = OpenOptions::new();
    records
        .open_with(id, options.write(true).create(true).truncate(true))?
        .write_all(&bytes)
}

/// Reads the record of a partial, if it is one of this version and whole; with when it was written,
/// in seconds.
fn read_record(records: &Dir, id: &str) -> io::Result<(Option<Record>, i64)> {
    use std::io::Read;
    let mut bytes = Vec::new();
    let file = records.open(id)?;
    let written = rustix::fs::fstat(&file)?.st_mtime;
    file.take(MAX_RECORD_BYTES).read_to_end(&mut bytes)?;
    let record = decode::<Record>(&bytes).ok();
    Ok((record.filter(|record| record.version == VERSION), written))
}

/// The partials that there are records of.
pub(super) fn all(records: &Dir) -> io::Result<HashSet<String>> {
    let mut ids = HashSet::new();
    for entry in records.entries()? {
        ids.extend(entry?.file_name().into_string());
    }
    Ok(ids)
}

/// The paths of the files that sessions are receiving at the moment.
pub(super) fn being_received(root: &Dir, records: &Dir) -> io::Result<HashSet<RelPath>> {
    let mut paths = HashSet::new();
    for entry in records.entries()? {
        let Ok(id) = entry?.file_name().into_string() else {
            continue;
        };
        // One that is gone meanwhile is not being received any more.
        if let Ok(Some(path)) = receives(root, records, &id) {
            paths.insert(path);
        }
    }
    Ok(paths)
}

/// The path of the partial `id`, if a session has it.
fn receives(root: &Dir, records: &Dir, id: &str) -> io::Result<Option<RelPath>> {
    let (Some(record), _) = read_record(records, id)? else {
        return Ok(None);
    };
    let Some(dir) = folder_of(root, &record.path)? else {
        return Ok(None);
    };
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let none = rustix::fs::Mode::empty();
    let fd = rustix::fs::openat(&dir, partial_name(id), flags, none)?;
    let is_free = matches!(look(&fd), Ok(Locked::Ours));
    Ok((!is_free).then_some(record.path))
}

/// Removes the partial `id` in `folder`, unless a session has it; says whether it is gone.
pub(super) fn remove(folder: &Folder, id: &str) -> io::Result<bool> {
    let name = partial_name(id);
    let file = match open_existing(folder, &name) {
        Ok(Some(file)) => file,
        Ok(None) => return Ok(true),
        Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(false),
        Err(e) => return Err(e),
    };
    if lock(&file)? == Locked::Theirs {
        return Ok(false);
    }
    folder.with(|dir| Ok(rustix::fs::unlinkat(dir, &name, AtFlags::empty())?))?;
    Ok(true)
}

/// Removes the record of a partial that is no more.
pub(super) fn remove_record(records: &Dir, id: &str) -> io::Result<()> {
    match records.remove_file(id) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Removes partials that nobody has written to for a long time, and records without a partial.
pub(super) fn remove_stale(root: &Dir, records: &Dir) -> io::Result<()> {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Realtime).tv_sec;
    for entry in records.entries()? {
        let Ok(id) = entry?.file_name().into_string() else {
            continue;
        };
        // One that cannot be looked at now is left for another time.
        if let Ok(true) = is_stale(root, records, &id, now) {
            remove_record(records, &id)?;
        }
    }
    Ok(())
}

fn is_stale(root: &Dir, records: &Dir, id: &str, now: i64) -> io::Result<bool> {
    let old = |time: i64| now.saturating_sub(time) > MAX_AGE;
    let (record, written) = read_record(records, id)?;
    let Some(record) = record else {
        // Cut short by a crash, or of another version: nothing is known of its partial.
        return Ok(old(written));
    };
    let Some(dir) = folder_of(root, &record.path)? else {
        return Ok(true);
    };
    let name = partial_name(id);
    let Some(found) = stat(&dir, name.as_bytes())? else {
        // It may be about to be made: a record comes first.
        return Ok(old(written));
    };
    // One that was about to get its name has the time of its source already.
    if !old(written.max(found.st_mtime)) {
        return Ok(false);
    }
    match open_named(&dir, &name) {
        Ok(file) if lock(&file)? == Locked::Theirs => return Ok(false),
        // A link, or what cannot be opened, nobody writes to.
        Ok(_) | Err(Errno::ACCESS | Errno::LOOP | Errno::NXIO) => {}
        Err(e) => return Err(e.into()),
    }
    rustix::fs::unlinkat(&dir, &name, AtFlags::empty())?;
    Ok(true)
}

/// The folder that a path leads to the last name of, if it is there.
pub(super) fn folder_of(root: &Dir, path: &RelPath) -> io::Result<Option<Dir>> {
    let mut dir = root.try_clone()?;
    let mut names: Vec<&[u8]> = path.components().collect();
    names.pop();
    for name in names {
        dir = match open_dir(&dir, name) {
            Ok(dir) => dir,
            // Nothing, or something else, is there.
            Err(e) => match e.raw_os_error().map(Errno::from_raw_os_error) {
                Some(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(None),
                _ => return Err(e),
            },
        };
    }
    Ok(Some(dir))
}

/// Whether there is something under the name of a partial, and how much of it takes up space.
pub(super) fn allocated(folder: &Arc<Folder>, id: &str) -> io::Result<Option<u64>> {
    let name = partial_name(id);
    let found = folder.with(|dir| stat(dir, name.as_bytes()))?;
    Ok(found.map(|stat| {
        u64::try_from(stat.st_blocks)
            .unwrap_or(0)
            .saturating_mul(512)
    }))
}
