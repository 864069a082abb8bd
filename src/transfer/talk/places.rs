//! `TalkPlaces`: how many messages are under way at once, how many come in a while, and how many
//! questions wait for the user; of each peer, and of all.
//!
//! Must not lose a message for being one of many: it is made to wait first.

use std::collections::HashMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::net::{Pool, PoolBounds, PoolHolder};

/// How many messages can be under way at once: each may take as many bytes as a message has.
const MOST: usize = 16;
/// How many of these can be one peer's.
const MOST_OF_ONE: usize = 4;
/// How many messages of one peer are shown in a second, in the long run; and how many at once before
/// that.
const RATE: u64 = 20;
const BURST: u64 = 100;
/// How many bytes of a message count as one more.
const BYTES_OF_ONE: u64 = 16 << 10;
/// How many questions can wait for the user.
const QUESTIONS: PoolBounds = PoolBounds {
    all: 8,
    strangers: 0,
    each: 4,
};
/// What counts as one message, in the unit of what is left.
const ONE: i64 = 1000;

/// What there is for messages.
#[derive(Debug)]
pub(in super::super) struct TalkPlaces {
    taken: Mutex<Talkers>,
    changed: Condvar,
    questions: Pool,
}

#[derive(Debug, Default)]
struct Talkers {
    all: usize,
    /// How many questions wait for the user.
    asked: usize,
    each: HashMap<PoolHolder, Talker>,
}

#[derive(Debug)]
struct Talker {
    /// How many of its messages are under way.
    now: usize,
    /// How many more it may send at once, in thousandths; less than none where it has to wait.
    left: i64,
    /// When that was.
    since: Instant,
}

impl Talker {
    const FULL: i64 = BURST as i64 * ONE;

    fn new(now: Instant) -> Self {
        Self {
            now: 0,
            left: Self::FULL,
            since: now,
        }
    }

    fn refill(&mut self, now: Instant) {
        let millis = now.saturating_duration_since(self.since).as_millis();
        let more = i64::try_from(millis).unwrap_or(i64::MAX);
        let more = more.saturating_mul(RATE as i64);
        self.left = self.left.saturating_add(more).min(Self::FULL);
        self.since = now;
    }

    /// Takes what a message of so many bytes costs; says how long it has to wait.
    fn spend(&mut self, bytes: usize, now: Instant) -> Duration {
        self.refill(now);
        let cost = ONE + ONE * i64::try_from(bytes as u64 / BYTES_OF_ONE).unwrap_or(0);
        self.left = self.left.saturating_sub(cost);
        let lacks = u64::try_from(self.left.saturating_neg()).unwrap_or(0);
        Duration::from_millis(lacks / RATE)
    }
}

impl TalkPlaces {
    pub(in super::super) fn new() -> Self {
        Self {
            taken: Mutex::default(),
            changed: Condvar::new(),
            questions: Pool::new(QUESTIONS),
        }
    }

    fn taken(&self) -> MutexGuard<'_, Talkers> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn waited<'a>(
        &'a self,
        taken: MutexGuard<'a, Talkers>,
        end: Instant,
    ) -> Option<MutexGuard<'a, Talkers>> {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return None;
        }
        let waited = self.changed.wait_timeout(taken, left);
        Some(waited.unwrap_or_else(PoisonError::into_inner).0)
    }

    /// A place for a message of `holder`. None where there is none within `time`.
    pub(super) fn take(&self, holder: PoolHolder, time: Duration) -> Option<TalkPlace<'_>> {
        let end = Instant::now() + time;
        let mut taken = self.taken();
        loop {
            let has = taken.each.get(&holder).map_or(0, |talker| talker.now);
            if taken.all < MOST && has < MOST_OF_ONE {
                let now = Instant::now();
                // Whoever has not said anything for a while is as one that never did.
                taken.each.retain(|_, talker| {
                    talker.refill(now);
                    talker.now > 0 || talker.left < Talker::FULL
                });
                let talker = taken.each.entry(holder).or_insert_with(|| Talker::new(now));
                talker.now += 1;
                taken.all += 1;
                return Some(TalkPlace {
                    places: self,
                    holder,
                });
            }
            taken = self.waited(taken, end)?;
        }
    }

    /// Waits until no message is under way and no question waits, but not longer than `time`.
    pub(in super::super) fn wait_for_none(&self, time: Duration) {
        let end = Instant::now() + time;
        let mut taken = self.taken();
        while taken.all + taken.asked > 0 {
            let Some(still) = self.waited(taken, end) else {
                return;
            };
            taken = still;
        }
    }
}

/// A place for a message, until it is dropped.
#[derive(Debug)]
pub(super) struct TalkPlace<'a> {
    places: &'a TalkPlaces,
    holder: PoolHolder,
}

impl<'a> TalkPlace<'a> {
    /// Counts a message of so many bytes; says how long it has to wait to be shown.
    pub(super) fn spend(&self, bytes: usize) -> Duration {
        let mut taken = self.places.taken();
        let talker = taken.each.get_mut(&self.holder);
        talker.map_or(Duration::ZERO, |talker| talker.spend(bytes, Instant::now()))
    }

    /// A place for its question, which stays when this one is given back. None where too many
    /// wait.
    pub(super) fn question(&self) -> Option<TalkQuestion<'a>> {
        let (places, holder) = (self.places, self.holder);
        if !places.questions.take(holder, 1) {
            return None;
        }
        places.taken().asked += 1;
        Some(TalkQuestion { places, holder })
    }
}

impl Drop for TalkPlace<'_> {
    fn drop(&mut self) {
        let mut taken = self.places.taken();
        taken.all = taken.all.saturating_sub(1);
        if let Some(talker) = taken.each.get_mut(&self.holder) {
            talker.now = talker.now.saturating_sub(1);
        }
        drop(taken);
        self.places.changed.notify_all();
    }
}

/// A question that waits for the user, until it is dropped.
#[derive(Debug)]
pub(super) struct TalkQuestion<'a> {
    places: &'a TalkPlaces,
    holder: PoolHolder,
}

impl Drop for TalkQuestion<'_> {
    fn drop(&mut self) {
        self.places.questions.give_back(self.holder, 1);
        let mut taken = self.places.taken();
        taken.asked = taken.asked.saturating_sub(1);
        drop(taken);
        self.places.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::Fingerprint;

    fn known(n: u8) -> PoolHolder {
        PoolHolder::Known(Fingerprint([n; 32]))
    }

    #[test]
    fn no_peer_has_all_places_and_each_comes_back() {
        let places = TalkPlaces::new();
        let take = |n| places.take(known(n), Duration::ZERO);
        let first: Vec<_> = (0..9).map_while(|_| take(1)).collect();
        assert_eq!(first.len(), MOST_OF_ONE);
        let mut others = Vec::new();
        for n in 2..9 {
            others.extend((0..9).map_while(|_| take(n)));
        }
        assert_eq!(first.len() + others.len(), MOST);
        let questions: Vec<_> = first.iter().filter_map(TalkPlace::question).collect();
        assert_eq!(questions.len(), 4);
        drop(questions);
        drop(first);
        assert!(take(1).is_some());
        drop(others);
        places.wait_for_none(Duration::ZERO);
        assert_eq!(places.taken().all, 0);
    }

    #[test]
    fn many_messages_are_slowed_down_and_long_ones_count_more() {
        let begin = Instant::now();
        let mut talker = Talker::new(begin);
        let waits: Vec<_> = (0..BURST + 20).map(|_| talker.spend(10, begin)).collect();
        assert!(waits[..100].iter().all(Duration::is_zero));
        assert_eq!(waits[119], Duration::from_secs(1));
        // After a while all is as it was.
        let later = begin + Duration::from_secs(10);
        assert_eq!(talker.spend(10, later), Duration::ZERO);
        let mut talker = Talker::new(begin);
        let waits: Vec<_> = (0..4).map(|_| talker.spend(1 << 20, begin)).collect();
        assert!(waits[0].is_zero() && waits[3] > Duration::from_secs(5));
    }
}
