//! What the receiver already has of a file: in its partial, or in an existing file that may be the
//! same or an older version.
//!
//! Must not keep the existing file open once the sender has been told: thousands of files may be
//! waiting.

use std::io::{self, IoSliceMut, Read, Seek, SeekFrom};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::model::digest::{CHUNK_SIZE, ZEROS, chunk_count, chunk_len, chunk_offset};
use crate::model::outcome::Why;
use crate::sys::fs::{self, File, FileId, Timestamp};
use crate::sys::vectored;

use super::folder::Folder;
use super::found::{open_file, why};
use super::partial::Partial;

/// What the receiver has of a file, to hash: a partial, and an existing file that may be the same
/// or an older version.
#[derive(Debug)]
pub struct HeldFile {
    pub(super) size: u64,
    pub(super) partial: Option<Arc<Partial>>,
    pub(super) existing: Option<File>,
}

/// Where a held chunk is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeldIn {
    /// In the partial, at its place.
    Partial,
    /// In an existing file, so that it must be copied if other chunks differ.
    Existing,
}

impl HeldFile {
    /// Reads chunk `index`. Returns `None` if it is not here or cannot be read.
    pub fn read(&self, index: u64, buffer: &mut Vec<u8>) -> Option<HeldIn> {
        let (offset, length) = (chunk_offset(index), chunk_len(self.size, index));
        buffer.resize(length as usize, 0);
        if let Some(partial) = &self.partial
            && !fs::is_hole(&partial.file, offset, length.into())
        {
            read_at(&partial.file, buffer, offset).ok()?;
            return Some(HeldIn::Partial);
        }
        let existing = self.existing.as_ref()?;
        read_at(existing, buffer, offset).ok()?;
        Some(HeldIn::Existing)
    }
}

/// Fills `buffer` from `offset` in a file.
pub(super) fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<()> {
    vectored::read_exact_at(file, &mut [IoSliceMut::new(buffer)], offset)
}

/// Whether two files of `size` bytes have the same content.
pub(super) fn is_same(one: &File, other: &File, size: u64) -> io::Result<bool> {
    let [mut left, mut right] = [Vec::new(), Vec::new()];
    for index in 0..chunk_count(size) {
        for (file, buffer) in [(one, &mut left), (other, &mut right)] {
            buffer.resize(chunk_len(size, index) as usize, 0);
            read_at(file, buffer, chunk_offset(index))?;
        }
        if left != right {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Reads a file from beginning to end. Passes each piece to `take`, and whether it is a hole, which
/// is not read. Stops at the first error of `take`.
pub(super) fn read_all(
    mut file: &File,
    mut take: impl FnMut(&[u8], bool) -> io::Result<()>,
) -> io::Result<()> {
    let found = fs::stat(file)?;
    let is_sparse = found.allocated < found.size;
    let mut buffer = vec![0; CHUNK_SIZE as usize];
    let mut at = 0;
    loop {
        let length = u64::from(chunk_len(found.size, at / u64::from(CHUNK_SIZE)));
        let is_aligned = at % u64::from(CHUNK_SIZE) == 0;
        if is_sparse && is_aligned && length > 0 && fs::is_hole(file, at, length) {
            take(&ZEROS[..usize::try_from(length).unwrap_or(0)], true)?;
            at += length;
            continue;
        }
        // Looking for holes moves the file's read position.
        file.seek(SeekFrom::Start(at))?;
        match file.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(n) => {
                take(&buffer[..n], false)?;
                at += n as u64;
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}

/// What is known of an existing file whose chunks are held.
#[derive(Debug, Default)]
pub(super) struct ExistingFile(Mutex<Existing>);

#[derive(Debug, Default)]
enum Existing {
    /// No chunks are known to be held.
    #[default]
    None,
    /// Chunks of this file are held.
    Known(Box<HashedFile>),
    /// The same, and they are being copied.
    Open(Arc<File>),
}

/// Tells whether a file is still the one that was hashed.
#[derive(Debug, Clone, Copy)]
struct HashedFile {
    id: FileId,
    size: u64,
    mtime: Timestamp,
    ctime: Timestamp,
}

impl HashedFile {
    fn of(file: &File) -> io::Result<Self> {
        let stat = fs::stat(file)?;
        Ok(Self {
            id: stat.id,
            size: stat.size,
            mtime: stat.mtime,
            ctime: stat.ctime,
        })
    }

    /// Some file systems invent inode numbers: then the change time decides.
    fn is_still(&self, before: &Self) -> bool {
        let is_same = self.id == before.id || self.ctime == before.ctime;
        is_same && (self.size, self.mtime) == (before.size, before.mtime)
    }
}

/// Why a file fails whose chunks were in a file that has changed.
pub(super) fn changed() -> Why {
    Why::ChangedThere
}

impl ExistingFile {
    fn lock(&self) -> MutexGuard<'_, Existing> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens it to hash, and remembers its identity. A file that is gone or cannot be read holds
    /// nothing.
    pub(super) fn open_to_hash(&self, folder: &Folder, name: &[u8]) -> Option<File> {
        let file = folder.with(|dir| open_file(dir, name)).ok()?;
        if let Ok(hashed) = HashedFile::of(&file) {
            *self.lock() = Existing::Known(Box::new(hashed));
        }
        Some(file)
    }

    /// Closes it, because nothing more is read of it: some file systems do not let an open file be
    /// replaced.
    pub(super) fn close(&self) {
        *self.lock() = Existing::None;
    }

    /// The file that was hashed; `None` if none was. Fails if it has changed since.
    pub(super) fn open_again(
        &self,
        folder: &Folder,
        name: &[u8],
    ) -> Result<Option<Arc<File>>, Why> {
        let mut existing = self.lock();
        let hashed = match &*existing {
            Existing::None => return Ok(None),
            Existing::Open(file) => return Ok(Some(file.clone())),
            Existing::Known(hashed) => **hashed,
        };
        let opened = folder.with(|dir| open_file(dir, name));
        let file = opened.map_err(|e| why(&e))?;
        let now = HashedFile::of(&file).map_err(|e| why(&e))?;
        if !now.is_still(&hashed) {
            return Err(changed());
        }
        let file = Arc::new(file);
        *existing = Existing::Open(file.clone());
        Ok(Some(file))
    }
}
