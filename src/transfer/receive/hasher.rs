//! Hashing what the receiver holds, and telling the sender.
//!
//! Must not hold more digests of a file in memory than a budget, however large it is.

use std::sync::Arc;

use crate::model::digest::{chunk_count, chunk_digest};
use crate::model::outcome::Why;
use crate::store::HeldFile;
use crate::sys::worker::{Worker, checkpoint};
use crate::wire::{Held, Message};

use super::file::{HeldChunk, Slot};
use super::session::{MAX_OUTBOX_BYTES, Receiving};

/// How many digests travel in one list: a quarter of a second of hashing, about.
const BATCH: usize = 256;
/// How many digests of a file the sender may have been told and not answered.
const MOST: usize = 16 * 1024;

impl Receiving {
    /// Hashes what is held of files, as they come to be wanted, until the session is over.
    pub(super) fn hold_files(&self) {
        let mut buffer = Vec::new();
        while let Some((slot, attempt)) = self.to_hash.pop() {
            checkpoint(Worker::Hasher);
            let _hashing = self.hashing.lock();
            if let Err(why) = self.hold(&slot, attempt, &mut buffer) {
                // What befell an attempt that is over says nothing of the one that goes on.
                if slot.attempt() == attempt {
                    self.fail_slot(&slot, why);
                }
            }
        }
    }

    fn hold(&self, slot: &Arc<Slot>, attempt: u32, buffer: &mut Vec<u8>) -> Result<(), Why> {
        let Some(incoming) = slot.incoming(attempt) else {
            return Ok(());
        };
        let held = incoming.open_held(|| {
            // Whoever has the partial may be this sender's last session, which was cut off.
            (self.end_dead_twins)();
            self.link.is_over()
        })?;
        let size = incoming.size();
        drop(incoming);
        slot.begin(attempt, &self.open_files);
        let count = chunk_count(size);
        let mut first = 0;
        while first < count {
            let mut chunks = Vec::new();
            while chunks.len() < BATCH && first + (chunks.len() as u64) < count {
                if slot.incoming(attempt).is_none() || self.link.is_over() {
                    return Ok(());
                }
                let index = first + chunks.len() as u64;
                chunks.push(self.hash(&held, size, index, buffer));
            }
            let n = chunks.len() as u64;
            self.link.outbox.wait_below(MAX_OUTBOX_BYTES);
            if !slot.hold(attempt, first, &chunks, MOST, || self.link.is_over()) {
                return Ok(());
            }
            let digests = chunks.iter().map(|chunk| chunk.map(|held| held.digest));
            self.link.outbox.push(Message::Held(Held {
                entry: slot.entry,
                attempt,
                first,
                digests: digests.collect(),
                last: first + n == count,
            }));
            first += n;
        }
        Ok(())
    }

    /// A chunk that is held; none for one that is not, or cannot be read.
    fn hash(
        &self,
        held: &HeldFile,
        size: u64,
        index: u64,
        buffer: &mut Vec<u8>,
    ) -> Option<HeldChunk> {
        let source = held.read(index, buffer)?;
        Some(HeldChunk {
            digest: chunk_digest(self.algorithm, size, index, buffer),
            source,
        })
    }
}
