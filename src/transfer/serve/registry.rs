//! The sessions of a listener while they run: which count, and which of them lanes can join.
//!
//! Must not know what a session does.

use std::collections::hash_map::Entry;
use std::sync::{Arc, PoisonError};
use std::time::Instant;

use crate::net::{FIRST_WORDS, Fingerprint, LAST_WORDS, LeastEntries, PoolHolder, SessionSize};
use crate::wire::{Join, LaneSecret};

use super::shared::{LetInSession, ReceiverShared};

/// The session that a lane joins. One that its peer has just agreed on may be there in a moment.
pub(super) fn session_of(
    shared: &ReceiverShared,
    join: &Join,
    peer: Fingerprint,
) -> Option<Arc<LetInSession>> {
    let end = Instant::now() + FIRST_WORDS;
    let mut sessions = shared.sessions();
    loop {
        if let Some(one) = sessions.by_secret.get(&join.secret) {
            return Some(one.clone());
        }
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() || !sessions.awaited.contains(&peer) {
            return None;
        }
        let waited = shared.changed.wait_timeout(sessions, left);
        sessions = waited.unwrap_or_else(PoisonError::into_inner).0;
    }
}

impl ReceiverShared {
    /// Takes a slot for a session of `holder`, and says what it may have. None where there is none,
    /// nor will be in a moment.
    pub(super) fn take_slot(
        &self,
        holder: PoolHolder,
        wish: SessionSize,
        least: LeastEntries,
    ) -> Option<(u64, SessionSize)> {
        let mut end = None;
        let mut sessions = self.sessions();
        loop {
            if sessions.first.is_some() || self.has_ended() {
                return None;
            }
            if let Some((slot, size)) = sessions.running.take(holder, wish, least) {
                return Some((slot, size));
            }
            let Some(end) = end else {
                drop(sessions);
                // With `once` there is no next one: what it waits for is this session.
                if self.options.once || !self.end_idle(holder) {
                    return None;
                }
                // What ends has as long as last words take, and to let go of its files.
                end = Some(Instant::now() + 2 * LAST_WORDS);
                sessions = self.sessions();
                continue;
            };
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            let waited = self.changed.wait_timeout(sessions, left);
            sessions = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// A session that counts as running, until it is dropped.
pub(super) struct RunningSession<'a> {
    shared: &'a ReceiverShared,
    slot: u64,
    pub(super) holder: PoolHolder,
    /// What it may have.
    pub(super) size: SessionSize,
}

impl<'a> RunningSession<'a> {
    /// Takes a slot for a session of `holder`. None where there is none, nor will be in a moment.
    pub(super) fn wait(
        shared: &'a ReceiverShared,
        holder: PoolHolder,
        wish: SessionSize,
        least: LeastEntries,
    ) -> Option<Self> {
        let (slot, size) = shared.take_slot(holder, wish, least)?;
        Some(Self {
            shared,
            slot,
            holder,
            size,
        })
    }
}

impl Drop for RunningSession<'_> {
    fn drop(&mut self) {
        self.shared.sessions().running.release(self.slot);
        self.shared.changed.notify_all();
        self.shared.wake_up.raise();
    }
}

/// A session of this peer that is about to be among those that lanes can join, until it is dropped.
pub(super) struct AwaitedSession<'a>(&'a ReceiverShared, Fingerprint);

impl<'a> AwaitedSession<'a> {
    pub(super) fn new(shared: &'a ReceiverShared, peer: Fingerprint) -> Self {
        shared.sessions().awaited.push(peer);
        Self(shared, peer)
    }
}

impl Drop for AwaitedSession<'_> {
    fn drop(&mut self) {
        let awaited = &mut self.0.sessions().awaited;
        if let Some(at) = awaited.iter().position(|peer| *peer == self.1) {
            awaited.swap_remove(at);
        }
        self.0.changed.notify_all();
    }
}

/// A session among those that lanes can join, until it is dropped.
pub(super) struct RegisteredSession<'a>(&'a ReceiverShared, LaneSecret);

impl<'a> RegisteredSession<'a> {
    /// Registers it; `None` where another one has this secret.
    pub(super) fn new(
        shared: &'a ReceiverShared,
        secret: LaneSecret,
        one: Arc<LetInSession>,
    ) -> Option<Self> {
        match shared.sessions().by_secret.entry(secret) {
            Entry::Occupied(_) => return None,
            Entry::Vacant(place) => place.insert(one),
        };
        // From now on it is looked after, and lanes may wait for it.
        shared.wake_up.raise();
        shared.changed.notify_all();
        Some(Self(shared, secret))
    }
}

impl Drop for RegisteredSession<'_> {
    fn drop(&mut self) {
        self.0.sessions().by_secret.remove(&self.1);
    }
}
