//! The first words on a connection: who is there, and is it let in.
//!
//! Must not tell a peer anything of what is to be sent before both sides have said that they
//! trust each other.

use std::fmt;
use std::time::Duration;

use crate::digest::Algorithm;
use crate::error::{Error, Result};
use crate::outcome::{Decline, Role};
use crate::progress::{Peer, Trust};
use crate::secure::{Channel, Fingerprint, trust};
use crate::text::Text;
use crate::wire::{
    Accept, Frame, Hello, Join, Message, Offer, Preambles, limits, read_frame, write_message,
};

use super::link::wire_error;

/// How long each of the first messages may take.
pub(crate) const FIRST_WORDS: Duration = Duration::from_secs(10);

/// What one side says of itself.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ours<'a> {
    pub(crate) fingerprint: Fingerprint,
    pub(crate) name: &'a str,
    pub(crate) open: bool,
}

/// What a connection turned out to be to its listener.
pub(crate) enum Opening {
    Control(Hello),
    Lane(Join),
}

/// Writes a message and sends it.
pub(crate) fn say(channel: &mut Channel, message: &Message) -> Result<()> {
    use std::io::Write;
    let mut bytes = Vec::new();
    let peer = channel.peer;
    write_message(message, &mut bytes).map_err(|e| Error::protocol(peer, e))?;
    let writer = &mut channel.writer;
    writer
        .write_all(&bytes)
        .and_then(|()| writer.flush())
        .map_err(|source| Error::Lost { peer, source })
}

/// Says a last thing and closes, so that the peer hears it.
pub(crate) fn say_last(channel: &mut Channel, message: &Message) -> Result<()> {
    say(channel, message)?;
    // The peer may be gone, or may not wait for the end: it has been told all there is.
    if channel.writer.finish().is_ok() {
        let _ = channel.reader.drain();
    }
    Ok(())
}

/// Reads the next message, as one of the first.
pub(crate) fn hear(channel: &mut Channel) -> Result<Message> {
    let peer = channel.peer;
    let lost = |source| Error::Lost { peer, source };
    channel
        .reader
        .set_timeout(Some(FIRST_WORDS))
        .map_err(lost)?;
    match read_frame(&mut channel.reader, &mut Vec::new()) {
        Ok(Frame::Message(Message::Abort(why))) => Err(Error::Aborted {
            peer,
            why: why.to_string(),
        }),
        Ok(Frame::Message(message)) => Ok(message),
        Ok(Frame::Chunk(_)) => Err(broken(channel, "a chunk before its session")),
        Err(error) => match wire_error(peer, error) {
            Error::Protocol { what, .. } => Err(broken(channel, what)),
            error => Err(error),
        },
    }
}

/// The error of a peer that broke the rules, once that has been told how.
fn broken(channel: &mut Channel, what: impl fmt::Display) -> Error {
    let error = Error::protocol(channel.peer, what);
    // Whether it hears it changes nothing.
    let _ = say_last(channel, &Message::Abort(Text::new(error.to_string())));
    error
}

fn unexpected(channel: &mut Channel, message: &Message) -> Error {
    broken(channel, format!("a message {} out of turn", message.name()))
}

/// Both preambles must be what the other side says it has sent and seen, or somebody between
/// has changed them.
fn check_preambles(channel: &mut Channel, theirs: &Preambles) -> Result<()> {
    let ours = channel.preambles;
    if theirs.sent == ours.seen && theirs.seen == ours.sent {
        Ok(())
    } else {
        Err(broken(channel, "its preamble was changed on the way"))
    }
}

fn our_hello(channel: &Channel, role: Role, ours: Ours<'_>) -> Message {
    Message::Hello(Hello {
        preambles: channel.preambles,
        role,
        name: Text::new(ours.name),
        open: ours.open,
        prefers: Algorithm::preferred(),
    })
}

fn peer_of(channel: &Channel, hello: &Hello, trust: Trust) -> Peer {
    Peer {
        name: hello.name.to_string(),
        addr: channel.peer,
        fingerprint: channel.fingerprint.to_string(),
        trust,
    }
}

/// The sender's side, which dials: greets the receiver, and once it trusts it offers what `make`
/// makes of the hash that suits both.
pub(crate) fn offer(
    channel: &mut Channel,
    ours: Ours<'_>,
    make: impl FnOnce(Algorithm) -> Offer,
) -> Result<(Peer, Offer, Accept)> {
    let hello = our_hello(channel, Role::Sender, ours);
    say(channel, &hello)?;
    let theirs = match hear(channel)? {
        Message::Hello(hello) => hello,
        other => return Err(declined_or(channel, other)),
    };
    check_preambles(channel, &theirs.preambles)?;
    if theirs.role != Role::Receiver {
        return Err(Error::SameRole {
            peer: channel.peer,
            role: theirs.role,
        });
    }
    let Some(trust) = trust(ours.fingerprint, channel, ours.open, theirs.open) else {
        let error = Error::Untrusted {
            peer: channel.peer,
            name: theirs.name.to_string(),
            open: theirs.open,
        };
        // It has been greeted, so it is told that nothing comes; what it answers changes nothing.
        let _ = say_last(
            channel,
            &Message::Abort(Text::new("this sender does not know it")),
        );
        return Err(error);
    };
    let offer = make(Algorithm::preferred().suiting(theirs.prefers));
    say(channel, &Message::Offer(offer.clone()))?;
    match hear(channel)? {
        Message::Accept(accept) if is_sound(&accept) => {
            Ok((peer_of(channel, &theirs, trust), offer, accept))
        }
        Message::Accept(_) => Err(broken(channel, "an Accept beyond its limits")),
        other => Err(declined_or(channel, other)),
    }
}

fn is_sound(accept: &Accept) -> bool {
    (1..=limits::MAX_LANES).contains(&accept.lanes) && limits::WINDOW.contains(&accept.window)
}

fn declined_or(channel: &mut Channel, message: Message) -> Error {
    match message {
        Message::Declined(reason) => Error::Declined {
            peer: channel.peer,
            reason,
        },
        other => unexpected(channel, &other),
    }
}

/// The listener's side: what does this connection want?
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

/// The receiver's side, which listens: greets the sender, and hears its offer if it lets it in.
pub(crate) fn hear_offer(
    channel: &mut Channel,
    theirs: &Hello,
    ours: Ours<'_>,
) -> Result<(Peer, Offer)> {
    let hello = our_hello(channel, Role::Receiver, ours);
    say(channel, &hello)?;
    if theirs.role != Role::Sender {
        return Err(Error::SameRole {
            peer: channel.peer,
            role: theirs.role,
        });
    }
    let Some(trust) = trust(ours.fingerprint, channel, ours.open, theirs.open) else {
        let reason = if ours.open {
            Decline::NotOpen
        } else {
            Decline::Unknown
        };
        say_last(channel, &Message::Declined(reason))?;
        return Err(Error::Untrusted {
            peer: channel.peer,
            name: theirs.name.to_string(),
            open: theirs.open,
        });
    };
    match hear(channel)? {
        Message::Offer(offer) => Ok((peer_of(channel, theirs, trust), offer)),
        other => Err(unexpected(channel, &other)),
    }
}

/// A lane's dialer: joins a session.
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
