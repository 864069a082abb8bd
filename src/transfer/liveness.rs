//! Whether data given to a session's connections arrives at the other side.
//!
//! Must not touch a socket or a clock: it is told what the system reports of each, and when.
//!
//! A peer that answers on its control connection is alive; but one of its lanes may lead nowhere,
//! or none may pass a packet of ordinary size.

use std::time::{Duration, Instant};

use crate::sys::socket::Delivery;

/// How long nothing may arrive on a connection while something is to: longer than it takes a
/// system to send it once more to a peer that was asleep.
pub(crate) const UNDELIVERED: Duration = Duration::from_secs(45);
/// How long, where something is on its way on all lanes: a receiver that stores nothing for two
/// minutes ends the session itself, and until then its system may have no room for what comes and
/// not say so (Linux before 6.6).
pub(crate) const ALL_UNDELIVERED: Duration = Duration::from_secs(150);
/// How long that is no accident any more, where a session has ended meanwhile.
const DOUBTFUL: Duration = Duration::from_secs(10);
/// How many bytes arrive over a connection that passes no packet of ordinary size: what is said
/// before the first of these is sent.
const SMALL: u64 = 64 << 10;

/// What was seen of one connection.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Watched {
    confirmed: u64,
    /// Since when it waits for a confirmation, and gets none.
    waits_since: Option<Instant>,
    /// When the last confirmation was seen.
    grew: Option<Instant>,
}

impl Watched {
    /// Takes what the system says of it.
    pub(crate) fn look(&mut self, seen: Delivery, now: Instant) {
        if seen.confirmed != self.confirmed {
            self.confirmed = seen.confirmed;
            self.grew = Some(now);
            self.waits_since = None;
        }
        match seen.waits {
            true => self.waits_since = self.waits_since.or(Some(now)),
            false => self.waits_since = None,
        }
    }

    fn waits_for(&self, now: Instant) -> Duration {
        self.waits_since
            .map_or(Duration::ZERO, |since| now.saturating_duration_since(since))
    }

    /// Whether it has waited for a confirmation for longer than one that moves.
    pub(crate) fn stands_still(&self, now: Instant) -> bool {
        self.waits_for(now) >= DOUBTFUL
    }

    /// Whether it leads nowhere: it has waited for as long as `most`.
    pub(crate) fn is_dead(&self, most: Duration, now: Instant) -> bool {
        self.waits_for(now) >= most
    }

    /// Whether something has arrived within `time`.
    pub(crate) fn has_grown_within(&self, time: Duration, now: Instant) -> bool {
        self.grew
            .is_some_and(|grew| now.saturating_duration_since(grew) <= time)
    }
}

/// Whether it looks as if no packet of ordinary size passed: something waits, and on no connection
/// of the session has much arrived.
pub(crate) fn only_small_ones_pass(all: &[Watched], now: Instant) -> bool {
    let is_small = |watched: &Watched| watched.confirmed < SMALL;
    all.iter().all(is_small) && all.iter().any(|watched| watched.stands_still(now))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watched(looks: &[(u64, u64, bool)]) -> (Watched, impl Fn(u64) -> Instant) {
        let begin = Instant::now();
        let mut watched = Watched::default();
        for &(second, confirmed, waits) in looks {
            let now = begin + Duration::from_secs(second);
            watched.look(Delivery { confirmed, waits }, now);
        }
        (watched, move |second| begin + Duration::from_secs(second))
    }

    #[test]
    fn only_one_that_waits_without_an_answer_is_dead() {
        for (looks, dead_at) in [
            (&[(0, 100, true)][..], Some(45)),
            (&[(0, 100, true), (40, 100, true)], Some(45)),
            // Something arrives, however little.
            (&[(0, 100, true), (40, 101, true)], Some(85)),
            // There is nothing to send, or no room for it there.
            (&[(0, 100, true), (40, 100, false)], None),
            (
                &[(0, 100, true), (40, 100, false), (50, 100, true)],
                Some(95),
            ),
        ] {
            let (watched, at) = watched(looks);
            assert!(
                !watched.is_dead(UNDELIVERED, at(dead_at.unwrap_or(1000) - 1)),
                "{looks:?}"
            );
            assert_eq!(
                watched.is_dead(UNDELIVERED, at(1000)),
                dead_at.is_some(),
                "{looks:?}"
            );
        }
    }

    #[test]
    fn whatever_has_passed_once_was_no_small_packet() {
        let (stuck, at) = watched(&[(0, 3000, true)]);
        let (idle, _) = watched(&[(0, 3000, false)]);
        let (moves, _) = watched(&[(0, 1_000_000, false)]);
        assert!(only_small_ones_pass(&[idle, stuck], at(20)));
        assert!(!only_small_ones_pass(&[idle, stuck], at(5)));
        assert!(!only_small_ones_pass(&[idle, idle], at(20)));
        assert!(!only_small_ones_pass(&[moves, stuck], at(20)));
    }
}
