//! A wanted file of a receiving session: its state behind a lock, and what is received of it.
//!
//! Must not touch the store while it is locked: chunks are claimed under the lock and stored
//! outside it, so that lanes do not wait for each other's disk. What becomes of a file is
//! decided in `file_state`.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use crate::model::digest::{Algorithm, Digest, chunk_count};
use crate::model::entry::EntryId;
use crate::model::relpath::RelPath;
use crate::store::Incoming;
use crate::wire::{Changed, ChunkHeader};

use super::budgets::NameRoom;
use super::file_state::{
    Begun, Breach, ChunkClaim, Complete, ExpectedChunk, HeldChunk, Storing, WantedAction,
    WantedEvent, WantedState,
};
use super::open_files::{OpenFiles, OpenTurn};

/// How long somebody waits whom the session's end wakes.
const LONG: Duration = Duration::from_secs(3600);

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
pub(super) struct WantedFile {
    pub(super) entry: EntryId,
    pub(super) path: RelPath,
    /// Whether only its last chunk says how large it is.
    pub(super) is_stream: bool,
    /// How many of its bytes have been verified.
    pub(super) verified: Arc<AtomicU64>,
    _room: Option<NameRoom>,
    guarded: Mutex<Guarded>,
    /// Signals that a chunk was stored, or that held digests were used up.
    changed: Condvar,
}

#[derive(Debug)]
struct Guarded {
    state: WantedState,
    /// None once it has ended, and while another attempt is to begin.
    content: Option<Arc<FileContent>>,
    /// What it is in the attempt that is to begin, and what there is of the one before.
    next: Option<(Changed, Arc<FileContent>)>,
    /// How many threads wait for a change: to wake nobody is a call to the system, too.
    sleepers: usize,
}

/// A chunk that is to be stored.
#[derive(Debug)]
pub(super) struct ClaimedChunk {
    pub(super) content: Arc<FileContent>,
    claim: ChunkClaim,
}

impl ClaimedChunk {
    pub(super) fn storing(&self) -> Storing {
        self.claim.storing
    }
}

/// A file of which everything is there, to be finished.
#[derive(Debug)]
pub(super) struct CompleteFile {
    pub(super) content: Arc<FileContent>,
    pub(super) is: Complete,
}

/// What is to be done with a file now.
#[derive(Debug)]
pub(super) enum Next {
    Nothing,
    Finish(CompleteFile),
    /// Its next attempt is to begin.
    Begin,
}

/// How a chunk is expected.
#[derive(Debug, Clone, Copy)]
pub(super) struct Expected {
    pub(super) chunk: ExpectedChunk,
    /// Whether its file is among those that may be open.
    pub(super) is_open: bool,
    /// Whether it would be copied, should it be held in another file.
    pub(super) would_copy: bool,
}

fn begun(incoming: &Incoming) -> Begun {
    Begun {
        size: (!incoming.is_stream()).then(|| incoming.size()),
        may_be_here: incoming.may_be_here(),
    }
}

fn content(incoming: Incoming) -> Arc<FileContent> {
    Arc::new(FileContent {
        incoming: Arc::new(incoming),
        turn: OnceLock::new(),
    })
}

impl WantedFile {
    /// `room` is what its path takes.
    pub(super) fn new(
        entry: EntryId,
        algorithm: Algorithm,
        incoming: Incoming,
        room: Option<NameRoom>,
    ) -> Self {
        Self {
            _room: room,
            entry,
            path: incoming.path().clone(),
            is_stream: incoming.is_stream(),
            verified: Arc::default(),
            guarded: Mutex::new(Guarded {
                state: WantedState::new(algorithm, begun(&incoming)),
                content: Some(content(incoming)),
                next: None,
                sleepers: 0,
            }),
            changed: Condvar::new(),
        }
    }

    fn guarded(&self) -> MutexGuard<'_, Guarded> {
        self.guarded.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(
        &self,
        mut guarded: MutexGuard<'a, Guarded>,
        most: Duration,
    ) -> MutexGuard<'a, Guarded> {
        guarded.sleepers += 1;
        let waited = self.changed.wait_timeout(guarded, most);
        let mut guarded = waited.unwrap_or_else(PoisonError::into_inner).0;
        guarded.sleepers -= 1;
        guarded
    }

    fn wake(&self, guarded: MutexGuard<'_, Guarded>) {
        let sleepers = guarded.sleepers;
        drop(guarded);
        if sleepers > 0 {
            self.changed.notify_all();
        }
    }

    /// Has whoever waits for it look whether the session is over.
    pub(super) fn wake_all(&self) {
        self.wake(self.guarded());
    }

    /// Its current attempt.
    pub(super) fn attempt(&self) -> u32 {
        self.guarded().state.attempt()
    }

    /// Its size in this attempt, in bytes; of a stream, as far as it has come.
    pub(super) fn size(&self) -> u64 {
        self.guarded().state.size()
    }

    /// What is being received in `attempt`; none where that is over.
    pub(super) fn incoming(&self, attempt: u32) -> Option<Arc<Incoming>> {
        let guarded = self.guarded();
        let content = guarded.content.as_ref();
        let content = content.filter(|_| guarded.state.attempt() == attempt);
        content.map(|content| content.incoming.clone())
    }

    /// Gives an attempt its turn to be open, behind all that were asked for before. From here on
    /// chunks can come.
    pub(super) fn give_turn(&self, attempt: u32, files: &Arc<OpenFiles>) {
        let guarded = self.guarded();
        let is_large = self.is_stream || chunk_count(guarded.state.size()) > 1;
        if let Some(content) = guarded.content.as_ref()
            && is_large
            && guarded.state.attempt() == attempt
        {
            content.turn.get_or_init(|| files.turn());
        }
    }

    /// Has an attempt among those that may be open, if there is room for it. None where it is over.
    pub(super) fn try_open(&self, attempt: u32, files: &Arc<OpenFiles>) -> Option<bool> {
        let guarded = self.guarded();
        let content = guarded.content.as_ref()?;
        let turn = || content.turn.get_or_init(|| files.turn());
        (guarded.state.attempt() == attempt).then(|| turn().try_open())
    }

    /// Of one that is open, whether chunks of it are missing.
    pub(super) fn misses_chunks(&self) -> Option<bool> {
        let guarded = self.guarded();
        let turn = guarded.content.as_ref().and_then(|c| c.turn.get());
        let is_open = turn.is_some_and(OpenTurn::is_open);
        is_open.then(|| guarded.state.misses_chunks())
    }

    /// How a chunk is expected; none where it is not (any more).
    pub(super) fn expects(&self, chunk: &ChunkHeader) -> Result<Option<Expected>, Breach> {
        let guarded = self.guarded();
        let turn = guarded.content.as_ref().and_then(|c| c.turn.get());
        let is_open = turn.is_some_and(OpenTurn::is_open);
        let expected = guarded.state.expects(chunk)?;
        let would_copy = guarded.state.would_copy();
        Ok(expected.map(|chunk| Expected {
            chunk,
            is_open,
            would_copy,
        }))
    }

    /// Takes the file out, to be stored whole with what is in its only chunk; with that it has
    /// ended. None where it is not needed (any more).
    pub(super) fn take_whole(&self, chunk: &ChunkHeader) -> Result<Option<Arc<Incoming>>, Breach> {
        let mut guarded = self.guarded();
        let action = guarded.state.on(WantedEvent::Whole(chunk))?;
        let content = match action {
            WantedAction::StoreWhole => guarded.content.take(),
            _ => None,
        };
        drop(guarded);
        Ok(content.map(|content| content.incoming.clone()))
    }

    /// Claims a chunk. None for one that is not needed (any more).
    ///
    /// One that is too far ahead of the first missing one waits for that, which is on another
    /// lane and so never waits itself. `late` is asked again and again, how long to wait; and
    /// whether to wait at all.
    pub(super) fn claim<E: From<Breach>>(
        &self,
        chunk: &ChunkHeader,
        mut late: impl FnMut() -> Result<Option<Duration>, E>,
    ) -> Result<Option<ClaimedChunk>, E> {
        let mut guarded = self.guarded();
        loop {
            match guarded.state.on(WantedEvent::Chunk(chunk))? {
                WantedAction::Wait => match late()? {
                    Some(most) => guarded = self.wait(guarded, most),
                    None => return Ok(None),
                },
                WantedAction::Store(claim) => {
                    let content = guarded.content.clone();
                    // Held digests were used up.
                    self.wake(guarded);
                    return Ok(content.map(|content| ClaimedChunk { content, claim }));
                }
                _ => return Ok(None),
            }
        }
    }

    /// Takes a claimed chunk as stored. How many bytes were verified by it, and whether they were
    /// held, is told to `count`, unless the file has started anew.
    pub(super) fn stored(
        &self,
        chunk: ClaimedChunk,
        digest: Digest,
        count: impl FnOnce(u64, bool),
    ) -> Result<Next, Breach> {
        let held = chunk.claim.storing != Storing::Write;
        let ClaimedChunk { content, claim } = chunk;
        // The last hold on it is that of the file, or of nobody.
        drop(content);
        let mut guarded = self.guarded();
        let action = guarded.state.on(WantedEvent::Stored(claim, digest))?;
        let next = match action {
            WantedAction::Verified(bytes, complete) => {
                self.verified.fetch_add(bytes, Ordering::Relaxed);
                count(bytes, held);
                guarded.finish(complete)
            }
            WantedAction::Begin => Next::Begin,
            _ => Next::Nothing,
        };
        self.wake(guarded);
        Ok(next)
    }

    /// Whether chunks of it are being received: it has not ended, nor is another attempt to begin.
    pub(super) fn is_received(&self) -> bool {
        self.guarded().content.is_some()
    }

    /// Gives a claimed chunk back that could not be stored. Says whether it is one of the attempt
    /// that goes on.
    pub(super) fn not_stored(&self, chunk: ClaimedChunk) -> (Next, bool) {
        let ClaimedChunk { content, claim } = chunk;
        drop(content);
        let mut guarded = self.guarded();
        let action = guarded.state.on(WantedEvent::NotStored(claim));
        // Another one begins when no chunk of the one before is being stored any more.
        let is_current = guarded.content.is_some();
        self.wake(guarded);
        match action {
            Ok(WantedAction::Begin) => (Next::Begin, is_current),
            _ => (Next::Nothing, is_current),
        }
    }

    /// Takes the sender's word that all has been sent.
    pub(super) fn done(&self, attempt: u32, digest: Digest) -> Next {
        let mut guarded = self.guarded();
        let next = match guarded.state.on(WantedEvent::Done(attempt, digest)) {
            Ok(WantedAction::Finish(complete)) => guarded.finish(Some(complete)),
            _ => Next::Nothing,
        };
        self.wake(guarded);
        next
    }

    /// The sender begins another attempt. What had been verified counts no more: it is told to
    /// `uncount`.
    pub(super) fn change(
        &self,
        changed: Changed,
        uncount: impl FnOnce(u64),
    ) -> Result<Next, Breach> {
        let event = WantedEvent::Changed(changed.attempt, changed.size.get());
        let mut guarded = self.guarded();
        let next = match guarded.state.on(event)? {
            WantedAction::Uncount(bytes, now) => {
                self.verified.store(0, Ordering::Relaxed);
                uncount(bytes);
                let before = guarded.next.take().map(|(_, content)| content);
                let before = guarded.content.take().or(before);
                guarded.next = before.map(|content| (changed, content));
                match now {
                    true => Next::Begin,
                    false => Next::Nothing,
                }
            }
            _ => Next::Nothing,
        };
        self.wake(guarded);
        Ok(next)
    }

    /// What the attempt that is to begin is about, and what there is of the one before. None
    /// where it was begun already.
    pub(super) fn take_next(&self) -> Option<(Changed, Arc<FileContent>)> {
        self.guarded().next.take()
    }

    /// Begins the attempt that was to begin. False where the file has ended, or yet another attempt
    /// is to begin.
    pub(super) fn begin(&self, attempt: u32, incoming: Incoming) -> bool {
        let mut guarded = self.guarded();
        let event = WantedEvent::Begun(begun(&incoming));
        let begins = guarded.state.attempt() == attempt
            && matches!(guarded.state.on(event), Ok(WantedAction::Ignore));
        let content = content(incoming);
        if begins {
            guarded.content = Some(content);
        }
        drop(guarded);
        begins
    }

    /// Ends the file without more ado; says whether it had not ended before.
    pub(super) fn end(&self) -> bool {
        let mut guarded = self.guarded();
        let ended = matches!(guarded.state.on(WantedEvent::End), Ok(WantedAction::Ended));
        let content = (guarded.content.take(), guarded.next.take());
        self.wake(guarded);
        drop(content);
        ended
    }

    /// Notes the held chunks from `first` on, before the sender is told. Waits while
    /// there are `most` that the sender has not answered. False where the attempt is over, or
    /// `is_over` says so.
    pub(super) fn tell_held(
        &self,
        attempt: u32,
        first: u64,
        chunks: &[Option<HeldChunk>],
        most: usize,
        is_over: impl Fn() -> bool,
    ) -> bool {
        let mut guarded = self.guarded();
        loop {
            if is_over() {
                return false;
            }
            match guarded
                .state
                .on(WantedEvent::Held(attempt, first, chunks, most))
            {
                Ok(WantedAction::Tell) => return true,
                // Whoever ends the session wakes all.
                Ok(WantedAction::Wait) => guarded = self.wait(guarded, LONG),
                _ => return false,
            }
        }
    }
}

impl Guarded {
    fn finish(&mut self, complete: Option<Complete>) -> Next {
        match complete.and_then(|is| Some((is, self.content.take()?))) {
            Some((is, content)) => Next::Finish(CompleteFile { content, is }),
            None => Next::Nothing,
        }
    }
}
