//! The queue of work that a sender's lanes pull from.
//!
//! Must not open or read anything. Small files come whole, large ones chunk by chunk, so that
//! all lanes work on one large file.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::model::digest::Digest;

use super::file::SendFile;

/// How many bytes of small files a lane takes out at once.
const AT_ONCE: u64 = 256 << 10;

/// A piece of work for a lane.
#[derive(Debug)]
pub(super) enum Work {
    /// A file of one chunk.
    Small(Arc<SendFile>, Option<Digest>),
    /// A chunk of a larger file.
    Chunk {
        file: Arc<SendFile>,
        index: u64,
        /// Its digest at the receiver, if that holds it.
        held: Option<Digest>,
    },
    /// A stream, to its end.
    Stream(Arc<SendFile>),
}

/// Chunks of one file that may be sent.
#[derive(Debug)]
struct Range {
    file: Arc<SendFile>,
    next: u64,
    end: u64,
    /// What the receiver holds, from `held_from` on.
    held: Vec<Option<Digest>>,
    held_from: u64,
}

/// What is to be sent of a file.
#[derive(Debug)]
pub(super) struct Job(JobKind);

#[derive(Debug)]
enum JobKind {
    Small(Arc<SendFile>, Option<Digest>),
    Range(Range),
    Stream(Arc<SendFile>),
}

impl Job {
    /// Chunks `first` to `end`, without that one, of a file; `held` are the digests of the first
    /// of them at the receiver. None where those are no chunks.
    pub(super) fn new(
        file: Arc<SendFile>,
        first: u64,
        end: u64,
        mut held: Vec<Option<Digest>>,
    ) -> Option<Self> {
        if first >= end {
            return None;
        }
        Some(Self(if file.is_stream() {
            JobKind::Stream(file)
        } else if file.is_small() {
            JobKind::Small(file, held.pop().flatten())
        } else {
            JobKind::Range(Range {
                file,
                next: first,
                end,
                held,
                held_from: first,
            })
        }))
    }
}

#[derive(Debug, Default)]
struct QueueState {
    jobs: VecDeque<Job>,
    closed: bool,
    /// How many lanes wait for work.
    sleepers: usize,
}

/// Work that waits for a lane.
#[derive(Debug, Default)]
pub(super) struct Queue {
    state: Mutex<QueueState>,
    changed: Condvar,
}

impl Queue {
    fn state(&self) -> MutexGuard<'_, QueueState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds what is to be done.
    pub(super) fn push(&self, jobs: impl IntoIterator<Item = Job>) {
        let mut state = self.state();
        state.jobs.extend(jobs);
        let sleepers = state.sleepers;
        drop(state);
        if sleepers > 0 {
            self.changed.notify_all();
        }
    }

    /// A chunk was sent: others may not be too far ahead any more.
    pub(super) fn moved_on(&self) {
        self.changed.notify_all();
    }

    /// No more work will come, or it is not to be done.
    pub(super) fn close(&self) {
        self.state().closed = true;
        self.changed.notify_all();
    }

    /// Takes out the next pieces of work; none where there is none at the moment.
    pub(super) fn try_next(&self, works: &mut VecDeque<Work>) {
        take(&mut self.state(), works);
    }

    /// Waits for the next pieces of work; none once the queue is closed.
    pub(super) fn next(&self, works: &mut VecDeque<Work>) {
        let mut state = self.state();
        loop {
            take(&mut state, works);
            if state.closed || !works.is_empty() {
                return;
            }
            state.sleepers += 1;
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
            state.sleepers -= 1;
        }
    }
}

/// Takes out a chunk, or as many small files as are worth a lane's while.
fn take(state: &mut QueueState, works: &mut VecDeque<Work>) {
    let mut bytes = 0;
    while let Some(work) = take_one(state) {
        let next = match (&work, state.jobs.front()) {
            (Work::Small(file, _), Some(Job(JobKind::Small(next, _)))) => {
                bytes += file.announced.size;
                bytes + next.announced.size <= AT_ONCE
            }
            _ => false,
        };
        works.push_back(work);
        if !next {
            return;
        }
    }
}

fn take_one(state: &mut QueueState) -> Option<Work> {
    if state.closed {
        return None;
    }
    // Of a larger file that has started anew, or failed, nothing more is sent.
    let is_over = |job: &Job| matches!(job, Job(JobKind::Range(range)) if range.file.is_over());
    while state.jobs.front().is_some_and(is_over) {
        state.jobs.pop_front();
    }
    // Nearly always the first; behind it only while another lane is late with a chunk of it.
    let at = state.jobs.iter().position(|Job(job)| match job {
        JobKind::Small(..) | JobKind::Stream(_) => true,
        JobKind::Range(range) => !range.file.is_over() && range.file.may_send(range.next),
    })?;
    if let Some(Job(JobKind::Range(range))) = state.jobs.get_mut(at) {
        let index = range.next;
        range.next += 1;
        let file = range.file.clone();
        let held = usize::try_from(index - range.held_from)
            .ok()
            .and_then(|at| range.held.get(at).copied().flatten());
        if range.next >= range.end {
            state.jobs.remove(at);
        }
        return Some(Work::Chunk { file, index, held });
    }
    match state.jobs.remove(at) {
        Some(Job(JobKind::Small(file, held))) => Some(Work::Small(file, held)),
        Some(Job(JobKind::Stream(file))) => Some(Work::Stream(file)),
        _ => None,
    }
}
