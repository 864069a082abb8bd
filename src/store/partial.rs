//! Partials: large files being received, under a hidden name beside their final place.
//!
//! Must not be trusted: what a partial holds counts only after it has been hashed again, so there
//! is no journal. A record below `.xfer/partials` says whose a partial is and where, to find
//! abandoned ones. A partial that another user made, or that others could read or write meanwhile,
//! is not used: theirs stays as it is, and this user's gets another name.

use std::collections::HashSet;
use std::io;

use crate::model::entry::{Mode, Time};
use crate::model::relpath::RelPath;
use crate::sys::fs::{self, Dir, File, LockState, Stat, Timestamp};

use super::durability::Doubt;
use super::folder::Folder;
use super::found::open_file;
use super::name::{partial_ids, partial_name};
use super::owned::{OTHERS, is_ours, is_shared, not_ours};
use super::partial_record::{read_record, write_record};
use super::state::{PARTIALS, existing_state, lock, look, remove_if_there, with_state};

/// The age, in seconds, after which an unwritten partial is deleted: 30 days.
const MAX_AGE: i64 = 30 * 24 * 3600;
/// How often opening is tried again if a partial is renamed at that moment.
const TRIES: usize = 8;

pub(super) use super::partial_record::MODE;

/// An open, locked partial.
#[derive(Debug)]
pub(super) struct Partial {
    pub(super) file: File,
    /// Whether it is new, so that unwritten parts read as zeros.
    pub(super) fresh: bool,
    /// The part of its name that identifies it.
    pub(super) id: String,
}

impl Partial {
    pub(super) fn name(&self) -> String {
        partial_name(&self.id)
    }

    /// Fails if others may rename files in its folder and its name no longer leads to it.
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
    /// Another user owns it.
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

/// Finds the first of a partial's possible names that is free or used by this user, and what has
/// it. Fails if other users have all of them.
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
    /// When its record was written, before the partial itself, in seconds since 1970.
    pub(super) began: i64,
}

/// What an earlier session left of a file below `root`, if that is known.
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

/// A file that needs a partial.
pub(super) struct PartialOf<'a> {
    /// The receive folder.
    pub(super) root: &'a Dir,
    pub(super) folder: &'a Folder,
    /// The sender's fingerprint.
    pub(super) owner: &'a [u8; 32],
    pub(super) path: &'a RelPath,
    pub(super) size: u64,
    pub(super) mtime: Time,
    pub(super) mode: Mode,
}

impl PartialOf<'_> {
    /// Opens and locks its partial, or creates it after its record.
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
                    // The record has no partial.
                    let remove = |records: &Dir| remove_record(records, &id);
                    let _ = with_state(self.root, PARTIALS, remove);
                }
                Err(error)
            }
        }
    }
}

/// Opens and locks the partial `id` in `folder`, or creates it with `size` bytes, calling `record`
/// first. Also returns whether it is new. Creates it anew if users that `mode` does not allow could
/// read or write it.
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
        // Without locks in the file system, the user must run one session at a time.
        if lock(&file)? == LockState::Theirs {
            return Err(OpenError::InUse);
        }
        // Between opening and locking, the previous holder may have given the file its final name.
        // Then it must not be written to.
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
        if let Err(e) = fs::set_size(&file, size) {
            if fresh {
                // For example, the file system may not support files of that size.
                folder.with(|dir| dir.remove_file(name.as_bytes()))?;
            }
            return Err(e.into());
        }
        return Ok((file, fresh));
    }
    Err(OpenError::InUse)
}

/// Whether others could open a partial although they may not open the finished file; they may still
/// have it open. Takes that permission away. False where the file system has no such permissions.
fn was_exposed(file: &File, found: &Stat, mode: Mode) -> io::Result<bool> {
    let exposed = |found: &Stat| found.mode & OTHERS & !mode.bits();
    if exposed(found) == 0 {
        return Ok(false);
    }
    Ok(fs::set_mode(file, MODE).is_ok() && exposed(&fs::stat(file)?) == 0)
}

/// What is at the name of a partial.
enum UnderName {
    Nothing,
    /// A file that only xfer has.
    Ours(File),
    /// Something that another user owns.
    Other(Stat),
}

/// Whether opening failed because it is not a file, or not this user's.
fn is_something_else(error: &io::Error) -> bool {
    fs::is_no_file(error) || fs::is_denied(error) || error.kind() == io::ErrorKind::IsADirectory
}

/// Opens what has a partial's name, if it is a file that only xfer has. Deletes anything else of
/// this user; leaves what belongs to another user.
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

/// Opens a name, never through a link. If a session set a partial's final mode and was killed
/// before the rename, restores the partial's mode where that prevents opening it.
fn open_named(dir: &Dir, name: &[u8]) -> io::Result<File> {
    match dir.open_file_rw(name) {
        Err(e) if fs::is_denied(&e) && unlock(dir, name)? => dir.open_file_rw(name),
        other => other,
    }
}

/// Makes a read-only partial writable again; returns whether it did.
fn unlock(dir: &Dir, name: &[u8]) -> io::Result<bool> {
    let Ok(file) = open_file(dir, name) else {
        return Ok(false);
    };
    let found = fs::stat(&file)?;
    if found.links > 1 || !is_ours(dir, &found) {
        return Ok(false);
    }
    // While another session holds it, it is about to be renamed.
    match lock(&file) {
        Ok(LockState::Theirs) => Err(io::ErrorKind::WouldBlock.into()),
        Ok(_) => Ok(fs::set_mode(&file, found.mode | MODE).is_ok()),
        Err(_) => Ok(false),
    }
}

/// The IDs of all partials that have a record.
pub(super) fn all(records: &Dir) -> io::Result<HashSet<String>> {
    let mut ids = HashSet::new();
    for entry in records.list()? {
        ids.extend(String::from_utf8(entry?.name));
    }
    Ok(ids)
}

/// The paths of the files that sessions are receiving now.
pub(super) fn being_received(root: &Dir, records: &Dir) -> io::Result<HashSet<RelPath>> {
    let mut paths = HashSet::new();
    for entry in records.list()? {
        let Ok(id) = String::from_utf8(entry?.name) else {
            continue;
        };
        // A partial that is gone by now is no longer being received.
        if let Ok(Some(path)) = receives(root, records, &id) {
            paths.insert(path);
        }
    }
    Ok(paths)
}

/// The path of the partial `id`, if a session is receiving it.
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

/// Deletes the partial `id` in `folder`, unless a session has it; returns whether it is gone.
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

/// Deletes the record of a partial that is gone.
pub(super) fn remove_record(records: &Dir, id: &str) -> io::Result<()> {
    remove_if_there(records, id.as_bytes())
}

/// Deletes abandoned partials, older than [`MAX_AGE`], and records without a partial.
pub(super) fn remove_stale(root: &Dir, records: &Dir) -> io::Result<()> {
    let now = Timestamp::now().seconds;
    for entry in records.list()? {
        let Ok(id) = String::from_utf8(entry?.name) else {
            continue;
        };
        // What cannot be examined now waits until next time.
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
        // Cut short by a crash, or of another version: its partial is unknown.
        return Ok(old(written));
    };
    let Some(dir) = folder_of(root, &record.path)? else {
        return Ok(true);
    };
    let name = partial_name(id);
    let Some(found) = dir.stat_at(name.as_bytes())? else {
        // The partial may be about to be created: its record comes first.
        return Ok(old(written));
    };
    if !is_ours(&dir, &found) {
        return Ok(old(written));
    }
    // A partial that was about to be renamed already has the time of its source.
    if !old(written.max(found.mtime.seconds)) {
        return Ok(false);
    }
    match open_named(&dir, name.as_bytes()) {
        Ok(file) if lock(&file)? == LockState::Theirs => return Ok(false),
        // Nobody is writing to a link, or to what cannot be opened.
        Err(e) if !is_something_else(&e) => return Err(e),
        _ => {}
    }
    dir.remove_file(name.as_bytes())?;
    Ok(true)
}

/// The folder that contains the last name of a path, if it is there.
pub(super) fn folder_of(root: &Dir, path: &RelPath) -> io::Result<Option<Dir>> {
    let mut dir = root.try_clone()?;
    let mut names: Vec<&[u8]> = path.components().collect();
    names.pop();
    for name in names {
        dir = match dir.open_dir(name) {
            Ok(dir) => dir,
            // Nothing is there, or not a folder.
            Err(e) if e.kind() == io::ErrorKind::NotFound || fs::is_not_a_dir(&e) => {
                return Ok(None);
            }
            Err(e) => return Err(e),
        };
    }
    Ok(Some(dir))
}

/// What has a partial's name, if anything does.
fn look_at(folder: &Folder, id: &str) -> io::Result<Option<Stat>> {
    let name = partial_name(id);
    folder.with(|dir| dir.stat_at(name.as_bytes()))
}

/// Whether a partial can be resumed. Deletes one in doubt: what can be read of it may be in memory
/// alone, and would not be written again.
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
