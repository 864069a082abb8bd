//! `LineRate`: how much one may say in a second.
//!
//! Must not wait: it says for how long to.

use std::time::{Duration, Instant};

/// How many bytes of a line count as much as a line does.
const LINE_BYTES: usize = 1024;

/// Counts what is said, and says when it is too much.
#[derive(Debug)]
pub(super) struct LineRate {
    /// What a line takes.
    each: Duration,
    /// How much may be said at once.
    burst: Duration,
    /// When all that was said so far would have been said at this rate.
    even: Instant,
}

impl LineRate {
    /// So many lines in a second, and so many at once.
    pub(super) fn new(in_a_second: u32, at_once: u32, now: Instant) -> Self {
        let each = Duration::from_secs(1) / in_a_second.max(1);
        Self {
            each,
            burst: each * at_once,
            even: now,
        }
    }

    /// Counts a line of so many bytes. Says for how long nothing more may be said.
    pub(super) fn take(&mut self, bytes: usize, now: Instant) -> Duration {
        let cost = u32::try_from(1 + bytes / LINE_BYTES).unwrap_or(u32::MAX);
        self.even = self.even.max(now) + self.each.saturating_mul(cost);
        self.even.saturating_duration_since(now + self.burst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_free_and_what_comes_behind_it_takes_its_time() {
        let now = Instant::now();
        let mut rate = LineRate::new(10, 5, now);
        for _ in 0..5 {
            assert_eq!(rate.take(100, now), Duration::ZERO);
        }
        assert_eq!(rate.take(100, now), Duration::from_millis(100));
        // A long line counts as many.
        assert_eq!(rate.take(4 * LINE_BYTES, now), Duration::from_millis(600));
        let later = now + Duration::from_secs(2);
        assert_eq!(rate.take(0, later), Duration::ZERO);
    }
}
