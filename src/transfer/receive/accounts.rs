//! The accounts of a receiving session: what was announced, what has an outcome, what is verified,
//! what was removed; and the order of its messages, which depends on them.
//!
//! Must not tell the sender an outcome before counting it: the sum must be right once all are told.

use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::super::link::Link;
use super::super::message_order::OrderViolation;
use crate::model::entry::EntryId;
use crate::model::error::{Error, Result};
use crate::model::outcome::{NotKept, Outcome, Summary, Why};
use crate::model::progress::{Counters, Event, Progress};
use crate::model::relpath::RelPath;
use crate::store::FailedFolder;
use crate::wire::{EntryOutcome, Features, FolderFailed, Message};

use super::order::ReceivingOrder;
use super::queue::{PlannerTask, WorkQueue};

/// How an entry ended, for the accounts.
#[derive(Debug, Default)]
pub(super) struct EndedEntry {
    pub(super) size: u64,
    /// How many of its bytes had been counted as verified.
    pub(super) verified: u64,
    /// How many of its bytes did not travel.
    pub(super) held_bytes: u64,
    pub(super) is_file: bool,
}

/// What was counted so far, and what may be said now.
#[derive(Debug)]
struct CountedEntries {
    summary: Summary,
    /// How many have failed that another run of the same mirror stores.
    postponed: u64,
    /// How many were gone at the sender when they were to be read.
    vanished: u64,
    order: ReceivingOrder,
}

/// The accounts of a session.
pub(super) struct Accounts {
    pub(super) session: u64,
    pub(super) progress: Arc<dyn Progress>,
    pub(super) counters: Arc<Counters>,
    link: Arc<Link>,
    tasks: Arc<WorkQueue<PlannerTask>>,
    counted: Mutex<CountedEntries>,
}

impl Accounts {
    pub(super) fn new(
        session: u64,
        window: u32,
        (progress, counters): (Arc<dyn Progress>, Arc<Counters>),
        link: Arc<Link>,
        tasks: Arc<WorkQueue<PlannerTask>>,
    ) -> Self {
        Self {
            session,
            progress,
            counters,
            link,
            tasks,
            counted: Mutex::new(CountedEntries {
                summary: Summary::default(),
                postponed: 0,
                vanished: 0,
                order: ReceivingOrder::new(window),
            }),
        }
    }

    fn counted(&self) -> MutexGuard<'_, CountedEntries> {
        self.counted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The error of a sender that broke the rules.
    pub(super) fn breach(&self, what: impl fmt::Display) -> Error {
        Error::protocol(self.link.peer, what)
    }

    /// Takes note of what the sender says, if it may say that now.
    pub(super) fn hear(&self, message: &Message) -> Result<(), OrderViolation> {
        self.counted().order.hear(message)
    }

    /// How many entries were announced.
    pub(super) fn announced(&self) -> u64 {
        self.counted().order.announced()
    }

    pub(super) fn has_stream(&self) -> bool {
        self.counted().order.has_stream()
    }

    /// Whether something may be said about an entry that is not wanted: it may have ended while
    /// that was on its way.
    pub(super) fn check_announced(&self, entry: EntryId, what: &str) -> Result<()> {
        match self.counted().order.was_announced(entry) {
            true => Ok(()),
            false => Err(self.breach(what)),
        }
    }

    /// An entry waits for removals.
    pub(super) fn defer(&self) {
        self.counted().order.defer();
    }

    /// All that was announced has been decided about.
    pub(super) fn all_decided(&self) {
        let due = self.counted().order.all_decided();
        self.resume_if(due);
    }

    /// Entries that waited for removals are as any others from here on.
    pub(super) fn resume_deferred(&self) {
        self.counted().order.resume_deferred();
    }

    /// Has the planner see to what waits for removals.
    fn resume_if(&self, due: bool) {
        if due {
            self.tasks.push(PlannerTask::Deferred, PlannerTask::BYTES);
        }
    }

    /// The sender is asked something.
    pub(super) fn ask(&self, question: Message) {
        self.counted().order.ask();
        self.link.outbox.push(question);
    }

    /// Counts bytes as verified.
    pub(super) fn verified(&self, bytes: u64, held: bool) {
        Counters::add(&self.counters.bytes_done, bytes);
        if held {
            Counters::add(&self.counters.bytes_kept, bytes);
        }
    }

    /// What was verified of a file does not count: it starts anew.
    pub(super) fn unverified(&self, bytes: u64) {
        let done = &self.counters.bytes_done;
        done.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Enters the outcome of an entry, and then tells it.
    pub(super) fn outcome(
        &self,
        entry: EntryId,
        path: &RelPath,
        ended: &EndedEntry,
        outcome: Outcome,
    ) {
        let due = self.enter(ended, &outcome);
        let left = ended.size.saturating_sub(ended.verified);
        let kept = matches!(outcome, Outcome::Have(_) | Outcome::Kept);
        self.verified(left, kept);
        Counters::add(&self.counters.entries_done, 1);
        self.resume_if(due);
        if !outcome.is_plain() || self.progress.wants_every_entry() {
            self.progress.event(&Event::Entry {
                session: self.session,
                path: &path.as_path(),
                size: ended.size,
                is_file: ended.is_file,
                outcome: &outcome,
            });
        }
        self.link
            .outbox
            .push_outcome(EntryOutcome { entry, outcome });
    }

    /// Says whether it is time for what waits for removals.
    fn enter(&self, ended: &EndedEntry, outcome: &Outcome) -> bool {
        let mut counted = self.counted();
        let EndedEntry {
            size,
            held_bytes,
            is_file,
            ..
        } = *ended;
        counted.summary.count(outcome, is_file, size, held_bytes);
        counted.vanished += u64::from(*outcome == Outcome::Failed(Why::Vanished));
        counted.order.outcome()
    }

    /// An entry is about to fail that another run of the same mirror stores.
    pub(super) fn postpone(&self) {
        self.counted().postponed += 1;
    }

    /// A folder is there, but something about it could not be done.
    pub(super) fn folder_failed(&self, failed: FailedFolder) {
        let mut counted = self.counted();
        let summary = &mut counted.summary;
        // It has been counted, as made or as there before; every entry counts once.
        let before = match failed.fresh {
            true => &mut summary.stored,
            false => &mut summary.have,
        };
        *before = before.saturating_sub(1);
        summary.failed += 1;
        drop(counted);
        let FailedFolder { path, why, .. } = failed;
        self.progress.event(&Event::Entry {
            session: self.session,
            path: &path.as_path(),
            size: 0,
            is_file: false,
            outcome: &Outcome::Failed(why.clone()),
        });
        let told = FolderFailed { path, why };
        self.link.outbox.push(Message::FolderFailed(told));
    }

    /// Something could not be kept of entries that are stored.
    pub(super) fn not_kept(&self, not_kept: NotKept) {
        self.progress.event(&Event::NotKept {
            session: self.session,
            not_kept: &not_kept,
        });
        let outbox = &self.link.outbox;
        if outbox.understands(Features::MORE_REASONS) {
            outbox.push(Message::NotKept(not_kept));
        }
    }

    /// Whether any entry has failed for good that the sender still has.
    pub(super) fn has_failed(&self) -> bool {
        let counted = self.counted();
        counted.summary.failed > counted.postponed + counted.vanished
    }

    /// Whether any entry has failed that another run of the same mirror stores.
    pub(super) fn has_postponed(&self) -> bool {
        self.counted().postponed > 0
    }

    /// So many things are about to be removed.
    pub(super) fn begin_removal(&self, count: u64) {
        self.counters.to_delete.store(count, Ordering::Relaxed);
    }

    pub(super) fn removed(&self, count: u64) {
        Counters::add(&self.counters.deleted, count);
        self.counted().summary.removed += count;
    }

    /// The session in numbers.
    pub(super) fn summary(&self) -> Summary {
        self.counted().summary
    }

    /// The same at its end, with what the sender could not even announce.
    pub(super) fn summarize(&self, unannounced: u64) -> Summary {
        let mut counted = self.counted();
        let summary = &mut counted.summary;
        summary.failed = summary.failed.saturating_add(unannounced);
        summary.shares = self.counters.times.shares();
        *summary
    }
}
