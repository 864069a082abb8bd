//! The wanted files of a session that have no outcome.
//!
//! Must not decide what becomes of a file: it finds files, gives each file its one outcome, and
//! reports progress.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::model::digest::CHUNK_SIZE;
use crate::model::entry::EntryId;
use crate::model::error::Result;
use crate::model::outcome::{Outcome, Why};
use crate::model::progress::Event;
use crate::store::Incoming;
use crate::wire::{ChunkHeader, FileVerified, limits};

use super::accounts::{Accounts, EndedEntry};
use super::file::WantedFile;
use super::open_files::OpenFiles;

/// A file that came as one chunk: nobody else has it any more.
#[derive(Debug)]
pub(super) struct WholeFile {
    pub(super) file: Arc<WantedFile>,
    pub(super) incoming: Arc<Incoming>,
}

/// A file of more than one chunk, and how many verified bytes the sender was told of.
type LargeFile = (Arc<WantedFile>, u64);

/// The wanted files of a session.
pub(super) struct WantedFiles {
    files: Mutex<HashMap<EntryId, Arc<WantedFile>>>,
    large: Mutex<HashMap<EntryId, LargeFile>>,
    /// Those that are open.
    pub(super) open: Arc<OpenFiles>,
    accounts: Arc<Accounts>,
}

impl WantedFiles {
    pub(super) fn new(open: Arc<OpenFiles>, accounts: Arc<Accounts>) -> Self {
        Self {
            files: Mutex::default(),
            large: Mutex::default(),
            open,
            accounts,
        }
    }

    fn files(&self) -> MutexGuard<'_, HashMap<EntryId, Arc<WantedFile>>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn large(&self) -> MutexGuard<'_, HashMap<EntryId, LargeFile>> {
        self.large.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One that has no outcome.
    pub(super) fn get(&self, entry: EntryId) -> Option<Arc<WantedFile>> {
        self.files().get(&entry).cloned()
    }

    /// Whether each file that is open waits for chunks, and none for a word about it.
    pub(super) fn all_open_miss_chunks(&self) -> bool {
        let files: Vec<_> = self.files().values().cloned().collect();
        let mut open = files.iter().filter_map(|file| file.misses_chunks());
        open.all(|misses| misses)
    }

    /// Takes up files.
    pub(super) fn add(&self, files: &[Arc<WantedFile>]) {
        let all = files.iter().map(|file| (file.entry, file.clone()));
        self.files().extend(all);
        files.iter().for_each(|file| self.watch(file));
    }

    /// Has it told how far a file is, where it is large.
    pub(super) fn watch(&self, file: &Arc<WantedFile>) {
        let size = file.size();
        if file.is_stream {
            // It is what its session is about, and has no size to measure it by.
            self.large().insert(file.entry, (file.clone(), 0));
        } else if size > u64::from(CHUNK_SIZE) {
            self.large().insert(file.entry, (file.clone(), 0));
            self.accounts.progress.event(&Event::FileStarted {
                session: self.accounts.session,
                entry: file.entry,
                path: &file.path,
                size,
                verified: &file.verified,
            });
        }
    }

    /// How far the large files are that have moved since it was last asked.
    pub(super) fn report(&self, list: &mut Vec<FileVerified>) {
        for (&entry, (file, told)) in self.large().iter_mut() {
            let bytes = file.verified.load(Ordering::Relaxed);
            if bytes != *told && list.len() < limits::MAX_VERIFIED {
                *told = bytes;
                list.push(FileVerified { entry, bytes });
            }
        }
    }

    /// Takes out a file that `chunk` is the whole of. None for one that is not needed (any more).
    pub(super) fn take_whole(&self, chunk: &ChunkHeader) -> Result<Option<WholeFile>> {
        let mut files = self.files();
        let Some(file) = files.get(&chunk.entry) else {
            drop(files);
            let what = "a chunk of what was not announced";
            let accounts = &self.accounts;
            return accounts.check_announced(chunk.entry, what).map(|()| None);
        };
        let incoming = file.take_whole(chunk);
        let incoming = incoming.map_err(|what| self.accounts.breach(what))?;
        let Some(incoming) = incoming else {
            return Ok(None);
        };
        let file = files.remove(&chunk.entry);
        Ok(file.map(|file| WholeFile { file, incoming }))
    }

    /// Fails a file, if it has not ended.
    pub(super) fn fail(&self, file: &WantedFile, why: Why) {
        if file.end() {
            self.outcome(file, Outcome::Failed(why), 0);
        }
    }

    /// Gives a file that has ended its one outcome.
    pub(super) fn outcome(&self, file: &WantedFile, outcome: Outcome, held_bytes: u64) {
        if self.files().remove(&file.entry).is_none() {
            return;
        }
        self.no_longer_large(file);
        if file.is_stream {
            let scanned = &self.accounts.counters.scanned;
            scanned.store(true, Ordering::Release);
        }
        let ended = EndedEntry {
            size: file.size(),
            verified: file.verified.load(Ordering::Relaxed),
            held_bytes,
            is_file: true,
        };
        self.ended(file, &ended, outcome);
    }

    /// One that was large may be small in its last attempt.
    fn no_longer_large(&self, file: &WantedFile) {
        if self.large().remove(&file.entry).is_some() && !file.is_stream {
            self.accounts.progress.event(&Event::FileEnded {
                session: self.accounts.session,
                entry: file.entry,
            });
        }
    }

    /// Gives a file that came as one chunk its one outcome.
    pub(super) fn whole_outcome(&self, whole: WholeFile, outcome: Outcome) {
        let WholeFile { file, incoming } = whole;
        let ended = EndedEntry {
            size: incoming.size(),
            is_file: true,
            ..EndedEntry::default()
        };
        // Its folder is finished before the outcome can be the last that is waited for.
        drop(incoming);
        if file.attempt() > 0 {
            self.no_longer_large(&file);
        }
        self.ended(&file, &ended, outcome);
    }

    fn ended(&self, file: &WantedFile, ended: &EndedEntry, outcome: Outcome) {
        self.accounts
            .outcome(file.entry, &file.path, ended, outcome);
    }

    /// Wakes whoever waits for something of a file.
    pub(super) fn wake_all(&self) {
        let files: Vec<_> = self.files().values().cloned().collect();
        for file in files {
            file.wake_all();
        }
        self.open.wake();
    }

    /// Forgets all that have no outcome.
    pub(super) fn clear(&self) {
        let files = std::mem::take(&mut *self.files());
        let large = std::mem::take(&mut *self.large());
        drop((files, large));
    }
}
