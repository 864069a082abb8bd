//! A sender's lane: a thread from files to a socket.
//!
//! Must not queue anything: what it reads it hashes and writes, and small files share a write
//! for as long as there are more of them.

use std::collections::VecDeque;
use std::io::{IoSliceMut, Write};
use std::iter::once;
use std::sync::atomic::Ordering;
use std::time::Instant;

use tracing::debug;

use super::super::link::SILENCE;
use crate::model::digest::{ChunkHasher, Digest, chunk_digest, chunk_len, hole_digest};
use crate::model::error::{Error, Result};
use crate::model::outcome::Why;
use crate::model::progress::{Clock, Times};
use crate::net::{Channel, Writer};
use crate::source::TreeReader;
use crate::sys::worker::{Worker, checkpoint};
use crate::wire::{
    Changed, ChunkHeader, Done, Encoding, Message, Skipped, limits::MAX_ATTEMPTS,
    write_chunk_header, write_message,
};

use super::super::options::Compress;
use super::compress::Packer;
use super::file::{Announced, ChunkSource, ReadFailure, SendFile};
use super::queue::Work;
use super::session::Sending;

impl Sending<'_> {
    /// Sends what is in the queue, until it is closed.
    pub(super) fn lane(&self, mut channel: Channel) {
        let peer = channel.peer;
        let sent = self.pump(&mut channel.writer).and_then(|()| {
            channel.writer.finish()?;
            let deadline = Instant::now() + SILENCE;
            channel.reader.set_deadline(Some(deadline));
            channel.reader.drain()
        });
        match sent {
            Ok(()) => {
                debug!(session = self.session, "lane ended");
                self.lane_ended();
            }
            Err(source) => self.link.fail(Error::Lost { peer, source }),
        }
    }

    fn pump(&self, writer: &mut Writer) -> std::io::Result<()> {
        let mut works = VecDeque::new();
        let mut hands = Hands::new(
            self.compress,
            writer,
            &self.counters.times,
            self.roots.reader(),
        );
        loop {
            self.queue.try_next(&mut works);
            if works.is_empty() {
                hands.writer.flush()?;
                hands.clock.lap(|times| &times.network);
                self.queue.next(&mut works);
                hands.clock.lap(|times| &times.waiting);
            }
            if works.is_empty() {
                break;
            }
            for work in works.drain(..) {
                checkpoint(Worker::Lane);
                match work {
                    Work::Small(file, held) => self.send_small(&file, held, &mut hands)?,
                    Work::Chunk { file, index, held } => {
                        self.send_chunk(&file, index, held, &mut hands)?;
                    }
                    Work::Stream(file) => self.send_stream(&file, &mut hands)?,
                }
            }
        }
        hands.head.clear();
        write_message(&Message::LaneEnd(()), &mut hands.head).map_err(std::io::Error::other)?;
        hands.writer.write_all(&hands.head)
    }

    /// Sends a file of one chunk, which shares a write with its neighbours.
    fn send_small(
        &self,
        file: &SendFile,
        held: Option<Digest>,
        hands: &mut Hands<'_>,
    ) -> std::io::Result<()> {
        let mut buffer = std::mem::take(&mut hands.small);
        let read = file.read_small(&mut hands.tree, &mut buffer);
        hands.clock.lap(|times| &times.disk);
        let sent = match read {
            Ok(()) => {
                let digest = chunk_digest(self.algorithm, file.announced.size, 0, &buffer);
                hands.clock.lap(|times| &times.processor);
                match held == Some(digest) {
                    true => hands.send(file, 0, Encoding::Held, digest),
                    false => {
                        self.count_moved(buffer.len());
                        hands.send_data(file, 0, digest, Data::Here(&mut buffer))
                    }
                }
            }
            Err(trouble) => {
                self.trouble(file, trouble, &mut hands.tree);
                Ok(())
            }
        };
        hands.small = buffer;
        sent
    }

    /// Sends a chunk of a larger file, straight from where it was read to.
    fn send_chunk(
        &self,
        file: &SendFile,
        index: u64,
        held: Option<Digest>,
        hands: &mut Hands<'_>,
    ) -> std::io::Result<()> {
        let size = file.announced.size;
        let length = chunk_len(size, index) as usize;
        let mut pieces: Vec<_> = hands.writer.room(length).map(IoSliceMut::new).collect();
        let read = file.read_chunk(&mut hands.tree, index, &mut pieces);
        hands.clock.lap(|times| &times.disk);
        let read = match read {
            Ok(read) => read,
            Err(trouble) => {
                self.trouble(file, trouble, &mut hands.tree);
                return Ok(());
            }
        };
        let is_hole =
            read == ChunkSource::Hole || hands.writer.room(length).all(|piece| is_zero(piece));
        let digest = if is_hole {
            hole_digest(self.algorithm, size, index)
        } else {
            let mut hasher = ChunkHasher::new(self.algorithm, size, index);
            let pieces = hands.writer.room(length);
            pieces.for_each(|piece| hasher.update(piece));
            hasher.finish()
        };
        hands.clock.lap(|times| &times.processor);
        if held == Some(digest) {
            hands.send(file, index, Encoding::Held, digest)?;
        } else if is_hole {
            hands.send(file, index, Encoding::Hole, digest)?;
        } else {
            self.count_moved(length);
            hands.send_data(file, index, digest, Data::InRoom(length))?;
        }
        let sent = file.sent(&mut hands.tree, index, digest);
        self.queue.moved_on();
        match sent {
            Ok(None) => {}
            Ok(Some(digest)) => self.done(file, digest),
            Err(trouble) => self.trouble(file, trouble, &mut hands.tree),
        }
        Ok(())
    }

    pub(super) fn count_moved(&self, bytes: usize) {
        self.moved.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(super) fn done(&self, file: &SendFile, digest: Digest) {
        if file.end() {
            self.link.outbox.push(Message::Done(Done {
                entry: file.entry,
                attempt: file.attempt,
                digest,
            }));
        }
    }

    /// An attempt came to nothing: starts another, or gives the file up.
    pub(super) fn trouble(&self, file: &SendFile, trouble: ReadFailure, tree: &mut TreeReader) {
        if !file.end() {
            return;
        }
        let entry = file.entry;
        debug!(
            session = self.session,
            entry,
            attempt = file.attempt,
            ?trouble,
            "attempt failed"
        );
        let next = match trouble {
            ReadFailure::Skip(why) => Err(why),
            ReadFailure::Changed if file.attempt + 1 >= MAX_ATTEMPTS => Err(Why::Changed),
            ReadFailure::Changed => file.look_again(tree),
        };
        let message = match next {
            Err(why) => Message::Skipped(Skipped { entry, why }),
            Ok(now) => {
                let attempt = file.attempt + 1;
                let announced = Announced {
                    size: now.size.get(),
                    mtime: now.mtime,
                };
                if let Some(item) = self.items().get_mut(&entry) {
                    item.start_anew(attempt, announced);
                }
                Message::Changed(Changed {
                    entry,
                    attempt,
                    size: now.size,
                    mtime: now.mtime,
                    mode: now.mode,
                })
            }
        };
        self.link.outbox.push(message);
    }
}

/// Whether there is nothing but zeros in it. Nearly always its first bytes tell that there is more.
fn is_zero(data: &[u8]) -> bool {
    let (head, rest) = data.split_at(data.len().min(64));
    head.iter().all(|byte| *byte == 0) && rest.iter().fold(0, |all, byte| all | byte) == 0
}

/// What a lane works with, kept from chunk to chunk.
pub(super) struct Hands<'a> {
    pub(super) writer: &'a mut Writer,
    pub(super) clock: Clock<'a>,
    packer: Packer,
    head: Vec<u8>,
    small: Vec<u8>,
    /// The way to the files.
    pub(super) tree: TreeReader,
}

impl<'a> Hands<'a> {
    fn new(compress: Compress, writer: &'a mut Writer, times: &'a Times, tree: TreeReader) -> Self {
        Self {
            writer,
            clock: Clock::new(times),
            packer: Packer::new(compress),
            head: Vec::new(),
            small: Vec::new(),
            tree,
        }
    }

    /// Sends a chunk of which no bytes travel.
    fn send(
        &mut self,
        file: &SendFile,
        index: u64,
        encoding: Encoding,
        digest: Digest,
    ) -> std::io::Result<()> {
        let length = chunk_len(file.announced.size, index) as usize;
        let head = &mut self.head;
        write_head(head, file, (index, length, digest), (encoding, 0))?;
        self.writer.write_all(head)?;
        if file.is_small() {
            return Ok(());
        }
        // Thousands of bare headers fit into the writer's buffer, and the receiver could be at
        // work on them.
        self.writer.flush()
    }

    /// Sends a chunk with its bytes, packed where that is worth it.
    pub(super) fn send_data(
        &mut self,
        file: &SendFile,
        index: u64,
        digest: Digest,
        mut data: Data<'_>,
    ) -> std::io::Result<()> {
        let (head, writer) = (&mut self.head, &mut *self.writer);
        let (length, packed) = match &mut data {
            Data::Here(data) => (data.len(), self.packer.pack(data.len(), once(&mut **data))),
            Data::InRoom(length) => (*length, self.packer.pack(*length, writer.room(*length))),
        };
        let packing = self.clock.lap(|times| &times.processor);
        let chunk = (index, length, digest);
        match (packed, data) {
            (Some(packed), _) => {
                write_head(head, file, chunk, (Encoding::Zstd, packed.len()))?;
                writer.write_all(head)?;
                writer.write_all(packed)?;
            }
            (None, data) => {
                write_head(head, file, chunk, (Encoding::Raw, length))?;
                writer.write_all(head)?;
                match data {
                    Data::Here(data) => writer.write_all(data)?,
                    Data::InRoom(length) => writer.send_room(length)?,
                }
            }
        }
        let sending = self.clock.lap(|times| &times.network);
        self.packer.sent(length, packing + sending);
        Ok(())
    }
}

/// Where the bytes of a chunk are that is to be sent.
pub(super) enum Data<'a> {
    Here(&'a mut [u8]),
    /// In the writer's room: so many.
    InRoom(usize),
}

/// Makes what precedes the bytes of a chunk: its index, length and digest, and how it travels, in
/// how many bytes.
fn write_head(
    head: &mut Vec<u8>,
    file: &SendFile,
    (index, length, digest): (u64, usize, Digest),
    (encoding, data): (Encoding, usize),
) -> std::io::Result<()> {
    let header = ChunkHeader {
        entry: file.entry,
        attempt: file.attempt,
        index,
        length: u32::try_from(length).map_err(std::io::Error::other)?,
        encoding,
        whole: file.is_small() && !file.is_stream(),
        data: u32::try_from(data).map_err(std::io::Error::other)?,
        digest,
    };
    head.clear();
    write_chunk_header(&header, head).map_err(std::io::Error::other)
}

/// Connects a lane and joins the session with it.
pub(super) fn connect(
    tls: &crate::net::Tls,
    addr: std::net::SocketAddr,
    expected: crate::net::Fingerprint,
    secret: crate::wire::LaneSecret,
) -> Result<Channel> {
    let mut channel = super::dial::dial(tls, addr)?;
    if channel.fingerprint != expected {
        return Err(Error::protocol(addr, "a lane leads to another device"));
    }
    crate::net::join(&mut channel, secret)?;
    Ok(channel)
}
