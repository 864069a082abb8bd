//! `Output`: one file that goes to a stream, such as standard output, instead of a folder. Its
//! chunks come in order, over one lane.
//!
//! Must not write anything on that has not been verified, nor keep it: what is written cannot be
//! taken back.

use std::fs::File;
use std::io::{self, IoSlice, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::model::digest::{Algorithm, CHUNK_SIZE, Digest, FileDigest, chunk_count, chunk_len};
use crate::model::entry::{Entry, EntryId, Kind};
use crate::model::error::{Error, Result};
use crate::model::outcome::{Outcome, Why};
use crate::model::relpath::RelPath;
use crate::net::Reader;
use crate::wire::{Changed, ChunkHeader, Encoding, FileVerified, Want};

use super::super::link::Link;
use super::accounts::{Accounts, EndedEntry};
use super::bound::OfferBound;
use super::chunk::ChunkTaker;
use super::file_state::{Breach, ExpectedChunk, check_attempt};
use super::lanes::Activity;
use super::queue::{PlannerTask, WorkQueue};
use crate::sys::stream;
use crate::sys::wake::{Awaited, WakeUp};

/// What it is called where folders have a path.
pub(crate) const NAME: &str = "standard output";

/// Where the one file goes.
#[derive(Debug)]
pub(crate) struct Output {
    to: Arc<File>,
    /// How many bytes it takes at once without making anybody wait.
    at_once: usize,
    /// Whether something was written, so that nothing can begin anew.
    used: AtomicBool,
    verified: AtomicU64,
    /// How much of that the sender has been told.
    told: AtomicU64,
    /// Raised once nobody is to wait for the reader any more.
    stopped: WakeUp,
    one: Mutex<Option<OneFile>>,
}

/// The file that is coming.
#[derive(Debug)]
struct OneFile {
    entry: EntryId,
    attempt: u32,
    path: RelPath,
    /// None of a stream.
    size: Option<u64>,
    written: u64,
    digest: FileDigest,
    /// What the sender says that its digest is.
    said: Option<Digest>,
    over: bool,
}

impl Output {
    pub(crate) fn new(to: Arc<File>) -> io::Result<Self> {
        Ok(Self {
            at_once: stream::ready_bytes(&to)?.unwrap_or(CHUNK_SIZE as usize),
            to,
            used: AtomicBool::new(false),
            verified: AtomicU64::new(0),
            told: AtomicU64::new(0),
            stopped: WakeUp::new()?,
            one: Mutex::new(None),
        })
    }

    /// Whether something was written.
    pub(super) fn was_used(&self) -> bool {
        self.used.load(Ordering::Acquire)
    }

    /// Frees whoever waits for the reader, for good.
    pub(super) fn stop(&self) {
        self.stopped.raise();
    }

    fn one(&self) -> MutexGuard<'_, Option<OneFile>> {
        self.one.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, pieces: &[IoSlice<'_>]) -> io::Result<()> {
        for mut rest in pieces.iter().flat_map(|piece| piece.chunks(self.at_once)) {
            while !rest.is_empty() {
                if self.stopped.wait(Awaited::Room(&self.to), None)? {
                    return Err(io::Error::other("the session ended"));
                }
                self.used.store(true, Ordering::Release);
                match (&*self.to).write(rest) {
                    Ok(n) => rest = &rest[n..],
                    Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                    Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                    Err(e) => return Err(e),
                }
            }
        }
        Ok(())
    }

    /// How far the file is, where that is more than was told.
    pub(super) fn report(&self) -> Option<FileVerified> {
        let bytes = self.verified.load(Ordering::Relaxed);
        // It is the only one, so that it is the first.
        (self.told.swap(bytes, Ordering::Relaxed) != bytes)
            .then_some(FileVerified { entry: 0, bytes })
    }

    /// Brings to disk what was written, where it went to one.
    pub(super) fn sync(&self) -> Result<()> {
        if !self.was_used() {
            return Ok(());
        }
        stream::sync(&self.to).map_err(|source| Error::Sync {
            path: NAME.into(),
            source,
        })
    }
}

impl OneFile {
    /// Whether a chunk is the next one; not, where no more is needed.
    fn expects(&self, chunk: &ChunkHeader) -> Result<bool, Breach> {
        if chunk.entry != self.entry || chunk.attempt > self.attempt {
            return Err("a chunk of what is not wanted");
        }
        if chunk.attempt < self.attempt || self.over {
            return Ok(false);
        }
        if chunk.index != self.digest.next_missing() || self.digest.finish().is_some() {
            return Err("a chunk out of order");
        }
        let fits = match self.size {
            Some(size) => {
                chunk.length == chunk_len(size, chunk.index)
                    && chunk.whole == (chunk_count(size) == 1)
            }
            None => !chunk.whole,
        };
        if fits && chunk.encoding != Encoding::Held {
            Ok(true)
        } else {
            Err("a chunk that the file cannot have")
        }
    }

    fn take(&mut self, chunk: &ChunkHeader) {
        // In order, none is ever too far ahead.
        let _ = self.digest.push(chunk.index, chunk.digest);
        self.written += u64::from(chunk.length);
        match self.size {
            None if chunk.length < CHUNK_SIZE => self.digest.end_stream(self.written),
            Some(_) if chunk.whole => self.said = Some(chunk.digest),
            _ => {}
        }
    }

    /// How it ended, once it has.
    fn ended(&self) -> Option<Outcome> {
        let (digest, said) = (self.digest.finish()?, self.said?);
        Some(match digest == said {
            true => Outcome::Stored(None),
            false => Outcome::Failed(Why::Damaged),
        })
    }
}

/// What sees the one file to its end that is announced.
pub(super) struct OutputPlanner<'a> {
    pub(super) output: &'a Output,
    pub(super) link: &'a Link,
    pub(super) accounts: &'a Accounts,
    pub(super) tasks: &'a WorkQueue<PlannerTask>,
    pub(super) algorithm: Algorithm,
    /// What the user said yes to, if they were asked.
    pub(super) bound: Option<&'a OfferBound>,
}

impl OutputPlanner<'_> {
    /// Wants the one file that is announced, and sees it to its end. True if it came to that.
    pub(super) fn run(&self) -> Result<bool> {
        let mut one: Option<Entry> = None;
        let mut bound = self.bound.cloned();
        let mut is_refused = false;
        while let Some(task) = self.tasks.pop() {
            match task {
                PlannerTask::Entries(entries) => {
                    for entry in entries {
                        let is_file = matches!(entry.kind, Kind::File { .. } | Kind::Stream);
                        let is_way = entry.is_way();
                        if one.is_some() || !(is_file || is_way) {
                            return Err(Error::NotOneFile);
                        }
                        if let Some(Err(why)) = bound.as_mut().map(|bound| bound.take(&entry)) {
                            is_refused = true;
                            let ended = EndedEntry {
                                is_file,
                                ..EndedEntry::default()
                            };
                            let refused = Outcome::Failed(why);
                            self.accounts
                                .outcome(entry.id, &entry.path, &ended, refused);
                            continue;
                        }
                        if is_way {
                            // There is no folder that it could lead to.
                            let ended = EndedEntry::default();
                            let outcome = Outcome::Have(None);
                            self.accounts
                                .outcome(entry.id, &entry.path, &ended, outcome);
                            continue;
                        }
                        one = Some(entry);
                    }
                }
                PlannerTask::Announced => match one.take() {
                    Some(entry) => self.want(entry),
                    None if is_refused => {}
                    None => return Err(Error::NotOneFile),
                },
                PlannerTask::Done(done) => self.output.with(self.accounts, done.entry, |file| {
                    if done.attempt == file.attempt {
                        file.said = Some(done.digest);
                    }
                    file.ended()
                })?,
                PlannerTask::Skipped(skipped) => {
                    self.output.with(self.accounts, skipped.entry, |_| {
                        Some(Outcome::Failed(skipped.why.clone()))
                    })?;
                }
                PlannerTask::Changed(changed) => self.change(&changed, bound.as_mut())?,
                PlannerTask::DirEnd { .. }
                | PlannerTask::Decisions(_)
                | PlannerTask::RemovalAnswer(_)
                | PlannerTask::Deferred
                | PlannerTask::Restart(_) => {}
                PlannerTask::End => return Ok(true),
            }
        }
        Ok(false)
    }

    fn want(&self, entry: Entry) {
        let (size, digest) = match entry.kind {
            Kind::File { size } => {
                let size = size.get();
                (Some(size), FileDigest::new(self.algorithm, size))
            }
            _ => (None, FileDigest::of_stream(self.algorithm)),
        };
        *self.output.one() = Some(OneFile {
            entry: entry.id,
            attempt: 0,
            path: entry.path,
            size,
            written: 0,
            digest,
            said: None,
            over: false,
        });
        self.ask(entry.id, 0);
    }

    fn ask(&self, entry: EntryId, attempt: u32) {
        let want = Want {
            entry,
            attempt,
            held: false,
        };
        self.link.outbox.push_wants(&[want]);
    }

    /// The file is another one now. Nothing of the old one can be taken back.
    fn change(&self, changed: &Changed, bound: Option<&mut OfferBound>) -> Result<()> {
        let now = self.output.one();
        if let Some(file) = now.as_ref().filter(|file| file.entry == changed.entry) {
            check_attempt(changed.attempt, file.attempt, file.size.is_none())
                .map_err(|what| self.accounts.breach(what))?;
        }
        drop(now);
        self.output.with(self.accounts, changed.entry, |file| {
            if file.written > 0 {
                return Some(Outcome::Failed(Why::Changed));
            }
            let size = changed.size.get();
            let more = size.saturating_sub(file.size.unwrap_or(0));
            if let Some(Err(why)) = bound.map(|bound| bound.grow(more)) {
                return Some(Outcome::Failed(why));
            }
            file.attempt = changed.attempt;
            file.size = Some(size);
            file.digest = FileDigest::new(self.algorithm, size);
            self.ask(changed.entry, changed.attempt);
            None
        })
    }
}

impl Output {
    /// Does something with the file, unless it has ended; gives it its outcome if that is one.
    fn with(
        &self,
        accounts: &Accounts,
        entry: EntryId,
        act: impl FnOnce(&mut OneFile) -> Option<Outcome>,
    ) -> Result<()> {
        let mut one = self.one();
        let file = one.as_mut().filter(|file| file.entry == entry);
        let file = file.ok_or_else(|| accounts.breach("words about what is not wanted"))?;
        if file.over {
            return Ok(());
        }
        if let Some(outcome) = act(file) {
            file.over = true;
            let ended = EndedEntry {
                size: file.size.unwrap_or(file.written),
                verified: file.written,
                held_bytes: 0,
                is_file: true,
            };
            accounts.outcome(entry, &file.path, &ended, outcome);
        }
        Ok(())
    }

    /// Takes a chunk, and what `reader` has of it.
    pub(super) fn chunk(
        &self,
        chunk: &ChunkHeader,
        reader: &mut Reader,
        chunks: &mut ChunkTaker<'_>,
        accounts: &Accounts,
        activity: &Activity,
    ) -> Result<()> {
        // A chunk of a stream is hashed as a file of its own.
        let size = self.one().as_ref().and_then(|file| file.size);
        let expected = ExpectedChunk {
            size: size.unwrap_or(chunk.length.into()),
            index: size.map_or(0, |_| chunk.index),
        };
        let data = chunks.verified(chunk, expected, reader)?;
        let mut breach = None;
        // Whoever reads the output may take its time, which is not the sender's.
        let _at_work = activity.work();
        self.with(accounts, chunk.entry, |file| {
            match file.expects(chunk) {
                Ok(true) => {}
                Ok(false) => return None,
                Err(what) => {
                    breach = Some(what);
                    return None;
                }
            }
            let data = match data {
                Ok(data) => data,
                Err(why) => return Some(Outcome::Failed(why)),
            };
            if let Err(error) = self.write(&data) {
                return Some(Outcome::Failed(Why::system(&error)));
            }
            file.take(chunk);
            self.verified.store(file.written, Ordering::Relaxed);
            accounts.verified(chunk.length.into(), false);
            file.ended()
        })?;
        breach.map_or(Ok(()), |what| Err(accounts.breach(what)))
    }
}
