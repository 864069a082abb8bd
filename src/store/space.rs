//! Free space: what is promised to files being received, and what is left of the disk and a quota.
//!
//! A quota counts what the disk counts: whole blocks, and folders and links too. What takes no
//! block, such as empty files on many file systems, still costs a little; otherwise any number
//! would be free.
//!
//! Must not rely on a promise for long: other programs use the same file system. Promises keep
//! transfers that cannot finish from starting; a write that fails anyway is handled where it fails.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use walkdir::WalkDir;

use crate::model::outcome::Why;
use crate::model::reason::SystemError;
use crate::sys::fs::{self, Dir, Stat};

/// How many bytes may be promised before the file system is asked again.
const UNCHECKED: u64 = 64 << 20;
/// The least that a file, folder or link takes up of a quota, in bytes.
const MIN_COST: u64 = 512;
/// The largest block size to count in, in bytes: some file systems report their preferred write
/// size instead.
const MAX_BLOCK: u64 = 64 << 10;
/// How long a used-up quota is not measured again if no known event could have made room.
const MEASURE_AGAIN: Duration = Duration::from_secs(10);
/// Measuring takes at most one in this many parts of the time, but a refused file waits no longer
/// than [`MAX_PAUSE`] for it.
const PAUSE_PARTS: u32 = 8;
const MAX_PAUSE: Duration = Duration::from_secs(1);
/// How often a refused request is tried, each time with a newer measurement.
const TRIES: usize = 4;

/// Space that is promised but not yet written, for all sessions of a store.
#[derive(Debug, Default)]
pub(super) struct Space {
    promised: AtomicU64,
    /// How many more bytes may be promised without asking the file system.
    credit: AtomicU64,
    /// How many bytes everything in the receive folder may take up.
    quota: OnceLock<u64>,
    /// How many bytes it takes up: as last measured, plus everything promised since.
    used: AtomicU64,
    /// The block size of the disk, in bytes, if there is a quota.
    block: AtomicU64,
    /// By how much `used` may be too high: everything promised or replaced since it was measured.
    doubtful: AtomicU64,
    /// Only one session measures at a time.
    measuring: Mutex<Measured>,
    /// How many measurements there were.
    measured: AtomicU64,
}

/// When the quota was last measured, and how long that took.
#[derive(Debug, Default)]
struct Measured {
    last: Option<Instant>,
    took: Duration,
}

/// What something takes up that is about to be replaced.
#[derive(Debug, Clone, Copy)]
pub(super) struct Replaced {
    bytes: u64,
    /// How many measurements there were before.
    measured: u64,
}

/// Takes up to `most` from a counter; returns how much it took.
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

    /// Finds out with `measure` how many bytes everything takes up, on a disk with blocks of this
    /// size. What is promised meanwhile is added, whether `measure` saw it or not: counting twice
    /// is safer than not at all.
    pub(super) fn measure(&self, block: u64, measure: impl FnOnce() -> u64) {
        let measuring = self.measuring.lock();
        let mut measuring = measuring.unwrap_or_else(PoisonError::into_inner);
        self.measure_locked(&mut measuring, block, measure);
    }

    fn measure_locked(&self, measuring: &mut Measured, block: u64, measure: impl FnOnce() -> u64) {
        let began = Instant::now();
        self.doubtful.store(0, Ordering::Relaxed);
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
        measuring.last = Some(Instant::now());
        measuring.took = began.elapsed();
        self.measured.fetch_add(1, Ordering::Relaxed);
    }

    /// Calls `attempt`, again after each new measurement if the quota refused it. Another session
    /// may have measured; otherwise this does, with `measure`, if that could show more room.
    pub(super) fn attempt<T>(
        &self,
        block: impl Fn() -> u64,
        measure: impl Fn() -> u64,
        attempt: impl Fn() -> Result<T, Why>,
    ) -> Result<T, Why> {
        for _ in 1..TRIES {
            let before = self.measured.load(Ordering::Relaxed);
            let refused = match attempt() {
                Err(Why::Quota { needed, left }) => Why::Quota { needed, left },
                done => return done,
            };
            let measuring = self.measuring.lock();
            let mut measuring = measuring.unwrap_or_else(PoisonError::into_inner);
            if self.measured.load(Ordering::Relaxed) != before {
                continue;
            }
            if !self.may_have_room(&refused, &measuring) {
                return Err(refused);
            }
            // Everyone else who is refused waits for this pause, too.
            let pause = measuring.took * (PAUSE_PARTS - 1);
            let since = measuring.last.map(|last| last.elapsed());
            let pause = since.map(|since| pause.min(MAX_PAUSE).saturating_sub(since));
            std::thread::sleep(pause.unwrap_or_default());
            self.measure_locked(&mut measuring, block(), &measure);
        }
        attempt()
    }

    /// Whether a new measurement could show room for what was refused.
    fn may_have_room(&self, refused: &Why, measuring: &Measured) -> bool {
        let Why::Quota { needed, .. } = refused else {
            return false;
        };
        let left = self.left().unwrap_or(u64::MAX);
        let doubtful = self.doubtful.load(Ordering::Relaxed);
        let lately = |last: Instant| last.elapsed() <= MEASURE_AGAIN;
        *needed <= left.saturating_add(doubtful) || !measuring.last.is_some_and(lately)
    }

    /// What something takes up that is about to be replaced. Pass it to [`Self::gone`] afterwards.
    pub(super) fn before_replacing(&self, found: &Stat) -> Replaced {
        Replaced {
            // A file with other names stays.
            bytes: match found.links > 1 {
                true => 0,
                false => found.allocated.max(MIN_COST),
            },
            measured: self.measured.load(Ordering::Relaxed),
        }
    }

    /// Gives back the space of what was replaced. If a measurement has ended since or is running,
    /// nobody knows whether that counted it: then the next request that needs room measures.
    pub(super) fn gone(&self, replaced: Replaced) {
        self.doubtful.fetch_add(replaced.bytes, Ordering::Relaxed);
        if let Ok(_measuring) = self.measuring.try_lock()
            && self.measured.load(Ordering::Relaxed) == replaced.measured
        {
            take_up_to(&self.used, replaced.bytes);
        }
    }

    /// What something of `bytes` takes up; just `bytes` without a quota.
    fn cost(&self, bytes: u64) -> u64 {
        if !self.has_quota() {
            return bytes;
        }
        let block = self.block.load(Ordering::Relaxed).max(1);
        bytes.div_ceil(block).saturating_mul(block).max(MIN_COST)
    }

    /// Counts something of `bytes` that is about to be created without a promise, if the quota has
    /// room.
    pub(super) fn count(&self, bytes: u64) -> Result<Counted<'_>, Why> {
        let cost = match self.has_quota() {
            true => self.cost(bytes),
            false => 0,
        };
        self.take(cost)?;
        Ok(Counted { space: self, cost })
    }

    /// Counts nothing, for what exists already.
    pub(super) fn count_nothing(&self) -> Counted<'_> {
        let (space, cost) = (self, 0);
        Counted { space, cost }
    }

    /// Takes `bytes` of the quota, if it has room.
    fn take(&self, bytes: u64) -> Result<(), Why> {
        let Some(quota) = self.quota.get() else {
            return Ok(());
        };
        let more = |used: u64| used.checked_add(bytes).filter(|used| used <= quota);
        let taken = self
            .used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        match taken {
            Ok(_) => {
                self.doubtful.fetch_add(bytes, Ordering::Relaxed);
                Ok(())
            }
            Err(used) => Err(Why::Quota {
                needed: bytes,
                left: quota.saturating_sub(used),
            }),
        }
    }

    /// Promises `bytes`, if the quota and the file system of `dir` have room.
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
        // If a file system cannot report its free space, writing to it will tell.
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

    /// Ends a promise, because the bytes were written.
    pub(super) fn settle(&self, bytes: u64) {
        take_up_to(&self.promised, bytes);
    }
}

/// What was counted for something about to be created. Dropping this gives it back.
#[derive(Debug)]
pub(super) struct Counted<'a> {
    space: &'a Space,
    cost: u64,
}

impl Counted<'_> {
    /// Keeps the count if it was `made`.
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

/// One file's share of the promised space.
#[derive(Debug)]
pub(super) struct SpaceShare {
    /// What was promised but not used yet.
    promised: AtomicU64,
    /// What it needs only if it is not here already, and must be promised before it is received.
    unpromised: AtomicU64,
    /// What it needs beyond that if it has fewer holes than its sender said. Promised as the data
    /// arrives.
    more: AtomicU64,
}

impl SpaceShare {
    /// For a file of `size` bytes, `None` for a stream. `allocated` is what its data takes up on
    /// the sender's disk, `here` is how much is here already. Nothing is promised to it yet.
    pub(super) fn of(
        space: &Space,
        size: Option<u64>,
        allocated: Option<u64>,
        here: Option<u64>,
    ) -> Self {
        let (needed, more) = match size {
            // Its size is unknown, but it costs at least as much as an empty file.
            None => (space.cost(0), u64::MAX),
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

    /// Calls `promise` for what the file needs, unless that was done.
    pub(super) fn ask(&self, promise: impl FnOnce(u64) -> Result<(), Why>) -> Result<(), Why> {
        let bytes = self.unpromised.swap(0, Ordering::Relaxed);
        if bytes > 0 {
            promise(bytes).inspect_err(|_| {
                self.unpromised.fetch_add(bytes, Ordering::Relaxed);
            })?;
            self.put_back(bytes);
        }
        Ok(())
    }

    /// How many bytes it may still use.
    pub(super) fn unused(&self) -> u64 {
        self.promised.load(Ordering::Relaxed)
    }

    /// Takes space for `bytes` that are about to be written, and calls `promise` for what the
    /// promises so far do not cover. Returns how much it took, to settle or put back.
    pub(super) fn take(
        &self,
        bytes: u64,
        promise: impl FnOnce(u64) -> Result<(), Why>,
    ) -> Result<u64, Why> {
        let taken = take_up_to(&self.promised, bytes);
        // What is written again needs no more space.
        let more = take_up_to(&self.more, bytes - taken);
        if more > 0 {
            promise(more).inspect_err(|_| {
                self.put_back(taken);
                self.more.fetch_add(more, Ordering::Relaxed);
            })?;
        }
        Ok(taken + more)
    }

    /// Puts back what was taken but not used.
    pub(super) fn put_back(&self, bytes: u64) {
        self.promised.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Skips `bytes` that are a hole and take up no space.
    pub(super) fn skip(&self, bytes: u64, space: &Space) {
        let unpromised = take_up_to(&self.more, bytes);
        space.give_back(take_up_to(&self.promised, bytes - unpromised));
    }

    /// Notes that the file is stored. What is left of its promise is the rest of a block, and used.
    pub(super) fn keep(&self, space: &Space) {
        space.settle(self.promised.swap(0, Ordering::Relaxed));
    }

    /// Gives back what is left, because nothing more comes.
    pub(super) fn give_back(&self, space: &Space) {
        space.give_back(self.promised.swap(0, Ordering::Relaxed));
    }
}

/// What the file system of `dir` has run out of, if it refused `needed` bytes; `None` if it seems
/// to have enough of everything, as with a user's disk quota.
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
    // What cannot be examined counts nothing.
    let all = all.into_iter().flatten();
    all.filter_map(|entry| entry.metadata().ok())
        .map(|meta| fs::allocated(&meta).max(MIN_COST))
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

    fn with_quota(quota: u64, used: u64) -> Space {
        let space = Space::default();
        space.limit(quota);
        space.measure(1, || used);
        space
    }

    #[test]
    fn what_is_refused_is_measured_again_where_that_could_help() {
        let space = with_quota(10_000, 4000);
        space.take(5000).unwrap();
        let attempt = |used: u64| space.attempt(|| 1, || used, || space.take(3000));
        // What was taken takes up less than was assumed.
        attempt(4500).unwrap();
        assert_eq!(space.left(), Some(2500));
        attempt(7500).unwrap_err();
        let again = space.attempt(|| 1, || panic!("nothing has changed"), || space.take(3000));
        again.unwrap_err();
    }

    #[test]
    fn what_is_refused_is_tried_again_when_others_have_measured() {
        let space = with_quota(10_000, 10_000);
        let tried = std::cell::Cell::new(0);
        let attempt = || {
            tried.set(tried.get() + 1);
            let taken = space.take(3000);
            if tried.get() == 1 {
                // Another session measures while this one waits.
                space.measure(1, || 1000);
            }
            taken
        };
        let measure = || panic!("others did");
        space.attempt(|| 1, measure, attempt).unwrap();
        assert_eq!(tried.get(), 2);
    }

    #[test]
    fn what_makes_way_makes_room() {
        let temp = tempfile::tempdir().unwrap();
        let dir = Dir::open(temp.path()).unwrap();
        drop(dir.create_file(b"empty", 0o600).unwrap());
        let found = dir.stat_at(b"empty").unwrap().unwrap();
        let space = with_quota(10_000, 10_000);
        let replaced = space.before_replacing(&found);
        space.gone(replaced);
        assert_eq!(space.left(), Some(MIN_COST));
        let replaced = space.before_replacing(&found);
        // The measurement may or may not have counted it.
        space.measure(1, || 9800);
        space.gone(replaced);
        assert_eq!(space.left(), Some(200));
        space.attempt(|| 1, || 9000, || space.take(600)).unwrap();
    }

    #[test]
    fn a_share_that_is_refused_is_asked_for_again() {
        let space = with_quota(10_000, 0);
        let share = SpaceShare::of(&space, Some(5000), None, None);
        for _ in 0..2 {
            share.ask(|_| Err(Why::InUse)).unwrap_err();
        }
        share.ask(|bytes| space.take(bytes)).unwrap();
        assert_eq!(space.left(), Some(5000));
    }

    #[test]
    fn a_stream_takes_up_what_an_empty_file_does() {
        let space = with_quota(10_000, 0);
        let share = SpaceShare::of(&space, None, None, None);
        share.ask(|bytes| space.take(bytes)).unwrap();
        assert_eq!(space.left(), Some(10_000 - MIN_COST));
    }

    #[test]
    fn small_files_are_not_counted_as_what_is_best_written_at_once() {
        let space = with_quota(1 << 30, 0);
        space.measure(1 << 20, || 0);
        assert_eq!(space.cost(1), 64 << 10);
    }
}
