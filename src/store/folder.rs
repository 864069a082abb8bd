//! Folders of the receive directory, each held open as a capability.
//!
//! Must not follow a link, ever: every folder is opened by its one name in the folder above it.
//! A folder gets its time and mode when the last hold on it is gone, because everything that is
//! stored in it changes the former and may need more than the latter.

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cap_std::fs::{Dir, File};
use rustix::fs::{AtFlags, FileType, OFlags, Stat, Timestamps};
use rustix::io::Errno;

use crate::model::entry::{Mode, Time};
use crate::model::outcome::Why;
use crate::model::reason::Obstacle;
use crate::model::relpath::RelPath;
use crate::sys::host;

use super::clash::{self, Folding};
use super::in_use::{Busy, Identity, identity};
use super::plan::may_make_way;
use super::removal::Names;
use super::why::{in_the_way, why};

/// How many folders one session keeps open at most; beyond that they are opened as they are used.
const MAX_OPEN_FOLDERS: usize = 256;
/// What part of the descriptors that this process may have the folders of all sessions can take.
const PART_OF_DESCRIPTORS: usize = 8;
/// What the owner of a folder that is being filled must be allowed.
const OWNER_ALL: u32 = 0o700;
/// The permissions that a sender decides; setuid, setgid and sticky are not among them.
pub(super) const SENDERS_BITS: u32 = 0o777;

/// How many folders all sessions of this process keep open.
static ALL_OPEN: AtomicUsize = AtomicUsize::new(0);

/// A folder that is there, and something about it could not be done: to set its time or mode, or
/// to remove what was to go. Each is told once.
#[derive(Debug)]
pub struct FailedFolder {
    /// Its path.
    pub path: RelPath,
    /// Whether it was made by this session.
    pub fresh: bool,
    /// Why.
    pub why: Why,
}

/// What the folders of one session share.
#[derive(Debug)]
pub(super) struct Held {
    owner: [u8; 32],
    busy: Arc<Busy>,
    folding: Folding,
    open: AtomicUsize,
    failed: Mutex<Vec<FailedFolder>>,
}

impl Held {
    pub(super) fn new(owner: [u8; 32], busy: Arc<Busy>, folding: Folding) -> Self {
        Self {
            owner,
            busy,
            folding,
            open: AtomicUsize::new(0),
            failed: Mutex::default(),
        }
    }

    /// Whether one more folder may be kept open; then it counts.
    fn keep_open(&self) -> bool {
        let more = |most: usize| move |n: usize| (n < most).then_some(n + 1);
        let count = |counter: &AtomicUsize, most| {
            let counted = counter.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more(most));
            counted.is_ok()
        };
        if !count(&self.open, MAX_OPEN_FOLDERS) {
            return false;
        }
        let kept = count(&ALL_OPEN, host::limit_of_open() / PART_OF_DESCRIPTORS);
        if !kept {
            self.open.fetch_sub(1, Ordering::Relaxed);
        }
        kept
    }

    fn closed(&self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
        ALL_OPEN.fetch_sub(1, Ordering::Relaxed);
    }

    pub(super) fn take_failed(&self) -> Vec<FailedFolder> {
        std::mem::take(&mut self.failed.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A folder below the receive directory, or that directory itself.
pub struct Folder {
    place: Place,
    /// Kept open, unless there are too many.
    dir: Option<Dir>,
    /// Whether it was made by this session, so that nothing is expected in it.
    fresh: bool,
    /// Whether its sender made it: in this session, or in one that was cut off.
    made: bool,
    /// Whether something that was to come into it has not.
    lacks: AtomicBool,
    /// What to set when nothing more comes.
    finish: Mutex<Option<(Mode, Time)>>,
    /// The mode it had, if it had to be opened up to be filled.
    unlocked: Option<u32>,
    /// Which folder it is, if it is there.
    identity: Option<Identity>,
    /// For a mirror: what was in it.
    listed: Mutex<Option<Names>>,
    /// The names of its entries, where they can clash.
    names: Option<clash::Names>,
    failed: AtomicBool,
    held: Arc<Held>,
}

enum Place {
    Root,
    Below { parent: Arc<Folder>, path: RelPath },
}

impl fmt::Debug for Folder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Folder").field(&self.path()).finish()
    }
}

impl Folder {
    pub(super) fn root(dir: Dir, held: Arc<Held>) -> Arc<Self> {
        let stat = rustix::fs::fstat(&dir).ok();
        let identity = stat.as_ref().map(identity);
        if let Some(identity) = identity {
            // It may lie in another receive directory.
            held.busy.folders.add(identity);
        }
        Arc::new(Self {
            identity,
            place: Place::Root,
            names: held.folding.root_names(&dir),
            dir: Some(dir),
            fresh: false,
            made: false,
            lacks: AtomicBool::new(false),
            finish: Mutex::new(None),
            unlocked: None,
            listed: Mutex::default(),
            failed: AtomicBool::new(false),
            held,
        })
    }

    /// Its path; none for the receive directory itself.
    #[must_use]
    pub fn path(&self) -> Option<&RelPath> {
        match &self.place {
            Place::Root => None,
            Place::Below { path, .. } => Some(path),
        }
    }

    /// Which folder it is, if it is there.
    pub(super) fn identity(&self) -> Option<Identity> {
        self.identity
    }

    /// Whether this session made it.
    #[must_use]
    pub fn is_fresh(&self) -> bool {
        self.fresh
    }

    /// Whether its sender made it, and so decides what time and mode it has.
    pub(super) fn is_made(&self) -> bool {
        self.made
    }

    /// Makes or enters the folder `path`, whose last name is looked for in this one. One that is
    /// made has `mode`, but for what it takes to fill it. With `unlock`, one that its mode locks
    /// is opened up while it is being filled; with `replace`, a file or link of that name makes
    /// way for it.
    pub(super) fn enter(
        self: &Arc<Self>,
        path: &RelPath,
        mode: Mode,
        unlock: bool,
        replace: bool,
    ) -> Result<Arc<Self>, Why> {
        let name = path.file_name();
        // At once, because nobody may come to finish it.
        let mode = (mode.bits() & SENDERS_BITS) | OWNER_ALL;
        let make = |dir: &_| match rustix::fs::mkdirat(dir, name, mode.into()) {
            Ok(()) => Ok(true),
            Err(Errno::EXIST) => Ok(false),
            Err(e) => Err(e.into()),
        };
        let mut made = self.with(make);
        if matches!(made, Ok(false))
            && replace
            && let Some(found) = self.with(|dir| stat(dir, name)).map_err(|e| why(&e))?
            && may_make_way(&found)
        {
            self.claim(name, &found)?;
            made = self.with(|dir| {
                rustix::fs::unlinkat(dir, name, AtFlags::empty())?;
                make(dir)
            });
        }
        let fresh = made.map_err(|e| why(&e))?;
        let mut unlocked = None;
        let opened = self.with(|dir| match open_dir(dir, name) {
            Err(e) if unlock && e.kind() == io::ErrorKind::PermissionDenied => {
                unlocked = Some(unlock_by_name(dir, name)?);
                open_dir(dir, name)
            }
            other => other,
        });
        let dir = opened.map_err(|e| match e.raw_os_error().map(Errno::from_raw_os_error) {
            Some(Errno::NOTDIR | Errno::LOOP) => self
                .with(|dir| stat(dir, name))
                .map_or_else(|e| why(&e), |found| in_the_way(found.as_ref())),
            _ => why(&e),
        })?;
        if !fresh && unlock {
            unlocked = unlocked.or(unlock_open(&dir).map_err(|e| why(&e))?);
        }
        self.below(path, Some(dir), fresh, unlocked)
    }

    /// The folder `path` as it is, or as one that is not there yet, as where with `replace` a file
    /// or link would make way for it. Nothing is made or changed.
    pub(super) fn look_into(
        self: &Arc<Self>,
        path: &RelPath,
        replace: bool,
    ) -> Result<Arc<Self>, Why> {
        let name = path.file_name();
        let found = match self.fresh {
            true => None,
            false => self.with(|dir| stat(dir, name)).map_err(|e| why(&e))?,
        };
        let dir = match &found {
            None => None,
            Some(found) if replace && may_make_way(found) => None,
            Some(found) if file_type(found) == FileType::Directory => {
                Some(self.with(|dir| open_dir(dir, name)).map_err(|e| why(&e))?)
            }
            found => return Err(in_the_way(found.as_ref())),
        };
        let fresh = dir.is_none();
        self.below(path, dir, fresh, None)
    }

    fn below(
        self: &Arc<Self>,
        path: &RelPath,
        dir: Option<Dir>,
        fresh: bool,
        unlocked: Option<u32>,
    ) -> Result<Arc<Self>, Why> {
        let stat = dir.as_ref().map(rustix::fs::fstat).transpose();
        let stat = stat.map_err(|e| why(&e.into()))?;
        let mut names = None;
        if let (Some(dir), Some(stat)) = (&dir, &stat) {
            match (&self.names, fresh) {
                // What it is now may have been another entry's, which was replaced.
                (Some(names), true) => names.note(path.file_name(), stat),
                _ => self.claim(path.file_name(), stat)?,
            }
            names = self.held.folding.names(dir, stat);
        }
        let take = |stat| self.held.busy.take_unfinished(self.held.owner, stat);
        let made = fresh || stat.as_ref().is_some_and(take);
        let identity = stat.as_ref().map(identity);
        if let Some(identity) = identity {
            self.held.busy.folders.add(identity);
        }
        let keep = dir.is_some() && self.held.keep_open();
        Ok(Arc::new(Self {
            place: Place::Below {
                parent: self.clone(),
                path: path.clone(),
            },
            dir: dir.filter(|_| keep),
            fresh,
            made,
            lacks: AtomicBool::new(false),
            finish: Mutex::new(None),
            unlocked,
            identity,
            listed: Mutex::default(),
            names,
            failed: AtomicBool::new(false),
            held: self.held.clone(),
        }))
    }

    /// For a mirror: what was in it when it was entered, and has not been announced.
    pub(super) fn listed(&self) -> MutexGuard<'_, Option<Names>> {
        self.listed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes note that what was found under `name` is an entry's; fails where it is that of
    /// another entry, with another name.
    pub(super) fn claim(&self, name: &[u8], found: &Stat) -> Result<(), Why> {
        match &self.names {
            Some(names) => names.claim(name, found),
            None => Ok(()),
        }
    }

    /// Takes note that a file is to get `name`.
    pub(super) fn note(&self, name: &[u8], file: &File) -> io::Result<()> {
        if let Some(names) = &self.names {
            names.note(name, &rustix::fs::fstat(file)?);
        }
        Ok(())
    }

    /// Takes note that what is under the name `there` is to get `name`, or has it.
    pub(super) fn note_link(&self, name: &[u8], dir: &Dir, there: &[u8]) -> io::Result<()> {
        if let Some(names) = &self.names
            && let Some(found) = stat(dir, there)?
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
            (None, Place::Below { parent, path }) => open_dir(&parent.reopen()?, path.file_name()),
            (None, Place::Root) => Err(io::ErrorKind::NotFound.into()),
        }
    }

    /// Takes note that something that was to come into it has not.
    pub(super) fn lacks(&self) {
        self.lacks.store(true, Ordering::Relaxed);
    }

    /// Notes that something about it could not be done.
    pub(super) fn fail(&self, why: Why) {
        let Some(path) = self.path() else {
            return;
        };
        if !self.failed.swap(true, Ordering::AcqRel) {
            let mut failed = self
                .held
                .failed
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            failed.push(FailedFolder {
                path: path.clone(),
                fresh: self.fresh,
                why,
            });
        }
    }

    /// Sets what it gets when everything that goes into it is there.
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
        let unfinished = self.made && (finish.is_none() || *self.lacks.get_mut());
        let finished = match (finish, self.unlocked) {
            (Some((mode, mtime)), _) => self.with(|dir| close(dir, mode, mtime)),
            // Left unfinished: as it was.
            (None, Some(bits)) => self.with(|dir| Ok(rustix::fs::fchmod(dir, bits.into())?)),
            (None, None) => Ok(()),
        };
        if let Err(e) = finished {
            self.fail(why(&e));
        }
        if unfinished && let Ok(stat) = self.with(|dir| Ok(rustix::fs::fstat(dir)?)) {
            self.held.busy.leave_unfinished(self.held.owner, &stat);
        }
        if let Some(identity) = self.identity {
            self.held.busy.folders.remove(&identity);
        }
        if self.dir.is_some() && matches!(self.place, Place::Below { .. }) {
            self.held.closed();
        }
    }
}

/// Opens the folder `name` in `dir`, never through a link.
///
/// (cap-std's own `open_dir_nofollow` opens for nothing but passing through, on Linux, and such a
/// handle can neither be synced nor have its mode and time set.)
pub(super) fn open_dir(dir: &Dir, name: &[u8]) -> io::Result<Dir> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fd = rustix::fs::openat(dir, name, flags, rustix::fs::Mode::empty())?;
    Ok(Dir::from_std_file(fd.into()))
}

/// Lets the owner of a folder that cannot even be opened fill it. Gives the mode that it had.
#[cfg(target_os = "linux")]
pub(super) fn unlock_by_name(dir: &Dir, name: &[u8]) -> io::Result<u32> {
    use std::os::fd::{AsFd, AsRawFd};
    use std::os::unix::fs::PermissionsExt;

    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let handle = rustix::fs::openat(dir, name, flags, rustix::fs::Mode::empty())?;
    let bits = rustix::fs::fstat(&handle)?.st_mode & 0o7777;
    // chmod on a handle without read permission: by its name in /proc, which is no link to
    // anywhere else.
    std::fs::set_permissions(
        format!("/proc/self/fd/{}", handle.as_fd().as_raw_fd()),
        std::fs::Permissions::from_mode(bits | OWNER_ALL),
    )?;
    Ok(bits)
}

#[cfg(not(target_os = "linux"))]
pub(super) fn unlock_by_name(dir: &Dir, name: &[u8]) -> io::Result<u32> {
    use rustix::fs::{Mode, RawMode};

    let found = stat(dir, name)?.ok_or(Errno::NOENT)?;
    let bits = found.st_mode & 0o7777;
    let mode = Mode::from(bits | OWNER_ALL as RawMode);
    rustix::fs::chmodat(dir, name, mode, AtFlags::SYMLINK_NOFOLLOW)?;
    Ok(bits.into())
}

/// Lets the owner of an open folder fill it, whatever mode it has. Gives the mode that it had,
/// where it had to be changed.
pub(super) fn unlock_open(dir: &Dir) -> io::Result<Option<u32>> {
    let bits = rustix::fs::fstat(dir)?.st_mode & 0o7777;
    if bits & OWNER_ALL == OWNER_ALL {
        return Ok(None);
    }
    rustix::fs::fchmod(dir, (bits | OWNER_ALL).into())?;
    Ok(Some(bits))
}

/// Gives the file `name` the permissions that its sender has, if it has others.
pub(super) fn set_mode(folder: &Folder, name: &[u8], mode: Mode) -> io::Result<()> {
    folder.with(|dir| {
        let Some(found) = stat(dir, name)? else {
            return Ok(());
        };
        let bits = found.st_mode & 0o7777;
        let wanted = (bits & !SENDERS_BITS) | (mode.bits() & SENDERS_BITS);
        if file_type(&found) != FileType::RegularFile || bits == wanted {
            return Ok(());
        }
        let file = open_file(dir, name)?;
        Ok(rustix::fs::fchmod(&file, wanted.into())?)
    })
}

/// Opens the file `name` in `dir` for reading, never through a link, and without waiting for
/// anybody: what was a file when it was looked at may be a fifo now.
pub(super) fn open_file(dir: &Dir, name: &[u8]) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let fd = rustix::fs::openat(dir, name, flags, rustix::fs::Mode::empty())?;
    if file_type(&rustix::fs::fstat(&fd)?) != FileType::RegularFile {
        return Err(io::Error::other("it is no file any more"));
    }
    Ok(File::from_std(fd.into()))
}

/// Gives a folder its mode and time. Bits that the folder inherits here, such as setgid, stay.
fn close(dir: &Dir, mode: Mode, mtime: Time) -> io::Result<()> {
    let bits = rustix::fs::fstat(dir)?.st_mode & 0o7777;
    let wanted = (bits & !SENDERS_BITS) | (mode.bits() & SENDERS_BITS);
    if bits != wanted {
        rustix::fs::fchmod(dir, wanted.into())?;
    }
    Ok(rustix::fs::futimens(dir, &timestamps(mtime))?)
}

/// What is under `name` in `dir`; none where nothing is. Never follows a link.
pub(super) fn stat(dir: &Dir, name: &[u8]) -> io::Result<Option<Stat>> {
    match rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(stat)),
        Err(Errno::NOENT) => Ok(None),
        Err(e) => Err(e.into()),
    }
}

pub(super) fn file_type(stat: &Stat) -> FileType {
    FileType::from_raw_mode(stat.st_mode)
}

/// For `futimens`: leaves the time of access as it is.
pub(super) fn timestamps(mtime: Time) -> Timestamps {
    use rustix::fs::{Timespec, UTIME_OMIT};
    Timestamps {
        last_access: Timespec {
            tv_sec: 0,
            tv_nsec: UTIME_OMIT as _,
        },
        last_modification: Timespec {
            tv_sec: mtime.seconds(),
            tv_nsec: mtime.nanos().into(),
        },
    }
}

/// What was found in the way, for [`Why`].
pub(super) fn describe(found: Option<&Stat>) -> Obstacle {
    match found.map(file_type) {
        None => Obstacle::Gone,
        Some(FileType::RegularFile) => Obstacle::File,
        Some(FileType::Directory) => Obstacle::Folder,
        Some(FileType::Symlink) => Obstacle::Link,
        Some(_) => Obstacle::Special,
    }
}
