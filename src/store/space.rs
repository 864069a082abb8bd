//! Free space: what was promised to files that are under way, and what is left, of the disk and of
//! a quota.
//!
//! Must not rely on a promise for longer than the moment: others use the same file system. It keeps
//! transfers that cannot end from starting; a write that fails all the same is handled where it
//! fails.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use walkdir::WalkDir;

use crate::model::outcome::Why;
use crate::model::reason::SystemError;
use crate::sys::fs::{self, Dir};

/// How many bytes may be promised before the file system is asked again.
const UNCHECKED: u64 = 64 << 20;

/// Space that has been promised and not been written yet, over all sessions of a store.
#[derive(Debug, Default)]
pub(super) struct Space {
    promised: AtomicU64,
    /// How many bytes may be promised still without asking.
    credit: AtomicU64,
    /// How many bytes all files in the receive directory may take up.
    quota: OnceLock<u64>,
    /// How many they take up and will, by when that was last measured and all that was promised
    /// since.
    used: AtomicU64,
    /// One measures at a time.
    measuring: Mutex<()>,
}

impl Space {
    /// Sets the quota, once.
    pub(super) fn limit(&self, quota: u64) {
        self.quota.get_or_init(|| quota);
    }

    pub(super) fn has_quota(&self) -> bool {
        self.quota.get().is_some()
    }

    /// What is left of the quota, if there is one.
    pub(super) fn left(&self) -> Option<u64> {
        let used = self.used.load(Ordering::Relaxed);
        self.quota.get().map(|quota| quota.saturating_sub(used))
    }

    /// Has `measure` find out how many bytes the files take up. What is taken while it does counts
    /// beside that, whether it comes upon it or not: rather twice than not at all.
    pub(super) fn measure(&self, measure: impl FnOnce() -> u64) {
        let _alone = self
            .measuring
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let before = self.used.load(Ordering::Relaxed);
        let promised = self.promised.load(Ordering::Relaxed);
        let found = measure().saturating_add(promised);
        let and_since = |used: u64| match used.checked_sub(before) {
            Some(taken) => found.saturating_add(taken),
            None => found.saturating_sub(before - used),
        };
        let add = |used| Some(and_since(used));
        let _ = self
            .used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
    }

    /// Takes `bytes` of the quota, if it has them.
    pub(super) fn take(&self, bytes: u64) -> Result<(), Why> {
        let Some(quota) = self.quota.get() else {
            return Ok(());
        };
        let more = |used: u64| used.checked_add(bytes).filter(|used| used <= quota);
        let taken = self
            .used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        taken.map(drop).map_err(|used| Why::Quota {
            needed: bytes,
            left: quota.saturating_sub(used),
        })
    }

    /// Promises `bytes`, if the quota and the file system below `dir` have them.
    pub(super) fn promise(&self, dir: &Dir, bytes: u64) -> Result<(), Why> {
        self.take(bytes)?;
        let promised = self.promised.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let credit = self
            .credit
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |c| {
                c.checked_sub(bytes)
            });
        if credit.is_ok() {
            return Ok(());
        }
        // A file system that cannot say how much it has is asked by writing to it.
        let Ok(left) = dir.space() else {
            return Ok(());
        };
        let free = left.bytes;
        if free < promised {
            self.give_back(bytes);
            return Err(Why::Space {
                needed: bytes,
                free: free.saturating_sub(promised - bytes),
            });
        }
        let spare = (free - promised).min(UNCHECKED);
        self.credit.store(spare, Ordering::Relaxed);
        Ok(())
    }

    /// Takes back a promise, because the bytes will not come.
    pub(super) fn give_back(&self, bytes: u64) {
        self.settle(bytes);
        let less = |used: u64| Some(used.saturating_sub(bytes));
        let _ = self
            .used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
    }

    /// Takes back a promise, because the bytes were written.
    pub(super) fn settle(&self, bytes: u64) {
        let _ = self
            .promised
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |p| {
                Some(p.saturating_sub(bytes))
            });
    }
}

/// What one file has of the space that is promised.
#[derive(Debug)]
pub(super) struct SpaceShare {
    /// What was promised to it and it has not used yet.
    promised: AtomicU64,
    /// What it needs only if it is not what is here already: to be promised by then.
    unpromised: AtomicU64,
}

impl SpaceShare {
    /// Of a file that needs so many bytes, of which none are promised yet.
    pub(super) fn of(bytes: u64) -> Self {
        Self {
            promised: AtomicU64::new(0),
            unpromised: AtomicU64::new(bytes),
        }
    }

    /// Has `promise` promise what it needs, if that has not been done.
    pub(super) fn ask(&self, promise: impl FnOnce(u64) -> Result<(), Why>) -> Result<(), Why> {
        let bytes = self.unpromised.swap(0, Ordering::Relaxed);
        if bytes > 0 {
            promise(bytes)?;
            self.promised.fetch_add(bytes, Ordering::Relaxed);
        }
        Ok(())
    }

    /// How many bytes it may still use.
    pub(super) fn unused(&self) -> u64 {
        self.promised.load(Ordering::Relaxed)
    }

    /// So many bytes of it were written.
    pub(super) fn settle(&self, bytes: u64, space: &Space) {
        let less = |promised: u64| Some(promised.saturating_sub(bytes));
        let before = self
            .promised
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
        space.settle(before.map_or(0, |before| bytes.min(before)));
    }

    /// Nothing more of it is needed.
    pub(super) fn give_back(&self, space: &Space) {
        space.give_back(self.promised.swap(0, Ordering::Relaxed));
    }
}

/// What it is that the file system below `dir` is out of, where it refused `needed` bytes; none
/// where it does not look as if it were out of anything, as with a quota.
pub(super) fn why_full(dir: &Dir, needed: u64) -> Option<Why> {
    let left = dir.space().ok()?;
    if left.bytes < needed {
        Some(Why::Space {
            needed,
            free: left.bytes,
        })
    } else if left.no_files {
        Some(Why::System(SystemError::NoFilesLeft))
    } else {
        None
    }
}

/// How many bytes the files below `dir` take up.
pub(super) fn used(dir: &Path) -> u64 {
    let files = WalkDir::new(dir).same_file_system(true).into_iter();
    // What cannot be looked at counts nothing.
    let files = files.flatten().filter_map(|entry| entry.metadata().ok());
    let files = files.filter(|meta| meta.is_file());
    files
        .map(|meta| fs::stat_of_metadata(&meta).allocated)
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_while_it_is_measured_counts() {
        let space = Space::default();
        space.limit(1000);
        space.measure(|| 100);
        assert_eq!(space.left(), Some(900));
        space.measure(|| {
            space.take(300).unwrap();
            100
        });
        assert_eq!(space.left(), Some(600));
        space.measure(|| {
            space.give_back(300);
            400
        });
        assert_eq!(space.left(), Some(900));
    }
}
