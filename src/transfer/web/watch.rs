//! `DownloadWatch`: how many downloads run, and whether one has brought all that is shared.
//!
//! Must not end anything: the listener does.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// What is known of the downloads of a share. Clones know the same.
#[derive(Debug, Clone, Default)]
pub(super) struct DownloadWatch(Arc<WatchedDownloads>);

#[derive(Debug, Default)]
struct WatchedDownloads {
    running: AtomicUsize,
    /// How many bytes the first download of everything had.
    complete: Mutex<Option<u64>>,
}

impl DownloadWatch {
    /// One more runs, until what this gives is dropped.
    pub(super) fn begin(&self) -> RunningDownload {
        self.0.running.fetch_add(1, Ordering::AcqRel);
        RunningDownload(self.0.clone())
    }

    /// Whether any runs.
    pub(super) fn is_at_work(&self) -> bool {
        self.0.running.load(Ordering::Acquire) > 0
    }

    /// How many bytes a download of everything had that has ended well since the last call.
    pub(super) fn take_complete(&self) -> Option<u64> {
        let mut complete = self
            .0
            .complete
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        complete.take()
    }
}

/// A download that runs.
#[derive(Debug)]
pub(super) struct RunningDownload(Arc<WatchedDownloads>);

impl RunningDownload {
    /// It has brought all that is shared.
    pub(super) fn brought_all(&self, bytes: u64) {
        let mut complete = self
            .0
            .complete
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *complete = Some(bytes);
    }
}

impl Drop for RunningDownload {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::AcqRel);
    }
}
