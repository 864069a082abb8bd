//! `AskedOffers`: how many offers wait for the user, and of whom.
//!
//! Must not ask the user.

use crate::net::{Pool, PoolBounds, PoolHolder};

/// How many offers of strangers can wait for the user at once.
const OF_STRANGERS: PoolBounds = PoolBounds {
    all: 6,
    strangers: 6,
    each: 2,
};
/// How many of those that are known here.
const OF_KNOWN: PoolBounds = PoolBounds {
    all: 8,
    strangers: 0,
    each: 4,
};

/// The offers that wait for the user. Strangers have no place of those that are known.
#[derive(Debug)]
pub(super) struct AskedOffers {
    strangers: Pool,
    known: Pool,
}

impl AskedOffers {
    pub(super) fn new() -> Self {
        Self {
            strangers: Pool::new(OF_STRANGERS),
            known: Pool::new(OF_KNOWN),
        }
    }

    /// Has one more of `holder` wait. None where too many do.
    pub(super) fn add(&self, holder: PoolHolder) -> Option<AskedOffer<'_>> {
        let offers = match holder {
            PoolHolder::Stranger(_) => &self.strangers,
            PoolHolder::Known(_) => &self.known,
        };
        offers
            .take(holder, 1)
            .then(|| AskedOffer { offers, holder })
    }
}

/// An offer that waits for the user, until it is dropped.
pub(super) struct AskedOffer<'a> {
    offers: &'a Pool,
    holder: PoolHolder,
}

impl Drop for AskedOffer<'_> {
    fn drop(&mut self) {
        self.offers.give_back(self.holder, 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::{Fingerprint, Network};
    use std::net::SocketAddr;

    fn stranger(addr: &str) -> PoolHolder {
        PoolHolder::Stranger(Network::from(addr.parse::<SocketAddr>().unwrap()))
    }

    #[test]
    fn no_stranger_has_all_places_nor_one_of_those_who_are_known() {
        let asked = AskedOffers::new();
        let mut waiting = Vec::new();
        for (network, places) in [("1", 2), ("2", 2), ("3", 2), ("4", 0)] {
            // As many addresses as it likes are one.
            let all = (1..9).map(|host| stranger(&format!("[2001:db8:{network}::{host}]:1")));
            let before = waiting.len();
            waiting.extend(all.filter_map(|one| asked.add(one)));
            assert_eq!(waiting.len() - before, places);
        }
        let known = |n| PoolHolder::Known(Fingerprint([n; 32]));
        let first: Vec<_> = (0..9).filter_map(|_| asked.add(known(1))).collect();
        assert!(first.len() < 8);
        let second = asked.add(known(2)).unwrap();
        drop((waiting.pop(), second));
        assert!(asked.add(stranger("10.0.0.1:1")).is_some());
    }
}
