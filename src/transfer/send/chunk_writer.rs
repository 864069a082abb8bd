//! Writes chunks to a lane: their headers, and their bytes, compressed or not.
//!
//! Must not read files, nor decide what is sent.

use std::io::{self, Write};
use std::iter::once;

use crate::model::digest::{Digest, chunk_len};
use crate::model::progress::{Clock, Times};
use crate::net::Writer;
use crate::wire::{ChunkHeader, Encoding, Message, write_chunk_header, write_message};

use super::super::options::Compress;
use super::compress::Packer;
use super::file::SendFile;

/// What a lane writes with, kept from chunk to chunk.
pub(super) struct ChunkWriter<'a> {
    pub(super) writer: &'a mut Writer,
    pub(super) clock: Clock<'a>,
    packer: Packer,
    head: Vec<u8>,
}

/// Where the bytes of a chunk are that is to be sent.
pub(super) enum ChunkBytes<'a> {
    Here(&'a mut [u8]),
    /// In the writer's room: so many.
    InRoom(usize),
}

impl<'a> ChunkWriter<'a> {
    pub(super) fn new(compress: Compress, writer: &'a mut Writer, times: &'a Times) -> Self {
        Self {
            writer,
            clock: Clock::new(times),
            packer: Packer::new(compress),
            head: Vec::new(),
        }
    }

    /// Sends a chunk of which no bytes travel.
    pub(super) fn send(
        &mut self,
        file: &SendFile,
        index: u64,
        encoding: Encoding,
        digest: Digest,
    ) -> io::Result<()> {
        let length = chunk_len(file.announced.size, index) as usize;
        let head = &mut self.head;
        write_head(head, file, (index, length, digest), (encoding, 0))?;
        write_together(self.writer, [head, &[]])?;
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
        mut data: ChunkBytes<'_>,
    ) -> io::Result<()> {
        let (head, writer) = (&mut self.head, &mut *self.writer);
        let (length, packed) = match &mut data {
            ChunkBytes::Here(data) => (data.len(), self.packer.pack(data.len(), once(&mut **data))),
            ChunkBytes::InRoom(length) => {
                (*length, self.packer.pack(*length, writer.room(*length)))
            }
        };
        let packing = self.clock.lap(|times| &times.processor);
        let chunk = (index, length, digest);
        match (packed, data) {
            (Some(packed), _) => {
                write_head(head, file, chunk, (Encoding::Zstd, packed.len()))?;
                write_together(writer, [head, packed])?;
            }
            (None, data) => {
                write_head(head, file, chunk, (Encoding::Raw, length))?;
                match data {
                    ChunkBytes::Here(data) => write_together(writer, [head, data])?,
                    ChunkBytes::InRoom(length) => {
                        writer.write_all(head)?;
                        writer.send_room(length)?;
                    }
                }
            }
        }
        let sending = self.clock.lap(|times| &times.network);
        self.packer.sent(length, packing + sending);
        Ok(())
    }

    /// Says that nothing more comes.
    pub(super) fn end(&mut self) -> io::Result<()> {
        self.head.clear();
        write_message(&Message::LaneEnd(()), &mut self.head).map_err(io::Error::other)?;
        self.writer.write_all(&self.head)
    }
}

/// Writes a frame, and leaves no part of it behind that another part has gone out before: the next
/// file's disk may be long in coming, and the receiver waits only so long in the middle of a frame.
fn write_together(writer: &mut Writer, parts: [&[u8]; 2]) -> io::Result<()> {
    let len = parts.iter().map(|part| part.len()).sum();
    if writer.keeps_together(len) {
        return parts.iter().try_for_each(|part| writer.write_all(part));
    }
    writer.flush()?;
    let is_too_long = !writer.keeps_together(len);
    parts.iter().try_for_each(|part| writer.write_all(part))?;
    match is_too_long {
        true => writer.flush(),
        false => Ok(()),
    }
}

/// Makes what precedes the bytes of a chunk: its index, length and digest, and how it travels, in
/// how many bytes.
fn write_head(
    head: &mut Vec<u8>,
    file: &SendFile,
    (index, length, digest): (u64, usize, Digest),
    (encoding, data): (Encoding, usize),
) -> io::Result<()> {
    let header = ChunkHeader {
        entry: file.entry,
        attempt: file.attempt,
        index,
        length: u32::try_from(length).map_err(io::Error::other)?,
        encoding,
        whole: file.is_small() && !file.is_stream(),
        data: u32::try_from(data).map_err(io::Error::other)?,
        digest,
    };
    head.clear();
    write_chunk_header(&header, head).map_err(io::Error::other)
}
