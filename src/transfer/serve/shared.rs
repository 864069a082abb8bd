//! What all connections of a receiver share, its sessions among them.
//!
//! Must not keep anything of a session that has ended but how it ended.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::model::error::{Error, Result};
use crate::model::outcome::{Ability, Summary};
use crate::model::progress::Trust;
use crate::model::prompt::Prompt;
use crate::net::{
    Admission, Channel, Fingerprint, LAST_WORDS, Network, PairingAttempts, Peers, PoolHolder,
    SessionSlots, Tls, WatchedPeers,
};
use crate::store::Store;
use crate::wire::LaneSecret;

use super::super::options::{Grant, ReceiveOptions};
use super::super::outbox::PING_INTERVAL;
use super::super::receive::{Budgets, EndSilent, Sums};
use super::super::talk::TalkPlaces;
#[cfg(feature = "web")]
use super::super::web::WebServer;
use super::asked::AskedOffers;
use super::on_done::OnDone;
use super::purpose::Purpose;
use super::running::PeerCommands;
use super::served::ServedSession;
use crate::sys::wake::WakeUp;

/// How long a session's peer can be silent when a later session of the same sender waits for
/// what it has: three pings' time.
const LIVE_SILENCE: Duration = PING_INTERVAL.saturating_mul(3);

/// How long a listener that ends with its first session waits for a peer whose connection was lost
/// to come back.
const COME_BACK: Duration = Duration::from_secs(90);
/// How often it is looked whether sessions are still let in, and get on.
const LOOK: Duration = Duration::from_secs(1);
/// What part of the time that a paired machine's session may stand still a stranger's has.
const STRANGERS_PART: u32 = 5;

pub(super) struct ReceiverShared {
    pub(super) tls: Tls,
    pub(super) fingerprint: Fingerprint,
    pub(super) peers: Peers,
    /// The same as they are now.
    pub(super) known: WatchedPeers,
    pub(super) pairing: Arc<PairingAttempts>,
    pub(super) prompt: Arc<dyn Prompt>,
    /// The offers that wait for the user.
    pub(super) asking: AskedOffers,
    /// The messages that are under way.
    pub(super) talk: TalkPlaces,
    /// Those who are not paired, and whose offers the user does not want to be asked about.
    pub(super) unasked: Mutex<HashSet<Fingerprint>>,
    /// None where nothing is stored.
    pub(super) store: Option<Arc<Store>>,
    /// Those of senders that have a folder of their own, by that.
    pub(super) stores: HashMap<PathBuf, Arc<Store>>,
    pub(super) sums: Option<Arc<Sums>>,
    /// What it is for.
    pub(super) purpose: Purpose,
    pub(super) options: ReceiveOptions,
    /// When it takes no more sessions, and ends once there are none.
    pub(super) ends: Option<Instant>,
    /// The pages for browsers, where there are any.
    #[cfg(feature = "web")]
    pub(super) web: Option<WebServer>,
    pub(super) connections: AtomicUsize,
    pub(super) admission: Arc<Admission>,
    pub(super) sessions: Mutex<ReceiverSessions>,
    /// What runs for peers.
    pub(super) commands: PeerCommands,
    /// What is to run behind sessions.
    pub(super) on_done: Option<Arc<OnDone>>,
    /// What all sessions can have.
    pub(super) budgets: Arc<Budgets>,
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

/// A session, and why its sender was let in.
pub(super) struct LetInSession {
    pub(super) session: ServedSession,
    pub(super) holder: PoolHolder,
    pub(super) trust: Trust,
    /// What its sender is called here.
    pub(super) name: String,
    /// How far it was when that was last seen to change, and when that was.
    progress: Mutex<(u64, Instant)>,
}

impl LetInSession {
    pub(super) fn new(
        session: ServedSession,
        holder: PoolHolder,
        trust: Trust,
        name: &str,
    ) -> Arc<Self> {
        Arc::new(Self {
            session,
            holder,
            trust,
            name: name.to_owned(),
            progress: Mutex::new((0, Instant::now())),
        })
    }

    /// For how long it has not got on. Time in which this side makes its sender wait does not
    /// count.
    fn idle(&self) -> Duration {
        let now = self.session.progress();
        let mut progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        if now.is_none_or(|now| now != progress.0) {
            *progress = (now.unwrap_or(progress.0), Instant::now());
        }
        progress.1.elapsed()
    }
}

pub(super) struct ReceiverSessions {
    /// Sessions by what their lanes show.
    pub(super) by_secret: HashMap<LaneSecret, Arc<LetInSession>>,
    /// Whose sessions are about to be among these.
    pub(super) awaited: Vec<Fingerprint>,
    pub(super) running: SessionSlots,
    /// How the first session ended, where that is what is waited for.
    pub(super) first: Option<Result<Summary>>,
    /// A session that was lost, and until when it may come back.
    pub(super) lost: Option<(Instant, Error)>,
    /// When they were last looked after.
    looked: Option<Instant>,
}

impl ReceiverSessions {
    pub(super) fn new(max_sessions: usize) -> Self {
        Self {
            by_secret: HashMap::new(),
            awaited: Vec::new(),
            running: SessionSlots::new(max_sessions),
            first: None,
            lost: None,
            looked: None,
        }
    }
}

impl ReceiverShared {
    pub(super) fn sessions(&self) -> MutexGuard<'_, ReceiverSessions> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn all_sessions(&self) -> Vec<Arc<LetInSession>> {
        self.sessions().by_secret.values().cloned().collect()
    }

    /// Whom the sender at the other end of `channel` counts as.
    pub(super) fn holder(&self, channel: &Channel, trust: Trust) -> PoolHolder {
        match trust {
            Trust::Open => PoolHolder::Stranger(Network::from(channel.peer)),
            _ => PoolHolder::Known(channel.fingerprint),
        }
    }

    /// Whether this key is this side's own, or one that is let in here.
    pub(super) fn is_known(&self, fingerprint: Fingerprint) -> bool {
        fingerprint == self.fingerprint || self.known.let_in(fingerprint).is_some()
    }

    /// Whether a peer may still do what it was let in for. Where the list of known machines cannot
    /// be read, nothing has been taken from it.
    pub(super) fn is_still_let_in(
        &self,
        peer: Fingerprint,
        trust: Trust,
        name: &str,
        ability: Ability,
    ) -> bool {
        if trust != Trust::Paired {
            return true;
        }
        let Some(all) = self.known.all() else {
            return true;
        };
        let mut all = all.iter();
        let known = all.find(|known| known.fingerprint == peer && known.may(ability));
        // What the settings grant to those who send goes by the name.
        let goes_by_name = ability == Ability::Files && !self.options.grants.is_empty();
        known.is_some_and(|known| !goes_by_name || known.name == name)
    }

    /// Looks whether each session still is let in, and whether it gets on, where that was not done
    /// a moment ago. Says when to come again; never where there is no session.
    pub(super) fn look_after_sessions(&self) -> Option<Duration> {
        {
            let mut sessions = self.sessions();
            if sessions.running.is_empty() {
                return None;
            }
            let since = sessions.looked.map(|looked| looked.elapsed());
            if let Some(since) = since.filter(|&since| since < LOOK) {
                return Some(LOOK - since);
            }
            sessions.looked = Some(Instant::now());
        }
        for one in self.all_sessions() {
            one.idle();
            self.end_if_unpaired(&one);
        }
        if self.has_ended() {
            // Nobody needs its place, but this machine's user waits for the end.
            self.end_idle(PoolHolder::Known(self.fingerprint));
        }
        Some(LOOK)
    }

    /// Ends commands whose peers may not run any here any more. Says when to come again; never where
    /// none runs.
    pub(super) fn look_after_commands(&self) -> Option<Duration> {
        self.commands.look_after(|peer, trust, name| {
            self.is_still_let_in(peer, trust, name, Ability::Commands)
        })
    }

    /// Looks whether all in the room still may be there. Says when to come again; never where
    /// nobody is.
    pub(super) fn look_after_room(&self) -> Option<Duration> {
        self.purpose
            .room()?
            .look(|peer, trust, name| self.is_still_let_in(peer, trust, name, Ability::Messages))
    }

    /// Ends batches of uploads that nobody comes back to. Says when to come again; never where there
    /// is none.
    pub(super) fn look_after_uploads(&self) -> Option<Duration> {
        #[cfg(feature = "web")]
        return self.web.as_ref()?.uploads()?.look_after(self.options.idle);
        #[cfg(not(feature = "web"))]
        None
    }

    /// Ends all batches of uploads. Says whether there was one.
    fn stop_uploads(&self) -> bool {
        #[cfg(feature = "web")]
        let uploads = self.web.as_ref().and_then(WebServer::uploads);
        #[cfg(feature = "web")]
        return uploads.is_some_and(super::super::web::Uploads::stop);
        #[cfg(not(feature = "web"))]
        false
    }

    /// Ends a session whose sender may not send here any more. Says whether it did.
    pub(super) fn end_if_unpaired(&self, one: &LetInSession) -> bool {
        let session = &one.session;
        let ability = self.purpose.ability();
        let ends = !self.is_still_let_in(session.owner(), one.trust, &one.name, ability);
        if ends {
            let link = session.link();
            link.fail(Error::Unpaired {
                peer: link.peer,
                name: one.name.clone(),
            });
        }
        ends
    }

    /// Ends the session that is of least use, so that there is room for one of `holder`: one that
    /// does not get on, a stranger's before that of somebody known, and of these the one that has
    /// stood still for longest. Says whether there is one.
    pub(super) fn end_idle(&self, holder: PoolHolder) -> bool {
        // Whoever uploads may be anybody.
        #[cfg(feature = "web")]
        if let Some(uploads) = self.web.as_ref().and_then(WebServer::uploads)
            && uploads.end_idle(self.options.idle / STRANGERS_PART)
        {
            return true;
        }
        let own = self.sessions().running.is_full_of(holder);
        let all = self.all_sessions().into_iter();
        let may_go = all.filter_map(|one| {
            let is_stranger = matches!(one.holder, PoolHolder::Stranger(_));
            let idle = one.idle();
            let patience = match is_stranger {
                true => self.options.idle / STRANGERS_PART,
                false => self.options.idle,
            };
            // No stranger is in the way of anybody that is known.
            let helps = match (own, holder) {
                (true, _) => one.holder == holder,
                (false, PoolHolder::Stranger(_)) => is_stranger,
                (false, PoolHolder::Known(_)) => true,
            };
            (helps && idle >= patience && !one.session.link().is_over())
                .then_some(((is_stranger, idle), one))
        });
        let Some(((_, idle), one)) = may_go.max_by_key(|(use_, _)| *use_) else {
            return false;
        };
        let link = one.session.link();
        link.fail(Error::Idle {
            peer: link.peer,
            name: one.name.clone(),
            seconds: idle.as_secs(),
        });
        true
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

    /// Whether it takes no more sessions.
    pub(super) fn has_ended(&self) -> bool {
        self.ends.is_some_and(|ends| ends <= Instant::now())
    }

    /// How long until it is to end; nothing left where it takes no more sessions and has none.
    pub(super) fn time_left(&self) -> Option<Duration> {
        let left = self.ends?.saturating_duration_since(Instant::now());
        // Sessions that end wake whoever waits.
        let is_at_work = !self.sessions().running.is_empty() || self.serves_browsers();
        (!left.is_zero() || !is_at_work).then_some(left)
    }

    /// Whether browsers download something.
    fn serves_browsers(&self) -> bool {
        #[cfg(feature = "web")]
        return self.web.as_ref().is_some_and(WebServer::is_at_work);
        #[cfg(not(feature = "web"))]
        false
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

    /// Notes how a session ended, where the first one is what is waited for. One that was lost, and
    /// `can_go_on`, may come back.
    pub(super) fn note_first(&self, ended: Result<Summary>, can_go_on: bool) {
        if !self.options.once {
            return;
        }
        let mut sessions = self.sessions();
        match ended {
            Err(error) if error.is_lost_connection() && can_go_on => {
                sessions.lost = Some((Instant::now() + COME_BACK, error));
            }
            other => sessions.first = sessions.first.take().or(Some(other)),
        }
    }

    /// Ends every session, and waits for that. Says whether one was not done.
    pub(super) fn stop(&self) -> bool {
        let mut was_running = self.stop_uploads();
        let mut sessions = self.sessions();
        for link in sessions.by_secret.values().map(|one| one.session.link()) {
            // One that has said its summary only waits for its peer to close.
            if link.is_over() {
                link.close_soon();
            } else {
                was_running = true;
                link.fail(Error::Cancelled);
            }
        }
        while !sessions.running.is_empty() {
            sessions = self
                .changed
                .wait(sessions)
                .unwrap_or_else(PoisonError::into_inner);
        }
        drop(sessions);
        // Whoever waits for a reply is told that none comes.
        self.talk.wait_for_none(LAST_WORDS);
        was_running
    }

    /// Something that ends the sessions of `owner` whose peer has been silent for longer than a
    /// live one ever is. (A session that nobody waits for is given more time.) Says how far all of
    /// them are, as a number that changes whenever one gets on; none while one is at work.
    pub(super) fn end_silent(self: &Arc<Self>, owner: Fingerprint) -> EndSilent {
        let shared = Arc::downgrade(self);
        Box::new(move || {
            let Some(shared) = shared.upgrade() else {
                return Some(0);
            };
            let (mut moved, mut at_work) = (0_u64, false);
            for LetInSession { session, .. } in shared.all_sessions().iter().map(Arc::as_ref) {
                if session.owner() != owner {
                    continue;
                }
                moved = moved.wrapping_add(session.moved());
                at_work |= session.is_at_work();
                let link = session.link();
                if link.silent_for() > LIVE_SILENCE {
                    link.fail(Error::Silent {
                        peer: link.peer,
                        seconds: LIVE_SILENCE.as_secs(),
                    });
                }
            }
            (!at_work).then_some(moved)
        })
    }
}
