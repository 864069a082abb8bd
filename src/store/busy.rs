//! What sessions are at: shared by all receive directories of one receiver, because one can lie
//! in another.
//!
//! Must not go by paths, which are relative to one of them.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::fs::Stat;

/// What makes a folder the same one, whatever it is called.
pub(super) type Identity = (u64, u64);

pub(super) fn identity(stat: &Stat) -> Identity {
    #[allow(clippy::unnecessary_cast, clippy::cast_sign_loss)]
    (stat.st_dev as u64, stat.st_ino as u64)
}

/// The folders that sessions have entered, and the larger files that they are to receive, and
/// how many sessions have each.
#[derive(Debug, Default)]
pub(super) struct Busy {
    folders: Counted<Identity>,
    files: Counted<(Identity, Vec<u8>)>,
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

    /// Whether a session is to receive a file.
    pub(super) fn has_file(&self, folder: Identity, name: &[u8]) -> bool {
        self.files.has(&(folder, name.to_vec()))
    }
}
