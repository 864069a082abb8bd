//! `LineRate`: how much one may say in a second. `MemberPace`: how fast a host takes it from one.
//!
//! Must not wait: it says for how long to.

use std::time::{Duration, Instant};

/// How many bytes of a line count as much as a line does.
const LINE_BYTES: usize = 1024;
/// After how many lines that had to wait a member is put out.
const MAX_SLOWED: f64 = 500.0;
/// For how long nothing can be read from a member that is still there.
const MAX_UNREAD: Duration = Duration::from_secs(30);
/// For how long it counts what somebody said who is not there any more.
const KEPT: Duration = Duration::from_secs(60);

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

/// How fast a host takes lines from whoever has one key, on however many connections.
#[derive(Debug)]
pub(super) struct MemberPace {
    rate: LineRate,
    in_a_second: f64,
    /// How many lines had to wait, less those that there was time for while nothing was read.
    slowed: f64,
    /// When the last one that was taken has waited.
    free_at: Instant,
}

/// How a line was taken.
pub(super) struct TakenLine {
    /// For how long nothing more is to be taken.
    pub(super) wait: Duration,
    /// Whether it goes on too long that lines have to wait.
    pub(super) is_flood: bool,
}

impl MemberPace {
    /// So many lines in a second, and so many at once.
    pub(super) fn new((in_a_second, at_once): (u32, u32), now: Instant) -> Self {
        Self {
            rate: LineRate::new(in_a_second, at_once, now),
            in_a_second: in_a_second.into(),
            slowed: 0.0,
            free_at: now,
        }
    }

    /// Takes a line of so many bytes.
    pub(super) fn take(&mut self, bytes: usize, now: Instant) -> TakenLine {
        // What came while nothing was read, it was not too fast to say.
        let unread = now.saturating_duration_since(self.free_at).min(MAX_UNREAD);
        let most = self.in_a_second * MAX_UNREAD.as_secs_f64();
        self.slowed = (self.slowed - unread.as_secs_f64() * self.in_a_second).max(-most);
        let wait = self.rate.take(bytes, now);
        if !wait.is_zero() {
            self.slowed += 1.0;
        }
        self.free_at = now + wait;
        TakenLine {
            wait,
            is_flood: self.slowed > MAX_SLOWED,
        }
    }

    /// Whether it is a while since anything was taken.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.free_at) > KEPT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_come_in_a_stall_is_no_flood() {
        let began = Instant::now();
        let mut pace = MemberPace::new((50, 200), began);
        let mut now = began;
        let mut take = |pace: &mut MemberPace, lines: u32| {
            (0..lines).any(|_| {
                let taken = pace.take(10, now);
                now += taken.wait;
                taken.is_flood
            })
        };
        assert!(!take(&mut pace, 600));
        // But nobody goes on for ever.
        assert!(take(&mut pace, 200));
        // For so long the host was stopped, while a member said 25 lines in a second.
        let mut stalled = MemberPace::new((50, 200), began - Duration::from_secs(28));
        assert!(!take(&mut stalled, 28 * 25 + 28 * 25));
        assert!(take(&mut stalled, 2_000));
    }

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
