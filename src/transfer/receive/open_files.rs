//! How many files of more than one chunk a session has open at once, and which of them may begin
//! when there are that many.
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

use crate::sys::host::limit_of_open;

/// How many files a session has open at most, but for the oldest few.
const MOST_OPEN: usize = 256;
/// The least of that, where few descriptors are allowed.
const LEAST_OPEN: usize = 8;
/// The part of all descriptors that a session's open files may be.
const SHARE: usize = 4;
/// How many files can be in the middle of being sent, beside one for each lane.
const IN_THE_MIDDLE: usize = 3;

#[derive(Debug, Default)]
struct OpenCounts {
    /// The turns of the files that have not ended, in the order in which they were asked for.
    unfinished: BTreeSet<u64>,
    next: u64,
    open: usize,
    /// Goes on with every change.
    version: u64,
}

/// The files of a session that are open, and those that will be.
#[derive(Debug)]
pub(super) struct OpenFiles {
    counts: Mutex<OpenCounts>,
    changed: Condvar,
    most: usize,
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
    pub(super) fn new(lanes: u16) -> Arc<Self> {
        let most = limit_of_open() / SHARE;
        Arc::new(Self {
            counts: Mutex::default(),
            changed: Condvar::new(),
            most: most.clamp(LEAST_OPEN, MOST_OPEN),
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
        let mut counts = self.files.counts();
        let oldest = counts.unfinished.iter().nth(self.files.oldest);
        let may = counts.open < self.files.most || oldest.is_none_or(|&n| self.number < n);
        if may && !self.opened.swap(true, Ordering::AcqRel) {
            counts.open += 1;
        }
        may
    }
}

impl Drop for OpenTurn {
    fn drop(&mut self) {
        let was_open = self.is_open();
        self.files.clone().change(|counts| {
            counts.unfinished.remove(&self.number);
            counts.open -= usize::from(was_open);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_may_begin_when_there_is_no_room() {
        let files = OpenFiles::new(1);
        let turns: Vec<_> = (0..MOST_OPEN as u64 + 20).map(|_| files.turn()).collect();
        let (old, new) = turns.split_at(10);
        let opened: Vec<_> = new.iter().map(OpenTurn::try_open).collect();
        assert_eq!(opened.iter().filter(|&&open| open).count(), files.most);
        assert!(!new[files.most].try_open());
        // Those that have a turn before all but a few.
        let opened = old.iter().filter(|turn| turn.try_open()).count();
        assert_eq!(opened, files.oldest);
        // One that ends makes room for another, whichever that is.
        let seen = files.version();
        let mut turns = turns;
        drop(turns.drain(10..10 + files.oldest + 1));
        assert_ne!(files.version(), seen);
        assert!(turns.last().unwrap().try_open());
    }
}
