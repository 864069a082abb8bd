//! What gives files their end: commits, copies of what is here already, and sums, on threads of
//! their own.
//!
//! Must not wait for anything but the disk: lanes and the planner may wait for these threads, and
//! nothing else closes the files that lanes wait to open.

use std::sync::Arc;

use crate::model::digest::{Digest, chunk_count};
use crate::model::outcome::{Outcome, Why};
use crate::sys::worker::{Worker, checkpoint};
use crate::wire::ChunkHeader;

use super::accounts::Whole;
use super::file::{Claim, Finished, Slot};
use super::session::Receiving;
use super::tasks::Waiting;

/// How many threads a session has for this at most.
const MOST_WORKERS: u16 = 4;
/// How many jobs may wait before lanes wait. The planner, which brings one for a wanted file at
/// most, never does.
const MOST_JOBS: usize = 64;

/// Something to do for a file.
enum FinishJob {
    /// Everything of it is there.
    End(Arc<Slot>, Finished),
    /// A chunk is to be copied from a file that is here.
    Copy(Arc<Slot>, Claim, ChunkHeader),
    /// It came as one chunk and is stored; its sum is wanted.
    Sum(Whole, Digest, Outcome),
}

/// Jobs that wait for a thread.
pub(super) struct Finisher {
    jobs: Waiting<FinishJob>,
    workers: u16,
}

impl Finisher {
    /// For a session of so many lanes.
    pub(super) fn new(lanes: u16) -> Self {
        Self {
            jobs: Waiting::new(),
            workers: lanes.clamp(1, MOST_WORKERS),
        }
    }

    /// How many threads are to run it.
    pub(super) fn workers(&self) -> u16 {
        self.workers
    }

    /// Has a file given its end.
    pub(super) fn end(&self, slot: Arc<Slot>, finished: Finished) {
        self.jobs.push(FinishJob::End(slot, finished), 1);
    }

    /// Has a chunk copied that was claimed, when there is room.
    pub(super) fn copy(&self, slot: Arc<Slot>, claim: Claim, chunk: ChunkHeader) {
        self.jobs.wait_below(MOST_JOBS);
        self.jobs.push(FinishJob::Copy(slot, claim, chunk), 1);
    }

    /// Has the sum of a file written down, when there is room, and then gives it its outcome.
    pub(super) fn sum(&self, whole: Whole, digest: Digest, outcome: Outcome) {
        self.jobs.wait_below(MOST_JOBS);
        self.jobs.push(FinishJob::Sum(whole, digest, outcome), 1);
    }

    /// Nothing more is to be done.
    pub(super) fn close(&self) {
        self.jobs.close();
    }

    /// Waits until a lane may bring another file.
    pub(super) fn wait_for_room(&self) {
        self.jobs.wait_below(MOST_JOBS);
    }
}

impl Receiving {
    /// Does what comes, until the session is over.
    pub(super) fn finish_files(&self) {
        let mut buffer = Vec::new();
        while let Some(job) = self.finisher.jobs.pop() {
            checkpoint(Worker::Finisher);
            match job {
                FinishJob::End(slot, finished) => {
                    let held_bytes = finished.held_bytes;
                    let outcome = self.commit(finished, &mut buffer);
                    let outcome = outcome.unwrap_or_else(Outcome::Failed);
                    self.outcome(&slot, outcome, held_bytes);
                }
                FinishJob::Copy(slot, claim, chunk) => {
                    if let Err(error) = self.copy(&slot, claim, &chunk, &mut buffer) {
                        self.link.fail(error);
                    }
                }
                FinishJob::Sum(whole, digest, outcome) => {
                    self.add_sum(whole.incoming.path(), Some(digest), &outcome);
                    self.whole_outcome(whole, outcome);
                }
            }
        }
    }

    fn copy(
        &self,
        slot: &Arc<Slot>,
        claim: Claim,
        chunk: &ChunkHeader,
        buffer: &mut Vec<u8>,
    ) -> crate::model::error::Result<()> {
        let incoming = &claim.content.incoming;
        match incoming.copy_held(self.algorithm, chunk.index, chunk.digest, buffer) {
            Ok(()) => self.done_chunk(slot, claim, chunk),
            Err(why) => {
                slot.give_up(claim);
                self.fail_slot(slot, why);
                Ok(())
            }
        }
    }

    fn commit(&self, finished: Finished, buffer: &mut Vec<u8>) -> Result<Outcome, Why> {
        let Finished {
            content,
            intact,
            stream,
            keep,
            ..
        } = finished;
        let incoming = &content.incoming;
        if !intact {
            incoming.discard();
            return Err(Why::Damaged);
        }
        if let Some(size) = stream {
            incoming.end_stream(size)?;
        }
        if chunk_count(incoming.size()) == keep.len() as u64
            && let Some(outcome) = incoming.keep_existing()?
        {
            return Ok(outcome);
        }
        for (index, digest) in keep {
            // It may be the rest of a very large file.
            if self.link.is_over() {
                return Err(Why::Ended);
            }
            incoming.copy_held(self.algorithm, index, digest, buffer)?;
        }
        incoming.commit()
    }
}
