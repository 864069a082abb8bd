//! `Mirror`: what a session's folders hold that the sender does not have, and when it is deleted.
//!
//! Must not delete anything before everything else is stored (except files and links in the way of
//! a folder), nor before everything to delete has been counted. `removal` does the deleting.

use std::collections::HashSet;
use std::hash::RandomState;
use std::io;
use std::iter::Peekable;
use std::slice::Iter;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::model::outcome::Why;
use crate::model::reason::Limit;
use crate::model::relpath::RelPath;
use crate::model::surplus::{Decision, Objection, RemovalCount, Surplus};
use crate::sys::fs::{Dir, Stat};

use super::context::SessionContext;
use super::folder::Folder;
use super::found::why;
use super::names_there::{NamesThere, seen};
use super::partial;
use super::removal::{Cleanable, Pass, Remover, not_removed};
use super::state::{PARTIALS, existing_state};
use super::surplus::{list, surplus_of};

/// How many names of one session's folders are remembered at once: at least 16 bytes each.
const MAX_NAMES: usize = 4 << 20;
/// About how many items to ask about at once.
const QUESTION: usize = 1024;

/// What a mirroring session knows about what to delete.
#[derive(Debug, Default)]
pub(super) struct Mirror {
    hasher: RandomState,
    /// How many names are remembered.
    names: AtomicUsize,
    /// How many names all entered folders had.
    there: AtomicU64,
    surplus: Mutex<Vec<(Arc<Folder>, NamesThere)>>,
}

impl Mirror {
    fn surplus(&self) -> MutexGuard<'_, Vec<(Arc<Folder>, NamesThere)>> {
        self.surplus.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers the contents of a folder that was just entered.
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

    /// Notes that the sender has `name` in a folder. Returns whether something had that name that
    /// no other name of the sender's accounts for. In a dry run the entry will not be stored.
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

    /// Notes that what has `name` in a folder is surplus, because the sender has something else by
    /// that name. Returns false if nothing in the folder may be deleted.
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

    /// Notes that nothing more comes for a folder; `complete` if the sender could read all of it.
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

    /// Forgets the planned deletions, except of what an entry waits for.
    pub(super) fn keep_but_obstacles(&self) {
        let mut surplus = self.surplus();
        surplus.iter_mut().for_each(|(_, names)| {
            self.names
                .fetch_sub(names.keep_but_obstacles(), Ordering::Relaxed);
        });
        surplus.retain(|(_, names)| names.len() > 0);
    }

    /// Forgets the planned deletions.
    pub(super) fn keep(&self) {
        let kept = std::mem::take(&mut *self.surplus());
        // Dropping folders sets their times and modes, which takes a while.
        drop(kept);
    }

    /// Deletes what the sender does not have, in folders that it sent and could read completely,
    /// once everything else is stored. A dry run only counts. `ask` decides about each item, in
    /// order. Then all deletions are counted, and `allow` says how many may happen, or why none
    /// may. `tell` gets each deleted path; `give_up` is called from time to time. Returns how many
    /// files, links and folders were or would be deleted; folders that could not be emptied count
    /// as failed.
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
        // A moved file must be on disk in its new place before it is deleted in the old one.
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
            has_unlocked: false,
        };
        let mut left = all.iter().peekable();
        let mut batches = 0;
        // A single batch is neither looked up nor asked about again.
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
            // If it could not be counted, it fails.
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
        // Unlocking folders changed what was found before.
        let known = known.filter(|_| !remover.has_unlocked);
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

    /// The next folders that have surplus. They are asked about together, because each question
    /// takes a round trip to the sender.
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
