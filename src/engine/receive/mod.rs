//! The receiving engine: what is done with a connection, which is a lane of a session or
//! begins one.
//!
//! Must not let one connection hold up another: each has its own thread, and fails alone.

mod door;
mod grant;
mod hold;
mod lane;
mod listener;
mod output;
mod planner;
mod session;
mod slot;
mod sums;
mod unpack;
mod waiting;

use std::collections::{HashMap, HashSet};
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::Timespec;

use crate::digest::CHUNK_SIZE;
use crate::error::{Error, Result};
use crate::outcome::{Decline, OnConflict, Role, Summary};
use crate::progress::{Counters, Event, Peer, Progress, Trust};
use crate::prompt::{Answer, Caller, Prompt, Proposal};
use crate::secure::{Channel, Fingerprint, Peers, Tls};
use crate::session::{
    Desk, FIRST_WORDS, LetIn, Link, Opening, Ours, PING_INTERVAL, hear_offer, let_in, opening, say,
    say_last, turn_away,
};
use crate::store::Store;
use crate::text::Text;
use crate::wire::{Accept, Contents, Hello, Join, LaneSecret, Message, Offer, limits};

use super::cancel::Cancel;
use super::next_session;
use super::options::{Grant, ReceiveOptions};

pub use listener::Receiver;

use door::{Door, Guest, Places, Step};
use output::Output;
use session::{Parts, Receiving, Target};
use sums::Sums;

/// How many offers can wait for the user at once.
const MAX_ASKING: usize = 8;
/// How long a session's peer can be silent when a later session of the same sender waits for
/// what it has: two pings' time.
const TWIN_SILENCE: Duration = PING_INTERVAL.saturating_mul(2);
/// How long a receiver that ends with its first session waits for a sender whose connection was
/// lost to come back.
const COME_BACK: Duration = Duration::from_secs(90);

struct Shared {
    tls: Tls,
    fingerprint: Fingerprint,
    peers: Peers,
    desk: Arc<Desk>,
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
    door: Arc<Door>,
    state: Mutex<State>,
    changed: Condvar,
    /// Writing to it wakes the listening thread.
    wake: OwnedFd,
    woken: OwnedFd,
}

struct State {
    /// Sessions by what their lanes show.
    sessions: HashMap<LaneSecret, Arc<Receiving>>,
    running: Places,
    /// How the first session ended, where that is what is waited for.
    first: Option<Result<Summary>>,
    /// A session that was lost, and until when it may come back.
    lost: Option<(Instant, Error)>,
}

impl State {
    fn new(max_sessions: usize) -> Self {
        Self {
            sessions: HashMap::new(),
            running: Places::new(max_sessions),
            first: None,
            lost: None,
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is granted to a sender that was let in, where that is not what all get.
    fn grant(&self, trust: Trust, sender: Fingerprint) -> Result<Option<&Grant>> {
        let grants = &self.options.grants;
        if trust != Trust::Paired || grants.is_empty() {
            return Ok(None);
        }
        // By the name that it has here, whatever it calls itself.
        let known = self.peers.find(sender)?;
        Ok(known.and_then(|known| grants.get(&known.name)))
    }

    /// Where what it sends goes.
    fn store_of(&self, trust: Trust, sender: Fingerprint) -> Result<Option<&Arc<Store>>> {
        let dir = self.grant(trust, sender)?.and_then(|g| g.dir.as_ref());
        let own = dir.and_then(|dir| self.stores.get(dir));
        Ok(own.or(self.store.as_ref()))
    }

    /// Wakes the listening thread.
    fn wake(&self) {
        // A byte for each session that ends: it is read long before the pipe could be full.
        let _ = rustix::io::write(&self.wake, &[0]);
    }

    /// How the first session ended, if that is what is waited for; else how long to wait.
    fn first_ended(&self) -> Result<Result<Summary>, Option<Timespec>> {
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
        Err(Timespec::try_from(left).ok())
    }

    /// Ends every session, and waits for that. Says whether one was not done.
    fn stop(&self) -> bool {
        let mut state = self.state();
        let mut was_busy = false;
        for session in state.sessions.values() {
            // One that has said its summary only waits for its peer to close.
            if session.link.is_over() {
                session.link.close_soon();
            } else {
                was_busy = true;
                session.link.fail(Error::Cancelled);
            }
        }
        while !state.running.is_empty() {
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        was_busy
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

    /// Serves a connection, to its end. What it returns is why it came to nothing.
    fn connection(
        self: &Arc<Self>,
        stream: Arc<TcpStream>,
        guest: &Guest,
        progress: &Arc<dyn Progress>,
        cancel: &Cancel,
    ) -> Result<()> {
        let greeted = || guest.has(Step::Greeted);
        let mut channel = self.tls.accept_noting(stream, FIRST_WORDS, greeted)?;
        guest.has(Step::Proven);
        let peer = channel.peer;
        let lost = |source| Error::Lost { peer, source };
        channel
            .writer
            .set_timeout(Some(FIRST_WORDS))
            .map_err(lost)?;
        match opening(&mut channel)? {
            Opening::Control(hello) => self.control(channel, guest, &hello, progress, cancel),
            Opening::Lane(join) => self.lane(channel, guest, &join),
        }
    }

    fn lane(&self, mut channel: Channel, guest: &Guest, join: &Join) -> Result<()> {
        let peer = channel.peer;
        let session = self.state().sessions.get(&join.secret).cloned();
        let session = session.filter(|session| {
            session.owner == channel.fingerprint
                && session
                    .lanes_left
                    .fetch_update(Ordering::AcqRel, Ordering::Acquire, |n| n.checked_sub(1))
                    .is_ok()
        });
        let Some(session) = session else {
            let words = Message::Abort(Text::new("there is no such session"));
            say_last(&mut channel, &words)?;
            return Err(Error::protocol(peer, "a lane of no session"));
        };
        guest.let_in();
        channel.carry(session.counters.clone());
        let joined = Message::Joined(channel.preambles);
        if let Err(error) = say(&mut channel, &joined) {
            session.link.fail(error);
            return Ok(());
        }
        session.lane(channel);
        Ok(())
    }

    fn control(
        self: &Arc<Self>,
        mut channel: Channel,
        guest: &Guest,
        hello: &Hello,
        progress: &Arc<dyn Progress>,
        cancel: &Cancel,
    ) -> Result<()> {
        let Some((peer, mut offer)) = self.proposal(&mut channel, guest, hello, progress)? else {
            return Ok(());
        };
        if offer.chunk_size != CHUNK_SIZE || offer.lanes == 0 {
            let what = Text::new(format!("chunks of {} bytes", offer.chunk_size));
            return turn_away(&mut channel, &peer.caller(), Decline::Unsupported(what));
        }
        let grant = self.grant(peer.trust, channel.fingerprint)?;
        let (owner, wish) = (channel.fingerprint, offer.wish);
        let access = match grant::access(owner, peer.trust, wish, grant, &self.options) {
            Ok(access) => access,
            Err(decline) => return turn_away(&mut channel, &peer.caller(), decline),
        };
        if self.options.output.is_some() {
            if wish.dry_run {
                let what = Text::new("a dry run, of what goes to standard output");
                return turn_away(&mut channel, &peer.caller(), Decline::Unsupported(what));
            }
            // Chunks come in order over one.
            offer.lanes = 1;
        }
        let Some(running) = Running::new(self, &channel, &mut offer) else {
            // It may be this sender's last session that is in its own way.
            (self.end_dead_twins(channel.fingerprint))();
            return turn_away(&mut channel, &peer.caller(), Decline::Busy);
        };
        guest.let_in();
        let target = match (
            &self.options.output,
            self.store_of(peer.trust, channel.fingerprint)?,
        ) {
            (None, Some(store)) => store.session(access, self.options.sync).map(Target::Folder),
            (Some(to), _) => Output::new(to.clone()).map(|to| Target::Output(Arc::new(to))),
            (None, None) => Err(std::io::ErrorKind::NotFound.into()),
        };
        let target = match target {
            Ok(target) => target,
            Err(e) => {
                let what = Text::new(crate::error::reason(&e));
                // Nobody waits for a peer that is only told that.
                drop(running);
                return turn_away(&mut channel, &peer.caller(), Decline::Store(what));
            }
        };
        let output = match &target {
            Target::Output(output) => Some(output.clone()),
            Target::Folder(_) => None,
        };
        let ended = self.session(channel, &peer, &offer, target, progress, cancel);
        if self.options.once {
            let may_come_back = output.is_none_or(|output| !output.was_used());
            let mut state = self.state();
            match ended {
                Err(error) if error.is_lost_connection() && may_come_back => {
                    state.lost = Some((Instant::now() + COME_BACK, error));
                }
                other => state.first = state.first.take().or(Some(other)),
            }
        }
        Ok(())
    }

    /// Lets the sender in, and hears what it offers. None where it came to be let in, and no more.
    fn proposal(
        &self,
        channel: &mut Channel,
        guest: &Guest,
        hello: &Hello,
        progress: &Arc<dyn Progress>,
    ) -> Result<Option<(Peer, Offer)>> {
        let asks = self.options.ask && !self.is_unasked(channel.fingerprint);
        let ours = Ours {
            fingerprint: self.fingerprint,
            name: &self.options.name,
            open: self.options.open,
            asks,
            peers: &self.peers,
        };
        let desk = (&self.desk, &self.prompt);
        // Few can wait for a person, and those need not hurry.
        let LetIn { peer, unasked } = let_in(channel, hello, ours, desk, || guest.let_in())?;
        if peer.is_new {
            progress.event(&Event::Paired {
                caller: &peer.caller(),
                role: Role::Receiver,
            });
        }
        let asks = asks && !unasked;
        let caller = peer.caller();
        if asks && !self.prompt.can_decide() {
            return turn_away(channel, &caller, Decline::Unattended);
        }
        let Some(offer) = hear_offer(channel)? else {
            return Ok(None);
        };
        if asks {
            guest.let_in();
            self.ask(channel, caller, peer.trust, &offer)?;
        }
        Ok(Some((peer, offer)))
    }

    /// Asks the user about an offer.
    fn ask(
        &self,
        channel: &mut Channel,
        caller: Caller,
        trust: Trust,
        offer: &Offer,
    ) -> Result<()> {
        let Some(contents) = &offer.contents else {
            return Err(Error::protocol(caller.addr, "an offer that says nothing"));
        };
        let store = self.store_of(trust, channel.fingerprint)?;
        let proposal = Proposal {
            caller,
            files: contents.files,
            bytes: Some(contents.bytes).filter(|&bytes| bytes != Contents::UNKNOWN),
            first: contents.first.to_string(),
            named: contents.named,
            wish: offer.wish,
            dir: store.map_or_else(|| output::NAME.into(), |store| store.path().to_path_buf()),
            free: store.and_then(|store| store.free()),
        };
        let Some(_place) = Asking::new(&self.asking) else {
            return turn_away(channel, &proposal.caller, Decline::Crowded);
        };
        match self.prompt.decide(&proposal) {
            Some(Answer::Yes) => {}
            Some(Answer::Always) if trust == Trust::Paired => self.peers.update(|all| {
                let fingerprint = channel.fingerprint;
                if let Some(known) = all.iter_mut().find(|k| k.fingerprint == fingerprint) {
                    known.unasked = true;
                }
                Ok(())
            })?,
            Some(Answer::Always) => {
                let mut unasked = self.unasked.lock().unwrap_or_else(PoisonError::into_inner);
                unasked.insert(channel.fingerprint);
            }
            Some(Answer::No) => {
                return turn_away(channel, &proposal.caller, Decline::Refused);
            }
            None => return turn_away(channel, &proposal.caller, Decline::Unattended),
        }
        Ok(())
    }

    fn is_unasked(&self, fingerprint: Fingerprint) -> bool {
        let unasked = self.unasked.lock().unwrap_or_else(PoisonError::into_inner);
        unasked.contains(&fingerprint)
    }

    fn session(
        self: &Arc<Self>,
        mut channel: Channel,
        peer: &Peer,
        offer: &Offer,
        target: Target,
        progress: &Arc<dyn Progress>,
        cancel: &Cancel,
    ) -> Result<Summary> {
        let accept = Accept {
            lanes: offer.lanes,
            secret: secret()?,
            window: self
                .options
                .window
                .clamp(*limits::WINDOW.start(), *limits::WINDOW.end()),
            conflict: match &target {
                Target::Folder(store) => store.conflict(),
                Target::Output(_) => OnConflict::Beside,
            },
        };
        let counters = Arc::new(Counters::default());
        channel.carry(counters.clone());
        let session = Receiving::new(Parts {
            session: next_session(),
            link: Arc::new(Link::new(channel.peer, channel.closer.clone())),
            owner: channel.fingerprint,
            algorithm: offer.algorithm,
            dir: match &target {
                Target::Folder(store) => store.path().to_path_buf(),
                Target::Output(_) => output::NAME.into(),
            },
            target,
            sync: self.options.sync,
            sums: self.sums.clone(),
            progress: progress.clone(),
            counters,
            window: accept.window,
            end_dead_twins: self.end_dead_twins(channel.fingerprint),
            lanes: accept.lanes,
        });
        let number = session.session;
        self.state().sessions.insert(accept.secret, session.clone());
        let _registered = Registered(self, accept.secret);
        progress.event(&Event::Started {
            session: number,
            role: Role::Receiver,
            peer,
            wish: offer.wish,
            conflict: accept.conflict,
            counters: &session.counters,
        });
        // Between the last look at the flag and its place among the sessions it was in nobody's
        // sight.
        if cancel.is_cancelled() {
            session.link.fail(Error::Cancelled);
        }
        let ended = say(&mut channel, &Message::Accept(accept)).and_then(|()| session.run(channel));
        match &ended {
            Ok(summary) => progress.event(&Event::Finished {
                session: number,
                summary,
            }),
            Err(error) => progress.event(&Event::Failed {
                session: number,
                error,
            }),
        }
        ended
    }
}

/// An offer that waits for the user, until it is dropped.
struct Asking<'a>(&'a AtomicUsize);

impl<'a> Asking<'a> {
    /// None where too many wait.
    fn new(count: &'a AtomicUsize) -> Option<Self> {
        let more = |n: usize| (n < MAX_ASKING).then_some(n + 1);
        let added = count.fetch_update(Ordering::AcqRel, Ordering::Acquire, more);
        added.ok().map(|_| Self(count))
    }
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

fn secret() -> Result<LaneSecret> {
    let mut secret = [0; 32];
    aws_lc_rs::rand::fill(&mut secret).map_err(|_| Error::State {
        path: "/dev/urandom".into(),
        what: "gives no random numbers".into(),
    })?;
    Ok(LaneSecret(secret))
}

/// A session that counts as running, until it is dropped.
struct Running<'a>(&'a Shared, u64);

impl<'a> Running<'a> {
    /// Takes a place for a session, and leaves of the lanes that are offered those that it may
    /// have. None where there is no place.
    fn new(shared: &'a Shared, channel: &Channel, offer: &mut Offer) -> Option<Self> {
        let lanes = offer.lanes.min(shared.options.lanes).min(limits::MAX_LANES);
        let mut state = shared.state();
        if state.first.is_some() {
            return None;
        }
        let (owner, addr) = (channel.fingerprint, channel.peer.ip());
        let (place, lanes) = state.running.take(owner, addr, lanes)?;
        offer.lanes = lanes;
        Some(Self(shared, place))
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.state().running.give_back(self.1);
        self.0.changed.notify_all();
        self.0.wake();
    }
}

/// A session among those that lanes can join, until it is dropped.
struct Registered<'a>(&'a Shared, LaneSecret);

impl Drop for Registered<'_> {
    fn drop(&mut self) {
        self.0.state().sessions.remove(&self.1);
    }
}
