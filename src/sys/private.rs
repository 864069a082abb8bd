//! Files and folders that only this user may read and change.
//!
//! Must not follow from a name what is in a file.

use std::fs::{DirBuilder, File, Metadata, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use rustix::fs::{CWD, FlockOperation, RenameFlags, flock, renameat_with};

/// Whether others on this machine may read or change what this is of.
pub(crate) fn is_exposed(meta: &Metadata) -> bool {
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
    file.sync_all()
}

/// Waits until no other process has the lock that the file at `path` stands for, and takes it
/// until the file is dropped.
pub(crate) fn lock(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)?;
    flock(&file, FlockOperation::LockExclusive)?;
    Ok(file)
}

/// Gives a file a name that nobody has: an [`io::ErrorKind::AlreadyExists`] where somebody has.
/// It may keep its old one.
pub(crate) fn name_new(file: &Path, name: &Path) -> io::Result<()> {
    match std::fs::hard_link(file, name) {
        // Not every file system has links.
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => {
            Ok(renameat_with(CWD, file, CWD, name, RenameFlags::NOREPLACE)?)
        }
        linked => linked,
    }
}

/// Brings to disk which names are in a folder.
pub(crate) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}
