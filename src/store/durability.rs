//! Durability: on which file systems a session stored something, what is on disk, and what a disk
//! may have lost.
//!
//! Must not take readable data for data on disk: after a failed write the system keeps serving its
//! copy in memory.
//!
//! A session that stores anything first leaves a mark, and removes it once everything is on disk
//! (see `marks.rs`). The mark lists every file system that the session stored on: the receive
//! folder's, and those mounted below it. Each is synced through a handle that was opened before the
//! session first stored on it, because the system reports a failed write once to each handle that
//! was open at the time.
//!
//! What the mark of an ended session means:
//! - The machine has restarted since: files changed after the mark are in doubt. What can be read
//!   is on disk, so the content decides.
//! - It has not, and nobody has synced since: a sync settles it, when the next session begins or
//!   ends.
//! - Its sync failed or was cut off: what was changed before is in doubt, its content proves
//!   nothing, and it is written again. Such a mark stays until it is too old.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use crate::model::digest::{CHUNK_SIZE, sha256};
use crate::model::outcome::Attribute;
use crate::model::relpath::RelPath;
use crate::sys::fs::{self, Dir, File, FileId, Stat};

use super::marks::{self, Mark, Marked, Record};
use super::not_kept::NotKeptCounts;
use super::state::{MARKS, existing_state, remove_if_there, sync_state, with_state};

pub(super) use super::marks::{Doubt, Suspects};

/// Writeback starts each time this many bytes are written: those of eight chunks.
const WRITEBACK: u64 = 8 * CHUNK_SIZE as u64;
/// How many file systems one session stores on at most: each takes an open handle.
const MAX_FILE_SYSTEMS: usize = 64;

/// A file system that a session may store on.
#[derive(Debug)]
pub(super) struct FileSystem {
    device: u64,
    /// A folder on it; `None` for the receive folder.
    path: Option<RelPath>,
    /// To sync through, if the session syncs.
    handle: Option<Dir>,
    /// Whether the session stored on it, and its mark says so.
    is_stored_on: AtomicBool,
}

/// What one session knows about what is on disk.
#[derive(Debug)]
pub(super) struct Durability {
    root: Dir,
    root_id: FileId,
    owner: [u8; 32],
    sync: bool,
    /// Whether each file is synced as it gets its name, because the system cannot sync a whole file
    /// system here.
    one_by_one: AtomicBool,
    file_systems: Mutex<Vec<Arc<FileSystem>>>,
    mark: Mutex<Option<Mark>>,
    suspects: OnceLock<Suspects>,
    /// The first failed sync: what it covered stays in doubt, whatever later syncs report.
    failed: Mutex<Option<io::Error>>,
    /// What could not be preserved of what was stored.
    pub(super) not_kept: NotKeptCounts,
}

impl Durability {
    /// For a session of `owner` in the receive folder `root`. `sync` says whether it syncs what it
    /// stores, or leaves that to the system.
    pub(super) fn new(root: &Dir, owner: [u8; 32], sync: bool) -> io::Result<Self> {
        let root_id = root.stat()?.id;
        let durability = Self {
            root: root.try_clone()?,
            root_id,
            owner,
            sync,
            one_by_one: AtomicBool::new(false),
            file_systems: Mutex::default(),
            mark: Mutex::default(),
            suspects: OnceLock::new(),
            failed: Mutex::default(),
            not_kept: NotKeptCounts::default(),
        };
        durability.file_system(root_id.device, root, None)?;
        Ok(durability)
    }

    /// The file system of a folder, before anything is stored there.
    pub(super) fn file_system(
        &self,
        device: u64,
        dir: &Dir,
        path: Option<&RelPath>,
    ) -> io::Result<Arc<FileSystem>> {
        let mut all = lock(&self.file_systems);
        if let Some(known) = all.iter().find(|known| known.device == device) {
            return Ok(known.clone());
        }
        if all.len() == MAX_FILE_SYSTEMS {
            return Err(io::Error::other("too many file systems are mounted here"));
        }
        if self.sync && !dir.syncs_whole_file_system() {
            // File systems that were used before are synced as a whole.
            self.one_by_one.store(true, Ordering::Release);
        }
        let new = Arc::new(FileSystem {
            device,
            path: path.cloned(),
            handle: match self.sync {
                true => Some(dir.open_again()?),
                false => None,
            },
            is_stored_on: AtomicBool::new(false),
        });
        all.push(new.clone());
        Ok(new)
    }

    /// Must be called before anything is created, changed or deleted on a file system.
    pub(super) fn store_on(&self, file_system: &FileSystem) -> io::Result<()> {
        // Set only once the mark says so.
        if file_system.is_stored_on.load(Ordering::Acquire) {
            return Ok(());
        }
        let mut mark = lock(&self.mark);
        if file_system.is_stored_on.load(Ordering::Acquire) {
            return Ok(());
        }
        let stored = Record::Stored {
            device: file_system.device,
            path: file_system.path.clone(),
        };
        let name = match &mut *mark {
            Some(mark) => mark.name(),
            none => {
                let made = with_state(&self.root, MARKS, |marks| {
                    Mark::leave(marks, self.mark_name(), self.owner)
                })?;
                sync_state(&self.root)?;
                none.insert(made).name()
            }
        };
        with_state(&self.root, MARKS, |marks| {
            marks::add(marks, name, std::slice::from_ref(&stored))
        })?;
        file_system.is_stored_on.store(true, Ordering::Release);
        Ok(())
    }

    fn mark_name(&self) -> String {
        let unique = sha256(&[
            &self.owner,
            &std::process::id().to_le_bytes(),
            &std::ptr::from_ref(self).addr().to_le_bytes(),
            format!("{:?}", std::time::SystemTime::now()).as_bytes(),
        ]);
        unique.to_string()[..32].to_owned()
    }

    /// Syncs what ended sessions stored, and finds out which of their files the disk may have lost.
    /// Call it before any entry is planned. It may take long.
    pub(super) fn begin(&self) -> io::Result<()> {
        let suspects = match existing_state(&self.root, MARKS)? {
            Some(dir) => {
                let ended = marks::ended(&dir, self.root_id.device)?;
                for mark in ended.iter().filter(|mark| mark.means_nothing()) {
                    remove_if_there(&dir, mark.name())?;
                }
                if self.sync && ended.iter().any(Marked::is_pending) {
                    // A failure concerns those sessions: their files are in doubt from here on.
                    let _ = self.sync_for(&dir, &ended);
                }
                marks::suspects(&dir, &self.root, self.root_id.device)?
            }
            None => Suspects::default(),
        };
        self.suspects.get_or_init(|| suspects);
        Ok(())
    }

    /// The files that a disk may have lost part of; `None` before [`Self::begin`].
    pub(super) fn suspects(&self) -> Option<&Suspects> {
        self.suspects.get()
    }

    /// What may be wrong with a file, whichever sender stored it.
    pub(super) fn doubt(&self, found: &Stat) -> Option<Doubt> {
        let suspicion = self.suspects()?.of(found, &self.owner)?;
        Some(suspicion.1)
    }

    /// Notes that a chunk of a file was written, or a part of one. Starts writing back the last of
    /// eight together with its neighbours, so that the sync at the end has little left to do.
    pub(super) fn wrote(&self, file: &File, offset: u64, bytes: u64) {
        let end = offset + bytes;
        if self.sync && bytes > 0 && end.is_multiple_of(WRITEBACK) {
            fs::start_writeback(file, end - WRITEBACK, WRITEBACK);
        }
    }

    /// Starts writing back a complete file that is about to replace another, so that waiting for it
    /// is short and many can be written back at once. Returns whether to wait for it.
    pub(super) fn begin_replacing(&self, file: &File, size: u64) -> bool {
        if self.sync {
            fs::start_writeback(file, 0, size);
        }
        self.sync
    }

    /// Must be called before a file gets its name. If it replaces another, this waits until the new
    /// file is on disk: some file systems would otherwise lose both in a crash.
    pub(super) fn before_naming(&self, file: &File, replaces: bool) -> io::Result<()> {
        match self.syncs_one_by_one() || (self.sync && replaces) {
            true => self.remember(self.sync_if_possible(file)),
            false => Ok(()),
        }
    }

    /// Notes it if the file system cannot sync single files.
    fn sync_if_possible(&self, file: &File) -> io::Result<()> {
        match file.sync_all() {
            Err(e) if fs::is_unsupported(&e) => {
                self.not_kept.note(Attribute::Sync, (&e).into());
                Ok(())
            }
            synced => synced,
        }
    }

    /// Whether [`Self::names_changed`] must be called.
    pub(super) fn syncs_one_by_one(&self) -> bool {
        self.one_by_one.load(Ordering::Acquire)
    }

    /// Notes that names in a folder were created, changed or deleted, or its time and mode were
    /// set.
    pub(super) fn names_changed(&self, dir: &Dir) -> io::Result<()> {
        match dir.sync() {
            // This file system cannot sync folders.
            Err(e) if fs::is_unsupported(&e) => Ok(()),
            synced => self.remember(synced),
        }
    }

    fn remember(&self, synced: io::Result<()>) -> io::Result<()> {
        synced.inspect_err(|e| {
            lock(&self.failed).get_or_insert_with(|| copy_of(e));
            self.note_failure();
        })
    }

    /// Records at once that a sync failed, for this session and other running ones: the system
    /// reports it once, and a session that is cut off can no longer do so.
    fn note_failure(&self) {
        let stored_on = self.stored_on();
        let lost: Vec<_> = stored_on.iter().map(|one| one.device).collect();
        // If that cannot be recorded, the session still fails at its end.
        if let Ok(Some(dir)) = existing_state(&self.root, MARKS) {
            if let Some(mark) = &*lock(&self.mark) {
                let _ = marks::add_failures(&dir, mark.name(), &lost, false);
            }
            let _ = marks::tell_others(&dir, self.root_id.device, &lost);
        }
    }

    /// Syncs everything stored so far.
    pub(super) fn sync(&self) -> io::Result<()> {
        if !self.sync {
            return Ok(());
        }
        for file_system in self.stored_on() {
            self.remember(sync_one(&file_system))?;
        }
        Ok(())
    }

    /// The file systems that this session stored on.
    fn stored_on(&self) -> Vec<Arc<FileSystem>> {
        let mut all = lock(&self.file_systems).clone();
        all.retain(|one| one.is_stored_on.load(Ordering::Acquire));
        all
    }

    /// Syncs everything, including what ended sessions stored, unless told not to, and ends the
    /// session. Fails if anything may not be on disk.
    pub(super) fn finish(&self) -> io::Result<()> {
        if !self.sync {
            return Ok(());
        }
        let Some(mark) = lock(&self.mark).take() else {
            let failed = lock(&self.failed).take();
            return failed.map_or_else(|| self.sync_running(&[]), Err);
        };
        let Some(dir) = existing_state(&self.root, MARKS)? else {
            // Somebody deleted the mark. Failures cannot be recorded any more, but can still be
            // reported.
            self.sync()?;
            return lock(&self.failed).take().map_or(Ok(()), Err);
        };
        // From here on only this session has heard of failed writes. If that cannot be recorded
        // because the disk is full, the session can still finish.
        let _ = marks::add(&dir, mark.name(), &[Record::Syncing]);
        let ended = marks::ended(&dir, self.root_id.device)?;
        let (mut lost, mut synced) = self.sync_for(&dir, &ended);
        let before = lock(&self.failed).take();
        if let Some(before) = before {
            lost = self.stored_on().iter().map(|one| one.device).collect();
            synced = Err(before);
        }
        if self.syncs_one_by_one() && synced.is_ok() {
            // Every other folder was synced when it was finished.
            synced = self.names_changed(&self.root);
        }
        match synced.and_then(|()| self.sync_running(mark.name())) {
            Ok(()) => mark.remove(&dir),
            Err(e) => {
                let _ = marks::add_failures(&dir, mark.name(), &lost, true);
                Err(e)
            }
        }
    }

    /// Syncs what running sessions have stored, except the one whose mark is `own`: files found
    /// here already may be theirs. Fails if one of them failed to sync.
    fn sync_running(&self, own: &[u8]) -> io::Result<()> {
        let Some(dir) = existing_state(&self.root, MARKS)? else {
            return Ok(());
        };
        let mut synced: Vec<_> = self.stored_on().iter().map(|one| one.device).collect();
        for mark in marks::running(&dir, self.root_id.device)? {
            if mark.name() == own {
                continue;
            }
            for (device, path) in mark.stored() {
                if !synced.contains(device) {
                    synced.push(*device);
                    self.sync_other(*device, path.as_ref())?;
                }
            }
            if mark.has_failed() {
                let what = "another session could not bring what it stored to disk";
                return Err(io::Error::other(what));
            }
        }
        Ok(())
    }

    /// Ends the session without syncing: the mark stays.
    pub(super) fn leave(&self) {
        drop(lock(&self.mark).take());
    }

    /// Syncs the file systems of this session and of ended ones, and settles the marks of the
    /// latter. Returns the devices that failed to sync, and the result for this session's own.
    fn sync_for(&self, marks_dir: &Dir, ended: &[Marked]) -> (Vec<u64>, io::Result<()>) {
        let mut failed = Vec::new();
        let mut result = Ok(());
        let own = self.stored_on();
        for file_system in &own {
            if let Err(e) = sync_one(file_system) {
                failed.push(file_system.device);
                result = result.and(Err(e));
            }
        }
        let pending = || ended.iter().filter(|mark| mark.is_pending());
        let mut synced: Vec<u64> = own.iter().map(|one| one.device).collect();
        for (device, path) in pending().flat_map(Marked::stored) {
            if synced.contains(device) {
                continue;
            }
            synced.push(*device);
            if self.sync_other(*device, path.as_ref()).is_err() {
                failed.push(*device);
            }
        }
        for mark in pending() {
            let lost = mark.stored_among(&failed);
            // If a mark stays, the next session looks at it again.
            let _ = match lost.is_empty() && !mark.has_failed() {
                true => remove_if_there(marks_dir, mark.name()),
                false => marks::add_failures(marks_dir, mark.name(), &lost, true),
            };
        }
        // Running sessions find out by themselves, unless they are killed before.
        if !failed.is_empty() {
            let _ = marks::tell_others(marks_dir, self.root_id.device, &failed);
        }
        (failed, result)
    }

    /// Syncs a file system that another session stored on.
    fn sync_other(&self, device: u64, path: Option<&RelPath>) -> io::Result<()> {
        let known = lock(&self.file_systems)
            .iter()
            .find(|known| known.device == device)
            .cloned();
        if let Some(known) = known {
            return sync_one(&known);
        }
        // It may have been unmounted meanwhile; then nobody heard of failed writes.
        marks::folder_on(&self.root, device, path)?.sync_file_system()
    }
}

fn sync_one(file_system: &FileSystem) -> io::Result<()> {
    match &file_system.handle {
        Some(handle) => handle.sync_file_system(),
        None => Ok(()),
    }
}

fn copy_of(error: &io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(code) => io::Error::from_raw_os_error(code),
        None => io::Error::new(error.kind(), error.to_string()),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_not_be_synced_once_fails_the_session_and_stays_in_doubt() {
        let temp = tempfile::tempdir().unwrap();
        let dir = Dir::open(temp.path()).unwrap();
        let begin = || {
            let session = Durability::new(&dir, [1; 32], true).unwrap();
            session.begin().unwrap();
            session
        };
        let session = begin();
        let device = session.root_id.device;
        let file_system = session.file_system(device, &dir, None).unwrap();
        session.store_on(&file_system).unwrap();
        let stored = dir.create_file(b"stored", 0o600).unwrap();
        session.before_naming(&stored, true).unwrap();
        let unsyncable = crate::sys::tests::unsyncable(&temp.path().join("stored"));
        let synced = session.before_naming(&unsyncable, false);
        assert_eq!(synced.is_err(), session.syncs_one_by_one());
        session.before_naming(&unsyncable, true).unwrap_err();
        session.finish().unwrap_err();
        for _ in 0..2 {
            let next = begin();
            let doubt = |file| next.doubt(&fs::stat(file).unwrap());
            assert_eq!(doubt(&stored), Some(Doubt::Unwritten));
            // File times come from a coarse clock.
            let later = dir.create_or_empty_file(b"later", 0o600).unwrap();
            let mut touched = (0..1_000_000).map(|_| {
                let now = fs::Timestamp::now();
                fs::set_mtime(&later, now).unwrap();
                doubt(&later)
            });
            assert!(touched.any(|doubt| doubt.is_none()));
        }
    }

    #[test]
    fn a_session_that_ends_well_leaves_nothing() {
        let temp = tempfile::tempdir().unwrap();
        let dir = Dir::open(temp.path()).unwrap();
        let session = Durability::new(&dir, [1; 32], true).unwrap();
        let file_system = session.file_systems.lock().unwrap()[0].clone();
        for _ in 0..2 {
            session.store_on(&file_system).unwrap();
        }
        let marks = existing_state(&dir, MARKS).unwrap().unwrap();
        assert_eq!(marks.list().unwrap().count(), 1);
        session.sync().unwrap();
        session.finish().unwrap();
        assert_eq!(marks.list().unwrap().count(), 0);
    }
}
