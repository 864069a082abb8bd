//! A sender's lane: a thread from files to a socket.
//!
//! Must not queue anything: what it reads it hashes and writes, and small files share a write
//! for as long as there are more of them.

use std::collections::VecDeque;
use std::io::{self, IoSliceMut, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use crate::model::digest::{Algorithm, ChunkHasher, Digest, chunk_digest, chunk_len, hole_digest};
use crate::model::error::{Error, Result};
use crate::model::progress::Counters;
use crate::net::Writer;
use crate::source::{Roots, TreeReader};
use crate::sys::worker::{Worker, checkpoint};
use crate::wire::Encoding;

use super::super::lane_source::JoinedLane;
use super::super::link::SILENCE;
use super::super::options::Compress;
use super::attempt::Attempts;
use super::chunk_writer::{ChunkBytes, ChunkWriter};
use super::file::{ChunkSource, ReadFailure, SendFile};
use super::queue::{Queue, Work};
use super::stream::{StreamEnd, StreamInput, send_stream};

/// What all lanes of a session work with.
#[derive(Clone, Copy)]
pub(super) struct Lanes<'a> {
    pub(super) roots: &'a Roots,
    pub(super) queue: &'a Queue,
    pub(super) attempts: Attempts<'a>,
    /// Where a stream comes from.
    pub(super) input: Option<&'a StreamInput>,
    /// How many bytes of files were sent.
    pub(super) moved: &'a AtomicU64,
    pub(super) counters: &'a Counters,
    pub(super) algorithm: Algorithm,
    pub(super) compress: Compress,
}

/// What one lane has of its own.
struct Lane<'a> {
    /// The way to the files.
    tree: TreeReader,
    /// What was read of a small file.
    small: Vec<u8>,
    chunks: ChunkWriter<'a>,
}

impl Lanes<'_> {
    /// Sends what is in the queue over one lane, until the queue is closed and the receiver has
    /// read to the lane's end.
    pub(super) fn run(&self, lane: &mut JoinedLane) -> Result<()> {
        let channel = &mut lane.channel;
        let peer = channel.peer;
        let sent = self.pump(&mut channel.writer).and_then(|()| {
            channel.writer.finish()?;
            let deadline = Instant::now() + SILENCE;
            channel.reader.set_deadline(Some(deadline));
            channel.reader.drain()
        });
        sent.map_err(|source| Error::Lost { peer, source })
    }

    fn pump(&self, writer: &mut Writer) -> io::Result<()> {
        let mut works = VecDeque::new();
        let mut lane = Lane {
            tree: self.roots.reader(),
            small: Vec::new(),
            chunks: ChunkWriter::new(self.compress, writer, &self.counters.times),
        };
        loop {
            self.queue.try_next(&mut works);
            if works.is_empty() {
                lane.chunks.writer.flush()?;
                lane.chunks.clock.lap(|times| &times.network);
                self.queue.next(&mut works);
                lane.chunks.clock.lap(|times| &times.waiting);
            }
            if works.is_empty() {
                break;
            }
            for work in works.drain(..) {
                checkpoint(Worker::Lane);
                match work {
                    Work::Small(file, held) => {
                        self.send_small(&file, held, &mut lane)?;
                    }
                    Work::Chunk { file, index, held } => {
                        self.send_chunk(&file, index, held, &mut lane)?;
                    }
                    Work::Stream(file) => self.send_stream(&file, &mut lane)?,
                }
            }
        }
        lane.chunks.end()
    }

    /// Sends a file of one chunk, which shares a write with its neighbours.
    fn send_small(
        &self,
        file: &SendFile,
        held: Option<Digest>,
        lane: &mut Lane<'_>,
    ) -> io::Result<()> {
        let Lane {
            tree,
            small,
            chunks,
        } = lane;
        let read = file.read_small(tree, small);
        chunks.clock.lap(|times| &times.disk);
        if let Err(failure) = read {
            self.attempts.failed(file, failure, tree);
            return Ok(());
        }
        let digest = chunk_digest(self.algorithm, file.announced.size, 0, small);
        chunks.clock.lap(|times| &times.processor);
        if held == Some(digest) {
            Counters::add(&self.counters.bytes_kept, file.announced.size);
            return chunks.send(file, 0, Encoding::Held, digest);
        }
        self.count_moved(small.len());
        chunks.send_data(file, 0, digest, ChunkBytes::Here(small))
    }

    /// Sends a chunk of a larger file, straight from where it was read to.
    fn send_chunk(
        &self,
        file: &SendFile,
        index: u64,
        held: Option<Digest>,
        lane: &mut Lane<'_>,
    ) -> io::Result<()> {
        let Lane { tree, chunks, .. } = lane;
        let size = file.announced.size;
        let length = chunk_len(size, index) as usize;
        let mut pieces: Vec<_> = chunks.writer.room(length).map(IoSliceMut::new).collect();
        let read = file.read_chunk(tree, index, &mut pieces);
        chunks.clock.lap(|times| &times.disk);
        let read = match read {
            Ok(read) => read,
            Err(failure) => {
                self.attempts.failed(file, failure, tree);
                return Ok(());
            }
        };
        let is_hole =
            read == ChunkSource::Hole || chunks.writer.room(length).all(|piece| is_zero(piece));
        let digest = if is_hole {
            hole_digest(self.algorithm, size, index)
        } else {
            let mut hasher = ChunkHasher::new(self.algorithm, size, index);
            let pieces = chunks.writer.room(length);
            pieces.for_each(|piece| hasher.update(piece));
            hasher.finish()
        };
        chunks.clock.lap(|times| &times.processor);
        if held == Some(digest) {
            Counters::add(&self.counters.bytes_kept, length as u64);
            chunks.send(file, index, Encoding::Held, digest)?;
        } else if is_hole {
            chunks.send(file, index, Encoding::Hole, digest)?;
        } else {
            self.count_moved(length);
            chunks.send_data(file, index, digest, ChunkBytes::InRoom(length))?;
        }
        let sent = file.sent(tree, index, digest);
        self.queue.moved_on();
        match sent {
            Ok(None) => {}
            Ok(Some(digest)) => self.attempts.done(file, digest),
            Err(failure) => self.attempts.failed(file, failure, tree),
        }
        Ok(())
    }

    /// Sends a stream, to its end.
    fn send_stream(&self, file: &SendFile, lane: &mut Lane<'_>) -> io::Result<()> {
        let Some(input) = self.input else {
            return Ok(());
        };
        let sent = |bytes| {
            self.count_moved(bytes);
            Counters::add(&self.counters.bytes_total, bytes as u64);
        };
        match send_stream(input, file, self.algorithm, &mut lane.chunks, sent)? {
            StreamEnd::Stopped => {}
            StreamEnd::Failed(why) => {
                let failure = ReadFailure::Skip(why);
                self.attempts.failed(file, failure, &mut lane.tree);
            }
            StreamEnd::Whole { size, digest } => {
                self.attempts.entries.stream_ended(file.entry, size);
                self.counters.scanned.store(true, Ordering::Release);
                self.attempts.done(file, digest);
            }
        }
        Ok(())
    }

    fn count_moved(&self, bytes: usize) {
        self.moved.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

/// Whether there is nothing but zeros in it. Nearly always its first bytes tell that there is more.
fn is_zero(data: &[u8]) -> bool {
    let (head, rest) = data.split_at(data.len().min(64));
    head.iter().all(|byte| *byte == 0) && rest.iter().fold(0, |all, byte| all | byte) == 0
}
