//! Mirrors: what is in a folder that its sender does not have, and the removal of it.
//!
//! Must not remove anything that came after its folder was entered, that another session writes
//! into, or that the store keeps for itself; nor follow a link or cross into another file system.
//! Nothing is removed until everything else is stored; only files and links that wait for a folder
//! to go are stored after that. Nor is anything before all that would go has been counted.

use std::collections::HashSet;
use std::hash::RandomState;
use std::io;
use std::iter::Peekable;
use std::slice::Iter;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::model::outcome::Why;
use crate::model::reason::{Limit, SystemError};
use crate::model::relpath::RelPath;
use crate::model::surplus::{Decision, Objection, RemovalCount, Surplus};
use crate::sys::fs::{self, Dir, Stat};

use super::context::SessionContext;
use super::folder::Folder;
use super::found::why;
use super::in_use;
use super::names_there::{NamesThere, seen};
use super::partial;
use super::permissions::{unlock_by_name, unlock_open};
use super::state::{PARTIALS, existing_state};
use super::surplus::{There, count_all, describe, list, surplus_of};

/// How many names of one session's folders are remembered at once: 16 bytes each, and some.
const MAX_NAMES: usize = 4 << 20;
/// How many things are asked about at once, about.
const QUESTION: usize = 1024;
/// How deep a folder that is removed can be.
const MAX_DEPTH: usize = 256;

/// What a session that mirrors knows of what is to go.
#[derive(Debug, Default)]
pub(super) struct Mirror {
    hasher: RandomState,
    /// How many names are remembered.
    names: AtomicUsize,
    /// How many names there were in all folders that were entered.
    there: AtomicU64,
    surplus: Mutex<Vec<(Arc<Folder>, NamesThere)>>,
}

/// Folders of which something may go, with that.
type Cleanable = Vec<(Arc<Folder>, Vec<There>)>;

impl Mirror {
    fn surplus(&self) -> MutexGuard<'_, Vec<(Arc<Folder>, NamesThere)>> {
        self.surplus.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers what is in a folder that was just entered.
    pub(super) fn list(&self, folder: &Folder) -> Result<(), Why> {
        let list = |dir: &Dir| list(dir, &self.hasher);
        let all = folder.with(list).map_err(|e| why(&e))?;
        let before = self.names.fetch_add(all.len(), Ordering::Relaxed);
        if before + all.len() > MAX_NAMES {
            self.names.fetch_sub(all.len(), Ordering::Relaxed);
            return Err(Why::Limit(Limit::MirroredNames));
        }
        self.there.fetch_add(all.len() as u64, Ordering::Relaxed);
        *folder.listed() = Some(NamesThere::new(&self.hasher, &all));
        Ok(())
    }

    /// Takes note that the sender has `name` in a folder. Says whether something had it that no
    /// other name of the sender's stands for. In a dry run it does not come.
    pub(super) fn announced(&self, folder: &Folder, name: &[u8], dry: bool) -> bool {
        let mut listed = folder.listed();
        let Some(names) = listed.as_mut() else {
            return false;
        };
        let before = names.len();
        names.announced(name, !dry, || folder.with(|dir| dir.stat_at(name)));
        let taken = before - names.len();
        self.names.fetch_sub(taken, Ordering::Relaxed);
        taken > 0
    }

    /// Takes note that what has `name` in a folder is not what the sender has by that name. Not
    /// where nothing of the folder is to go.
    pub(super) fn is_surplus(&self, folder: &Folder, name: &[u8], found: &Stat) -> bool {
        let mut listed = folder.listed();
        let Some(names) = listed.as_mut() else {
            return false;
        };
        let before = names.len();
        names.add(name, seen(&self.hasher, found));
        self.names
            .fetch_add(names.len() - before, Ordering::Relaxed);
        true
    }

    /// Takes note that nothing more comes of a folder, which the sender could read all of or not.
    pub(super) fn ended(&self, folder: &Arc<Folder>, complete: bool) {
        let Some(names) = folder.listed().take() else {
            return;
        };
        if complete && names.len() > 0 {
            self.surplus().push((folder.clone(), names));
        } else {
            self.names.fetch_sub(names.len(), Ordering::Relaxed);
        }
    }

    /// Forgets what was to be removed, but for what something waits for: it stays.
    pub(super) fn keep_but_obstacles(&self) {
        let mut surplus = self.surplus();
        surplus.iter_mut().for_each(|(_, names)| {
            self.names
                .fetch_sub(names.keep_but_obstacles(), Ordering::Relaxed);
        });
        surplus.retain(|(_, names)| names.len() > 0);
    }

    /// Forgets what was to be removed: it stays.
    pub(super) fn keep(&self) {
        let kept = std::mem::take(&mut *self.surplus());
        // Folders get their end with it, which takes its time.
        drop(kept);
    }

    /// Removes what its sender does not have, in folders that it sent and could read all of, once
    /// everything else is stored; in a dry run nothing, but it is counted. `ask` says what is to
    /// become of things, in their order; all that would go is counted then, and `allow` says how
    /// much may, or why nothing does; each path that goes is told to `tell`; `give_up` is asked
    /// from time to time. Says how many files, links and folders went, or would; folders of which
    /// not everything could be removed are among those that failed.
    pub(super) fn remove_surplus(
        &self,
        session: &SessionContext,
        ask: impl FnMut(Vec<Surplus>) -> Vec<Decision>,
        allow: impl FnOnce(RemovalCount) -> Result<u64, Objection>,
        give_up: impl Fn() -> bool,
        tell: impl FnMut(RelPath),
    ) -> io::Result<u64> {
        let all = std::mem::take(&mut *self.surplus());
        let Some((first, _)) = all.first() else {
            return Ok(0);
        };
        // What was moved is on disk in its new place before it goes in the old one.
        session.durability.sync()?;
        let root = &session.directory.dir;
        let received = match existing_state(root, PARTIALS)? {
            Some(records) => partial::being_received(root, &records)?,
            None => HashSet::new(),
        };
        let mut remover = Remover {
            session,
            pass: Pass::Count,
            received,
            ask,
            give_up,
            tell,
            removed: 0,
            below: 0,
            most: u64::MAX,
            is_bound: false,
            has_failed: false,
        };
        let mut left = all.iter().peekable();
        let mut batches = 0;
        // Few are not looked for again, nor asked about.
        let mut known = None;
        while left.peek().is_some() {
            let folders = self.cleanable(&mut left);
            let decisions = remover.decisions(folders.iter().flat_map(|(_, there)| there));
            remover.clean(&folders, &decisions);
            known = (batches == 0).then_some((folders, decisions));
            batches += 1;
        }
        let count = RemovalCount {
            would_go: remover.removed,
            there: self.there.load(Ordering::Relaxed) + remover.below,
        };
        let most = match count.would_go {
            _ if (remover.give_up)() => return Ok(0),
            // What could not be counted fails.
            0 if remover.has_failed => Ok(0),
            0 => return Ok(0),
            _ => allow(count),
        };
        if (remover.give_up)() {
            return Ok(0);
        }
        (remover.removed, remover.pass) = (0, Pass::Remove);
        match most {
            Ok(most) => remover.most = most,
            Err(objection) => first.fail_named(Why::TooManyRemovals { count, objection }),
        }
        if session.access.dry_run {
            (remover.most, remover.pass) = (u64::MAX, Pass::Plan);
        } else if most.is_err() {
            return Ok(0);
        }
        if let Some((folders, decisions)) = known {
            remover.clean(&folders, &decisions);
        } else {
            let mut left = all.iter().peekable();
            while left.peek().is_some() {
                let folders = self.cleanable(&mut left);
                let decisions = remover.decisions(folders.iter().flat_map(|(_, there)| there));
                remover.clean(&folders, &decisions);
            }
        }
        if remover.is_bound {
            let what = "more is there than was counted";
            first.fail_named(not_removed(&io::Error::other(what)));
        }
        Ok(remover.removed)
    }

    /// The next folders of which something may go. They are asked about together: each question
    /// takes the time to the sender and back.
    fn cleanable(&self, left: &mut Peekable<Iter<'_, (Arc<Folder>, NamesThere)>>) -> Cleanable {
        let (mut folders, mut count) = (Vec::new(), 0);
        while count < QUESTION
            && let Some((folder, names)) = left.next()
        {
            if names.in_doubt() {
                let what = "its file system takes different names for one, \
                            so that it is not certain what would go";
                folder.fail(not_removed(&io::Error::other(what)));
                continue;
            }
            match folder.with(|dir| surplus_of(folder, dir, &self.hasher, names)) {
                Ok(there) => {
                    count += there.len();
                    folders.push((Arc::clone(folder), there));
                }
                Err(e) => folder.fail(not_removed(&e)),
            }
        }
        folders
    }
}

/// Why a folder failed that not all went from that was to go.
pub(super) fn not_removed(error: &io::Error) -> Why {
    Why::NotRemoved(SystemError::from(error))
}

/// Why nothing is removed from a folder that cannot be had alone.
fn others_are_in_it() -> io::Error {
    io::Error::other("another session stores into it, or another program has locked it")
}

/// What is done with what may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pass {
    /// It is counted.
    Count,
    /// It is told, in a dry run.
    Plan,
    Remove,
}

struct Remover<'a, A, G, T> {
    session: &'a SessionContext,
    pass: Pass,
    /// What other processes are receiving at the moment.
    received: HashSet<RelPath>,
    ask: A,
    give_up: G,
    tell: T,
    removed: u64,
    /// How much was seen in folders that may go, as far as it was counted.
    below: u64,
    /// How much may go at most.
    most: u64,
    /// Whether more was to go.
    is_bound: bool,
    /// Whether something could not be counted.
    has_failed: bool,
}

impl<A, G, T> Remover<'_, A, G, T>
where
    A: FnMut(Vec<Surplus>) -> Vec<Decision>,
    G: Fn() -> bool,
    T: FnMut(RelPath),
{
    /// What is to become of things, in their order.
    fn decisions<'t>(&mut self, there: impl Iterator<Item = &'t There> + Clone) -> Vec<Decision> {
        let asked: Vec<_> = there.clone().filter_map(|t| t.surplus.clone()).collect();
        let answers = match asked.is_empty() || (self.give_up)() {
            true => Vec::new(),
            false => (self.ask)(asked),
        };
        let mut answers = answers.into_iter();
        let decisions = there.map(|there| there.surplus.as_ref().and_then(|_| answers.next()));
        decisions
            .map(|decision| decision.unwrap_or(Decision::Keep))
            .collect()
    }

    /// Removes from folders what may go.
    fn clean(&mut self, folders: &Cleanable, decisions: &[Decision]) {
        let mut decisions = decisions;
        for (folder, there) in folders {
            let of_folder;
            (of_folder, decisions) = decisions.split_at(there.len().min(decisions.len()));
            if self.pass == Pass::Remove
                && !there.is_empty()
                && let Err(why) = folder.before_change()
            {
                folder.fail(why);
                continue;
            }
            let remove = |dir: &Dir| self.remove_all(dir, there, of_folder, 0);
            let removed = match there.is_empty() {
                true => Ok(()),
                false => folder.with_alone(remove).and_then(|done| match done {
                    None if of_folder.iter().any(|one| *one != Decision::Keep) => {
                        Err(others_are_in_it())
                    }
                    _ => Ok(()),
                }),
            };
            match self.pass {
                Pass::Count => self.has_failed |= removed.is_err(),
                Pass::Plan | Pass::Remove => {
                    if let Err(e) = removed.and(folder.names_changed()) {
                        folder.fail(not_removed(&e));
                    }
                }
            }
        }
    }

    /// Removes what may go of what is in a folder. Says whether all of it is gone.
    fn remove_all(
        &mut self,
        dir: &Dir,
        all: &[There],
        decisions: &[Decision],
        depth: usize,
    ) -> io::Result<bool> {
        let this = dir.stat()?.id;
        let files = &self.session.directory.in_use.files;
        let (mut gone, mut error) = (true, None);
        for (there, decision) in all.iter().zip(decisions) {
            let session = self.session;
            let is_own = || match (there.stat.is_dir(), there.path()) {
                (true, Some(path)) => session.is_name_of_own(Some(this), path),
                (true, None) => false,
                (false, path) => session.leads_to_own(Some(this), &there.name, path),
            };
            let stays = *decision == Decision::Keep
                || session.is_own(there.stat.id)
                || is_own()
                || there.stat.id.device != this.device
                || files.has(&(this, there.name.clone()));
            if stays {
                gone = false;
                continue;
            }
            match self.remove(dir, there, *decision, depth) {
                Ok(is_gone) => gone &= is_gone,
                Err(e) => error = Some(e),
            }
        }
        error.map_or(Ok(gone), Err)
    }

    /// Removes one thing, with all that is in it. Says whether it is gone.
    fn remove(
        &mut self,
        dir: &Dir,
        there: &There,
        decision: Decision,
        depth: usize,
    ) -> io::Result<bool> {
        let is_received = |path| self.received.contains(path);
        if (self.give_up)() || there.path().is_some_and(is_received) {
            return Ok(false);
        }
        let Some(now) = dir.stat_at(&there.name)? else {
            return Ok(true);
        };
        if !now.is_still(&there.stat) {
            return Ok(false);
        }
        let is_dir = now.is_dir();
        if is_dir {
            match self.empty(dir, there, decision, depth) {
                Ok(true) => {}
                Ok(false) => return Ok(false),
                // It counts, for what is known of it.
                Err(_) if self.pass == Pass::Count => {}
                Err(e) => return Err(e),
            }
        }
        if self.removed >= self.most {
            self.is_bound = true;
            return Ok(false);
        }
        if self.pass == Pass::Remove {
            let removed = match is_dir {
                true => dir.remove_dir(&there.name),
                false => dir.remove_file(&there.name),
            };
            match removed {
                Ok(()) => {}
                Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(true),
                // Something in it is to stay, or came just now.
                Err(e) if is_dir && fs::is_not_empty(&e) => return Ok(false),
                Err(e) => return Err(e),
            }
        }
        self.removed += 1;
        if self.pass != Pass::Count
            && let Some(path) = there.path()
        {
            (self.tell)(path.clone());
        }
        Ok(true)
    }

    /// Removes what is in a folder. Says whether all of it is gone.
    fn empty(
        &mut self,
        dir: &Dir,
        folder: &There,
        decision: Decision,
        depth: usize,
    ) -> io::Result<bool> {
        let name = &folder.name;
        let mut unlocked = None;
        let opened = match dir.open_dir(name) {
            Err(e) if self.pass == Pass::Remove && e.kind() == io::ErrorKind::PermissionDenied => {
                unlocked = Some(unlock_by_name(dir, name)?);
                dir.open_dir(name)
            }
            other => other,
        }?;
        let mut now = opened.stat()?;
        if unlocked.is_some() {
            // That alone has changed it.
            now.ctime = folder.stat.ctime;
        }
        let is_still = now.is_still(&folder.stat);
        if self.pass == Pass::Remove && is_still {
            unlocked = unlocked.or(unlock_open(&opened)?);
        }
        let emptied = match is_still {
            true => self.empty_open(&opened, folder, decision, depth),
            false => Ok(false),
        };
        if let (Some(bits), false) = (unlocked, matches!(emptied, Ok(true))) {
            // It stays, as it was.
            opened.set_mode(bits)?;
        }
        emptied
    }

    fn empty_open(
        &mut self,
        opened: &Dir,
        folder: &There,
        decision: Decision,
        depth: usize,
    ) -> io::Result<bool> {
        let this = opened.stat()?.id;
        let in_use = &self.session.directory.in_use;
        if in_use.folders.has(&this) {
            return Ok(false);
        }
        if !in_use::have_alone(opened)? {
            let others = in_use::is_others(opened)?.then(others_are_in_it);
            return others.map_or(Ok(false), Err);
        }
        if depth == MAX_DEPTH {
            return Err(io::Error::other("it is too deep to be removed"));
        }
        if self.pass == Pass::Count && decision == Decision::Remove {
            let count = count_all(opened, MAX_DEPTH - depth)?;
            self.removed += count;
            self.below += count;
            return Ok(true);
        }
        let hasher = RandomState::new();
        let all = describe(opened, &hasher, list(opened, &hasher)?, folder.path())?;
        if self.pass == Pass::Count {
            self.below += all.len() as u64;
        }
        let decisions = match decision {
            Decision::AskInside => self.decisions(all.iter()),
            Decision::Keep | Decision::Remove => vec![decision; all.len()],
        };
        self.remove_all(opened, &all, &decisions, depth + 1)
    }
}
