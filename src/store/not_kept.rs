//! Counts what the file systems of a session did not keep, such as modes and times.
//!
//! Must not fail anything: the bytes count, and the session reports what is missing. Costs nothing
//! while everything is kept.

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::model::outcome::{Attribute, NotKept};
use crate::model::reason::SystemError;
use crate::sys::fs;

/// The counts of one session.
#[derive(Debug, Default)]
pub(super) struct NotKeptCounts(Mutex<Vec<NotKept>>);

impl NotKeptCounts {
    /// Accepts and counts it if an attribute could not be set because the file system does not
    /// support it or does not let this user set it. Returns other errors.
    pub(super) fn permit(&self, what: Attribute, set: io::Result<()>) -> io::Result<()> {
        match set {
            Err(e) if fs::is_refused(&e) => {
                self.note(what, (&e).into());
                Ok(())
            }
            set => set,
        }
    }

    /// Counts that an attribute of one entry was not preserved.
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

    /// The counts so far.
    pub(super) fn all(&self) -> Vec<NotKept> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<NotKept>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
