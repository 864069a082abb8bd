//! The listener's side of a message: takes it, has it shown, and asks for the reply.
//!
//! Must not show anything of a message that is not whole, nor say that it was shown before it was.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::debug;

use crate::model::error::{Error, Result};
use crate::model::outcome::Decline;
use crate::model::progress::Peer;
use crate::model::prompt::{Prompt, SaidMessage};
use crate::model::reason::AbortReason;
use crate::model::talk::TalkLine;
use crate::model::text::Text;
use crate::net::{Channel, FIRST_WORDS, PoolHolder, broken, say_last, turn_away, unexpected};
use crate::wire::{Message, Reply, Say};

use super::super::cancel::Cancel;
use super::MAX_REPLY_TIME;
use super::assembled::Assembled;
use super::exchange::Exchange;
use super::places::TalkPlaces;

/// How long the whole of a message may take to come.
const WHOLE: Duration = Duration::from_secs(120);
/// How often it is looked whether the peer still is let in.
const LOOK: Duration = Duration::from_secs(1);

/// What a message is heard with.
pub(in super::super) struct TalkMeans<'a> {
    pub(in super::super) places: &'a TalkPlaces,
    pub(in super::super) holder: PoolHolder,
    pub(in super::super) prompt: &'a Arc<dyn Prompt>,
    pub(in super::super) cancel: &'a Cancel,
    /// Whether the peer may still send messages.
    pub(in super::super) may: &'a dyn Fn() -> bool,
    /// Called once it is one of the few that are under way.
    pub(in super::super) stays: &'a dyn Fn(),
}

/// Takes a message, shows it, and says so; and where it asks, what the user replies.
pub(in super::super) fn hear_said(
    means: &TalkMeans<'_>,
    mut channel: Channel,
    peer: &Peer,
    said: Say,
) -> Result<()> {
    let channel = &mut channel;
    let full = |channel: &mut Channel| turn_away(channel, &peer.caller(), Decline::Full);
    let Some(place) = means.places.take(means.holder, FIRST_WORDS) else {
        return full(channel);
    };
    let question = match said.asks.then(|| place.question()) {
        None => None,
        Some(None) => return full(channel),
        Some(question) => question,
    };
    (means.stays)();
    let text = match take(channel, said)? {
        Ok(text) => text,
        Err(what) => return Err(broken(channel, what)),
    };
    debug!(peer = %channel.peer, bytes = text.len(), asks = said.asks, "message");
    let mut exchange = Exchange::new(channel)?;
    let wait = Instant::now() + place.spend(text.len());
    if wait > Instant::now() {
        exchange.say(&Message::Ping(()))?;
        if let Some(other) = exchange.hear_before(wait)? {
            return Err(unexpected(channel, &other));
        }
    }
    let refused = if means.cancel.is_cancelled() {
        Some(AbortReason::Stopped)
    } else if !(means.may)() {
        Some(AbortReason::Unpaired)
    } else {
        None
    };
    if let Some(reason) = refused {
        return say_last(exchange.channel, &Message::Abort(reason));
    }
    let message = SaidMessage {
        caller: peer.caller(),
        text,
        asks: said.asks,
    };
    if !means.prompt.show(&message) {
        let reason = AbortReason::Other(Text::new("it cannot show messages"));
        return say_last(exchange.channel, &Message::Abort(reason));
    }
    // Whoever waits for a person is in the way of no message.
    drop(place);
    if question.is_none() {
        return say_last(exchange.channel, &Message::Shown(()));
    }
    exchange.say(&Message::Shown(()))?;
    reply(means, exchange, &message)
}

/// The text of a message, or in words what is wrong with it.
fn take(channel: &mut Channel, said: Say) -> Result<Result<String, &'static str>> {
    let mut all = match Assembled::new(said) {
        Ok(all) => all,
        Err(what) => return Ok(Err(what)),
    };
    let mut exchange = Exchange::new(channel)?;
    let end = Instant::now() + WHOLE;
    while !all.is_whole() {
        match exchange.hear_before(end)? {
            Some(Message::SayPart(part)) => {
                if let Err(what) = all.push(&part) {
                    return Ok(Err(what));
                }
            }
            Some(other) => return Err(unexpected(channel, &other)),
            None => {
                return Err(Error::Silent {
                    peer: channel.peer,
                    seconds: WHOLE.as_secs(),
                });
            }
        }
    }
    Ok(all.into_text())
}

/// Why nobody waits for a reply any more.
enum Withdrawn {
    /// Whoever asked has gone.
    Gone,
    /// It took too long.
    Late,
    /// It may not send messages any more.
    Unpaired,
    /// It said something out of turn.
    Odd(Message),
}

/// Asks the user for a reply, and says it. Whoever asked may go at any time.
fn reply(means: &TalkMeans<'_>, exchange: Exchange<'_>, message: &SaidMessage) -> Result<()> {
    let end = Instant::now() + MAX_REPLY_TIME;
    let asked = RefCell::new((exchange, None, Instant::now()));
    let gone = || {
        let (exchange, withdrawn, looked) = &mut *asked.borrow_mut();
        if withdrawn.is_none() {
            *withdrawn = withdraws(means, exchange, end, looked);
        }
        withdrawn.is_some()
    };
    let line = means.prompt.reply(message, &gone);
    let (exchange, withdrawn, _) = asked.into_inner();
    let channel = exchange.channel;
    match withdrawn {
        Some(Withdrawn::Gone) => Ok(()),
        Some(Withdrawn::Odd(message)) => Err(unexpected(channel, &message)),
        Some(Withdrawn::Unpaired) => say_last(channel, &Message::Abort(AbortReason::Unpaired)),
        None if means.cancel.is_cancelled() => {
            say_last(channel, &Message::Abort(AbortReason::Stopped))
        }
        _ => {
            let line: Option<TalkLine> = line.filter(|line| !line.as_str().is_empty());
            say_last(channel, &Message::Reply(Reply(line)))
        }
    }
}

fn withdraws(
    means: &TalkMeans<'_>,
    exchange: &mut Exchange<'_>,
    end: Instant,
    looked: &mut Instant,
) -> Option<Withdrawn> {
    match exchange.look(Duration::ZERO) {
        Err(_) | Ok(Some(Message::Leave(()))) => return Some(Withdrawn::Gone),
        Ok(Some(other)) => return Some(Withdrawn::Odd(other)),
        Ok(None) => {}
    }
    if Instant::now() >= end {
        return Some(Withdrawn::Late);
    }
    if looked.elapsed() >= LOOK {
        *looked = Instant::now();
        if !(means.may)() {
            return Some(Withdrawn::Unpaired);
        }
    }
    None
}
