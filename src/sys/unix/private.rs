//! Files and folders that only this user may read and change.
//!
//! Must not trust a file by its name.

use std::fs::{DirBuilder, File, Metadata, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{
    DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _,
};
use std::path::Path;
use std::time::SystemTime;

use rustix::fs::{FlockOperation, flock};

use super::name::from_system;
use crate::sys::fs::{self, Dir, Lock, LockState};

/// Whether others on this machine may read or change what a path leads to, of which this is known.
pub(crate) fn is_exposed(_: &Path, meta: &Metadata) -> bool {
    meta.permissions().mode() & 0o077 != 0
}

/// Makes a folder, and those that it is in, where they are missing.
pub(crate) fn create_dir_all(dir: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir)
}

/// Makes a new file that holds `bytes`, and brings it to disk.
pub(crate) fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(bytes)?;
    if_possible(file.sync_all())
}

/// A new file in `dir` to be written and read, which has no name any more.
pub(crate) fn unnamed_in(dir: &Path) -> io::Result<File> {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let path = dir.join(format!(".unnamed-{}-{number}", std::process::id()));
    // One that a crash has left.
    let _ = std::fs::remove_file(&path);
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(true).mode(0o600);
    let file = options.open(&path)?;
    std::fs::remove_file(&path)?;
    Ok(file)
}

/// Opens a file to write at its end, or makes it; then others may read it at most, whatever the
/// system's mask.
pub(crate) fn append_to(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o644)
        .open(path)
}

/// Waits until no other process has the lock that the file at `path` stands for, and takes it
/// until the file is dropped. Where the file system has no locks, nobody has any.
pub(crate) fn lock(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)?;
    match fs::try_lock(&file, Lock::Exclusive)? {
        LockState::Ours | LockState::Unknown => {}
        LockState::Theirs => flock(&file, FlockOperation::LockExclusive)?,
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
    if_possible(Dir::open(dir)?.sync())
}

/// Lets pass that a file system cannot do something at all.
fn if_possible(done: io::Result<()>) -> io::Result<()> {
    match done {
        Err(e) if fs::is_unsupported(&e) => Ok(()),
        done => done,
    }
}

/// What tells one version of a file from another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FileVersion {
    id: (u64, u64),
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
        id: (meta.dev(), meta.ino()),
        length: meta.len(),
        modified: meta.modified()?,
    })
}
