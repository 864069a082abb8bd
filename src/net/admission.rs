//! The door: who has connected and is not let in yet, and who has been let in and how much room
//! they take.
//!
//! Must not know what is said on a connection, nor wait for anybody.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::net::{IpAddr, Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::net::Fingerprint;
use crate::sys::host;

/// How many connections can wait at each step to being let in.
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
pub(crate) enum Step {
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
pub(crate) struct Door {
    most: usize,
    most_per_addr: usize,
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    next: u64,
    /// The oldest one first.
    list: BTreeMap<u64, Waiter>,
}

struct Waiter {
    addr: IpAddr,
    step: Step,
    stream: Arc<TcpStream>,
}

/// A connection that comes to the door. When it is dropped, it is not there any more.
pub(crate) struct Guest {
    door: Arc<Door>,
    id: u64,
    is_in: AtomicBool,
}

impl fmt::Debug for Guest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Guest").field(&self.id).finish()
    }
}

impl Door {
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

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes up a connection, and turns others away where there are too many.
    pub(crate) fn knock(self: &Arc<Self>, addr: IpAddr, stream: Arc<TcpStream>) -> Guest {
        let mut waiting = self.waiting();
        let id = waiting.next;
        waiting.next += 1;
        let step = Step::Connected;
        waiting.list.insert(id, Waiter { addr, step, stream });
        self.bound(&mut waiting, addr, step);
        Guest {
            door: self.clone(),
            id,
            is_in: AtomicBool::new(false),
        }
    }

    /// Turns away as many as there are too many after one from `addr` came to `step`.
    fn bound(&self, waiting: &mut Waiting, addr: IpAddr, step: Step) {
        let there = waiting.list.values().filter(|w| w.step == step);
        if there.clone().filter(|w| w.addr == addr).count() > self.most_per_addr {
            waiting.turn_away(addr, step);
        } else if there.count() > self.most {
            waiting.make_room(step);
        }
    }

    /// Turns one away of those who have done the least, if there is one.
    pub(crate) fn make_room(&self) {
        let mut waiting = self.waiting();
        let steps = [Step::Connected, Step::Greeted, Step::Proven];
        let _ = steps.iter().any(|&step| waiting.make_room(step));
    }
}

impl fmt::Debug for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Door").finish_non_exhaustive()
    }
}

impl Waiting {
    /// Turns away the oldest one at a step of the address that has the most there, if there is
    /// one.
    fn make_room(&mut self, step: Step) -> bool {
        let mut counts: HashMap<IpAddr, usize> = HashMap::new();
        let mut most = None;
        for waiter in self.list.values().filter(|w| w.step == step) {
            let count = counts.entry(waiter.addr).or_default();
            *count += 1;
            most = most.max(Some((*count, waiter.addr)));
        }
        if let Some((_, addr)) = most {
            self.turn_away(addr, step);
        }
        most.is_some()
    }

    /// Turns away the oldest one of an address at a step.
    fn turn_away(&mut self, addr: IpAddr, step: Step) {
        let mut list = self.list.iter();
        let oldest = list.find(|(_, w)| w.addr == addr && w.step == step);
        if let Some(id) = oldest.map(|(&id, _)| id)
            && let Some(waiter) = self.list.remove(&id)
        {
            // Its thread gets an end or an error, and finds out why from its caller.
            let _ = waiter.stream.shutdown(Shutdown::Both);
        }
    }
}

impl Guest {
    /// Notes that it has come to the next step.
    pub(crate) fn has(&self, step: Step) {
        let mut waiting = self.door.waiting();
        if let Some(waiter) = waiting.list.get_mut(&self.id) {
            waiter.step = step;
            let addr = waiter.addr;
            self.door.bound(&mut waiting, addr, step);
        }
    }

    /// Lets it in: from now on it makes room for nobody.
    pub(crate) fn let_in(&self) {
        if self.door.waiting().list.remove(&self.id).is_some() {
            self.is_in.store(true, Ordering::Release);
        }
    }

    /// Whether it had to go.
    pub(crate) fn was_turned_away(&self) -> bool {
        !self.is_in.load(Ordering::Acquire) && !self.door.waiting().list.contains_key(&self.id)
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.door.waiting().list.remove(&self.id);
    }
}

/// The sessions that run, or are about to, by a number for each.
pub(crate) struct Places {
    max_sessions: usize,
    max_connections: usize,
    next: u64,
    taken: HashMap<u64, Place>,
}

/// What a session takes.
#[derive(Debug, Clone, Copy)]
struct Place {
    owner: Fingerprint,
    addr: IpAddr,
    connections: usize,
}

impl Places {
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

    /// Takes a place for a session with `owner` at `addr`, which would like `lanes`. Gives its
    /// number, and how many lanes it may have; none where there is no place.
    pub(crate) fn take(
        &mut self,
        owner: Fingerprint,
        addr: IpAddr,
        lanes: u16,
    ) -> Option<(u64, u16)> {
        let here = |place: &&Place| place.addr == addr;
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
        let place = Place {
            owner,
            addr,
            connections,
        };
        self.taken.insert(id, place);
        Some((id, lanes))
    }

    pub(crate) fn give_back(&mut self, id: u64) {
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

    struct Street {
        door: Arc<Door>,
        listener: TcpListener,
    }

    impl Street {
        fn new(most: usize, most_per_addr: usize) -> Self {
            Self {
                door: Door::with(most, most_per_addr),
                listener: TcpListener::bind("127.0.0.1:0").unwrap(),
            }
        }

        /// Somebody who says that it is from `addr`, and what it has of the connection.
        fn knock(&self, addr: IpAddr) -> (Guest, TcpStream) {
            let theirs = TcpStream::connect(self.listener.local_addr().unwrap()).unwrap();
            let ours = Arc::new(self.listener.accept().unwrap().0);
            (self.door.knock(addr, ours), theirs)
        }
    }

    fn gone(callers: &[(Guest, TcpStream)]) -> Vec<bool> {
        callers.iter().map(|(c, _)| c.was_turned_away()).collect()
    }

    #[test]
    fn the_oldest_of_an_address_makes_room() {
        let street = Street::new(100, 3);
        let mut callers: Vec<_> = (0..3).map(|_| street.knock(A)).collect();
        callers.push(street.knock(B));
        assert_eq!(gone(&callers), [false; 4]);
        callers.push(street.knock(A));
        assert_eq!(gone(&callers), [true, false, false, false, false]);
        let mut ended = &callers[0].1;
        assert_eq!(ended.read(&mut [0]).unwrap(), 0, "it is told");
        // Whoever is let in, or gone, makes room as well.
        callers[1].0.let_in();
        drop(callers.remove(2));
        callers.extend([street.knock(A), street.knock(A)]);
        assert_eq!(gone(&callers), [true, false, false, false, false, false]);
    }

    #[test]
    fn the_address_that_has_the_most_makes_room_for_others() {
        let street = Street::new(6, 5);
        let mut callers = vec![street.knock(B)];
        callers.extend((0..5).map(|_| street.knock(A)));
        callers.push(street.knock(C));
        callers.push(street.knock(C));
        assert_eq!(
            gone(&callers),
            [false, true, true, false, false, false, false, false]
        );
        street.door.make_room();
        assert_eq!(gone(&callers)[2..4], [true, true]);
    }

    #[test]
    fn whoever_has_done_more_makes_room_for_nobody_who_has_done_less() {
        let street = Street::new(100, 2);
        let mut callers: Vec<_> = (0..2).map(|_| street.knock(A)).collect();
        for (caller, _) in &callers {
            caller.has(Step::Greeted);
        }
        callers[0].0.has(Step::Proven);
        callers.extend((0..5).map(|_| street.knock(A)));
        assert_eq!(
            gone(&callers),
            [false, false, true, true, true, false, false]
        );
        callers[5].0.has(Step::Greeted);
        callers[6].0.has(Step::Greeted);
        assert!(callers[1].0.was_turned_away());
        street.door.make_room();
        assert!(callers[5].0.was_turned_away());
    }

    #[test]
    fn neither_a_key_nor_an_address_takes_every_place() {
        let mut places = Places::new(64);
        let key = |n: usize| Fingerprint([u8::try_from(n).unwrap(); 32]);
        // One address, many keys.
        for n in 0..MAX_SESSIONS_PER_PEER {
            places.take(key(n), A, 1).unwrap();
        }
        assert_eq!(places.take(key(100), A, 1), None);
        // A key that has a session there, at another address, and others.
        places.take(key(0), B, 1).unwrap();
        for n in 0..31 {
            places
                .take(key(200), IpAddr::from([10, 0, 0, n]), 1)
                .unwrap();
        }
        assert_eq!(places.take(key(201), C, 1), None, "all are taken");
        places.give_back(0);
        places.take(key(201), C, 1).unwrap();
    }

    #[test]
    fn the_last_sessions_get_fewer_lanes() {
        let mut places = Places::new(1000);
        places.max_connections = 100;
        let key = Fingerprint([1; 32]);
        assert_eq!(places.take(key, A, 64), Some((0, 64)));
        assert_eq!(places.take(key, B, 64), Some((1, 34)));
        assert_eq!(places.take(key, C, 64), None);
        places.give_back(1);
        assert_eq!(places.take(key, C, 4), Some((2, 4)));
    }
}
