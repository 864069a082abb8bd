//! `AddressQueue`: addresses that wait to be tried, IPv4 and IPv6 by turns (RFC 8305, section 4).
//!
//! Must not try them.

use std::collections::{HashSet, VecDeque};
use std::net::SocketAddr;

/// The most addresses that wait to be tried for one target: whoever answers a question about a name
/// may answer with as many as they like.
const MAX_ADDRESSES: usize = 64;
/// How many are remembered that were tried.
const MAX_TRIED: usize = 1024;

/// What waits to be tried. No address comes twice, until [`AddressQueue::forget`] says
/// so.
#[derive(Debug, Default)]
pub(super) struct AddressQueue {
    /// By family, in the order in which they were found.
    waiting: [VecDeque<SocketAddr>; 2],
    known: HashSet<SocketAddr>,
    /// The family whose turn it is.
    turn: Option<usize>,
}

impl AddressQueue {
    pub(super) fn add(&mut self, addr: SocketAddr) {
        let waiting: usize = self.waiting.iter().map(VecDeque::len).sum();
        if waiting >= MAX_ADDRESSES {
            return;
        }
        if self.known.len() >= MAX_TRIED {
            self.known.clear();
        }
        if self.known.insert(addr) {
            let family = usize::from(addr.is_ipv4());
            self.waiting[family].push_back(addr);
            // The system prefers that of the first one.
            self.turn.get_or_insert(family);
        }
    }

    /// The next one to try.
    pub(super) fn next(&mut self) -> Option<SocketAddr> {
        let turn = self.turn?;
        let mine = self.waiting[turn].pop_front();
        let next = mine.or_else(|| self.waiting[1 - turn].pop_front())?;
        self.turn = Some(usize::from(!next.is_ipv4()));
        Some(next)
    }

    /// Whether none waits.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.iter().all(VecDeque::is_empty)
    }

    /// Lets an address that is not waiting be tried again.
    pub(super) fn forget(&mut self, addr: SocketAddr) {
        if !self.waiting.iter().any(|waiting| waiting.contains(&addr)) {
            self.known.remove(&addr);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(candidates: &mut AddressQueue) -> Vec<String> {
        std::iter::from_fn(|| candidates.next())
            .map(|addr| addr.to_string())
            .collect()
    }

    #[test]
    fn families_take_turns_from_the_first_one_on() {
        let mut candidates = AddressQueue::default();
        for addr in [
            "[fd00::1]:1",
            "[fd00::2]:1",
            "[fd00::3]:1",
            "10.0.0.1:1",
            "10.0.0.2:1",
            "[fd00::1]:1",
        ] {
            candidates.add(addr.parse().unwrap());
        }
        let order = [
            "[fd00::1]:1",
            "10.0.0.1:1",
            "[fd00::2]:1",
            "10.0.0.2:1",
            "[fd00::3]:1",
        ];
        assert_eq!(all(&mut candidates), order);
        candidates.add(order[0].parse().unwrap());
        assert!(candidates.is_empty());
        let first = order[0].parse().unwrap();
        candidates.forget(first);
        candidates.add(first);
        assert_eq!(all(&mut candidates), [order[0]]);
    }

    #[test]
    fn there_are_only_so_many() {
        let mut candidates = AddressQueue::default();
        for port in 1..1000 {
            candidates.add(([10, 0, 0, 1], port).into());
        }
        assert_eq!(all(&mut candidates).len(), MAX_ADDRESSES);
        // Those that were tried are in nobody's way.
        candidates.add(([10, 0, 0, 2], 1).into());
        assert_eq!(all(&mut candidates), ["10.0.0.2:1"]);
    }
}
