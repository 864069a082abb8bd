//! The lanes of a session: how many there may be, which are at work, and whether what a lane waits
//! for can still come.
//!
//! Must not end a wait because something is late: only when nothing moves at all.

use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::model::progress::Counters;

/// How long nothing may move while a lane waits.
pub(super) const STILL: Duration = Duration::from_secs(120);
/// How long, where what it waits for can only come on a lane, and each of them waits.
const HOPELESS: Duration = Duration::from_secs(10);
/// How often a lane that waits looks at that.
pub(super) const LOOK: Duration = Duration::from_secs(10);

/// What shows that a session gets on, beside what its lanes spend their time with.
#[derive(Debug, Default)]
pub(super) struct Activity {
    steps: AtomicU64,
    at_work: AtomicUsize,
    /// How often the sender has been asked something that work waits for.
    asked: AtomicU64,
    /// Whether there are files that other sessions have, which are waited for.
    waits: AtomicBool,
}

/// Work that goes on until this is dropped, however long that takes.
pub(super) struct AtWork<'a>(&'a Activity);

/// Work that stands still until this is dropped, as the sender has been asked something.
pub(super) struct Asking<'a>(&'a Activity);

impl Activity {
    pub(super) fn is_at_work(&self) -> bool {
        self.at_work.load(Ordering::Relaxed) > 0
    }

    pub(super) fn work(&self) -> AtWork<'_> {
        self.at_work.fetch_add(1, Ordering::Relaxed);
        AtWork(self)
    }

    /// To be called by whoever is at work: until what it gets is dropped, it is not.
    pub(super) fn ask(&self) -> Asking<'_> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        self.at_work.fetch_sub(1, Ordering::Relaxed);
        Asking(self)
    }

    /// Notes whether there are files that other sessions have.
    pub(super) fn wait_for_others(&self, waits: bool) {
        self.waits.store(waits, Ordering::Relaxed);
    }

    /// Whether it waits for files that other sessions have.
    pub(super) fn waits_for_others(&self) -> bool {
        self.waits.load(Ordering::Relaxed)
    }

    /// How often the sender has been asked.
    pub(super) fn asked(&self) -> u64 {
        self.asked.load(Ordering::Relaxed)
    }
}

impl Drop for AtWork<'_> {
    fn drop(&mut self) {
        self.0.steps.fetch_add(1, Ordering::Relaxed);
        self.0.at_work.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        self.0.at_work.fetch_add(1, Ordering::Relaxed);
    }
}

#[derive(Debug, Default)]
struct LaneCounts {
    /// How many there are.
    open: usize,
    /// How many of them wait for what others must bring.
    waiting: usize,
}

/// The lanes of a session.
#[derive(Debug)]
pub(super) struct ReceivingLanes {
    left: AtomicU16,
    /// Whether its sender has kept all lanes waiting for each other once.
    hopeless: AtomicBool,
    counts: Mutex<LaneCounts>,
    ended: Condvar,
    counters: Arc<Counters>,
    activity: Arc<Activity>,
}

/// A lane that there is until this is dropped.
pub(super) struct OpenLane<'a>(&'a ReceivingLanes);

/// A lane that waits until this is dropped.
pub(super) struct WaitingLane<'a> {
    lanes: &'a ReceivingLanes,
    since: Instant,
    moved: u64,
}

/// How it stands with what a lane waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lateness {
    /// It may come.
    Fine,
    /// Every lane waits: the sender has sent what it must not send before that.
    Breach,
    /// It is on a lane that has not brought anything for a long time.
    Lost,
}

impl ReceivingLanes {
    pub(super) fn new(most: u16, counters: Arc<Counters>, activity: Arc<Activity>) -> Self {
        Self {
            left: AtomicU16::new(most),
            hopeless: AtomicBool::new(false),
            counts: Mutex::default(),
            ended: Condvar::new(),
            counters,
            activity,
        }
    }

    fn counts(&self) -> MutexGuard<'_, LaneCounts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether one more may join, which then counts.
    pub(super) fn take(&self) -> bool {
        let less = |left: u16| left.checked_sub(1);
        let taken = self
            .left
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, less);
        taken.is_ok()
    }

    /// Notes that there is a lane, until what it gets is dropped.
    pub(super) fn open(&self) -> OpenLane<'_> {
        self.counts().open += 1;
        OpenLane(self)
    }

    /// Waits until the lanes, which are closed, have noticed it.
    pub(super) fn wait_for_end(&self) {
        let mut counts = self.counts();
        while counts.open > 0 {
            counts = self
                .ended
                .wait(counts)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Notes that a lane waits, until what it gets is dropped.
    pub(super) fn wait(&self) -> WaitingLane<'_> {
        self.counts().waiting += 1;
        WaitingLane {
            lanes: self,
            since: Instant::now(),
            moved: self.moved(),
        }
    }

    /// Whether each one that there is waits.
    fn all_wait(&self) -> bool {
        let counts = self.counts();
        counts.waiting >= counts.open
    }

    /// What grows with everything that moves.
    pub(super) fn moved(&self) -> u64 {
        let times = &self.counters.times;
        let lanes = [&times.network, &times.disk, &times.processor].map(Counters::get);
        let steps = self.activity.steps.load(Ordering::Relaxed);
        lanes.iter().fold(steps, |sum, &n| sum.wrapping_add(n))
    }
}

impl WaitingLane<'_> {
    /// How it stands with what is waited for.
    pub(super) fn look(&mut self) -> Lateness {
        let moved = self.lanes.moved();
        if moved != self.moved || self.lanes.activity.at_work.load(Ordering::Relaxed) > 0 {
            (self.since, self.moved) = (Instant::now(), moved);
        }
        if self.since.elapsed() < STILL {
            return Lateness::Fine;
        }
        match self.lanes.all_wait() {
            true => Lateness::Breach,
            false => Lateness::Lost,
        }
    }

    /// The same, where `needs_lanes` says whether what is waited for can only come on a lane. A
    /// sender that has kept them all waiting for each other is not waited for again.
    pub(super) fn look_if(&mut self, needs_lanes: impl FnOnce() -> bool) -> Lateness {
        let known = &self.lanes.hopeless;
        let lateness = self.look();
        let most = match known.load(Ordering::Relaxed) {
            true => Duration::ZERO,
            false => HOPELESS,
        };
        let is_still = lateness == Lateness::Fine
            && self.since.elapsed() >= most
            && self.lanes.activity.at_work.load(Ordering::Relaxed) == 0;
        if is_still && self.lanes.all_wait() && needs_lanes() {
            known.store(true, Ordering::Relaxed);
            return Lateness::Breach;
        }
        lateness
    }
}

impl Drop for WaitingLane<'_> {
    fn drop(&mut self) {
        self.lanes.counts().waiting -= 1;
    }
}

impl Drop for OpenLane<'_> {
    fn drop(&mut self) {
        self.0.counts().open -= 1;
        self.0.ended.notify_all();
    }
}
