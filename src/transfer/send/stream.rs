//! A stream being sent: its input, and the lane that carries it.
//!
//! Must not read more of the input than it sends: what was read and not stored is lost.

use std::fs::File;
use std::io::{self, IoSliceMut, Read as _, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::model::digest::{Algorithm, CHUNK_SIZE, ChunkHasher, Digest, FileDigest};
use crate::model::error::{Action, Error, Result};
use crate::model::outcome::Why;
use crate::sys::wake::{Awaited, WakeUp};

use super::super::options::Stream;
use super::chunk_writer::{ChunkBytes, ChunkWriter};
use super::file::SendFile;

/// What a session reads a stream from.
#[derive(Debug)]
pub(super) struct StreamInput {
    from: Arc<File>,
    /// Whether something has been read, which nobody can read again.
    used: AtomicBool,
    /// Raised once nothing more is to be read.
    stopped: WakeUp,
}

impl StreamInput {
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

/// How the sending of a stream ended.
pub(super) enum StreamEnd {
    /// With all of it sent.
    Whole {
        /// How many bytes it had.
        size: u64,
        /// Their digest.
        digest: Digest,
    },
    /// It could not be read on.
    Failed(Why),
    /// Nobody wants the rest.
    Stopped,
}

/// Sends a stream to its end, chunk by chunk, on one lane: that keeps them in order. Each chunk's
/// length is told to `sent`.
pub(super) fn send_stream(
    input: &StreamInput,
    file: &SendFile,
    algorithm: Algorithm,
    chunks: &mut ChunkWriter<'_>,
    sent: impl Fn(usize),
) -> io::Result<StreamEnd> {
    let mut all = FileDigest::of_stream(algorithm);
    let mut size = 0;
    for index in 0.. {
        let room = chunks.writer.room(CHUNK_SIZE as usize);
        let mut pieces: Vec<_> = room.map(IoSliceMut::new).collect();
        let filled = input.fill(&mut pieces);
        chunks.clock.lap(|times| &times.waiting);
        let length = match filled {
            Ok(Some(length)) => length,
            Ok(None) => return Ok(StreamEnd::Stopped),
            Err(error) => {
                let why = Why::unreadable(&error);
                return Ok(StreamEnd::Failed(why));
            }
        };
        // At most a chunk's.
        let bytes = u32::try_from(length).unwrap_or(CHUNK_SIZE);
        let mut hasher = ChunkHasher::of_stream(algorithm, bytes);
        let pieces = chunks.writer.room(length);
        pieces.for_each(|piece| hasher.update(piece));
        let digest = hasher.finish();
        chunks.send_data(file, index, digest, ChunkBytes::InRoom(length))?;
        // What was packed may wait for more, and more may be long in coming.
        chunks.writer.flush()?;
        sent(length);
        size += length as u64;
        // In order, none is ever too far ahead.
        let _ = all.push(index, digest);
        if bytes < CHUNK_SIZE {
            break;
        }
    }
    all.end_stream(size);
    Ok(match all.finish() {
        Some(digest) => StreamEnd::Whole { size, digest },
        None => StreamEnd::Stopped,
    })
}
