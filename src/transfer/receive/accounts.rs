//! The books of a receiving session: what has an outcome, what is verified, what was removed.
//!
//! Must not tell an outcome before it is entered: the sum has to be right whenever all is told.

use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard, PoisonError};

use crate::model::outcome::{Outcome, Summary, Why};
use crate::model::progress::{Counters, Event};
use crate::model::relpath::RelPath;
use crate::store::{FailedFolder, Incoming};
use crate::wire::{EntryOutcome, FileVerified, FolderFailed, Message, Verified, limits};

use super::file::Slot;
use super::session::{Receiving, Target};

/// How a file ended, for the books.
#[derive(Debug, Default)]
pub(super) struct Ended {
    pub(super) size: u64,
    /// How many of its bytes had been counted as verified.
    pub(super) verified: u64,
    /// How many of its bytes did not travel.
    pub(super) held_bytes: u64,
    pub(super) is_file: bool,
}

/// A file that came as one chunk: nobody else has it any more.
#[derive(Debug)]
pub(super) struct Whole {
    pub(super) slot: Arc<Slot>,
    pub(super) incoming: Arc<Incoming>,
}

impl Receiving {
    /// How far the large files are that have moved since it was last asked.
    pub(super) fn report(&self) -> Option<Message> {
        let mut list = Vec::new();
        if let Target::Output(output) = &self.target {
            list.extend(output.report());
        }
        for (&entry, (slot, told)) in self.large().iter_mut() {
            let bytes = slot.verified.load(Ordering::Relaxed);
            if bytes != *told && list.len() < limits::MAX_VERIFIED {
                *told = bytes;
                list.push(FileVerified { entry, bytes });
            }
        }
        (!list.is_empty()).then_some(Message::Verified(Verified(list)))
    }

    pub(super) fn count_verified(&self, bytes: u64, held: bool) {
        Counters::add(&self.counters.bytes_done, bytes);
        if held {
            Counters::add(&self.counters.bytes_kept, bytes);
        }
    }

    /// What was verified of a file does not count: it starts anew.
    pub(super) fn uncount(&self, verified: u64) {
        self.counters
            .bytes_done
            .fetch_sub(verified, Ordering::Relaxed);
    }

    /// Fails a file.
    pub(super) fn fail_slot(&self, slot: &Arc<Slot>, why: Why) {
        if slot.end() {
            self.outcome(slot, Outcome::Failed(why), 0);
        }
    }

    /// Gives a wanted file its one outcome.
    pub(super) fn outcome(&self, slot: &Arc<Slot>, outcome: Outcome, held_bytes: u64) {
        if self.slots().remove(&slot.entry).is_none() {
            return;
        }
        if self.large().remove(&slot.entry).is_some() && !slot.is_stream {
            self.progress.event(&Event::FileEnded {
                session: self.session,
                entry: slot.entry,
            });
        }
        if slot.is_stream {
            self.counters.scanned.store(true, Ordering::Release);
        }
        self.add_sum(&slot.path, None, &outcome);
        let ended = Ended {
            size: slot.size(),
            verified: slot.verified.load(Ordering::Relaxed),
            held_bytes,
            is_file: true,
        };
        self.ended(slot, &ended, outcome);
    }

    /// Gives a file that came as one chunk its one outcome.
    pub(super) fn whole_outcome(&self, whole: Whole, outcome: Outcome) {
        let Whole { slot, incoming } = whole;
        let ended = Ended {
            size: incoming.size(),
            is_file: true,
            ..Ended::default()
        };
        // Its folder is finished before the outcome can be the last that is waited for.
        drop(incoming);
        self.ended(&slot, &ended, outcome);
    }

    fn ended(&self, slot: &Slot, ended: &Ended, outcome: Outcome) {
        let bytes = slot.path.as_bytes().len();
        self.path_bytes.fetch_sub(bytes, Ordering::AcqRel);
        self.record(&slot.path, ended, &outcome);
        self.link.outbox.push_outcome(EntryOutcome {
            entry: slot.entry,
            outcome,
        });
    }

    /// Enters an outcome into the books, before it is told.
    pub(super) fn record(&self, path: &RelPath, ended: &Ended, outcome: &Outcome) {
        let mut tally = self.tally();
        match outcome {
            Outcome::Stored(other) => {
                tally.stored += 1;
                tally.files += u64::from(ended.is_file);
                tally.bytes += ended.size;
                tally.held_bytes += ended.held_bytes;
                tally.renamed += u64::from(other.is_some());
            }
            Outcome::Replaced => {
                tally.stored += 1;
                tally.files += u64::from(ended.is_file);
                tally.bytes += ended.size;
                tally.held_bytes += ended.held_bytes;
                tally.replaced += 1;
            }
            Outcome::Kept => tally.kept += 1,
            Outcome::Have(_) => {
                tally.have += 1;
                tally.have_files += u64::from(ended.is_file);
                tally.have_bytes += ended.size;
            }
            Outcome::Failed(_) => tally.failed += 1,
        }
        drop(tally);
        let left = ended.size.saturating_sub(ended.verified);
        let kept = matches!(outcome, Outcome::Have(_) | Outcome::Kept);
        self.count_verified(left, kept);
        Counters::add(&self.counters.entries_done, 1);
        self.outcomes.fetch_add(1, Ordering::SeqCst);
        self.rest_if_due();
        if !outcome.is_plain() || self.progress.wants_every_entry() {
            self.progress.event(&Event::Entry {
                session: self.session,
                path: path.as_path(),
                outcome,
            });
        }
    }

    /// A folder is there, but something about it could not be done.
    pub(super) fn folder_failed(&self, failed: FailedFolder) {
        let mut tally = self.tally();
        // It has been counted, as made or as there before; every entry counts once.
        let counted = match failed.fresh {
            true => &mut tally.stored,
            false => &mut tally.have,
        };
        *counted = counted.saturating_sub(1);
        tally.failed += 1;
        drop(tally);
        let FailedFolder { path, why, .. } = failed;
        self.progress.event(&Event::Entry {
            session: self.session,
            path: path.as_path(),
            outcome: &Outcome::Failed(why.clone()),
        });
        let told = FolderFailed { path, why };
        self.link.outbox.push(Message::FolderFailed(told));
    }

    /// Whether any entry has failed.
    pub(super) fn has_failed(&self) -> bool {
        self.tally().failed > 0
    }

    pub(super) fn count_removed(&self, removed: u64) {
        self.tally().removed += removed;
    }

    pub(super) fn tally(&self) -> MutexGuard<'_, Summary> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The session in numbers, with what the sender could not even announce.
    pub(super) fn summarize(&self, unannounced: u64) -> Summary {
        let mut tally = self.tally();
        tally.failed = tally.failed.saturating_add(unannounced);
        tally.shares = self.counters.times.shares();
        *tally
    }
}
