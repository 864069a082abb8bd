//! The folders that a walk has entered, as far as needed to notice later that something else took
//! their place: the roots, and mount points.
//!
//! Must not grow with the tree: other folders are not remembered.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::sys::fs::Stat;

/// How many folders are remembered.
const MAX_FOLDERS: usize = 16 * 1024;

/// Folders that one walk has listed: the roots, and folders on another file system than their
/// parent.
#[derive(Debug, Clone, Default)]
pub struct WalkedFolders(Arc<Mutex<HashMap<Vec<u8>, Stat>>>);

impl WalkedFolders {
    fn folders(&self) -> MutexGuard<'_, HashMap<Vec<u8>, Stat>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers the folder listed at a path. Returns false if there are too many.
    pub(super) fn add(&self, path: &[u8], stat: &Stat) -> bool {
        let mut folders = self.folders();
        let has_room = folders.len() < MAX_FOLDERS;
        if has_room {
            folders.insert(path.to_vec(), *stat);
        }
        has_room
    }

    /// The folder that was listed at a path, if it is remembered.
    pub(super) fn of(&self, path: &[u8]) -> Option<Stat> {
        self.folders().get(path).copied()
    }
}
