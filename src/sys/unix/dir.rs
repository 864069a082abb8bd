//! A folder that is held open, and what is done in it by one name at a time, on every Unix.
//!
//! Must not do what only one of them can: that is in `linux.rs`, with the alternatives in
//! `other_unix.rs`.

use std::ffi::CStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::files::stat;
use super::stat::{kind_of, mode_of, stat_of, times};
use crate::sys::fs::types::{FreeSpace, ListedName, Stat, Timestamp};

#[cfg(target_os = "linux")]
use super::linux as system;
#[cfg(not(target_os = "linux"))]
use super::other_unix as system;

/// Opens something for writing, never through a link, and without waiting for anybody.
const TO_WRITE: OFlags = OFlags::WRONLY
    .union(OFlags::NOFOLLOW)
    .union(OFlags::NONBLOCK)
    .union(OFlags::CLOEXEC);

/// A folder that is held open.
#[derive(Debug)]
pub struct Dir(OwnedFd);

impl AsFd for Dir {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Dir {
    /// Opens the folder that a path leads to, links and all.
    pub fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self(rustix::fs::open(path, flags, Mode::empty())?))
    }

    /// Opens the folder `name` in this one, never through a link.
    pub fn open_dir(&self, name: &[u8]) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(Self(rustix::fs::openat(self, name, flags, Mode::empty())?))
    }

    /// Opens the folder that a path leads to, links and all, for nothing but to reach what is in
    /// it: that takes no permission to list it.
    pub fn open_to_pass(path: &Path) -> io::Result<Self> {
        let flags = system::TO_PASS | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self(rustix::fs::open(path, flags, Mode::empty())?))
    }

    /// Opens the folder that `name` in this one leads to, links and all.
    pub fn open_dir_following(&self, name: &[u8]) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self(rustix::fs::openat(self, name, flags, Mode::empty())?))
    }

    /// A path that leads to the very folder that is open, whatever it is called by now, for those
    /// who need a path to list it; none where the system has no such paths.
    #[must_use]
    pub fn path_of_handle(&self) -> Option<PathBuf> {
        system::path_of_handle(self.as_fd())
    }

    /// Where the folder that is open is now, without links; none where the system does not say.
    #[must_use]
    pub fn real_path(&self) -> Option<PathBuf> {
        std::fs::read_link(self.path_of_handle()?).ok()
    }

    /// Another handle to the same folder, with a memory of its own for errors of writing.
    pub fn open_again(&self) -> io::Result<Self> {
        self.open_dir(b".")
    }

    /// The same handle once more.
    pub fn try_clone(&self) -> io::Result<Self> {
        self.0.try_clone().map(Self)
    }

    /// Opens what has `name` for reading, never through a link, and without waiting for anybody.
    /// It need not be a file: [`stat`] tells.
    pub fn open_file(&self, name: &[u8]) -> io::Result<File> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        Ok(rustix::fs::openat(self, name, flags, Mode::empty())?.into())
    }

    /// Like [`Self::open_file`], of what `name` leads to, links and all.
    pub fn open_file_following(&self, name: &[u8]) -> io::Result<File> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        Ok(rustix::fs::openat(self, name, flags, Mode::empty())?.into())
    }

    /// Like [`Self::open_file`], for reading and writing.
    pub fn open_file_rw(&self, name: &[u8]) -> io::Result<File> {
        let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        Ok(rustix::fs::openat(self, name, flags, Mode::empty())?.into())
    }

    /// Makes a file, for reading and writing; fails where the name is taken. The system's mask
    /// takes from `mode`.
    pub fn create_file(&self, name: &[u8], mode: u32) -> io::Result<File> {
        let flags =
            OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(rustix::fs::openat(self, name, flags, mode_of(mode))?.into())
    }

    /// Makes a file for writing, or empties the one that has the name, without waiting for anybody.
    pub fn create_or_empty_file(&self, name: &[u8], mode: u32) -> io::Result<File> {
        let flags = OFlags::CREATE | OFlags::TRUNC | TO_WRITE;
        Ok(rustix::fs::openat(self, name, flags, mode_of(mode))?.into())
    }

    /// Opens a file that has the name to write at its end, whoever else writes there, without
    /// waiting for anybody.
    pub fn append_to_file(&self, name: &[u8]) -> io::Result<File> {
        let flags = OFlags::APPEND | TO_WRITE;
        Ok(rustix::fs::openat(self, name, flags, Mode::empty())?.into())
    }

    /// Makes a file for writing that has no name yet, where the system has such files:
    /// [`crate::sys::fs::cannot_be_unnamed`] tells where not.
    pub fn create_unnamed(&self, mode: u32) -> io::Result<File> {
        system::create_unnamed(self.as_fd(), mode_of(mode))
    }

    /// Gives a file that has no name one in this folder; fails where it is taken.
    pub fn name_unnamed(&self, file: &File, name: &[u8]) -> io::Result<()> {
        system::name_unnamed(self.as_fd(), file, name)
    }

    /// What the system says of the folder itself.
    pub fn stat(&self) -> io::Result<Stat> {
        Ok(stat_of(&rustix::fs::fstat(self)?))
    }

    /// What has `name`; none where nothing has. Of a link, the link.
    pub fn stat_at(&self, name: &[u8]) -> io::Result<Option<Stat>> {
        match rustix::fs::statat(self, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat_of(&stat))),
            Err(Errno::NOENT) => Ok(None),
            Err(e) => Err(e.into()),
        }
    }

    /// What `name` leads to, links and all; none where that is nothing.
    pub fn stat_at_following(&self, name: &[u8]) -> io::Result<Option<Stat>> {
        match rustix::fs::statat(self, name, AtFlags::empty()) {
            Ok(stat) => Ok(Some(stat_of(&stat))),
            Err(Errno::NOENT) => Ok(None),
            Err(e) => Err(e.into()),
        }
    }

    /// The names in it, but for `.` and `..`, in no order.
    pub fn list(&self) -> io::Result<List> {
        Ok(List(rustix::fs::Dir::read_from(self)?))
    }

    /// Makes a folder; fails where the name is taken. The system's mask takes from `mode`.
    pub fn make_dir(&self, name: &[u8], mode: u32) -> io::Result<()> {
        Ok(rustix::fs::mkdirat(self, name, mode_of(mode))?)
    }

    /// Makes a symbolic link to `target`; fails where the name is taken.
    pub fn make_link(&self, target: &[u8], name: &[u8]) -> io::Result<()> {
        Ok(rustix::fs::symlinkat(target, self, name)?)
    }

    /// Where a symbolic link leads.
    pub fn read_link(&self, name: &[u8]) -> io::Result<Vec<u8>> {
        Ok(rustix::fs::readlinkat(self, name, Vec::new())?.into_bytes())
    }

    /// Removes what has `name` and is no folder.
    pub fn remove_file(&self, name: &[u8]) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(self, name, AtFlags::empty())?)
    }

    /// Removes an empty folder.
    pub fn remove_dir(&self, name: &[u8]) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(self, name, AtFlags::REMOVEDIR)?)
    }

    /// Renames a file within this folder; fails where `to` is taken.
    ///
    /// Where the file system can neither do that in one step nor make links, an empty file takes
    /// the name first, over which the other one is renamed. What somebody else puts in the place
    /// of that empty file, between these two steps, is lost; who is killed there leaves it.
    pub fn rename_new(&self, from: &[u8], to: &[u8]) -> io::Result<()> {
        match system::rename_new(self.as_fd(), from, to) {
            Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP | Errno::PERM | Errno::XDEV) => {}
            other => return Ok(other?),
        }
        // A file system that cannot do it in one step, NFS for one, has links.
        match rustix::fs::linkat(self, from, self, to, AtFlags::empty()) {
            Ok(()) => {
                // It has its name. What keeps the old one is found by that.
                let _ = self.remove_file(from);
                return Ok(());
            }
            Err(Errno::EXIST) => return Err(Errno::EXIST.into()),
            // One that has not, FAT for one, has neither.
            Err(_) => {}
        }
        let placeholder = stat(&self.create_file(to, 0o600)?)?;
        self.rename_over(from, to).inspect_err(|_| {
            // Only what was put there just now.
            let there = self.stat_at(to).ok().flatten();
            if there.is_some_and(|there| there.size == 0 && there.ctime == placeholder.ctime) {
                let _ = self.remove_file(to);
            }
        })
    }

    /// Renames within this folder, over what has the name `to`.
    pub fn rename_over(&self, from: &[u8], to: &[u8]) -> io::Result<()> {
        Ok(rustix::fs::renameat(self, from, self, to)?)
    }

    /// Sets the permissions of the folder itself.
    pub fn set_mode(&self, mode: u32) -> io::Result<()> {
        Ok(rustix::fs::fchmod(self, mode_of(mode))?)
    }

    /// Gives a folder in this one, which may not be opened as it is, more permissions. Gives those
    /// that it had.
    pub fn add_mode_at(&self, name: &[u8], more: u32) -> io::Result<u32> {
        system::add_mode_at(self.as_fd(), name, more)
    }

    /// Sets the time of the folder itself.
    pub fn set_mtime(&self, mtime: Timestamp) -> io::Result<()> {
        Ok(rustix::fs::futimens(self, &times(mtime))?)
    }

    /// Sets the time of what has `name`; of a link, the link's.
    pub fn set_mtime_at(&self, name: &[u8], mtime: Timestamp) -> io::Result<()> {
        let flags = AtFlags::SYMLINK_NOFOLLOW;
        Ok(rustix::fs::utimensat(self, name, &times(mtime), flags)?)
    }

    /// Whether this user may make and remove names in it: fails where not.
    pub fn may_write(&self) -> io::Result<()> {
        let needed = Access::WRITE_OK | Access::EXEC_OK;
        Ok(rustix::fs::accessat(self, c".", needed, AtFlags::EACCESS)?)
    }

    /// Whether it has a list of permissions that new files get, in the place of the system's mask.
    #[must_use]
    pub fn has_default_acl(&self) -> bool {
        system::has_default_acl(self.as_fd())
    }

    /// Whether it was told to take upper and lower case for the same, where others are not.
    #[must_use]
    pub fn folds_case(&self) -> bool {
        system::folds_case(self.as_fd())
    }

    /// Whether something on its file system is still what was found before. Where numbers can be
    /// relied on, nothing else counts: two things that were made in one moment look the same.
    #[must_use]
    pub fn is_still(&self, now: &Stat, before: &Stat) -> bool {
        now.id == before.id || (now.is_still(before) && system::makes_numbers_up(self.as_fd()))
    }

    /// How much its file system has left; fails where that does not say.
    pub fn space(&self) -> io::Result<FreeSpace> {
        let stat = rustix::fs::fstatvfs(self)?;
        if stat.f_blocks == 0 {
            // It does not say: nothing has no room at all.
            return Err(io::ErrorKind::Unsupported.into());
        }
        Ok(FreeSpace {
            bytes: stat.f_bavail.saturating_mul(stat.f_frsize),
            block: stat.f_frsize,
            no_files: stat.f_files > 0 && stat.f_favail == 0,
        })
    }

    /// Brings the names in it to disk.
    pub fn sync(&self) -> io::Result<()> {
        system::sync_dir(self.as_fd())
    }

    /// Whether [`Self::sync_file_system`] waits until everything is on disk, and tells of errors.
    #[must_use]
    pub fn syncs_whole_file_system(&self) -> bool {
        system::syncs_whole_file_system(self.as_fd())
    }

    /// Brings everything in its file system to disk; fails where something written since this
    /// handle was opened could not be. Where [`Self::syncs_whole_file_system`] says no, it only asks for
    /// that to begin.
    pub fn sync_file_system(&self) -> io::Result<()> {
        system::sync_file_system(self.as_fd())
    }
}

/// The names in a folder.
#[derive(Debug)]
pub struct List(rustix::fs::Dir);

impl Iterator for List {
    type Item = io::Result<ListedName>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let entry = match self.0.next()? {
                Ok(entry) => entry,
                Err(e) => return Some(Err(e.into())),
            };
            let name = CStr::to_bytes(entry.file_name());
            if !matches!(name, b"." | b"..") {
                return Some(Ok(ListedName {
                    name: name.to_vec(),
                    #[allow(clippy::unnecessary_cast)]
                    inode: entry.ino() as u64,
                    kind: match entry.file_type() {
                        FileType::Unknown => None,
                        file_type => Some(kind_of(file_type)),
                    },
                }));
            }
        }
    }
}
