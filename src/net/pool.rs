//! `Pool`: a resource that all sessions share, with a limit for all and one for each peer.
//!
//! Must not know what the resource is, nor wait for more.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::Fingerprint;
use super::network::Network;

/// Who uses a part of a pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum PoolHolder {
    /// A known machine, by its key.
    Known(Fingerprint),
    /// Anyone else, by network: anybody can create keys for free.
    Stranger(Network),
}

/// The limits of a pool.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PoolBounds {
    /// For all together.
    pub(crate) all: usize,
    /// For all strangers together.
    pub(crate) strangers: usize,
    /// For each holder.
    pub(crate) each: usize,
}

impl PoolBounds {
    /// The limits for a total of `all`: strangers together get at most three quarters, and each
    /// holder at most half. If there is too little for that, at least one.
    pub(crate) fn shared(all: usize) -> Self {
        Self {
            all,
            strangers: all.saturating_sub(all.div_ceil(4)).max(1),
            each: all.div_ceil(2),
        }
    }

    /// The same limits, with at most `each` for each holder.
    pub(crate) fn at_most(self, each: usize) -> Self {
        Self {
            each: self.each.min(each),
            ..self
        }
    }
}

#[derive(Debug, Default)]
struct PoolTaken {
    all: usize,
    strangers: usize,
    each: HashMap<PoolHolder, usize>,
}

/// A shared resource, and who uses how much of it.
#[derive(Debug)]
pub(crate) struct Pool {
    bounds: PoolBounds,
    taken: Mutex<PoolTaken>,
}

impl Pool {
    pub(crate) fn new(bounds: PoolBounds) -> Self {
        Self {
            bounds,
            taken: Mutex::default(),
        }
    }

    fn taken(&self) -> MutexGuard<'_, PoolTaken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn left_of(&self, taken: &PoolTaken, holder: &PoolHolder) -> usize {
        let PoolBounds {
            all,
            strangers,
            each,
        } = self.bounds;
        let has = taken.each.get(holder).copied().unwrap_or_default();
        let left = all.saturating_sub(taken.all).min(each.saturating_sub(has));
        match holder {
            PoolHolder::Known(_) => left,
            PoolHolder::Stranger(_) => left.min(strangers.saturating_sub(taken.strangers)),
        }
    }

    /// How much more a holder can take.
    pub(crate) fn left(&self, holder: PoolHolder) -> usize {
        self.left_of(&self.taken(), &holder)
    }

    /// Whether a holder's own limit forbids taking `amount` more, whatever others use.
    pub(crate) fn is_full_of(&self, holder: PoolHolder, amount: usize) -> bool {
        let has = self.taken().each.get(&holder).copied();
        has.unwrap_or_default() + amount > self.bounds.each
    }

    /// Takes `amount`, if it is available.
    pub(crate) fn take(&self, holder: PoolHolder, amount: usize) -> bool {
        let mut taken = self.taken();
        let can = self.left_of(&taken, &holder) >= amount;
        if can {
            taken.add(holder, amount);
        }
        can
    }

    /// Takes `amount` even if it is not available: for what a session needs to continue.
    pub(crate) fn take_anyway(&self, holder: PoolHolder, amount: usize) {
        self.taken().add(holder, amount);
    }

    /// Gives back what was taken.
    pub(crate) fn give_back(&self, holder: PoolHolder, amount: usize) {
        let mut taken = self.taken();
        taken.all = taken.all.saturating_sub(amount);
        if matches!(holder, PoolHolder::Stranger(_)) {
            taken.strangers = taken.strangers.saturating_sub(amount);
        }
        if let Some(has) = taken.each.get_mut(&holder) {
            *has = has.saturating_sub(amount);
            if *has == 0 {
                taken.each.remove(&holder);
            }
        }
    }
}

impl PoolTaken {
    fn add(&mut self, holder: PoolHolder, amount: usize) {
        self.all = self.all.saturating_add(amount);
        if matches!(holder, PoolHolder::Stranger(_)) {
            self.strangers = self.strangers.saturating_add(amount);
        }
        let has = self.each.entry(holder).or_default();
        *has = has.saturating_add(amount);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::SocketAddr;

    fn stranger(n: u8) -> PoolHolder {
        PoolHolder::Stranger(SocketAddr::from(([10, 0, 0, n], 1)).into())
    }

    fn known(n: u8) -> PoolHolder {
        PoolHolder::Known(Fingerprint([n; 32]))
    }

    #[test]
    fn nobody_takes_all_and_strangers_leave_some() {
        let pool = Pool::new(PoolBounds::shared(16));
        assert!(!pool.take(known(1), 9));
        assert!(pool.take(known(1), 8));
        assert_eq!(pool.left(known(1)), 0);
        pool.give_back(known(1), 8);
        // However many strangers there are.
        let taken = (0..40).filter(|&n| pool.take(stranger(n), 1)).count();
        assert_eq!(taken, 12);
        assert_eq!(pool.left(known(1)), 4);
        assert!(pool.take(known(1), 4));
        pool.give_back(stranger(0), 1);
        assert_eq!(pool.left(stranger(1)), 1);
        // What was taken anyway counts.
        pool.take_anyway(known(2), 3);
        assert_eq!(pool.left(stranger(1)), 0);
    }

    #[test]
    fn where_there_is_one_anybody_can_have_it() {
        for holder in [known(1), stranger(1)] {
            let pool = Pool::new(PoolBounds::shared(1));
            assert!(pool.take(holder, 1));
            assert!(!pool.take(known(2), 1));
        }
    }
}
