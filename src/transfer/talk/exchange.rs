//! `Exchange`: a connection on which people take their time, kept alive by the one thread that has
//! it.
//!
//! Must not know what is said.

use std::time::{Duration, Instant};

use crate::model::error::{Error, Result};
use crate::net::{Channel, hear_up_to, say};
use crate::wire::Message;
use crate::wire::limits::MAX_REQUEST_BYTES;

use super::super::link::SILENCE;
use super::super::outbox::PING_INTERVAL;

/// For how long it waits at once at most, so that a ping goes in time.
const WAIT: Duration = Duration::from_secs(1);
/// How long a message may take to come whole where nobody can wait: its first bytes are there, and
/// the few others go with them.
const AT_ONCE: Duration = Duration::from_millis(100);

/// A connection that is kept alive: it pings, and notices a peer that does not.
#[derive(Debug)]
pub(super) struct Exchange<'a> {
    pub(super) channel: &'a mut Channel,
    /// When the peer was heard last, and when this side has said something last.
    heard: Instant,
    said: Instant,
}

impl<'a> Exchange<'a> {
    pub(super) fn new(channel: &'a mut Channel) -> Result<Self> {
        let peer = channel.peer;
        let lost = |source| Error::Lost { peer, source };
        channel.writer.set_timeout(Some(SILENCE)).map_err(lost)?;
        let now = Instant::now();
        Ok(Self {
            channel,
            heard: now,
            said: now,
        })
    }

    pub(super) fn say(&mut self, message: &Message) -> Result<()> {
        say(self.channel, message)?;
        self.said = Instant::now();
        Ok(())
    }

    /// What the peer says next, if that comes within `time`; its pings aside. To be called every
    /// second at least. With no `time` it does not wait, for half a message either.
    pub(super) fn look(&mut self, time: Duration) -> Result<Option<Message>> {
        let closer = self.channel.closer.clone();
        if self.channel.reader.has_some() || closer.has_news_within(time) {
            let whole = match time.is_zero() {
                true => AT_ONCE,
                false => SILENCE,
            };
            let message = hear_up_to(self.channel, whole, MAX_REQUEST_BYTES)?;
            self.heard = Instant::now();
            if message != Message::Ping(()) {
                return Ok(Some(message));
            }
        } else if self.heard.elapsed() >= SILENCE {
            return Err(Error::Silent {
                peer: self.channel.peer,
                seconds: SILENCE.as_secs(),
            });
        }
        if self.said.elapsed() >= PING_INTERVAL {
            self.say(&Message::Ping(()))?;
        }
        Ok(None)
    }

    /// What the peer says next, before `end`.
    pub(super) fn hear_before(&mut self, end: Instant) -> Result<Option<Message>> {
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if let Some(message) = self.look(left.min(WAIT))? {
                return Ok(Some(message));
            }
            if left.is_zero() {
                return Ok(None);
            }
        }
    }
}
