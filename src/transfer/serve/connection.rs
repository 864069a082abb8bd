//! One connection: it joins a session as a lane, or starts one.
//!
//! Must not hold up another connection: each has its own thread, and fails alone.

use std::net::TcpStream;
use std::sync::Arc;

use tracing::debug;

use crate::model::digest::CHUNK_SIZE;
use crate::model::error::{CryptoFault, Error, Result};
use crate::model::outcome::{Ability, Decline, OnConflict, Role};
use crate::model::progress::{Counters, Event, Peer, Progress};
use crate::model::reason::{AbortReason, StoreFault, SystemError, Unsupported};
use crate::net::{
    Channel, FIRST_WORDS, LeastEntries, Opening, Request, SessionSize, Stage, opening, say,
    say_last, turn_away,
};
use crate::sys::worker::{Worker, caught, checkpoint};
use crate::wire::{Accept, Hello, Join, Message, Offer, Say, limits};

use super::super::link::Link;
use super::super::receive::{
    Destination, OfferBound, Output, ReceiveSession, RemovalTerms, SessionSetup,
};
use super::super::talk::{Room, TalkMeans, hear_said};
use super::super::{new_secret, next_session};
use super::approval::{Admitted, Proposed, admitted};
#[cfg(feature = "web")]
use super::browsers::serve_browser;
use super::commands;
use super::fetched::{self, FetchCall};
use super::on_done::StoredList;
use super::purpose::Purpose;
use super::registry::{RegisteredSession, RunningSession, session_of};
use super::served::ServedSession;
use super::serving::Serving;
use super::shared::{LetInSession, ReceiverShared};

/// Serves a connection, to its end. What it returns is why it came to nothing.
pub(super) fn serve(serving: &Serving<'_>, stream: Arc<TcpStream>) -> Result<()> {
    let Serving {
        shared, candidate, ..
    } = *serving;
    #[cfg(feature = "web")]
    if let Some(served) = serve_browser((shared, candidate, serving.progress), &stream) {
        return served;
    }
    let greeted = || candidate.reached(Stage::Greeted);
    let mut channel = shared.tls.accept_noting(stream, FIRST_WORDS, greeted)?;
    candidate.reached(match shared.is_known(channel.fingerprint) {
        true => Stage::Known,
        false => Stage::Proven,
    });
    let peer = channel.peer;
    let lost = |source| Error::Lost { peer, source };
    channel
        .writer
        .set_timeout(Some(FIRST_WORDS))
        .map_err(lost)?;
    match opening(&mut channel) {
        Ok(Opening::Control(hello)) => control(serving, channel, &hello),
        Ok(Opening::Lane(join)) => lane(serving, channel, &join),
        // It wanted to know who is here, as `xfer list` does, or found a better way here.
        Err(Error::Lost { peer, .. }) => {
            debug!(%peer, "it has seen the key, and left without a word");
            Ok(())
        }
        Err(error) => Err(error),
    }
}

fn lane(serving: &Serving<'_>, mut channel: Channel, join: &Join) -> Result<()> {
    let shared = serving.shared;
    let peer = channel.peer;
    let one = session_of(shared, join, channel.fingerprint).filter(|one| {
        let is_owner = one.session.owner() == channel.fingerprint;
        is_owner && !shared.end_if_unpaired(one) && one.session.take_lane()
    });
    let Some(session) = one.map(|one| one.session.clone()) else {
        say_last(&mut channel, &Message::Abort(AbortReason::NoSession))?;
        return Err(Error::protocol(peer, "a lane of no session"));
    };
    serving.candidate.let_in();
    channel.carry(session.counters().clone());
    let joined = Message::Joined(channel.preambles);
    if let Err(error) = say(&mut channel, &joined) {
        session.link().fail(error);
        return Ok(());
    }
    // It stays open until the session ends, so that the sender hears why before it hears that
    // a lane is gone.
    debug!(session = session.number(), %peer, "lane joined");
    let link = session.link().clone();
    link.add_lane(channel.closer.clone());
    link.guarded(Worker::Lane, || session.lane(channel));
    Ok(())
}

fn control(serving: &Serving<'_>, mut channel: Channel, hello: &Hello) -> Result<()> {
    let Serving {
        shared,
        candidate,
        progress,
        ..
    } = *serving;
    let proposed = match admitted(shared, &mut channel, candidate, hello, progress)? {
        None => return Ok(()),
        Some(Admitted::Proposed(proposed)) => proposed,
        Some(Admitted::Other(peer, request)) => {
            return other(serving, channel, hello, &peer, request);
        }
    };
    let Proposed {
        peer,
        mut offer,
        access,
        store,
        bound,
    } = proposed;
    if offer.chunk_size != CHUNK_SIZE {
        let what = Unsupported::ChunkSize(offer.chunk_size);
        return turn_away(&mut channel, &peer.caller(), Decline::Unsupported(what));
    }
    if offer.lanes == 0 {
        let what = Unsupported::NoLanes;
        return turn_away(&mut channel, &peer.caller(), Decline::Unsupported(what));
    }
    if shared.options.output.is_some() {
        if offer.wish.dry_run {
            let what = Unsupported::DryRunToOutput;
            return turn_away(&mut channel, &peer.caller(), Decline::Unsupported(what));
        }
        // Chunks come in order over one.
        offer.lanes = 1;
    }
    // The user may have been asked, and may have unpaired it meanwhile.
    if !shared.is_still_let_in(channel.fingerprint, peer.trust, &peer.name, Ability::Files) {
        return turn_away(&mut channel, &peer.caller(), Decline::Unknown);
    }
    let wish = SessionSize {
        lanes: offer.lanes.min(shared.options.lanes).min(limits::MAX_LANES),
        window: (shared.options.window).clamp(*limits::WINDOW.start(), *limits::WINDOW.end()),
    };
    let least = match offer.wish.mirror {
        true => LeastEntries::Mirror,
        false => LeastEntries::Few,
    };
    let holder = shared.holder(&channel, peer.trust);
    let Some(running) = RunningSession::wait(shared, holder, wish, least) else {
        // It may be this sender's last session that is in its own way.
        (shared.end_silent(channel.fingerprint))();
        return turn_away(&mut channel, &peer.caller(), Decline::TooManySessions);
    };
    offer.lanes = running.size.lanes;
    candidate.let_in();
    let destination = match (&shared.options.output, store) {
        (None, Some(store)) => store
            .session(access, shared.options.sync)
            .map(Destination::Folder),
        (Some(to), _) => Output::new(to.clone()).map(|to| Destination::Output(Arc::new(to))),
        (None, None) => Err(std::io::ErrorKind::NotFound.into()),
    };
    let destination = match destination {
        Ok(destination) => destination,
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
    let to = (destination, bound);
    session(serving, channel, &peer, &offer, to, &running)
}

/// What is not about files.
fn other(
    serving: &Serving<'_>,
    mut channel: Channel,
    hello: &Hello,
    peer: &Peer,
    request: Request,
) -> Result<()> {
    // It may have been taken from it since it said hello.
    let is_about_commands = matches!(request, Request::ListCommands | Request::Run(_));
    let (fingerprint, ability) = (channel.fingerprint, Ability::Commands);
    let may = |shared: &ReceiverShared| {
        shared.is_still_let_in(fingerprint, peer.trust, &peer.name, ability)
    };
    if is_about_commands && !may(serving.shared) {
        return turn_away(&mut channel, &peer.caller(), Decline::NotGranted(ability));
    }
    let reason = match request {
        Request::Offer(_) => return Ok(()),
        Request::Say(said) => return hear(serving, channel, peer, said),
        Request::Fetch(fetch) => match &serving.shared.purpose {
            Purpose::Share(files) => {
                let call = FetchCall {
                    peer,
                    prefers: hello.prefers,
                    fetch,
                };
                return fetched::serve(serving, channel, call, files);
            }
            _ => Decline::NoShare,
        },
        Request::JoinRoom => match serving.shared.purpose.room() {
            Some(room) => return join_room(serving, room, channel, peer),
            None => Decline::NoRoom,
        },
        Request::ListCommands => return commands::list(serving.shared, &mut channel),
        Request::Run(run) => {
            let Serving {
                shared,
                candidate,
                progress,
                cancel,
            } = *serving;
            candidate.let_in();
            return commands::run(shared, (progress, cancel), channel, peer, run);
        }
    };
    turn_away(&mut channel, &peer.caller(), reason)
}

fn hear(serving: &Serving<'_>, channel: Channel, peer: &Peer, said: Say) -> Result<()> {
    let shared = serving.shared;
    let (fingerprint, trust) = (channel.fingerprint, peer.trust);
    let means = TalkMeans {
        places: &shared.talk,
        holder: shared.holder(&channel, trust),
        prompt: &shared.prompt,
        cancel: serving.cancel,
        may: &|| shared.is_still_let_in(fingerprint, trust, &peer.name, Ability::Messages),
        stays: &|| serving.candidate.let_in(),
    };
    hear_said(&means, channel, peer, said)
}

fn join_room(serving: &Serving<'_>, room: &Room, channel: Channel, peer: &Peer) -> Result<()> {
    serving.candidate.let_in();
    // From now on it is looked after.
    let joined = || serving.shared.wake_up.raise();
    room.serve(channel, peer, serving.progress, joined)
}

fn session(
    serving: &Serving<'_>,
    mut channel: Channel,
    peer: &Peer,
    offer: &Offer,
    (destination, bound): (Destination, Option<OfferBound>),
    running: &RunningSession<'_>,
) -> Result<()> {
    let Serving {
        shared,
        progress,
        cancel,
        ..
    } = *serving;
    let accept = Accept {
        lanes: offer.lanes,
        secret: new_secret()?,
        window: running.size.window,
        conflict: match &destination {
            Destination::Folder(store) => store.conflict(),
            Destination::Output(_) => OnConflict::Beside,
        },
    };
    let number = next_session();
    let list = stored_list(serving, number, offer, &destination);
    let heard: Arc<dyn Progress> = match &list {
        Some(list) => list.clone(),
        None => progress.clone(),
    };
    let counters = Arc::new(Counters::default());
    channel.carry(counters.clone());
    let session = ReceiveSession::new(
        channel.fingerprint,
        SessionSetup {
            number,
            link: Arc::new(Link::new(&channel)),
            algorithm: offer.algorithm,
            destination,
            sync: shared.options.sync,
            sums: shared.sums.clone(),
            progress: heard,
            counters,
            window: accept.window,
            end_silent: shared.end_silent(channel.fingerprint),
            lanes: accept.lanes,
            budget: shared.budgets.session(running.holder),
            bound,
            selection: None,
            removal: RemovalTerms {
                is_wished_here: false,
                max_delete: shared.options.max_delete,
                prompt: shared.prompt.clone(),
                peer: peer.name.clone(),
            },
        },
    );
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
    let served = ServedSession::Receiving(session.clone());
    let one = LetInSession::new(served, running.holder, peer.trust, &peer.name);
    let registered = RegisteredSession::new(shared, accept.secret, one);
    let _registered = registered.ok_or(Error::Crypto {
        fault: CryptoFault::Random,
    })?;
    progress.event(&Event::Started {
        session: number,
        role: Role::Receiver,
        dialed: false,
        peer,
        wish: offer.wish,
        conflict: accept.conflict,
        dir: session.stores_into(),
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
    if let (Some(on_done), Some(list)) = (&shared.on_done, &list) {
        on_done.add(list, number, peer, &ended);
    }
    // What would happen is not what was waited for.
    if !offer.wish.dry_run {
        let ended = ended.and_then(|summary| session.check_sums().map(|()| summary));
        shared.note_first(ended, session.can_go_on());
    }
    Ok(())
}

/// The list of what a session stores, where that is told to what runs behind it.
fn stored_list(
    serving: &Serving<'_>,
    session: u64,
    offer: &Offer,
    destination: &Destination,
) -> Option<Arc<StoredList>> {
    let on_done = serving.shared.on_done.as_ref()?;
    let Destination::Folder(store) = destination else {
        return None;
    };
    if offer.wish.dry_run {
        return None;
    }
    match on_done.list(serving.progress, store.path()) {
        Ok(list) => Some(list),
        Err(error) => {
            let error = &error;
            serving.progress.event(&Event::Warning { session, error });
            None
        }
    }
}
