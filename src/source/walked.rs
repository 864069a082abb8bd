//! The folders that a walk has entered, as far as needed to notice later that something else took
//! their place: the roots, and mount points.
//!
//! Must not grow with the tree: other folders are not remembered.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::sys::fs::Stat;

/// How many folders are remembered.
const MAX_FOLDERS: usize = 16 * 1024;

/// The folders that one walk has listed: the roots, and those on other file systems than what they
/// are in.
#[derive(Debug, Clone, Default)]
pub struct WalkedFolders(Arc<Mutex<HashMap<Vec<u8>, Stat>>>);

impl WalkedFolders {
    fn folders(&self) -> MutexGuard<'_, HashMap<Vec<u8>, Stat>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers what is listed as the folder at a path. False where there are too many.
    pub(super) fn add(&self, path: &[u8], stat: &Stat) -> bool {
        let mut folders = self.folders();
        let has_room = folders.len() < MAX_FOLDERS;
        if has_room {
            folders.insert(path.to_vec(), *stat);
        }
        has_room
    }

    /// What was listed as the folder at a path, if that is remembered.
    pub(super) fn of(&self, path: &[u8]) -> Option<Stat> {
        self.folders().get(path).copied()
    }
}
