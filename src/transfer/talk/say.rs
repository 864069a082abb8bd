//! The dialer's side of a message: says it, and waits until it is shown, and for the reply.
//!
//! Must not take it for shown before the listener has said so.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::model::error::{Error, Result};
use crate::model::outcome::Ability;
use crate::model::progress::{Event, Progress};
use crate::model::prompt::Prompt;
use crate::model::talk::{MAX_SAID_BYTES, TalkLine};
use crate::net::{declined_or, unexpected};
use crate::wire::limits::MAX_SAY_PART;
use crate::wire::{Message, Reply, Say, SayPart};

use super::super::cancel::Cancel;
use super::super::dial::{Connector, Dialed};
use super::super::options::{Device, DialTarget};
use super::MAX_REPLY_TIME;
use super::exchange::Exchange;

/// How long a listener may take to show a message, while it is alive: others of this machine may be
/// before it, and its terminal may be stopped.
const SHOWN: Duration = Duration::from_secs(120);

/// What is to be said, and to whom.
#[derive(Debug, Clone)]
pub struct SayOptions {
    /// The machine.
    pub to: DialTarget,
    /// What this one calls itself.
    pub name: String,
    /// The message: not empty, and at most [`MAX_SAID_BYTES`].
    pub text: String,
    /// How long to wait for a reply, at most [`MAX_REPLY_TIME`]; none where none is asked for.
    pub reply: Option<Duration>,
}

/// Says a message to another machine, and pairs with it where that is needed. It has been shown
/// there when this returns. Gives the reply, where one was asked for.
pub fn say(
    device: &Device,
    options: &SayOptions,
    prompt: &Arc<dyn Prompt>,
    progress: &Arc<dyn Progress>,
    cancel: &Cancel,
) -> Result<Option<TalkLine>> {
    let connector = Connector::new(device, prompt, progress, cancel)?;
    let dialed = connector.dial_for(&options.to, &options.name, false, Ability::Messages);
    let said = dialed.and_then(|dialed| say_to(dialed, options, progress));
    said.map_err(|error| cancel.reason(error))
}

fn say_to(
    mut dialed: Dialed,
    options: &SayOptions,
    progress: &Arc<dyn Progress>,
) -> Result<Option<TalkLine>> {
    let peer = &dialed.greeted.peer;
    let channel = &mut dialed.channel;
    let text = options.text.as_bytes();
    let bytes = u32::try_from(text.len()).ok();
    let bytes = bytes.filter(|bytes| (1..=MAX_SAID_BYTES).contains(bytes));
    let asks = options.reply.is_some();
    let bytes = bytes.ok_or_else(|| Error::protocol(peer.addr, "a message of that length"))?;
    let mut exchange = Exchange::new(channel)?;
    exchange.say(&Message::Say(Say { bytes, asks }))?;
    for part in text.chunks(MAX_SAY_PART) {
        exchange.say(&Message::SayPart(SayPart(part.to_vec())))?;
    }
    match exchange.hear_before(Instant::now() + SHOWN)? {
        Some(Message::Shown(())) => {}
        Some(other) => return Err(declined_or(channel, other)),
        None => {
            return Err(Error::Silent {
                peer: peer.addr,
                seconds: SHOWN.as_secs(),
            });
        }
    }
    progress.event(&Event::Shown { peer });
    let Some(time) = options.reply else {
        let _ = channel.writer.finish();
        return Ok(None);
    };
    match exchange.hear_before(Instant::now() + time.min(MAX_REPLY_TIME))? {
        Some(Message::Reply(Reply(Some(line)))) => {
            progress.event(&Event::Replied { peer, line: &line });
            Ok(Some(line))
        }
        Some(Message::Reply(Reply(None))) | None => {
            let _ = channel.writer.finish();
            Err(Error::NoReply {
                peer: peer.addr,
                name: peer.name.clone(),
            })
        }
        Some(other) => Err(unexpected(channel, &other)),
    }
}
