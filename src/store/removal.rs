//! Deletes what a mirror's sender does not have.
//!
//! Must not delete anything that appeared after its folder was entered, that another session writes
//! into, or that belongs to the store; nor follow a link or cross into another file system.

use std::collections::HashSet;
use std::hash::RandomState;
use std::io;
use std::sync::Arc;

use crate::model::outcome::Why;
use crate::model::reason::SystemError;
use crate::model::relpath::RelPath;
use crate::model::surplus::{Decision, Surplus};
use crate::sys::fs::{self, Dir};

use super::context::SessionContext;
use super::folder::Folder;
use super::in_use;
use super::permissions::{unlock_by_name, unlock_open};
use super::surplus::{There, count_all, describe, list};

/// How deep a folder to delete can be.
const MAX_DEPTH: usize = 256;

/// Folders with surplus, and that surplus.
pub(super) type Cleanable = Vec<(Arc<Folder>, Vec<There>)>;

/// Why a folder failed from which not everything could be deleted.
pub(super) fn not_removed(error: &io::Error) -> Why {
    Why::NotRemoved(SystemError::from(error))
}

/// Why nothing is deleted from a folder that others use.
fn others_are_in_it() -> io::Error {
    io::Error::other("another transfer stores into it, or another program has locked it")
}

/// What to do with surplus.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pass {
    /// Count it.
    Count,
    /// Report it, in a dry run.
    Plan,
    Remove,
}

pub(super) struct Remover<'a, A, G, T> {
    pub(super) session: &'a SessionContext,
    pub(super) pass: Pass,
    /// What other processes are receiving now.
    pub(super) received: HashSet<RelPath>,
    pub(super) ask: A,
    pub(super) give_up: G,
    pub(super) tell: T,
    pub(super) removed: u64,
    /// How many entries were seen in surplus folders, as far as they were counted.
    pub(super) below: u64,
    /// How many entries may be deleted.
    pub(super) most: u64,
    /// Whether [`Self::most`] stopped a deletion.
    pub(super) is_bound: bool,
    /// Whether something could not be counted.
    pub(super) has_failed: bool,
    /// Whether a folder's mode was changed to look into it.
    pub(super) has_unlocked: bool,
}

impl<A, G, T> Remover<'_, A, G, T>
where
    A: FnMut(Vec<Surplus>) -> Vec<Decision>,
    G: Fn() -> bool,
    T: FnMut(RelPath),
{
    /// The decision about each item, in order.
    pub(super) fn decisions<'t>(
        &mut self,
        there: impl Iterator<Item = &'t There> + Clone,
    ) -> Vec<Decision> {
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

    /// Deletes from folders what was decided to go.
    pub(super) fn clean(&mut self, folders: &Cleanable, decisions: &[Decision]) {
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

    /// Deletes the surplus of one folder. Returns whether all of it is gone.
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

    /// Deletes one item with everything in it. Returns whether it is gone.
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
        let is_dir = now.is_dir();
        // A user may have been asked in between. (A file with several names has the same change
        // time under each, so it proves nothing there.)
        let was_changed = !is_dir && there.stat.links <= 1 && now.ctime != there.stat.ctime;
        if !now.is_still(&there.stat) || was_changed {
            return Ok(false);
        }
        if is_dir {
            match self.empty(dir, there, decision, depth) {
                Ok(true) => {}
                Ok(false) => return Ok(false),
                // It counts as far as it is known.
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
                // Something in it stays, or has just arrived.
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

    /// Whether to look into a folder that its mode closes: counting must see what deleting will.
    fn may_unlock(&self) -> bool {
        match self.pass {
            Pass::Count => !self.session.access.dry_run,
            Pass::Plan => false,
            Pass::Remove => true,
        }
    }

    /// Deletes what is in a folder. Returns whether all of it is gone.
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
            Err(e) if self.may_unlock() && e.kind() == io::ErrorKind::PermissionDenied => {
                self.has_unlocked = true;
                unlocked = Some(unlock_by_name(dir, name)?);
                dir.open_dir(name)
            }
            other => other,
        }?;
        let mut now = opened.stat()?;
        if unlocked.is_some() {
            // Only the unlocking has changed it.
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
        let goes = self.pass == Pass::Remove && matches!(emptied, Ok(true));
        if let (Some(bits), false) = (unlocked, goes) {
            // The folder stays, at least for now: restore its mode.
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
            return Err(io::Error::other("too deep to delete"));
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
