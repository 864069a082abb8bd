//! The receiver's planner: one thread that decides, in the manifest's order, what becomes of
//! each entry.
//!
//! Must not wait for chunks: whatever needs data is handed to the lanes through a slot.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use tracing::debug;

use crate::model::digest::chunk_count;
use crate::model::entry::{Entry, EntryId, FileSize, Kind, Mode, Time};
use crate::model::error::{Action, Error, Result};
use crate::model::outcome::{Outcome, Why};
use crate::model::relpath::RelPath;
use crate::model::surplus::Decision;
use crate::store::{Folder, Planned, STREAM, StoreSession};
use crate::sys::worker::{Worker, checkpoint};
use crate::wire::{Changed, Done, EntryOutcome, Message, Skipped, Want, limits};

use super::accounts::Ended;
use super::file::{Anew, Slot};
use super::session::{Receiving, Target};

/// How many files are asked for at once: enough to be worth a message, and few enough that the
/// first bytes come soon.
const WANTS: usize = 64;

/// Something for the planner to do, in order.
#[derive(Debug)]
pub(super) enum Task {
    Entries(Vec<Entry>),
    DirEnd {
        complete: bool,
    },
    Done(Done),
    Skipped(Skipped),
    Changed(Changed),
    /// Every entry has been announced.
    Announced,
    End,
    /// What is to become of what the sender was asked about.
    Decisions(Vec<Decision>),
    /// Every entry has its outcome, but for those that wait for removals.
    Rest,
}

/// A folder that has not ended.
struct OpenFolder {
    folder: Result<Arc<Folder>, Why>,
    mode: Mode,
    mtime: Time,
}

/// A file or link that waits for the removal of a folder that has its name.
pub(super) struct Behind {
    pub(super) folder: Arc<Folder>,
    pub(super) entry: Entry,
}

impl Receiving {
    /// Decides about entries as they are announced, until all is done. True if it came to that.
    pub(super) fn plan(&self) -> Result<bool> {
        let store = match &self.target {
            Target::Folder(store) => store,
            Target::Output(output) => return self.plan_output(output),
        };
        let root = store
            .begin()
            .and_then(|()| store.root())
            .map_err(|e| Error::file(Action::Open, &self.dir, e))?;
        let mut open: Vec<OpenFolder> = Vec::new();
        let (mut wanted, mut behind) = (Vec::new(), Vec::new());
        while let Some(task) = self.tasks.pop() {
            checkpoint(Worker::Planner);
            match task {
                Task::Entries(entries) => {
                    for entry in entries {
                        let parent = match open.last().map(|open| &open.folder) {
                            None => Ok(&root),
                            Some(Ok(folder)) => Ok(folder),
                            Some(Err(_)) => Err(Why::Parent),
                        };
                        if matches!(entry.kind, Kind::Dir) {
                            open.push(self.folder(store, parent, entry));
                        } else {
                            self.entry(store, parent, entry, &mut wanted, &mut behind);
                        }
                        if wanted.len() == WANTS {
                            self.want(&mut wanted);
                        }
                    }
                    self.want(&mut wanted);
                }
                Task::DirEnd { complete } => {
                    if let Some(OpenFolder {
                        folder: Ok(folder),
                        mode,
                        mtime,
                    }) = open.pop()
                    {
                        store.finish_folder(&folder, complete, mode, mtime);
                    }
                }
                Task::Done(done) => match self.slot(done.entry) {
                    Some(slot) => {
                        if let Some(finished) = slot.done(done.attempt, done.digest) {
                            self.finisher.end(slot, finished);
                        }
                    }
                    None if self.was_announced(done.entry) => {}
                    None => return Err(self.broken("an end of what was not announced")),
                },
                Task::Skipped(skipped) => match self.slot(skipped.entry) {
                    Some(slot) => self.fail_slot(&slot, skipped.why),
                    None if self.was_announced(skipped.entry) => {}
                    None => return Err(self.broken("an entry skipped that was not announced")),
                },
                Task::Changed(changed) => self.start_anew(store, &changed)?,
                Task::Announced => {
                    self.all_known.store(true, Ordering::SeqCst);
                    self.rest_if_due();
                }
                Task::Rest => {
                    self.rest(store, &mut behind, &mut wanted)?;
                    self.want(&mut wanted);
                }
                Task::Decisions(_) => {}
                Task::End => return Ok(true),
            }
        }
        Ok(false)
    }

    /// Decides about a folder.
    fn folder(
        &self,
        store: &Arc<StoreSession>,
        parent: Result<&Arc<Folder>, Why>,
        entry: Entry,
    ) -> OpenFolder {
        let path = &entry.path;
        let give_up = || {
            (self.end_dead_twins)();
            self.link.is_over()
        };
        let folder = parent.and_then(|parent| {
            store.announced(parent, path);
            store.folder(parent, path, entry.mode, give_up)
        });
        let outcome = match &folder {
            Ok(folder) if folder.is_fresh() => Outcome::Stored(None),
            Ok(_) => Outcome::Have(None),
            Err(why) => Outcome::Failed(why.clone()),
        };
        self.entry_outcome(entry.id, path, None, outcome);
        OpenFolder {
            folder,
            mode: entry.mode,
            mtime: entry.mtime,
        }
    }

    /// Decides about a file or link. A file that is to come is added to those that are `wanted`,
    /// and what a folder is in the way of that a mirror is to remove, to those `behind` that.
    fn entry(
        &self,
        store: &Arc<StoreSession>,
        parent: Result<&Arc<Folder>, Why>,
        entry: Entry,
        wanted: &mut Vec<Arc<Slot>>,
        behind: &mut Vec<Behind>,
    ) {
        let (is_other, mut planned) = match &parent {
            Ok(parent) => {
                let is_other = store.announced(parent, &entry.path);
                (is_other, self.plan_entry(store, parent, &entry))
            }
            Err(why) => (false, Err(why.clone())),
        };
        if let (true, Err(why), Ok(parent)) = (is_other, &planned, &parent)
            && why.is_in_the_way()
            && behind.len() < self.window as usize / 2
            && store.waits_for_removal(parent, &entry.path)
        {
            if !store.is_dry() {
                self.behind.fetch_add(1, Ordering::SeqCst);
                return behind.push(Behind {
                    folder: Arc::clone(parent),
                    entry,
                });
            }
            planned = Ok(Planned::Settled(Outcome::Replaced));
        }
        self.settle(entry, planned, wanted);
    }

    pub(super) fn plan_entry(
        &self,
        store: &Arc<StoreSession>,
        folder: &Arc<Folder>,
        entry: &Entry,
    ) -> Result<Planned, Why> {
        let Entry {
            path, mtime, mode, ..
        } = entry;
        let size = match &entry.kind {
            Kind::Symlink { target } => {
                let made = store.link(folder, path, target, *mtime);
                return made.map(Planned::Settled);
            }
            Kind::File { size } => size.get(),
            _ => STREAM,
        };
        self.check_room()?;
        store.file(folder, path, size, *mtime, *mode)
    }

    /// Has a file sent that is to come, and gives anything else its outcome.
    pub(super) fn settle(
        &self,
        entry: Entry,
        planned: Result<Planned, Why>,
        wanted: &mut Vec<Arc<Slot>>,
    ) {
        let outcome = match planned {
            Ok(Planned::Incoming(incoming)) => {
                return wanted.push(Arc::new(Slot::new(entry.id, self.algorithm, incoming)));
            }
            Ok(Planned::Settled(outcome)) => outcome,
            Err(why) => Outcome::Failed(why),
        };
        let size = match entry.kind {
            Kind::File { size } => Some(size.get()),
            Kind::Stream => Some(0),
            _ => None,
        };
        self.entry_outcome(entry.id, &entry.path, size, outcome);
    }

    /// Asks for files, and forgets them.
    fn want(&self, wanted: &mut Vec<Arc<Slot>>) {
        self.add_slots(wanted);
        self.ask(wanted);
        wanted.clear();
    }

    fn ask(&self, slots: &[Arc<Slot>]) {
        let want = |slot: &Arc<Slot>| {
            let attempt = slot.attempt();
            let held = slot
                .incoming(attempt)
                .is_some_and(|incoming| incoming.has_held());
            Want {
                entry: slot.entry,
                attempt,
                held,
            }
        };
        let wants: Vec<_> = slots.iter().map(want).collect();
        for (slot, want) in slots.iter().zip(&wants).filter(|(_, want)| !want.held) {
            slot.begin(want.attempt, &self.open_files);
        }
        self.link.outbox.push_wants(&wants);
        // What is held of a file is told after it has been asked for.
        for (slot, want) in slots.iter().zip(&wants).filter(|(_, want)| want.held) {
            self.to_hash.push((slot.clone(), want.attempt), 0);
        }
    }

    /// Whether an attempt may follow the one before.
    pub(super) fn check_attempt(&self, next: u32, before: u32, is_stream: bool) -> Result<()> {
        if is_stream {
            return Err(self.broken("another attempt at a stream"));
        }
        if next != before + 1 {
            return Err(self.broken("an attempt out of number"));
        }
        if next >= limits::MAX_ATTEMPTS {
            return Err(self.broken("more attempts at a file than there may be"));
        }
        Ok(())
    }

    /// A file is not what its entry says any more.
    fn start_anew(&self, store: &Arc<StoreSession>, changed: &Changed) -> Result<()> {
        let Some(slot) = self.slot(changed.entry) else {
            return if self.was_announced(changed.entry) {
                Ok(())
            } else {
                Err(self.broken("a change of what was not announced"))
            };
        };
        self.check_attempt(changed.attempt, slot.attempt(), slot.is_stream)?;
        let (size, mtime, mode): (FileSize, Time, Mode) =
            (changed.size, changed.mtime, changed.mode);
        let now = (changed.attempt, size.get());
        let uncount = |verified| self.uncount(verified);
        let is_over = || self.link.is_over();
        let made = slot.start_anew(now, self.algorithm, is_over, uncount, |before| {
            if chunk_count(size.get()) == 1 {
                // It comes whole now: nothing would ever use its partial again.
                before.discard();
            }
            store.file(before.folder(), before.path(), size.get(), mtime, mode)
        });
        match made {
            Anew::Ended => {}
            Anew::Again => {
                self.watch(&slot);
                self.ask(&[slot]);
            }
            Anew::Outcome(outcome) => self.outcome(&slot, outcome, 0),
        }
        Ok(())
    }

    /// Gives an entry that never had a slot its outcome; `size` is that of a file.
    fn entry_outcome(&self, entry: EntryId, path: &RelPath, size: Option<u64>, outcome: Outcome) {
        let ended = Ended {
            size: size.unwrap_or(0),
            is_file: size.is_some(),
            ..Ended::default()
        };
        self.record(path, &ended, &outcome);
        self.link
            .outbox
            .push_outcome(EntryOutcome { entry, outcome });
    }

    /// The last words: what could not be finished, everything to disk, and the summary.
    pub(super) fn conclude(&self, unannounced: u64) -> Result<()> {
        match &self.target {
            Target::Folder(store) => {
                self.remove_surplus(store)?;
                self.fail_folders(store);
                let began = Instant::now();
                store.finish()?;
                debug!(session = self.session, took = ?began.elapsed(), "all is on disk");
            }
            Target::Output(output) if self.sync => output.sync()?,
            Target::Output(_) => {}
        }
        let mut summary = self.summarize(unannounced);
        if let Target::Folder(store) = &self.target
            && store.is_dry()
        {
            summary.free = store.free();
        }
        // All is stored and on disk: from here on it does not matter how the sender goes.
        self.link.complete();
        self.link.outbox.push(Message::Summary(summary));
        self.link.outbox.close();
        Ok(())
    }

    pub(super) fn fail_folders(&self, store: &StoreSession) {
        for failed in store.failed_folders() {
            self.folder_failed(failed);
        }
    }
}
