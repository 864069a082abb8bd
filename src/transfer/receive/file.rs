//! What a receiving session knows of one wanted file.
//!
//! Must not touch the store while it is locked: chunks are claimed under the lock and written
//! outside it, so that lanes do not wait for each other's disk.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use crate::model::digest::{
    Algorithm, CHUNK_SIZE, Digest, FileDigest, MAX_WAITING_DIGESTS, chunk_count, chunk_len,
};
use crate::model::entry::EntryId;
use crate::model::outcome::{Outcome, Why};
use crate::model::relpath::RelPath;
use crate::store::{HeldIn, Incoming, Planned};
use crate::wire::{ChunkHeader, Encoding};

use super::open_files::{OpenFiles, OpenTurn};

/// How far ahead of the first missing chunk others are taken, in chunks.
const CHUNKS_AHEAD: u64 = MAX_WAITING_DIGESTS as u64;
/// How long a chunk that is needed first may be late.
const LATE_CHUNK: Duration = Duration::from_secs(120);

/// What is received in one attempt at a file.
#[derive(Debug)]
pub(super) struct FileContent {
    pub(super) incoming: Arc<Incoming>,
    /// Its turn to be open, behind what it is to be open for: it lasts until that is closed. None
    /// before chunks can come, and of a file that comes as one.
    turn: OnceLock<OpenTurn>,
}

/// A wanted file that has no outcome.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) entry: EntryId,
    pub(super) path: RelPath,
    /// Whether only its last chunk says how large it is.
    pub(super) is_stream: bool,
    state: Mutex<State>,
    /// Signals that no chunk is being written, or that held digests were used up.
    changed: Condvar,
    /// How many of its bytes have been verified.
    pub(super) verified: Arc<AtomicU64>,
}

#[derive(Debug)]
struct State {
    attempt: u32,
    stream: bool,
    /// Of a stream, what has come of it.
    size: u64,
    digest: FileDigest,
    /// None once it has ended.
    content: Option<Arc<FileContent>>,
    /// Chunks that are being written.
    writing: Vec<u64>,
    /// Held chunks that the sender has been told and has not answered.
    held: HashMap<u64, HeldChunk>,
    /// Chunks that are in another file here, to be copied should it come to that.
    keep: Vec<(u64, Digest)>,
    /// Whether it is known to differ from that file, so that it has come to that.
    differs: bool,
    held_bytes: u64,
    done: Option<Digest>,
}

/// A chunk that is here already.
#[derive(Debug, Clone, Copy)]
pub(super) struct HeldChunk {
    pub(super) digest: Digest,
    pub(super) source: HeldIn,
}

/// What becomes of a chunk that is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HeldChunkIs {
    /// Where it is to be.
    There,
    /// In another file, from which it is to be copied now.
    ToCopy,
    /// In another file, of which it is not known yet whether it differs.
    ToKeep,
}

/// What a chunk is expected to be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Expected {
    /// The size of the file that it is hashed as a part of, in bytes.
    pub(super) size: u64,
    /// Its index there.
    pub(super) index: u64,
    /// Whether its file is among those that may be open.
    pub(super) is_open: bool,
}

/// A chunk that may be written.
#[derive(Debug)]
pub(super) struct Claim {
    pub(super) content: Arc<FileContent>,
    /// Of a chunk that is held: where.
    pub(super) held: Option<HeldChunkIs>,
    attempt: u32,
    index: u64,
    length: u32,
}

/// What another attempt came to.
#[derive(Debug)]
pub(super) enum Anew {
    /// The file had ended.
    Ended,
    /// It is wanted again.
    Again,
    /// It is not wanted any more.
    Outcome(Outcome),
}

/// How a sender broke the rules with a chunk.
pub(super) type Broken = &'static str;

/// A file of which everything is there.
#[derive(Debug)]
pub(super) struct Finished {
    pub(super) content: Arc<FileContent>,
    /// Whether its digest is what the sender said.
    pub(super) intact: bool,
    /// The size of a stream.
    pub(super) stream: Option<u64>,
    pub(super) keep: Vec<(u64, Digest)>,
    pub(super) held_bytes: u64,
}

impl Slot {
    pub(super) fn new(entry: EntryId, algorithm: Algorithm, incoming: Incoming) -> Self {
        let path = incoming.path().clone();
        Self {
            entry,
            path,
            is_stream: incoming.is_stream(),
            state: Mutex::new(State::new(0, algorithm, incoming)),
            changed: Condvar::new(),
            verified: Arc::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its current attempt.
    pub(super) fn attempt(&self) -> u32 {
        self.state().attempt
    }

    /// Its size in this attempt, in bytes; of a stream, as far as it has come.
    pub(super) fn size(&self) -> u64 {
        self.state().size
    }

    /// What is being received in `attempt`; none where that is over.
    pub(super) fn incoming(&self, attempt: u32) -> Option<Arc<Incoming>> {
        let state = self.state();
        let content = state.content.as_ref();
        let content = content.filter(|_| state.attempt == attempt);
        content.map(|content| content.incoming.clone())
    }

    /// Gives an attempt its turn to be open, behind all that were asked for before. From here on
    /// chunks can come.
    pub(super) fn begin(&self, attempt: u32, files: &Arc<OpenFiles>) {
        let state = self.state();
        let is_large = state.stream || chunk_count(state.size) > 1;
        if let Some(content) = state.content.as_ref()
            && is_large
            && state.attempt == attempt
        {
            content.turn.get_or_init(|| files.turn());
        }
    }

    /// Has an attempt among those that may be open, if there is room for it. None where it is over.
    pub(super) fn try_open(&self, attempt: u32, files: &Arc<OpenFiles>) -> Option<bool> {
        let state = self.state();
        let content = state.content.as_ref()?;
        let turn = || content.turn.get_or_init(|| files.turn());
        (state.attempt == attempt).then(|| turn().try_open())
    }

    /// Begins another attempt, at a file of `size` bytes, with what `make` makes of the one before.
    /// Waits until no chunk is being written. What had been verified counts no more: it is given
    /// to `uncount`.
    pub(super) fn start_anew(
        &self,
        (attempt, size): (u32, u64),
        algorithm: Algorithm,
        is_over: impl Fn() -> bool,
        uncount: impl FnOnce(u64),
        make: impl FnOnce(&Incoming) -> Result<Planned, Why>,
    ) -> Anew {
        let mut state = self.state();
        // From here on no chunk of the attempt before is claimed.
        state.attempt = attempt;
        while !state.writing.is_empty() && !is_over() {
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        let Some(content) = state.content.take().filter(|_| !is_over()) else {
            return Anew::Ended;
        };
        uncount(self.verified.swap(0, Ordering::Relaxed));
        state.size = size;
        state.held.clear();
        self.changed.notify_all();
        drop(state);
        let before = content.incoming.clone();
        drop(content);
        before.give_back_space();
        let made = make(&before);
        if let Ok(Planned::Settled(_)) = &made {
            before.discard();
        }
        drop(before);
        match made {
            Ok(Planned::Incoming(incoming)) => {
                *self.state() = State::new(attempt, algorithm, incoming);
                Anew::Again
            }
            Ok(Planned::Settled(outcome)) => Anew::Outcome(outcome),
            Err(why) => Anew::Outcome(Outcome::Failed(why)),
        }
    }

    /// How a chunk is expected, if its file is still being received; then it is one that the file
    /// can have.
    pub(super) fn expects(&self, chunk: &ChunkHeader) -> Result<Option<Expected>, Broken> {
        let state = self.state();
        if !state.expects(chunk)? {
            return Ok(None);
        }
        let (size, index) = match state.stream {
            true => (chunk.length.into(), 0),
            false => (state.size, chunk.index),
        };
        let turn = state.content.as_ref().and_then(|c| c.turn.get());
        Ok(Some(Expected {
            size,
            index,
            is_open: turn.is_some_and(OpenTurn::is_open),
        }))
    }

    /// Takes the file out, to be stored whole with what is in its only chunk; with that it has
    /// ended. None where it is not needed (any more).
    pub(super) fn take_whole(&self, chunk: &ChunkHeader) -> Result<Option<Arc<Incoming>>, Broken> {
        let mut state = self.state();
        Ok(match state.expects(chunk)? {
            true => state.content.take().map(|c| c.incoming.clone()),
            false => None,
        })
    }

    /// Claims a chunk for writing. None for one that is not needed (any more).
    ///
    /// One that is too far ahead of the first missing one waits for that, which is on another
    /// lane and so never waits itself.
    pub(super) fn claim(
        &self,
        chunk: &ChunkHeader,
        is_over: impl Fn() -> bool,
    ) -> Result<Option<Claim>, Broken> {
        let mut state = self.state();
        let mut since = (state.digest.next_missing(), Instant::now());
        while state.expects(chunk)? && state.is_ahead(chunk) && !is_over() {
            if state.digest.next_missing() != since.0 {
                since = (state.digest.next_missing(), Instant::now());
            } else if since.1.elapsed() > LATE_CHUNK {
                return Err("a chunk too far ahead of the first missing one");
            }
            state = self
                .changed
                .wait_timeout(state, LATE_CHUNK)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        let (true, Some(content)) = (state.expects(chunk)?, state.content.clone()) else {
            return Ok(None);
        };
        if state.digest.has(chunk.index) || state.writing.contains(&chunk.index) {
            return Ok(None);
        }
        let told = state.held.remove(&chunk.index);
        let same = told.filter(|told| told.digest == chunk.digest);
        if chunk.encoding == Encoding::Held && same.is_none() {
            return Err("a chunk said to be held that is not");
        }
        if told.is_some() {
            self.changed.notify_all();
        }
        let held = same
            .filter(|_| chunk.encoding == Encoding::Held)
            .map(|held| match held.source {
                HeldIn::Partial => HeldChunkIs::There,
                HeldIn::Existing if state.differs => HeldChunkIs::ToCopy,
                HeldIn::Existing => HeldChunkIs::ToKeep,
            });
        state.differs |= held != Some(HeldChunkIs::ToKeep);
        state.writing.push(chunk.index);
        Ok(Some(Claim {
            content,
            held,
            attempt: state.attempt,
            index: chunk.index,
            length: chunk.length,
        }))
    }

    /// Takes a claimed chunk as done: written, or held. Gives the file if that was the last. How
    /// many bytes were verified by it is given to `count`, unless the file has started anew.
    pub(super) fn done_chunk(
        &self,
        claim: Claim,
        digest: Digest,
        count: impl FnOnce(u64),
    ) -> Result<Option<Finished>, Broken> {
        let Claim {
            content,
            held,
            attempt,
            index,
            length,
            ..
        } = claim;
        drop(content);
        let mut state = self.state();
        state.release(index);
        self.changed.notify_all();
        if state.attempt != attempt {
            return Ok(None);
        }
        if state.digest.push(index, digest).is_err() {
            return Err("a chunk too far ahead of the first missing one");
        }
        if held.is_some() {
            state.held_bytes += u64::from(length);
        }
        if held == Some(HeldChunkIs::ToKeep) {
            state.keep.push((index, digest));
        }
        self.verified.fetch_add(length.into(), Ordering::Relaxed);
        count(length.into());
        if state.stream {
            state.size += u64::from(length);
            if length < CHUNK_SIZE {
                let size = state.size;
                state.digest.end_stream(size);
            }
        } else if chunk_count(state.size) == 1 {
            state.done = Some(digest);
        }
        Ok(state.finish())
    }

    /// Gives a claimed chunk back, because the file failed.
    pub(super) fn give_up(&self, claim: Claim) {
        let index = claim.index;
        drop(claim);
        self.state().release(index);
        self.changed.notify_all();
    }

    /// Takes the sender's word that all has been sent. Gives the file if all has arrived.
    pub(super) fn done(&self, attempt: u32, digest: Digest) -> Option<Finished> {
        let mut state = self.state();
        if state.attempt != attempt || state.done.is_some() {
            return None;
        }
        state.done = Some(digest);
        self.changed.notify_all();
        state.finish()
    }

    /// Ends the file without more ado; says whether it had not ended before.
    pub(super) fn end(&self) -> bool {
        let ended = self.state().content.take();
        self.changed.notify_all();
        ended.is_some()
    }

    /// Notes the held chunks from `first` on, before the sender is told. Waits while
    /// there are `most` that the sender has not answered. False where the attempt is over, or
    /// `is_over` says so.
    pub(super) fn hold(
        &self,
        attempt: u32,
        first: u64,
        chunks: &[Option<HeldChunk>],
        most: usize,
        is_over: impl Fn() -> bool,
    ) -> bool {
        let mut state = self.state();
        loop {
            if state.attempt != attempt || state.content.is_none() || is_over() {
                return false;
            }
            if state.held.len() + chunks.len() <= most {
                break;
            }
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        let held = (first..).zip(chunks);
        state
            .held
            .extend(held.filter_map(|(index, chunk)| Some((index, (*chunk)?))));
        true
    }

    /// Wakes whoever waits for something of it.
    pub(super) fn wake(&self) {
        drop(self.state());
        self.changed.notify_all();
    }
}

impl State {
    fn new(attempt: u32, algorithm: Algorithm, incoming: Incoming) -> Self {
        let stream = incoming.is_stream();
        let (size, digest) = match stream {
            true => (0, FileDigest::of_stream(algorithm)),
            false => {
                let size = incoming.size();
                (size, FileDigest::new(algorithm, size))
            }
        };
        Self {
            attempt,
            stream,
            size,
            digest,
            differs: !incoming.may_be_here(),
            content: Some(Arc::new(FileContent {
                incoming: Arc::new(incoming),
                turn: OnceLock::new(),
            })),
            writing: Vec::new(),
            held: HashMap::new(),
            keep: Vec::new(),
            held_bytes: 0,
            done: None,
        }
    }

    /// Whether a chunk belongs to this attempt, and that goes on. If so, it is one that the file
    /// can have.
    fn expects(&self, chunk: &ChunkHeader) -> Result<bool, Broken> {
        if chunk.attempt > self.attempt {
            return Err("a chunk of an attempt that has not begun");
        }
        if chunk.attempt < self.attempt || self.content.is_none() {
            return Ok(false);
        }
        if self.stream {
            let is_next = chunk.index == self.digest.next_missing() && self.writing.is_empty();
            return match chunk.whole || chunk.encoding == Encoding::Held {
                true => Err("a chunk that no stream has"),
                false if !is_next => Err("a chunk of a stream out of order"),
                false if self.digest.finish().is_some() => Err("a chunk behind its stream's end"),
                false => Ok(true),
            };
        }
        let count = chunk_count(self.size);
        if chunk.index >= count {
            return Err("a chunk behind the end of its file");
        }
        if chunk.length != chunk_len(self.size, chunk.index) || chunk.whole != (count == 1) {
            return Err("a chunk of the wrong length");
        }
        Ok(true)
    }

    /// Whether a chunk must wait for earlier ones.
    fn is_ahead(&self, chunk: &ChunkHeader) -> bool {
        let far = self.digest.next_missing().saturating_add(CHUNKS_AHEAD);
        chunk.index >= far
    }

    fn release(&mut self, index: u64) {
        self.writing.retain(|&writing| writing != index);
    }

    fn finish(&mut self) -> Option<Finished> {
        let (digest, said) = (self.digest.finish()?, self.done?);
        if !self.writing.is_empty() {
            return None;
        }
        Some(Finished {
            content: self.content.take()?,
            intact: digest == said,
            stream: self.stream.then_some(self.size),
            keep: std::mem::take(&mut self.keep),
            held_bytes: self.held_bytes,
        })
    }
}
