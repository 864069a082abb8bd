//! Gives names to files of more than one chunk, and to small ones that replace others where the
//! session syncs; copies chunks that are here already, and writes down sums. On threads of its own.
//!
//! Must not wait for anything but the disk: lanes and the planner may wait for these threads, and
//! nothing else closes the files that lanes wait to open.

use std::sync::Arc;

use super::super::link::Link;
use crate::model::digest::{Algorithm, Digest, chunk_count};
use crate::model::error::Result;
use crate::model::outcome::{Outcome, Why};
use crate::sys::host::limit_of_open;
use crate::sys::worker::{Worker, checkpoint};
use crate::wire::ChunkHeader;

use super::accounts::Accounts;
use super::file::{ClaimedChunk, CompleteFile, Next, WantedFile};
use super::lanes::Activity;
use super::queue::{PlannerTask, WorkQueue};
use super::sums::SessionSums;
use super::wanted::{WantedFiles, WholeFile};

/// How many threads a session has for this at most.
const MOST_WORKERS: u16 = 4;
/// How many jobs may wait before lanes wait. The planner, which brings one for a wanted file at
/// most, never does.
const MOST_JOBS: usize = 64;
/// What part of the descriptors of this process these jobs of one session can have: a few in each
/// of many sessions.
const PART_OF_DESCRIPTORS: usize = 256;

/// Something to do for a file.
pub(super) enum FinishJob {
    /// Everything of it is there.
    End(Arc<WantedFile>, CompleteFile),
    /// A chunk is to be copied from a file that is here.
    Copy(Arc<WantedFile>, ClaimedChunk, ChunkHeader),
    /// It came as one chunk and is stored, or is to get its name; its sum may be wanted.
    Whole(WholeFile, Digest, Option<Outcome>),
}

/// What gives files their end.
pub(super) struct Finisher {
    pub(super) algorithm: Algorithm,
    pub(super) link: Arc<Link>,
    pub(super) accounts: Arc<Accounts>,
    pub(super) wanted: Arc<WantedFiles>,
    pub(super) tasks: Arc<WorkQueue<PlannerTask>>,
    pub(super) activity: Arc<Activity>,
    pub(super) sums: Option<Arc<SessionSums>>,
    pub(super) jobs: WorkQueue<FinishJob>,
    pub(super) most_jobs: usize,
}

impl Finisher {
    /// How many jobs may wait: with small files that are to replace others, each has one open.
    pub(super) fn most_jobs() -> usize {
        (limit_of_open() / PART_OF_DESCRIPTORS).clamp(1, MOST_JOBS)
    }

    /// How many threads are to run it in a session of so many lanes.
    pub(super) fn workers(lanes: u16) -> u16 {
        lanes.clamp(1, MOST_WORKERS)
    }

    /// Sees to what is next for a file.
    pub(super) fn next(&self, file: &Arc<WantedFile>, next: Next) {
        match next {
            Next::Nothing => {}
            Next::Finish(complete) => self.jobs.push(FinishJob::End(file.clone(), complete), 1),
            Next::Begin => self
                .tasks
                .push(PlannerTask::Restart(file.clone()), PlannerTask::BYTES),
        }
    }

    /// Has a chunk copied that was claimed, when there is room.
    pub(super) fn copy(&self, file: &Arc<WantedFile>, claimed: ClaimedChunk, chunk: ChunkHeader) {
        self.wait_for_room();
        self.jobs
            .push(FinishJob::Copy(file.clone(), claimed, chunk), 1);
    }

    /// Gives a file its outcome that came as one chunk; none where it is to get its name first.
    /// Where sums are wanted, its sum is written down before.
    pub(super) fn whole(&self, whole: WholeFile, digest: Digest, outcome: Option<Outcome>) {
        let outcome = match outcome {
            Some(outcome) if self.sums.is_none() => {
                return self.wanted.whole_outcome(whole, outcome);
            }
            outcome => outcome,
        };
        self.wait_for_room();
        let job = FinishJob::Whole(whole, digest, outcome);
        // All of it is there: it is seen to its end whatever becomes of the session.
        if let Err(FinishJob::Whole(whole, digest, outcome)) = self.jobs.try_push(job, 1) {
            self.finish_whole(whole, digest, outcome);
        }
    }

    /// The session is over: nothing more is begun, but what came whole gets its name and sum.
    pub(super) fn close(&self) {
        let is_whole = |job: &FinishJob| matches!(job, FinishJob::Whole(..));
        self.jobs.close_but(is_whole);
    }

    /// Waits until a lane may bring more.
    pub(super) fn wait_for_room(&self) {
        self.jobs.wait_below(self.most_jobs);
    }

    /// A claimed chunk is where it is to be.
    pub(super) fn stored(
        &self,
        file: &Arc<WantedFile>,
        claimed: ClaimedChunk,
        digest: Digest,
    ) -> Result<()> {
        let count = |bytes, held| self.accounts.verified(bytes, held);
        let next = file.stored(claimed, digest, count);
        self.next(file, next.map_err(|what| self.accounts.breach(what))?);
        Ok(())
    }

    /// A claimed chunk could not be stored, and with that its file.
    pub(super) fn not_stored(&self, file: &Arc<WantedFile>, claimed: ClaimedChunk, why: Why) {
        let (next, is_current) = file.not_stored(claimed);
        self.next(file, next);
        // What befell an attempt that is over says nothing of the one that comes.
        if is_current {
            self.wanted.fail(file, why);
        }
    }

    fn finish_whole(&self, whole: WholeFile, digest: Digest, outcome: Option<Outcome>) {
        let outcome = outcome.map_or_else(|| whole.incoming.commit_whole(), Ok);
        let outcome = outcome.unwrap_or_else(Outcome::Failed);
        if let Some(sums) = &self.sums {
            sums.add(&whole.file.path, Some(digest), &outcome);
        }
        self.wanted.whole_outcome(whole, outcome);
    }

    /// Does what comes, until the session is over.
    pub(super) fn run(&self) {
        let mut buffer = Vec::new();
        while let Some(job) = self.jobs.pop() {
            checkpoint(Worker::Finisher);
            let _at_work = self.activity.work();
            match job {
                FinishJob::End(file, complete) => {
                    let held_bytes = complete.is.held_bytes;
                    let outcome = self.commit(complete, &mut buffer);
                    let outcome = outcome.unwrap_or_else(Outcome::Failed);
                    if let Some(sums) = &self.sums {
                        sums.add(&file.path, None, &outcome);
                    }
                    self.wanted.outcome(&file, outcome, held_bytes);
                }
                // It has failed, or is another one now.
                FinishJob::Copy(file, claimed, _) if !file.is_received() => {
                    let (next, _) = file.not_stored(claimed);
                    self.next(&file, next);
                }
                FinishJob::Copy(file, claimed, chunk) => {
                    let incoming = &claimed.content.incoming;
                    let (index, digest) = (chunk.index, chunk.digest);
                    let copied = incoming.copy_held(self.algorithm, index, digest, &mut buffer);
                    let stored = match copied {
                        Ok(()) => self.stored(&file, claimed, digest),
                        Err(why) => {
                            self.not_stored(&file, claimed, why);
                            Ok(())
                        }
                    };
                    if let Err(error) = stored {
                        self.link.fail(error);
                    }
                }
                FinishJob::Whole(whole, digest, outcome) => {
                    self.finish_whole(whole, digest, outcome);
                }
            }
        }
    }

    fn commit(&self, complete: CompleteFile, buffer: &mut Vec<u8>) -> Result<Outcome, Why> {
        let CompleteFile { content, is } = complete;
        let incoming = &content.incoming;
        if !is.intact {
            incoming.discard();
            return Err(Why::Damaged);
        }
        if let Some(size) = is.stream {
            incoming.end_stream(size)?;
        }
        if chunk_count(incoming.size()) == is.kept.count()
            && let Some(outcome) = incoming.keep_existing()?
        {
            return Ok(outcome);
        }
        // It may be the rest of a very large file.
        let check = || match self.link.is_over() {
            true => Err(Why::Ended),
            false => Ok(()),
        };
        let (run, digests, ahead) = is.kept.into_parts();
        incoming.copy_held_run(self.algorithm, run, digests, buffer, check)?;
        for (index, digest) in ahead {
            check()?;
            incoming.copy_held(self.algorithm, index, digest, buffer)?;
        }
        incoming.commit()
    }
}
