//! What a sending session reports: its entries' events and its counters.
//!
//! Must not be told under a lock: whoever hears of an event may take its time.

use crate::model::entry::EntryId;
use crate::model::outcome::{NotKept, Outcome, Wish};
use crate::model::progress::{Counters, Event, Progress};
use crate::model::relpath::RelPath;

use super::file::SendFile;

/// Tells of one session.
#[derive(Debug, Clone, Copy)]
pub(super) struct SessionReport<'a> {
    pub(super) session: u64,
    pub(super) progress: &'a dyn Progress,
    pub(super) counters: &'a Counters,
    /// Whether every outcome is told, and not only those that are news.
    every_outcome: bool,
}

impl<'a> SessionReport<'a> {
    pub(super) fn new(
        session: u64,
        wish: Wish,
        progress: &'a dyn Progress,
        counters: &'a Counters,
    ) -> Self {
        Self {
            session,
            progress,
            counters,
            every_outcome: wish.dry_run || progress.wants_every_entry(),
        }
    }

    /// Whether this outcome is told.
    pub(super) fn tells(&self, outcome: &Outcome) -> bool {
        self.every_outcome || !outcome.is_plain()
    }

    /// A file begins to be sent that is large enough to be watched.
    pub(super) fn file_started(&self, file: &SendFile) {
        self.progress.event(&Event::FileStarted {
            session: self.session,
            entry: file.entry,
            path: &file.path,
            size: file.announced.size,
            verified: &file.verified,
        });
    }

    pub(super) fn file_ended(&self, entry: EntryId) {
        self.progress.event(&Event::FileEnded {
            session: self.session,
            entry,
        });
    }

    /// The outcome of an entry: of a file, of `file` bytes, or of something else.
    pub(super) fn outcome(&self, path: &std::path::Path, file: Option<u64>, outcome: &Outcome) {
        self.progress.event(&Event::Entry {
            session: self.session,
            path,
            size: file.unwrap_or(0),
            is_file: file.is_some(),
            outcome,
        });
    }

    pub(super) fn not_kept(&self, not_kept: &NotKept) {
        self.progress.event(&Event::NotKept {
            session: self.session,
            not_kept,
        });
    }

    pub(super) fn removed(&self, path: &RelPath) {
        Counters::add(&self.counters.deleted, 1);
        self.progress.event(&Event::Removed {
            session: self.session,
            path,
        });
    }
}
