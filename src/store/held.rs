//! What the receiver already has of a file: in its partial, or in a file that may be the same or an
//! older version.
//!
//! Must not keep that file open once the sender has been told: thousands of files may be waiting.

use std::io::{self, IoSliceMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::model::digest::{chunk_count, chunk_len, chunk_offset};
use crate::model::outcome::Why;
use crate::sys::fs::{self, File, FileId, Timestamp};
use crate::sys::vectored;

use super::folder::Folder;
use super::found::{open_file, why};
use super::partial::Partial;

/// What the receiver has of a file, to be hashed: a partial, and a file that may be the same or
/// an older version.
#[derive(Debug)]
pub struct HeldFile {
    pub(super) size: u64,
    pub(super) partial: Option<Arc<Partial>>,
    pub(super) existing: Option<File>,
}

/// Where a chunk that is held is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeldIn {
    /// In the partial, where it is to be.
    Partial,
    /// In a file that stays, so that it must be copied should others differ.
    Existing,
}

impl HeldFile {
    /// Reads chunk `index`. None where nothing of it is here, or it cannot be read.
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

/// Reads all of `buffer` from a place in a file.
pub(super) fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<()> {
    vectored::read_exact_at(file, &mut [IoSliceMut::new(buffer)], offset)
}

/// Whether two files of `size` bytes have the same in them.
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

/// What is known of a file that chunks are held of.
#[derive(Debug, Default)]
pub(super) struct ExistingFile(Mutex<Existing>);

#[derive(Debug, Default)]
enum Existing {
    /// Nothing is known to be held of one.
    #[default]
    None,
    /// Chunks of this one are held.
    Known(Box<HashedFile>),
    /// The same, and they are being copied.
    Open(Arc<File>),
}

/// What tells whether a file is still the one that was hashed.
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

    /// Some file systems make their numbers up: then it is the time of change that tells.
    fn is_still(&self, before: &Self) -> bool {
        let is_same = self.id == before.id || self.ctime == before.ctime;
        is_same && (self.size, self.mtime) == (before.size, before.mtime)
    }
}

/// Why a file does not come about whose chunks were in another one.
pub(super) fn changed() -> Why {
    Why::ChangedThere
}

impl ExistingFile {
    fn lock(&self) -> MutexGuard<'_, Existing> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens it to be hashed, and remembers which one that was. One that is gone, or cannot be
    /// read, holds nothing.
    pub(super) fn open_to_hash(&self, folder: &Folder, name: &[u8]) -> Option<File> {
        let file = folder.with(|dir| open_file(dir, name)).ok()?;
        if let Ok(hashed) = HashedFile::of(&file) {
            *self.lock() = Existing::Known(Box::new(hashed));
        }
        Some(file)
    }

    /// The file that was hashed; none where none was. Fails where it is not what it was then.
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
