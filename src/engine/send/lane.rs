//! A sender's lane: a thread from files to a socket.
//!
//! Must not queue anything: what it reads it hashes and writes, and small files share a write
//! for as long as there are more of them.

use std::io::Write;
use std::sync::atomic::Ordering;
use std::time::Instant;

use crate::digest::{Digest, chunk_digest, chunk_len, hole_digest};
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
        let mut buffer = Vec::new();
        let mut head = Vec::new();
        loop {
            let work = match self.queue.try_next() {
                Some(work) => work,
                None => {
                    writer.flush()?;
                    match self.queue.next() {
                        Some(work) => work,
                        None => break,
                    }
                }
            };
            match work {
                Work::Small(file, held) => match file.read_small(&mut buffer) {
                    Ok(()) => {
                        let digest = self.digest(&file, 0, &buffer);
                        let encoding = encoding(&Read::Data, held, digest);
                        send_chunk(writer, &mut head, &file, 0, encoding, digest, &buffer)?;
                        self.count_moved(encoding, &buffer);
                    }
                    Err(trouble) => self.trouble(&file, trouble),
                },
                Work::Chunk { file, index, held } => match file.read_chunk(index, &mut buffer) {
                    Ok(read) => {
                        let digest = match read {
                            Read::Data => self.digest(&file, index, &buffer),
                            Read::Hole => {
                                let size = file.announced.size;
                                hole_digest(self.algorithm, size, index, &buffer)
                            }
                        };
                        let encoding = encoding(&read, held, digest);
                        send_chunk(writer, &mut head, &file, index, encoding, digest, &buffer)?;
                        self.count_moved(encoding, &buffer);
                        if encoding != Encoding::Raw {
                            // Thousands of bare headers fit into the writer's buffer, and the
                            // receiver could be at work on them.
                            writer.flush()?;
                        }
                        let sent = file.sent(index, digest);
                        self.queue.moved_on();
                        match sent {
                            Ok(None) => {}
                            Ok(Some(digest)) => self.done(&file, digest),
                            Err(trouble) => self.trouble(&file, trouble),
                        }
                    }
                    Err(trouble) => self.trouble(&file, trouble),
                },
            }
        }
        head.clear();
        write_message(&Message::LaneEnd(()), &mut head).map_err(std::io::Error::other)?;
        writer.write_all(&head)
    }

    fn digest(&self, file: &SendFile, index: u64, data: &[u8]) -> Digest {
        chunk_digest(self.algorithm, file.announced.size, index, data)
    }

    fn count_moved(&self, encoding: Encoding, data: &[u8]) {
        if encoding == Encoding::Raw {
            self.moved.fetch_add(data.len() as u64, Ordering::Relaxed);
        }
    }

    fn done(&self, file: &SendFile, digest: Digest) {
        if file.end() {
            self.link.outbox.push(Message::Done(Done {
                entry: file.entry,
                attempt: file.attempt,
                digest,
            }));
        }
    }

    /// An attempt came to nothing: starts another, or gives the file up.
    fn trouble(&self, file: &SendFile, trouble: Trouble) {
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

fn send_chunk(
    writer: &mut Writer,
    head: &mut Vec<u8>,
    file: &SendFile,
    index: u64,
    encoding: Encoding,
    digest: Digest,
    data: &[u8],
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
    writer.write_all(head)?;
    if encoding == Encoding::Raw {
        writer.write_all(data)?;
    }
    Ok(())
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
