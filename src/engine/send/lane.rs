//! A sender's lane: a thread from files to a socket.
//!
//! Must not queue anything: what it reads it hashes and writes, and small files share a write
//! for as long as there are more of them.

use std::collections::VecDeque;
use std::io::{IoSliceMut, Write};
use std::sync::atomic::Ordering;
use std::time::Instant;

use crate::digest::{ChunkHasher, Digest, chunk_digest, chunk_len, hole_digest};
use crate::error::{Error, Result};
use crate::outcome::Why;
use crate::secure::{Channel, Writer};
use crate::session::SILENCE;
use crate::wire::{
    Changed, ChunkHeader, Done, Encoding, Message, Skipped, limits::MAX_ATTEMPTS,
    write_chunk_header, write_message,
};

use super::Sending;
use super::file::{Announced, Read, SendFile, Trouble};
use super::queue::Work;

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
            Ok(()) => self.lane_ended(),
            Err(source) => self.link.fail(Error::Lost { peer, source }),
        }
    }

    fn pump(&self, writer: &mut Writer) -> std::io::Result<()> {
        let mut works = VecDeque::new();
        let mut small = Vec::new();
        let mut head = Vec::new();
        loop {
            self.queue.try_next(&mut works);
            if works.is_empty() {
                writer.flush()?;
                self.queue.next(&mut works);
            }
            if works.is_empty() {
                break;
            }
            for work in works.drain(..) {
                match work {
                    Work::Small(file, held) => {
                        self.send_small(&file, held, &mut small, writer, &mut head)?;
                    }
                    Work::Chunk { file, index, held } => {
                        self.send_chunk(&file, index, held, writer, &mut head)?;
                    }
                    Work::Stream(file) => self.send_stream(&file, writer, &mut head)?,
                }
            }
        }
        head.clear();
        write_message(&Message::LaneEnd(()), &mut head).map_err(std::io::Error::other)?;
        writer.write_all(&head)
    }

    /// Sends a file of one chunk, which shares a write with its neighbours.
    fn send_small(
        &self,
        file: &SendFile,
        held: Option<Digest>,
        buffer: &mut Vec<u8>,
        writer: &mut Writer,
        head: &mut Vec<u8>,
    ) -> std::io::Result<()> {
        if let Err(trouble) = file.read_small(buffer) {
            self.trouble(file, trouble);
            return Ok(());
        }
        let digest = chunk_digest(self.algorithm, file.announced.size, 0, buffer);
        let encoding = encoding(&Read::Data, held, digest);
        write_header(writer, head, file, 0, encoding, digest)?;
        if encoding == Encoding::Raw {
            writer.write_all(buffer)?;
            self.count_moved(buffer.len());
        }
        Ok(())
    }

    /// Sends a chunk of a larger file, straight from where it was read to.
    fn send_chunk(
        &self,
        file: &SendFile,
        index: u64,
        held: Option<Digest>,
        writer: &mut Writer,
        head: &mut Vec<u8>,
    ) -> std::io::Result<()> {
        let size = file.announced.size;
        let length = chunk_len(size, index) as usize;
        let mut pieces: Vec<_> = writer.room(length).map(IoSliceMut::new).collect();
        let read = match file.read_chunk(index, &mut pieces) {
            Ok(read) => read,
            Err(trouble) => {
                self.trouble(file, trouble);
                return Ok(());
            }
        };
        let digest = match read {
            Read::Data => {
                let mut hasher = ChunkHasher::new(self.algorithm, size, index);
                writer.room(length).for_each(|piece| hasher.update(piece));
                hasher.finish()
            }
            Read::Hole => hole_digest(self.algorithm, size, index),
        };
        let encoding = encoding(&read, held, digest);
        write_header(writer, head, file, index, encoding, digest)?;
        if encoding == Encoding::Raw {
            writer.send_room(length)?;
            self.count_moved(length);
        } else {
            // Thousands of bare headers fit into the writer's buffer, and the receiver could be
            // at work on them.
            writer.flush()?;
        }
        let sent = file.sent(index, digest);
        self.queue.moved_on();
        match sent {
            Ok(None) => {}
            Ok(Some(digest)) => self.done(file, digest),
            Err(trouble) => self.trouble(file, trouble),
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
    pub(super) fn trouble(&self, file: &SendFile, trouble: Trouble) {
        if !file.end() {
            return;
        }
        let entry = file.entry;
        let next = match trouble {
            Trouble::Skip(why) => Err(why),
            Trouble::Changed if file.attempt + 1 >= MAX_ATTEMPTS => Err(Why::Changed),
            Trouble::Changed => file.look_again(),
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

/// How a chunk travels: not at all, where the receiver holds the same.
fn encoding(read: &Read, held: Option<Digest>, digest: Digest) -> Encoding {
    if held == Some(digest) {
        Encoding::Held
    } else if *read == Read::Hole {
        Encoding::Hole
    } else {
        Encoding::Raw
    }
}

/// Writes what precedes a chunk's bytes.
fn write_header(
    writer: &mut Writer,
    head: &mut Vec<u8>,
    file: &SendFile,
    index: u64,
    encoding: Encoding,
    digest: Digest,
) -> std::io::Result<()> {
    let header = ChunkHeader {
        entry: file.entry,
        attempt: file.attempt,
        index,
        length: chunk_len(file.announced.size, index),
        encoding,
        whole: file.is_small(),
        digest,
    };
    head.clear();
    write_chunk_header(&header, head).map_err(std::io::Error::other)?;
    writer.write_all(head)
}

/// Connects a lane and joins the session with it.
pub(super) fn connect(
    tls: &crate::secure::Tls,
    addr: std::net::SocketAddr,
    expected: crate::secure::Fingerprint,
    secret: crate::wire::LaneSecret,
) -> Result<Channel> {
    let mut channel = super::dial::dial(tls, addr)?;
    if channel.fingerprint != expected {
        return Err(Error::protocol(addr, "a lane leads to another device"));
    }
    crate::session::join(&mut channel, secret)?;
    Ok(channel)
}
