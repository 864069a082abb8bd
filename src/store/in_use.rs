//! What sessions are storing now, so that a mirror deletes nothing that another session relies on.
//! Locks on the folders themselves cover all processes of this machine. Notes in this process cover
//! folders that are not kept open, and what senders are told.
//!
//! Must not identify a folder by its path: it may have several. Must not conclude that nobody uses
//! a folder where the file system has no locks. Must not fail because of other users' locks, which
//! anybody who may read a folder can take: they only prevent deletions there.

use std::collections::HashMap;
use std::hash::Hash;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use crate::sys::fs::{self, Dir, FileId, Lock, LockState, Stat, Timestamp};
use crate::sys::lock_holders;

/// How many unfinished folders are remembered.
const MAX_UNFINISHED: usize = 64 * 1024;

/// How often locking a folder is tried: a mirror holds its lock only while it deletes something
/// there.
const LOCK_TRIES: usize = 20;
/// How long to wait between tries.
const LOCK_PAUSE: Duration = Duration::from_millis(5);

/// Shares an open folder with other sessions until every copy of this handle is closed. Returns
/// false if a mirror holds it alone. Other users' locks are not a mirror's.
pub(super) fn share(dir: &Dir) -> io::Result<bool> {
    Ok(lock(dir, Lock::Shared)? != LockState::Theirs || is_others(dir)?)
}

/// Whether only other users have locks on a folder, so that no session of this user is in it.
pub(super) fn is_others(dir: &Dir) -> io::Result<bool> {
    Ok(lock_holders::are_all_others(dir.stat()?.id.inode))
}

/// Takes an open folder for this session alone, for as long as [`share`] would. Returns false if
/// another session uses it; fails if that cannot be told.
pub(super) fn have_alone(dir: &Dir) -> io::Result<bool> {
    match lock(dir, Lock::Exclusive)? {
        LockState::Ours => Ok(true),
        LockState::Theirs => Ok(false),
        LockState::Unknown => {
            let what = "this file system has no locks, so another transfer may be storing there";
            Err(io::Error::other(what))
        }
    }
}

fn lock(dir: &Dir, lock: Lock) -> io::Result<LockState> {
    for _ in 1..LOCK_TRIES {
        match fs::try_lock(dir, lock)? {
            LockState::Theirs if !is_others(dir)? => std::thread::sleep(LOCK_PAUSE),
            other => return Ok(other),
        }
    }
    fs::try_lock(dir, lock)
}

/// The folders that sessions are in and the larger files that they are receiving, with the number
/// of sessions for each; and who has claimed which of the named folders.
#[derive(Debug, Default)]
pub(super) struct InUse {
    pub(super) folders: UseCounts<FileId>,
    /// By their folder and their name in it.
    pub(super) files: UseCounts<(FileId, Vec<u8>)>,
    claims: Mutex<HashMap<FileId, Vec<Holder>>>,
    unfinished: Mutex<HashMap<FileId, Unfinished>>,
}

/// A folder that a session created, but cut off before setting its time and permissions.
#[derive(Debug, PartialEq, Eq)]
struct Unfinished {
    owner: [u8; 32],
    /// When it was left. Later changes may be somebody else's.
    changed: Timestamp,
}

/// How many sessions use each item.
#[derive(Debug)]
pub(super) struct UseCounts<T>(Mutex<HashMap<T, usize>>);

impl<T> Default for UseCounts<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: Eq + Hash> UseCounts<T> {
    fn lock(&self) -> MutexGuard<'_, HashMap<T, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn add(&self, key: T) {
        *self.lock().entry(key).or_default() += 1;
    }

    pub(super) fn remove(&self, key: &T) {
        let mut all = self.lock();
        if let Some(count) = all.get_mut(key) {
            *count -= 1;
            if *count == 0 {
                all.remove(key);
            }
        }
    }

    pub(super) fn has(&self, key: &T) -> bool {
        self.lock().contains_key(key)
    }
}

/// A session that has claimed a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Holder {
    owner: [u8; 32],
    alone: bool,
}

/// A session's claim on a folder, until it is dropped.
#[derive(Debug)]
pub(super) struct FolderClaim {
    in_use: Arc<InUse>,
    folder: FileId,
    holder: Holder,
    /// Holds the lock.
    lock: Option<Dir>,
}

impl FolderClaim {
    /// Claims the folder among all processes, too. If another user has a lock on it, it is shared
    /// instead of held alone.
    pub(super) fn lock(&mut self, dir: Dir) -> io::Result<Locked> {
        let locked = match self.holder.alone {
            true if have_alone(&dir)? => Locked::Alone,
            true if !is_others(&dir)? => Locked::Not,
            _ if share(&dir)? => Locked::Shared,
            _ => Locked::Not,
        };
        self.lock = (locked != Locked::Not).then_some(dir);
        Ok(locked)
    }
}

/// How a claim holds its folder among all processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Locked {
    /// Not at all: another process holds it.
    Not,
    Shared,
    Alone,
}

/// Who holds a folder that cannot be claimed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taken {
    /// Another session of the same sender, whose connection may be lost.
    BySame,
    ByAnother,
}

impl InUse {
    /// Shared by all receive folders of this process: one may lie in another.
    pub(super) fn shared() -> Arc<Self> {
        static SHARED: OnceLock<Arc<InUse>> = OnceLock::new();
        SHARED.get_or_init(Arc::default).clone()
    }

    fn claims(&self) -> MutexGuard<'_, HashMap<FileId, Vec<Holder>>> {
        self.claims.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Claims a folder for a session of `owner`, shared or `alone`. A mirror claims it alone,
    /// because it deletes what others may just have stored.
    pub(super) fn claim(
        self: &Arc<Self>,
        folder: FileId,
        owner: [u8; 32],
        alone: bool,
    ) -> Result<FolderClaim, Taken> {
        let mut claims = self.claims();
        let holders = claims.entry(folder).or_default();
        if let Some(other) = holders.iter().find(|other| alone || other.alone) {
            return Err(match other.owner == owner {
                true => Taken::BySame,
                false => Taken::ByAnother,
            });
        }
        let holder = Holder { owner, alone };
        holders.push(holder);
        Ok(FolderClaim {
            in_use: self.clone(),
            folder,
            holder,
            lock: None,
        })
    }

    /// How many folders the sessions of `owner` have claimed.
    pub(super) fn claims_of(&self, owner: [u8; 32]) -> usize {
        let is_of = |holder: &&Holder| holder.owner == owner;
        self.claims().values().flatten().filter(is_of).count()
    }

    fn unfinished(&self) -> MutexGuard<'_, HashMap<FileId, Unfinished>> {
        self.unfinished
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers a folder that a session left unfinished, so that the sender's next session can
    /// finish it.
    pub(super) fn leave_unfinished(&self, owner: [u8; 32], folder: &Stat) {
        let mut unfinished = self.unfinished();
        if unfinished.len() == MAX_UNFINISHED {
            // Most of them were abandoned.
            unfinished.clear();
        }
        let changed = folder.ctime;
        unfinished.insert(folder.id, Unfinished { owner, changed });
    }

    /// Whether a session of this sender left a folder unfinished, and nobody has touched it since.
    /// If so, this session takes over finishing it.
    pub(super) fn take_unfinished(&self, owner: [u8; 32], folder: &Stat) -> bool {
        let changed = folder.ctime;
        let mut unfinished = self.unfinished();
        let key = folder.id;
        let is_left = unfinished.get(&key) == Some(&Unfinished { owner, changed });
        is_left && unfinished.remove(&key).is_some()
    }
}

impl Drop for FolderClaim {
    fn drop(&mut self) {
        let mut claims = self.in_use.claims();
        if let Some(holders) = claims.get_mut(&self.folder) {
            if let Some(at) = holders.iter().position(|holder| *holder == self.holder) {
                holders.swap_remove(at);
            }
            if holders.is_empty() {
                claims.remove(&self.folder);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_has_a_folder_alone_has_it_alone() {
        let in_use = Arc::new(InUse::default());
        let (me, other) = ([1; 32], [2; 32]);
        let claim = |inode, owner, alone| in_use.claim(FileId { device: 1, inode }, owner, alone);
        let shared = [
            claim(7, me, false).unwrap(),
            claim(7, other, false).unwrap(),
        ];
        assert!(matches!(claim(7, me, true), Err(Taken::BySame)));
        let elsewhere = claim(8, me, true).unwrap();
        drop(shared);
        let alone = claim(7, me, true).unwrap();
        assert!(matches!(claim(7, me, false), Err(Taken::BySame)));
        assert!(matches!(claim(7, other, true), Err(Taken::ByAnother)));
        drop((alone, elsewhere));
        claim(7, other, true).unwrap();
        assert!(in_use.claims().is_empty());
    }
}
