//! Hashes what the receiver holds, and tells the sender.
//!
//! Must not hold more digests of a file in memory than a budget, however large it is.

use std::sync::{Arc, Mutex};

use super::super::link::Link;
use crate::model::digest::{Algorithm, chunk_count, chunk_digest};
use crate::model::outcome::Why;
use crate::store::HeldFile;
use crate::sys::worker::{Worker, checkpoint};
use crate::wire::{Held, Message};

use super::budgets::SessionBudget;
use super::file::WantedFile;
use super::file_state::HeldChunk;
use super::lanes::Activity;
use super::queue::WorkQueue;
use super::wanted::WantedFiles;

/// How many digests travel in one list: a quarter of a second of hashing, about.
const BATCH: usize = 256;
/// How many digests of a file the sender may have been told and not answered.
const MOST: usize = 16 * 1024;

/// Ends sessions of the same sender that seem to be dead. Says how far all of its sessions are, as a
/// number that changes whenever one of them gets on; none while one is at work, however long that
/// takes.
pub(crate) type EndSilent = Box<dyn Fn() -> Option<u64> + Send + Sync>;

/// What hashes held chunks.
pub(super) struct HeldHasher {
    pub(super) algorithm: Algorithm,
    pub(super) link: Arc<Link>,
    pub(super) wanted: Arc<WantedFiles>,
    pub(super) activity: Arc<Activity>,
    pub(super) end_silent: EndSilent,
    pub(super) budget: Arc<SessionBudget>,
    /// Attempts at files of which something is held.
    pub(super) files: WorkQueue<(Arc<WantedFile>, u32)>,
    /// Locked while what is held of a file is being hashed.
    pub(super) hashing: Mutex<()>,
}

impl HeldHasher {
    /// Hashes what is held of files, as they come to be wanted, until the session is over.
    pub(super) fn run(&self) {
        let mut buffer = Vec::new();
        while let Some((file, attempt)) = self.files.pop() {
            checkpoint(Worker::Hasher);
            let _hashing = self.hashing.lock();
            if let Err(why) = self.tell_held(&file, attempt, &mut buffer) {
                // What befell an attempt that is over says nothing of the one that goes on.
                if file.attempt() == attempt {
                    self.wanted.fail(&file, why);
                }
            }
        }
    }

    /// Waits until it has let go of the last file, and with that of its folder.
    pub(super) fn wait(&self) {
        drop(self.hashing.lock());
    }

    fn tell_held(
        &self,
        file: &Arc<WantedFile>,
        attempt: u32,
        buffer: &mut Vec<u8>,
    ) -> Result<(), Why> {
        let Some(incoming) = file.incoming(attempt) else {
            return Ok(());
        };
        let held = incoming.open_held(|| {
            // Whoever has the partial may be this sender's last session, which was cut off.
            (self.end_silent)();
            self.link.is_over()
        })?;
        let size = incoming.size();
        drop(incoming);
        // Chunks of it can come from here on.
        file.give_turn(attempt, &self.wanted.open);
        let count = chunk_count(size);
        let mut first = 0;
        while first < count {
            let mut chunks = Vec::new();
            while chunks.len() < BATCH && first + (chunks.len() as u64) < count {
                if file.incoming(attempt).is_none() || self.link.is_over() {
                    return Ok(());
                }
                let _at_work = self.activity.work();
                let index = first + chunks.len() as u64;
                chunks.push(self.hash(&held, size, index, buffer));
            }
            let n = chunks.len() as u64;
            self.link.outbox.wait_below(self.budget.waiting_bytes());
            if !file.tell_held(attempt, first, &chunks, MOST, || self.link.is_over()) {
                return Ok(());
            }
            let digests = chunks.iter().map(|chunk| chunk.map(|held| held.digest));
            self.link.outbox.push(Message::Held(Held {
                entry: file.entry,
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
