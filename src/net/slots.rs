//! `SessionSlots`: limits the sessions, and the connections and announced entries of each.
//!
//! Must not know what a session does, nor end one.

use std::collections::HashMap;

use super::pool::{Pool, PoolBounds, PoolHolder};
use crate::sys::host;

/// How many sessions one peer can have.
const MAX_SESSIONS_PER_PEER: usize = 32;
/// How many connections all sessions can have; one peer can have half of them. But each session
/// gets at least one lane, so that a slot is never useless. Each lane has one chunk in memory, or
/// two if it compresses.
const MAX_CONNECTIONS: usize = 272;
/// Connections may take one in so many of this process's file descriptors: each lane may have a
/// file open, too.
const PART_OF_DESCRIPTORS: usize = 8;
/// How many file descriptors there are for each session: many times what one lane, the control
/// connection and their files need.
const DESCRIPTORS_PER_SESSION: usize = 32;
/// How many entries without an outcome all sessions can have; each takes about 1 KiB of memory.
const MAX_ENTRIES: usize = 128 << 10;
/// A session can take one in so many of the connections that are left, so that some remain for the
/// next one.
const PART_OF_CONNECTIONS: usize = 2;
/// The same for entries.
const PART_OF_ENTRIES: usize = 4;
/// One in so many of all sessions is kept from each peer.
const PART_OF_SESSIONS: usize = 4;
/// How many lanes even the last session can have.
const FEW_LANES: usize = 4;
/// How many entries without an outcome even the last session can have.
const FEW_ENTRIES: usize = 256;
/// The same for a session that mirrors: half of its entries can wait for deletions, and further
/// ones fail. The number of other sessions must not decide about that.
const MIRROR_ENTRIES: usize = 16 << 10;

/// The sessions that run or are about to, each by a number.
#[derive(Debug)]
pub(crate) struct SessionSlots {
    sessions: Pool,
    connections: Pool,
    entries: Pool,
    next: u64,
    taken: HashMap<u64, SessionSlot>,
}

/// What a session asks for, or gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SessionSize {
    pub(crate) lanes: u16,
    /// How many announced entries may lack an outcome.
    pub(crate) window: u32,
}

/// How many entries a session needs at least, if it asks for as many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LeastEntries {
    /// Enough to make progress.
    Few,
    /// Enough that a mirror stores the same, whatever other sessions do.
    Mirror,
}

#[derive(Debug, Clone, Copy)]
struct SessionSlot {
    holder: PoolHolder,
    size: SessionSize,
}

impl SessionSize {
    /// How many connections it has: its lanes and the control connection.
    fn connections(self) -> usize {
        usize::from(self.lanes) + 1
    }

    fn entries(self) -> usize {
        usize::try_from(self.window).unwrap_or(usize::MAX)
    }
}

impl SessionSlots {
    pub(crate) fn new(max_sessions: usize) -> Self {
        let descriptors = host::limit_of_open();
        let sessions = max_sessions.min((descriptors / DESCRIPTORS_PER_SESSION).max(2));
        let connections = MAX_CONNECTIONS.min(descriptors / PART_OF_DESCRIPTORS);
        Self::with(sessions, connections)
    }

    fn with(sessions: usize, connections: usize) -> Self {
        let each = sessions - sessions / PART_OF_SESSIONS;
        let bounds = PoolBounds {
            each: each.min(MAX_SESSIONS_PER_PEER),
            ..PoolBounds::shared(sessions)
        };
        Self {
            sessions: Pool::new(bounds),
            connections: Pool::new(PoolBounds::shared(connections)),
            entries: Pool::new(PoolBounds::shared(MAX_ENTRIES)),
            next: 0,
            taken: HashMap::new(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.taken.is_empty()
    }

    /// Whether `holder` has as many sessions as it can ever have.
    pub(crate) fn is_full_of(&self, holder: PoolHolder) -> bool {
        self.sessions.is_full_of(holder, 1)
    }

    /// Takes a slot for a session with `holder`, which asks for `size`. Returns the session's
    /// number, and what it gets; `None` if there is no slot.
    pub(crate) fn take(
        &mut self,
        holder: PoolHolder,
        size: SessionSize,
        least: LeastEntries,
    ) -> Option<(u64, SessionSize)> {
        let part = |left: usize, part: usize, few: usize| (left / part).max(few).min(left);
        // One of them is the control connection.
        let lanes = self.connections.left(holder).saturating_sub(1);
        let lanes = part(lanes, PART_OF_CONNECTIONS, FEW_LANES).max(1);
        let lanes = u16::try_from(lanes).unwrap_or(u16::MAX);
        let entries = self.entries.left(holder);
        let least = match least {
            LeastEntries::Few => FEW_ENTRIES,
            LeastEntries::Mirror => MIRROR_ENTRIES,
        };
        let window = part(entries, PART_OF_ENTRIES, FEW_ENTRIES).max(least);
        let size = SessionSize {
            lanes: size.lanes.min(lanes),
            window: size.window.min(u32::try_from(window).unwrap_or(u32::MAX)),
        };
        if !self.sessions.take(holder, 1) {
            return None;
        }
        self.connections.take_anyway(holder, size.connections());
        self.entries.take_anyway(holder, size.entries());
        let id = self.next;
        self.next += 1;
        self.taken.insert(id, SessionSlot { holder, size });
        Some((id, size))
    }

    pub(crate) fn release(&mut self, id: u64) {
        if let Some(SessionSlot { holder, size }) = self.taken.remove(&id) {
            self.sessions.give_back(holder, 1);
            self.connections.give_back(holder, size.connections());
            self.entries.give_back(holder, size.entries());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::Fingerprint;
    use std::net::SocketAddr;

    fn known(n: u8) -> PoolHolder {
        PoolHolder::Known(Fingerprint([n; 32]))
    }

    fn stranger(n: u8) -> PoolHolder {
        PoolHolder::Stranger(SocketAddr::from(([10, 0, 0, n], 1)).into())
    }

    fn size(lanes: u16) -> SessionSize {
        let window = 16_384;
        SessionSize { lanes, window }
    }

    #[test]
    fn neither_a_key_nor_an_address_takes_every_place() {
        let mut slots = SessionSlots::with(64, 1000);
        for holder in [known(1), stranger(1)] {
            let all: Vec<_> =
                std::iter::from_fn(|| slots.take(holder, size(1), LeastEntries::Few)).collect();
            assert_eq!(all.len(), MAX_SESSIONS_PER_PEER);
            all.iter().for_each(|(id, _)| slots.release(*id));
        }
        // All strangers together leave room for known machines.
        let strangers = (0..200).filter(|&n| {
            slots
                .take(stranger(n), size(1), LeastEntries::Few)
                .is_some()
        });
        assert_eq!(strangers.count(), 48);
        for n in 0..16 {
            slots.take(known(n), size(1), LeastEntries::Few).unwrap();
        }
        assert_eq!(
            slots.take(known(100), size(1), LeastEntries::Few),
            None,
            "all are taken"
        );
        slots.release(70);
        slots.take(known(100), size(1), LeastEntries::Few).unwrap();
    }

    #[test]
    fn a_session_leaves_lanes_and_entries_to_others() {
        let mut slots = SessionSlots::with(64, MAX_CONNECTIONS);
        let (_, first) = slots.take(known(1), size(2), LeastEntries::Few).unwrap();
        assert_eq!(first, size(2));
        slots.release(0);
        let (id, first) = slots.take(known(1), size(64), LeastEntries::Few).unwrap();
        assert_eq!(first, size(64));
        slots.release(id);
        let wish = SessionSize {
            lanes: 64,
            window: u32::MAX,
        };
        let taken: Vec<_> = (0..40)
            .filter_map(|_| slots.take(stranger(1), wish, LeastEntries::Few))
            .collect();
        assert!(taken.windows(2).all(|two| two[0].1.lanes >= two[1].1.lanes));
        let (_, last) = slots.take(known(2), wish, LeastEntries::Few).unwrap();
        assert!(last.lanes >= 4 && last.window >= 1000, "{last:?}");
        let entries: usize = taken.iter().map(|(_, size)| size.entries()).sum();
        assert!(entries <= MAX_ENTRIES);
    }

    #[test]
    fn where_there_is_a_place_there_is_a_lane() {
        for lanes in [1, 16, 64] {
            let mut slots = SessionSlots::with(64, MAX_CONNECTIONS);
            let mut take = |holder| slots.take(holder, size(lanes), LeastEntries::Few);
            for n in 0..48 {
                let (_, size) = take(stranger(n)).unwrap();
                assert!(size.lanes >= 1, "stranger {n} of {lanes} lanes");
            }
            assert_eq!(take(stranger(48)), None);
            for n in 0..16 {
                let (_, size) = take(known(n)).unwrap();
                assert!(size.lanes >= 1, "machine {n} of {lanes} lanes");
            }
            let taken = slots.taken.values();
            let connections: usize = taken.map(|slot| slot.size.connections()).sum();
            assert!(connections <= MAX_CONNECTIONS + 2 * 64, "{connections}");
        }
    }

    #[test]
    fn a_mirror_can_have_as_many_entries_wait_whatever_others_do() {
        let mut slots = SessionSlots::with(64, MAX_CONNECTIONS);
        let wish = size(4);
        for n in 0..40 {
            slots.take(known(n), wish, LeastEntries::Few).unwrap();
        }
        let (_, few) = slots.take(known(40), wish, LeastEntries::Few).unwrap();
        let (_, mirror) = slots.take(known(41), wish, LeastEntries::Mirror).unwrap();
        assert!(few.window < wish.window);
        assert_eq!(mirror.window, wish.window);
    }
}
