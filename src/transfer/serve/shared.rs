//! What all connections of a receiver share, its sessions among them.
//!
//! Must not keep anything of a session that has ended but how it ended.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::model::error::{Error, Result};
use crate::model::outcome::Summary;
use crate::model::progress::Trust;
use crate::model::prompt::Prompt;
use crate::net::{Admission, Fingerprint, PairingAttempts, Peers, SessionSlots, Tls};
use crate::store::Store;
use crate::wire::LaneSecret;

use super::super::options::{Grant, ReceiveOptions};
use super::super::outbox::PING_INTERVAL;
use super::super::receive::{ReceiveSession, Sums};
use crate::sys::wake::WakeUp;

/// How long a session's peer can be silent when a later session of the same sender waits for
/// what it has: three pings' time.
const LIVE_SILENCE: Duration = PING_INTERVAL.saturating_mul(3);

pub(super) struct ReceiverShared {
    pub(super) tls: Tls,
    pub(super) fingerprint: Fingerprint,
    pub(super) peers: Peers,
    pub(super) pairing: Arc<PairingAttempts>,
    pub(super) prompt: Arc<dyn Prompt>,
    /// How many offers wait for the user.
    pub(super) asking: AtomicUsize,
    /// Those who are not paired, and whose offers the user does not want to be asked about.
    pub(super) unasked: Mutex<HashSet<Fingerprint>>,
    /// None where nothing is stored.
    pub(super) store: Option<Arc<Store>>,
    /// Those of senders that have a folder of their own, by that.
    pub(super) stores: HashMap<PathBuf, Arc<Store>>,
    pub(super) sums: Option<Arc<Sums>>,
    pub(super) options: ReceiveOptions,
    pub(super) connections: AtomicUsize,
    pub(super) admission: Arc<Admission>,
    pub(super) sessions: Mutex<ReceiverSessions>,
    pub(super) changed: Condvar,
    /// Wakes the listening thread.
    pub(super) wake_up: WakeUp,
}

/// On what terms a sender was let in.
#[derive(Clone, Copy)]
pub(super) struct GrantedTerms<'a> {
    /// What is granted to it, where that is not what all get.
    pub(super) grant: Option<&'a Grant>,
    /// Where what it sends goes; none where nothing is stored.
    pub(super) store: Option<&'a Arc<Store>>,
}

pub(super) struct ReceiverSessions {
    /// ReceiverSessions by what their lanes show.
    pub(super) by_secret: HashMap<LaneSecret, Arc<ReceiveSession>>,
    pub(super) running: SessionSlots,
    /// How the first session ended, where that is what is waited for.
    pub(super) first: Option<Result<Summary>>,
    /// A session that was lost, and until when it may come back.
    pub(super) lost: Option<(Instant, Error)>,
}

impl ReceiverSessions {
    pub(super) fn new(max_sessions: usize) -> Self {
        Self {
            by_secret: HashMap::new(),
            running: SessionSlots::new(max_sessions),
            first: None,
            lost: None,
        }
    }
}

impl ReceiverShared {
    pub(super) fn sessions(&self) -> MutexGuard<'_, ReceiverSessions> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// On what terms a sender was let in.
    pub(super) fn terms(&self, trust: Trust, sender: Fingerprint) -> Result<GrantedTerms<'_>> {
        let grants = &self.options.grants;
        let known = match trust == Trust::Paired && !grants.is_empty() {
            // By the name that it has here, whatever it calls itself.
            true => self.peers.find(sender)?,
            false => None,
        };
        let grant = known.and_then(|known| grants.get(&known.name));
        let own = grant.and_then(|grant| self.stores.get(grant.dir.as_ref()?));
        Ok(GrantedTerms {
            grant,
            store: own.or(self.store.as_ref()),
        })
    }

    /// How the first session ended, if that is what is waited for; else how long to wait.
    pub(super) fn first_ended(&self) -> Result<Result<Summary>, Option<Duration>> {
        if !self.options.once {
            return Err(None);
        }
        let mut sessions = self.sessions();
        if !sessions.running.is_empty() {
            return Err(None);
        }
        if let Some(first) = sessions.first.take() {
            return Ok(first);
        }
        let Some((until, error)) = sessions.lost.take() else {
            return Err(None);
        };
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(Err(error));
        }
        sessions.lost = Some((until, error));
        Err(Some(left))
    }

    /// Ends every session, and waits for that. Says whether one was not done.
    pub(super) fn stop(&self) -> bool {
        let mut sessions = self.sessions();
        let mut was_running = false;
        for session in sessions.by_secret.values() {
            // One that has said its summary only waits for its peer to close.
            if session.link.is_over() {
                session.link.close_soon();
            } else {
                was_running = true;
                session.link.fail(Error::Cancelled);
            }
        }
        while !sessions.running.is_empty() {
            sessions = self
                .changed
                .wait(sessions)
                .unwrap_or_else(PoisonError::into_inner);
        }
        was_running
    }

    /// Something that ends the sessions of `owner` whose peer has been silent for longer than a
    /// live one ever is. (A session that nobody waits for is given more time.)
    pub(super) fn end_silent(self: &Arc<Self>, owner: Fingerprint) -> Box<dyn Fn() + Send + Sync> {
        let shared = Arc::downgrade(self);
        Box::new(move || {
            let Some(shared) = shared.upgrade() else {
                return;
            };
            let sessions: Vec<_> = shared.sessions().by_secret.values().cloned().collect();
            for session in sessions {
                if session.owner == owner && session.link.silent_for() > LIVE_SILENCE {
                    session.link.fail(Error::Silent {
                        peer: session.link.peer,
                        seconds: LIVE_SILENCE.as_secs(),
                    });
                }
            }
        })
    }
}
