//! The sender's walk, and the announcements made from it.
//!
//! Must not read files: that is the lanes' work.

use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, SyncSender};
use std::time::{Duration, Instant, SystemTime};

use tracing::debug;

use crate::model::digest::CHUNK_SIZE;
use crate::model::entry::{Entry, EntryId, Extra, Kind, Mode, Time};
use crate::model::outcome::{LeftOut, Outcome};
use crate::model::progress::{Counters, Event};
use crate::model::relpath::RelPath;
use crate::source::{PlacedWalk, Roots, WalkStep, WalkedFolders, ways};
use crate::sys::worker::{Worker, checkpoint};
use crate::wire::{DirEnd, Message, Scanned};

use super::super::link::Link;
use super::super::message_order::SendingEvent;
use super::entries::{Credits, UnsettledEntries};
use super::order::SharedOrder;
use super::report::SessionReport;

/// How many steps the walk hands over at once.
const BATCH: usize = 256;
/// How many batches the walk may be ahead of the announcements, so that totals are known early.
const BATCHES_AHEAD: usize = 256;
/// How long what the walk has found waits for more, at most.
const BATCH_TIME: Duration = Duration::from_millis(20);
/// How often totals are told while the walk goes on.
const TELL_TOTALS: Duration = Duration::from_millis(200);

/// What the walk hands over at once.
pub(super) struct WalkBatch {
    steps: Vec<WalkStep>,
    /// Whether the walk is at its end. One that stops without saying so has found only a part.
    is_last: bool,
}

/// Steps on their way from the walk to the announcements.
pub(super) fn steps() -> (SyncSender<WalkBatch>, Receiver<WalkBatch>) {
    std::sync::mpsc::sync_channel(BATCHES_AHEAD)
}

/// Walks, and hands over what it finds, until it is at its end or nobody listens any more.
pub(super) fn walk(
    roots: &Roots,
    walked: &WalkedFolders,
    counters: &Counters,
    to: &SyncSender<WalkBatch>,
) {
    let mut steps = Vec::new();
    let mut handed = Instant::now();
    for step in PlacedWalk::new(roots, walked) {
        checkpoint(Worker::Walk);
        match &step {
            WalkStep::Found { path, kind, .. } => {
                counters.tops.note(path);
                Counters::add(&counters.entries_total, 1);
                if let Kind::File { size } = kind {
                    Counters::add(&counters.bytes_total, size.get());
                }
            }
            WalkStep::Way { .. } => Counters::add(&counters.entries_total, 1),
            // Nobody has asked for these, and no filter left them out.
            WalkStep::LeftOut {
                why: LeftOut::Own | LeftOut::Special,
                ..
            } => {}
            WalkStep::LeftOut { .. } => Counters::add(&counters.left_out, 1),
            _ => {}
        }
        steps.push(step);
        // A slow disk does not keep what it has found to itself.
        if steps.len() == BATCH || handed.elapsed() > BATCH_TIME {
            let batch = WalkBatch {
                steps: std::mem::take(&mut steps),
                is_last: false,
            };
            if to.send(batch).is_err() {
                return;
            }
            handed = Instant::now();
        }
    }
    let is_last = true;
    // Nobody listens any more where the session is over.
    let _ = to.send(WalkBatch { steps, is_last });
    counters.scanned.store(true, Ordering::Release);
}

/// Hands over the one entry that a stream is, with the folders that lead to it.
pub(super) fn walk_stream(path: &RelPath, counters: &Counters, to: &SyncSender<WalkBatch>) {
    let mut before = path.parent().map(|place| ways(&place)).unwrap_or_default();
    let ends = before.len();
    before.reverse();
    let mut steps: Vec<_> = before
        .into_iter()
        .map(|path| WalkStep::Way { path })
        .collect();
    steps.push(WalkStep::Found {
        path: path.clone(),
        kind: Kind::Stream,
        mtime: now(),
        mode: Mode::from_stat(0o644),
        allocated: 0,
    });
    counters.tops.note(path);
    counters.is_stream.store(true, Ordering::Relaxed);
    Counters::add(&counters.entries_total, steps.len() as u64);
    steps.extend((0..ends).map(|_| WalkStep::DirEnd { complete: false }));
    // Nobody listens any more where the session is over.
    let _ = to.send(WalkBatch {
        steps,
        is_last: true,
    });
}

fn now() -> Time {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let seconds = now.map_or(0, |now| now.as_secs());
    Time::from_seconds(i64::try_from(seconds).unwrap_or(0))
}

/// Announces what the walk finds, within the window.
pub(super) struct EntryAnnouncer<'a> {
    pub(super) link: &'a Link,
    pub(super) entries: &'a UnsettledEntries,
    pub(super) credits: &'a Credits,
    pub(super) order: &'a SharedOrder<'a>,
    pub(super) report: SessionReport<'a>,
}

/// What the announcer keeps from step to step.
#[derive(Default)]
struct Manifest {
    /// The number of the next entry.
    next: EntryId,
    /// The folders that have not ended, outermost first.
    open: Vec<EntryId>,
    /// UnsettledEntries that have credit and are not announced yet.
    waiting: Vec<Entry>,
    /// How many more have credit.
    credit: u64,
}

impl EntryAnnouncer<'_> {
    /// Announces until the walk is at its end, or the session over.
    pub(super) fn run(&self, batches: &Receiver<WalkBatch>) {
        let mut manifest = Manifest::default();
        let mut told = Instant::now();
        let mut is_last = false;
        for batch in batches {
            is_last = batch.is_last;
            for step in batch.steps {
                checkpoint(Worker::Announcer);
                if !self.step(step, &mut manifest) {
                    return;
                }
            }
            self.announce(&mut manifest.waiting);
            if told.elapsed() > TELL_TOTALS {
                self.tell_totals(false);
                told = Instant::now();
            }
        }
        // Where the walk failed, what is left out must not count as all.
        if !is_last || self.link.is_over() {
            return;
        }
        let entries = manifest.next;
        debug!(session = self.report.session, entries, "all is announced");
        self.order.on(SendingEvent::Walked { entries });
        self.tell_totals(true);
        self.order.on(SendingEvent::Announced);
    }

    /// Takes a step of the walk. False where nobody gives credit any more.
    fn step(&self, step: WalkStep, manifest: &mut Manifest) -> bool {
        match step {
            WalkStep::Found {
                path,
                kind,
                mtime,
                mode,
                allocated,
            } => {
                let Some(id) = self.number(manifest) else {
                    return false;
                };
                if matches!(kind, Kind::Dir) {
                    manifest.open.push(id);
                }
                let extras = match kind {
                    // One that travels in one piece comes as a whole.
                    Kind::File { size }
                        if allocated < size.get() && size.get() > u64::from(CHUNK_SIZE) =>
                    {
                        vec![Extra::allocated(allocated)]
                    }
                    _ => Vec::new(),
                };
                manifest.waiting.push(Entry {
                    id,
                    path,
                    kind,
                    mtime,
                    mode,
                    extras,
                });
            }
            WalkStep::Way { path } => {
                let Some(id) = self.number(manifest) else {
                    return false;
                };
                manifest.open.push(id);
                manifest.waiting.push(Entry {
                    id,
                    path,
                    kind: Kind::Dir,
                    mtime: now(),
                    mode: Mode::from_stat(0o755),
                    extras: vec![Extra::way()],
                });
            }
            WalkStep::DirEnd { complete } => {
                if let Some(entry) = manifest.open.pop() {
                    self.announce(&mut manifest.waiting);
                    let end = DirEnd { entry, complete };
                    self.link.outbox.push(Message::DirEnd(end));
                }
            }
            WalkStep::Skipped { path, why } => {
                self.order.on(SendingEvent::Unannounced);
                self.report.outcome(&path, None, &Outcome::Failed(why));
            }
            WalkStep::LeftOut { path, why } => {
                let is_told = matches!(why, LeftOut::Special | LeftOut::Own);
                if is_told || self.report.progress.wants_every_entry() {
                    self.report.progress.event(&Event::LeftOut {
                        session: self.report.session,
                        path: &path,
                        why,
                    });
                }
            }
        }
        true
    }

    /// The number of the next entry; none where nobody gives credit any more.
    fn number(&self, manifest: &mut Manifest) -> Option<EntryId> {
        if manifest.credit == 0 {
            // What credit is waited for may be what is still here.
            self.announce(&mut manifest.waiting);
            manifest.credit = self.credits.take(BATCH as u64)?;
        }
        manifest.credit -= 1;
        let id = manifest.next;
        manifest.next += 1;
        Some(id)
    }

    /// Announces entries, which have credit, and forgets them.
    fn announce(&self, entries: &mut Vec<Entry>) {
        if !entries.is_empty() {
            self.entries.add(entries);
            self.link.outbox.push_entries(entries.drain(..));
        }
    }

    fn tell_totals(&self, complete: bool) {
        let counters = self.report.counters;
        self.link.outbox.push(Message::Scanned(Scanned {
            entries: Counters::get(&counters.entries_total),
            bytes: Counters::get(&counters.bytes_total),
            complete,
        }));
    }
}
