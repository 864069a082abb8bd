//! How often codes are shown: strangers who come back with another key each time get a new one each
//! time, and must neither fill the screen nor keep others from theirs.
//!
//! Must not know codes.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use super::super::network::Network;

/// How soon the next one is shown where there were many; doubled for each further one.
const FIRST_PAUSE: Duration = Duration::from_secs(2);

/// What was shown, how often, and when last.
#[derive(Debug, Clone, Copy)]
pub(super) struct Showings {
    /// How many are shown before there is a pause.
    free: u32,
    /// The longest pause.
    most: Duration,
    count: u32,
    last: Option<Instant>,
}

impl Showings {
    const fn new(free: u32, most: u64) -> Self {
        Self {
            free,
            most: Duration::from_secs(most),
            count: 0,
            last: None,
        }
    }

    /// Of one code, which is shown again to whoever tries again.
    pub(super) const fn of_a_code() -> Self {
        Self::new(1, 60)
    }

    /// Of new codes for one address: some for those who share a machine, or try again.
    const fn of_an_address() -> Self {
        Self::new(6, 60)
    }

    /// For one network, which can have all people of a household, or one host with many addresses.
    const fn of_a_network() -> Self {
        Self::new(8, 30)
    }

    /// For all. It is short so that a flood, once it has ended, keeps nobody waiting.
    const fn of_all() -> Self {
        Self::new(16, 4)
    }

    /// Whether it may be shown now.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        let Some(last) = self.last else {
            return true;
        };
        let Some(over) = self.count_at(now).checked_sub(self.free) else {
            return true;
        };
        let pause = FIRST_PAUSE.saturating_mul(1 << over.min(16));
        now.saturating_duration_since(last) >= pause.min(self.most)
    }

    /// Notes that it is shown.
    pub(super) fn note(&mut self, now: Instant) {
        self.count = self.count_at(now).saturating_add(1);
        self.last = Some(now);
    }

    /// How many count still: each of the longest pauses that pass makes it one less.
    fn count_at(&self, now: Instant) -> u32 {
        let passed =
            |last| now.saturating_duration_since(last).as_secs() / self.most.as_secs().max(1);
        let passed = self.last.map_or(0, passed);
        (self.count).saturating_sub(u32::try_from(passed).unwrap_or(u32::MAX))
    }

    fn is_quiet(&self, now: Instant) -> bool {
        self.count_at(now) == 0
    }
}

/// How many new codes were shown lately, and for whom. Those for all together are so few that the
/// others take little room.
#[derive(Debug)]
pub(super) struct CodeShowings {
    all: Showings,
    networks: HashMap<Network, Showings>,
    addresses: HashMap<IpAddr, Showings>,
}

impl Default for CodeShowings {
    fn default() -> Self {
        Self {
            all: Showings::of_all(),
            networks: HashMap::new(),
            addresses: HashMap::new(),
        }
    }
}

impl CodeShowings {
    /// Whether a new code may be shown for somebody at this address, which counts then. Of a network
    /// or an address that has had many, it costs the others nothing when one more is declined.
    pub(super) fn take(&mut self, addr: SocketAddr, now: Instant) -> bool {
        self.networks.retain(|_, shown| !shown.is_quiet(now));
        self.addresses.retain(|_, shown| !shown.is_quiet(now));
        let network = self.networks.get(&Network::from(addr));
        let address = self.addresses.get(&addr.ip());
        let is_due = |shown: &&Showings| shown.is_due(now);
        let due = network.is_none_or(|shown| is_due(&shown))
            && address.is_none_or(|shown| is_due(&shown))
            && self.all.is_due(now);
        if due {
            let networks = self.networks.entry(Network::from(addr));
            networks.or_insert(Showings::of_a_network()).note(now);
            let addresses = self.addresses.entry(addr.ip());
            addresses.or_insert(Showings::of_an_address()).note(now);
            self.all.note(now);
        }
        due
    }

    /// Somebody at this address was paired with: whoever is there is no flood.
    pub(super) fn forget(&mut self, addr: SocketAddr) {
        self.networks.remove(&Network::from(addr));
        self.addresses.remove(&addr.ip());
        self.all.count = self.all.count.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(network: u16, host: u16) -> SocketAddr {
        format!("[2001:db8:{network}::{host}]:1").parse().unwrap()
    }

    /// How many codes a flood gets that asks at once, again and again, for ten minutes.
    fn flood(shown: &mut CodeShowings, from: impl Fn(u16) -> SocketAddr, now: Instant) -> usize {
        let seconds = (0..600).flat_map(|second| (0..5_u16).map(move |n| (second, n)));
        let took = seconds.filter(|&(second, n)| {
            let n = u16::try_from(second).unwrap() * 5 + n;
            shown.take(from(n), now + Duration::from_secs(second))
        });
        took.count()
    }

    #[test]
    fn a_flood_of_one_address_gets_few_and_keeps_others_from_none() {
        let now = Instant::now();
        let mut shown = CodeShowings::default();
        let few = flood(&mut shown, |_| at(1, 1), now);
        assert!((10..=20).contains(&few), "{few}");
        for n in 2..10 {
            assert!(shown.take(at(n, 1), now + Duration::from_secs(600)), "{n}");
        }
    }

    #[test]
    fn a_flood_of_one_network_gets_few_and_keeps_others_from_none() {
        let now = Instant::now();
        let mut shown = CodeShowings::default();
        let few = flood(&mut shown, |n| at(1, n), now);
        assert!((20..=32).contains(&few), "{few}");
        let later = now + Duration::from_secs(604);
        assert!(shown.take(at(2, 1), later));
    }

    #[test]
    fn a_flood_of_many_networks_is_bounded_and_over_when_it_ends() {
        let now = Instant::now();
        let mut shown = CodeShowings::default();
        let some = flood(&mut shown, |n| at(n, 1), now);
        assert!((100..=170).contains(&some), "{some}");
        assert!(shown.networks.len() <= 170);
        let later = now + Duration::from_secs(604);
        assert!(shown.take(at(9999, 1), later));
    }

    #[test]
    fn whoever_tries_again_sees_the_code_again() {
        let now = Instant::now();
        let mut shown = Showings::of_a_code();
        assert!(shown.is_due(now));
        shown.note(now);
        let after = |seconds| now + Duration::from_secs(seconds);
        assert!(!shown.is_due(after(1)));
        assert!(shown.is_due(after(2)));
        for _ in 0..100 {
            shown.note(now);
        }
        assert!(!shown.is_due(after(59)) && shown.is_due(after(60)));
    }
}
