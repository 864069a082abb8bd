//! The receiver's planner: one thread that decides, in the manifest's order, what becomes of
//! each entry.
//!
//! Must not wait for chunks: whatever needs data is handed to the lanes as a wanted file.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::super::link::Link;
use crate::model::digest::{Algorithm, chunk_count};
use crate::model::entry::{Entry, EntryId, Kind, Mode, Time};
use crate::model::error::{Action, Error, Result};
use crate::model::outcome::{Outcome, Why};
use crate::model::relpath::RelPath;
use crate::source::Selection;
use crate::store::{FileInUse, Folder, LOCK_WAIT, NewFile, Planned, STREAM, StoreSession};
use crate::sys::worker::{Worker, checkpoint};
use crate::wire::Want;

use super::accounts::{Accounts, EndedEntry};
use super::bound::OfferBound;
use super::budgets::{NameRoom, SessionBudget};
use super::file::{Next, WantedFile};
use super::finish::Finisher;
use super::hasher::HeldHasher;
use super::lanes::Activity;
use super::queue::{PlannerTask, WorkQueue};
use super::removal::{Removal, RemovalTerms};
use super::wanted::WantedFiles;

/// How many files are asked for at once: enough to be worth a message, and few enough that the
/// first bytes come soon.
const WANTS: usize = 64;
/// How often files are looked at that other sessions of the sender have.
const IN_USE_LOOK: Duration = Duration::from_millis(50);

/// A folder that has not ended.
struct OpenFolder {
    folder: Result<Arc<Folder>, Why>,
    mode: Mode,
    mtime: Time,
    _room: Option<NameRoom>,
}

/// A file or link that waits for the removal of a folder that has its name.
struct DeferredEntry {
    folder: Arc<Folder>,
    entry: Entry,
    room: Option<NameRoom>,
}

/// A file that another session of the sender is receiving.
struct EntryInUse {
    other: FileInUse,
    folder: Arc<Folder>,
    entry: Entry,
    room: Option<NameRoom>,
}

/// What decides about entries that go into a folder.
pub(super) struct Planner<'a> {
    pub(super) store: &'a Arc<StoreSession>,
    pub(super) algorithm: Algorithm,
    /// How many entries may wait for removals.
    pub(super) most_deferred: usize,
    pub(super) link: &'a Arc<Link>,
    pub(super) accounts: &'a Accounts,
    pub(super) budget: &'a Arc<SessionBudget>,
    pub(super) wanted: &'a WantedFiles,
    pub(super) hasher: &'a HeldHasher,
    pub(super) finisher: &'a Finisher,
    pub(super) tasks: &'a WorkQueue<PlannerTask>,
    pub(super) activity: &'a Activity,
    /// What the user said yes to, if they were asked.
    pub(super) bound: Option<&'a OfferBound>,
    /// What this side asked for, where it did.
    pub(super) selection: Option<&'a Selection>,
    pub(super) removal_terms: &'a RemovalTerms,
}

/// What it has decided and not said yet, or could not decide.
struct Undone {
    /// Files that are to be asked for.
    wants: Vec<Arc<WantedFile>>,
    deferred: Vec<DeferredEntry>,
    /// Files that other sessions have, no more than the window has entries.
    in_use: Vec<EntryInUse>,
    /// When these were looked at.
    looked: Instant,
    /// How far the sender's sessions were when they were last seen to get on, and when that was.
    moved: (Option<u64>, Instant),
}

impl Undone {
    fn new() -> Self {
        let now = Instant::now();
        Self {
            wants: Vec::new(),
            deferred: Vec::new(),
            in_use: Vec::new(),
            looked: now,
            moved: (None, now),
        }
    }
}

impl Planner<'_> {
    /// Decides about entries as they are announced, until all is done. True if it came to that.
    pub(super) fn run(&self) -> Result<bool> {
        let at_work = self.activity.work();
        let root = self
            .store
            .begin()
            .and_then(|()| self.store.root())
            .map_err(|e| Error::file(Action::Open, self.store.path(), e))?;
        drop(at_work);
        let mut open: Vec<OpenFolder> = Vec::new();
        let mut undone = Undone::new();
        let mut bound = self.bound.cloned();
        while let Some(task) = self.next_task(&mut undone) {
            checkpoint(Worker::Planner);
            let _at_work = self.activity.work();
            match task {
                PlannerTask::Entries(entries) => {
                    for entry in entries {
                        if self.selection.is_some_and(|asked| !asked.takes(&entry)) {
                            let what = "an entry that was not asked for";
                            return Err(self.accounts.breach(what));
                        }
                        self.accounts.counters.note(&entry);
                        let parent = match open.last().map(|open| &open.folder) {
                            None => Ok(&root),
                            Some(Ok(folder)) => Ok(folder),
                            Some(Err(_)) => Err(Why::Parent),
                        };
                        let parent = parent.and_then(|parent| match &mut bound {
                            Some(bound) => bound.take(&entry).map(|()| parent),
                            None => Ok(parent),
                        });
                        if matches!(entry.kind, Kind::Dir) {
                            open.push(self.folder(parent, entry));
                        } else {
                            self.entry(parent, entry, &mut undone);
                        }
                        if undone.wants.len() == WANTS {
                            self.want(&mut undone);
                        }
                    }
                    self.want(&mut undone);
                }
                PlannerTask::DirEnd { complete } => {
                    if let Some(OpenFolder {
                        folder: Ok(folder),
                        mode,
                        mtime,
                        ..
                    }) = open.pop()
                    {
                        self.store.finish_folder(&folder, complete, mode, mtime);
                    }
                }
                PlannerTask::Done(done) => {
                    let what = "an end of what was not announced";
                    if let Some(file) = self.announced(done.entry, what)? {
                        let next = file.done(done.attempt, done.digest);
                        self.finisher.next(&file, next);
                    }
                }
                PlannerTask::Skipped(skipped) => {
                    let what = "an entry skipped that was not announced";
                    if let Some(file) = self.announced(skipped.entry, what)? {
                        self.wanted.fail(&file, skipped.why);
                    }
                }
                PlannerTask::Changed(changed) => {
                    let what = "a change of what was not announced";
                    if let Some(file) = self.announced(changed.entry, what)? {
                        let more = changed.size.get().saturating_sub(file.size());
                        if let Some(Err(why)) = bound.as_mut().map(|bound| bound.grow(more)) {
                            self.wanted.fail(&file, why);
                            continue;
                        }
                        let uncount = |bytes| self.accounts.unverified(bytes);
                        let next = file.change(changed, uncount);
                        match next.map_err(|what| self.accounts.breach(what))? {
                            Next::Begin => self.restart(&file),
                            next => self.finisher.next(&file, next),
                        }
                    }
                }
                PlannerTask::Restart(file) => self.restart(&file),
                PlannerTask::Announced => self.accounts.all_decided(),
                PlannerTask::Deferred => self.resume_deferred(&mut undone)?,
                PlannerTask::Decisions(_) | PlannerTask::RemovalAnswer(_) => {}
                PlannerTask::End => return Ok(true),
            }
        }
        Ok(false)
    }

    /// A wanted file; none where it has its outcome.
    fn announced(&self, entry: EntryId, what: &str) -> Result<Option<Arc<WantedFile>>> {
        match self.wanted.get(entry) {
            Some(file) => Ok(Some(file)),
            None => self.accounts.check_announced(entry, what).map(|()| None),
        }
    }

    /// Decides about a folder.
    fn folder(&self, parent: Result<&Arc<Folder>, Why>, entry: Entry) -> OpenFolder {
        let path = &entry.path;
        let give_up = || {
            (self.hasher.end_silent)();
            self.link.is_over()
        };
        let mut room = None;
        let folder = parent.and_then(|parent| {
            self.store.announced(parent, path);
            room = self.budget.name(path)?;
            self.store
                .folder(parent, path, entry.mode, entry.is_way(), give_up)
        });
        let outcome = match &folder {
            Ok(folder) if folder.is_fresh() => Outcome::Stored(None),
            Ok(_) => Outcome::Have(None),
            Err(why) => Outcome::Failed(why.clone()),
        };
        self.outcome(entry.id, path, None, outcome);
        OpenFolder {
            folder,
            mode: entry.mode,
            mtime: entry.mtime,
            _room: room,
        }
    }

    /// Decides about a file or link.
    fn entry(&self, parent: Result<&Arc<Folder>, Why>, entry: Entry, undone: &mut Undone) {
        let parent = match parent {
            Ok(parent) => parent,
            Err(why) => return self.ended(&entry, Outcome::Failed(why)),
        };
        let is_other = self.store.announced(parent, &entry.path);
        let mut planned = self.plan(parent, &entry);
        if let (true, Err(why)) = (is_other, &planned)
            && why.is_in_the_way()
        {
            let room = self.budget.name(&entry.path);
            let may_defer = undone.deferred.len() < self.most_deferred && room.is_ok();
            let can_wait = self.store.is_dry() || may_defer;
            if !can_wait {
                // It fails, and what is in its way stays until the next run, which stores it.
                if self.store.is_obstacle(parent, &entry.path) {
                    self.accounts.postpone();
                }
            } else if self.store.waits_for_removal(parent, &entry.path) {
                if !self.store.is_dry() {
                    self.accounts.defer();
                    return undone.deferred.push(DeferredEntry {
                        folder: Arc::clone(parent),
                        entry,
                        room: room.ok().flatten(),
                    });
                }
                planned = Ok(Planned::Settled(Outcome::Replaced));
            }
        }
        self.settle(parent, entry, planned, undone);
    }

    fn plan(&self, folder: &Arc<Folder>, entry: &Entry) -> Result<Planned, Why> {
        let Entry {
            path, mtime, mode, ..
        } = entry;
        let size = match &entry.kind {
            Kind::Symlink { target } => {
                let made = self.store.link(folder, path, target, *mtime);
                return made.map(Planned::Settled);
            }
            Kind::File { size } => size.get(),
            _ => STREAM,
        };
        let file = NewFile {
            size,
            allocated: entry.allocated(),
            mtime: *mtime,
            mode: *mode,
        };
        self.store.file(folder, path, file)
    }

    /// Has a file sent that is to come, keeps one that another session has, and gives anything else
    /// its outcome.
    fn settle(
        &self,
        folder: &Arc<Folder>,
        entry: Entry,
        planned: Result<Planned, Why>,
        undone: &mut Undone,
    ) {
        let outcome = match planned {
            Ok(Planned::Settled(outcome)) => outcome,
            Ok(planned) => match (planned, self.budget.name(&entry.path)) {
                (Planned::Incoming(incoming), Ok(room)) => {
                    let file = WantedFile::new(entry.id, self.algorithm, incoming, room);
                    return undone.wants.push(Arc::new(file));
                }
                (Planned::InUse(other), Ok(room)) => {
                    return undone.in_use.push(EntryInUse {
                        other,
                        folder: folder.clone(),
                        entry,
                        room,
                    });
                }
                (Planned::Settled(outcome), _) => outcome,
                (_, Err(why)) => Outcome::Failed(why),
            },
            Err(why) => Outcome::Failed(why),
        };
        self.ended(&entry, outcome);
    }

    /// Gives a file or link that was never wanted its outcome.
    fn ended(&self, entry: &Entry, outcome: Outcome) {
        let size = match entry.kind {
            Kind::File { size } => Some(size.get()),
            Kind::Stream => Some(0),
            _ => None,
        };
        self.outcome(entry.id, &entry.path, size, outcome);
    }

    /// Gives an entry that was never wanted its outcome; `size` is that of a file.
    fn outcome(&self, entry: EntryId, path: &RelPath, size: Option<u64>, outcome: Outcome) {
        let ended = EndedEntry {
            size: size.unwrap_or(0),
            is_file: size.is_some(),
            ..EndedEntry::default()
        };
        self.accounts.outcome(entry, path, &ended, outcome);
    }

    /// Asks for files.
    fn want(&self, undone: &mut Undone) {
        self.wanted.add(&undone.wants);
        self.ask(&undone.wants);
        undone.wants.clear();
    }

    fn ask(&self, files: &[Arc<WantedFile>]) {
        let want = |file: &Arc<WantedFile>| {
            let attempt = file.attempt();
            let incoming = file.incoming(attempt);
            let held = incoming.is_some_and(|incoming| incoming.has_held());
            if !held {
                file.give_turn(attempt, &self.wanted.open);
            }
            Want {
                entry: file.entry,
                attempt,
                held,
            }
        };
        let wants: Vec<_> = files.iter().map(want).collect();
        self.link.outbox.push_wants(&wants);
        // What is held of a file is told after it has been asked for.
        for (file, want) in files.iter().zip(&wants).filter(|(_, want)| want.held) {
            self.hasher.files.push((file.clone(), want.attempt), 0);
        }
    }

    /// Begins another attempt at a file that is not what its entry says any more.
    fn restart(&self, file: &Arc<WantedFile>) {
        let Some((changed, before)) = file.take_next() else {
            return;
        };
        let (size, incoming) = (changed.size.get(), before.incoming.clone());
        drop(before);
        incoming.give_back_space();
        if chunk_count(size) == 1 {
            // It comes whole now: nothing would ever use its partial again.
            incoming.discard();
        }
        let (folder, path) = (incoming.folder().clone(), incoming.path().clone());
        let new = NewFile {
            size,
            allocated: incoming.allocated(),
            mtime: changed.mtime,
            mode: changed.mode,
        };
        let planned = self.store.file(&folder, &path, new);
        if let Ok(Planned::Settled(_)) = &planned {
            incoming.discard();
        }
        drop(incoming);
        let outcome = match planned {
            Ok(Planned::Incoming(incoming)) => {
                if file.begin(changed.attempt, incoming) {
                    self.wanted.watch(file);
                    self.ask(std::slice::from_ref(file));
                }
                return;
            }
            Ok(Planned::Settled(outcome)) => outcome,
            Ok(Planned::InUse(_)) => Outcome::Failed(Why::InUse),
            Err(why) => Outcome::Failed(why),
        };
        if file.end() {
            self.wanted.outcome(file, outcome, 0);
        }
    }

    /// Has surplus removed, and then sees to what waits for that.
    fn resume_deferred(&self, undone: &mut Undone) -> Result<()> {
        self.accounts.resume_deferred();
        self.removal().run()?;
        for deferred in std::mem::take(&mut undone.deferred) {
            let DeferredEntry {
                folder,
                entry,
                room,
            } = deferred;
            // Who waits again takes it again.
            drop(room);
            let planned = self.plan(&folder, &entry);
            self.settle(&folder, entry, planned, undone);
        }
        self.want(undone);
        Ok(())
    }

    /// Waits for the next task, and sees meanwhile to files that other sessions have. Everything
    /// else goes on: one of them may in its turn wait for what this one has.
    fn next_task(&self, undone: &mut Undone) -> Option<PlannerTask> {
        while !undone.in_use.is_empty() {
            self.activity.wait_for_others(true);
            let left = IN_USE_LOOK.saturating_sub(undone.looked.elapsed());
            if left.is_zero() {
                self.look_at_those_in_use(undone);
            } else if self.tasks.wait_for_next(left) {
                break;
            }
        }
        let task = self.tasks.pop();
        self.activity.wait_for_others(!undone.in_use.is_empty());
        task
    }

    /// Plans files anew that other sessions had and have no more. Nor does it wait longer for one
    /// once none of the sender's sessions has got on for long.
    fn look_at_those_in_use(&self, undone: &mut Undone) {
        undone.looked = Instant::now();
        let moved = (self.hasher.end_silent)();
        if moved.is_none() || moved != undone.moved.0 {
            undone.moved = (moved, undone.looked);
        }
        let gives_up = undone.moved.1.elapsed() >= LOCK_WAIT;
        let is_due = |entry: &EntryInUse| gives_up || entry.other.is_free();
        let all = std::mem::take(&mut undone.in_use).into_iter();
        let (due, in_use): (Vec<_>, Vec<_>) = all.partition(is_due);
        undone.in_use = in_use;
        if due.is_empty() {
            return;
        }
        let _at_work = self.activity.work();
        for in_use in due {
            let EntryInUse {
                folder,
                entry,
                room,
                ..
            } = in_use;
            drop(room);
            match self.plan(&folder, &entry) {
                Ok(Planned::InUse(_)) if gives_up => {
                    self.ended(&entry, Outcome::Failed(Why::InUse));
                }
                planned => self.settle(&folder, entry, planned, undone),
            }
            if undone.wants.len() == WANTS {
                self.want(undone);
            }
        }
        self.want(undone);
    }

    pub(super) fn removal(&self) -> Removal<'_> {
        Removal {
            store: self.store,
            link: self.link,
            accounts: self.accounts,
            hasher: self.hasher,
            tasks: self.tasks,
            terms: self.removal_terms,
            activity: self.activity,
        }
    }
}
