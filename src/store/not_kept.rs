//! Counts what the file systems of a session did not keep, such as modes and times.
//!
//! Must not fail anything: the bytes count, and the session reports what is missing. Costs nothing
//! while everything is kept.

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::model::outcome::{Attribute, NotKept};
use crate::model::reason::SystemError;
use crate::sys::fs;

/// What one session counts.
#[derive(Debug, Default)]
pub(super) struct NotKeptCounts(Mutex<Vec<NotKept>>);

impl NotKeptCounts {
    /// Lets pass that an attribute could not be set, where the file system does not have it or does
    /// not let this user set it, and counts it. Other errors stay what they are.
    pub(super) fn permit(&self, what: Attribute, set: io::Result<()>) -> io::Result<()> {
        match set {
            Err(e) if fs::is_refused(&e) => {
                self.note(what, (&e).into());
                Ok(())
            }
            set => set,
        }
    }

    /// Counts that an attribute of one entry was not kept.
    pub(super) fn note(&self, what: Attribute, why: SystemError) {
        let mut all = self.lock();
        match all.iter_mut().find(|known| known.what == what) {
            Some(known) => known.entries += 1,
            None => all.push(NotKept {
                what,
                entries: 1,
                why,
            }),
        }
    }

    /// What was counted so far.
    pub(super) fn all(&self) -> Vec<NotKept> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<NotKept>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
