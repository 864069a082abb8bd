//! A receiver's lane: a thread from a socket to files.
//!
//! Must not believe a chunk: its digest is checked before anything is written.

use std::sync::Arc;
use std::time::Instant;

use crate::digest::{CHUNK_SIZE, chunk_count, chunk_digest, hole_digest};
use crate::error::Result;
use crate::outcome::{Outcome, Why};
use crate::secure::Channel;
use crate::session::SILENCE;
use crate::wire::{ChunkHeader, Encoding, Frame, Message, read_frame};

use super::session::Receiving;
use super::slot::{Claim, Finished, HeldChunkIs, Slot};

/// A chunk of zeros.
pub(super) static ZEROS: [u8; CHUNK_SIZE as usize] = [0; CHUNK_SIZE as usize];

impl Receiving {
    /// Receives chunks from a lane, to its end.
    pub(super) fn lane(self: &Arc<Self>, mut channel: Channel) {
        self.link.add_lane(channel.closer.clone());
        let mut buffer = Vec::new();
        // It may be silent for as long as it likes: when its session ends, it is closed.
        channel.reader.set_deadline(None);
        let ended = loop {
            match read_frame(&mut channel.reader, &mut buffer) {
                Ok(Frame::Chunk(chunk)) => {
                    if let Err(error) = self.chunk(&chunk, &buffer) {
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

    fn chunk(&self, chunk: &ChunkHeader, data: &[u8]) -> Result<()> {
        let Some(slot) = self.slot(chunk.entry) else {
            // It may have failed while this was on its way; or it was never wanted.
            return if self.was_announced(chunk.entry) {
                Ok(())
            } else {
                Err(self.broken("a chunk of what was not announced"))
            };
        };
        let Some(claim) = slot
            .claim(chunk, || self.link.is_over())
            .map_err(|what| self.broken(what))?
        else {
            return Ok(());
        };
        let (algorithm, size) = (self.algorithm, claim.size);
        let (data, digest) = match chunk.encoding {
            Encoding::Raw => (data, chunk_digest(algorithm, size, chunk.index, data)),
            Encoding::Hole => {
                let zeros = ZEROS.get(..chunk.length as usize).unwrap_or_default();
                (zeros, hole_digest(algorithm, size, chunk.index, zeros))
            }
            Encoding::Held => return self.held_chunk(&slot, claim, chunk),
        };
        if digest != chunk.digest {
            slot.give_up(claim);
            self.fail_slot(&slot, Why::Damaged);
            return Ok(());
        }
        let written = if chunk.whole {
            return self.whole(&slot, claim, chunk, data);
        } else if chunk.encoding == Encoding::Hole {
            claim.incoming.write_hole(chunk.index, data)
        } else {
            claim.incoming.write(chunk.index, data)
        };
        match written {
            Ok(()) => self.done_chunk(&slot, claim, chunk),
            Err(why) => {
                slot.give_up(claim);
                self.fail_slot(&slot, why);
                Ok(())
            }
        }
    }

    /// Takes a chunk that is here already, copied to where it is to be where that is known to be
    /// needed.
    fn held_chunk(&self, slot: &Arc<Slot>, claim: Claim, chunk: &ChunkHeader) -> Result<()> {
        if claim.held == Some(HeldChunkIs::ToCopy) {
            let (algorithm, mut buffer) = (self.algorithm, Vec::new());
            let incoming = &claim.incoming;
            let copied = incoming.copy_held(algorithm, chunk.index, chunk.digest, &mut buffer);
            if let Err(why) = copied {
                slot.give_up(claim);
                self.fail_slot(slot, why);
                return Ok(());
            }
        }
        self.done_chunk(slot, claim, chunk)
    }

    fn done_chunk(&self, slot: &Arc<Slot>, claim: Claim, chunk: &ChunkHeader) -> Result<()> {
        self.count_verified(chunk.length.into(), claim.held.is_some());
        let finished = slot.done_chunk(claim, chunk.digest);
        if let Some(finished) = finished.map_err(|what| self.broken(what))? {
            self.finish_slot(slot, finished);
        }
        Ok(())
    }

    /// Stores a file that came as one chunk.
    fn whole(
        &self,
        slot: &Arc<Slot>,
        claim: Claim,
        chunk: &ChunkHeader,
        data: &[u8],
    ) -> Result<()> {
        let incoming = claim.incoming.clone();
        self.count_verified(chunk.length.into(), false);
        let finished = slot.done_chunk(claim, chunk.digest);
        if finished.map_err(|what| self.broken(what))?.is_some() {
            let stored = incoming.store_whole(data);
            // Its folder is finished before the outcome can be the last that is waited for.
            drop(incoming);
            self.outcome(slot, stored.unwrap_or_else(Outcome::Failed), 0);
        }
        Ok(())
    }

    /// Gives a file its end, once everything of it is there.
    pub(super) fn finish_slot(&self, slot: &Arc<Slot>, finished: Finished) {
        let held_bytes = finished.held_bytes;
        let outcome = self.commit(finished).unwrap_or_else(Outcome::Failed);
        self.outcome(slot, outcome, held_bytes);
    }

    fn commit(&self, finished: Finished) -> Result<Outcome, Why> {
        let Finished {
            incoming,
            intact,
            keep,
            ..
        } = finished;
        if !intact {
            incoming.discard();
            return Err(Why::Damaged);
        }
        if chunk_count(incoming.size()) == keep.len() as u64
            && let Some(outcome) = incoming.keep_existing()?
        {
            return Ok(outcome);
        }
        let mut buffer = Vec::new();
        for (index, digest) in keep {
            incoming.copy_held(self.algorithm, index, digest, &mut buffer)?;
        }
        incoming.commit()
    }
}
