//! The life of one wanted file on the receiver: events in, actions out.
//!
//! Must not touch files, sockets, locks or clocks: the code that feeds it carries out its actions.
//!
//! A file is received in attempts: chunks come in nearly any order, each is claimed, stored and
//! then counted. `Done` may come before, between or behind them. When all is there, the file is
//! finished. When the sender says that the file has changed, nothing more of the attempt is
//! claimed, and another one begins when no chunk of it is being stored any more.

use std::collections::HashMap;

use crate::model::digest::{
    Algorithm, CHUNK_SIZE, Digest, FileDigest, MAX_WAITING_DIGESTS, chunk_count, chunk_len,
};
use crate::store::HeldIn;
use crate::wire::{ChunkHeader, Encoding, limits};

use super::kept::KeptChunks;

/// How far ahead of the first missing chunk others are taken, in chunks.
const CHUNKS_AHEAD: u64 = MAX_WAITING_DIGESTS as u64;

/// How a sender broke the rules.
pub(super) type Breach = &'static str;

/// What is known of an attempt when it begins.
#[derive(Debug, Clone, Copy)]
pub(super) struct Begun {
    /// None of a stream.
    pub(super) size: Option<u64>,
    /// Whether all of it may be in a file that is here already.
    pub(super) may_be_here: bool,
}

/// A chunk that is here already.
#[derive(Debug, Clone, Copy)]
pub(super) struct HeldChunk {
    pub(super) digest: Digest,
    pub(super) source: HeldIn,
}

/// What is to be done for a chunk that was claimed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Storing {
    /// Its bytes are to be written.
    Write,
    /// Nothing: it is where it is to be.
    InPlace,
    /// It is to be copied from another file.
    Copy,
    /// Nothing for now: it is in another file, and it is not known yet whether that differs.
    Keep,
}

/// A chunk that was claimed: it is to be stored, and then said to be, or not to be.
#[derive(Debug)]
pub(super) struct ChunkClaim {
    pub(super) storing: Storing,
    index: u64,
    length: u32,
}

/// A file of which everything is there.
#[derive(Debug)]
pub(super) struct Complete {
    /// Whether its digest is what the sender said.
    pub(super) intact: bool,
    /// The size of a stream.
    pub(super) stream: Option<u64>,
    pub(super) kept: KeptChunks,
    pub(super) held_bytes: u64,
}

/// Something that happens to a file.
#[derive(Debug)]
pub(super) enum WantedEvent<'a> {
    /// A chunk has come, and holds what its digest says.
    Chunk(&'a ChunkHeader),
    /// The same, of a chunk that is the whole file.
    Whole(&'a ChunkHeader),
    /// A claimed chunk is stored.
    Stored(ChunkClaim, Digest),
    /// A claimed chunk could not be stored.
    NotStored(ChunkClaim),
    /// The sender has sent all of an attempt.
    Done(u32, Digest),
    /// The sender begins this attempt, at a file of so many bytes.
    Changed(u32, u64),
    /// The attempt that was waited for has begun.
    Begun(Begun),
    /// Chunks from an index on are held, of which the sender is to be told, if it has answered all
    /// but so many.
    Held(u32, u64, &'a [Option<HeldChunk>], usize),
    /// It fails, or is not wanted any more.
    End,
}

/// What is to be done then.
#[derive(Debug)]
pub(super) enum WantedAction {
    /// Nothing: what was said is about something that is over.
    Ignore,
    /// The same event is to be tried again later.
    Wait,
    /// The chunk is to be stored.
    Store(ChunkClaim),
    /// The file is to be stored, which has ended with that.
    StoreWhole,
    /// So many bytes more are verified; the file is to be finished where that was all.
    Verified(u64, Option<Complete>),
    /// The file is to be finished.
    Finish(Complete),
    /// So many verified bytes count no more. Another attempt is to begin: now, or else when
    /// that is said.
    Uncount(u64, bool),
    /// Another attempt is to begin now.
    Begin,
    /// The sender is to be told of held chunks.
    Tell,
    /// The file has ended with this.
    Ended,
}

/// What a chunk is expected to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ExpectedChunk {
    /// The size of the file that it is hashed as a part of, in bytes.
    pub(super) size: u64,
    /// Its index there.
    pub(super) index: u64,
}

/// Where a wanted file is in its life.
#[derive(Debug)]
pub(super) struct WantedState {
    algorithm: Algorithm,
    is_stream: bool,
    attempt: u32,
    /// In this attempt, in bytes; of a stream, as far as it has come.
    size: u64,
    phase: WantedPhase,
    /// Chunks that are being stored.
    storing: Vec<u64>,
}

// Nearly every file is being received for as long as it is here; to allocate that would cost more.
#[allow(clippy::large_enum_variant)]
#[derive(Debug)]
enum WantedPhase {
    Receiving(FileAttempt),
    /// Another attempt is to begin when no chunk of the one before is being stored.
    Changing,
    Ended,
}

#[derive(Debug)]
struct FileAttempt {
    digest: FileDigest,
    /// Held chunks that the sender has been told and has not answered.
    held: HashMap<u64, HeldChunk>,
    kept: KeptChunks,
    /// Whether it is known to differ from the file that is here.
    differs: bool,
    held_bytes: u64,
    verified: u64,
    done: Option<Digest>,
}

impl FileAttempt {
    fn new(algorithm: Algorithm, begun: Begun) -> Self {
        Self {
            digest: match begun.size {
                Some(size) => FileDigest::new(algorithm, size),
                None => FileDigest::of_stream(algorithm),
            },
            held: HashMap::new(),
            kept: KeptChunks::default(),
            differs: !begun.may_be_here,
            held_bytes: 0,
            verified: 0,
            done: None,
        }
    }
}

impl WantedState {
    /// A file that is to be asked for.
    pub(super) fn new(algorithm: Algorithm, begun: Begun) -> Self {
        Self {
            algorithm,
            is_stream: begun.size.is_none(),
            attempt: 0,
            size: begun.size.unwrap_or(0),
            phase: WantedPhase::Receiving(FileAttempt::new(algorithm, begun)),
            storing: Vec::new(),
        }
    }

    pub(super) fn attempt(&self) -> u32 {
        self.attempt
    }

    /// Its size in this attempt, in bytes; of a stream, as far as it has come.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// Whether a chunk that is held in another file is to be copied from there.
    pub(super) fn would_copy(&self) -> bool {
        matches!(&self.phase, WantedPhase::Receiving(attempt) if attempt.differs)
    }

    /// Whether chunks of it are to come.
    pub(super) fn misses_chunks(&self) -> bool {
        matches!(&self.phase, WantedPhase::Receiving(attempt) if attempt.digest.finish().is_none())
    }

    /// How a chunk is expected; none where it is of an attempt that is over.
    pub(super) fn expects(&self, chunk: &ChunkHeader) -> Result<Option<ExpectedChunk>, Breach> {
        if chunk.attempt > self.attempt {
            return Err("a chunk of an attempt that has not begun");
        }
        let WantedPhase::Receiving(attempt) = &self.phase else {
            return Ok(None);
        };
        if chunk.attempt < self.attempt {
            return Ok(None);
        }
        if self.is_stream {
            let is_next = chunk.index == attempt.digest.next_missing() && self.storing.is_empty();
            return match chunk.whole || chunk.encoding == Encoding::Held {
                true => Err("a chunk that no stream has"),
                false if !is_next => Err("a chunk of a stream out of order"),
                false if attempt.digest.finish().is_some() => {
                    Err("a chunk behind its stream's end")
                }
                // It is hashed as a file of its own.
                false => Ok(Some(ExpectedChunk {
                    size: chunk.length.into(),
                    index: 0,
                })),
            };
        }
        let (size, index) = (self.size, chunk.index);
        let count = chunk_count(size);
        if index >= count {
            return Err("a chunk behind the end of its file");
        }
        if chunk.length != chunk_len(size, index) || chunk.whole != (count == 1) {
            return Err("a chunk of the wrong length");
        }
        Ok(Some(ExpectedChunk { size, index }))
    }

    /// Takes what happens, and says what is to be done.
    pub(super) fn on(&mut self, event: WantedEvent<'_>) -> Result<WantedAction, Breach> {
        match event {
            WantedEvent::Chunk(chunk) => self.chunk(chunk),
            WantedEvent::Whole(chunk) => Ok(match self.expects(chunk)? {
                Some(_) => {
                    self.phase = WantedPhase::Ended;
                    WantedAction::StoreWhole
                }
                None => WantedAction::Ignore,
            }),
            WantedEvent::Stored(claim, digest) => self.stored(&claim, digest),
            WantedEvent::NotStored(claim) => Ok(self.release(&claim)),
            WantedEvent::Done(attempt, digest) => Ok(self.done(attempt, digest)),
            WantedEvent::Changed(attempt, size) => self.changed(attempt, size),
            WantedEvent::Begun(begun) => Ok(match self.phase {
                WantedPhase::Changing => {
                    self.size = begun.size.unwrap_or(0);
                    self.phase = WantedPhase::Receiving(FileAttempt::new(self.algorithm, begun));
                    WantedAction::Ignore
                }
                WantedPhase::Receiving(_) | WantedPhase::Ended => WantedAction::Ended,
            }),
            WantedEvent::Held(attempt, first, chunks, most) => {
                Ok(self.held(attempt, first, chunks, most))
            }
            WantedEvent::End => Ok(
                match std::mem::replace(&mut self.phase, WantedPhase::Ended) {
                    WantedPhase::Ended => WantedAction::Ignore,
                    WantedPhase::Receiving(_) | WantedPhase::Changing => WantedAction::Ended,
                },
            ),
        }
    }

    fn chunk(&mut self, chunk: &ChunkHeader) -> Result<WantedAction, Breach> {
        if self.expects(chunk)?.is_none() {
            return Ok(WantedAction::Ignore);
        }
        let WantedPhase::Receiving(attempt) = &mut self.phase else {
            return Ok(WantedAction::Ignore);
        };
        let index = chunk.index;
        let far = attempt.digest.next_missing().saturating_add(CHUNKS_AHEAD);
        if index >= far {
            return Ok(WantedAction::Wait);
        }
        if attempt.digest.has(index) || self.storing.contains(&index) {
            return Ok(WantedAction::Ignore);
        }
        let told = attempt.held.remove(&index);
        let same = told.filter(|told| told.digest == chunk.digest);
        let storing = match (chunk.encoding, same) {
            (Encoding::Held, None) => return Err("a chunk said to be held that is not"),
            (Encoding::Held, Some(held)) => match held.source {
                HeldIn::Partial => Storing::InPlace,
                HeldIn::Existing if attempt.differs => Storing::Copy,
                HeldIn::Existing => Storing::Keep,
            },
            _ => Storing::Write,
        };
        attempt.differs |= storing != Storing::Keep;
        self.storing.push(index);
        Ok(WantedAction::Store(ChunkClaim {
            storing,
            index,
            length: chunk.length,
        }))
    }

    fn stored(&mut self, claim: &ChunkClaim, digest: Digest) -> Result<WantedAction, Breach> {
        let released = self.release(claim);
        let WantedPhase::Receiving(attempt) = &mut self.phase else {
            return Ok(released);
        };
        let (index, bytes) = (claim.index, u64::from(claim.length));
        if attempt.digest.push(index, digest).is_err() {
            return Err("a chunk too far ahead of the first missing one");
        }
        if claim.storing != Storing::Write {
            attempt.held_bytes += bytes;
        }
        if claim.storing == Storing::Keep {
            attempt.kept.push(index, digest);
        }
        attempt.verified += bytes;
        if self.is_stream {
            self.size += bytes;
            if claim.length < CHUNK_SIZE {
                attempt.digest.end_stream(self.size);
            }
        } else if chunk_count(self.size) == 1 {
            attempt.done = Some(digest);
        }
        Ok(WantedAction::Verified(bytes, self.complete()))
    }

    /// No longer is a chunk being stored.
    fn release(&mut self, claim: &ChunkClaim) -> WantedAction {
        self.storing.retain(|&index| index != claim.index);
        match self.phase {
            WantedPhase::Changing if self.storing.is_empty() => WantedAction::Begin,
            _ => WantedAction::Ignore,
        }
    }

    fn done(&mut self, which: u32, digest: Digest) -> WantedAction {
        match &mut self.phase {
            WantedPhase::Receiving(attempt) if which == self.attempt && attempt.done.is_none() => {
                attempt.done = Some(digest);
            }
            _ => return WantedAction::Ignore,
        }
        self.complete()
            .map_or(WantedAction::Ignore, WantedAction::Finish)
    }

    fn changed(&mut self, next: u32, size: u64) -> Result<WantedAction, Breach> {
        check_attempt(next, self.attempt, self.is_stream)?;
        self.attempt = next;
        let verified = match &self.phase {
            WantedPhase::Receiving(attempt) => attempt.verified,
            WantedPhase::Changing => 0,
            WantedPhase::Ended => return Ok(WantedAction::Ignore),
        };
        self.size = size;
        self.phase = WantedPhase::Changing;
        Ok(WantedAction::Uncount(verified, self.storing.is_empty()))
    }

    fn held(
        &mut self,
        which: u32,
        first: u64,
        chunks: &[Option<HeldChunk>],
        most: usize,
    ) -> WantedAction {
        let WantedPhase::Receiving(attempt) = &mut self.phase else {
            return WantedAction::Ignore;
        };
        if which != self.attempt {
            return WantedAction::Ignore;
        }
        if attempt.held.len() + chunks.len() > most {
            return WantedAction::Wait;
        }
        let held = (first..).zip(chunks);
        let held = held.filter_map(|(index, chunk)| Some((index, (*chunk)?)));
        attempt.held.extend(held);
        WantedAction::Tell
    }

    /// The file, where everything of it is there; it has ended then.
    fn complete(&mut self) -> Option<Complete> {
        let WantedPhase::Receiving(attempt) = &mut self.phase else {
            return None;
        };
        let (digest, said) = (attempt.digest.finish()?, attempt.done?);
        if !self.storing.is_empty() {
            return None;
        }
        let complete = Complete {
            intact: digest == said,
            stream: self.is_stream.then_some(self.size),
            kept: std::mem::take(&mut attempt.kept),
            held_bytes: attempt.held_bytes,
        };
        self.phase = WantedPhase::Ended;
        Some(complete)
    }
}

/// Whether an attempt may follow the one before.
pub(super) fn check_attempt(next: u32, before: u32, is_stream: bool) -> Result<(), Breach> {
    if is_stream {
        return Err("another attempt at a stream");
    }
    if next != before + 1 {
        return Err("an attempt out of number");
    }
    if next >= limits::MAX_ATTEMPTS {
        return Err("more attempts at a file than there may be");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::digest::chunk_digest;

    const CHUNK: u64 = CHUNK_SIZE as u64;
    const SIZE: u64 = 3 * CHUNK + 10;

    /// What happens, in short.
    #[derive(Debug, Clone, Copy)]
    enum On {
        /// A chunk comes with bytes.
        Raw(u64),
        /// The same, of another attempt.
        RawOf(u32, u64),
        /// A chunk is said to be held.
        Same(u64),
        /// The oldest claim that is open is stored, or is not.
        Stored,
        NotStored,
        Done(u32),
        WrongDone,
        Changed(u32),
        Anew,
        /// These chunks are told to be held, in the partial or in another file.
        Held(u64, u64, HeldIn),
        End,
    }
    use On::*;

    fn digest(index: u64) -> Digest {
        Digest([u8::try_from(index).unwrap(); 32])
    }

    fn header(attempt: u32, index: u64, encoding: Encoding) -> ChunkHeader {
        ChunkHeader {
            entry: 0,
            attempt,
            index,
            length: chunk_len(SIZE, index),
            encoding,
            whole: false,
            data: 0,
            digest: digest(index),
        }
    }

    fn whole_digest() -> Digest {
        let mut all = FileDigest::new(Algorithm::Sha256, SIZE);
        (0..4).for_each(|n| all.push(n, digest(n)).unwrap());
        all.finish().unwrap()
    }

    fn said(action: &WantedAction) -> String {
        let complete = |complete: &Complete| {
            let (intact, kept) = (complete.intact, complete.kept.count());
            format!("finish intact={intact} kept={kept}")
        };
        match action {
            WantedAction::Ignore => "ignore".into(),
            WantedAction::Wait => "wait".into(),
            WantedAction::Store(claim) => format!("{:?}", claim.storing),
            WantedAction::StoreWhole => "whole".into(),
            WantedAction::Verified(bytes, None) => format!("verified {bytes}"),
            WantedAction::Verified(_, Some(all)) | WantedAction::Finish(all) => complete(all),
            WantedAction::Uncount(bytes, now) => format!("uncount {bytes} now={now}"),
            WantedAction::Begin => "begin".into(),
            WantedAction::Tell => "tell".into(),
            WantedAction::Ended => "ended".into(),
        }
    }

    /// Has things happen to a file of four chunks, and compares what is to be done each time.
    #[track_caller]
    fn life(may_be_here: bool, steps: &[(On, &str)]) {
        let begun = Begun {
            size: Some(SIZE),
            may_be_here,
        };
        let mut state = WantedState::new(Algorithm::Sha256, begun);
        let mut claims: Vec<ChunkClaim> = Vec::new();
        for (n, (on, expected)) in steps.iter().enumerate() {
            let chunk = |state: &mut WantedState, attempt, index, encoding| {
                let header = header(attempt, index, encoding);
                state.on(WantedEvent::Chunk(&header))
            };
            let action = match *on {
                Raw(index) => {
                    let attempt = state.attempt();
                    chunk(&mut state, attempt, index, Encoding::Raw)
                }
                RawOf(attempt, index) => chunk(&mut state, attempt, index, Encoding::Raw),
                Same(index) => {
                    let attempt = state.attempt();
                    chunk(&mut state, attempt, index, Encoding::Held)
                }
                Stored => {
                    let claim = claims.remove(0);
                    let digest = digest(claim.index);
                    state.on(WantedEvent::Stored(claim, digest))
                }
                NotStored => state.on(WantedEvent::NotStored(claims.remove(0))),
                Done(attempt) => state.on(WantedEvent::Done(attempt, whole_digest())),
                WrongDone => state.on(WantedEvent::Done(state.attempt(), digest(99))),
                Changed(attempt) => state.on(WantedEvent::Changed(attempt, SIZE)),
                Anew => state.on(WantedEvent::Begun(begun)),
                Held(first, end, source) => {
                    let held = |n| HeldChunk {
                        digest: digest(n),
                        source,
                    };
                    let chunks: Vec<_> = (first..end).map(|n| Some(held(n))).collect();
                    state.on(WantedEvent::Held(state.attempt(), first, &chunks, 3))
                }
                End => state.on(WantedEvent::End),
            };
            let told = match &action {
                Ok(action) => said(action),
                Err(breach) => format!("! {breach}"),
            };
            assert_eq!(&told, expected, "step {n}: {on:?}");
            if let Ok(WantedAction::Store(claim)) = action {
                claims.push(claim);
            }
        }
    }

    const FULL: &str = "verified 1048576";

    #[test]
    fn chunks_and_the_end_come_in_any_order() {
        let done_first = [
            (Done(0), "ignore"),
            (Raw(3), "Write"),
            (Raw(0), "Write"),
            (Stored, "verified 10"),
            (Raw(2), "Write"),
            (Raw(1), "Write"),
            (Stored, FULL),
            (Stored, FULL),
            (Stored, "finish intact=true kept=0"),
            // What comes twice counts once.
            (Done(0), "ignore"),
            (Raw(1), "ignore"),
            (End, "ignore"),
        ];
        life(false, &done_first);
        let done_last = [
            (Raw(0), "Write"),
            (Raw(0), "ignore"),
            (Raw(1), "Write"),
            (Stored, FULL),
            (Stored, FULL),
            (Raw(2), "Write"),
            (Raw(3), "Write"),
            (Stored, FULL),
            (Stored, "verified 10"),
            (Done(0), "finish intact=true kept=0"),
        ];
        life(false, &done_last);
    }

    #[test]
    fn what_is_not_what_was_said_is_not_intact() {
        life(
            false,
            &[
                (WrongDone, "ignore"),
                (Raw(0), "Write"),
                (Stored, FULL),
                (Raw(1), "Write"),
                (Stored, FULL),
                (Raw(2), "Write"),
                (Stored, FULL),
                (Raw(3), "Write"),
                (Stored, "finish intact=false kept=0"),
            ],
        );
    }

    #[test]
    fn held_chunks_are_kept_until_something_differs() {
        let here = HeldIn::Existing;
        life(
            true,
            &[
                (Same(0), "! a chunk said to be held that is not"),
                (Held(0, 3, here), "tell"),
                (Held(3, 4, here), "wait"),
                (Same(0), "Keep"),
                (Held(3, 4, here), "tell"),
                (Stored, FULL),
                (Same(1), "Keep"),
                (Raw(2), "Write"),
                (Same(3), "Copy"),
                (Stored, FULL),
                (Stored, FULL),
                (Done(0), "ignore"),
                (Stored, "finish intact=true kept=2"),
            ],
        );
        life(
            true,
            &[
                (Held(0, 2, HeldIn::Partial), "tell"),
                (Same(0), "InPlace"),
                (Same(1), "InPlace"),
                (Held(2, 4, here), "tell"),
                (Same(2), "Copy"),
                (End, "ended"),
                (Stored, "ignore"),
                (Held(2, 4, here), "ignore"),
            ],
        );
    }

    #[test]
    fn another_attempt_waits_for_what_is_being_stored() {
        life(
            false,
            &[
                (Raw(0), "Write"),
                (Stored, FULL),
                (Raw(1), "Write"),
                (Raw(2), "Write"),
                (RawOf(1, 0), "! a chunk of an attempt that has not begun"),
                (Changed(2), "! an attempt out of number"),
                (Changed(1), "uncount 1048576 now=false"),
                (RawOf(0, 3), "ignore"),
                (Done(1), "ignore"),
                (Stored, "ignore"),
                (NotStored, "begin"),
                (Anew, "ignore"),
                (RawOf(0, 3), "ignore"),
                (Done(0), "ignore"),
                (Raw(1), "Write"),
                (Stored, FULL),
                (Changed(2), "uncount 1048576 now=true"),
                (Anew, "ignore"),
                (Changed(3), "uncount 0 now=true"),
                (End, "ended"),
                (Anew, "ended"),
                (Changed(4), "! more attempts at a file than there may be"),
            ],
        );
    }

    #[test]
    fn a_chunk_that_is_far_ahead_waits() {
        let size = 10_000 * CHUNK;
        let begun = Begun {
            size: Some(size),
            may_be_here: false,
        };
        let mut state = WantedState::new(Algorithm::Sha256, begun);
        let mut chunk = |index| {
            let mut header = header(0, 0, Encoding::Raw);
            header.index = index;
            let action = state.on(WantedEvent::Chunk(&header)).unwrap();
            match action {
                WantedAction::Store(claim) => {
                    let stored = state.on(WantedEvent::Stored(claim, digest(0)));
                    said(&stored.unwrap())
                }
                other => said(&other),
            }
        };
        assert_eq!(chunk(CHUNKS_AHEAD), "wait");
        assert_eq!(chunk(CHUNKS_AHEAD - 1), FULL);
        assert_eq!(chunk(0), FULL);
        assert_eq!(chunk(CHUNKS_AHEAD), FULL);
    }

    #[test]
    fn a_stream_comes_in_order_and_has_one_attempt() {
        let begun = Begun {
            size: None,
            may_be_here: false,
        };
        let mut state = WantedState::new(Algorithm::Sha256, begun);
        let mut header = header(0, 1, Encoding::Raw);
        let out_of_order = Err("a chunk of a stream out of order");
        assert_eq!(state.expects(&header), out_of_order);
        (header.index, header.length) = (0, 5);
        let WantedAction::Store(claim) = state.on(WantedEvent::Chunk(&header)).unwrap() else {
            panic!();
        };
        header.index = 1;
        assert_eq!(state.expects(&header), out_of_order);
        let of_chunk = chunk_digest(Algorithm::Sha256, 5, 0, b"bytes");
        let stored = state.on(WantedEvent::Stored(claim, of_chunk)).unwrap();
        assert_eq!(said(&stored), "verified 5");
        assert_eq!(
            state.expects(&header),
            Err("a chunk behind its stream's end")
        );
        let changed = state.on(WantedEvent::Changed(1, 5)).unwrap_err();
        assert_eq!(changed, "another attempt at a stream");
        let mut all = FileDigest::of_stream(Algorithm::Sha256);
        all.push(0, of_chunk).unwrap();
        all.end_stream(5);
        let done = state
            .on(WantedEvent::Done(0, all.finish().unwrap()))
            .unwrap();
        assert_eq!(said(&done), "finish intact=true kept=0");
    }
}
