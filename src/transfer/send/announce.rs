//! The sender's walk and its announcements.
//!
//! Must not wait for anything but the window: reading files is the lanes' work.

use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, SyncSender};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tracing::debug;

use crate::model::entry::{Entry, Kind};
use crate::model::outcome::{LeftOut, Outcome};
use crate::model::progress::{Counters, Event};
use crate::source::{Roots, Walk, WalkStep};
use crate::sys::worker::{Worker, checkpoint};
use crate::wire::{DirEnd, Message, Scanned};

use super::answers::Item;
use super::session::Sending;

/// How many steps the walk hands over at once.
const BATCH: usize = 256;
/// How many batches the walk may be ahead of the announcements, so that totals are known early.
pub(super) const BATCHES_AHEAD: usize = 256;
/// How often totals are told while the walk goes on.
const TELL_TOTALS: Duration = Duration::from_millis(200);

/// How many more entries may be announced.
#[derive(Debug)]
pub(super) struct Credits {
    state: Mutex<(u64, bool)>,
    changed: Condvar,
}

impl Credits {
    pub(super) fn new(window: u32) -> Self {
        Self {
            state: Mutex::new((window.into(), false)),
            changed: Condvar::new(),
        }
    }

    fn state(&self) -> MutexGuard<'_, (u64, bool)> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn give(&self, n: u64) {
        let mut state = self.state();
        state.0 += n;
        drop(state);
        self.changed.notify_all();
    }

    /// Nobody waits any more.
    pub(super) fn stop(&self) {
        self.state().1 = true;
        self.changed.notify_all();
    }

    /// Takes up to `wanted`, and waits while there is none; none once it is stopped.
    fn take(&self, wanted: u64) -> Option<u64> {
        let mut state = self.state();
        loop {
            if state.1 {
                return None;
            }
            let taken = state.0.min(wanted);
            if taken > 0 {
                state.0 -= taken;
                return Some(taken);
            }
            debug!("as many entries as may be are without an outcome: announcing waits");
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// Walks, and hands over what it finds, until it is at its end or nobody listens any more.
pub(super) fn walk(roots: &Roots, counters: &Counters, steps: &SyncSender<Vec<WalkStep>>) {
    let mut batch = Vec::new();
    let mut patience = Instant::now();
    for step in Walk::new(roots) {
        checkpoint(Worker::Walk);
        match &step {
            WalkStep::Found { kind, .. } => {
                Counters::add(&counters.entries_total, 1);
                if let Kind::File { size } = kind {
                    Counters::add(&counters.bytes_total, size.get());
                }
            }
            // Nobody has asked for that, nor will miss it.
            WalkStep::LeftOut { why, .. } if *why == LeftOut::Own => {}
            WalkStep::LeftOut { .. } => Counters::add(&counters.left_out, 1),
            _ => {}
        }
        batch.push(step);
        // A slow disk does not keep what it has found to itself.
        if batch.len() == BATCH || patience.elapsed() > Duration::from_millis(20) {
            if steps.send(std::mem::take(&mut batch)).is_err() {
                return;
            }
            patience = Instant::now();
        }
    }
    // Nobody listens any more where the session is over.
    let _ = steps.send(batch);
    counters.scanned.store(true, Ordering::Release);
}

impl Sending<'_> {
    /// Announces what the walk finds, within the window.
    pub(super) fn announce(&self, steps: &Receiver<Vec<WalkStep>>) {
        let mut open = Vec::new();
        let mut told = Instant::now();
        let (mut id, mut credit) = (0, 0);
        let mut entries = Vec::new();
        for batch in steps {
            for step in batch {
                checkpoint(Worker::Announcer);
                match step {
                    WalkStep::Found {
                        path,
                        kind,
                        mtime,
                        mode,
                    } => {
                        if credit == 0 {
                            // What credit is waited for may be what is still here.
                            self.announce_entries(&mut entries);
                            match self.credits.take(BATCH as u64) {
                                Some(taken) => credit = taken,
                                None => return,
                            }
                        }
                        credit -= 1;
                        if matches!(kind, Kind::Dir) {
                            open.push(id);
                        }
                        entries.push(Entry {
                            id,
                            path,
                            kind,
                            mtime,
                            mode,
                            extras: Vec::new(),
                        });
                        id += 1;
                    }
                    WalkStep::DirEnd { complete } => {
                        if let Some(entry) = open.pop() {
                            self.announce_entries(&mut entries);
                            let end = DirEnd { entry, complete };
                            self.link.outbox.push(Message::DirEnd(end));
                        }
                    }
                    WalkStep::Skipped { path, why } => {
                        self.unannounced.fetch_add(1, Ordering::Relaxed);
                        let outcome = Outcome::Failed(why);
                        self.progress.event(&Event::Entry {
                            session: self.session,
                            path: &path,
                            outcome: &outcome,
                        });
                    }
                    WalkStep::LeftOut { path, why } => {
                        if self.progress.wants_every_entry() {
                            self.progress.event(&Event::LeftOut {
                                session: self.session,
                                path: &path,
                                why,
                            });
                        }
                    }
                }
            }
            self.announce_entries(&mut entries);
            if told.elapsed() > TELL_TOTALS {
                self.tell_totals(false);
                told = Instant::now();
            }
        }
        if self.link.is_over() {
            return;
        }
        debug!(session = self.session, entries = id, "all is announced");
        self.walked.store(true, Ordering::Release);
        self.tell_totals(true);
        self.announced(id);
    }

    /// Announces entries, which have credit, and forgets them.
    fn announce_entries(&self, entries: &mut Vec<Entry>) {
        if !entries.is_empty() {
            let items = entries.iter().map(|entry| (entry.id, Item::of(entry)));
            self.items().extend(items);
            self.link.outbox.push_entries(entries.drain(..));
        }
    }

    fn tell_totals(&self, complete: bool) {
        self.link.outbox.push(Message::Scanned(Scanned {
            entries: Counters::get(&self.counters.entries_total),
            bytes: Counters::get(&self.counters.bytes_total),
            complete,
        }));
    }
}

/// Steps on their way from the walk to the announcements.
pub(super) fn steps() -> (SyncSender<Vec<WalkStep>>, Receiver<Vec<WalkStep>>) {
    std::sync::mpsc::sync_channel(BATCHES_AHEAD)
}

/// The counters as both threads share them.
pub(super) type SharedCounters = Arc<Counters>;
