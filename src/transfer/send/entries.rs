//! The entries that have been announced and have no outcome: a table of them, and how many more
//! may be announced.
//!
//! Must not read files, nor believe an answer to what was not asked.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use tracing::debug;

use crate::model::digest::Algorithm;
use crate::model::entry::{Entry, EntryId, Time};
use crate::model::outcome::{Outcome, Summary};
use crate::model::progress::Counters;
use crate::model::relpath::RelPath;
use crate::wire::{EntryOutcome, FolderFailed, Held, Verified, Want};

use super::file::{Announced, SendFile};
use super::file_state::{EntryContent, FileAction, FileEvent, FileState, FileViolation};
use super::queue::Job;
use super::report::SessionReport;

/// An entry that has no outcome.
#[derive(Debug)]
struct Unsettled {
    path: RelPath,
    mtime: Time,
    state: FileState,
    /// The attempt that the receiver wants.
    file: Option<Arc<SendFile>>,
    /// Whether it was said to begin, so that it must be said to end.
    shown: bool,
}

#[derive(Debug, Default)]
struct EntryTable {
    unsettled: HashMap<EntryId, Unsettled>,
    /// What has been stored, and what has failed, by the outcomes that arrived.
    stored: Summary,
}

/// What has been announced and has no outcome.
#[derive(Debug, Default)]
pub(super) struct UnsettledEntries {
    table: Mutex<EntryTable>,
}

impl UnsettledEntries {
    fn table(&self) -> MutexGuard<'_, EntryTable> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in entries that are about to be announced.
    pub(super) fn add(&self, entries: &[Entry]) {
        let unsettled = entries.iter().map(|entry| {
            let unsettled = Unsettled {
                path: entry.path.clone(),
                mtime: entry.mtime,
                state: FileState::new(entry),
                file: None,
                shown: false,
            };
            (entry.id, unsettled)
        });
        self.table().unsettled.extend(unsettled);
    }

    /// What has been stored, and what has failed, so far.
    pub(super) fn stored(&self) -> Summary {
        self.table().stored
    }

    /// Begins attempts at files that the receiver wants. Gives what is to be sent of them now.
    pub(super) fn want(
        &self,
        wants: &[Want],
        algorithm: Algorithm,
        report: &SessionReport<'_>,
    ) -> Result<Vec<Job>, FileViolation> {
        let mut jobs = Vec::with_capacity(wants.len());
        let mut large = Vec::new();
        let mut table = self.table();
        for want in wants {
            let unsettled = table.unsettled.get_mut(&want.entry);
            let unsettled = unsettled.ok_or(FileViolation::WantOfNothing)?;
            let event = FileEvent::Want {
                attempt: want.attempt,
                held: want.held,
            };
            let chunks = match unsettled.state.on(event)? {
                FileAction::Begin => 0,
                FileAction::BeginAndSend { chunks } => chunks,
                _ => continue,
            };
            let file = unsettled.begin(want, algorithm);
            if !file.is_small() {
                large.push(file.clone());
            }
            jobs.extend(Job::new(file, 0, chunks, Vec::new()));
        }
        drop(table);
        for file in large {
            debug!(
                session = report.session,
                entry = file.entry,
                attempt = file.attempt,
                size = file.announced.size,
                path = ?file.path,
                "wanted"
            );
            report.file_started(&file);
        }
        Ok(jobs)
    }

    /// Takes what the receiver tells that it holds. Gives what is to be sent of that now.
    pub(super) fn held(&self, held: Held) -> Result<Option<Job>, FileViolation> {
        let mut table = self.table();
        let unsettled = table.unsettled.get_mut(&held.entry);
        let unsettled = unsettled.ok_or(FileViolation::HeldOfNothing)?;
        let event = FileEvent::Held {
            attempt: held.attempt,
            first: held.first,
            count: held.digests.len() as u64,
            last: held.last,
        };
        let job = match (unsettled.state.on(event)?, &unsettled.file) {
            (FileAction::Send { first, end }, Some(file)) => {
                Job::new(file.clone(), first, end, held.digests)
            }
            _ => None,
        };
        Ok(job)
    }

    /// Settles entries that have their outcome. Says whether a stream is among them.
    pub(super) fn settle(
        &self,
        outcomes: Vec<EntryOutcome>,
        report: &SessionReport<'_>,
    ) -> Result<bool, FileViolation> {
        let n = outcomes.len() as u64;
        let mut has_stream = false;
        let mut told = Vec::new();
        let mut table = self.table();
        for EntryOutcome { entry, outcome } in outcomes {
            let unsettled = table.unsettled.remove(&entry);
            let mut unsettled = unsettled.ok_or(FileViolation::OutcomeOfNothing)?;
            let more = match unsettled.state.on(FileEvent::Outcome)? {
                FileAction::Count { bytes } => bytes,
                _ => 0,
            };
            Counters::add(&report.counters.bytes_done, more);
            if matches!(outcome, Outcome::Have(_) | Outcome::Kept) {
                Counters::add(&report.counters.bytes_kept, more);
            }
            count(&mut table.stored, &unsettled.state, &outcome);
            has_stream |= unsettled.state.content() == EntryContent::Stream;
            if let Some(file) = &unsettled.file {
                file.end();
            }
            if unsettled.shown || report.tells(&outcome) {
                told.push((entry, unsettled, outcome));
            }
        }
        drop(table);
        for (entry, unsettled, outcome) in told {
            if unsettled.shown {
                report.file_ended(entry);
            }
            if report.tells(&outcome) {
                let is_file = unsettled.state.content() != EntryContent::Nothing;
                let file = is_file.then(|| unsettled.state.size());
                report.outcome(&unsettled.path.as_path(), file, &outcome);
            }
        }
        Counters::add(&report.counters.entries_done, n);
        Ok(has_stream)
    }

    /// A folder that counted as stored, or there before, has failed after all.
    pub(super) fn folder_failed(&self, failed: FolderFailed, report: &SessionReport<'_>) {
        let mut table = self.table();
        table.stored.failed = table.stored.failed.saturating_add(1);
        drop(table);
        report.outcome(&failed.path.as_path(), None, &Outcome::Failed(failed.why));
    }

    /// Takes how much the receiver has verified of files. Of a stream not more counts than was
    /// `sent`.
    pub(super) fn verified(&self, verified: &Verified, sent: u64, counters: &Counters) {
        let mut table = self.table();
        for file in &verified.0 {
            // It may have ended, or started anew, in the meantime.
            let Some(unsettled) = table.unsettled.get_mut(&file.entry) else {
                continue;
            };
            let most = match unsettled.state.content() {
                EntryContent::Stream => sent,
                _ => unsettled.state.size(),
            };
            let bytes = file.bytes.min(most);
            let event = FileEvent::Verified { bytes, sent };
            if let Ok(FileAction::Count { bytes }) = unsettled.state.on(event) {
                Counters::add(&counters.bytes_done, bytes);
            }
            if let Some(file) = &unsettled.file {
                file.verified.store(bytes, Ordering::Relaxed);
            }
        }
    }

    /// Another attempt at a file begins: it is something else than was announced.
    pub(super) fn changed(&self, entry: EntryId, attempt: u32, now: Announced) {
        if let Some(unsettled) = self.table().unsettled.get_mut(&entry) {
            let size = now.size;
            // Only what the receiver says can be against the order.
            let _ = unsettled.state.on(FileEvent::Changed { attempt, size });
            unsettled.mtime = now.mtime;
        }
    }

    /// A stream has turned out to be so large.
    pub(super) fn stream_ended(&self, entry: EntryId, size: u64) {
        if let Some(unsettled) = self.table().unsettled.get_mut(&entry) {
            let _ = unsettled.state.on(FileEvent::StreamEnded { size });
        }
    }
}

impl Unsettled {
    /// Begins the attempt that is wanted.
    fn begin(&mut self, want: &Want, algorithm: Algorithm) -> Arc<SendFile> {
        let file = Arc::new(SendFile::new(
            want.entry,
            want.attempt,
            self.path.clone(),
            Announced {
                size: self.state.size(),
                mtime: self.mtime,
            },
            self.state.content() == EntryContent::Stream,
            algorithm,
        ));
        self.shown |= !file.is_small();
        self.file = Some(file.clone());
        file
    }
}

/// Counts an outcome.
fn count(stored: &mut Summary, state: &FileState, outcome: &Outcome) {
    match outcome {
        Outcome::Stored(_) | Outcome::Replaced => {
            stored.stored += 1;
            stored.files += u64::from(state.content() != EntryContent::Nothing);
            stored.bytes += state.size();
            stored.renamed += u64::from(matches!(outcome, Outcome::Stored(Some(_))));
            stored.replaced += u64::from(matches!(outcome, Outcome::Replaced));
        }
        Outcome::Failed(_) => stored.failed += 1,
        Outcome::Have(_) | Outcome::Kept => {}
    }
}

#[derive(Debug)]
struct CreditState {
    left: u64,
    stopped: bool,
}

/// How many more entries may be announced.
#[derive(Debug)]
pub(super) struct Credits {
    state: Mutex<CreditState>,
    changed: Condvar,
}

impl Credits {
    pub(super) fn new(window: u32) -> Self {
        let state = CreditState {
            left: window.into(),
            stopped: false,
        };
        Self {
            state: Mutex::new(state),
            changed: Condvar::new(),
        }
    }

    fn state(&self) -> MutexGuard<'_, CreditState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn give(&self, n: u64) {
        self.state().left += n;
        self.changed.notify_all();
    }

    /// Nobody waits any more.
    pub(super) fn stop(&self) {
        self.state().stopped = true;
        self.changed.notify_all();
    }

    /// Takes up to `wanted`, and waits while there is none; none once it is stopped.
    pub(super) fn take(&self, wanted: u64) -> Option<u64> {
        let mut state = self.state();
        loop {
            if state.stopped {
                return None;
            }
            let taken = state.left.min(wanted);
            if taken > 0 {
                state.left -= taken;
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
