//! The first messages on a connection: who the peer is, and whether it is let in.
//!
//! Must not reveal anything about the data to send before both sides have said that they trust each
//! other.

use std::sync::Arc;
use std::time::Duration;

use super::trust::{Sides, trust};
use crate::model::digest::Algorithm;
use crate::model::error::{Error, Result};
use crate::model::outcome::{Ability, Decline, Role};
use crate::model::progress::{Peer, Trust};
use crate::model::prompt::{Caller, Prompt};
use crate::model::reason::{AbortReason, StoreFault};
use crate::model::text::Text;
use crate::net::{Channel, Fingerprint, Known, Peers, device_name, now};
use crate::wire::limits::{self, MAX_REQUEST_BYTES};
use crate::wire::{
    Accept, Features, Fetch, Hello, Join, Message, Offer, Preambles, RoomJoined, RunCommand, Say,
};

use super::messages::{
    FIRST_WORDS, broken, declined_or, hear, hear_up_to, hear_within, say, say_last, turn_away,
    unexpected,
};
use super::pairing::{PairingAttempts, as_receiver, as_sender};
use super::peers::{be_alone_at, namesake};
use super::trust::Ours;

/// How long a sender that was let in may take to make an offer, if it must first examine what it
/// sends.
const LOOKING: Duration = Duration::from_secs(600);

/// A receiver that was greeted and is trusted.
pub(crate) struct Greeted {
    pub(crate) peer: Peer,
    /// What it calls itself.
    pub(crate) told: String,
    /// Whether it needs to know what is in the offer.
    pub(crate) asks: bool,
    /// The hash that it prefers.
    pub(crate) prefers: Algorithm,
}

/// What kind of connection the listener has accepted.
pub(crate) enum Opening {
    Control(Hello),
    Lane(Join),
}

/// Fails unless both sides sent and received the same preambles; otherwise somebody between them
/// changed them.
fn check_preambles(channel: &mut Channel, theirs: &Preambles) -> Result<()> {
    let ours = channel.preambles;
    if theirs.sent == ours.seen && theirs.seen == ours.sent {
        Ok(())
    } else {
        Err(broken(channel, "its preamble was changed on the way"))
    }
}

fn our_hello(channel: &Channel, ours: Ours<'_>, known: bool) -> Message {
    Message::Hello(Hello {
        preambles: channel.preambles,
        role: ours.role,
        name: Text::new(ours.name),
        open: ours.open,
        prefers: Algorithm::preferred(),
        known,
        asks: ours.asks,
    })
}

fn caller(channel: &Channel, hello: &Hello) -> Caller {
    Caller {
        name: device_name(&hello.name),
        addr: channel.peer,
        fingerprint: channel.fingerprint.to_string(),
    }
}

fn peer_of(caller: Caller, trust: Trust) -> Peer {
    Peer {
        name: caller.name,
        addr: caller.addr,
        fingerprint: caller.fingerprint,
        trust,
        is_new: false,
    }
}

/// The sender's side, which dials: greets the receiver, and pairs with it if needed. Reveals
/// nothing about what is to be sent.
pub(crate) fn greet(
    channel: &mut Channel,
    ours: Ours<'_>,
    prompt: &Arc<dyn Prompt>,
) -> Result<Greeted> {
    let all = ours.peers.list()?;
    let known = all
        .iter()
        .find(|k| k.fingerprint == channel.fingerprint && k.takes_part_with(ours.role));
    let hello = our_hello(channel, ours, known.is_some());
    say(channel, &hello)?;
    let theirs = match hear(channel)? {
        Message::Hello(hello) => hello,
        other => return Err(declined_or(channel, other)),
    };
    check_preambles(channel, &theirs.preambles)?;
    if theirs.role == ours.role {
        return Err(Error::SameRole {
            peer: channel.peer,
            role: theirs.role,
        });
    }
    let mut caller = caller(channel, &theirs);
    let told = caller.name.clone();
    let sides = Sides::new(ours.open, known.is_some(), &theirs);
    let mut is_new = false;
    let trust = match trust(ours.fingerprint, channel, sides) {
        Some(trust) => trust,
        None => {
            caller = namesake_is_alarm(channel, &all, caller)?;
            as_sender(channel, ours, &mut caller, prompt)?;
            is_new = true;
            Trust::Paired
        }
    };
    match trust {
        Trust::SameUser => {}
        Trust::Paired => {
            if let Some(known) = known {
                caller.name.clone_from(&known.name);
            }
            let at = channel.peer;
            note(ours.peers, channel.fingerprint, |known| {
                // Another receiver of that machine does not change where the known one is.
                if ours.keeps_address && (known.is_called(&told) || !known.has_other_port(at)) {
                    known.received_at(at, ours.port_is_typed);
                }
                if ours.role == Role::Receiver {
                    known.shared_at(at);
                }
            });
        }
        _ => caller = namesake_is_alarm(channel, &all, caller)?,
    }
    Ok(Greeted {
        peer: Peer {
            is_new,
            ..peer_of(caller, trust)
        },
        told,
        asks: theirs.asks,
        prefers: theirs.prefers,
    })
}

/// Returns the caller, unless another known machine has its name.
fn namesake_is_alarm(channel: &mut Channel, all: &[Known], caller: Caller) -> Result<Caller> {
    let Some(known) = namesake(all, channel.fingerprint, &caller.name) else {
        return Ok(caller);
    };
    let error = Error::Impostor {
        peer: channel.peer,
        name: known.name.clone(),
        known: known.fingerprint.to_string(),
        seen: channel.fingerprint.to_string(),
    };
    // The receiver was greeted, so it is told that nothing follows. Its answer does not matter.
    let _ = say_last(channel, &Message::Abort(AbortReason::NameTaken));
    Err(error)
}

/// Notes that a known machine was seen.
fn note(peers: &Peers, fingerprint: Fingerprint, change: impl FnOnce(&mut Known)) {
    // It only informs people: a failure must not prevent the transfer.
    let _ = peers.update(|all| {
        if let Some(at) = all.iter().position(|k| k.fingerprint == fingerprint) {
            all[at].seen = now();
            change(&mut all[at]);
            be_alone_at(all, at);
        }
        Ok(())
    });
}

/// Sends an offer, which `make` builds for the hash that suits both sides, to a receiver that was
/// greeted and `prefers` one. Its user has `time` to answer.
pub(crate) fn offer(
    channel: &mut Channel,
    prefers: Algorithm,
    time: Duration,
    make: impl FnOnce(Algorithm) -> Offer,
) -> Result<(Offer, Accept)> {
    let offer = make(Algorithm::preferred().suiting(prefers));
    say(channel, &Message::Offer(offer.clone()))?;
    match hear_within(channel, time)? {
        Message::Accept(accept) if is_sound(&accept) => Ok((offer, accept)),
        Message::Accept(_) => Err(broken(channel, "an Accept beyond its limits")),
        other => Err(declined_or(channel, other)),
    }
}

/// Asks a machine that was greeted for what it shares. It has `time` to find that.
pub(crate) fn fetch(channel: &mut Channel, fetch: Fetch, time: Duration) -> Result<Offer> {
    say(channel, &Message::Fetch(fetch))?;
    match hear_within(channel, time)? {
        Message::Offer(offer) => Ok(offer),
        other => Err(declined_or(channel, other)),
    }
}

/// Asks to join the room of a machine that was greeted.
pub(crate) fn join_room(channel: &mut Channel) -> Result<RoomJoined> {
    say(channel, &Message::RoomJoin(()))?;
    match hear_up_to(channel, FIRST_WORDS, MAX_REQUEST_BYTES)? {
        Message::RoomJoined(joined) => Ok(joined),
        other => Err(declined_or(channel, other)),
    }
}

fn is_sound(accept: &Accept) -> bool {
    (1..=limits::MAX_LANES).contains(&accept.lanes) && limits::WINDOW.contains(&accept.window)
}

/// The listener's side: finds out what a connection is for.
pub(crate) fn opening(channel: &mut Channel) -> Result<Opening> {
    let opening = match hear(channel)? {
        Message::Hello(hello) => Opening::Control(hello),
        Message::Join(join) => Opening::Lane(join),
        other => return Err(unexpected(channel, &other)),
    };
    let preambles = match &opening {
        Opening::Control(hello) => &hello.preambles,
        Opening::Lane(join) => &join.preambles,
    };
    check_preambles(channel, preambles)?;
    Ok(opening)
}

/// A sender that was let in.
pub(crate) struct LetIn {
    pub(crate) peer: Peer,
    /// Whether its offers are accepted without asking the user.
    pub(crate) unasked: bool,
    may: Vec<Ability>,
}

impl LetIn {
    /// Whether it was let in for this ability.
    pub(crate) fn may(&self, ability: Ability) -> bool {
        self.may.contains(&ability)
    }
}

/// What a peer that was let in wants.
#[derive(Debug)]
pub(crate) enum Request {
    /// To send files.
    Offer(Offer),
    /// To send a message.
    Say(Say),
    /// To join a room.
    JoinRoom,
    /// To list the commands that it may run.
    ListCommands,
    /// To run a command.
    Run(RunCommand),
    /// To fetch shared files.
    Fetch(Fetch),
}

impl Request {
    /// The ability that the peer needs for it.
    pub(crate) fn ability(&self) -> Ability {
        match self {
            Self::Offer(_) => Ability::Files,
            Self::Say(_) | Self::JoinRoom => Ability::Messages,
            Self::ListCommands | Self::Run(_) => Ability::Commands,
            Self::Fetch(_) => Ability::Fetch,
        }
    }

    /// The features that both sides need for it.
    fn features(&self) -> Features {
        match self.ability() {
            Ability::Files => Features::NONE,
            Ability::Messages => Features::MESSAGES,
            Ability::Commands => Features::COMMANDS,
            Ability::Fetch => Features::FETCH,
        }
    }
}

/// The receiver's side, which listens: greets the sender, and pairs with it if needed. Calls
/// `stays` if the sender is one of the few that wait for pairing.
pub(crate) fn let_in(
    channel: &mut Channel,
    theirs: &Hello,
    ours: Ours<'_>,
    pairing: (&Arc<PairingAttempts>, &Arc<dyn Prompt>),
    stays: impl FnOnce(),
) -> Result<LetIn> {
    let all = match ours.peers.list() {
        Ok(all) => all,
        Err(error) => {
            let reason = Decline::Store(StoreFault::PeersUnreadable);
            say_last(channel, &Message::Declined(reason))?;
            return Err(error);
        }
    };
    let known = all
        .iter()
        .find(|k| k.fingerprint == channel.fingerprint && k.is_let_in_by(ours.role));
    let unasked = known.is_some_and(|k| k.unasked);
    let ours = Ours {
        asks: ours.asks && !unasked,
        ..ours
    };
    let hello = our_hello(channel, ours, known.is_some());
    say(channel, &hello)?;
    if theirs.role == ours.role {
        return Err(Error::SameRole {
            peer: channel.peer,
            role: theirs.role,
        });
    }
    let mut caller = caller(channel, theirs);
    // Its code is shown for the name that it keeps.
    if let Some(known) = all.iter().find(|k| k.fingerprint == channel.fingerprint) {
        caller.name.clone_from(&known.name);
    }
    let sides = Sides::new(ours.open, known.is_some(), theirs);
    let trust = trust(ours.fingerprint, channel, sides);
    let is_known = matches!(trust, Some(Trust::SameUser | Trust::Paired));
    let mut is_new = false;
    // What a listener of this role is open to anyone for, and what pairing with it gives.
    let (to_anyone, to_new) = match ours.role {
        Role::Receiver => (
            vec![Ability::Files],
            vec![Ability::Files, Ability::Messages],
        ),
        Role::Sender => (vec![Ability::Fetch], vec![Ability::Fetch]),
    };
    let mut may = match (trust, known) {
        (Some(Trust::SameUser), _) => Ability::ALL.to_vec(),
        (Some(Trust::Paired), Some(known)) => {
            let all = Ability::ALL.into_iter();
            all.filter(|ability| known.may(*ability)).collect()
        }
        _ => to_anyone,
    };
    if !is_known && namesake(&all, channel.fingerprint, &caller.name).is_some() {
        return turn_away(channel, &caller, Decline::NameTaken);
    }
    let trust = match trust {
        Some(trust) => trust,
        None => {
            as_receiver(channel, ours, &mut caller, pairing, stays)?;
            is_new = true;
            may.clone_from(&to_new);
            Trust::Paired
        }
    };
    if trust == Trust::Paired {
        if let Some(known) = known {
            caller.name.clone_from(&known.name);
        }
        note(ours.peers, channel.fingerprint, |_| {});
    }
    Ok(LetIn {
        peer: Peer {
            is_new,
            ..peer_of(caller, trust)
        },
        unasked,
        may,
    })
}

/// Reads what a peer that was let in wants; `None` if it only came to be let in. `asks` says
/// whether it was told that the user decides about offers.
pub(crate) fn hear_request(channel: &mut Channel, asks: bool) -> Result<Option<Request>> {
    // The sender first examines everything, to describe it in the offer.
    let time = if asks { LOOKING } else { FIRST_WORDS };
    let message = hear_up_to(channel, time, MAX_REQUEST_BYTES)?;
    let name = message.name();
    let request = match message {
        Message::Offer(offer) => Request::Offer(offer),
        Message::Say(say) => Request::Say(say),
        Message::RoomJoin(()) => Request::JoinRoom,
        Message::ListCommands(()) => Request::ListCommands,
        Message::RunCommand(run) => Request::Run(run),
        Message::Fetch(fetch) => Request::Fetch(fetch),
        Message::Leave(()) => return Ok(None),
        other => return Err(unexpected(channel, &other)),
    };
    if !channel.preambles.features().has(request.features()) {
        let what = format!("a message {name} without the feature that it belongs to");
        return Err(broken(channel, what));
    }
    Ok(Some(request))
}

/// The dialer's side of a lane: joins a session.
pub(crate) fn join(channel: &mut Channel, secret: crate::wire::LaneSecret) -> Result<()> {
    let join = Join {
        preambles: channel.preambles,
        secret,
    };
    say(channel, &Message::Join(join))?;
    match hear(channel)? {
        Message::Joined(preambles) => check_preambles(channel, &preambles),
        other => Err(unexpected(channel, &other)),
    }
}
