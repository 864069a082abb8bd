//! What waits for a thread of a receiving session, and the tasks of its planner.
//!
//! Must not block whoever puts something in; whoever must not get too far ahead calls
//! `wait_below`.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tracing::debug;

use crate::model::entry::Entry;
use crate::model::surplus::{Decision, RemovalAnswer};
use crate::wire::{Changed, Done, Skipped};

use super::file::WantedFile;

/// Something for the planner to do, in order.
#[derive(Debug)]
pub(super) enum PlannerTask {
    Entries(Vec<Entry>),
    DirEnd {
        complete: bool,
    },
    Done(Done),
    Skipped(Skipped),
    Changed(Changed),
    /// The file that a `Changed` was about: no chunk of its attempt before is being stored any
    /// more.
    Restart(Arc<WantedFile>),
    /// Every entry has been announced.
    Announced,
    End,
    /// What is to become of what the sender was asked about.
    Decisions(Vec<Decision>),
    /// Whether so much may be removed as the sender was told.
    RemovalAnswer(RemovalAnswer),
    /// Every entry has its outcome, but for those that wait for removals.
    Deferred,
}

impl PlannerTask {
    /// What one takes beside its variable parts, in bytes.
    pub(super) const BYTES: usize = size_of::<Self>();
}

/// Things that wait, in order; closed when the session is over.
pub(super) struct WorkQueue<T> {
    waiting: Mutex<Waiting<T>>,
    changed: Condvar,
}

struct Waiting<T> {
    /// With how much each counts, such as its bytes.
    items: VecDeque<(T, usize)>,
    sum: usize,
    closed: bool,
    /// How many threads wait for a change: to wake nobody is a call to the system, too.
    sleepers: usize,
}

impl<T> WorkQueue<T> {
    pub(super) fn new() -> Self {
        Self {
            waiting: Mutex::new(Waiting {
                items: VecDeque::new(),
                sum: 0,
                closed: false,
                sleepers: 0,
            }),
            changed: Condvar::new(),
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting<T>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sleep<'a>(&self, mut waiting: MutexGuard<'a, Waiting<T>>) -> MutexGuard<'a, Waiting<T>> {
        waiting.sleepers += 1;
        let mut waiting = self
            .changed
            .wait(waiting)
            .unwrap_or_else(PoisonError::into_inner);
        waiting.sleepers -= 1;
        waiting
    }

    fn wake(&self, waiting: MutexGuard<'_, Waiting<T>>) {
        let sleepers = waiting.sleepers;
        drop(waiting);
        if sleepers > 0 {
            self.changed.notify_all();
        }
    }

    /// Adds something that counts so much. Once it is closed, that is thrown away.
    pub(super) fn push(&self, item: T, counts: usize) {
        drop(self.try_push(item, counts));
    }

    /// Adds something that counts so much. Gives it back once it is closed.
    pub(super) fn try_push(&self, item: T, counts: usize) -> Result<(), T> {
        let mut waiting = self.waiting();
        if waiting.closed {
            return Err(item);
        }
        waiting.items.push_back((item, counts));
        waiting.sum += counts;
        self.wake(waiting);
        Ok(())
    }

    /// Waits while more than `most` waits, unless it is closed.
    pub(super) fn wait_below(&self, most: usize) {
        let mut waiting = self.waiting();
        if waiting.sum > most {
            debug!(waiting = waiting.sum, "who brings more has to wait");
        }
        while waiting.sum > most && !waiting.closed {
            waiting = self.sleep(waiting);
        }
    }

    /// Waits until there is something, or it is closed, but no longer than `most`. Says whether it
    /// came to that.
    pub(super) fn wait_for_next(&self, most: Duration) -> bool {
        let mut waiting = self.waiting();
        let is_still = |waiting: &mut Waiting<T>| waiting.items.is_empty() && !waiting.closed;
        waiting.sleepers += 1;
        let waited = self.changed.wait_timeout_while(waiting, most, is_still);
        waiting = waited.unwrap_or_else(PoisonError::into_inner).0;
        waiting.sleepers -= 1;
        !is_still(&mut waiting)
    }

    /// Waits for the next; none once it is closed, and what was kept then is taken out.
    pub(super) fn pop(&self) -> Option<T> {
        let mut waiting = self.waiting();
        loop {
            if let Some((item, counts)) = waiting.items.pop_front() {
                waiting.sum -= counts;
                self.wake(waiting);
                return Some(item);
            }
            if waiting.closed {
                return None;
            }
            waiting = self.sleep(waiting);
        }
    }

    /// Nothing more is to be done. What waits is thrown away.
    pub(super) fn close(&self) {
        self.close_but(|_| false);
    }

    /// Nothing more is to be done but what waits and is to be kept.
    pub(super) fn close_but(&self, is_kept: impl Fn(&T) -> bool) {
        let mut waiting = self.waiting();
        waiting.closed = true;
        let items = std::mem::take(&mut waiting.items).into_iter();
        let (kept, thrown): (VecDeque<_>, VecDeque<_>) = items.partition(|(item, _)| is_kept(item));
        waiting.sum = kept.iter().map(|(_, counts)| counts).sum();
        waiting.items = kept;
        self.wake(waiting);
        // Not while it is locked: what is thrown away may wake others.
        drop(thrown);
    }
}
