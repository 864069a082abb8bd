//! `Cancel`: the user's wish to stop, which reaches every thread.
//!
//! Must not know signals: the code that catches one calls [`Cancel::cancel`].

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::model::error::Error;

type Hook = Box<dyn FnOnce() + Send>;

#[derive(Default)]
struct CancelState {
    cancelled: bool,
    next: u64,
    hooks: HashMap<u64, Hook>,
}

#[derive(Default)]
struct CancelFlag {
    state: Mutex<CancelState>,
    changed: Condvar,
}

/// A flag that is raised once, and what is to happen then. Clones are the same flag.
#[derive(Clone, Default)]
pub struct Cancel(Arc<CancelFlag>);

/// While this lives, its hook runs when the flag is raised.
#[must_use]
pub struct OnCancel {
    cancel: Cancel,
    id: u64,
}

impl Cancel {
    /// A flag that is not raised.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn state(&self) -> std::sync::MutexGuard<'_, CancelState> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Raises the flag, wakes whoever waits, and runs the hooks.
    pub fn cancel(&self) {
        let hooks = {
            let mut state = self.state();
            state.cancelled = true;
            std::mem::take(&mut state.hooks)
        };
        self.0.changed.notify_all();
        for hook in hooks.into_values() {
            hook();
        }
    }

    /// Whether the flag is raised.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.state().cancelled
    }

    /// Why something failed: because the user wants to stop, where they do, unless it says so itself.
    pub(crate) fn reason(&self, error: Error) -> Error {
        match error {
            Error::CodeNotEntered { .. } => error,
            _ if self.is_cancelled() => Error::Cancelled,
            other => other,
        }
    }

    /// Runs `hook` when the flag is raised, or now where it is. It must not block.
    pub fn on_cancel(&self, hook: impl FnOnce() + Send + 'static) -> OnCancel {
        let mut state = self.state();
        let id = state.next;
        state.next += 1;
        if state.cancelled {
            drop(state);
            hook();
        } else {
            state.hooks.insert(id, Box::new(hook));
        }
        OnCancel {
            cancel: self.clone(),
            id,
        }
    }

    /// Waits for so long, or until the flag is raised; says whether it is.
    #[must_use]
    pub fn wait(&self, time: Duration) -> bool {
        let end = Instant::now() + time;
        let mut state = self.state();
        while !state.cancelled {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            state = self
                .0
                .changed
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        true
    }
}

impl fmt::Debug for Cancel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Cancel").field(&self.is_cancelled()).finish()
    }
}

impl Drop for OnCancel {
    fn drop(&mut self) {
        self.cancel.state().hooks.remove(&self.id);
    }
}

impl fmt::Debug for OnCancel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OnCancel").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[test]
    fn hooks_run_once_and_only_while_wanted() {
        let (cancel, count) = (Cancel::new(), Arc::new(AtomicU32::new(0)));
        let bump = |n: u32| {
            let count = count.clone();
            move || {
                count.fetch_add(n, Ordering::Relaxed);
            }
        };
        drop(cancel.on_cancel(bump(100)));
        let _kept = cancel.on_cancel(bump(1));
        assert!(!cancel.wait(Duration::ZERO));
        cancel.cancel();
        cancel.cancel();
        let _late = cancel.on_cancel(bump(10));
        assert_eq!(count.load(Ordering::Relaxed), 11);
        assert!(cancel.wait(Duration::from_secs(3600)));
    }
}
