//! What is done with one connection: it is a lane of a session, or begins one.
//!
//! Must not hold up another connection: each has its own thread, and fails alone.

use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tracing::debug;

use crate::model::digest::CHUNK_SIZE;
use crate::model::error::{CryptoFault, Error, Result};
use crate::model::outcome::{Decline, OnConflict, Role};
use crate::model::progress::{Counters, Event, Peer, Progress};
use crate::model::reason::{AbortReason, StoreFault, SystemError, Unsupported};
use crate::net::{
    Candidate, Channel, FIRST_WORDS, Opening, Stage, opening, say, say_last, turn_away,
};
use crate::sys::worker::{Worker, caught, checkpoint};
use crate::wire::{Accept, Hello, Join, LaneSecret, Message, Offer, limits};

use super::super::cancel::Cancel;
use super::super::link::Link;
use super::super::next_session;
use super::super::receive::{NAME, Output, Receiving, Setup, Target};
use super::{Shared, grant};

/// How long a receiver that ends with its first session waits for a sender whose connection was
/// lost to come back.
const COME_BACK: Duration = Duration::from_secs(90);

impl Shared {
    /// Serves a connection, to its end. What it returns is why it came to nothing.
    pub(super) fn connection(
        self: &Arc<Self>,
        stream: Arc<TcpStream>,
        candidate: &Candidate,
        progress: &Arc<dyn Progress>,
        cancel: &Cancel,
    ) -> Result<()> {
        let greeted = || candidate.reached(Stage::Greeted);
        let mut channel = self.tls.accept_noting(stream, FIRST_WORDS, greeted)?;
        candidate.reached(Stage::Proven);
        let peer = channel.peer;
        let lost = |source| Error::Lost { peer, source };
        channel
            .writer
            .set_timeout(Some(FIRST_WORDS))
            .map_err(lost)?;
        match opening(&mut channel)? {
            Opening::Control(hello) => self.control(channel, candidate, &hello, progress, cancel),
            Opening::Lane(join) => self.lane(channel, candidate, &join),
        }
    }

    fn lane(&self, mut channel: Channel, candidate: &Candidate, join: &Join) -> Result<()> {
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
            say_last(&mut channel, &Message::Abort(AbortReason::NoSession))?;
            return Err(Error::protocol(peer, "a lane of no session"));
        };
        candidate.let_in();
        channel.carry(session.counters.clone());
        let joined = Message::Joined(channel.preambles);
        if let Err(error) = say(&mut channel, &joined) {
            session.link.fail(error);
            return Ok(());
        }
        // It stays open until the session ends, so that the sender hears why before it hears that
        // a lane is gone.
        debug!(session = session.session, %peer, "lane joined");
        session.link.add_lane(channel.closer.clone());
        session.link.guarded(Worker::Lane, || session.lane(channel));
        Ok(())
    }

    fn control(
        self: &Arc<Self>,
        mut channel: Channel,
        candidate: &Candidate,
        hello: &Hello,
        progress: &Arc<dyn Progress>,
        cancel: &Cancel,
    ) -> Result<()> {
        let proposed = self.proposal(&mut channel, candidate, hello, progress)?;
        let Some((peer, mut offer, terms)) = proposed else {
            return Ok(());
        };
        if offer.chunk_size != CHUNK_SIZE {
            let what = Unsupported::ChunkSize(offer.chunk_size);
            return turn_away(&mut channel, &peer.caller(), Decline::Unsupported(what));
        }
        if offer.lanes == 0 {
            let what = Unsupported::NoLanes;
            return turn_away(&mut channel, &peer.caller(), Decline::Unsupported(what));
        }
        let (owner, wish) = (channel.fingerprint, offer.wish);
        let access = match grant::access(owner, peer.trust, wish, terms.grant, &self.options) {
            Ok(access) => access,
            Err(decline) => return turn_away(&mut channel, &peer.caller(), decline),
        };
        if self.options.output.is_some() {
            if wish.dry_run {
                let what = Unsupported::DryRunToOutput;
                return turn_away(&mut channel, &peer.caller(), Decline::Unsupported(what));
            }
            // Chunks come in order over one.
            offer.lanes = 1;
        }
        let Some(running) = Running::new(self, &channel, &mut offer) else {
            // It may be this sender's last session that is in its own way.
            (self.end_dead_twins(channel.fingerprint))();
            return turn_away(&mut channel, &peer.caller(), Decline::TooManySessions);
        };
        candidate.let_in();
        let target = match (&self.options.output, terms.store) {
            (None, Some(store)) => store.session(access, self.options.sync).map(Target::Folder),
            (Some(to), _) => Output::new(to.clone()).map(|to| Target::Output(Arc::new(to))),
            (None, None) => Err(std::io::ErrorKind::NotFound.into()),
        };
        let target = match target {
            Ok(target) => target,
            Err(e) => {
                let what = match e.kind() {
                    std::io::ErrorKind::NotFound => StoreFault::FolderRemoved,
                    _ => SystemError::from(&e).into(),
                };
                // Nobody waits for a peer that is only told that.
                drop(running);
                return turn_away(&mut channel, &peer.caller(), Decline::Store(what));
            }
        };
        self.session(channel, &peer, &offer, target, progress, cancel)
    }

    fn session(
        self: &Arc<Self>,
        mut channel: Channel,
        peer: &Peer,
        offer: &Offer,
        target: Target,
        progress: &Arc<dyn Progress>,
        cancel: &Cancel,
    ) -> Result<()> {
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
        let session = Receiving::new(Setup {
            session: next_session(),
            link: Arc::new(Link::new(&channel)),
            owner: channel.fingerprint,
            algorithm: offer.algorithm,
            dir: match &target {
                Target::Folder(store) => store.path().to_path_buf(),
                Target::Output(_) => NAME.into(),
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
        debug!(
            session = number,
            peer = %channel.peer,
            name = peer.name,
            trust = ?peer.trust,
            lanes = accept.lanes,
            window = accept.window,
            algorithm = ?offer.algorithm,
            wish = ?offer.wish,
            conflict = ?accept.conflict,
            "session begins, as receiver"
        );
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
        let run = || {
            checkpoint(Worker::Connection);
            say(&mut channel, &Message::Accept(accept))?;
            session.run(channel)
        };
        let ended = caught(Worker::Connection, run).unwrap_or_else(|panicked| Err(panicked.into()));
        session.settle_sums();
        match &ended {
            Ok(summary) => progress.event(&Event::Finished {
                session: number,
                summary,
                all: summary,
            }),
            Err(error) => progress.event(&Event::Failed {
                session: number,
                error,
            }),
        }
        // What would happen is not what was waited for.
        if self.options.once && !offer.wish.dry_run {
            let mut state = self.state();
            match ended {
                Err(error) if error.is_lost_connection() && session.can_go_on() => {
                    state.lost = Some((Instant::now() + COME_BACK, error));
                }
                other => {
                    let other = other.and_then(|summary| session.check_sums().map(|()| summary));
                    state.first = state.first.take().or(Some(other));
                }
            }
        }
        Ok(())
    }
}

fn secret() -> Result<LaneSecret> {
    let mut secret = [0; 32];
    aws_lc_rs::rand::fill(&mut secret).map_err(|_| Error::Crypto {
        fault: CryptoFault::Random,
    })?;
    Ok(LaneSecret(secret))
}

/// A session that counts as running, until it is dropped.
struct Running<'a>(&'a Shared, u64);

impl<'a> Running<'a> {
    /// Takes a slot for a session, and leaves of the lanes that are offered those that it may
    /// have. None where there is no slot.
    fn new(shared: &'a Shared, channel: &Channel, offer: &mut Offer) -> Option<Self> {
        let lanes = offer.lanes.min(shared.options.lanes).min(limits::MAX_LANES);
        let mut state = shared.state();
        if state.first.is_some() {
            return None;
        }
        let (owner, addr) = (channel.fingerprint, channel.peer.ip());
        let (slot, lanes) = state.running.take(owner, addr, lanes)?;
        offer.lanes = lanes;
        Some(Self(shared, slot))
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.state().running.release(self.1);
        self.0.changed.notify_all();
        self.0.wake_up.raise();
    }
}

/// A session among those that lanes can join, until it is dropped.
struct Registered<'a>(&'a Shared, LaneSecret);

impl Drop for Registered<'_> {
    fn drop(&mut self) {
        self.0.state().sessions.remove(&self.1);
    }
}
