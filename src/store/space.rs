//! Free space: what is promised to files under way, and what is left of the disk and of a quota.
//!
//! A quota counts what the disk counts: whole blocks, and folders and links too. Things that take
//! no block, such as empty files on many file systems, count a little all the same; otherwise any
//! number of them would be free.
//!
//! Must not rely on a promise for long: others use the same file system. It prevents transfers that
//! cannot finish from starting; a write that fails anyway is handled where it fails.

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
/// What a file, folder or link takes up of a quota at least, in bytes.
const MIN_COST: u64 = 512;
/// The largest block that files are counted in, in bytes: some file systems tell how much is best
/// written at once instead.
const MAX_BLOCK: u64 = 64 << 10;
/// How long a quota that is used up is not measured again, where nothing that is known of could
/// have made room.
const MEASURE_AGAIN: Duration = Duration::from_secs(10);
/// What part of the time is spent on measuring at most, one in so many; but who is refused waits no
/// longer than that for it.
const PAUSE_PARTS: u32 = 8;
const MAX_PAUSE: Duration = Duration::from_secs(1);
/// How often something that was refused is tried again, each time with a newer measurement.
const TRIES: usize = 4;

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
    /// What may count too much since then: all that was taken or gave its place up.
    doubtful: AtomicU64,
    /// One measures at a time.
    measuring: Mutex<Measured>,
    /// How often it was measured.
    measured: AtomicU64,
}

/// When a quota was last measured, and how long that took.
#[derive(Debug, Default)]
struct Measured {
    last: Option<Instant>,
    took: Duration,
}

/// What something takes up that is about to make way.
#[derive(Debug, Clone, Copy)]
pub(super) struct Replaced {
    bytes: u64,
    /// How often it had been measured before.
    measured: u64,
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

    /// Calls `attempt`, and again where the quota refused it and was measured anew since: by
    /// somebody else, or here, with `measure`, if that could show more room.
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
            // What is waited for keeps all others who are refused waiting, too.
            let pause = measuring.took * (PAUSE_PARTS - 1);
            let since = measuring.last.map(|last| last.elapsed());
            let pause = since.map(|since| pause.min(MAX_PAUSE).saturating_sub(since));
            std::thread::sleep(pause.unwrap_or_default());
            self.measure_locked(&mut measuring, block(), &measure);
        }
        attempt()
    }

    /// Whether it could turn out that there is room for what was refused.
    fn may_have_room(&self, refused: &Why, measuring: &Measured) -> bool {
        let Why::Quota { needed, .. } = refused else {
            return false;
        };
        let left = self.left().unwrap_or(u64::MAX);
        let doubtful = self.doubtful.load(Ordering::Relaxed);
        let lately = |last: Instant| last.elapsed() <= MEASURE_AGAIN;
        *needed <= left.saturating_add(doubtful) || !measuring.last.is_some_and(lately)
    }

    /// What something takes up that is about to make way, to be told when it is gone.
    pub(super) fn before_replacing(&self, found: &Stat) -> Replaced {
        Replaced {
            // What has other names stays.
            bytes: match found.links > 1 {
                true => 0,
                false => found.allocated.max(MIN_COST),
            },
            measured: self.measured.load(Ordering::Relaxed),
        }
    }

    /// Something is gone. It makes room at once, unless somebody has measured meanwhile, or does:
    /// then nobody can say whether it was counted, and the next one who needs room measures.
    pub(super) fn gone(&self, replaced: Replaced) {
        self.doubtful.fetch_add(replaced.bytes, Ordering::Relaxed);
        if let Ok(_measuring) = self.measuring.try_lock()
            && self.measured.load(Ordering::Relaxed) == replaced.measured
        {
            take_up_to(&self.used, replaced.bytes);
        }
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
            // Nobody knows how much, but no less than an empty file.
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

    /// Has `promise` promise what it needs, if that has not been done.
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
        // What was taken takes up less than it was thought to.
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
                // As others do while this one waits for them.
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
        // It was counted then, or not.
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
