//! What a sender does about the receiver's answers to what it announced: it sends what is wanted,
//! and keeps count of what has an outcome.
//!
//! Must not believe an answer to what was not asked: that ends the session.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tracing::debug;

use crate::model::digest::chunk_count;
use crate::model::entry::{Entry, EntryId, Kind};
use crate::model::error::Result;
use crate::model::outcome::Outcome;
use crate::model::progress::{Counters, Event};
use crate::model::relpath::RelPath;
use crate::wire::{EntryOutcome, FolderFailed, Held, Verified, Want};

use super::file::{Announced, SendFile};
use super::queue::Job;
use super::session::Sending;

/// An entry that has no outcome.
#[derive(Debug)]
pub(super) struct Item {
    path: RelPath,
    is_file: bool,
    is_stream: bool,
    announced: Announced,
    attempt: u32,
    file: Option<Arc<SendFile>>,
    /// Whether it was said to begin, so that it must be said to end.
    shown: bool,
    /// How many of its bytes count as done.
    counted: u64,
    /// How many of its chunks the receiver has said whether it holds.
    held_until: u64,
}

impl Item {
    pub(super) fn of(entry: &Entry) -> Self {
        Self {
            path: entry.path.clone(),
            is_file: matches!(entry.kind, Kind::File { .. } | Kind::Stream),
            is_stream: matches!(entry.kind, Kind::Stream),
            announced: Announced {
                size: entry.size(),
                mtime: entry.mtime,
            },
            attempt: 0,
            file: None,
            shown: false,
            counted: 0,
            held_until: 0,
        }
    }

    pub(super) fn start_anew(&mut self, attempt: u32, announced: Announced) {
        self.attempt = attempt;
        self.announced = announced;
        self.held_until = 0;
    }

    /// Takes note of how large a stream has turned out to be.
    pub(super) fn end_stream(&mut self, size: u64) {
        self.announced.size = size;
    }

    /// Counts `bytes` of it as done, and says how many of them had not been.
    fn count(&mut self, bytes: u64) -> u64 {
        let more = bytes.saturating_sub(self.counted);
        self.counted += more;
        more
    }
}

impl Sending<'_> {
    /// Has files sent that the receiver wants.
    pub(super) fn wants(&self, wants: Vec<Want>) -> Result<()> {
        if self.wish.dry_run {
            return Err(self.broken("a want in a dry run"));
        }
        let mut jobs = Vec::with_capacity(wants.len());
        let mut large = Vec::new();
        let mut items = self.items();
        for want in wants {
            let Some(file) = self.want(&mut items, want)? else {
                continue;
            };
            if !file.is_small() {
                large.push(file.clone());
            }
            if !want.held {
                let chunks = chunk_count(file.announced.size);
                jobs.extend(Job::new(file, 0, chunks, Vec::new()));
            }
        }
        drop(items);
        for file in large {
            debug!(
                session = self.session,
                entry = file.entry,
                attempt = file.attempt,
                size = file.announced.size,
                path = ?file.path,
                "wanted"
            );
            self.progress.event(&Event::FileStarted {
                session: self.session,
                entry: file.entry,
                path: &file.path,
                size: file.announced.size,
                verified: &file.verified,
            });
        }
        self.queue.push(jobs);
        Ok(())
    }

    /// A file that the receiver wants; none where it has started anew since.
    fn want(
        &self,
        items: &mut HashMap<EntryId, Item>,
        want: Want,
    ) -> Result<Option<Arc<SendFile>>> {
        let item = items
            .get_mut(&want.entry)
            .filter(|item| item.is_file)
            .ok_or_else(|| self.broken("a want for what was not offered"))?;
        if want.attempt > item.attempt {
            return Err(self.broken("a want for an attempt that has not begun"));
        }
        if want.attempt < item.attempt {
            return Ok(None);
        }
        if item
            .file
            .as_ref()
            .is_some_and(|file| file.attempt == want.attempt)
        {
            return Err(self.broken("a second want for a file"));
        }
        if item.is_stream && want.held {
            return Err(self.broken("a want for what is held of a stream"));
        }
        let file = Arc::new(SendFile::new(
            want.entry,
            want.attempt,
            item.path.clone(),
            item.announced,
            item.is_stream,
            self.algorithm,
        ));
        item.file = Some(file.clone());
        item.shown |= !file.is_small();
        if !want.held {
            // Nothing more is to be said of what is held.
            item.held_until = chunk_count(file.announced.size);
        }
        Ok(Some(file))
    }

    pub(super) fn held(&self, held: Held) -> Result<()> {
        let mut items = self.items();
        let Some(item) = items.get_mut(&held.entry) else {
            return Err(self.broken("a list of held chunks of what was not offered"));
        };
        if held.attempt < item.attempt {
            // The file has started anew since.
            return Ok(());
        }
        let Some(file) = item.file.clone().filter(|f| f.attempt == held.attempt) else {
            return Err(self.broken("a list of held chunks of what is not wanted"));
        };
        let chunks = chunk_count(file.announced.size);
        let end = held.first.saturating_add(held.digests.len() as u64);
        if held.first != item.held_until || end > chunks || item.held_until == chunks {
            return Err(self.broken("a list of held chunks out of order"));
        }
        let end = if held.last { chunks } else { end };
        item.held_until = end;
        drop(items);
        self.queue
            .push(Job::new(file, held.first, end, held.digests));
        Ok(())
    }

    pub(super) fn outcomes(&self, outcomes: Vec<EntryOutcome>) -> Result<()> {
        let n = outcomes.len() as u64;
        let mut items = self.items();
        for EntryOutcome { entry, outcome } in outcomes {
            let Some(mut item) = items.remove(&entry) else {
                return Err(self.broken("an outcome of what was not offered"));
            };
            self.ended(entry, &mut item, &outcome);
        }
        drop(items);
        Counters::add(&self.counters.entries_done, n);
        self.credits.give(n);
        self.end_if_done();
        Ok(())
    }

    fn ended(&self, entry: EntryId, item: &mut Item, outcome: &Outcome) {
        let size = item.announced.size;
        let more = item.count(size);
        Counters::add(&self.counters.bytes_done, more);
        let mut stored = self.stored();
        match outcome {
            Outcome::Stored(other) => {
                stored.stored += 1;
                stored.files += u64::from(item.is_file);
                stored.bytes += size;
                stored.renamed += u64::from(other.is_some());
            }
            Outcome::Replaced => {
                stored.stored += 1;
                stored.files += u64::from(item.is_file);
                stored.bytes += size;
                stored.replaced += 1;
            }
            Outcome::Have(_) | Outcome::Kept => Counters::add(&self.counters.bytes_kept, more),
            Outcome::Failed(_) => stored.failed += 1,
        }
        drop(stored);
        if let Some(file) = &item.file {
            file.end();
        }
        if let Some(input) = self.input.as_ref().filter(|_| item.is_stream) {
            // It may wait for more of what nobody wants any more.
            input.stop();
        }
        if item.shown {
            self.progress.event(&Event::FileEnded {
                session: self.session,
                entry,
            });
        }
        let every = self.wish.dry_run || self.progress.wants_every_entry();
        if !outcome.is_plain() || every {
            self.progress.event(&Event::Entry {
                session: self.session,
                path: item.path.as_path(),
                outcome,
            });
        }
    }

    /// A folder that counted as stored, or there before, has failed after all.
    pub(super) fn folder_failed(&self, failed: FolderFailed) {
        let mut stored = self.stored();
        stored.failed = stored.failed.saturating_add(1);
        drop(stored);
        self.progress.event(&Event::Entry {
            session: self.session,
            path: failed.path.as_path(),
            outcome: &Outcome::Failed(failed.why),
        });
    }

    pub(super) fn verified(&self, verified: &Verified) {
        let mut items = self.items();
        for file in &verified.0 {
            // It may have ended, or started anew, in the meantime.
            let Some(item) = items.get_mut(&file.entry) else {
                continue;
            };
            let most = match item.is_stream {
                true => self.moved.load(Ordering::Relaxed),
                false => item.announced.size,
            };
            let bytes = file.bytes.min(most);
            Counters::add(&self.counters.bytes_done, item.count(bytes));
            if let Some(file) = &item.file {
                file.verified.store(bytes, Ordering::Relaxed);
            }
        }
    }
}
