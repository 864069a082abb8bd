//! A file being sent: opens it, reads it once, and notices when it changes.
//!
//! Must not know sockets or messages.

use std::io::{self, IoSliceMut, Read};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::model::digest::{
    Algorithm, CHUNK_SIZE, Digest, FileDigest, chunk_count, chunk_len, chunk_offset,
};
use crate::model::entry::{EntryId, FileSize, Mode, Time};
use crate::model::outcome::Why;
use crate::model::reason::ReadError;
use crate::model::relpath::RelPath;
use crate::source::{TreeReader, mtime_of};
use crate::sys::fs::{self, File, Stat, Timestamp};
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
    is_stream: bool,
    /// Open while its chunks are being sent: of the thousands that wait for the receiver's word,
    /// none is.
    opened: Mutex<Option<Arc<OpenSource>>>,
    progress: Mutex<SentChunks>,
    /// Whether nothing more of this attempt is to be sent.
    over: AtomicBool,
    /// How many of its bytes the receiver has verified.
    pub(super) verified: Arc<AtomicU64>,
}

#[derive(Debug)]
struct OpenSource {
    file: File,
    version: SourceVersion,
    sparse: bool,
}

#[derive(Debug)]
struct SentChunks {
    digest: FileDigest,
    left: u64,
}

/// What tells whether a file was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct SourceVersion {
    size: u64,
    mtime: Timestamp,
    ctime: Timestamp,
}

impl SourceVersion {
    fn of(stat: &Stat) -> Self {
        Self {
            size: stat.size,
            mtime: stat.mtime,
            ctime: stat.ctime,
        }
    }
}

/// Why an attempt comes to nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ReadFailure {
    /// The file is not what was announced, or changed while it was read.
    Changed,
    /// It cannot be sent.
    Skip(Why),
}

impl From<io::Error> for ReadFailure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            // It was longer when it was announced.
            io::ErrorKind::UnexpectedEof => Self::Changed,
            io::ErrorKind::NotFound => Self::Skip(Why::Vanished),
            _ => Self::Skip(Why::unreadable(&error)),
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
pub(super) enum ChunkSource {
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
        is_stream: bool,
        algorithm: Algorithm,
    ) -> Self {
        Self {
            entry,
            attempt,
            path,
            announced,
            is_stream,
            opened: Mutex::default(),
            progress: Mutex::new(SentChunks {
                digest: FileDigest::new(algorithm, announced.size),
                left: chunk_count(announced.size),
            }),
            over: AtomicBool::new(false),
            verified: Arc::default(),
        }
    }

    pub(super) fn is_stream(&self) -> bool {
        self.is_stream
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

    fn lock_opened(&self) -> MutexGuard<'_, Option<Arc<OpenSource>>> {
        self.opened.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(&self, tree: &mut TreeReader) -> Result<File, ReadFailure> {
        tree.open(&self.path).map_err(|e| match fs::is_no_file(&e) {
            // What was a file when the walk came by may be a fifo or a link now.
            true => no_file(),
            false => ReadFailure::from(e),
        })
    }

    fn open_file(&self, tree: &mut TreeReader) -> Result<(File, Stat), ReadFailure> {
        let file = self.open(tree)?;
        let stat = fs::stat(&file)?;
        match stat.is_file() {
            true => Ok((file, stat)),
            false => Err(no_file()),
        }
    }

    fn is_as_announced(&self, stat: &Stat) -> bool {
        stat.size == self.announced.size && mtime_of(stat) == self.announced.mtime
    }

    /// Reads a whole small file into `buffer`.
    pub(super) fn read_small(
        &self,
        tree: &mut TreeReader,
        buffer: &mut Vec<u8>,
    ) -> Result<(), ReadFailure> {
        let mut file = self.open(tree)?;
        let size = usize::try_from(self.announced.size).map_err(|_| ReadFailure::Changed)?;
        buffer.resize(size, 0);
        let read = file.read_exact(buffer);
        // Looked at after reading: what it is now, when nothing can change any more what was
        // read, must be what it was when it was announced.
        let stat = fs::stat(&file)?;
        if !stat.is_file() {
            return Err(no_file());
        }
        if !self.is_as_announced(&stat) {
            read?;
            return Err(ReadFailure::Changed);
        }
        // As long as it says, but not as much to read, or more: it would be so each time. Files in
        // /proc say that they are empty.
        let wrong = match &read {
            Err(e) => e.kind() == io::ErrorKind::UnexpectedEof,
            Ok(()) => size == 0 && file.read(&mut [0])? > 0,
        };
        if wrong {
            let what = ReadError::WrongSize;
            return Err(ReadFailure::Skip(Why::Unreadable(what)));
        }
        Ok(read?)
    }

    fn opened(&self, tree: &mut TreeReader) -> Result<Arc<OpenSource>, ReadFailure> {
        let mut opened = self.lock_opened();
        if let Some(opened) = &*opened {
            return Ok(opened.clone());
        }
        let (file, stat) = self.open_file(tree)?;
        if !self.is_as_announced(&stat) {
            return Err(ReadFailure::Changed);
        }
        fs::read_through(&file);
        let new = Arc::new(OpenSource {
            file,
            version: SourceVersion::of(&stat),
            sparse: stat.allocated < stat.size,
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
        tree: &mut TreeReader,
        index: u64,
        pieces: &mut [IoSliceMut<'_>],
    ) -> Result<ChunkSource, ReadFailure> {
        let opened = self.opened(tree)?;
        let (offset, length) = (chunk_offset(index), chunk_len(self.announced.size, index));
        if opened.sparse && fs::is_hole(&opened.file, offset, length.into()) {
            return Ok(ChunkSource::Hole);
        }
        vectored::read_exact_at(&opened.file, pieces, offset)?;
        Ok(ChunkSource::Data)
    }

    /// Whether chunk `index` may be sent now: not so far ahead of one that another lane is still
    /// busy with that the receiver would have to keep too many digests.
    pub(super) fn may_send(&self, index: u64) -> bool {
        let sent = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        index < sent.digest.next_missing().saturating_add(CHUNKS_AHEAD)
    }

    /// Takes the digest of a chunk that was sent. After the last one it looks whether the file
    /// was left alone all the while, and gives its digest.
    pub(super) fn sent(
        &self,
        tree: &mut TreeReader,
        index: u64,
        digest: Digest,
    ) -> Result<Option<Digest>, ReadFailure> {
        let mut sent = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        // None is handed out that is too far ahead: see `may_send`.
        let pushed = sent.digest.push(index, digest);
        sent.left = sent.left.saturating_sub(1);
        if sent.left > 0 && pushed.is_ok() {
            return Ok(None);
        }
        let digest = sent.digest.finish();
        drop(sent);
        let opened = self.opened(tree)?;
        if SourceVersion::of(&fs::stat(&opened.file)?) != opened.version {
            return Err(ReadFailure::Changed);
        }
        digest.map(Some).ok_or(ReadFailure::Changed)
    }

    /// What the file is now.
    pub(super) fn look_again(&self, tree: &mut TreeReader) -> Result<Now, Why> {
        // Its folder may be another one as well.
        tree.close();
        let look = |tree| -> Result<Now, ReadFailure> {
            let (_, stat) = self.open_file(tree)?;
            let size = FileSize::try_from(stat.size)
                .map_err(|_| ReadFailure::Skip(Why::Unreadable(ReadError::TooLarge)))?;
            Ok(Now {
                size,
                mtime: mtime_of(&stat),
                mode: Mode::from_stat(stat.mode),
            })
        };
        look(tree).map_err(|failure| match failure {
            ReadFailure::Skip(why) => why,
            ReadFailure::Changed => Why::Changed,
        })
    }
}

/// What was a file when the walk came by is something else.
fn no_file() -> ReadFailure {
    ReadFailure::Skip(Why::Unreadable(ReadError::NotAFile))
}
