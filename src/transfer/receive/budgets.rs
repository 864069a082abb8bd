//! The memory and open files that a receiver's sessions may use, each and together.
//!
//! Must not fail or end anything: code that gets nothing waits, or fails its entry with a reason.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::model::outcome::Why;
use crate::model::reason::Limit;
use crate::model::relpath::RelPath;
use crate::net::{Pool, PoolBounds, PoolHolder};
use crate::sys::host::limit_of_open;

/// How many bytes a path has that costs no more than any entry, whose number the window bounds.
const ORDINARY_PATH: usize = 256;
/// How many bytes the paths can have beyond that of all files that are wanted, of folders that are
/// open and of entries that wait for removals. These cannot be waited for, as what ends them comes
/// behind them on the control connection: further entries fail.
const MAX_LONG_PATHS: usize = 128 << 20;
/// How many bytes of these one peer can have.
const MAX_LONG_PATHS_PER_PEER: usize = 48 << 20;
/// How many files of more than one chunk can be open, but for the oldest few of each session.
const MAX_OPEN: usize = 1024;
/// How many of these one peer can have open.
const MAX_OPEN_PER_PEER: usize = 256;
/// The least that can be open, where few descriptors are allowed.
const LEAST_OPEN: usize = 8;
/// The part of all descriptors that open files may be.
const PART_OF_DESCRIPTORS: usize = 8;
/// How many bytes can wait in all sessions, about: for their planners, and as many to be written.
const WAITING_BYTES: usize = 32 << 20;
/// How many of these in one session, at least and at most.
const WAITING_BYTES_PER_SESSION: (usize, usize) = (1 << 20, 16 << 20);

/// What there is for all sessions.
#[derive(Debug)]
pub(crate) struct Budgets {
    names: Pool,
    files: Pool,
    sessions: AtomicUsize,
}

/// What one session can have of it.
#[derive(Debug)]
pub(crate) struct SessionBudget {
    budgets: Arc<Budgets>,
    holder: PoolHolder,
}

/// The room that a long path takes, until it is dropped.
#[derive(Debug)]
pub(super) struct NameRoom {
    budget: Arc<SessionBudget>,
    bytes: usize,
}

impl Budgets {
    pub(crate) fn new() -> Arc<Self> {
        let open = MAX_OPEN.min(limit_of_open() / PART_OF_DESCRIPTORS);
        let names = PoolBounds::shared(MAX_LONG_PATHS).at_most(MAX_LONG_PATHS_PER_PEER);
        let files = PoolBounds::shared(open.max(LEAST_OPEN)).at_most(MAX_OPEN_PER_PEER);
        Arc::new(Self {
            names: Pool::new(names),
            files: Pool::new(files),
            sessions: AtomicUsize::new(0),
        })
    }

    /// For one more session, of `holder`.
    pub(crate) fn session(self: &Arc<Self>, holder: PoolHolder) -> Arc<SessionBudget> {
        self.sessions.fetch_add(1, Ordering::Relaxed);
        Arc::new(SessionBudget {
            budgets: self.clone(),
            holder,
        })
    }
}

impl SessionBudget {
    /// Room for a path that is to be remembered; none where it needs none.
    pub(super) fn name(self: &Arc<Self>, path: &RelPath) -> Result<Option<NameRoom>, Why> {
        let bytes = path.as_bytes().len().saturating_sub(ORDINARY_PATH);
        if bytes == 0 {
            return Ok(None);
        }
        if !self.budgets.names.take(self.holder, bytes) {
            return Err(Why::Limit(Limit::Names));
        }
        let budget = self.clone();
        Ok(Some(NameRoom { budget, bytes }))
    }

    /// Whether one more file may be open, which then counts.
    pub(super) fn open(&self) -> bool {
        self.budgets.files.take(self.holder, 1)
    }

    /// One more file is open, which must be.
    pub(super) fn open_anyway(&self) {
        self.budgets.files.take_anyway(self.holder, 1);
    }

    /// A file is open no more.
    pub(super) fn closed(&self) {
        self.budgets.files.give_back(self.holder, 1);
    }

    /// How many bytes can wait at one place of the session, about, before no more is taken up.
    pub(super) fn waiting_bytes(&self) -> usize {
        let sessions = self.budgets.sessions.load(Ordering::Relaxed).max(1);
        let (least, most) = WAITING_BYTES_PER_SESSION;
        (WAITING_BYTES / sessions).clamp(least, most)
    }
}

impl Drop for SessionBudget {
    fn drop(&mut self) {
        self.budgets.sessions.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for NameRoom {
    fn drop(&mut self) {
        let SessionBudget { budgets, holder } = &*self.budget;
        budgets.names.give_back(*holder, self.bytes);
    }
}
