//! Files and folders that only this user may read and change.
//!
//! Must not trust a file by its name.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Write as _};
use std::os::windows::fs::OpenOptionsExt as _;
use std::os::windows::io::AsRawHandle as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use windows_sys::Win32::Storage::FileSystem::{
    FILE_FLAG_DELETE_ON_CLOSE, FILE_GENERIC_WRITE, WRITE_DAC,
};

use super::acl;
use super::name::from_system;
use crate::sys::fs::{self, Dir, FileId, Lock, LockState, stat_of_path};

/// Whether others on this machine may read or change what a path leads to. Where that is hidden
/// from this user, they may; where the file system keeps nobody out, it is not asked for.
pub(crate) fn is_exposed(path: &Path, _: &Metadata) -> bool {
    acl::is_open_to_others(path).unwrap_or_else(|error| !fs::is_unsupported(&error))
}

/// Makes a folder, and those that it is in, where they are missing.
pub(crate) fn create_dir_all(dir: &Path) -> io::Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    std::fs::create_dir_all(dir)?;
    if_possible(acl::open_to_change(dir).and_then(|dir| make_private(&dir)))
}

/// Has nobody else reach a file, or a folder.
fn make_private(file: &File) -> io::Result<()> {
    acl::make_private(file.as_raw_handle())
}

/// On FAT nobody can be kept out.
fn if_possible(done: io::Result<()>) -> io::Result<()> {
    match done {
        Err(e) if fs::is_unsupported(&e) => Ok(()),
        done => done,
    }
}

/// Makes a new file that holds `bytes`, and brings it to disk.
pub(crate) fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.access_mode(FILE_GENERIC_WRITE | WRITE_DAC);
    let mut file = options.write(true).create_new(true).open(path)?;
    if_possible(make_private(&file))?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// A new file in `dir` to be written and read, which is gone when it is closed.
pub(crate) fn unnamed_in(dir: &Path) -> io::Result<File> {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let path: PathBuf = dir.join(format!(".unnamed-{}-{number}", std::process::id()));
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(true);
    options.custom_flags(FILE_FLAG_DELETE_ON_CLOSE).open(path)
}

/// Opens a file to write at its end, or makes it.
pub(crate) fn append_to(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).open(path)
}

/// Waits until no other process has the lock that the file at `path` stands for, and takes it
/// until the file is dropped. Where the file system has no locks, nobody has any.
pub(crate) fn lock(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    let file = options
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)?;
    match fs::try_lock(&file, Lock::Exclusive)? {
        LockState::Ours | LockState::Unknown => {}
        LockState::Theirs => super::files::wait_to_lock(&file)?,
    }
    Ok(file)
}

/// Gives a file another name in its folder: an [`io::ErrorKind::AlreadyExists`] where somebody has
/// that.
pub(crate) fn rename_new(file: &Path, name: &Path) -> io::Result<()> {
    let (Some(dir), Some(from), Some(to)) = (file.parent(), file.file_name(), name.file_name())
    else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    Dir::open(dir)?.rename_new(from_system(from), from_system(to))
}

/// Brings to disk which names are in a folder.
pub(crate) fn sync_dir(dir: &Path) -> io::Result<()> {
    Dir::open(dir)?.sync()
}

/// What tells one version of a file from another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FileVersion {
    id: FileId,
    length: u64,
    modified: SystemTime,
}

impl FileVersion {
    /// When it came to be.
    pub(crate) fn changed(&self) -> SystemTime {
        self.modified
    }
}

/// Which version of the file at `path` is there now.
pub(crate) fn version(path: &Path) -> io::Result<FileVersion> {
    let meta = std::fs::metadata(path)?;
    Ok(FileVersion {
        id: stat_of_path(path)?.id,
        length: meta.len(),
        modified: meta.modified()?,
    })
}
