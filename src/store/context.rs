//! What all entries of a session share: what the sender may do, what it has stored, and how other
//! sessions in the same receive folder matter.
//!
//! Must not know files or folders by name.

use std::collections::HashSet;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::model::outcome::{OnConflict, Why};
use crate::model::reason::SystemError;
use crate::model::relpath::RelPath;
use crate::sys::fs::{self, Dir, FileId};
use crate::sys::host::limit_of_open;
use crate::sys::name::check_new;
use crate::sys::own::OwnFolders;

use super::durability::Durability;
use super::folder::Folder;
use super::found::why;
use super::in_use::InUse;
use super::name::{partial_id, partial_ids};
use super::partial;
use super::plan::PlanRules;
use super::space::{self, Counted, Space};
use super::state::{PARTIALS, with_state};
use super::times::SentTimes;
use super::turn::{FileInUse, FileTurn, FileTurns};

/// How long to wait for what another session holds, in total: longer than that session takes to
/// notice that its peer is gone.
pub const LOCK_WAIT: Duration = Duration::from_secs(45);
/// How often to look again meanwhile, since other processes send no signal.
pub(super) const LOCK_LOOK: Duration = Duration::from_millis(200);

/// How many earlier partials one session may have open.
const MAX_RESUMED: usize = 64;
/// How many a session may have open however many others have.
const LEAST_RESUMED: usize = 4;
/// How many all sessions together may have open, not counting [`LEAST_RESUMED`] for each.
const MAX_ALL_RESUMED: usize = 256;
/// They may take one in so many of this process's file descriptors.
const PART_OF_DESCRIPTORS: usize = 16;

/// How many partials all sessions of this process have open.
static ALL_PARTIALS_OPEN: AtomicUsize = AtomicUsize::new(0);

/// What a sender may do in a receive folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Access {
    /// The sender's fingerprint; it resumes only its own partials.
    pub owner: [u8; 32],
    /// Whether it may learn what existing files contain, and set the time and mode of existing
    /// folders.
    pub existing: bool,
    /// What to do if something else has the name of an entry. Replacing requires `existing`.
    pub conflict: OnConflict,
    /// Whether to compare content even if size and time are the same.
    pub checksum: bool,
    /// Whether to delete what the sender does not have, in folders that it sends.
    pub mirror: bool,
    /// Whether to create, change and delete nothing.
    pub dry_run: bool,
    /// Whether its links may lead out of the receive folder.
    pub links_outside: bool,
    /// Whether an entry whose name this system does not let programs have is stored under another.
    pub rename_unsafe: bool,
}

/// What all sessions of a receive folder share.
#[derive(Debug)]
pub(super) struct DirectoryContext {
    pub(super) dir: Dir,
    pub(super) path: PathBuf,
    /// Folders that nothing is stored into or deleted from.
    pub(super) own: OwnFolders,
    pub(super) space: Space,
    /// What sessions are storing now, in any receive folder.
    pub(super) in_use: Arc<InUse>,
    /// Whether small files can be created without a name here, as far as is known.
    pub(super) unnamed: UnnamedFiles,
    turns: Arc<FileTurns>,
    /// Held while a link replaces something: until then, sessions of one sender use the same
    /// temporary name for it.
    pub(super) replacing_link: Mutex<()>,
    /// Signals that a partial or a folder was released.
    released: (Mutex<()>, Condvar),
}

impl DirectoryContext {
    pub(super) fn new(dir: Dir, path: PathBuf, own: OwnFolders) -> Self {
        Self {
            dir,
            path,
            own,
            space: Space::default(),
            in_use: InUse::shared(),
            unnamed: UnnamedFiles::new(),
            turns: Arc::default(),
            replacing_link: Mutex::default(),
            released: (Mutex::new(()), Condvar::new()),
        }
    }

    /// Waits until another session of this process releases a partial or a folder, but no longer
    /// than `most`: other processes send no signal.
    pub(super) fn wait_for_release(&self, most: Duration) {
        let (lock, released) = &self.released;
        let guard = lock.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = released.wait_timeout(guard, most);
    }

    /// Tells waiting sessions that a partial or a folder was released.
    pub(super) fn release(&self) {
        self.released.1.notify_all();
    }

    /// Measures how much of the quota is used, if there is one.
    pub(super) fn measure(&self) {
        if self.space.has_quota() {
            self.space.measure(self.block(), || space::used(&self.path));
        }
    }

    /// Finds out whether small files can be created without a name in the receive folder. If not,
    /// sessions take turns at small files from the first one on.
    pub(super) fn try_unnamed(&self) {
        if let Err(e) = self.dir.create_unnamed(partial::MODE)
            && fs::cannot_be_unnamed(&e)
        {
            self.unnamed.are_not_possible(&self.dir, &e);
        }
    }

    fn block(&self) -> u64 {
        self.dir.space().map_or(0, |space| space.block)
    }

    /// Tries what a quota may refuse. If it is used up, measures it again, since others may have
    /// made room.
    fn with_quota<T>(&self, attempt: impl Fn() -> Result<T, Why>) -> Result<T, Why> {
        if !self.space.has_quota() {
            return attempt();
        }
        let used = || space::used(&self.path);
        self.space.attempt(|| self.block(), used, attempt)
    }

    /// Promises `bytes`, if the quota and the file system of `dir` have room for them.
    pub(super) fn promise(&self, dir: &Dir, bytes: u64) -> Result<(), Why> {
        self.with_quota(|| self.space.promise(dir, bytes))
    }

    /// Counts `bytes` for a name that may be created in a folder; counts nothing if the name is
    /// taken.
    pub(super) fn count_new(
        &self,
        folder: &Folder,
        name: &[u8],
        bytes: u64,
    ) -> Result<Counted<'_>, Why> {
        let space = &self.space;
        let is_there = || folder.with(|dir| Ok(dir.stat_at(name)?.is_some()));
        if !space.has_quota() || (!folder.is_fresh() && is_there().map_err(|e| why(&e))?) {
            return Ok(space.count_nothing());
        }
        self.count(bytes)
    }

    /// Counts `bytes` for a new name.
    pub(super) fn count(&self, bytes: u64) -> Result<Counted<'_>, Why> {
        self.with_quota(|| self.space.count(bytes))
    }

    /// Renames `from` over `to`, and gives back the quota of what had that name.
    pub(super) fn rename_over(&self, dir: &Dir, from: &[u8], to: &[u8]) -> io::Result<()> {
        if !self.space.has_quota() {
            return dir.rename_over(from, to);
        }
        let found = dir.stat_at(to)?;
        let replaced = found.map(|found| self.space.before_replacing(&found));
        dir.rename_over(from, to)?;
        if let Some(replaced) = replaced {
            self.space.gone(replaced);
        }
        Ok(())
    }

    /// How many bytes are free, if the file system says, or left of the quota, whichever is less.
    pub(super) fn free(&self) -> Option<u64> {
        let free = self.dir.space().ok().map(|space| space.bytes);
        let left = self.space.left();
        free.map_or(left, |free| Some(left.map_or(free, |left| left.min(free))))
    }

    /// Calls `f` with the folder of the partials' records, which it creates if it is missing.
    pub(super) fn with_records<T>(&self, f: impl Fn(&Dir) -> io::Result<T>) -> io::Result<T> {
        with_state(&self.dir, PARTIALS, f)
    }
}

/// Where files can be created without a name, as far as is known.
#[derive(Debug)]
pub(super) struct UnnamedFiles {
    /// Whether any file system does not support them.
    some_impossible: AtomicBool,
    /// The devices of those file systems.
    impossible: Mutex<HashSet<u64>>,
    /// The permission bits that the umask removes from new files.
    pub(super) umask: u32,
}

impl UnnamedFiles {
    /// Reads the umask. Must be called before any session begins.
    pub(super) fn new() -> Self {
        Self {
            some_impossible: AtomicBool::new(false),
            impossible: Mutex::default(),
            umask: fs::umask(),
        }
    }

    /// Whether they are supported in a folder.
    pub(super) fn are_possible(&self, folder: &Folder) -> bool {
        if !self.some_impossible.load(Ordering::Relaxed) {
            return true;
        }
        let impossible = self.impossible();
        folder
            .id()
            .is_none_or(|id| !impossible.contains(&id.device))
    }

    /// Notes that they failed in a folder, and are not tried again on its device. If the folder was
    /// deleted meanwhile, the failure says nothing.
    pub(super) fn are_not_possible(&self, dir: &Dir, error: &io::Error) {
        let Ok(stat) = dir.stat() else { return };
        let is_gone = error.kind() == io::ErrorKind::NotFound && stat.links == 0;
        if !is_gone {
            self.impossible().insert(stat.id.device);
            self.some_impossible.store(true, Ordering::Relaxed);
        }
    }

    fn impossible(&self) -> MutexGuard<'_, HashSet<u64>> {
        let impossible = self.impossible.lock();
        impossible.unwrap_or_else(PoisonError::into_inner)
    }
}

/// What all entries of a session share.
#[derive(Debug)]
pub(super) struct SessionContext {
    pub(super) directory: Arc<DirectoryContext>,
    /// Folders that nothing is stored into or deleted from, as they were when the session began.
    own: OwnFolders,
    pub(super) access: Access,
    pub(super) durability: Arc<Durability>,
    /// The IDs of the partials of all senders when the session began.
    pub(super) partials: HashSet<String>,
    /// Earlier files of a sender that may not learn what is here, where times are not kept.
    pub(super) times: Option<SentTimes>,
    /// Identifies it when sessions take turns.
    number: u64,
    /// Whether another session of this sender held a file that this one was to receive: then its
    /// files may be in any folder.
    met_another: AtomicBool,
    /// How many partials are open now.
    partials_open: AtomicUsize,
}

impl SessionContext {
    pub(super) fn new(
        directory: Arc<DirectoryContext>,
        access: Access,
        durability: Arc<Durability>,
        partials: HashSet<String>,
        times: Option<SentTimes>,
    ) -> Self {
        Self {
            own: directory.own.looked_at_again(),
            number: directory.turns.session(),
            met_another: AtomicBool::new(false),
            directory,
            access,
            durability,
            partials,
            times,
            partials_open: AtomicUsize::new(0),
        }
    }

    /// Whether a folder is one that xfer keeps for itself.
    pub(super) fn is_own(&self, folder: FileId) -> bool {
        self.own.has(folder)
    }

    /// Whether the last name of `path` is that of a folder that xfer keeps for itself.
    pub(super) fn is_name_of_own(&self, folder: Option<FileId>, path: &RelPath) -> bool {
        let whole = || self.directory.path.join(path.as_path());
        self.own.is_name_of_one(folder, path.file_name(), whole)
    }

    /// The same, or whether the name leads to such a folder.
    pub(super) fn leads_to_own(
        &self,
        folder: Option<FileId>,
        name: &[u8],
        path: Option<&RelPath>,
    ) -> bool {
        let whole = || path.map(|path| self.directory.path.join(path.as_path()));
        (self.own).is_on_the_way(folder, name, || whole().unwrap_or_default())
    }

    /// Notes that an entry has the last name of `path` in a folder. Fails if the system does not let
    /// programs have that name, unless it gets another one on disk; or if it is another entry's
    /// there.
    pub(super) fn reserve(&self, folder: &Folder, path: &RelPath) -> Result<(), Why> {
        let Access {
            rename_unsafe,
            dry_run,
            ..
        } = self.access;
        if !rename_unsafe && check_new(path.file_name()).is_err() {
            return Err(Why::System(SystemError::InvalidName));
        }
        folder.reserve(path.file_name(), dry_run)
    }

    pub(super) fn rules(&self) -> PlanRules<'_> {
        PlanRules {
            may_compare: self.access.existing,
            checksum: self.access.checksum,
            conflict: self.access.conflict,
            suspects: self.durability.suspects(),
            owner: &self.access.owner,
            times: self.times.as_ref(),
            unfinished: None,
        }
    }

    /// Takes the session's turn at a file that needs a partial.
    pub(super) fn turn(&self, path: &RelPath) -> Result<FileTurn, FileInUse> {
        let id = partial_id(&self.access.owner, path);
        let turn = self.directory.turns.take(self.number, id);
        if turn.is_err() {
            self.met_another.store(true, Ordering::Relaxed);
        }
        turn
    }

    /// Whether another session of this sender is known to store the same files.
    pub(super) fn has_met_another(&self) -> bool {
        self.met_another.load(Ordering::Relaxed)
    }

    /// Whether one more earlier partial may be opened: each stays open until it is complete.
    pub(super) fn may_resume(&self) -> bool {
        let here = self.partials_open.load(Ordering::Relaxed);
        let all = ALL_PARTIALS_OPEN.load(Ordering::Relaxed);
        let most = MAX_ALL_RESUMED.min(limit_of_open() / PART_OF_DESCRIPTORS);
        here < LEAST_RESUMED || (here < MAX_RESUMED && all < most)
    }

    pub(super) fn partial_opened(&self) {
        self.partials_open.fetch_add(1, Ordering::Relaxed);
        ALL_PARTIALS_OPEN.fetch_add(1, Ordering::Relaxed);
    }

    /// Notes that the session closed a partial.
    pub(super) fn partial_closed(&self) {
        self.partials_open.fetch_sub(1, Ordering::Relaxed);
        ALL_PARTIALS_OPEN.fetch_sub(1, Ordering::Relaxed);
        self.directory.release();
    }

    /// Whether an earlier session may have left a partial of a file.
    pub(super) fn has_partial(&self, path: &RelPath) -> bool {
        if self.partials.is_empty() {
            return false;
        }
        let ids = partial_ids(&self.access.owner, path);
        ids.iter().any(|id| self.partials.contains(id))
    }

    /// Deletes the partial of a file that no longer needs one, if there is one.
    pub(super) fn drop_needless_partial(&self, folder: &Folder, path: &RelPath) {
        if self.partials.is_empty() {
            return;
        }
        for id in partial_ids(&self.access.owner, path) {
            // It is in nobody's way: if it stays, it is deleted for its age.
            if self.partials.contains(&id) && partial::remove(folder, &id).unwrap_or(false) {
                let remove = |records: &Dir| partial::remove_record(records, &id);
                let _ = self.directory.with_records(remove);
            }
        }
    }
}
