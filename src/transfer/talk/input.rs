//! `RoomInput`: the lines that this machine's user says in another machine's room.
//!
//! Must not hold more than a few: whoever puts one in waits until there is room.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::super::cancel::Cancel;
use super::super::link::Stop;
use crate::model::talk::TalkLine;

/// How many lines wait at most.
const MAX_WAITING: usize = 64;

/// Where somebody's wish to leave stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Stays {
    #[default]
    Yes,
    /// Until all is said.
    ToSayTheRest,
    /// For as short as it can.
    No,
}

#[derive(Debug, Default)]
struct InputState {
    lines: VecDeque<TalkLine>,
    stays: Stays,
    /// What this machine's user is called in the room, once they have been there.
    name: Option<String>,
    /// Whether nothing is said any more.
    over: bool,
}

/// Lines that wait to be said.
#[derive(Default)]
pub struct RoomInput {
    state: Mutex<InputState>,
    changed: Condvar,
    /// Raised when nobody wants to be in the room any more.
    pub(super) left: Cancel,
}

/// What there is to say.
pub(super) enum NextLine {
    Line(TalkLine),
    /// That was all.
    End,
}

impl RoomInput {
    /// One without a line.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn state(&self) -> MutexGuard<'_, InputState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut InputState)) {
        change(&mut self.state());
        self.changed.notify_all();
    }

    fn wait_while(&self, is: impl Fn(&InputState) -> bool) -> MutexGuard<'_, InputState> {
        self.changed
            .wait_while(self.state(), |state| is(state))
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until this machine is in the room, and says what its user is called there; none where
    /// it will not be.
    pub fn wait_until_open(&self) -> Option<String> {
        let state = self.wait_while(|state| state.name.is_none() && !state.over);
        state.name.clone().filter(|_| !state.over)
    }

    /// Whether nothing is said any more.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.state().over
    }

    /// Has a line said. Waits while many are. Says whether anything can be said still.
    pub fn push(&self, line: TalkLine) -> bool {
        let mut state = self.wait_while(|s| s.lines.len() >= MAX_WAITING && !s.over);
        if state.over {
            return false;
        }
        state.lines.push_back(line);
        drop(state);
        self.changed.notify_all();
        true
    }

    /// There is nothing more to say: once what waits has been said, the room is left.
    pub fn end(&self) {
        self.change(|state| {
            if state.stays == Stays::Yes {
                state.stays = Stays::ToSayTheRest;
            }
        });
    }

    /// The user wants to leave.
    pub fn leave(&self) {
        self.change(|state| state.stays = Stays::No);
        self.left.cancel();
    }

    /// Whether the user wants to leave, said or not.
    pub(super) fn has_left(&self) -> bool {
        self.state().stays == Stays::No
    }

    /// Notes that this machine is in the room, and what its user is called there.
    pub(super) fn open(&self, name: String) {
        self.change(|state| state.name = Some(name));
    }

    /// Nothing is said any more.
    pub(super) fn close(&self) {
        self.change(|state| state.over = true);
    }

    /// The next line; none when `over`, of which [`Stop::stop`] tells.
    pub(super) fn next(&self, over: impl Fn() -> bool) -> Option<NextLine> {
        let waits = |state: &InputState| state.lines.is_empty() && state.stays == Stays::Yes;
        let mut state = self.wait_while(|state| waits(state) && !over());
        if over() {
            return None;
        }
        let line = state.lines.pop_front();
        drop(state);
        self.changed.notify_all();
        Some(line.map_or(NextLine::End, NextLine::Line))
    }

    /// Puts a line back that could not be said.
    pub(super) fn put_back(&self, line: TalkLine) {
        self.state().lines.push_front(line);
    }

    /// Waits so long, unless the user wants to leave. Says whether they do.
    pub(super) fn wait_to_leave(&self, time: Duration) -> bool {
        let leaves = |state: &InputState| {
            state.stays == Stays::No || state.stays == Stays::ToSayTheRest && state.lines.is_empty()
        };
        let waited = self
            .changed
            .wait_timeout_while(self.state(), time, |state| !leaves(state) && !state.over);
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        leaves(&state)
    }
}

impl fmt::Debug for RoomInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RoomInput").finish_non_exhaustive()
    }
}

impl Stop for RoomInput {
    fn stop(&self) {
        // Whoever waits holds no other lock; taking this one, it cannot miss it.
        drop(self.state());
        self.changed.notify_all();
    }
}
