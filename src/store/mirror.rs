//! Mirrors: what is in a folder that its sender does not have, and the removal of it.
//!
//! Must not remove anything that came after its folder was entered, that another session writes
//! into, or that the store keeps for itself; nor follow a link or cross into another file system.
//! Nothing is removed before everything is stored: until then it is only noted.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, Hash, RandomState};
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cap_std::fs::Dir;
use rustix::fs::{AtFlags, FileType, Stat};
use rustix::io::Errno;

use crate::outcome::Why;
use crate::relpath::{RelPath, is_reserved};
use crate::text::Text;

use super::folder::{Folder, file_type, open_dir, stat, unlock_by_name, unlock_open};
use super::why::why;
use super::{StoreSession, partial};

/// How many names of one session's folders are remembered at once: 16 bytes each, and some.
const MAX_NAMES: usize = 4 << 20;
/// How deep a folder that is removed can be.
const MAX_DEPTH: usize = 256;

/// The names that were in a folder when it was entered and have not been announced: their hashes,
/// with what they were the names of. Two names of one hash only mean that one of them stays.
pub(super) type Names = HashMap<u64, u64>;

/// What a session that mirrors knows of what is to go.
#[derive(Debug, Default)]
pub(super) struct Mirror {
    hasher: RandomState,
    /// How many names are remembered.
    names: AtomicUsize,
    surplus: Mutex<Vec<(Arc<Folder>, Names)>>,
}

/// The folders that sessions have entered, and the larger files that they are to receive, and
/// how many sessions have each.
#[derive(Debug, Default)]
pub(super) struct Busy {
    folders: Counted<Identity>,
    files: Counted<RelPath>,
}

#[derive(Debug)]
struct Counted<T>(Mutex<HashMap<T, usize>>);

impl<T> Default for Counted<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

/// What makes a folder the same one, whatever it is called.
pub(super) type Identity = (u64, u64);

/// What became of what is to go.
#[derive(Debug, Default)]
pub struct Removal {
    /// How many files, links and folders were removed, or would be.
    pub removed: u64,
    /// Folders of which not everything could be removed.
    pub failed: Vec<(RelPath, Why)>,
}

pub(super) fn identity(stat: &Stat) -> Identity {
    #[allow(clippy::unnecessary_cast, clippy::cast_sign_loss)]
    (stat.st_dev as u64, stat.st_ino as u64)
}

impl<T: Eq + Hash> Counted<T> {
    fn lock(&self) -> MutexGuard<'_, HashMap<T, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, key: T) {
        *self.lock().entry(key).or_default() += 1;
    }

    fn remove(&self, key: &T) {
        let mut all = self.lock();
        if let Some(count) = all.get_mut(key) {
            *count -= 1;
            if *count == 0 {
                all.remove(key);
            }
        }
    }

    fn has(&self, key: &T) -> bool {
        self.lock().contains_key(key)
    }
}

impl Busy {
    pub(super) fn enter(&self, folder: Identity) {
        self.folders.add(folder);
    }

    pub(super) fn leave(&self, folder: Identity) {
        self.folders.remove(&folder);
    }

    pub(super) fn begin(&self, file: &RelPath) {
        self.files.add(file.clone());
    }

    pub(super) fn end(&self, file: &RelPath) {
        self.files.remove(file);
    }
}

/// The names in a folder, and what they are the names of, but for those that the store keeps.
fn list(dir: &Dir) -> io::Result<Vec<(Vec<u8>, u64)>> {
    let mut all = Vec::new();
    for entry in rustix::fs::Dir::read_from(dir)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if !matches!(name, b"." | b"..") && !is_reserved(name) {
            all.push((name.to_vec(), entry.ino()));
        }
    }
    Ok(all)
}

impl Mirror {
    fn hash(&self, name: &[u8]) -> u64 {
        self.hasher.hash_one(name)
    }

    fn surplus(&self) -> MutexGuard<'_, Vec<(Arc<Folder>, Names)>> {
        self.surplus.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers what is in a folder that was just entered.
    pub(super) fn list(&self, folder: &Folder) -> Result<(), Why> {
        let all = folder.with(list).map_err(|e| why(&e))?;
        let before = self.names.fetch_add(all.len(), Ordering::Relaxed);
        if before + all.len() > MAX_NAMES {
            self.names.fetch_sub(all.len(), Ordering::Relaxed);
            let what = "too many names to mirror it";
            return Err(Why::System(Text::new(what)));
        }
        let names = all.iter().map(|(name, ino)| (self.hash(name), *ino));
        *folder.listed() = Some(names.collect());
        Ok(())
    }

    /// Takes note that the sender has `name` in a folder.
    pub(super) fn announced(&self, folder: &Folder, name: &[u8]) {
        let mut listed = folder.listed();
        let Some(names) = listed.as_mut().filter(|names| !names.is_empty()) else {
            return;
        };
        let before = names.len();
        if names.remove(&self.hash(name)).is_none() {
            // A file system that takes two spellings for one name lists it in the other one.
            if let Ok(Some(found)) = folder.with(|dir| stat(dir, name)) {
                let (_, here) = identity(&found);
                names.retain(|_, ino| *ino != here);
            }
        }
        self.names
            .fetch_sub(before - names.len(), Ordering::Relaxed);
    }

    /// Takes note that nothing more comes of a folder, which the sender could read all of or not.
    pub(super) fn ended(&self, folder: &Arc<Folder>, complete: bool) {
        let Some(names) = folder.listed().take() else {
            return;
        };
        if complete && !names.is_empty() {
            self.surplus().push((folder.clone(), names));
        } else {
            self.names.fetch_sub(names.len(), Ordering::Relaxed);
        }
    }
}

impl StoreSession {
    /// Removes what its sender does not have, in folders that it sent and could read all of, once
    /// everything else is stored; in a dry run nothing, but it is counted. Each path is told to
    /// `tell`; `give_up` is asked from time to time.
    pub fn remove_surplus(
        &self,
        give_up: impl Fn() -> bool,
        tell: impl FnMut(RelPath),
    ) -> io::Result<Removal> {
        let Some(mirror) = &self.mirror else {
            return Ok(Removal::default());
        };
        let all = std::mem::take(&mut *mirror.surplus());
        if all.is_empty() {
            return Ok(Removal::default());
        }
        if let Some(dir) = &self.sync {
            // What was moved is on disk in its new place before it goes in the old one.
            super::sync_all(dir)?;
        }
        let received = match self.store.existing_state(partial::PARTIALS)? {
            Some(records) => partial::being_received(&self.store.dir, &records)?,
            None => HashSet::new(),
        };
        let mut remover = Remover {
            session: self,
            dry: self.access.dry_run,
            received,
            give_up,
            tell,
            removed: 0,
        };
        let mut failed = Vec::new();
        for (folder, names) in all {
            let removed = folder.with(|dir| remover.clean(&folder, dir, mirror, &names));
            if let (Err(e), Some(path)) = (removed, folder.path()) {
                failed.push((path.clone(), why(&e)));
            }
        }
        Ok(Removal {
            removed: remover.removed,
            failed,
        })
    }

    /// Forgets what was to be removed: it stays.
    pub fn keep_surplus(&self) {
        if let Some(mirror) = &self.mirror {
            mirror.surplus().clear();
        }
    }
}

struct Remover<'a, G, T> {
    session: &'a StoreSession,
    dry: bool,
    /// What other processes are receiving at the moment.
    received: HashSet<RelPath>,
    give_up: G,
    tell: T,
    removed: u64,
}

impl<G: Fn() -> bool, T: FnMut(RelPath)> Remover<'_, G, T> {
    /// Removes those of `names` from a folder that are still what they were.
    fn clean(
        &mut self,
        folder: &Folder,
        dir: &Dir,
        mirror: &Mirror,
        names: &Names,
    ) -> io::Result<()> {
        let device = identity(&rustix::fs::fstat(dir)?).0;
        let mut result = Ok(());
        let mut there = list(dir)?;
        there.retain(|(name, ino)| names.get(&mirror.hash(name)) == Some(ino));
        there.sort();
        for (name, _) in there {
            let path = folder.path().and_then(|path| path.join(&name).ok());
            if let Err(e) = self.remove(dir, &name, device, path.as_ref(), 0) {
                result = Err(e);
            }
        }
        result
    }

    /// Removes what has a name, with all that is in it. Says whether it is gone.
    fn remove(
        &mut self,
        dir: &Dir,
        name: &[u8],
        device: u64,
        path: Option<&RelPath>,
        depth: usize,
    ) -> io::Result<bool> {
        let files = &self.session.store.busy.files;
        let is_received = |path| self.received.contains(path) || files.has(path);
        if (self.give_up)() || path.is_some_and(is_received) {
            return Ok(false);
        }
        let Some(found) = stat(dir, name)? else {
            return Ok(true);
        };
        if identity(&found).0 != device {
            return Ok(false);
        }
        let is_dir = file_type(&found) == FileType::Directory;
        if is_dir && !self.empty(dir, name, &found, path, depth)? {
            return Ok(false);
        }
        if !self.dry {
            let flags = match is_dir {
                true => AtFlags::REMOVEDIR,
                false => AtFlags::empty(),
            };
            match rustix::fs::unlinkat(dir, name, flags) {
                Ok(()) => {}
                Err(Errno::NOENT) => return Ok(true),
                // Something in it is to stay, or came just now.
                Err(Errno::NOTEMPTY | Errno::EXIST | Errno::BUSY) if is_dir => return Ok(false),
                Err(e) => return Err(e.into()),
            }
        }
        self.removed += 1;
        if let Some(path) = path {
            (self.tell)(path.clone());
        }
        Ok(true)
    }

    /// Removes what is in a folder. Says whether all of it is gone.
    fn empty(
        &mut self,
        dir: &Dir,
        name: &[u8],
        found: &Stat,
        path: Option<&RelPath>,
        depth: usize,
    ) -> io::Result<bool> {
        let opened = match open_dir(dir, name) {
            Err(e) if !self.dry && e.kind() == io::ErrorKind::PermissionDenied => {
                unlock_by_name(dir, name)?;
                open_dir(dir, name)
            }
            other => other,
        }?;
        let this = identity(&rustix::fs::fstat(&opened)?);
        if this != identity(found) || self.session.store.busy.folders.has(&this) {
            return Ok(false);
        }
        if depth == MAX_DEPTH {
            return Err(io::Error::other("it is too deep to be removed"));
        }
        if !self.dry {
            unlock_open(&opened)?;
        }
        let mut all = true;
        let mut there = list(&opened)?;
        there.sort();
        for (name, _) in there {
            let path = path.and_then(|path| path.join(&name).ok());
            all &= self.remove(&opened, &name, this.0, path.as_ref(), depth + 1)?;
        }
        Ok(all)
    }
}
