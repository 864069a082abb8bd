//! A folder that is held open, and what is done in it by one name at a time.
//!
//! Must not reach anything by a path but the first folder: everything else is looked up by one name
//! in an open folder, and never through a link that was not asked for.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::windows::fs::OpenOptionsExt as _;
use std::os::windows::io::{AsHandle, AsRawHandle as _, BorrowedHandle, OwnedHandle, RawHandle};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use windows_sys::Wdk::Storage::FileSystem::{
    FILE_CASE_SENSITIVE_INFORMATION, FILE_CREATE, FILE_DIRECTORY_FILE, FILE_NON_DIRECTORY_FILE,
    FILE_OPEN_IF, FILE_WRITE_THROUGH, FileCaseSensitiveInformation,
};
use windows_sys::Win32::Foundation::{
    ERROR_ACCESS_DENIED, ERROR_DIRECTORY, ERROR_DIRECTORY_NOT_SUPPORTED, ERROR_FILE_NOT_FOUND,
    ERROR_INVALID_NAME, ERROR_NETWORK_ACCESS_DENIED, ERROR_PATH_NOT_FOUND,
    ERROR_STOPPED_ON_SYMLINK, ERROR_WRITE_PROTECT,
};
use windows_sys::Win32::Storage::FileSystem::{
    DELETE, FILE_ADD_FILE, FILE_ADD_SUBDIRECTORY, FILE_APPEND_DATA, FILE_FLAG_BACKUP_SEMANTICS,
    FILE_GENERIC_READ, FILE_GENERIC_WRITE, FILE_LIST_DIRECTORY, FILE_READ_ATTRIBUTES,
    FILE_TRAVERSE, FILE_WRITE_ATTRIBUTES, GetFinalPathNameByHandleW,
};

use super::file_errors::is_one;
use super::files::{Lockable, set_mode};
use super::links;
use super::list::List;
use super::name::to_units;
use super::nt::{self, Behind, Opening, error_with, opening, opening_dir};
use super::renames::{remove, rename};
use super::stat::{is_read_only, set_times, space_of, stat_of_handle};
use crate::sys::fs::types::{FileKind, FreeSpace, Stat, Timestamp};

/// What a handle to a folder is good for.
const DIR_ACCESS: u32 = FILE_LIST_DIRECTORY | FILE_TRAVERSE | FILE_READ_ATTRIBUTES;
/// `FILE_CS_FLAG_CASE_SENSITIVE_DIR`.
const CASE_SENSITIVE: u32 = 1;

/// What is said where times and permissions may not be set: no right to it, a switch on a card, a
/// share to read from.
const READ_ONLY: [u32; 3] = [
    ERROR_ACCESS_DENIED,
    ERROR_WRITE_PROTECT,
    ERROR_NETWORK_ACCESS_DENIED,
];

/// A folder that is held open.
#[derive(Debug)]
pub struct Dir {
    handle: OwnedHandle,
    /// What its locks are on, which copies of the handle share.
    lock: Arc<OnceLock<File>>,
}

impl AsHandle for Dir {
    fn as_handle(&self) -> BorrowedHandle<'_> {
        self.handle.as_handle()
    }
}

impl Lockable for Dir {
    /// Folders have no locks here: they have a byte each in a file of their volume.
    fn lock_place(&self) -> io::Result<(RawHandle, u64)> {
        let id = self.stat()?.id;
        let file = match self.lock.get() {
            Some(file) => file,
            None => {
                let name = format!("xfer-locks-{:x}", id.device);
                let mut options = OpenOptions::new();
                options.read(true).write(true).create(true).truncate(false);
                let file = options.open(std::env::temp_dir().join(name))?;
                self.lock.get_or_init(|| file)
            }
        };
        // Folders that were made one after the other have numbers that differ in the lowest bits
        // alone.
        let byte = (id.inode ^ (id.inode >> 62)) & (u64::MAX >> 2);
        Ok((file.as_raw_handle(), byte))
    }
}

impl Dir {
    fn of(handle: OwnedHandle) -> Self {
        Self {
            handle,
            lock: Arc::default(),
        }
    }

    /// Opens the folder that a path leads to, links and all.
    pub fn open(path: &Path) -> io::Result<Self> {
        Self::open_for(path, DIR_ACCESS | FILE_WRITE_ATTRIBUTES)
            .or_else(|_| Self::open_for(path, DIR_ACCESS))
    }

    fn open_for(path: &Path, access: u32) -> io::Result<Self> {
        let file = OpenOptions::new()
            .access_mode(access | windows_sys::Win32::Storage::FileSystem::SYNCHRONIZE)
            .custom_flags(FILE_FLAG_BACKUP_SEMANTICS)
            .open(path)?;
        match file.metadata()?.is_dir() {
            true => Ok(Self::of(file.into())),
            false => Err(error_with(ERROR_DIRECTORY)),
        }
    }

    /// Opens the folder `name` in this one, never through a link.
    pub fn open_dir(&self, name: &[u8]) -> io::Result<Self> {
        // A link to a folder is a folder, too, until one looks.
        let (handle, kind) = self.open_itself(name, DIR_ACCESS)?;
        match kind {
            FileKind::Dir => Ok(Self::of(handle)),
            FileKind::Link => Err(error_with(ERROR_STOPPED_ON_SYMLINK)),
            _ => Err(error_with(ERROR_DIRECTORY)),
        }
    }

    /// Opens what has a name, to set its time and permissions as well where that is allowed. Of a
    /// link, the link.
    fn open_itself(&self, name: &[u8], access: u32) -> io::Result<(OwnedHandle, FileKind)> {
        let more = access | FILE_WRITE_ATTRIBUTES;
        match self.open_named(name, more, Behind::Link) {
            Ok(handle) => links::opened(handle, more),
            Err(e) if is_one(&e, &READ_ONLY) => {
                let handle = self.open_named(name, access, Behind::Link)?;
                links::opened(handle, access)
            }
            Err(e) => Err(e),
        }
    }

    fn open_named(&self, name: &[u8], access: u32, behind: Behind) -> io::Result<OwnedHandle> {
        nt::open(self.raw(), &self.units(name)?, opening(access, behind))
    }

    /// The UTF-16 of a name to look up, if it is what its folder calls that: where names have a
    /// second, short form, `XFER~1` is `.xfer`, and nobody knows it for that.
    fn units(&self, name: &[u8]) -> io::Result<Vec<u16>> {
        let units = to_units(name)?;
        if name.contains(&b'~')
            && let Some(found) = self.list()?.long_name(&units)?
            && String::from_utf8_lossy(&found).to_lowercase()
                != String::from_utf8_lossy(name).to_lowercase()
        {
            return Err(error_with(ERROR_INVALID_NAME));
        }
        Ok(units)
    }

    fn raw(&self) -> RawHandle {
        self.handle.as_raw_handle()
    }

    /// Opens the folder that a path leads to, links and all, for nothing but to reach what is in
    /// it: that takes no permission to list it.
    pub fn open_to_pass(path: &Path) -> io::Result<Self> {
        Self::open_for(path, FILE_TRAVERSE | FILE_READ_ATTRIBUTES)
    }

    /// Opens the folder that `name` in this one leads to, links and all.
    pub fn open_dir_following(&self, name: &[u8]) -> io::Result<Self> {
        let opening = opening_dir(DIR_ACCESS, Behind::Target);
        nt::open(self.raw(), &self.units(name)?, opening).map(Self::of)
    }

    /// A path that leads to the very folder that is open, whatever it is called by now. Windows has
    /// no such paths.
    #[must_use]
    pub fn path_of_handle(&self) -> Option<PathBuf> {
        None
    }

    /// Where the folder that is open is now, without links; none where the system does not say.
    #[must_use]
    pub fn real_path(&self) -> Option<PathBuf> {
        let mut units = vec![0; 32 * 1024];
        let room = u32::try_from(units.len()).ok()?;
        // SAFETY: the system writes no more than `room` units.
        #[allow(unsafe_code)]
        let n =
            unsafe { GetFinalPathNameByHandleW(self.raw(), units.as_mut_ptr(), room, 0) } as usize;
        let units = units.get(..n).filter(|units| !units.is_empty())?;
        use std::os::windows::ffi::OsStringExt as _;
        Some(PathBuf::from(std::ffi::OsString::from_wide(units)))
    }

    /// Another handle to the same folder, with a place of its own in its list.
    pub fn open_again(&self) -> io::Result<Self> {
        nt::open(self.raw(), &[], opening_dir(DIR_ACCESS, Behind::Target)).map(Self::of)
    }

    /// The same handle once more.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Self {
            handle: self.handle.try_clone()?,
            lock: Arc::clone(&self.lock),
        })
    }

    /// Opens what has `name` for reading, never through a link. It need not be a file: [`stat`]
    /// tells.
    pub fn open_file(&self, name: &[u8]) -> io::Result<File> {
        let (handle, kind) = self.open_itself(name, FILE_GENERIC_READ)?;
        match kind {
            FileKind::Link => Err(error_with(ERROR_STOPPED_ON_SYMLINK)),
            _ => Ok(handle.into()),
        }
    }

    fn open_no_link(&self, name: &[u8], access: u32) -> io::Result<File> {
        let handle = self.open_named(name, access, Behind::Link)?;
        match links::opened(handle, access)? {
            (_, FileKind::Link) => Err(error_with(ERROR_STOPPED_ON_SYMLINK)),
            (handle, _) => Ok(handle.into()),
        }
    }

    /// Like [`Self::open_file`], of what `name` leads to, links and all.
    pub fn open_file_following(&self, name: &[u8]) -> io::Result<File> {
        Ok(self
            .open_named(name, FILE_GENERIC_READ, Behind::Target)?
            .into())
    }

    /// Like [`Self::open_file`], for reading and writing.
    pub fn open_file_rw(&self, name: &[u8]) -> io::Result<File> {
        self.open_no_link(name, FILE_GENERIC_READ | FILE_GENERIC_WRITE)
    }

    /// Makes a file, for reading and writing; fails where the name is taken.
    pub fn create_file(&self, name: &[u8], mode: u32) -> io::Result<File> {
        let opening = Opening {
            access: FILE_GENERIC_READ | FILE_GENERIC_WRITE,
            disposition: FILE_CREATE,
            options: FILE_NON_DIRECTORY_FILE,
            behind: Behind::Link,
        };
        let file = File::from(nt::open(self.raw(), &to_units(name)?, opening)?);
        if is_read_only(mode) {
            set_mode(&file, mode)?;
        }
        Ok(file)
    }

    /// Makes a file for writing, or empties the one that has the name.
    pub fn create_or_empty_file(&self, name: &[u8], _: u32) -> io::Result<File> {
        let file = self.open_to_write(name, FILE_GENERIC_WRITE)?;
        file.set_len(0)?;
        Ok(file)
    }

    fn open_to_write(&self, name: &[u8], access: u32) -> io::Result<File> {
        let opening = Opening {
            access: access | FILE_READ_ATTRIBUTES,
            disposition: FILE_OPEN_IF,
            options: FILE_NON_DIRECTORY_FILE,
            behind: Behind::Link,
        };
        // Which looks whether it is a second name of something.
        self.units(name)?;
        let handle = nt::open(self.raw(), &to_units(name)?, opening)?;
        match links::opened(handle, opening.access)? {
            (_, FileKind::Link) => Err(error_with(ERROR_STOPPED_ON_SYMLINK)),
            (handle, _) => Ok(handle.into()),
        }
    }

    /// Opens a file that has the name to write at its end, whoever else writes there.
    pub fn append_to_file(&self, name: &[u8]) -> io::Result<File> {
        let access = (FILE_GENERIC_WRITE
            & !windows_sys::Win32::Storage::FileSystem::FILE_WRITE_DATA)
            | FILE_APPEND_DATA;
        self.open_no_link(name, access | FILE_READ_ATTRIBUTES)
    }

    /// Makes a file for writing that has no name yet: Windows has no such files.
    pub fn create_unnamed(&self, _: u32) -> io::Result<File> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Gives a file that has no name one in this folder.
    pub fn name_unnamed(&self, _: &File, _: &[u8]) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// What the system says of the folder itself.
    pub fn stat(&self) -> io::Result<Stat> {
        stat_of_handle(self.raw())
    }

    /// What has `name`; none where nothing has. Of a link, the link.
    pub fn stat_at(&self, name: &[u8]) -> io::Result<Option<Stat>> {
        self.stat_of_named(name, Behind::Link)
    }

    /// What `name` leads to, links and all; none where that is nothing.
    pub fn stat_at_following(&self, name: &[u8]) -> io::Result<Option<Stat>> {
        self.stat_of_named(name, Behind::Target)
    }

    fn stat_of_named(&self, name: &[u8], behind: Behind) -> io::Result<Option<Stat>> {
        match self.open_named(name, FILE_READ_ATTRIBUTES, behind) {
            Ok(handle) => stat_of_handle(handle.as_raw_handle()).map(Some),
            // The second is said of what a link leads to.
            Err(e) if is_one(&e, &[ERROR_FILE_NOT_FOUND, ERROR_PATH_NOT_FOUND]) => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// The names in it, but for `.` and `..`, in no order.
    pub fn list(&self) -> io::Result<List> {
        Ok(List::of(self.open_again()?.handle))
    }

    /// Makes a folder; fails where the name is taken.
    pub fn make_dir(&self, name: &[u8], _: u32) -> io::Result<()> {
        let opening = Opening {
            access: FILE_READ_ATTRIBUTES,
            disposition: FILE_CREATE,
            options: FILE_DIRECTORY_FILE | FILE_WRITE_THROUGH,
            behind: Behind::Link,
        };
        nt::open(self.raw(), &to_units(name)?, opening).map(drop)
    }

    /// Makes a symbolic link to `target`; fails where the name is taken.
    pub fn make_link(&self, target: &[u8], name: &[u8]) -> io::Result<()> {
        let is_dir = (self.stat_of_target(target)).is_some_and(|stat| stat.is_dir());
        let opening = Opening {
            access: FILE_WRITE_ATTRIBUTES | FILE_READ_ATTRIBUTES | DELETE,
            disposition: FILE_CREATE,
            options: match is_dir {
                true => FILE_DIRECTORY_FILE,
                false => FILE_NON_DIRECTORY_FILE,
            },
            behind: Behind::Link,
        };
        let handle = nt::open(self.raw(), &to_units(name)?, opening)?;
        let made = links::make(handle.as_raw_handle(), target).and_then(|()| {
            // Wine says yes and does nothing.
            match stat_of_handle(handle.as_raw_handle())?.kind {
                FileKind::Link => Ok(()),
                _ => Err(io::ErrorKind::Unsupported.into()),
            }
        });
        made.inspect_err(|_| {
            let _ = remove(handle.as_raw_handle());
        })
    }

    /// What a link in this folder would lead to, as far as it is in the folder: a link to a folder
    /// is of another kind than one to a file.
    fn stat_of_target(&self, target: &[u8]) -> Option<Stat> {
        let names = target.split(|&b| b == b'/');
        let mut names: Vec<_> = names.filter(|name| !matches!(*name, b"" | b".")).collect();
        let last = names.pop()?;
        let mut dir = self.try_clone().ok()?;
        for name in names {
            dir = dir.open_dir_following(name).ok()?;
        }
        dir.stat_at_following(last).ok()?
    }

    /// Where a symbolic link leads, with '/' between names.
    pub fn read_link(&self, name: &[u8]) -> io::Result<Vec<u8>> {
        let handle = self.open_named(name, FILE_READ_ATTRIBUTES, Behind::Link)?;
        links::read(handle.as_raw_handle())
    }

    /// Removes what has `name` and is no folder.
    pub fn remove_file(&self, name: &[u8]) -> io::Result<()> {
        let handle = self.open_to_remove(name, 0)?;
        match stat_of_handle(handle.as_raw_handle())?.kind {
            FileKind::Dir => Err(error_with(ERROR_DIRECTORY_NOT_SUPPORTED)),
            _ => remove(handle.as_raw_handle()),
        }
    }

    /// Removes an empty folder.
    pub fn remove_dir(&self, name: &[u8]) -> io::Result<()> {
        let handle = self.open_to_remove(name, FILE_DIRECTORY_FILE)?;
        match stat_of_handle(handle.as_raw_handle())?.kind {
            FileKind::Dir => remove(handle.as_raw_handle()),
            _ => Err(error_with(ERROR_DIRECTORY)),
        }
    }

    fn open_to_remove(&self, name: &[u8], options: u32) -> io::Result<OwnedHandle> {
        let opening = Opening {
            options: options | FILE_WRITE_THROUGH,
            ..opening(
                DELETE | FILE_READ_ATTRIBUTES | FILE_WRITE_ATTRIBUTES,
                Behind::Link,
            )
        };
        nt::open(self.raw(), &self.units(name)?, opening)
    }

    /// Renames a file within this folder; fails where `to` is taken.
    pub fn rename_new(&self, from: &[u8], to: &[u8]) -> io::Result<()> {
        self.rename(from, to, false)
    }

    /// Renames within this folder, over what has the name `to`.
    ///
    /// Where the file system cannot do it while somebody has that open, it fails and nothing is
    /// changed.
    pub fn rename_over(&self, from: &[u8], to: &[u8]) -> io::Result<()> {
        self.rename(from, to, true)
    }

    fn rename(&self, from: &[u8], to: &[u8], over: bool) -> io::Result<()> {
        let to_rename = Opening {
            // On disk when it is done.
            options: FILE_WRITE_THROUGH,
            ..opening(DELETE | FILE_READ_ATTRIBUTES, Behind::Link)
        };
        let handle = nt::open(self.raw(), &self.units(from)?, to_rename)?;
        rename(handle.as_raw_handle(), self.raw(), &to_units(to)?, over)
    }

    /// Sets the permissions of the folder itself: those of folders are not kept.
    pub fn set_mode(&self, _: u32) -> io::Result<()> {
        Ok(())
    }

    /// Gives a folder in this one more permissions. Gives those that it had.
    pub fn add_mode_at(&self, name: &[u8], _: u32) -> io::Result<u32> {
        let stat = self.stat_at(name)?;
        stat.map(|stat| stat.mode)
            .ok_or_else(|| error_with(ERROR_FILE_NOT_FOUND))
    }

    /// Sets the time of the folder itself.
    pub fn set_mtime(&self, mtime: Timestamp) -> io::Result<()> {
        set_times(self.raw(), mtime)
    }

    /// Sets the time of what has `name`; of a link, the link's.
    pub fn set_mtime_at(&self, name: &[u8], mtime: Timestamp) -> io::Result<()> {
        let handle = self.open_named(name, FILE_WRITE_ATTRIBUTES, Behind::Link)?;
        set_times(handle.as_raw_handle(), mtime)
    }

    /// Whether this user may make and remove names in it: fails where not.
    pub fn may_write(&self) -> io::Result<()> {
        let access = FILE_ADD_FILE | FILE_ADD_SUBDIRECTORY;
        nt::open(self.raw(), &[], opening_dir(access, Behind::Link)).map(drop)
    }

    /// Whether it has a list of permissions that new files get. All have, and they get them.
    #[must_use]
    pub fn has_default_acl(&self) -> bool {
        false
    }

    /// Whether it takes upper and lower case for the same: all do, but for those that were told not
    /// to.
    #[must_use]
    pub fn folds_case(&self) -> bool {
        let found: io::Result<FILE_CASE_SENSITIVE_INFORMATION> =
            nt::query(self.raw(), FileCaseSensitiveInformation);
        !found.is_ok_and(|found| found.Flags & CASE_SENSITIVE != 0)
    }

    /// Whether something on its file system is still what was found before.
    #[must_use]
    pub fn is_still(&self, now: &Stat, before: &Stat) -> bool {
        now.id == before.id
    }

    /// How much its file system has left; fails where that does not say.
    pub fn space(&self) -> io::Result<FreeSpace> {
        space_of(self.raw())
    }

    /// Brings the names in it to disk. Windows has no call for that: what gives and takes names here
    /// writes through.
    pub fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    /// Whether [`Self::sync_file_system`] waits until everything is on disk, and tells of errors:
    /// only administrators may flush a volume, so files are flushed one by one.
    #[must_use]
    pub fn syncs_whole_file_system(&self) -> bool {
        false
    }

    /// Brings everything in its file system to disk, where that can be asked for.
    pub fn sync_file_system(&self) -> io::Result<()> {
        Ok(())
    }
}
