//! Giving a finished file its name. The only place where bytes reach a final name.
//!
//! Must not replace anything by accident: a name that is taken is an error of kind
//! `AlreadyExists`, and the caller plans again.

use std::io::{self, IoSlice, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use cap_std::fs::{Dir, File};
use rustix::fs::{AtFlags, CWD, Mode, OFlags, RenameFlags};
use rustix::io::Errno;

use super::file::Incoming;
use super::folder::{SENDERS_BITS, timestamps};
use super::name::{other_name, partial_name};
use super::partial;
use super::plan::{Plan, is_taken, plan, same_time};
use super::why::why;
use crate::model::entry::{Mode as EntryMode, Time};
use crate::model::outcome::{Outcome, Why};
use crate::sys::vectored;

/// How often a name is looked for anew when it is taken at the last moment.
const PUBLISH_TRIES: usize = 16;

/// What came of giving a file a name.
enum Put {
    Done,
    /// This way of storing cannot do it: replace what has the name, or anything at all here.
    Cannot,
}

/// Renames within `dir`, and fails where `to` exists.
fn rename_new(dir: &Dir, from: &str, to: &[u8]) -> io::Result<()> {
    match rustix::fs::renameat_with(dir, from, dir, to, RenameFlags::NOREPLACE) {
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {}
        other => return Ok(other?),
    }
    // A file system that cannot do it in one step, NFS for one, has links.
    match rustix::fs::linkat(dir, from, dir, to, AtFlags::empty()) {
        Ok(()) => Ok(rustix::fs::unlinkat(dir, from, AtFlags::empty())?),
        Err(Errno::EXIST) => Err(Errno::EXIST.into()),
        // One that has not, FAT for one, gets as close as it can.
        Err(_) => {
            if super::folder::stat(dir, to)?.is_some() {
                return Err(Errno::EXIST.into());
            }
            Ok(rustix::fs::renameat(dir, from, dir, to)?)
        }
    }
}

/// Renames within `dir` over what is there, which must be meant to be replaced.
pub(super) fn rename_over(dir: &Dir, from: &str, to: &[u8]) -> io::Result<()> {
    Ok(rustix::fs::renameat(dir, from, dir, to)?)
}

/// Gives an open file its permissions and time.
fn set_meta(file: &File, mode: EntryMode, mtime: Time) -> io::Result<()> {
    rustix::fs::fchmod(file, Mode::from(mode.bits() & SENDERS_BITS))?;
    Ok(rustix::fs::futimens(file, &timestamps(mtime))?)
}

impl Incoming {
    /// Stores the whole of a small file at once.
    pub fn store_whole(&self, data: &mut [IoSlice<'_>]) -> Result<Outcome, Why> {
        self.ask_for_space()?;
        self.session.mark().map_err(|e| why(&e))?;
        let whole = &self.session.store.whole;
        if whole.is_possible() {
            let (mode, mtime) = (self.mode, self.mtime);
            let stored = self.publish(|name, replace| {
                if replace {
                    return Ok(Put::Cannot);
                }
                // Writing uses the pieces up, and the name may be taken.
                let data = &mut data.to_vec()[..];
                let new = NewFile { data, mode, mtime };
                let note = |file: &_| self.folder.note(name, file);
                let stored = self.folder.with(|dir| whole.store(dir, name, new, note));
                stored.map(|done| if done { Put::Done } else { Put::Cannot })
            })?;
            if let Some(outcome) = stored {
                self.settle(self.size);
                self.end();
                return Ok(outcome);
            }
        }
        // Where a file must have a name from the start, or is to take the place of another, it is
        // a partial like any other.
        let partial = self.partial()?;
        vectored::write_all_at(&partial.file, data, 0).map_err(|e| self.why(&e))?;
        self.settle(self.size);
        self.commit()
    }

    /// Gives the file its name, once every chunk of it has been written.
    pub fn commit(&self) -> Result<Outcome, Why> {
        let partial = self.partial()?;
        set_meta(&partial.file, self.mode, self.mtime).map_err(|e| self.why(&e))?;
        let from = partial_name(&self.id());
        let outcome = self.publish(|name, replace| {
            // Before somebody finds it there.
            self.folder.note(name, &partial.file)?;
            let put = |dir: &_| match replace {
                true => rename_over(dir, &from, name),
                false => rename_new(dir, &from, name),
            };
            self.folder.with(put).map(|()| Put::Done)
        });
        let outcome = outcome.inspect_err(|why| match why {
            // Coming again would not help.
            why if why.is_in_the_way() => self.discard(),
            // It stays a partial, which may have to be written to.
            _ => drop(rustix::fs::fchmod(&partial.file, partial::MODE)),
        })?;
        let outcome = outcome.unwrap_or(Outcome::Kept);
        if matches!(outcome, Outcome::Have(_) | Outcome::Kept) {
            self.remove_partial();
        }
        self.forget();
        self.end();
        Ok(outcome)
    }

    /// Ends a file whose every chunk is in the file that is here already; none where there is
    /// more in that, or it cannot be given this one's time and permissions.
    pub fn keep_existing(&self) -> Result<Option<Outcome>, Why> {
        let (Some(name), Some(file)) = (self.existing_name(), self.open_existing()?) else {
            return Ok(None);
        };
        let stat = rustix::fs::fstat(&file).map_err(|e| why(&e.into()))?;
        if u64::try_from(stat.st_size) != Ok(self.size) {
            return Ok(None);
        }
        let touched = || match self.plan {
            // Known to be whole from now on: its time of change moves past the power loss.
            Plan::Mend(_) => {
                rustix::fs::futimens(&file, &timestamps(self.mtime)).map_err(Into::into)
            }
            // The same content, with the time and permissions that it has now.
            Plan::Replace { .. } => set_meta(&file, self.mode, self.mtime),
            _ => Ok(()),
        };
        match touched() {
            // It is somebody else's, whose place this one takes as it would with another content.
            Err(e) if e.kind() == io::ErrorKind::PermissionDenied => return Ok(None),
            touched => touched.map_err(|e| why(&e))?,
        }
        self.end();
        if matches!(self.plan, Plan::Replace { .. }) && !same_time(&stat, self.mtime) {
            return Ok(Some(Outcome::Replaced));
        }
        Ok(Some(Outcome::Have(other_name(&self.path, name))))
    }

    /// Calls `put` with the planned name, and with others for as long as names turn out to be
    /// taken; with whether what has the name is to be replaced. Says under which name it is
    /// stored, or that somebody else stored the same; none where `put` cannot do it.
    fn publish(
        &self,
        put: impl Fn(&[u8], bool) -> io::Result<Put>,
    ) -> Result<Option<Outcome>, Why> {
        let mut current = self.plan.clone();
        for _ in 0..PUBLISH_TRIES {
            let (name, replace) = match &current {
                Plan::Have(name) => return Ok(Some(Outcome::Have(other_name(&self.path, name)))),
                Plan::Keep => return Ok(Some(Outcome::Kept)),
                Plan::Store(name)
                | Plan::Compare {
                    otherwise: name, ..
                } => (name, false),
                Plan::Mend(name) | Plan::Replace { name, .. } => (name, true),
            };
            match put(name, replace) {
                Ok(Put::Cannot) => return Ok(None),
                Ok(Put::Done) if matches!(current, Plan::Replace { .. }) => {
                    return Ok(Some(Outcome::Replaced));
                }
                Ok(Put::Done) => return Ok(Some(Outcome::Stored(other_name(&self.path, name)))),
                Err(e) if is_taken(&e) => {}
                Err(e) => return Err(self.why(&e)),
            }
            current = plan(
                &self.folder,
                self.path.file_name(),
                self.size,
                self.mtime,
                self.session.rules(),
            )?;
        }
        Err(Why::InUse)
    }
}

/// A whole file.
#[derive(Debug)]
struct NewFile<'a, 'b> {
    data: &'a mut [IoSlice<'b>],
    mode: EntryMode,
    mtime: Time,
}

/// Stores small files, whole ones at a time, each without a name until it has all it needs: a
/// crash leaves nothing behind, and there is nothing to rename.
#[derive(Debug)]
pub(super) struct Whole {
    /// Whether files can be made without a name here.
    possible: AtomicBool,
    /// Whether this process may name them by their handles. Linux allows it since 6.10.
    by_handle: AtomicBool,
    umask: Mode,
}

impl Whole {
    pub(super) fn new() -> Self {
        Self {
            possible: AtomicBool::new(cfg!(target_os = "linux")),
            by_handle: AtomicBool::new(true),
            umask: umask(),
        }
    }

    /// Whether it can be done here, as far as is known.
    fn is_possible(&self) -> bool {
        self.possible.load(Ordering::Relaxed)
    }

    /// Stores a file as `to` in `dir`; fails where `to` exists. False where it turns out not to be
    /// possible here, and is not tried again. `note` is called before the file gets its name.
    fn store(
        &self,
        dir: &Dir,
        to: &[u8],
        new: NewFile<'_, '_>,
        note: impl FnOnce(&File) -> io::Result<()>,
    ) -> io::Result<bool> {
        let mode = Mode::from(new.mode.bits() & SENDERS_BITS);
        match self.store_unnamed(dir, to, new, mode, note) {
            Err(Errno::NOTSUP | Errno::ISDIR | Errno::INVAL | Errno::NOENT | Errno::XDEV) => {
                self.possible.store(false, Ordering::Relaxed);
                Ok(false)
            }
            stored => Ok(stored.map(|()| true)?),
        }
    }

    fn fill(&self, file: &mut File, new: NewFile<'_, '_>, mode: Mode) -> io::Result<()> {
        vectored::write_all_at(&*file, new.data, 0)?;
        // What the umask took away, the sender's mode gives back.
        if mode.intersects(self.umask) {
            rustix::fs::fchmod(&*file, mode)?;
        }
        Ok(rustix::fs::futimens(&*file, &timestamps(new.mtime))?)
    }

    #[cfg(target_os = "linux")]
    fn store_unnamed(
        &self,
        dir: &Dir,
        to: &[u8],
        new: NewFile<'_, '_>,
        mode: Mode,
        note: impl FnOnce(&File) -> io::Result<()>,
    ) -> rustix::io::Result<()> {
        use std::os::fd::AsRawFd;
        let flags = OFlags::WRONLY | OFlags::TMPFILE | OFlags::CLOEXEC;
        let mut file = File::from_std(rustix::fs::openat(dir, c".", flags, mode)?.into());
        self.fill(&mut file, new, mode)
            .and_then(|()| note(&file))
            .map_err(|e| Errno::from_io_error(&e).unwrap_or(Errno::IO))?;
        if self.by_handle.load(Ordering::Relaxed) {
            match rustix::fs::linkat(&file, c"", dir, to, AtFlags::EMPTY_PATH) {
                // What an older system says to those who lack a privilege.
                Err(Errno::NOENT) => self.by_handle.store(false, Ordering::Relaxed),
                linked => return linked,
            }
        }
        // By its name in /proc, which takes more than twice as long.
        let mut name = ProcName::default();
        let name = name.of(file.as_raw_fd());
        rustix::fs::linkat(CWD, name, dir, to, AtFlags::SYMLINK_FOLLOW)
    }

    #[cfg(not(target_os = "linux"))]
    fn store_unnamed(
        &self,
        _: &Dir,
        _: &[u8],
        _: NewFile<'_, '_>,
        _: Mode,
        _: impl FnOnce(&File) -> io::Result<()>,
    ) -> rustix::io::Result<()> {
        Err(Errno::NOTSUP)
    }
}

/// Room for the name of a handle in /proc, without an allocation for each file.
#[derive(Default)]
struct ProcName([u8; 32]);

impl ProcName {
    fn of(&mut self, fd: i32) -> &str {
        let mut cursor = io::Cursor::new(&mut self.0[..]);
        let written = write!(cursor, "/proc/self/fd/{fd}").is_ok();
        let end = usize::try_from(cursor.position()).unwrap_or(0);
        match std::str::from_utf8(&self.0[..end]) {
            Ok(name) if written => name,
            _ => "",
        }
    }
}

/// The bits that this process's new files do not get.
fn umask() -> Mode {
    // It can only be read by setting it. This happens once, before any session.
    let mask = rustix::process::umask(Mode::from(0o077));
    rustix::process::umask(mask);
    mask
}
