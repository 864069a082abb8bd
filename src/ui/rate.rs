//! `Rate`: how fast something grows, smoothed over a few seconds.
//!
//! Must not read a clock: whoever polls says what time it is.

use std::time::{Duration, Instant};

/// The time over which a rate is smoothed: what is older hardly counts.
const MEMORY: Duration = Duration::from_secs(5);
/// The most that one step counts: a longer one is a pause.
const LONGEST: Duration = Duration::from_millis(500);
/// The same for the first one, which has what came before anything moved.
const FIRST: Duration = Duration::from_millis(100);
/// How long nothing may move before it counts as stalled.
const STALL: Duration = Duration::from_secs(5);

/// Follows a value that only grows.
#[derive(Debug, Clone)]
pub(crate) struct Rate {
    seen: (Instant, u64),
    /// When something moved last, and how much had by then.
    moved: (Instant, u64),
    value: f64,
    weight: f64,
}

impl Rate {
    /// Begins with nothing at this time.
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            seen: (now, 0),
            moved: (now, 0),
            value: 0.0,
            weight: 0.0,
        }
    }

    /// The value at this time.
    pub(crate) fn update(&mut self, now: Instant, total: u64) {
        let (then, before) = self.seen;
        let seconds = now.saturating_duration_since(then).as_secs_f64();
        if seconds <= 0.0 {
            return;
        }
        let grown = total.saturating_sub(before);
        // What comes in pieces came in the time since the last one: until then the rate stays.
        if grown == 0 {
            return;
        }
        // A time in which nothing could move is not remembered for as long as it took.
        let most = if self.weight > 0.0 { LONGEST } else { FIRST };
        let keep = (-seconds.min(most.as_secs_f64()) / MEMORY.as_secs_f64()).exp();
        self.value = self.value * keep + grown as f64 / seconds * (1.0 - keep);
        self.weight = self.weight * keep + (1.0 - keep);
        self.seen = (now, total.max(before));
    }

    /// What else would show that it does not stand still, at this time: it only grows as well.
    pub(crate) fn note(&mut self, now: Instant, all: u64) {
        if all > self.moved.1 {
            self.moved = (now, all);
        }
    }

    /// How much it grows in a second.
    pub(crate) fn per_second(&self) -> u64 {
        // The weight is what makes the first moments count in full.
        if self.weight > 0.0 {
            whole(self.value / self.weight)
        } else {
            0
        }
    }

    /// Whether it has not grown for a while.
    pub(crate) fn stalled(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.moved.0) >= STALL
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a float becomes the nearest integer that there is, and is not negative here"
)]
fn whole(x: f64) -> u64 {
    x.round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(rate: &mut Rate, from: &mut (Instant, u64), steps: u32, step: u64) {
        for _ in 0..steps {
            from.0 += Duration::from_millis(100);
            from.1 += step;
            rate.update(from.0, from.1);
            rate.note(from.0, from.1);
        }
    }

    #[test]
    fn the_first_moment_counts_in_full() {
        let now = Instant::now();
        let (mut rate, mut at) = (Rate::new(now), (now, 0));
        assert_eq!(rate.per_second(), 0);
        run(&mut rate, &mut at, 1, 1000);
        assert_eq!(rate.per_second(), 10_000);
        run(&mut rate, &mut at, 20, 1000);
        assert_eq!(rate.per_second(), 10_000);
    }

    #[test]
    fn it_follows_within_seconds_and_does_not_jump() {
        let now = Instant::now();
        let (mut rate, mut at) = (Rate::new(now), (now, 0));
        run(&mut rate, &mut at, 100, 1000);
        run(&mut rate, &mut at, 1, 10_000);
        assert!(rate.per_second() < 13_000, "{rate:?}");
        run(&mut rate, &mut at, 200, 5000);
        assert!((48_000..=50_000).contains(&rate.per_second()), "{rate:?}");
    }

    #[test]
    fn a_pause_neither_lowers_it_nor_is_remembered() {
        let now = Instant::now();
        let (mut rate, mut at) = (Rate::new(now), (now, 0));
        run(&mut rate, &mut at, 50, 1000);
        run(&mut rate, &mut at, 200, 0);
        assert_eq!(rate.per_second(), 10_000);
        run(&mut rate, &mut at, 10, 1000);
        assert!(rate.per_second() > 8_500, "{rate:?}");
    }

    #[test]
    fn what_came_before_the_first_moment_hardly_counts() {
        let now = Instant::now();
        let (mut rate, mut at) = (Rate::new(now), (now, 0));
        run(&mut rate, &mut at, 30, 0);
        run(&mut rate, &mut at, 10, 1000);
        assert!((9_000..=10_000).contains(&rate.per_second()), "{rate:?}");
    }

    #[test]
    fn few_large_pieces_are_as_fast_as_many_small_ones() {
        let now = Instant::now();
        let (mut rate, mut at) = (Rate::new(now), (now, 0));
        for _ in 0..10 {
            run(&mut rate, &mut at, 99, 0);
            run(&mut rate, &mut at, 1, 100_000);
        }
        assert_eq!(rate.per_second(), 10_000);
    }

    #[test]
    fn standing_still_is_a_stall() {
        let now = Instant::now();
        let (mut rate, mut at) = (Rate::new(now), (now, 0));
        run(&mut rate, &mut at, 10, 1000);
        run(&mut rate, &mut at, 30, 0);
        assert!(!rate.stalled(at.0));
        run(&mut rate, &mut at, 30, 0);
        assert!(rate.stalled(at.0));
    }
}
