//! A stream that is being sent: its input, and the lane that carries it.
//!
//! Must not read more of the input than it sends: what was read and not stored is lost.

use std::fs::File;
use std::io::{self, IoSliceMut, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::SyncSender;
use std::time::SystemTime;

use crate::model::digest::{CHUNK_SIZE, ChunkHasher, FileDigest};
use crate::model::entry::{Kind, Mode, Time};
use crate::model::error::{Action, Error, Result};
use crate::model::outcome::Why;
use crate::model::progress::Counters;
use crate::model::relpath::RelPath;
use crate::source::WalkStep;

use super::super::options::Stream;
use super::file::{ReadFailure, SendFile};
use super::lane::{Data, Hands};
use super::session::Sending;
use crate::sys::wake::{Awaited, WakeUp};

/// What a session reads a stream from.
#[derive(Debug)]
pub(super) struct Input {
    from: Arc<File>,
    /// Whether something has been read, which nobody can read again.
    used: AtomicBool,
    /// Raised once nothing more is to be read.
    stopped: WakeUp,
}

impl Input {
    pub(super) fn new(stream: &Stream) -> Result<Self> {
        Ok(Self {
            from: stream.from.clone(),
            used: AtomicBool::new(false),
            stopped: WakeUp::new().map_err(|e| Error::file(Action::Pipe, "standard input", e))?,
        })
    }

    /// Nothing more is to be read.
    pub(super) fn stop(&self) {
        self.stopped.raise();
    }

    pub(super) fn was_used(&self) -> bool {
        self.used.load(Ordering::Acquire)
    }

    /// Fills `pieces`, but for what is behind the end, and says with how many bytes. None once it
    /// is stopped.
    fn fill(&self, mut pieces: &mut [IoSliceMut<'_>]) -> io::Result<Option<usize>> {
        let mut filled = 0;
        while !pieces.is_empty() {
            if self.stopped.wait(Awaited::Input(&self.from), None)? {
                return Ok(None);
            }
            self.used.store(true, Ordering::Release);
            match (&*self.from).read_vectored(pieces) {
                Ok(0) => break,
                Ok(n) => {
                    filled += n;
                    IoSliceMut::advance_slices(&mut pieces, n);
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                Err(e) => return Err(e),
            }
        }
        Ok(Some(filled))
    }
}

/// Hands over the one entry that a stream is.
pub(super) fn announce(name: &RelPath, counters: &Counters, steps: &SyncSender<Vec<WalkStep>>) {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let seconds = now.map_or(0, |now| now.as_secs());
    Counters::add(&counters.entries_total, 1);
    // Nobody listens any more where the session is over.
    let _ = steps.send(vec![WalkStep::Found {
        path: name.clone(),
        kind: Kind::Stream,
        mtime: Time::from_seconds(i64::try_from(seconds).unwrap_or(0)),
        mode: Mode::from_stat(0o644),
    }]);
}

impl Sending<'_> {
    /// Sends a stream to its end, chunk by chunk, on one lane: that keeps them in order.
    pub(super) fn send_stream(&self, file: &SendFile, hands: &mut Hands<'_>) -> io::Result<()> {
        let Some(input) = &self.input else {
            return Ok(());
        };
        let mut all = FileDigest::of_stream(self.algorithm);
        let mut size = 0;
        for index in 0.. {
            let room = hands.writer.room(CHUNK_SIZE as usize);
            let mut pieces: Vec<_> = room.map(IoSliceMut::new).collect();
            let filled = input.fill(&mut pieces);
            hands.clock.lap(|times| &times.waiting);
            let length = match filled {
                Ok(Some(length)) => length,
                Ok(None) => return Ok(()),
                Err(error) => {
                    let why = Why::unreadable(&error);
                    self.trouble(file, ReadFailure::Skip(why), &mut hands.tree);
                    return Ok(());
                }
            };
            // At most a chunk's.
            let bytes = u32::try_from(length).unwrap_or(CHUNK_SIZE);
            let mut hasher = ChunkHasher::of_stream(self.algorithm, bytes);
            hands
                .writer
                .room(length)
                .for_each(|piece| hasher.update(piece));
            let digest = hasher.finish();
            hands.send_data(file, index, digest, Data::InRoom(length))?;
            // What was packed may wait for more, and more may be long in coming.
            hands.writer.flush()?;
            self.count_moved(length);
            size += length as u64;
            Counters::add(&self.counters.bytes_total, length as u64);
            // In order, none is ever too far ahead.
            let _ = all.push(index, digest);
            if bytes < CHUNK_SIZE {
                break;
            }
        }
        if let Some(item) = self.items().get_mut(&file.entry) {
            item.end_stream(size);
        }
        self.counters.scanned.store(true, Ordering::Release);
        all.end_stream(size);
        if let Some(digest) = all.finish() {
            self.done(file, digest);
        }
        Ok(())
    }
}
