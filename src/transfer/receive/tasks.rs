//! What waits for a thread of a receiving session.
//!
//! Must not block whoever puts something in: the bound on what waits is for those who ask.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use tracing::debug;

/// Things that wait, in order; closed when the session is over.
pub(super) struct Waiting<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
}

struct State<T> {
    /// With about how many bytes each has.
    items: VecDeque<(T, usize)>,
    bytes: usize,
    closed: bool,
    /// How many threads wait for a change: to wake nobody is a call to the system, too.
    sleepers: usize,
}

impl<T> Waiting<T> {
    pub(super) fn new() -> Self {
        Self {
            state: Mutex::new(State {
                items: VecDeque::new(),
                bytes: 0,
                closed: false,
                sleepers: 0,
            }),
            changed: Condvar::new(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sleep<'a>(&self, mut state: MutexGuard<'a, State<T>>) -> MutexGuard<'a, State<T>> {
        state.sleepers += 1;
        let mut state = self
            .changed
            .wait(state)
            .unwrap_or_else(PoisonError::into_inner);
        state.sleepers -= 1;
        state
    }

    fn wake(&self, state: MutexGuard<'_, State<T>>) {
        let sleepers = state.sleepers;
        drop(state);
        if sleepers > 0 {
            self.changed.notify_all();
        }
    }

    /// Adds something that has about so many bytes.
    pub(super) fn push(&self, item: T, bytes: usize) {
        let mut state = self.state();
        if !state.closed {
            state.items.push_back((item, bytes));
            state.bytes += bytes;
        }
        self.wake(state);
    }

    /// Waits while more than `most` bytes wait.
    pub(super) fn wait_below(&self, most: usize) {
        let mut state = self.state();
        if state.bytes > most {
            debug!(
                bytes = state.bytes,
                "the planner is behind: no more is read from the sender"
            );
        }
        while state.bytes > most {
            state = self.sleep(state);
        }
    }

    /// Waits for the next; none once it is closed.
    pub(super) fn pop(&self) -> Option<T> {
        let mut state = self.state();
        loop {
            if state.closed {
                return None;
            }
            if let Some((item, bytes)) = state.items.pop_front() {
                state.bytes -= bytes;
                self.wake(state);
                return Some(item);
            }
            state = self.sleep(state);
        }
    }

    pub(super) fn close(&self) {
        let mut state = self.state();
        state.closed = true;
        state.items.clear();
        state.bytes = 0;
        self.wake(state);
    }
}
