//! Free space: what was promised to files that are under way, and what is left, of the disk and of
//! a quota.
//!
//! A quota counts what the disk does: whole blocks, and folders and links as well. What takes up no
//! block at all, such as an empty file on many file systems, counts a little all the same, or any
//! number of those would be free.
//!
//! Must not rely on a promise for longer than the moment: others use the same file system. It keeps
//! transfers that cannot end from starting; a write that fails all the same is handled where it
//! fails.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use walkdir::WalkDir;

use crate::model::outcome::Why;
use crate::model::reason::SystemError;
use crate::sys::fs::{self, Dir};

/// How many bytes may be promised before the file system is asked again.
const UNCHECKED: u64 = 64 << 20;
/// What a file, folder or link takes up of a quota at least, in bytes.
const MIN_COST: u64 = 512;
/// The largest block that files are counted in, in bytes: some file systems tell how much is best
/// written at once instead.
const MAX_BLOCK: u64 = 1 << 20;
/// How long a quota that is used up is not measured again.
const MEASURE_AGAIN: Duration = Duration::from_secs(10);

/// Space that has been promised and not been written yet, over all sessions of a store.
#[derive(Debug, Default)]
pub(super) struct Space {
    promised: AtomicU64,
    /// How many bytes may be promised still without asking.
    credit: AtomicU64,
    /// How many bytes all that is in the receive directory may take up.
    quota: OnceLock<u64>,
    /// How many it takes up and will, by when that was last measured and all that was promised
    /// since.
    used: AtomicU64,
    /// In what pieces the disk gives space away, where there is a quota.
    block: AtomicU64,
    /// One measures at a time; with when that was last done.
    measuring: Mutex<Option<Instant>>,
}

/// Takes up to `most` from a counter; says how much that was.
fn take_up_to(counter: &AtomicU64, most: u64) -> u64 {
    let less = |there: u64| Some(there.saturating_sub(most));
    let before = counter.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
    before.map_or(0, |before| before.min(most))
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

    /// Has `measure` find out how many bytes everything takes up, on a disk of such blocks. What is
    /// taken while it does counts beside that, whether it comes upon it or not: rather twice than
    /// not at all.
    pub(super) fn measure(&self, block: u64, measure: impl FnOnce() -> u64) {
        let mut last = self
            .measuring
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        self.block.store(block.min(MAX_BLOCK), Ordering::Relaxed);
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
        *last = Some(Instant::now());
    }

    /// Whether it was not measured lately.
    pub(super) fn may_measure_again(&self) -> bool {
        let last = self.measuring.lock();
        let last = last.unwrap_or_else(PoisonError::into_inner);
        last.is_none_or(|last| last.elapsed() > MEASURE_AGAIN)
    }

    /// What something takes up that has so many bytes: these alone, where there is no quota.
    fn cost(&self, bytes: u64) -> u64 {
        if !self.has_quota() {
            return bytes;
        }
        let block = self.block.load(Ordering::Relaxed).max(1);
        bytes.div_ceil(block).saturating_mul(block).max(MIN_COST)
    }

    /// Counts something of so many bytes that is about to be made, and for which nothing is
    /// promised, if the quota has them.
    pub(super) fn count(&self, bytes: u64) -> Result<Counted<'_>, Why> {
        let cost = match self.has_quota() {
            true => self.cost(bytes),
            false => 0,
        };
        self.take(cost)?;
        Ok(Counted { space: self, cost })
    }

    /// Of what is there already.
    pub(super) fn count_nothing(&self) -> Counted<'_> {
        let (space, cost) = (self, 0);
        Counted { space, cost }
    }

    /// Takes `bytes` of the quota, if it has them.
    fn take(&self, bytes: u64) -> Result<(), Why> {
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
    fn give_back(&self, bytes: u64) {
        self.settle(bytes);
        take_up_to(&self.used, bytes);
    }

    /// Takes back a promise, because the bytes were written.
    pub(super) fn settle(&self, bytes: u64) {
        take_up_to(&self.promised, bytes);
    }
}

/// What was counted of something that is about to be made. Where it is not, it does not count.
#[derive(Debug)]
pub(super) struct Counted<'a> {
    space: &'a Space,
    cost: u64,
}

impl Counted<'_> {
    /// Whether it was made.
    pub(super) fn keep_if(mut self, made: bool) {
        if made {
            self.cost = 0;
        }
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        take_up_to(&self.space.used, self.cost);
    }
}

/// What one file has of the space that is promised.
#[derive(Debug)]
pub(super) struct SpaceShare {
    /// What was promised to it and it has not used yet.
    promised: AtomicU64,
    /// What it needs only if it is not what is here already: to be promised by then.
    unpromised: AtomicU64,
    /// What it needs beyond that, should it have fewer holes than its sender says: to be promised
    /// as it comes.
    more: AtomicU64,
}

impl SpaceShare {
    /// Of a file of a size, unless it is a stream, whose data takes up as much as `allocated` where
    /// it is, and of which so much is here. Nothing is promised to it yet.
    pub(super) fn of(
        space: &Space,
        size: Option<u64>,
        allocated: Option<u64>,
        here: Option<u64>,
    ) -> Self {
        let (needed, more) = match size {
            // Nobody knows how much.
            None => (0, u64::MAX),
            Some(size) => {
                let here = here.unwrap_or(0);
                let all = space.cost(size).saturating_sub(here);
                let data = allocated.map_or(size, |allocated| allocated.min(size));
                let needed = space.cost(data).saturating_sub(here).min(all);
                (needed, all - needed)
            }
        };
        Self {
            promised: AtomicU64::new(0),
            unpromised: AtomicU64::new(needed),
            more: AtomicU64::new(more),
        }
    }

    /// Has `promise` promise what it needs, if that has not been done.
    pub(super) fn ask(&self, promise: impl FnOnce(u64) -> Result<(), Why>) -> Result<(), Why> {
        let bytes = self.unpromised.swap(0, Ordering::Relaxed);
        if bytes > 0 {
            promise(bytes)?;
            self.put_back(bytes);
        }
        Ok(())
    }

    /// How many bytes it may still use.
    pub(super) fn unused(&self) -> u64 {
        self.promised.load(Ordering::Relaxed)
    }

    /// So many bytes of it are about to be written. What they need beyond what was promised,
    /// `promise` promises. Says how much of that is theirs now, to be settled or put back.
    pub(super) fn take(
        &self,
        bytes: u64,
        promise: impl FnOnce(u64) -> Result<(), Why>,
    ) -> Result<u64, Why> {
        let taken = take_up_to(&self.promised, bytes);
        // What is written a second time needs no more.
        let more = take_up_to(&self.more, bytes - taken);
        if more > 0 {
            promise(more).inspect_err(|_| {
                self.put_back(taken);
                self.more.fetch_add(more, Ordering::Relaxed);
            })?;
        }
        Ok(taken + more)
    }

    /// What was taken has not been used.
    pub(super) fn put_back(&self, bytes: u64) {
        self.promised.fetch_add(bytes, Ordering::Relaxed);
    }

    /// So many bytes of it are a hole, and take up nothing.
    pub(super) fn skip(&self, bytes: u64, space: &Space) {
        let unpromised = take_up_to(&self.more, bytes);
        space.give_back(take_up_to(&self.promised, bytes - unpromised));
    }

    /// It is stored. What is promised to it beyond its bytes is the rest of a block, and used.
    pub(super) fn keep(&self, space: &Space) {
        space.settle(self.promised.swap(0, Ordering::Relaxed));
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

/// How many bytes everything below `dir` takes up.
pub(super) fn used(dir: &Path) -> u64 {
    let all = WalkDir::new(dir).min_depth(1).same_file_system(true);
    // What cannot be looked at counts nothing.
    let all = all.into_iter().flatten();
    all.filter_map(|entry| entry.metadata().ok())
        .map(|meta| fs::stat_of_metadata(&meta).allocated.max(MIN_COST))
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_while_it_is_measured_counts() {
        let space = Space::default();
        space.limit(1000);
        space.measure(1, || 100);
        assert_eq!(space.left(), Some(900));
        space.measure(1, || {
            space.take(300).unwrap();
            100
        });
        assert_eq!(space.left(), Some(600));
        space.measure(1, || {
            space.give_back(300);
            400
        });
        assert_eq!(space.left(), Some(900));
    }
}
