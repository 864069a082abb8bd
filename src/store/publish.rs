//! Giving a finished file its name. The only place where bytes reach a final name.
//!
//! Must not replace anything by accident: a name that is taken is an error of kind
//! `AlreadyExists`, and the caller plans again.

use std::io::{self, IoSlice, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use cap_std::fs::{Dir, File};
use rustix::fs::{AtFlags, CWD, Mode, OFlags, RenameFlags};
use rustix::io::Errno;

use super::folder::{SENDERS_BITS, timestamps};
use crate::entry::{Mode as EntryMode, Time};
use crate::vectored;

/// Renames within `dir`, and fails where `to` exists.
pub(super) fn rename_new(dir: &Dir, from: &str, to: &[u8]) -> io::Result<()> {
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
pub(super) fn set_meta(file: &File, mode: EntryMode, mtime: Time) -> io::Result<()> {
    rustix::fs::fchmod(file, Mode::from(mode.bits() & SENDERS_BITS))?;
    Ok(rustix::fs::futimens(file, &timestamps(mtime))?)
}

/// A whole file.
#[derive(Debug)]
pub(super) struct NewFile<'a, 'b> {
    pub(super) data: &'a mut [IoSlice<'b>],
    pub(super) mode: EntryMode,
    pub(super) mtime: Time,
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
    pub(super) fn is_possible(&self) -> bool {
        self.possible.load(Ordering::Relaxed)
    }

    /// Stores a file as `to` in `dir`; fails where `to` exists. False where it turns out not to be
    /// possible here, and is not tried again. `note` is called before the file gets its name.
    pub(super) fn store(
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
