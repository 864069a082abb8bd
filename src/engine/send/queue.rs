//! The queue of work that a sender's lanes pull from.
//!
//! Must not open or read anything. Small files come whole, large ones chunk by chunk, so that
//! all lanes work on one large file.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::digest::Digest;

use super::file::SendFile;

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

#[derive(Debug)]
enum Job {
    Small(Arc<SendFile>, Option<Digest>),
    Range(Range),
}

#[derive(Debug, Default)]
struct State {
    jobs: VecDeque<Job>,
    closed: bool,
}

/// Work that waits for a lane.
#[derive(Debug, Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

impl Queue {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds chunks `first` to `end`, without that one, of a file; `held` are the digests of the
    /// first of them at the receiver.
    pub(super) fn push(
        &self,
        file: Arc<SendFile>,
        first: u64,
        end: u64,
        mut held: Vec<Option<Digest>>,
    ) {
        if first >= end {
            return;
        }
        let job = if file.is_small() {
            Job::Small(file, held.pop().flatten())
        } else {
            Job::Range(Range {
                file,
                next: first,
                end,
                held,
                held_from: first,
            })
        };
        let all = matches!(job, Job::Range(_));
        self.state().jobs.push_back(job);
        if all {
            self.changed.notify_all();
        } else {
            self.changed.notify_one();
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

    /// The next piece of work; none where there is none at the moment.
    pub(super) fn try_next(&self) -> Option<Work> {
        take(&mut self.state())
    }

    /// Waits for the next piece of work; none once the queue is closed.
    pub(super) fn next(&self) -> Option<Work> {
        let mut state = self.state();
        loop {
            if state.closed {
                return None;
            }
            if let Some(work) = take(&mut state) {
                return Some(work);
            }
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }
}

fn take(state: &mut State) -> Option<Work> {
    if state.closed {
        return None;
    }
    // Of a file that has started anew, or failed, nothing more is sent.
    let is_over = |job: &Job| matches!(job, Job::Range(range) if range.file.is_over());
    while state.jobs.front().is_some_and(is_over) {
        state.jobs.pop_front();
    }
    // Nearly always the first; behind it only while another lane is late with a chunk of it.
    let at = state.jobs.iter().position(|job| match job {
        Job::Small(..) => true,
        Job::Range(range) => !range.file.is_over() && range.file.may_send(range.next),
    })?;
    if let Some(Job::Range(range)) = state.jobs.get_mut(at) {
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
        Some(Job::Small(file, held)) => Some(Work::Small(file, held)),
        _ => None,
    }
}
