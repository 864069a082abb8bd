//! A receiver's lane: a thread from a socket to files.
//!
//! Must not believe a chunk: its digest is checked before anything is written.

use std::io::IoSlice;
use std::sync::Arc;
use std::time::Instant;

use super::super::link::SILENCE;
use crate::model::digest::{ChunkHasher, ZEROS, hole_digest};
use crate::model::error::Result;
use crate::model::outcome::{Outcome, Why};
use crate::model::progress::Clock;
use crate::net::{Channel, Reader};
use crate::sys::worker::{Worker, checkpoint};
use crate::wire::{ChunkHeader, Encoding, Frame, Message, read_frame_head};

use super::decompress::Unpacker;
use super::file::{Claim, Expected, HeldChunkIs, Slot};
use super::session::{Receiving, Target};

/// What a lane works with, kept from chunk to chunk.
pub(super) struct Hands<'a> {
    unpacker: Unpacker,
    clock: Clock<'a>,
}

impl Receiving {
    /// Receives chunks from a lane, to its end.
    pub(crate) fn lane(self: &Arc<Self>, mut channel: Channel) {
        let _at_work = self.at_work();
        let mut buffer = Vec::new();
        let mut hands = Hands {
            unpacker: Unpacker::default(),
            clock: Clock::new(&self.counters.times),
        };
        // It may be silent for as long as it likes: when its session ends, it is closed.
        channel.reader.set_deadline(None);
        let ended = loop {
            match read_frame_head(&mut channel.reader, &mut buffer) {
                Ok(Frame::Chunk(chunk)) => {
                    checkpoint(Worker::Lane);
                    hands.clock.lap(|times| &times.network);
                    if let Err(error) = self.chunk(&chunk, &mut channel.reader, &mut hands) {
                        break Err(error);
                    }
                }
                Ok(Frame::Message(Message::LaneEnd(()))) => break Ok(()),
                Ok(Frame::Message(other)) => {
                    break Err(self.broken(format!("a message {} on a lane", other.name())));
                }
                Err(error) => break Err(self.link.wire_error(error)),
            }
        };
        match ended {
            // The sender reads to our end; whatever happens to it now, nothing is lost.
            Ok(()) => {
                let _ = channel.writer.finish();
                let deadline = Instant::now() + SILENCE;
                channel.reader.set_deadline(Some(deadline));
                let _ = channel.reader.drain();
            }
            Err(error) => self.link.fail(error),
        }
    }

    /// Takes a chunk, and what `reader` has of it.
    fn chunk(&self, chunk: &ChunkHeader, reader: &mut Reader, hands: &mut Hands<'_>) -> Result<()> {
        if let Target::Output(output) = &self.target {
            return self.output_chunk(output, chunk, reader, hands);
        }
        if chunk.whole && chunk.encoding != Encoding::Held {
            return self.whole(chunk, reader, hands);
        }
        let Some(slot) = self.slot(chunk.entry) else {
            self.not_wanted(chunk.entry)?;
            return self.take(chunk, reader, |_| ()).map(drop);
        };
        let expected = slot.expects(chunk).map_err(|what| self.broken(what))?;
        let Some(Expected {
            size,
            index,
            is_open,
        }) = expected
        else {
            return self.take(chunk, reader, |_| ()).map(drop);
        };
        let data = self.content(chunk, (size, index), reader, hands)?;
        // Before it is claimed: whoever starts the file anew waits for what is.
        if !is_open && chunk.encoding != Encoding::Held && !self.wait_to_open(&slot, chunk.attempt)
        {
            return Ok(());
        }
        let claim = slot.claim(chunk, || self.link.is_over());
        let Some(claim) = claim.map_err(|what| self.broken(what))? else {
            return Ok(());
        };
        let written = match (data, chunk.encoding) {
            (Err(why), _) => Err(why),
            (Ok(_), Encoding::Held) => return self.held_chunk(&slot, claim, chunk),
            (Ok(_), Encoding::Hole) => claim.content.incoming.write_hole(chunk.index),
            (Ok(mut data), _) => claim.content.incoming.write(chunk.index, &mut data),
        };
        hands.clock.lap(|times| &times.disk);
        match written {
            Ok(()) => {
                self.done_chunk(&slot, claim, chunk)?;
                self.finisher.wait_for_room();
                Ok(())
            }
            Err(why) => {
                slot.give_up(claim);
                self.fail_slot(&slot, why);
                Ok(())
            }
        }
    }

    /// What a chunk holds, once it is known to be what its digest says: that of chunk `index` of a
    /// file of `size` bytes.
    pub(super) fn content<'a>(
        &self,
        chunk: &ChunkHeader,
        (size, index): (u64, u64),
        reader: &'a mut Reader,
        hands: &'a mut Hands<'_>,
    ) -> Result<Result<Vec<IoSlice<'a>>, Why>> {
        let length = chunk.length as usize;
        let mut hasher = ChunkHasher::new(self.algorithm, size, index);
        let (data, digest) = match chunk.encoding {
            Encoding::Raw => {
                let clock = &mut hands.clock;
                let data = self.take(chunk, reader, |piece| {
                    clock.lap(|times| &times.network);
                    hasher.update(piece);
                    clock.lap(|times| &times.processor);
                })?;
                (data, hasher.finish())
            }
            Encoding::Zstd => {
                let packed = self.take(chunk, reader, |_| ())?;
                hands.clock.lap(|times| &times.network);
                match hands
                    .unpacker
                    .unpack(packed.iter().map(|piece| &piece[..]), length)
                {
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
            Encoding::Held => (Vec::new(), chunk.digest),
        };
        hands.clock.lap(|times| &times.processor);
        Ok(match digest == chunk.digest {
            true => Ok(data),
            false => Err(Why::Damaged),
        })
    }

    /// Takes the bytes of a chunk from where they are received to.
    fn take<'a>(
        &self,
        chunk: &ChunkHeader,
        reader: &'a mut Reader,
        see: impl FnMut(&[u8]),
    ) -> Result<Vec<IoSlice<'a>>> {
        let pieces = reader.gather(chunk.data as usize, see);
        let pieces = pieces.map_err(|e| self.link.wire_error(e.into()))?;
        Ok(pieces.map(IoSlice::new).collect())
    }

    /// Stores a file that comes as one chunk.
    fn whole(&self, chunk: &ChunkHeader, reader: &mut Reader, hands: &mut Hands<'_>) -> Result<()> {
        let data = self.content(chunk, (chunk.length.into(), 0), reader, hands)?;
        let Some(whole) = self.take_whole(chunk)? else {
            return Ok(());
        };
        let outcome = data.and_then(|mut data| whole.incoming.store_whole(&mut data));
        hands.clock.lap(|times| &times.disk);
        let outcome = outcome.unwrap_or_else(Outcome::Failed);
        if self.sums.is_some() {
            self.finisher.sum(whole, chunk.digest, outcome);
        } else {
            self.whole_outcome(whole, outcome);
        }
        Ok(())
    }

    /// Waits until a file may be open. False where it is over, or the session is.
    fn wait_to_open(&self, slot: &Slot, attempt: u32) -> bool {
        let files = &self.open_files;
        loop {
            let seen = files.version();
            match slot.try_open(attempt, files) {
                Some(true) => return true,
                Some(false) if !self.link.is_over() => files.wait_for_change(seen),
                _ => return false,
            }
        }
    }

    /// Takes a chunk that is here already, which is copied to where it is to be where that is
    /// known to be needed.
    fn held_chunk(&self, slot: &Arc<Slot>, claim: Claim, chunk: &ChunkHeader) -> Result<()> {
        if claim.held == Some(HeldChunkIs::ToCopy) {
            self.finisher.copy(slot.clone(), claim, *chunk);
            return Ok(());
        }
        self.done_chunk(slot, claim, chunk)
    }

    pub(super) fn done_chunk(
        &self,
        slot: &Arc<Slot>,
        claim: Claim,
        chunk: &ChunkHeader,
    ) -> Result<()> {
        let held = claim.held.is_some();
        let count = |bytes| self.count_verified(bytes, held);
        let finished = slot.done_chunk(claim, chunk.digest, count);
        if let Some(finished) = finished.map_err(|what| self.broken(what))? {
            self.finisher.end(slot.clone(), finished);
        }
        Ok(())
    }
}
