//! The receiving engine: what all connections of a receiver share, its sessions among it.
//!
//! Must not keep anything of a session that has ended.

mod approval;
mod connection;
mod grant;
mod listener;

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

use super::options::{Grant, ReceiveOptions};
use super::outbox::PING_INTERVAL;
use super::receive::{Receiving, Sums};
use crate::sys::wake::WakeUp;

pub use listener::Receiver;

/// How long a session's peer can be silent when a later session of the same sender waits for
/// what it has: three pings' time.
const TWIN_SILENCE: Duration = PING_INTERVAL.saturating_mul(3);

struct Shared {
    tls: Tls,
    fingerprint: Fingerprint,
    peers: Peers,
    pairing: Arc<PairingAttempts>,
    prompt: Arc<dyn Prompt>,
    /// How many offers wait for the user.
    asking: AtomicUsize,
    /// Those who are not paired, and whose offers the user does not want to be asked about.
    unasked: Mutex<HashSet<Fingerprint>>,
    /// None where nothing is stored.
    store: Option<Arc<Store>>,
    /// Those of senders that have a folder of their own, by that.
    stores: HashMap<PathBuf, Arc<Store>>,
    sums: Option<Arc<Sums>>,
    options: ReceiveOptions,
    connections: AtomicUsize,
    admission: Arc<Admission>,
    state: Mutex<State>,
    changed: Condvar,
    /// Wakes the listening thread.
    wake_up: WakeUp,
}

/// On what terms a sender was let in.
#[derive(Clone, Copy)]
struct Terms<'a> {
    /// What is granted to it, where that is not what all get.
    grant: Option<&'a Grant>,
    /// Where what it sends goes; none where nothing is stored.
    store: Option<&'a Arc<Store>>,
}

struct State {
    /// Sessions by what their lanes show.
    sessions: HashMap<LaneSecret, Arc<Receiving>>,
    running: SessionSlots,
    /// How the first session ended, where that is what is waited for.
    first: Option<Result<Summary>>,
    /// A session that was lost, and until when it may come back.
    lost: Option<(Instant, Error)>,
}

impl State {
    fn new(max_sessions: usize) -> Self {
        Self {
            sessions: HashMap::new(),
            running: SessionSlots::new(max_sessions),
            first: None,
            lost: None,
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// On what terms a sender was let in.
    fn terms(&self, trust: Trust, sender: Fingerprint) -> Result<Terms<'_>> {
        let grants = &self.options.grants;
        let known = match trust == Trust::Paired && !grants.is_empty() {
            // By the name that it has here, whatever it calls itself.
            true => self.peers.find(sender)?,
            false => None,
        };
        let grant = known.and_then(|known| grants.get(&known.name));
        let own = grant.and_then(|grant| self.stores.get(grant.dir.as_ref()?));
        Ok(Terms {
            grant,
            store: own.or(self.store.as_ref()),
        })
    }

    /// How the first session ended, if that is what is waited for; else how long to wait.
    fn first_ended(&self) -> Result<Result<Summary>, Option<Duration>> {
        if !self.options.once {
            return Err(None);
        }
        let mut state = self.state();
        if !state.running.is_empty() {
            return Err(None);
        }
        if let Some(first) = state.first.take() {
            return Ok(first);
        }
        let Some((until, error)) = state.lost.take() else {
            return Err(None);
        };
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(Err(error));
        }
        state.lost = Some((until, error));
        Err(Some(left))
    }

    /// Ends every session, and waits for that. Says whether one was not done.
    fn stop(&self) -> bool {
        let mut state = self.state();
        let mut was_running = false;
        for session in state.sessions.values() {
            // One that has said its summary only waits for its peer to close.
            if session.link.is_over() {
                session.link.close_soon();
            } else {
                was_running = true;
                session.link.fail(Error::Cancelled);
            }
        }
        while !state.running.is_empty() {
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        was_running
    }

    /// Something that ends the sessions of `owner` whose peer has been silent for longer than a
    /// live one ever is. (A session that nobody waits for is given more time.)
    fn end_dead_twins(self: &Arc<Self>, owner: Fingerprint) -> Box<dyn Fn() + Send + Sync> {
        let shared = Arc::downgrade(self);
        Box::new(move || {
            let Some(shared) = shared.upgrade() else {
                return;
            };
            let sessions: Vec<_> = shared.state().sessions.values().cloned().collect();
            for session in sessions {
                if session.owner == owner && session.link.silent_for() > TWIN_SILENCE {
                    session.link.fail(Error::Silent {
                        peer: session.link.peer,
                        seconds: TWIN_SILENCE.as_secs(),
                    });
                }
            }
        })
    }
}
