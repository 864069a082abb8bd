//! `LastHeard`: when something was last heard of a batch.
//!
//! Must not decide how long is too long.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// When something was last heard.
#[derive(Debug)]
pub(super) struct LastHeard {
    began: Instant,
    /// In milliseconds since then.
    at: AtomicU64,
}

impl LastHeard {
    pub(super) fn now() -> Self {
        Self {
            began: Instant::now(),
            at: AtomicU64::new(0),
        }
    }

    /// Something is heard.
    pub(super) fn hear(&self) {
        let now = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.at.store(now, Ordering::Relaxed);
    }

    /// For how long nothing was heard.
    pub(super) fn alone(&self) -> Duration {
        let at = Duration::from_millis(self.at.load(Ordering::Relaxed));
        self.began.elapsed().saturating_sub(at)
    }
}
