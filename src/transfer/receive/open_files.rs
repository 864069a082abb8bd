//! Which files of more than one chunk a session may have open at once, where no more than so many
//! can be open in all sessions.
//!
//! Must not fail a file for being late: what ends the files that are open may come on any
//! connection, in any time. Must not let a lane wait for what only that lane can bring either.
//!
//! A sender hands out the chunks of its files in the order in which they were asked for, and each
//! lane brings what it was handed in that order. Only a few files are in the middle of that at any
//! moment: one for each lane that is behind, one of which the held chunks are being told, and the
//! next. So, however late a lane is, all that is missing of the oldest few unfinished files
//! comes before anything of the others, on each lane. These few may begin at any time, and with
//! that some file can always be finished.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::budgets::SessionBudget;

/// How many files can be in the middle of being sent, beside one for each lane.
const IN_THE_MIDDLE: usize = 3;

#[derive(Debug, Default)]
struct OpenCounts {
    /// The turns of the files that have not ended, in the order in which they were asked for.
    unfinished: BTreeSet<u64>,
    next: u64,
    /// Goes on with every change.
    version: u64,
}

/// The files of a session that are open, and those that will be.
#[derive(Debug)]
pub(super) struct OpenFiles {
    counts: Mutex<OpenCounts>,
    changed: Condvar,
    budget: Arc<SessionBudget>,
    oldest: usize,
}

/// A file's turn to be open; over when it is dropped.
#[derive(Debug)]
pub(super) struct OpenTurn {
    files: Arc<OpenFiles>,
    number: u64,
    opened: AtomicBool,
}

impl OpenFiles {
    /// For a session of so many lanes.
    pub(super) fn new(lanes: u16, budget: Arc<SessionBudget>) -> Arc<Self> {
        Arc::new(Self {
            counts: Mutex::default(),
            changed: Condvar::new(),
            budget,
            oldest: usize::from(lanes) + IN_THE_MIDDLE,
        })
    }

    fn counts(&self) -> MutexGuard<'_, OpenCounts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut OpenCounts)) {
        let mut counts = self.counts();
        change(&mut counts);
        counts.version += 1;
        drop(counts);
        self.changed.notify_all();
    }

    /// The turn of a file of which chunks may come from now on: behind all that were asked for
    /// before.
    pub(super) fn turn(self: &Arc<Self>) -> OpenTurn {
        let mut counts = self.counts();
        let number = counts.next;
        counts.next += 1;
        counts.unfinished.insert(number);
        OpenTurn {
            files: self.clone(),
            number,
            opened: AtomicBool::new(false),
        }
    }

    /// Wakes whoever waits, to look again whether there is still something to wait for.
    pub(super) fn wake(&self) {
        self.change(|_| ());
    }

    /// What tells whether something has changed since.
    pub(super) fn version(&self) -> u64 {
        self.counts().version
    }

    /// Waits until something has changed since then, but no longer than so.
    pub(super) fn wait_for_change(&self, since: u64, most: Duration) {
        let (counts, is_same) = (self.counts(), |c: &mut OpenCounts| c.version == since);
        let waited = self.changed.wait_timeout_while(counts, most, is_same);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }
}

impl OpenTurn {
    /// Whether its file is among those that may be open.
    pub(super) fn is_open(&self) -> bool {
        self.opened.load(Ordering::Acquire)
    }

    /// Has its file among those that may be open, if there is room or it is one of the oldest.
    pub(super) fn try_open(&self) -> bool {
        if self.is_open() {
            return true;
        }
        let counts = self.files.counts();
        // Another lane may have been faster.
        if self.is_open() {
            return true;
        }
        let budget = &self.files.budget;
        let oldest = counts.unfinished.iter().nth(self.files.oldest);
        let may = match oldest.is_none_or(|&n| self.number < n) {
            true => {
                budget.open_anyway();
                true
            }
            false => budget.open(),
        };
        self.opened.store(may, Ordering::Release);
        may
    }
}

impl Drop for OpenTurn {
    fn drop(&mut self) {
        let was_open = self.is_open();
        if was_open {
            self.files.budget.closed();
        }
        self.files.clone().change(|counts| {
            counts.unfinished.remove(&self.number);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::super::budgets::Budgets;
    use super::*;
    use crate::net::{Fingerprint, PoolHolder};

    #[test]
    fn the_oldest_may_begin_when_there_is_no_room() {
        let budgets = Budgets::new();
        let session = |n| {
            let holder = PoolHolder::Known(Fingerprint([n; 32]));
            OpenFiles::new(1, budgets.session(holder))
        };
        let files = session(1);
        let turns: Vec<_> = (0..1000).map(|_| files.turn()).collect();
        let (old, new) = turns.split_at(10);
        let most = new.iter().filter(|turn| turn.try_open()).count();
        assert!((4..=256).contains(&most), "{most}");
        assert!(!new[most].try_open());
        // Another session of the same peer has no more room, but goes on with its oldest.
        let more = session(1);
        let others: Vec<_> = (0..10).map(|_| more.turn()).collect();
        let opened = |turns: &[OpenTurn]| turns.iter().filter(|turn| turn.try_open()).count();
        assert_eq!(opened(&others), more.oldest);
        drop(others);
        // Somebody else has.
        let other = session(2);
        let others: Vec<_> = (0..10).map(|_| other.turn()).collect();
        assert!(others[9].try_open());
        // Those that have a turn before all but a few.
        assert_eq!(opened(old), files.oldest);
        // As many that end make room for another, whichever that is.
        let seen = files.version();
        let mut turns = turns;
        drop(turns.drain(10..10 + files.oldest + 1));
        assert_ne!(files.version(), seen);
        assert!(turns.last().unwrap().try_open());
    }
}
