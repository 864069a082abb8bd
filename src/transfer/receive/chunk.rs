//! A chunk from a lane: read from the connection, decompressed, and verified.
//!
//! Must not believe a peer: a chunk is passed on only if it matches its digest and the length in
//! its header.

use std::io::IoSlice;
use std::sync::Arc;
use std::time::Duration;

use zstd::bulk::Decompressor;

use super::super::link::Link;
use crate::model::digest::{Algorithm, ChunkHasher, ZEROS, hole_digest};
use crate::model::error::Result;
use crate::model::outcome::Why;
use crate::model::progress::{Clock, Times};
use crate::net::{Reader, wire_error};
use crate::wire::{ChunkHeader, Encoding};

use super::file_state::ExpectedChunk;

/// How long a sender may leave a lane in the middle of a frame without a byte. Long: it may have
/// sent a part of one, and its disk says nothing for minutes since. It is for lanes that have ended
/// without a word, and a sender does not say on its control connection which of both it is.
pub(super) const UNFINISHED: Duration = Duration::from_secs(600);

/// What a lane takes chunks with, kept from one to the next.
pub(super) struct ChunkTaker<'a> {
    link: &'a Arc<Link>,
    algorithm: Algorithm,
    pub(super) clock: Clock<'a>,
    unpacker: Unpacker,
}

impl<'a> ChunkTaker<'a> {
    pub(super) fn new(link: &'a Arc<Link>, algorithm: Algorithm, times: &'a Times) -> Self {
        Self {
            link,
            algorithm,
            clock: Clock::new(times),
            unpacker: Unpacker::default(),
        }
    }

    /// Takes the bytes of a chunk from where they are received to.
    fn take<'r>(
        &mut self,
        chunk: &ChunkHeader,
        reader: &'r mut Reader,
        mut see: impl FnMut(&[u8], &mut Clock<'a>),
    ) -> Result<Vec<IoSlice<'r>>> {
        let clock = &mut self.clock;
        let pieces = reader.gather(chunk.data as usize, |piece| {
            clock.lap(|times| &times.network);
            see(piece, clock);
        });
        let pieces = pieces.map_err(|e| wire_error(self.link.peer, e.into(), UNFINISHED))?;
        Ok(pieces.map(IoSlice::new).collect())
    }

    /// Takes the bytes of a chunk that nobody needs.
    pub(super) fn skip(&mut self, chunk: &ChunkHeader, reader: &mut Reader) -> Result<()> {
        self.take(chunk, reader, |_, _| ()).map(drop)
    }

    /// What a chunk holds, once it is known to be what its digest says.
    pub(super) fn verified<'r>(
        &'r mut self,
        chunk: &ChunkHeader,
        expected: ExpectedChunk,
        reader: &'r mut Reader,
    ) -> Result<Result<Vec<IoSlice<'r>>, Why>> {
        let length = chunk.length as usize;
        let ExpectedChunk { size, index } = expected;
        let mut hasher = ChunkHasher::new(self.algorithm, size, index);
        let (data, digest) = match chunk.encoding {
            Encoding::Raw => {
                let data = self.take(chunk, reader, |piece, clock| {
                    hasher.update(piece);
                    clock.lap(|times| &times.processor);
                })?;
                (data, hasher.finish())
            }
            Encoding::Zstd => {
                let packed = self.take(chunk, reader, |_, _| ())?;
                let packed = packed.iter().map(|piece| &piece[..]);
                match self.unpacker.unpack(packed, length) {
                    Ok(data) => {
                        hasher.update(data);
                        (vec![IoSlice::new(data)], hasher.finish())
                    }
                    Err(why) => return Ok(Err(why)),
                }
            }
            Encoding::Hole => {
                let data = vec![IoSlice::new(&ZEROS[..length])];
                (data, hole_digest(self.algorithm, size, index))
            }
            // Its bytes are here, and have been hashed.
            Encoding::Held => (Vec::new(), chunk.digest),
        };
        self.clock.lap(|times| &times.processor);
        Ok(match digest == chunk.digest {
            true => Ok(data),
            false => Err(Why::Damaged),
        })
    }
}

/// What a lane unpacks with.
#[derive(Default)]
struct Unpacker {
    zstd: Option<Decompressor<'static>>,
    packed: Vec<u8>,
    plain: Vec<u8>,
}

impl Unpacker {
    /// Unpacks `pieces` to `len` bytes.
    fn unpack<'a>(
        &mut self,
        pieces: impl Iterator<Item = &'a [u8]>,
        len: usize,
    ) -> Result<&[u8], Why> {
        let zstd = match &mut self.zstd {
            Some(zstd) => zstd,
            empty => {
                let made = Decompressor::new();
                empty.insert(made.map_err(|e| Why::system(&e))?)
            }
        };
        self.packed.clear();
        pieces.for_each(|piece| self.packed.extend_from_slice(piece));
        self.plain.resize(len, 0);
        // It never writes behind the end of what it is given.
        match zstd.decompress_to_buffer(&self.packed, &mut self.plain[..]) {
            Ok(size) if size == len => Ok(&self.plain),
            _ => Err(Why::Damaged),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_as_long_as_it_should_be_is_refused() {
        let zeros = vec![0; 100_000];
        let packed = zstd::bulk::compress(&zeros, 1).unwrap();
        let mut unpacker = Unpacker::default();
        let mut unpack = |len| {
            let (head, tail) = packed.split_at(7);
            unpacker
                .unpack([head, tail].into_iter(), len)
                .map(<[u8]>::to_vec)
        };
        assert_eq!(unpack(zeros.len()).unwrap(), zeros);
        for len in [0, 1, zeros.len() - 1, zeros.len() + 1] {
            assert_eq!(unpack(len), Err(Why::Damaged));
        }
        let cut = &packed[..packed.len() - 1];
        assert_eq!(
            unpacker.unpack([cut].into_iter(), zeros.len()),
            Err(Why::Damaged)
        );
    }
}
