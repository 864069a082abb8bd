//! The receiver's planner: one thread that decides, in the manifest's order, what becomes of
//! each entry.
//!
//! Must not wait for chunks: whatever needs data is handed to the lanes through a slot.

use std::sync::Arc;

use crate::digest::chunk_count;
use crate::entry::{Entry, EntryId, FileSize, Kind, Mode, Time};
use crate::error::{Error, Result};
use crate::outcome::{Outcome, Why};
use crate::relpath::RelPath;
use crate::store::{Folder, Planned, STREAM, StoreSession};
use crate::surplus::Fate;
use crate::wire::{Changed, Done, EntryOutcome, Message, Skipped, Want, limits};

use super::books::Ended;
use super::session::{Receiving, Target};
use super::slot::{Anew, Slot};

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
    Fates(Vec<Fate>),
}

/// A folder that has not ended.
struct OpenFolder {
    folder: Result<Arc<Folder>, Why>,
    mode: Mode,
    mtime: Time,
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
            .map_err(|e| Error::file("open", &self.dir, e))?;
        let mut open: Vec<OpenFolder> = Vec::new();
        let mut wanted = Vec::new();
        while let Some(task) = self.tasks.pop() {
            match task {
                Task::Entries(entries) => {
                    for entry in entries {
                        let parent = match open.last().map(|open| &open.folder) {
                            None => Ok(&root),
                            Some(Ok(folder)) => Ok(folder),
                            Some(Err(_)) => Err(Why::Parent),
                        };
                        if let Some(folder) = self.entry(store, parent, entry, &mut wanted) {
                            open.push(folder);
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
                            self.finish_slot(&slot, finished);
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
                Task::Announced | Task::Fates(_) => {}
                Task::End => return Ok(true),
            }
        }
        Ok(false)
    }

    /// Decides about an entry. Gives the folder that it opens, if it is one. A file that is to
    /// come is added to those that are `wanted`.
    fn entry(
        &self,
        store: &Arc<StoreSession>,
        parent: Result<&Arc<Folder>, Why>,
        entry: Entry,
        wanted: &mut Vec<Arc<Slot>>,
    ) -> Option<OpenFolder> {
        let Entry {
            id,
            path,
            kind,
            mtime,
            mode,
            ..
        } = entry;
        if let Ok(parent) = &parent {
            store.announced(parent, &path);
        }
        match kind {
            Kind::Dir => {
                let folder = parent.and_then(|parent| {
                    store.folder(parent, &path, || {
                        (self.end_dead_twins)();
                        self.link.is_over()
                    })
                });
                let outcome = match &folder {
                    Ok(folder) if folder.is_fresh() => Outcome::Stored(None),
                    Ok(_) => Outcome::Have(None),
                    Err(why) => Outcome::Failed(why.clone()),
                };
                self.entry_outcome(id, &path, None, outcome);
                return Some(OpenFolder {
                    folder,
                    mode,
                    mtime,
                });
            }
            Kind::Symlink { target } => {
                let made = parent.and_then(|parent| store.link(parent, &path, &target, mtime));
                self.entry_outcome(id, &path, None, made.unwrap_or_else(Outcome::Failed));
            }
            Kind::File { .. } | Kind::Stream => {
                let (size, known) = match kind {
                    Kind::File { size } => (size.get(), size.get()),
                    _ => (STREAM, 0),
                };
                let planned = parent.and_then(|parent| {
                    self.check_room()?;
                    store.file(parent, &path, size, mtime, mode)
                });
                match planned {
                    Ok(Planned::Incoming(incoming)) => {
                        wanted.push(Arc::new(Slot::new(id, self.algorithm, incoming)));
                    }
                    Ok(Planned::Settled(outcome)) => {
                        self.entry_outcome(id, &path, Some(known), outcome);
                    }
                    Err(why) => self.entry_outcome(id, &path, Some(known), Outcome::Failed(why)),
                }
            }
        }
        None
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
        let made = slot.start_anew(now, self.algorithm, uncount, |before| {
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
                // It may still hold on to the last file, and with that to its folder.
                drop(self.hashing.lock());
                self.fail_folders(store);
                self.remove_surplus(store)?;
                self.fail_folders(store);
                store.finish()?;
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

    fn fail_folders(&self, store: &StoreSession) {
        for failed in store.failed_folders() {
            self.folder_failed(failed);
        }
    }
}
