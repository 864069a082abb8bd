//! Admission: how many connections may wait to be let in, and which ones make room for others.
//!
//! Must not know what a connection says, nor wait. `trust` and `pairing` decide who is let in, and
//! `slots` how many sessions there may be.
//! `pairing` decide; how many sessions there may be, `slots` does.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::network::Network;
use crate::sys::{host, socket};

/// How many connections can wait at each stage to being let in.
const MAX_WAITING: usize = 192;
/// How many of these can be from one network: more than the lanes of a session.
const MAX_WAITING_PER_NETWORK: usize = 96;
/// How many connections of a network, or of one address in it, do not count against it when others
/// need room: a sender opens its lanes all at once.
const FEW: usize = 16;
/// What part of the descriptors that a process may have those that wait can take, all told: files
/// and sessions need some, too.
const PART_OF_DESCRIPTORS: usize = 4;
/// How many can wait at the very least, where few descriptors are allowed.
const MIN_WAITING: usize = 8;

/// How far a connection has come. Those that have come as far make room for each other, so that
/// the cheap ones are in nobody's way who has done more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    /// It has said nothing.
    Connected,
    /// It has begun as xfer begins.
    Greeted,
    /// It has proven who it is, which is nobody that is known here.
    Proven,
    /// It has proven to be somebody that is known here.
    Known,
}

/// All but the last, the cheapest first.
const STRANGERS: [Stage; 3] = [Stage::Connected, Stage::Greeted, Stage::Proven];

/// The connections that have not joined or begun a session. Where there are too many, the oldest
/// goes and not the newest: a sender that means it is let in at once. A network that has many of
/// them pays first, so that it hurts itself before others. Those that are known here have places
/// of their own: they make room for each other alone.
pub(crate) struct Admission {
    /// How many there may be at each stage.
    most: usize,
    /// How many there may be at the stages of strangers together.
    most_strangers: usize,
    most_per_network: usize,
    waiting: Mutex<Candidates>,
}

#[derive(Default)]
struct Candidates {
    next: u64,
    /// The oldest one first.
    list: BTreeMap<u64, CandidateEntry>,
}

struct CandidateEntry {
    network: Network,
    /// Where in its network it is from: there may be others.
    ip: IpAddr,
    stage: Stage,
    stream: Arc<TcpStream>,
}

/// A connection that is not let in yet, or just was. It counts until it is dropped.
pub(crate) struct Candidate {
    admission: Arc<Admission>,
    id: u64,
    is_in: AtomicBool,
}

impl fmt::Debug for Candidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Candidate").field(&self.id).finish()
    }
}

impl Admission {
    pub(crate) fn new() -> Arc<Self> {
        let share = host::limit_of_open() / PART_OF_DESCRIPTORS;
        let most = MAX_WAITING.min(share / 2).max(MIN_WAITING);
        let strangers = share.max(2 * MIN_WAITING);
        Self::with(
            most,
            strangers,
            MAX_WAITING_PER_NETWORK.min(most.div_ceil(2)),
        )
    }

    fn with(most: usize, most_strangers: usize, most_per_network: usize) -> Arc<Self> {
        Arc::new(Self {
            most,
            most_strangers,
            most_per_network,
            waiting: Mutex::default(),
        })
    }

    fn waiting(&self) -> MutexGuard<'_, Candidates> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes up a connection, and turns others away where there are too many.
    pub(crate) fn enter(self: &Arc<Self>, peer: SocketAddr, stream: Arc<TcpStream>) -> Candidate {
        let mut waiting = self.waiting();
        let id = waiting.next;
        waiting.next += 1;
        let (network, stage) = (Network::from(peer), Stage::Connected);
        let entry = CandidateEntry {
            network,
            ip: peer.ip(),
            stage,
            stream,
        };
        waiting.list.insert(id, entry);
        self.bound(&mut waiting, network, stage);
        Candidate {
            admission: self.clone(),
            id,
            is_in: AtomicBool::new(false),
        }
    }

    /// Turns away as many as there are too many after one from `network` came to `stage`.
    fn bound(&self, waiting: &mut Candidates, network: Network, stage: Stage) {
        let there = waiting.list.values().filter(|w| w.stage == stage);
        if there.clone().filter(|w| w.network == network).count() > self.most_per_network {
            waiting.make_room(|w| w.network == network && w.stage == stage);
        } else if there.count() > self.most {
            waiting.make_room(|w| w.stage == stage);
        } else if waiting.strangers() > self.most_strangers {
            let count = |stage: Stage| waiting.list.values().filter(|w| w.stage == stage).count();
            // Those who have just come may be the only ones at their stage.
            let fullest = STRANGERS
                .into_iter()
                .rev()
                .max_by_key(|&stage| count(stage));
            fullest.map(|stage| waiting.make_room(|w| w.stage == stage));
        }
    }

    /// Turns one away of those who have done the least, if there is one.
    pub(crate) fn make_room(&self) {
        let mut waiting = self.waiting();
        let mut stages = STRANGERS.into_iter().chain([Stage::Known]);
        let _ = stages.any(|stage| waiting.make_room(|w| w.stage == stage));
    }
}

impl fmt::Debug for Admission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admission").finish_non_exhaustive()
    }
}

impl Candidates {
    /// How many there are that nobody is known to be.
    fn strangers(&self) -> usize {
        let all = self.list.values();
        all.filter(|w| STRANGERS.contains(&w.stage)).count()
    }

    /// Turns one away of those that are meant, if there is one: of the network that has the most of
    /// them, and there of the address that has, where these have more than a few; and of those the
    /// oldest.
    fn make_room(&mut self, is_meant: impl Fn(&CandidateEntry) -> bool) -> bool {
        let mut networks: HashMap<Network, usize> = HashMap::new();
        let mut addresses: HashMap<(Network, IpAddr), usize> = HashMap::new();
        let meant = || self.list.iter().filter(|(_, entry)| is_meant(entry));
        for (_, entry) in meant() {
            *networks.entry(entry.network).or_default() += 1;
            *addresses.entry((entry.network, entry.ip)).or_default() += 1;
        }
        let excess = |count: Option<&usize>| count.map_or(0, |count| count.saturating_sub(FEW));
        // Of equal ones this gives the last, which from behind is the oldest.
        let first = meant().rev().max_by_key(|(_, entry)| {
            let address = (entry.network, entry.ip);
            (
                excess(networks.get(&entry.network)),
                excess(addresses.get(&address)),
            )
        });
        let Some(entry) = first
            .map(|(&id, _)| id)
            .and_then(|id| self.list.remove(&id))
        else {
            return false;
        };
        // Its thread gets an end or an error, and finds out why from its candidate.
        socket::close(&entry.stream);
        true
    }
}

impl Candidate {
    /// Notes that it has come to the next stage.
    pub(crate) fn reached(&self, stage: Stage) {
        let mut waiting = self.admission.waiting();
        if let Some(entry) = waiting.list.get_mut(&self.id) {
            entry.stage = stage;
            let network = entry.network;
            self.admission.bound(&mut waiting, network, stage);
        }
    }

    /// Lets it in: from now on it makes room for nobody.
    pub(crate) fn let_in(&self) {
        if self.admission.waiting().list.remove(&self.id).is_some() {
            self.is_in.store(true, Ordering::Release);
        }
    }

    /// Whether it had to go.
    pub(crate) fn was_displaced(&self) -> bool {
        !self.is_in.load(Ordering::Acquire) && !self.admission.waiting().list.contains_key(&self.id)
    }
}

impl Drop for Candidate {
    fn drop(&mut self) {
        self.admission.waiting().list.remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::net::TcpListener;

    const A: [u8; 4] = [192, 0, 2, 1];
    const B: [u8; 4] = [192, 0, 2, 2];

    struct Arrivals {
        admission: Arc<Admission>,
        listener: TcpListener,
    }

    impl Arrivals {
        fn new(most: usize, most_strangers: usize, most_per_network: usize) -> Self {
            Self {
                admission: Admission::with(most, most_strangers, most_per_network),
                listener: TcpListener::bind("127.0.0.1:0").unwrap(),
            }
        }

        /// Somebody who says that it is from `addr`, and what it has of the connection.
        fn enter(&self, ip: impl Into<IpAddr>) -> (Candidate, TcpStream) {
            let theirs = TcpStream::connect(self.listener.local_addr().unwrap()).unwrap();
            let ours = Arc::new(self.listener.accept().unwrap().0);
            (self.admission.enter((ip.into(), 1).into(), ours), theirs)
        }
    }

    fn gone(candidates: &[(Candidate, TcpStream)]) -> Vec<bool> {
        candidates.iter().map(|(c, _)| c.was_displaced()).collect()
    }

    #[test]
    fn the_oldest_of_an_address_makes_room() {
        let arrivals = Arrivals::new(100, 100, 3);
        let mut candidates: Vec<_> = (0..3).map(|_| arrivals.enter(A)).collect();
        candidates.push(arrivals.enter(B));
        assert_eq!(gone(&candidates), [false; 4]);
        candidates.push(arrivals.enter(A));
        assert_eq!(gone(&candidates), [true, false, false, false, false]);
        let mut ended = &candidates[0].1;
        assert_eq!(ended.read(&mut [0]).unwrap(), 0, "it is told");
        // Whoever is let in, or gone, makes room as well.
        candidates[1].0.let_in();
        drop(candidates.remove(2));
        candidates.extend([arrivals.enter(A), arrivals.enter(A)]);
        assert_eq!(gone(&candidates), [true, false, false, false, false, false]);
    }

    #[test]
    fn the_network_that_has_more_than_a_few_makes_room_for_others() {
        let arrivals = Arrivals::new(FEW + 4, 100, 100);
        let mut candidates = vec![arrivals.enter(B), arrivals.enter(B)];
        candidates.extend((0..FEW + 2).map(|_| arrivals.enter(A)));
        candidates.push(arrivals.enter(B));
        candidates.push(arrivals.enter(B));
        let mut expected = vec![false; FEW + 6];
        (expected[2], expected[3]) = (true, true);
        assert_eq!(gone(&candidates), expected);
        // Nobody has more than a few any more: the oldest of all goes.
        arrivals.admission.make_room();
        expected[0] = true;
        assert_eq!(gone(&candidates), expected);
    }

    #[test]
    fn of_many_networks_the_oldest_connection_makes_room() {
        let arrivals = Arrivals::new(4, 100, 100);
        for order in [[1, 2, 3, 4, 9], [9, 4, 3, 2, 1], [9, 4, 3, 2, 3]] {
            let all: Vec<_> = order.map(|n| arrivals.enter([10, 0, 0, n])).into();
            assert_eq!(gone(&all), [true, false, false, false, false]);
        }
    }

    #[test]
    fn whoever_is_known_makes_room_for_no_stranger() {
        let arrivals = Arrivals::new(4, 6, 4);
        let known = arrivals.enter(A);
        known.0.reached(Stage::Greeted);
        known.0.reached(Stage::Known);
        let stages = [Stage::Connected, Stage::Greeted, Stage::Proven];
        let all: Vec<_> = (0..40)
            .map(|n| {
                let one = arrivals.enter([10, 0, 0, n]);
                one.0.reached(stages[usize::from(n) % 3]);
                one
            })
            .collect();
        assert!(!known.0.was_displaced());
        let gone = gone(&all);
        assert_eq!(gone.iter().filter(|&&gone| !gone).count(), 6);
        assert_eq!(gone[37..], [false; 3], "the newest of each stage stay");
        let more = (0..4).map(|_| {
            let one = arrivals.enter(A);
            one.0.reached(Stage::Known);
            one
        });
        let _more: Vec<_> = more.collect();
        assert!(known.0.was_displaced());
    }

    #[test]
    fn whoever_has_done_more_makes_room_for_nobody_who_has_done_less() {
        let arrivals = Arrivals::new(100, 100, 2);
        let mut candidates: Vec<_> = (0..2).map(|_| arrivals.enter(A)).collect();
        for (candidate, _) in &candidates {
            candidate.reached(Stage::Greeted);
        }
        candidates[0].0.reached(Stage::Proven);
        candidates.extend((0..5).map(|_| arrivals.enter(A)));
        assert_eq!(
            gone(&candidates),
            [false, false, true, true, true, false, false]
        );
        candidates[5].0.reached(Stage::Greeted);
        candidates[6].0.reached(Stage::Greeted);
        assert!(candidates[1].0.was_displaced());
        arrivals.admission.make_room();
        assert!(candidates[5].0.was_displaced());
    }

    #[test]
    fn in_one_network_the_address_that_has_more_than_a_few_makes_room() {
        let host = |n| [0x2001, 0xdb8, 0, 0, 0, 0, 0, n];
        // Whether the network has too many, or all have.
        for (most, most_per_network) in [(100, FEW + 3), (FEW + 3, 100)] {
            let arrivals = Arrivals::new(most, 100, most_per_network);
            let mut candidates = vec![arrivals.enter(host(1))];
            candidates.extend((0..FEW + 2).map(|_| arrivals.enter(host(2))));
            candidates.extend([arrivals.enter(host(1)), arrivals.enter(host(3))]);
            let mut expected = vec![false; FEW + 5];
            (expected[1], expected[2]) = (true, true);
            assert_eq!(gone(&candidates), expected);
            // None has more than a few any more: the oldest goes.
            candidates.push(arrivals.enter(host(3)));
            expected[0] = true;
            expected.push(false);
            assert_eq!(gone(&candidates), expected);
        }
    }
}
