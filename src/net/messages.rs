//! Sends and reads the first messages on a connection, one at a time.
//!
//! Must not know what they mean: the greeting and pairing do.

use std::fmt;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::model::error::{Error, Result};
use crate::model::outcome::Decline;
use crate::model::prompt::Caller;
use crate::model::reason::AbortReason;
use crate::model::text::Text;
use crate::wire::limits::MAX_FIRST_MESSAGE_BYTES;
use crate::wire::{Message, WireError, read_small_message, write_message};

use super::Channel;

/// How long each of the first messages may take.
pub(crate) const FIRST_WORDS: Duration = Duration::from_secs(10);
/// How long the sender of the last message waits for the peer to receive it.
pub(crate) const LAST_WORDS: Duration = Duration::from_secs(2);

/// Sends a message at once.
pub(crate) fn say(channel: &mut Channel, message: &Message) -> Result<()> {
    use std::io::Write;
    let mut bytes = Vec::new();
    let peer = channel.peer;
    let message = message.for_peer(channel.preambles.features());
    write_message(&message, &mut bytes).map_err(|e| Error::protocol(peer, e))?;
    let writer = &mut channel.writer;
    writer
        .write_all(&bytes)
        .and_then(|()| writer.flush())
        .map_err(|source| Error::Lost { peer, source })
}

/// Sends a last message and closes, waiting up to [`LAST_WORDS`] for the peer to receive it.
pub(crate) fn say_last(channel: &mut Channel, message: &Message) -> Result<()> {
    say(channel, message)?;
    // The peer may be gone, or may not wait for the end: it was sent everything.
    if channel.writer.finish().is_ok() {
        let deadline = Instant::now() + LAST_WORDS;
        channel.reader.set_deadline(Some(deadline));
        let _ = channel.reader.drain();
    }
    Ok(())
}

/// Reads the next of the first messages, which must arrive within [`FIRST_WORDS`], however slowly.
pub(crate) fn hear(channel: &mut Channel) -> Result<Message> {
    hear_within(channel, FIRST_WORDS)
}

/// Reads the next message, which must arrive within `time`.
pub(super) fn hear_within(channel: &mut Channel, time: Duration) -> Result<Message> {
    hear_up_to(channel, time, MAX_FIRST_MESSAGE_BYTES)
}

/// The same, for a message with a payload of at most `bytes`.
pub(crate) fn hear_up_to(channel: &mut Channel, time: Duration, bytes: usize) -> Result<Message> {
    let peer = channel.peer;
    channel.reader.set_deadline(Some(Instant::now() + time));
    match read_small_message(&mut channel.reader, bytes) {
        Ok(message @ (Message::Abort(_) | Message::AbortText(_))) => {
            Err(aborted(peer, message).unwrap_or_else(|other| unexpected(channel, &other)))
        }
        Ok(message) => Ok(message),
        Err(error) => match wire_error(peer, error, time) {
            Error::Protocol { what, .. } => Err(broken(channel, what)),
            error => Err(error),
        },
    }
}

/// Tells the peer how it broke the rules, and returns the error.
pub(crate) fn broken(channel: &mut Channel, what: impl fmt::Display) -> Error {
    let what = what.to_string();
    let reason = AbortReason::Protocol(Text::new(what.as_str()));
    // It does not matter whether the peer receives it.
    let _ = say_last(channel, &Message::Abort(reason));
    Error::protocol(channel.peer, what)
}

pub(crate) fn unexpected(channel: &mut Channel, message: &Message) -> Error {
    broken(channel, format!("a message {} out of turn", message.name()))
}

pub(crate) fn declined_or(channel: &mut Channel, message: Message) -> Error {
    match message {
        Message::Declined(reason) => Error::Declined {
            peer: channel.peer,
            reason,
        },
        other => unexpected(channel, &other),
    }
}

/// Tells the sender why it is not let in.
pub(crate) fn turn_away<T>(channel: &mut Channel, caller: &Caller, reason: Decline) -> Result<T> {
    say_last(channel, &Message::Declined(reason.clone()))?;
    Err(Error::TurnedAway {
        peer: channel.peer,
        name: caller.name.clone(),
        reason,
    })
}

/// The error for a frame from `peer` that could not be read, or not within `time`.
pub(crate) fn wire_error(peer: SocketAddr, error: WireError, time: Duration) -> Error {
    use std::io::ErrorKind;
    match error {
        WireError::Io(e) => match e.kind() {
            ErrorKind::TimedOut => Error::Silent {
                peer,
                seconds: time.as_secs(),
            },
            ErrorKind::InvalidData => Error::protocol(peer, e),
            _ => Error::Lost { peer, source: e },
        },
        other => Error::protocol(peer, other),
    }
}

/// The error for a message that ends the session; any other message is returned.
pub(crate) fn aborted(peer: SocketAddr, message: Message) -> Result<Error, Message> {
    match message {
        Message::Abort(reason) => Ok(Error::Aborted { peer, reason }),
        Message::AbortText(text) => Ok(Error::Aborted {
            peer,
            reason: AbortReason::from_text(text),
        }),
        other => Err(other),
    }
}
