//! What sessions are at: shared by all receive directories of one receiver, because one can lie
//! in another.
//!
//! Must not go by paths, which are relative to one of them.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::fs::Stat;

use super::mark::ctime;

/// What makes a folder the same one, whatever it is called.
pub(super) type Identity = (u64, u64);

pub(super) fn identity(stat: &Stat) -> Identity {
    #[allow(clippy::unnecessary_cast, clippy::cast_sign_loss)]
    (stat.st_dev as u64, stat.st_ino as u64)
}

/// How many folders are remembered that a session left unfinished.
const MAX_UNFINISHED: usize = 64 * 1024;

/// The folders that sessions have entered, and the larger files that they are to receive, and
/// how many sessions have each.
#[derive(Debug, Default)]
pub(super) struct Busy {
    folders: Counted<Identity>,
    files: Counted<(Identity, Vec<u8>)>,
    unfinished: Mutex<HashMap<Identity, Unfinished>>,
}

/// A folder that a session made, and did not come to give its time and permissions.
#[derive(Debug, PartialEq, Eq)]
struct Unfinished {
    owner: [u8; 32],
    /// When it was left. What was changed since may be somebody else's.
    changed: (i64, i64),
}

#[derive(Debug)]
struct Counted<T>(Mutex<HashMap<T, usize>>);

impl<T> Default for Counted<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: Eq + Hash> Counted<T> {
    fn lock(&self) -> MutexGuard<'_, HashMap<T, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, key: T) {
        *self.lock().entry(key).or_default() += 1;
    }

    fn remove(&self, key: &T) {
        let mut all = self.lock();
        if let Some(count) = all.get_mut(key) {
            *count -= 1;
            if *count == 0 {
                all.remove(key);
            }
        }
    }

    fn has(&self, key: &T) -> bool {
        self.lock().contains_key(key)
    }
}

impl Busy {
    pub(super) fn enter(&self, folder: Identity) {
        self.folders.add(folder);
    }

    pub(super) fn leave(&self, folder: Identity) {
        self.folders.remove(&folder);
    }

    /// Whether a session is in a folder.
    pub(super) fn has_folder(&self, folder: Identity) -> bool {
        self.folders.has(&folder)
    }

    pub(super) fn begin(&self, folder: Identity, name: &[u8]) {
        self.files.add((folder, name.to_vec()));
    }

    pub(super) fn end(&self, folder: Identity, name: &[u8]) {
        self.files.remove(&(folder, name.to_vec()));
    }

    fn unfinished(&self) -> MutexGuard<'_, HashMap<Identity, Unfinished>> {
        self.unfinished
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers a folder that its sender's session left unfinished, so that the next one can
    /// finish it.
    pub(super) fn leave_unfinished(&self, owner: [u8; 32], folder: &Stat) {
        let mut unfinished = self.unfinished();
        if unfinished.len() == MAX_UNFINISHED {
            // Nobody has come back for most of them.
            unfinished.clear();
        }
        let changed = ctime(folder);
        unfinished.insert(identity(folder), Unfinished { owner, changed });
    }

    /// Whether a folder is one that a session of this sender left unfinished, and nobody has
    /// touched since. It is then this session's to finish.
    pub(super) fn take_unfinished(&self, owner: [u8; 32], folder: &Stat) -> bool {
        let changed = ctime(folder);
        let mut unfinished = self.unfinished();
        let key = identity(folder);
        let is_left = unfinished.get(&key) == Some(&Unfinished { owner, changed });
        is_left && unfinished.remove(&key).is_some()
    }

    /// Whether a session is to receive a file.
    pub(super) fn has_file(&self, folder: Identity, name: &[u8]) -> bool {
        self.files.has(&(folder, name.to_vec()))
    }
}
