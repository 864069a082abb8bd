//! `WrongAttempts`: how often somebody came without the secret, which makes the next answer slower.
//!
//! Must not know the secret, nor wait.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::limits::{MANY_WRONG, MAX_COUNTED_NETWORKS, MAX_WRONG_PAUSE, WRONG_PAUSE};
use crate::net::Network;

/// Counts wrong addresses, by the network that they came from.
#[derive(Debug, Default)]
pub(super) struct WrongAttempts(Mutex<HashMap<Network, u32>>);

/// What a wrong attempt leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct WrongAnswer {
    /// How long its answer waits.
    pub(super) pause: Duration,
    /// Whether it is the one at which the user is told.
    pub(super) tells: bool,
}

impl WrongAttempts {
    /// Counts one more from `peer`.
    pub(super) fn add(&self, peer: SocketAddr) -> WrongAnswer {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let network = Network::from(peer);
        if all.len() >= MAX_COUNTED_NETWORKS && !all.contains_key(&network) {
            // Another one begins anew: what guesses from so many networks has no more luck by that.
            let fewest = all.iter().min_by_key(|(_, count)| **count);
            if let Some(fewest) = fewest.map(|(network, _)| *network) {
                all.remove(&fewest);
            }
        }
        let count = all.entry(network).or_default();
        *count = count.saturating_add(1);
        WrongAnswer {
            pause: WRONG_PAUSE.saturating_mul(*count).min(MAX_WRONG_PAUSE),
            tells: *count == MANY_WRONG,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_wrong_attempt_of_a_network_is_slower_and_many_are_told_once() {
        let attempts = WrongAttempts::default();
        let from = |text: &str| attempts.add(text.parse().unwrap());
        let all: Vec<_> = (0..20)
            .map(|port| from(&format!("10.0.0.1:{}", port + 1)))
            .collect();
        assert_eq!(all[0].pause, WRONG_PAUSE);
        assert!(all.is_sorted_by_key(|wrong| wrong.pause));
        assert_eq!(all[19].pause, MAX_WRONG_PAUSE);
        assert_eq!(all.iter().filter(|wrong| wrong.tells).count(), 1);
        assert_eq!(from("10.0.0.2:1").pause, WRONG_PAUSE);
        for network in 0..2 * MAX_COUNTED_NETWORKS {
            from(&format!("10.1.{}.{}:1", network / 256, network % 256));
        }
        assert_eq!(attempts.0.lock().unwrap().len(), MAX_COUNTED_NETWORKS);
        assert_eq!(
            from("10.0.0.1:1").pause,
            MAX_WRONG_PAUSE,
            "it is not forgotten"
        );
    }
}
