//! Admission: how many connections may wait to be let in, and how many sessions and connections a
//! peer may have.
//!
//! Must not know what is said on a connection, nor wait for anybody. Who is let in, `trust` and
//! `pairing` decide.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::net::{IpAddr, Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::net::Fingerprint;
use crate::sys::host;

/// How many connections can wait at each stage to being let in.
const MAX_WAITING: usize = 192;
/// How many of these can be from one address: more than the lanes of a session.
const MAX_WAITING_PER_ADDR: usize = 96;
/// How many connections the sessions can have, all told.
const MAX_CONNECTIONS: usize = 1024;
/// How many of these can be to one address.
const MAX_CONNECTIONS_PER_ADDR: usize = 512;
/// How many sessions there can be with one peer: with one key, or one address.
const MAX_SESSIONS_PER_PEER: usize = 32;
/// What part of the descriptors that a process may have the connections of either kind can take:
/// files need some, too.
const PART_OF_DESCRIPTORS: usize = 4;

/// How far a connection has come. Those that have come as far make room for each other alone, so
/// that the cheap ones are in nobody's way who has done more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// It has said nothing.
    Connected,
    /// It has begun as xfer begins.
    Greeted,
    /// It has proven who it is.
    Proven,
}

/// The connections that have not joined or begun a session. Where there are too many, the oldest
/// goes and not the newest: a sender that means it is let in at once. The address that has the
/// most of them pays, so that it hurts itself before others.
pub(crate) struct Admission {
    most: usize,
    most_per_addr: usize,
    waiting: Mutex<Candidates>,
}

#[derive(Default)]
struct Candidates {
    next: u64,
    /// The oldest one first.
    list: BTreeMap<u64, CandidateEntry>,
}

struct CandidateEntry {
    addr: IpAddr,
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
        let most = MAX_WAITING.min(host::limit_of_open() / PART_OF_DESCRIPTORS);
        Self::with(most, MAX_WAITING_PER_ADDR.min(most.div_ceil(2)))
    }

    fn with(most: usize, most_per_addr: usize) -> Arc<Self> {
        Arc::new(Self {
            most,
            most_per_addr,
            waiting: Mutex::default(),
        })
    }

    fn waiting(&self) -> MutexGuard<'_, Candidates> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes up a connection, and turns others away where there are too many.
    pub(crate) fn enter(self: &Arc<Self>, addr: IpAddr, stream: Arc<TcpStream>) -> Candidate {
        let mut waiting = self.waiting();
        let id = waiting.next;
        waiting.next += 1;
        let stage = Stage::Connected;
        waiting.list.insert(
            id,
            CandidateEntry {
                addr,
                stage,
                stream,
            },
        );
        self.bound(&mut waiting, addr, stage);
        Candidate {
            admission: self.clone(),
            id,
            is_in: AtomicBool::new(false),
        }
    }

    /// Turns away as many as there are too many after one from `addr` came to `stage`.
    fn bound(&self, waiting: &mut Candidates, addr: IpAddr, stage: Stage) {
        let there = waiting.list.values().filter(|w| w.stage == stage);
        if there.clone().filter(|w| w.addr == addr).count() > self.most_per_addr {
            waiting.displace(addr, stage);
        } else if there.count() > self.most {
            waiting.make_room(stage);
        }
    }

    /// Turns one away of those who have done the least, if there is one.
    pub(crate) fn make_room(&self) {
        let mut waiting = self.waiting();
        let stages = [Stage::Connected, Stage::Greeted, Stage::Proven];
        let _ = stages.iter().any(|&stage| waiting.make_room(stage));
    }
}

impl fmt::Debug for Admission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admission").finish_non_exhaustive()
    }
}

impl Candidates {
    /// Turns away the oldest one at a stage of the address that has the most there, if there is
    /// one.
    fn make_room(&mut self, stage: Stage) -> bool {
        let mut counts: HashMap<IpAddr, usize> = HashMap::new();
        let mut most = None;
        for entry in self.list.values().filter(|w| w.stage == stage) {
            let count = counts.entry(entry.addr).or_default();
            *count += 1;
            most = most.max(Some((*count, entry.addr)));
        }
        if let Some((_, addr)) = most {
            self.displace(addr, stage);
        }
        most.is_some()
    }

    /// Turns away the oldest one of an address at a stage.
    fn displace(&mut self, addr: IpAddr, stage: Stage) {
        let mut list = self.list.iter();
        let oldest = list.find(|(_, w)| w.addr == addr && w.stage == stage);
        if let Some(id) = oldest.map(|(&id, _)| id)
            && let Some(entry) = self.list.remove(&id)
        {
            // Its thread gets an end or an error, and finds out why from its candidate.
            let _ = entry.stream.shutdown(Shutdown::Both);
        }
    }
}

impl Candidate {
    /// Notes that it has come to the next stage.
    pub(crate) fn reached(&self, stage: Stage) {
        let mut waiting = self.admission.waiting();
        if let Some(entry) = waiting.list.get_mut(&self.id) {
            entry.stage = stage;
            let addr = entry.addr;
            self.admission.bound(&mut waiting, addr, stage);
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

/// The sessions that run, or are about to, by a number for each.
pub(crate) struct SessionSlots {
    max_sessions: usize,
    max_connections: usize,
    next: u64,
    taken: HashMap<u64, SessionSlot>,
}

/// What a session takes.
#[derive(Debug, Clone, Copy)]
struct SessionSlot {
    owner: Fingerprint,
    addr: IpAddr,
    connections: usize,
}

impl SessionSlots {
    pub(crate) fn new(max_sessions: usize) -> Self {
        Self {
            max_sessions,
            max_connections: MAX_CONNECTIONS.min(host::limit_of_open() / PART_OF_DESCRIPTORS),
            next: 0,
            taken: HashMap::new(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.taken.is_empty()
    }

    /// Takes a slot for a session with `owner` at `addr`, which would like `lanes`. Gives its
    /// number, and how many lanes it may have; none where there is no slot.
    pub(crate) fn take(
        &mut self,
        owner: Fingerprint,
        addr: IpAddr,
        lanes: u16,
    ) -> Option<(u64, u16)> {
        let here = |slot: &&SessionSlot| slot.addr == addr;
        let all = self.taken.values();
        let peers = all.clone().filter(|p| p.owner == owner || here(p)).count();
        if all.len() >= self.max_sessions || peers >= MAX_SESSIONS_PER_PEER {
            return None;
        }
        let sum: usize = all.clone().map(|p| p.connections).sum();
        let sum_here: usize = all.filter(here).map(|p| p.connections).sum();
        let left = self
            .max_connections
            .saturating_sub(sum)
            .min(MAX_CONNECTIONS_PER_ADDR.saturating_sub(sum_here));
        // One of them is the control connection.
        let left = u16::try_from(left).unwrap_or(u16::MAX).checked_sub(1)?;
        let lanes = lanes.min(left);
        if lanes == 0 {
            return None;
        }
        let id = self.next;
        self.next += 1;
        let connections = usize::from(lanes) + 1;
        let slot = SessionSlot {
            owner,
            addr,
            connections,
        };
        self.taken.insert(id, slot);
        Some((id, lanes))
    }

    pub(crate) fn release(&mut self, id: u64) {
        self.taken.remove(&id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::net::TcpListener;

    const A: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
    const B: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2));
    const C: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 3));

    struct Arrivals {
        admission: Arc<Admission>,
        listener: TcpListener,
    }

    impl Arrivals {
        fn new(most: usize, most_per_addr: usize) -> Self {
            Self {
                admission: Admission::with(most, most_per_addr),
                listener: TcpListener::bind("127.0.0.1:0").unwrap(),
            }
        }

        /// Somebody who says that it is from `addr`, and what it has of the connection.
        fn enter(&self, addr: IpAddr) -> (Candidate, TcpStream) {
            let theirs = TcpStream::connect(self.listener.local_addr().unwrap()).unwrap();
            let ours = Arc::new(self.listener.accept().unwrap().0);
            (self.admission.enter(addr, ours), theirs)
        }
    }

    fn gone(candidates: &[(Candidate, TcpStream)]) -> Vec<bool> {
        candidates.iter().map(|(c, _)| c.was_displaced()).collect()
    }

    #[test]
    fn the_oldest_of_an_address_makes_room() {
        let arrivals = Arrivals::new(100, 3);
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
    fn the_address_that_has_the_most_makes_room_for_others() {
        let arrivals = Arrivals::new(6, 5);
        let mut candidates = vec![arrivals.enter(B)];
        candidates.extend((0..5).map(|_| arrivals.enter(A)));
        candidates.push(arrivals.enter(C));
        candidates.push(arrivals.enter(C));
        assert_eq!(
            gone(&candidates),
            [false, true, true, false, false, false, false, false]
        );
        arrivals.admission.make_room();
        assert_eq!(gone(&candidates)[2..4], [true, true]);
    }

    #[test]
    fn whoever_has_done_more_makes_room_for_nobody_who_has_done_less() {
        let arrivals = Arrivals::new(100, 2);
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
    fn neither_a_key_nor_an_address_takes_every_place() {
        let mut slots = SessionSlots::new(64);
        let key = |n: usize| Fingerprint([u8::try_from(n).unwrap(); 32]);
        // One address, many keys.
        for n in 0..MAX_SESSIONS_PER_PEER {
            slots.take(key(n), A, 1).unwrap();
        }
        assert_eq!(slots.take(key(100), A, 1), None);
        // A key that has a session there, at another address, and others.
        slots.take(key(0), B, 1).unwrap();
        for n in 0..31 {
            slots
                .take(key(200), IpAddr::from([10, 0, 0, n]), 1)
                .unwrap();
        }
        assert_eq!(slots.take(key(201), C, 1), None, "all are taken");
        slots.release(0);
        slots.take(key(201), C, 1).unwrap();
    }

    #[test]
    fn the_last_sessions_get_fewer_lanes() {
        let mut slots = SessionSlots::new(1000);
        slots.max_connections = 100;
        let key = Fingerprint([1; 32]);
        assert_eq!(slots.take(key, A, 64), Some((0, 64)));
        assert_eq!(slots.take(key, B, 64), Some((1, 34)));
        assert_eq!(slots.take(key, C, 64), None);
        slots.release(1);
        assert_eq!(slots.take(key, C, 4), Some((2, 4)));
    }
}
