//! Partials: large files being received, under a hidden name beside their final place.
//!
//! Must not be believed: what a partial holds counts only after it has been hashed again. So there
//! is no journal; a record below `.xfer/partials` says whose a partial is and where, for finding
//! those that nobody comes back for. Nor is one used that another user made, or that others could
//! read or write while it was received: theirs stays as it is, and this user's gets another name.

use std::collections::HashSet;
use std::io::{self, Write};

use serde::{Deserialize, Serialize};

use crate::model::entry::{Mode, Time};
use crate::model::relpath::RelPath;
use crate::sys::fs::{self, Dir, File, LockState, Stat, Timestamp};
use crate::wire::{decode, encode};

use super::durability::Doubt;
use super::folder::Folder;
use super::found::open_file;
use super::name::{partial_ids, partial_name};
use super::owned::{OTHERS, is_ours, is_shared, not_ours};
use super::state::{PARTIALS, existing_state, lock, look, remove_if_there, with_state};

/// A partial that nobody has written to for so long is removed, in seconds: 30 days.
const MAX_AGE: i64 = 30 * 24 * 3600;
/// The longest record, in bytes.
const MAX_RECORD_BYTES: u64 = 64 * 1024;
/// How often opening is tried again when a partial is renamed at that moment.
const TRIES: usize = 8;

/// The permissions of a partial.
pub(super) const MODE: u32 = 0o600;

/// What a record says.
#[derive(Debug, Serialize, Deserialize)]
struct PartialRecord {
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
    /// What its name is made of.
    pub(super) id: String,
}

impl Partial {
    pub(super) fn name(&self) -> String {
        partial_name(&self.id)
    }

    /// Fails where others may rename what is in its folder, and something else has its name now.
    pub(super) fn check_name(&self, folder: &Folder) -> io::Result<()> {
        let name = self.name();
        folder.with(|dir| {
            if !is_shared(&dir.stat()?) {
                return Ok(());
            }
            let there = dir.stat_at(name.as_bytes())?;
            let ours = fs::stat(&self.file)?;
            match there.is_some_and(|there| dir.is_still(&there, &ours)) {
                true => Ok(()),
                false => Err(io::Error::other(
                    "its partial was deleted during the transfer",
                )),
            }
        })
    }
}

/// Why a partial could not be opened.
pub(super) enum OpenError {
    /// Another session has it.
    InUse,
    /// It is another user's.
    NotOurs(io::Error),
    Io(io::Error),
}

impl From<io::Error> for OpenError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::WouldBlock => Self::InUse,
            _ => Self::Io(error),
        }
    }
}

/// Which of the names that a partial can have is free, or has one of this user's, and what has it;
/// fails where other users have all of them.
pub(super) fn find(
    folder: &Folder,
    owner: &[u8; 32],
    path: &RelPath,
) -> io::Result<(String, Option<Stat>)> {
    let mut others = Err(io::ErrorKind::NotFound.into());
    for id in partial_ids(owner, path) {
        let name = partial_name(&id);
        let found = folder.with(|dir| {
            let found = dir.stat_at(name.as_bytes())?;
            Ok(found.map(|found| (is_ours(dir, &found), found)))
        });
        match found? {
            Some((false, found)) => others = Err(not_ours(&name, &found)),
            found => return Ok((id, found.map(|(_, found)| found))),
        }
    }
    others
}

/// A partial that an earlier session left.
#[derive(Debug, Clone, Copy)]
pub(super) struct EarlierPartial {
    pub(super) partial: Stat,
    /// When its record was written, before it was made, in seconds.
    pub(super) began: i64,
}

/// What an earlier session left of a file below `root`, if that can be said.
pub(super) fn unfinished(
    root: &Dir,
    folder: &Folder,
    owner: &[u8; 32],
    path: &RelPath,
) -> Option<EarlierPartial> {
    let (id, partial) = find(folder, owner, path).ok()?;
    let records = existing_state(root, PARTIALS).ok()??;
    let (_, began) = read_record(&records, &id).ok()?;
    partial.map(|partial| EarlierPartial { partial, began })
}

/// A file that is to have a partial.
pub(super) struct PartialOf<'a> {
    /// The receive directory.
    pub(super) root: &'a Dir,
    pub(super) folder: &'a Folder,
    /// Who sends it.
    pub(super) owner: &'a [u8; 32],
    pub(super) path: &'a RelPath,
    pub(super) size: u64,
    pub(super) mtime: Time,
    pub(super) mode: Mode,
}

impl PartialOf<'_> {
    /// Opens and locks its partial, or makes it; its record first.
    pub(super) fn open(&self) -> Result<Partial, OpenError> {
        let [first, second] = partial_ids(self.owner, self.path);
        match self.open_as(first) {
            Err(OpenError::NotOurs(_)) => self.open_as(second),
            opened => opened,
        }
    }

    fn open_as(&self, id: String) -> Result<Partial, OpenError> {
        let record = || {
            with_state(self.root, PARTIALS, |records| {
                write_record(records, &id, self.owner, self.path, self.size, self.mtime)
            })
        };
        match open(self.folder, &id, self.size, self.mode, record) {
            Ok((file, fresh)) => Ok(Partial { file, fresh, id }),
            Err(error) => {
                if matches!(look_at(self.folder, &id), Ok(None)) {
                    // It is no record of anything.
                    let remove = |records: &Dir| remove_record(records, &id);
                    let _ = with_state(self.root, PARTIALS, remove);
                }
                Err(error)
            }
        }
    }
}

/// Opens and locks the partial `id` in `folder`, or makes it, with `size` bytes. `record` is
/// called before it is made. Says whether it was. One that others than those who `mode` allows to
/// could read or write is made anew.
fn open(
    folder: &Folder,
    id: &str,
    size: u64,
    mode: Mode,
    record: impl Fn() -> io::Result<()>,
) -> Result<(File, bool), OpenError> {
    let name = partial_name(id);
    for _ in 0..TRIES {
        let (file, fresh) = match open_existing(folder, &name)? {
            UnderName::Ours(file) => (file, false),
            UnderName::Other(found) => return Err(OpenError::NotOurs(not_ours(&name, &found))),
            UnderName::Nothing => {
                record()?;
                match folder.with(|dir| dir.create_file(name.as_bytes(), MODE)) {
                    Ok(file) => (file, true),
                    Err(e) if e.kind() == io::ErrorKind::AlreadyExists => continue,
                    Err(e) => return Err(e.into()),
                }
            }
        };
        // On a file system without locks, one session at a time is up to the user.
        if lock(&file)? == LockState::Theirs {
            return Err(OpenError::InUse);
        }
        // Between opening and locking, who had the lock may have given the file its final name.
        // That file must not be written to any more.
        let ours = fs::stat(&file)?;
        let is_there = folder.with(|dir| {
            let there = dir.stat_at(name.as_bytes())?;
            Ok(there.is_some_and(|there| dir.is_still(&there, &ours)))
        });
        if !is_there? {
            continue;
        }
        if !fresh && was_exposed(&file, &ours, mode)? {
            folder.with(|dir| dir.remove_file(name.as_bytes()))?;
            continue;
        }
        if let Err(e) = file.set_len(size) {
            if fresh {
                // As where the file system has no files of that size.
                folder.with(|dir| dir.remove_file(name.as_bytes()))?;
            }
            return Err(e.into());
        }
        return Ok((file, fresh));
    }
    Err(OpenError::InUse)
}

/// Whether others could open a partial, who may not open what becomes of it; they may still have
/// it open. From now on they cannot. Not where its file system knows no such permissions.
fn was_exposed(file: &File, found: &Stat, mode: Mode) -> io::Result<bool> {
    let exposed = |found: &Stat| found.mode & OTHERS & !mode.bits();
    if exposed(found) == 0 {
        return Ok(false);
    }
    Ok(fs::set_mode(file, MODE).is_ok() && exposed(&fs::stat(file)?) == 0)
}

/// What has the name of a partial.
enum UnderName {
    Nothing,
    /// A file that only this program has.
    Ours(File),
    /// Something of another user.
    Other(Stat),
}

/// Whether something could not be opened because it is no file, or not this user's.
fn is_something_else(error: &io::Error) -> bool {
    fs::is_no_file(error) || fs::is_denied(error) || error.kind() == io::ErrorKind::IsADirectory
}

/// Opens what is under a partial's name, if it is a file that only this program has. Anything else
/// that this user put there is removed; what another one put there stays.
fn open_existing(folder: &Folder, name: &str) -> io::Result<UnderName> {
    let name = name.as_bytes();
    folder.with(|dir| {
        let found = match open_named(dir, name) {
            Ok(file) => {
                let found = fs::stat(&file)?;
                if found.is_file() && found.links <= 1 && is_ours(dir, &found) {
                    return Ok(UnderName::Ours(file));
                }
                Some(found)
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => None,
            Err(e) if is_something_else(&e) => dir.stat_at(name)?,
            Err(e) => return Err(e),
        };
        match found {
            None => return Ok(UnderName::Nothing),
            Some(found) if !is_ours(dir, &found) => return Ok(UnderName::Other(found)),
            Some(_) => remove_if_there(dir, name)?,
        }
        Ok(UnderName::Nothing)
    })
}

/// Opens what has a name, never through a link. One that a session gave the mode of its file, and
/// was killed before it could rename it, gets its own mode back where that is in the way.
fn open_named(dir: &Dir, name: &[u8]) -> io::Result<File> {
    match dir.open_file_rw(name) {
        Err(e) if fs::is_denied(&e) && unlock(dir, name)? => dir.open_file_rw(name),
        other => other,
    }
}

/// Lets a partial be written to again that can only be read; says whether it did.
fn unlock(dir: &Dir, name: &[u8]) -> io::Result<bool> {
    let Ok(file) = open_file(dir, name) else {
        return Ok(false);
    };
    let found = fs::stat(&file)?;
    if found.links > 1 || !is_ours(dir, &found) {
        return Ok(false);
    }
    // While somebody has it, it is about to be renamed.
    match lock(&file) {
        Ok(LockState::Theirs) => Err(io::ErrorKind::WouldBlock.into()),
        Ok(_) => Ok(fs::set_mode(&file, found.mode | MODE).is_ok()),
        Err(_) => Ok(false),
    }
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
    let record = PartialRecord {
        version: VERSION,
        owner: *owner,
        path: path.clone(),
        size,
        mtime,
    };
    let mut bytes = Vec::new();
    encode(&record, &mut bytes).map_err(io::Error::other)?;
    records
        .create_or_empty_file(id.as_bytes(), MODE)?
        .write_all(&bytes)
}

/// Reads the record of a partial, if it is one of this version and whole; with when it was written,
/// in seconds.
fn read_record(records: &Dir, id: &str) -> io::Result<(Option<PartialRecord>, i64)> {
    use std::io::Read;
    let mut bytes = Vec::new();
    let file = open_file(records, id.as_bytes())?;
    let written = fs::stat(&file)?.mtime.seconds;
    file.take(MAX_RECORD_BYTES).read_to_end(&mut bytes)?;
    let record = decode::<PartialRecord>(&bytes).ok();
    Ok((record.filter(|record| record.version == VERSION), written))
}

/// The partials that there are records of.
pub(super) fn all(records: &Dir) -> io::Result<HashSet<String>> {
    let mut ids = HashSet::new();
    for entry in records.list()? {
        ids.extend(String::from_utf8(entry?.name));
    }
    Ok(ids)
}

/// The paths of the files that sessions are receiving at the moment.
pub(super) fn being_received(root: &Dir, records: &Dir) -> io::Result<HashSet<RelPath>> {
    let mut paths = HashSet::new();
    for entry in records.list()? {
        let Ok(id) = String::from_utf8(entry?.name) else {
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
    let file = dir.open_file(partial_name(id).as_bytes())?;
    let is_free = matches!(look(&file), Ok(LockState::Ours));
    Ok((!is_free).then_some(record.path))
}

/// Removes the partial `id` in `folder`, unless a session has it; says whether it is gone.
pub(super) fn remove(folder: &Folder, id: &str) -> io::Result<bool> {
    let name = partial_name(id);
    let file = match open_existing(folder, &name) {
        Ok(UnderName::Ours(file)) => file,
        Ok(UnderName::Nothing) => return Ok(true),
        Ok(UnderName::Other(found)) => return Err(not_ours(&name, &found)),
        Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(false),
        Err(e) => return Err(e),
    };
    if lock(&file)? == LockState::Theirs {
        return Ok(false);
    }
    folder.with(|dir| dir.remove_file(name.as_bytes()))?;
    Ok(true)
}

/// Removes the record of a partial that is no more.
pub(super) fn remove_record(records: &Dir, id: &str) -> io::Result<()> {
    remove_if_there(records, id.as_bytes())
}

/// Removes partials that nobody has written to for a long time, and records without a partial.
pub(super) fn remove_stale(root: &Dir, records: &Dir) -> io::Result<()> {
    let now = Timestamp::now().seconds;
    for entry in records.list()? {
        let Ok(id) = String::from_utf8(entry?.name) else {
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
    let Some(found) = dir.stat_at(name.as_bytes())? else {
        // It may be about to be made: a record comes first.
        return Ok(old(written));
    };
    if !is_ours(&dir, &found) {
        return Ok(old(written));
    }
    // One that was about to get its name has the time of its source already.
    if !old(written.max(found.mtime.seconds)) {
        return Ok(false);
    }
    match open_named(&dir, name.as_bytes()) {
        Ok(file) if lock(&file)? == LockState::Theirs => return Ok(false),
        // A link, or what cannot be opened, nobody writes to.
        Err(e) if !is_something_else(&e) => return Err(e),
        _ => {}
    }
    dir.remove_file(name.as_bytes())?;
    Ok(true)
}

/// The folder that a path leads to the last name of, if it is there.
pub(super) fn folder_of(root: &Dir, path: &RelPath) -> io::Result<Option<Dir>> {
    let mut dir = root.try_clone()?;
    let mut names: Vec<&[u8]> = path.components().collect();
    names.pop();
    for name in names {
        dir = match dir.open_dir(name) {
            Ok(dir) => dir,
            // Nothing, or something else, is there.
            Err(e) if e.kind() == io::ErrorKind::NotFound || fs::is_not_a_dir(&e) => {
                return Ok(None);
            }
            Err(e) => return Err(e),
        };
    }
    Ok(Some(dir))
}

/// What is under the name of a partial, if anything is.
fn look_at(folder: &Folder, id: &str) -> io::Result<Option<Stat>> {
    let name = partial_name(id);
    folder.with(|dir| dir.stat_at(name.as_bytes()))
}

/// Whether one that was found can be gone on with. One that is in doubt is removed: what can be read
/// of it may be in memory alone, and would not be written again.
pub(super) fn can_resume(
    folder: &Folder,
    id: &str,
    found: &Stat,
    doubt: impl Fn(&Stat) -> Option<Doubt>,
) -> io::Result<bool> {
    if doubt(found) == Some(Doubt::Unwritten) {
        remove(folder, id)?;
        return Ok(false);
    }
    Ok(true)
}
