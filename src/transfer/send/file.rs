//! A file that is being sent: opening it, reading it once, and noticing when it changes.
//!
//! Must not know sockets or messages.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, IoSliceMut};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::fs::{OFlags, SeekFrom};

use crate::model::digest::{
    Algorithm, CHUNK_SIZE, Digest, FileDigest, chunk_count, chunk_len, chunk_offset,
};
use crate::model::entry::{EntryId, FileSize, Mode, Time};
use crate::model::error::reason;
use crate::model::outcome::Why;
use crate::model::relpath::RelPath;
use crate::model::text::Text;
use crate::source::mtime_of;
use crate::sys::advise;
use crate::sys::vectored;

/// How far ahead of the first chunk that is not sent others may be, in chunks: well below what
/// [`FileDigest`] keeps.
const CHUNKS_AHEAD: u64 = 1024;

/// What a file was when it was announced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Announced {
    pub(super) size: u64,
    pub(super) mtime: Time,
}

/// One attempt at sending a file.
#[derive(Debug)]
pub(super) struct SendFile {
    pub(super) entry: EntryId,
    pub(super) attempt: u32,
    pub(super) path: RelPath,
    pub(super) announced: Announced,
    /// None for a stream.
    source: Option<PathBuf>,
    /// Open while its chunks are being sent: of the thousands that wait for the receiver's word,
    /// none is.
    opened: Mutex<Option<Arc<Opened>>>,
    progress: Mutex<Sent>,
    /// Whether nothing more of this attempt is to be sent.
    over: AtomicBool,
    /// How many of its bytes the receiver has verified.
    pub(super) verified: Arc<AtomicU64>,
}

#[derive(Debug)]
struct Opened {
    file: File,
    stamp: Stamp,
    sparse: bool,
}

#[derive(Debug)]
struct Sent {
    digest: FileDigest,
    left: u64,
}

/// What tells whether a file was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    size: u64,
    mtime: (i64, i64),
    ctime: (i64, i64),
}

impl Stamp {
    fn of(meta: &Metadata) -> Self {
        Self {
            size: meta.len(),
            mtime: (meta.mtime(), meta.mtime_nsec()),
            ctime: (meta.ctime(), meta.ctime_nsec()),
        }
    }
}

/// Why an attempt comes to nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Trouble {
    /// The file is not what was announced, or changed while it was read.
    Changed,
    /// It cannot be sent.
    Skip(Why),
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            // It was longer when it was announced.
            io::ErrorKind::UnexpectedEof => Self::Changed,
            io::ErrorKind::NotFound => Self::Skip(Why::Vanished),
            _ => Self::Skip(Why::Unreadable(Text::new(reason(&error)))),
        }
    }
}

/// What a file is now, for another attempt.
#[derive(Debug, Clone, Copy)]
pub(super) struct Now {
    pub(super) size: FileSize,
    pub(super) mtime: Time,
    pub(super) mode: Mode,
}

/// What was read of a chunk.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Read {
    /// It is where it was to be read to.
    Data,
    /// It is a hole.
    Hole,
}

impl SendFile {
    pub(super) fn new(
        entry: EntryId,
        attempt: u32,
        path: RelPath,
        announced: Announced,
        source: Option<PathBuf>,
        algorithm: Algorithm,
    ) -> Self {
        Self {
            entry,
            attempt,
            path,
            announced,
            source,
            opened: Mutex::default(),
            progress: Mutex::new(Sent {
                digest: FileDigest::new(algorithm, announced.size),
                left: chunk_count(announced.size),
            }),
            over: AtomicBool::new(false),
            verified: Arc::default(),
        }
    }

    pub(super) fn is_stream(&self) -> bool {
        self.source.is_none()
    }

    pub(super) fn is_small(&self) -> bool {
        self.announced.size <= u64::from(CHUNK_SIZE)
    }

    pub(super) fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }

    /// Ends the attempt; says whether this call was the one that did.
    pub(super) fn end(&self) -> bool {
        let ends = !self.over.swap(true, Ordering::AcqRel);
        self.lock_opened().take();
        ends
    }

    fn lock_opened(&self) -> MutexGuard<'_, Option<Arc<Opened>>> {
        self.opened.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(&self) -> Result<File, Trouble> {
        let source = self.source.as_ref().ok_or(Trouble::Skip(Why::Special))?;
        OpenOptions::new()
            .read(true)
            // What was a file when the walk came by may be a fifo or a link now.
            .custom_flags(flags(OFlags::NOFOLLOW | OFlags::NONBLOCK))
            .open(source)
            .map_err(
                |e| match e.raw_os_error().map(rustix::io::Errno::from_raw_os_error) {
                    Some(rustix::io::Errno::LOOP | rustix::io::Errno::NXIO) => no_file(),
                    _ => Trouble::from(e),
                },
            )
    }

    fn open_file(&self) -> Result<(File, Metadata), Trouble> {
        let file = self.open()?;
        let meta = file.metadata()?;
        if !meta.is_file() {
            return Err(no_file());
        }
        Ok((file, meta))
    }

    fn is_as_announced(&self, meta: &Metadata) -> bool {
        meta.len() == self.announced.size && mtime_of(meta) == self.announced.mtime
    }

    /// Reads a whole small file into `buffer`.
    pub(super) fn read_small(&self, buffer: &mut Vec<u8>) -> Result<(), Trouble> {
        let file = self.open()?;
        let size = usize::try_from(self.announced.size).map_err(|_| Trouble::Changed)?;
        buffer.resize(size, 0);
        let read = file.read_exact_at(buffer, 0);
        // Looked at after reading: what it is now, when nothing can change any more what was
        // read, must be what it was when it was announced.
        let meta = file.metadata()?;
        if !meta.is_file() {
            return Err(no_file());
        }
        if !self.is_as_announced(&meta) {
            read?;
            return Err(Trouble::Changed);
        }
        // As long as it says, but not as much to read, or more: it would be so each time. Files in
        // /proc say that they are empty.
        let wrong = match &read {
            Err(e) => e.kind() == io::ErrorKind::UnexpectedEof,
            Ok(()) => size == 0 && file.read_at(&mut [0], 0)? > 0,
        };
        if wrong {
            let what = Text::new("it is not as long as the system says");
            return Err(Trouble::Skip(Why::Unreadable(what)));
        }
        Ok(read?)
    }

    fn opened(&self) -> Result<Arc<Opened>, Trouble> {
        let mut opened = self.lock_opened();
        if let Some(opened) = &*opened {
            return Ok(opened.clone());
        }
        let (file, meta) = self.open_file()?;
        if !self.is_as_announced(&meta) {
            return Err(Trouble::Changed);
        }
        advise::read_through(&file);
        let new = Arc::new(Opened {
            file,
            stamp: Stamp::of(&meta),
            sparse: meta.blocks().saturating_mul(512) < meta.len(),
        });
        // One that is over has been closed, and nobody would close it again.
        if !self.is_over() {
            *opened = Some(new.clone());
        }
        Ok(new)
    }

    /// Reads chunk `index` into `pieces`, which have its length.
    pub(super) fn read_chunk(
        &self,
        index: u64,
        pieces: &mut [IoSliceMut<'_>],
    ) -> Result<Read, Trouble> {
        let opened = self.opened()?;
        let (offset, length) = (chunk_offset(index), chunk_len(self.announced.size, index));
        if opened.sparse && is_hole(&opened.file, offset, length) {
            return Ok(Read::Hole);
        }
        vectored::read_exact_at(&opened.file, pieces, offset)?;
        Ok(Read::Data)
    }

    /// Whether chunk `index` may be sent now: not so far ahead of one that another lane is still
    /// busy with that the receiver would have to keep too many digests.
    pub(super) fn may_send(&self, index: u64) -> bool {
        let sent = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        index < sent.digest.next_missing().saturating_add(CHUNKS_AHEAD)
    }

    /// Takes the digest of a chunk that was sent. After the last one it looks whether the file
    /// was left alone all the while, and gives its digest.
    pub(super) fn sent(&self, index: u64, digest: Digest) -> Result<Option<Digest>, Trouble> {
        let mut sent = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        // None is handed out that is too far ahead: see `may_send`.
        let pushed = sent.digest.push(index, digest);
        sent.left = sent.left.saturating_sub(1);
        if sent.left > 0 && pushed.is_ok() {
            return Ok(None);
        }
        let digest = sent.digest.finish();
        drop(sent);
        let opened = self.opened()?;
        if Stamp::of(&opened.file.metadata()?) != opened.stamp {
            return Err(Trouble::Changed);
        }
        digest.map(Some).ok_or(Trouble::Changed)
    }

    /// What the file is now.
    pub(super) fn look_again(&self) -> Result<Now, Why> {
        let look = || -> Result<Now, Trouble> {
            let (_, meta) = self.open_file()?;
            let size = FileSize::try_from(meta.len())
                .map_err(|e| Trouble::Skip(Why::Unreadable(Text::new(e))))?;
            Ok(Now {
                size,
                mtime: mtime_of(&meta),
                mode: Mode::from_stat(meta.mode()),
            })
        };
        look().map_err(|trouble| match trouble {
            Trouble::Skip(why) => why,
            Trouble::Changed => Why::Changed,
        })
    }
}

/// What was a file when the walk came by is something else.
fn no_file() -> Trouble {
    Trouble::Skip(Why::Unreadable(Text::new("it is no file any more")))
}

fn flags(flags: OFlags) -> i32 {
    // The bits are those of open(2), whose type is a C int.
    flags.bits().cast_signed()
}

fn is_hole(file: &File, offset: u64, length: u32) -> bool {
    match rustix::fs::seek(file, SeekFrom::Data(offset)) {
        Ok(data) => data >= offset + u64::from(length),
        // No data from here to the end.
        Err(e) => e == rustix::io::Errno::NXIO,
    }
}
