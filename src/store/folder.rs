//! Folders of the receive folder, each held open as a capability.
//!
//! Must never follow a link: every folder is opened by its one name in the folder above it. A
//! folder gets its time and mode when its last handle is dropped: storing anything in it changes
//! the time, and may need a more permissive mode.

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use crate::model::entry::{Mode, Time};
use crate::model::outcome::{Attribute, Why};
use crate::model::relpath::RelPath;
use crate::sys::fs::{self, Dir, File, FileId, Stat};

use super::clash::{EntryNames, is_listed, is_one_name};
use super::durability::FileSystem;
use super::entering::Entering;
use super::found::{SENDERS_BITS, in_the_way, may_make_way, timestamp, why};
use super::in_use;
use super::names_there::NamesThere;
use super::permissions::{OWNER_ALL, unlock_by_name, unlock_open, with_senders_bits};
use super::session_folders::{FailedFolder, SessionFolders};

/// A folder below the receive folder, or that folder itself.
pub struct Folder {
    place: FolderPlace,
    /// Kept open, unless too many are.
    dir: Option<Dir>,
    /// Whether this session created it, so that it holds nothing yet.
    fresh: bool,
    /// Whether its sender created it: in this session, or in one that was cut off.
    made: bool,
    /// Whether it only leads to what is sent, so that it stays as it is.
    way: bool,
    /// Whether an entry that belongs in it was not stored.
    lacks: AtomicBool,
    /// The mode and time to set when nothing more comes.
    finish: Mutex<Option<(Mode, Time)>>,
    /// Its earlier mode, if that had to be changed to fill it.
    unlocked: Option<u32>,
    /// Its identity, if it exists.
    id: Option<FileId>,
    /// Its file system; for a folder that does not exist yet, its parent's.
    file_system: Arc<FileSystem>,
    /// Whether files in it get other permissions than they are created with.
    has_default_acl: OnceLock<bool>,
    /// For a mirror: the names that were in it.
    listed: Mutex<Option<NamesThere>>,
    /// The names of its entries, where names can clash.
    names: Option<EntryNames>,
    failed: AtomicBool,
    /// Whether the session holds it alone, among all processes, until it ends.
    alone: AtomicBool,
    session: Arc<SessionFolders>,
}

enum FolderPlace {
    Root,
    Below { parent: Arc<Folder>, path: RelPath },
}

impl fmt::Debug for Folder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Folder").field(&self.path()).finish()
    }
}

impl Folder {
    pub(super) fn root(dir: Dir, session: Arc<SessionFolders>) -> io::Result<Arc<Self>> {
        let id = dir.stat()?.id;
        // It may lie in another receive folder.
        if !in_use::share(&dir)? {
            let what = "another session is removing what is surplus in it";
            return Err(io::Error::other(what));
        }
        session.in_use.folders.add(id);
        let durability = &session.durability;
        Ok(Arc::new(Self {
            id: Some(id),
            file_system: durability.file_system(id.device, &dir, None)?,
            has_default_acl: OnceLock::new(),
            place: FolderPlace::Root,
            names: session.folding.root_names(&dir),
            dir: Some(dir),
            fresh: false,
            made: false,
            way: true,
            lacks: AtomicBool::new(false),
            finish: Mutex::new(None),
            unlocked: None,
            listed: Mutex::default(),
            failed: AtomicBool::new(false),
            alone: AtomicBool::new(false),
            session,
        }))
    }

    /// Its path; `None` for the receive folder itself.
    #[must_use]
    pub fn path(&self) -> Option<&RelPath> {
        match &self.place {
            FolderPlace::Root => None,
            FolderPlace::Below { path, .. } => Some(path),
        }
    }

    /// What other sessions identify a file in it by.
    pub(super) fn in_use_key(&self, path: &RelPath) -> Option<(FileId, Vec<u8>)> {
        Some((self.id()?, path.file_name().to_vec()))
    }

    /// Its identity, if it exists.
    pub(super) fn id(&self) -> Option<FileId> {
        self.id
    }

    /// Calls `f` with the open folder while no other session, in any process, uses it; `None` if
    /// one does. A mirror mostly holds its named folders alone anyway.
    pub(super) fn with_alone<T>(
        &self,
        f: impl FnOnce(&Dir) -> io::Result<T>,
    ) -> io::Result<Option<T>> {
        self.with(|dir| {
            let is_claimed = self.alone.load(Ordering::Relaxed);
            let is_alone = is_claimed || in_use::have_alone(dir)?;
            let done = is_alone.then(|| f(dir));
            if !is_claimed && !in_use::share(dir)? {
                return Err(io::ErrorKind::ResourceBusy.into());
            }
            done.transpose()
        })
    }

    /// Notes that the session holds it alone from here on.
    pub(super) fn has_alone(&self) {
        self.alone.store(true, Ordering::Relaxed);
    }

    /// Must be called before the folder or anything in it is changed.
    pub(super) fn before_change(&self) -> Result<(), Why> {
        let durability = &self.session.durability;
        durability.store_on(&self.file_system).map_err(|e| why(&e))
    }

    /// Notes that names in it were created, changed or deleted.
    pub(super) fn names_changed(&self) -> io::Result<()> {
        let durability = &self.session.durability;
        match durability.syncs_one_by_one() && self.id.is_some() {
            true => self.with(|dir| durability.names_changed(dir)),
            false => Ok(()),
        }
    }

    /// Whether files in it get other permissions than they are created with.
    pub(super) fn has_default_acl(&self, dir: &Dir) -> bool {
        *self.has_default_acl.get_or_init(|| dir.has_default_acl())
    }

    /// Whether this session created it.
    #[must_use]
    pub fn is_fresh(&self) -> bool {
        self.fresh
    }

    /// Whether its sender created it, and so decides its time and mode.
    pub(super) fn is_made(&self) -> bool {
        self.made
    }

    /// Whether it only leads to what is sent, so that it stays as it is.
    pub(super) fn is_way(&self) -> bool {
        self.way
    }

    /// Whether the sender named it, so that it is sent with everything in it.
    pub(super) fn is_named(&self) -> bool {
        match &self.place {
            FolderPlace::Root => false,
            FolderPlace::Below { parent, .. } => parent.way && !self.way,
        }
    }

    /// Creates or enters the folder `path`, whose last name is looked up in this one. A new folder
    /// gets `mode`, plus what it takes to fill it.
    pub(super) fn enter(
        self: &Arc<Self>,
        path: &RelPath,
        mode: Mode,
        entering: Entering,
    ) -> Result<Arc<Self>, Why> {
        let Entering {
            unlock,
            replace,
            way,
        } = entering;
        let name = path.file_name();
        // Set now, because the session may be cut off before it finishes the folder.
        let mode = (mode.bits() & SENDERS_BITS) | OWNER_ALL;
        self.before_change()?;
        let make = |dir: &Dir| match dir.make_dir(name, mode) {
            Ok(()) => Ok(true),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(e) => Err(fs::of_new_name(e)),
        };
        let mut made = self.with(make);
        if matches!(made, Ok(false))
            && replace
            && let Some(found) = self.with(|dir| dir.stat_at(name)).map_err(|e| why(&e))?
            && may_make_way(&found)
        {
            self.claim(name, &found)?;
            made = self.with(|dir| {
                dir.remove_file(name)?;
                make(dir)
            });
        }
        let fresh = made.map_err(|e| why(&e))?;
        let mut unlocked = None;
        let opened = self.with(|dir| match dir.open_dir(name) {
            Err(e) if unlock && e.kind() == io::ErrorKind::PermissionDenied => {
                unlocked = Some(unlock_by_name(dir, name)?);
                dir.open_dir(name)
            }
            other => other,
        });
        let dir = opened.map_err(|e| match fs::is_not_a_dir(&e) {
            true => self
                .with(|dir| dir.stat_at(name))
                .map_or_else(|e| why(&e), |found| in_the_way(found.as_ref())),
            false => why(&e),
        })?;
        if !fresh && unlock {
            unlocked = unlocked.or(unlock_open(&dir).map_err(|e| why(&e))?);
        }
        let folder = self.below(path, Some(dir), fresh, unlocked, way)?;
        if unlocked.is_some() {
            folder.before_change()?;
        }
        Ok(folder)
    }

    /// The folder `path` as it is. If it does not exist, or would replace a file or link, the
    /// result stands for a folder that is still to be created. Changes nothing.
    pub(super) fn look_into(
        self: &Arc<Self>,
        path: &RelPath,
        Entering { replace, way, .. }: Entering,
    ) -> Result<Arc<Self>, Why> {
        let name = path.file_name();
        let found = match self.fresh {
            true => None,
            false => self.with(|dir| dir.stat_at(name)).map_err(|e| why(&e))?,
        };
        let dir = match &found {
            None => None,
            Some(found) if replace && may_make_way(found) => None,
            Some(found) if found.is_dir() => {
                Some(self.with(|dir| dir.open_dir(name)).map_err(|e| why(&e))?)
            }
            found => return Err(in_the_way(found.as_ref())),
        };
        let fresh = dir.is_none();
        self.below(path, dir, fresh, None, way)
    }

    fn below(
        self: &Arc<Self>,
        path: &RelPath,
        dir: Option<Dir>,
        fresh: bool,
        unlocked: Option<u32>,
        way: bool,
    ) -> Result<Arc<Self>, Why> {
        let stat = dir.as_ref().map(Dir::stat).transpose();
        let stat = stat.map_err(|e| why(&e))?;
        let mut names = None;
        if let (Some(dir), Some(stat)) = (&dir, &stat) {
            match (&self.names, fresh) {
                // Its inode may have been that of another entry, which was replaced.
                (Some(names), true) => names.note(path.file_name(), stat),
                _ => self.claim(path.file_name(), stat)?,
            }
            names = self.session.folding.names(dir, stat);
        }
        let session = &self.session;
        let file_system = match (&dir, &stat) {
            (Some(dir), Some(stat)) => {
                let durability = &session.durability;
                durability.file_system(stat.id.device, dir, Some(path))
            }
            _ => Ok(self.file_system.clone()),
        };
        let file_system = file_system.map_err(|e| why(&e))?;
        let has_default_acl = OnceLock::new();
        if fresh && self.has_default_acl.get() == Some(&false) {
            // A new folder inherits its parent's default ACL.
            let _ = has_default_acl.set(false);
        }
        let take = |stat| session.in_use.take_unfinished(session.owner, stat);
        let made = fresh || stat.as_ref().is_some_and(take);
        let id = stat.as_ref().map(|stat| stat.id);
        if let Some(id) = id {
            session.in_use.folders.add(id);
        }
        let keep = dir.is_some() && session.keep_open();
        if let Some(dir) = dir.as_ref().filter(|_| keep && (way || !self.way)) {
            // Named folders have claims of their own.
            match in_use::share(dir) {
                Ok(true) => {}
                shared => {
                    session.closed();
                    if let Some(id) = id {
                        session.in_use.folders.remove(&id);
                    }
                    return Err(shared.map_or_else(|e| why(&e), |_| Why::InUse));
                }
            }
        }
        Ok(Arc::new(Self {
            place: FolderPlace::Below {
                parent: self.clone(),
                path: path.clone(),
            },
            dir: dir.filter(|_| keep),
            fresh,
            made,
            way,
            lacks: AtomicBool::new(false),
            finish: Mutex::new(None),
            unlocked,
            id,
            file_system,
            has_default_acl,
            listed: Mutex::default(),
            names,
            failed: AtomicBool::new(false),
            alone: AtomicBool::new(false),
            session: session.clone(),
        }))
    }

    /// For a mirror: the names that were in it at first and were not announced.
    pub(super) fn listed(&self) -> MutexGuard<'_, Option<NamesThere>> {
        self.listed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that what was found under `name` belongs to an entry; fails if it belongs to another
    /// entry, with another name.
    pub(super) fn claim(&self, name: &[u8], found: &Stat) -> Result<(), Why> {
        match &self.names {
            Some(names) => names.claim(name, found, |name| {
                self.with(|dir| is_listed(dir, name)).unwrap_or(false)
            }),
            None => Ok(()),
        }
    }

    /// Notes that an entry has `name`; fails if the file system takes it for another entry's name.
    /// A dry run cannot try that: it takes two names for one if looking up one finds what is listed
    /// as the other.
    pub(super) fn reserve(&self, name: &[u8], dry: bool) -> Result<(), Why> {
        let Some(names) = &self.names else {
            return Ok(());
        };
        let is_one = |other: &[u8], dir: &Dir| match dry {
            true => Ok(dir.stat_at(name)?.is_some() && !is_listed(dir, name)?),
            false => Ok(is_one_name(dir, other, name)),
        };
        names.reserve(name, |other| {
            self.with(|dir| is_one(other, dir)).unwrap_or(true)
        })
    }

    /// Notes that a file is about to get `name`.
    pub(super) fn note(&self, name: &[u8], file: &File) -> io::Result<()> {
        if let Some(names) = &self.names {
            names.note(name, &fs::stat(file)?);
        }
        Ok(())
    }

    /// Notes that what has the name `there` has `name`, or is about to get it.
    pub(super) fn note_link(&self, name: &[u8], dir: &Dir, there: &[u8]) -> io::Result<()> {
        if let Some(names) = &self.names
            && let Some(found) = dir.stat_at(there)?
        {
            names.note(name, &found);
        }
        Ok(())
    }

    /// Calls `f` with the open folder.
    pub(super) fn with<T>(&self, f: impl FnOnce(&Dir) -> io::Result<T>) -> io::Result<T> {
        match &self.dir {
            Some(dir) => f(dir),
            None => f(&self.reopen()?),
        }
    }

    fn reopen(&self) -> io::Result<Dir> {
        match (&self.dir, &self.place) {
            (Some(dir), _) => dir.try_clone(),
            (None, FolderPlace::Below { parent, path }) => {
                parent.reopen()?.open_dir(path.file_name())
            }
            (None, FolderPlace::Root) => Err(io::ErrorKind::NotFound.into()),
        }
    }

    /// Notes that an entry that belongs in it was not stored.
    pub(super) fn lacks(&self) {
        self.lacks.store(true, Ordering::Relaxed);
    }

    /// Notes that something about the folder itself failed.
    pub(super) fn fail(&self, why: Why) {
        let Some(path) = self.path() else {
            return;
        };
        if !self.failed.swap(true, Ordering::AcqRel) {
            self.session.add_failed(FailedFolder {
                path: path.clone(),
                fresh: self.fresh,
                why,
            });
        }
    }

    /// The same for the named folder that it is in.
    pub(super) fn fail_named(&self, why: Why) {
        match &self.place {
            FolderPlace::Below { parent, .. } if !parent.way => parent.fail_named(why),
            _ => self.fail(why),
        }
    }

    /// Sets its mode and time, as far as its file system keeps them.
    fn close(&self, dir: &Dir, mode: Mode, mtime: Time) -> io::Result<()> {
        let not_kept = &self.session.durability.not_kept;
        let before = dir.stat()?.mode;
        let wanted = with_senders_bits(before, mode);
        if before != wanted {
            not_kept.permit(Attribute::Mode, dir.set_mode(wanted))?;
        }
        not_kept.permit(Attribute::Time, dir.set_mtime(timestamp(mtime)))
    }

    /// Sets the mode and time that it gets once everything in it is stored.
    pub fn finish_with(&self, mode: Mode, mtime: Time) {
        *self.finish.lock().unwrap_or_else(PoisonError::into_inner) = Some((mode, mtime));
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let finish = self
            .finish
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let unfinished = self.made && !self.way && (finish.is_none() || *self.lacks.get_mut());
        let finished = match (finish, self.unlocked) {
            (Some((mode, mtime)), _) => self.with(|dir| self.close(dir, mode, mtime)),
            // Left unfinished: its old mode is restored.
            (None, Some(bits)) => self.with(|dir| dir.set_mode(bits)),
            (None, None) => Ok(()),
        };
        if let Err(e) = finished.and(self.names_changed()) {
            self.fail(why(&e));
        }
        if unfinished && let Ok(stat) = self.with(Dir::stat) {
            let session = &self.session;
            session.in_use.leave_unfinished(session.owner, &stat);
        }
        if let Some(id) = self.id {
            self.session.in_use.folders.remove(&id);
        }
        if self.dir.is_some() && matches!(self.place, FolderPlace::Below { .. }) {
            self.session.closed();
        }
    }
}
