//! `Turns`: one thread at a time, in order of arrival.
//!
//! Must not let whoever comes back at once go before those who wait.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Whose turn it is.
#[derive(Debug)]
pub(super) struct Turns {
    state: Mutex<TurnsState>,
    changed: Condvar,
}

#[derive(Debug)]
struct TurnsState {
    /// The number of whoever comes next.
    next: u64,
    /// The one whose turn it is.
    now: u64,
}

/// A turn, until it is dropped.
#[derive(Debug)]
pub(super) struct Turn<'a>(&'a Turns);

impl Turns {
    pub(super) const fn new() -> Self {
        Self {
            state: Mutex::new(TurnsState { next: 0, now: 0 }),
            changed: Condvar::new(),
        }
    }

    fn state(&self) -> MutexGuard<'_, TurnsState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits behind those who came before.
    pub(super) fn wait(&self) -> Turn<'_> {
        let mut state = self.state();
        let own = state.next;
        state.next = state.next.wrapping_add(1);
        while state.now != own {
            let woken = self.changed.wait(state);
            state = woken.unwrap_or_else(PoisonError::into_inner);
        }
        Turn(self)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.now = state.now.wrapping_add(1);
        let others_wait = state.now != state.next;
        drop(state);
        if others_wait {
            self.0.changed.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;
    use std::thread;

    #[test]
    fn whoever_comes_back_waits_behind_the_others() {
        let turns = Turns::new();
        let (tell, told) = mpsc::channel();
        thread::scope(|scope| {
            let mut turn = turns.wait();
            for n in 0..3 {
                let (turns, tell) = (&turns, tell.clone());
                scope.spawn(move || {
                    let _turn = turns.wait();
                    tell.send(n).unwrap();
                });
                while turns.state().next < n + 2 {
                    thread::yield_now();
                }
            }
            drop(turn);
            turn = turns.wait();
            tell.send(3).unwrap();
            drop(turn);
        });
        assert_eq!(told.try_iter().collect::<Vec<_>>(), [0, 1, 2, 3]);
    }
}
