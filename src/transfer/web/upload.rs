//! `Upload`: one file that a browser uploads, piece by piece.
//!
//! Must not count anything of a piece with a digest before all of it has come. One writer has it at
//! a time: a later one takes it from an earlier one, whose connection may be lost without a word.

use std::io::IoSlice;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::model::digest::{Algorithm, CHUNK_SIZE, ChunkHasher, Digest, ZEROS};
use crate::model::outcome::{Outcome, Why};
use crate::model::reason::SystemError;
use crate::model::relpath::RelPath;
use crate::store::{Incoming, STREAM};

/// What hears how a file gets on.
pub(super) trait UploadHearer: Send + Sync {
    /// Bytes have come.
    fn took(&self, bytes: u64);
    /// Some that have come do not count.
    fn took_back(&self, bytes: u64);
    /// A file was stored, or was not; `sum` is the SHA-256 of its bytes, if it is known.
    fn summed(&self, path: &RelPath, sum: Option<Digest>, outcome: &Outcome);
    /// A file has ended; of its `size`, `counted` bytes have been.
    fn ended(&self, upload: &Upload, size: u64, counted: u64, outcome: Outcome);
}

/// A file that is being uploaded.
pub(super) struct Upload {
    pub(super) number: u64,
    pub(super) path: RelPath,
    /// In bytes; [`STREAM`] where that is not known.
    pub(super) size: u64,
    /// How many of its bytes were there when it began.
    pub(super) front: u64,
    hearer: Arc<dyn UploadHearer>,
    /// How much of it is there, for whoever shows that.
    pub(super) verified: Arc<AtomicU64>,
    state: Mutex<UploadState>,
}

struct UploadState {
    /// None when it has ended.
    incoming: Option<Incoming>,
    /// How many bytes count.
    offset: u64,
    /// The end of all that was written, whether it counts or not.
    written_to: u64,
    /// The hash of these, where it is wanted.
    sum: Option<ChunkHasher>,
    /// Whose turn it is to write.
    writer: u64,
    ended: Option<Outcome>,
}

/// How far a file is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct UploadStatus {
    pub(super) offset: u64,
    /// None while more is to come.
    pub(super) ended: Option<Outcome>,
}

/// Why a piece was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum PieceFault {
    /// It begins elsewhere than where the file stands.
    Offset(u64),
    /// Somebody else writes the file now.
    Displaced,
    /// It has more bytes than the file.
    TooLong,
    /// Its digest is another one.
    Digest,
    /// The file has ended, in this way.
    Ended(UploadStatus),
    /// Its connection is lost. What has come counts, unless it was to be checked.
    Cut,
}

/// What a piece should be.
pub(super) struct PieceCheck {
    hasher: ChunkHasher,
    digest: [u8; 32],
}

impl PieceCheck {
    /// By its SHA-256.
    pub(super) fn new(digest: [u8; 32]) -> Self {
        Self {
            hasher: ChunkHasher::new(Algorithm::Sha256, 0, 0),
            digest,
        }
    }
}

impl Upload {
    pub(super) fn new(
        hearer: Arc<dyn UploadHearer>,
        number: u64,
        (path, size): (RelPath, u64),
        (incoming, front): (Incoming, u64),
        sums: bool,
    ) -> Arc<Self> {
        // Of what was there before, the hash is taken when all of it is stored.
        let sums = sums && front == 0;
        let sum = sums.then(|| ChunkHasher::new(Algorithm::Sha256, 0, 0));
        Arc::new(Self {
            number,
            path,
            size,
            front,
            hearer,
            verified: Arc::new(AtomicU64::new(front)),
            state: Mutex::new(UploadState {
                incoming: Some(incoming),
                offset: front,
                written_to: front,
                sum,
                writer: 0,
                ended: None,
            }),
        })
    }

    fn state(&self) -> MutexGuard<'_, UploadState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether more than one chunk comes.
    pub(super) fn is_large(&self) -> bool {
        self.size > u64::from(CHUNK_SIZE)
    }

    /// How far it is. Whoever asks takes it from whoever writes it, so that it stays so.
    pub(super) fn stop_writer(&self) -> UploadStatus {
        let mut state = self.state();
        state.writer += 1;
        state.status()
    }

    /// Begins a piece at `offset`; none goes on where it stands.
    pub(super) fn piece(
        self: &Arc<Self>,
        offset: Option<u64>,
        check: Option<PieceCheck>,
    ) -> Result<UploadPiece, PieceFault> {
        let mut state = self.state();
        if state.ended.is_some() {
            return Err(PieceFault::Ended(state.status()));
        }
        // Also where it is somewhere else: what an earlier one still writes is not waited for.
        state.writer += 1;
        let at = state.offset;
        if offset.is_some_and(|offset| offset != at) {
            return Err(PieceFault::Offset(at));
        }
        Ok(UploadPiece {
            upload: self.clone(),
            writer: state.writer,
            at,
            uncounted: 0,
            waiting: Vec::new(),
            bytes: 0,
            sum: state.sum.clone(),
            check,
        })
    }

    /// Ends it without all of its bytes. What is there of it stays for its uploader to go on with,
    /// unless `discards`.
    pub(super) fn fail(&self, why: Why, discards: bool) {
        let mut state = self.state();
        if state.ended.is_none() {
            match &state.incoming {
                Some(incoming) if discards => incoming.discard(),
                _ => self.note_front(&state),
            }
            self.end(&mut state, Outcome::Failed(why));
        }
    }

    /// Notes what counts, for whoever goes on with it in another batch.
    fn note_front(&self, state: &UploadState) {
        if let Some(incoming) = state.incoming.as_ref().filter(|_| self.is_large())
            && self.size != STREAM
            && state.offset > 0
        {
            // Where that fails, less of it counts then.
            let _ = incoming.note_front(state.offset);
        }
    }

    fn end(&self, state: &mut UploadState, outcome: Outcome) {
        drop(state.incoming.take());
        state.sum = None;
        state.ended = Some(outcome.clone());
        let size = match self.size {
            STREAM => state.offset,
            size => size,
        };
        self.hearer.ended(self, size, state.offset, outcome);
    }
}

impl UploadState {
    fn status(&self) -> UploadStatus {
        UploadStatus {
            offset: self.offset,
            ended: self.ended.clone(),
        }
    }
}

/// A piece of a file, as it comes. Dropped before its end, it was cut off: what has come counts then,
/// unless it was to be checked.
pub(super) struct UploadPiece {
    upload: Arc<Upload>,
    writer: u64,
    /// Where what waits is to be written.
    at: u64,
    /// How many written bytes count only once all of the piece is there.
    uncounted: u64,
    /// The rest of a chunk.
    waiting: Vec<hyper::body::Bytes>,
    bytes: u64,
    sum: Option<ChunkHasher>,
    check: Option<PieceCheck>,
}

impl UploadPiece {
    /// How many more bytes the file can take.
    pub(super) fn room(&self) -> u64 {
        self.upload.size - self.at - self.bytes
    }

    /// Takes the next bytes.
    pub(super) fn push(&mut self, mut bytes: hyper::body::Bytes) -> Result<(), PieceFault> {
        if bytes.len() as u64 > self.room() {
            self.forget();
            return Err(PieceFault::TooLong);
        }
        if let Some(check) = &mut self.check {
            check.hasher.update(&bytes);
        }
        if let Some(sum) = &mut self.sum {
            sum.update(&bytes);
        }
        let chunk = u64::from(CHUNK_SIZE);
        while !bytes.is_empty() {
            let end = self.at + self.bytes;
            let left = usize::try_from(chunk - end % chunk).unwrap_or(usize::MAX);
            let part = bytes.split_to(left.min(bytes.len()));
            self.bytes += part.len() as u64;
            self.waiting.push(part);
            // A file of one chunk is stored when all of it is there.
            if (self.at + self.bytes).is_multiple_of(chunk) && self.upload.is_large() {
                self.flush()?;
            }
        }
        Ok(())
    }

    fn forget(&mut self) {
        self.waiting.clear();
        self.bytes = 0;
    }

    /// Writes what waits.
    fn flush(&mut self) -> Result<(), PieceFault> {
        let upload = self.upload.clone();
        let mut state = upload.state();
        self.flush_in(&upload, &mut state)
    }

    fn check_turn(&self, state: &UploadState) -> Result<(), PieceFault> {
        match state {
            state if state.ended.is_some() => Err(PieceFault::Ended(state.status())),
            state if state.writer != self.writer => Err(PieceFault::Displaced),
            _ => Ok(()),
        }
    }

    fn flush_in(&mut self, upload: &Upload, state: &mut UploadState) -> Result<(), PieceFault> {
        let turn = self.check_turn(state);
        if turn.is_err() {
            self.forget();
        }
        turn?;
        let may_be_dirty = self.at < state.written_to;
        let Some(incoming) = state.incoming.as_ref().filter(|_| self.bytes > 0) else {
            return Ok(());
        };
        let written = self.write(incoming, may_be_dirty);
        state.written_to = state.written_to.max(self.at + self.bytes);
        let bytes = std::mem::take(&mut self.bytes);
        self.waiting.clear();
        if let Err(why) = written {
            // How much more it needs, nobody knows.
            let why = match why {
                Why::Space { .. } if upload.size == STREAM => Why::System(SystemError::NoSpace),
                why => why,
            };
            upload.end(state, Outcome::Failed(why));
            return Err(PieceFault::Ended(state.status()));
        }
        self.at += bytes;
        upload.hearer.took(bytes);
        match self.check {
            Some(_) => self.uncounted += bytes,
            None => self.count(upload, state),
        }
        Ok(())
    }

    /// Where a piece was written that did not count, zeros are written as well.
    fn write(&self, incoming: &Incoming, may_be_dirty: bool) -> Result<(), Why> {
        let chunk = u64::from(CHUNK_SIZE);
        let is_whole = self.bytes == chunk && self.at.is_multiple_of(chunk);
        let is_zero = |part: &hyper::body::Bytes| ZEROS.get(..part.len()) == Some(part);
        if is_whole && !may_be_dirty && self.waiting.iter().all(is_zero) {
            return incoming.write_hole(self.at / chunk);
        }
        incoming.write(self.at, &mut slices(&self.waiting))
    }

    /// What was written counts.
    fn count(&mut self, upload: &Upload, state: &mut UploadState) {
        state.offset = self.at;
        state.sum.clone_from(&self.sum);
        self.uncounted = 0;
        upload.verified.store(self.at, Ordering::Relaxed);
    }

    /// Ends the piece. The last one of a file gives it its name.
    pub(super) fn finish(mut self) -> Result<UploadStatus, PieceFault> {
        let upload = self.upload.clone();
        let mut state = upload.state();
        self.check_turn(&state)?;
        if let Some(PieceCheck { hasher, digest }) = &self.check {
            if hasher.clone().finish().0 != *digest {
                return Err(PieceFault::Digest);
            }
            self.check = None;
            if self.uncounted > 0 {
                self.count(&upload, &mut state);
            }
        }
        let end = self.at + self.bytes;
        let is_whole = self.at == 0 && end == upload.size && !upload.is_large();
        if !is_whole {
            self.flush_in(&upload, &mut state)?;
        }
        if end == upload.size {
            self.commit(&upload, &mut state, is_whole);
        } else {
            upload.note_front(&state);
        }
        Ok(state.status())
    }

    /// Ends a file whose size nobody knew before.
    pub(super) fn finish_stream(mut self) -> Result<UploadStatus, PieceFault> {
        let upload = self.upload.clone();
        let mut state = upload.state();
        self.flush_in(&upload, &mut state)?;
        self.commit(&upload, &mut state, false);
        Ok(state.status())
    }

    fn commit(&mut self, upload: &Upload, state: &mut UploadState, is_whole: bool) {
        let Some(incoming) = state.incoming.as_ref() else {
            return;
        };
        let committed = match is_whole {
            true => {
                let stored = incoming.store_whole(&mut slices(&self.waiting));
                stored.and_then(|stored| stored.map_or_else(|| incoming.commit_whole(), Ok))
            }
            false if incoming.is_stream() => incoming
                .end_stream(self.at)
                .and_then(|()| incoming.commit()),
            false => incoming.commit(),
        };
        if committed.is_ok() {
            upload.hearer.took(self.bytes);
            state.offset = self.at + self.bytes;
            upload.verified.store(state.offset, Ordering::Relaxed);
        }
        let outcome = committed.unwrap_or_else(Outcome::Failed);
        let sum = self.sum.take().map(ChunkHasher::finish);
        upload.hearer.summed(&upload.path, sum, &outcome);
        upload.end(state, outcome);
    }
}

impl Drop for UploadPiece {
    fn drop(&mut self) {
        if self.check.is_none() {
            // Whatever fails here, whoever goes on with the file hears of it.
            let _ = self.flush();
            let state = self.upload.state();
            self.upload.note_front(&state);
        } else if self.uncounted > 0 {
            self.upload.hearer.took_back(self.uncounted);
        }
    }
}

fn slices(waiting: &[hyper::body::Bytes]) -> Vec<IoSlice<'_>> {
    waiting.iter().map(|part| IoSlice::new(part)).collect()
}
