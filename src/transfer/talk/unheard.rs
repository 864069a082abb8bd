//! `Unheard`: since when what this side said may not have arrived.
//!
//! Must not wait, and must not know what was said.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long what was said may be on its way to a host that is heard.
const ON_THE_WAY: Duration = Duration::from_secs(2);

/// When it was said for the first and for the last time, of what the host may not have heard.
#[derive(Debug, Default)]
pub(super) struct Unheard(Mutex<Option<(Instant, Instant)>>);

impl Unheard {
    fn said_at(&self) -> MutexGuard<'_, Option<(Instant, Instant)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that something is said now.
    pub(super) fn say(&self, now: Instant) {
        let mut said = self.said_at();
        let first = said.map_or(now, |(first, _)| first);
        *said = Some((first, now));
    }

    /// Notes that the host is heard now: it has what was said a while before that.
    pub(super) fn hear(&self, now: Instant) {
        let mut said = self.said_at();
        let Some(arrived) = now.checked_sub(ON_THE_WAY) else {
            return;
        };
        *said = said
            .filter(|(_, last)| *last > arrived)
            .map(|(first, last)| (first.max(arrived), last));
    }

    /// Since when it may not have arrived; none where all has.
    pub(super) fn since(&self) -> Option<Instant> {
        self.said_at().map(|(first, _)| first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_said_before_the_host_is_heard_has_arrived() {
        let unheard = Unheard::default();
        let at = |seconds| Instant::now() + Duration::from_secs(seconds);
        let (begin, soon, later) = (at(10), at(15), at(60));
        assert_eq!(unheard.since(), None);
        unheard.say(begin);
        unheard.say(soon);
        assert_eq!(unheard.since(), Some(begin));
        // What was said just now may be on its way.
        unheard.hear(soon);
        assert_eq!(unheard.since(), Some(soon - ON_THE_WAY));
        unheard.hear(later);
        assert_eq!(unheard.since(), None);
    }
}
