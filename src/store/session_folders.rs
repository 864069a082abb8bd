//! What the folders of one session share: their owner, how many are kept open, and which of them
//! failed.
//!
//! Must not open any folder.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::model::outcome::Why;
use crate::model::relpath::RelPath;
use crate::sys::host;

use super::clash::Folding;
use super::durability::Durability;
use super::in_use::InUse;

/// How many folders one session keeps open; more are opened each time they are used.
const MAX_OPEN_FOLDERS: usize = 256;
/// The folders of all sessions may take one in so many of this process's file descriptors.
const PART_OF_DESCRIPTORS: usize = 8;

/// How many folders all sessions of this process keep open.
static ALL_OPEN: AtomicUsize = AtomicUsize::new(0);

/// A folder whose time or mode could not be set, or whose surplus could not be deleted. Each is
/// reported once.
#[derive(Debug)]
pub struct FailedFolder {
    /// Its path.
    pub path: RelPath,
    /// Whether this session created it.
    pub fresh: bool,
    /// Why it failed.
    pub why: Why,
}

/// What the folders of one session share: their owner, how many are kept open, and which of them
/// failed.
#[derive(Debug)]
pub(super) struct SessionFolders {
    pub(super) owner: [u8; 32],
    pub(super) in_use: Arc<InUse>,
    pub(super) folding: Folding,
    pub(super) durability: Arc<Durability>,
    open: AtomicUsize,
    failed: Mutex<Vec<FailedFolder>>,
}

impl SessionFolders {
    pub(super) fn new(
        owner: [u8; 32],
        in_use: Arc<InUse>,
        folding: Folding,
        durability: Arc<Durability>,
    ) -> Self {
        Self {
            owner,
            in_use,
            folding,
            durability,
            open: AtomicUsize::new(0),
            failed: Mutex::default(),
        }
    }

    /// Whether one more folder may be kept open; if so, counts it.
    pub(super) fn keep_open(&self) -> bool {
        let more = |most: usize| move |n: usize| (n < most).then_some(n + 1);
        let count = |counter: &AtomicUsize, most| {
            let counted = counter.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more(most));
            counted.is_ok()
        };
        if !count(&self.open, MAX_OPEN_FOLDERS) {
            return false;
        }
        let kept = count(&ALL_OPEN, host::limit_of_open() / PART_OF_DESCRIPTORS);
        if !kept {
            self.open.fetch_sub(1, Ordering::Relaxed);
        }
        kept
    }

    /// Notes that a folder that was kept open is closed.
    pub(super) fn closed(&self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
        ALL_OPEN.fetch_sub(1, Ordering::Relaxed);
    }

    pub(super) fn add_failed(&self, failed: FailedFolder) {
        let mut all = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        all.push(failed);
    }

    pub(super) fn take_failed(&self) -> Vec<FailedFolder> {
        std::mem::take(&mut self.failed.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
