//! `DownloadWatch`: how many downloads run, and whether one has brought all that is shared.
//!
//! Must not end anything: the listener does.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What is known of the downloads of a share. Clones know the same.
#[derive(Debug, Clone, Default)]
pub(super) struct DownloadWatch(Arc<AtomicUsize>);

impl DownloadWatch {
    /// One more runs, until what this gives is dropped.
    pub(super) fn begin(&self) -> RunningDownload {
        self.0.fetch_add(1, Ordering::AcqRel);
        RunningDownload(self.0.clone())
    }

    /// Whether any runs.
    pub(super) fn is_at_work(&self) -> bool {
        self.0.load(Ordering::Acquire) > 0
    }
}

/// A download that runs.
#[derive(Debug)]
pub(super) struct RunningDownload(Arc<AtomicUsize>);

impl Drop for RunningDownload {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// How many bytes of all that is shared were handed to a connection; none where that was not all.
/// What is handed over has not come through yet: only the end of the connection shows that.
#[derive(Debug, Clone, Default)]
pub(super) struct HandedOver(Rc<Cell<Option<u64>>>);

impl HandedOver {
    /// All of it was.
    pub(super) fn put(&self, bytes: u64) {
        self.0.set(Some(bytes));
    }

    /// What was handed over since the last call.
    pub(super) fn take(&self) -> Option<u64> {
        self.0.take()
    }
}
