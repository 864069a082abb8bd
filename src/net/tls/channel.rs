//! `Channel`: one authenticated, encrypted byte stream to the peer, in two halves.
//!
//! Must not know what it carries.

use std::fmt;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use super::super::Fingerprint;
use super::timing::Pace;
use super::{Reader, Writer};
use crate::model::progress::Counters;
use crate::sys::socket::{self, Delivery};
use crate::sys::wake;
use crate::wire::Preambles;

/// A stream to a peer that has proven its identity. Its halves are independent: either may block,
/// in its own thread, without holding up the other.
#[derive(Debug)]
pub struct Channel {
    /// Receives from the peer.
    pub reader: Reader,
    /// Sends to the peer.
    pub writer: Writer,
    /// The peer's address.
    pub peer: SocketAddr,
    /// This side's address.
    pub local: SocketAddr,
    /// The fingerprint of the peer's key, proven.
    pub fingerprint: Fingerprint,
    /// What both sides sent before the channel was secure, to compare over it.
    pub preambles: Preambles,
    /// A secret that only the two ends of this channel know, which pairing binds itself to.
    pub(crate) binding: [u8; 32],
    /// Closes it from another thread.
    pub closer: Closer,
}

impl Channel {
    /// Prepares it to carry a session: enlarges its buffers, and adds all bytes that cross the
    /// socket in either direction to `counters`.
    pub fn carry(&mut self, counters: Arc<Counters>) {
        self.reader.widen();
        self.reader.counters = Some(counters.clone());
        self.writer.counters = Some(counters);
    }

    /// Limits further writes to a pace, if there is one.
    pub fn keep_to(&mut self, pace: Option<Arc<Pace>>) {
        self.writer.pace = pace;
    }
}

/// Closes a channel from any thread. Clones close the same one.
#[derive(Clone)]
pub struct Closer(pub(super) Arc<TcpStream>);

impl Closer {
    /// Closes this connection, or the attempt to make it.
    pub(crate) fn of(stream: Arc<TcpStream>) -> Self {
        Self(stream)
    }

    /// Closes the connection at once: a thread blocked in either half gets an error or the end.
    pub fn close(&self) {
        socket::close(&self.0);
    }

    /// How much of what was sent has arrived; `None` if the system does not say.
    pub(crate) fn delivery(&self) -> Option<Delivery> {
        socket::delivery(&self.0)
    }

    /// Makes the system close it if nothing that is sent arrives for `time`, unless the system
    /// reports what arrives.
    pub(crate) fn give_up_after(&self, time: Duration) {
        socket::give_up_after(&self.0, time);
    }

    /// Whether there is unread input, including the end. From a peer that has nothing to say, it is
    /// the end.
    pub(crate) fn has_news(&self) -> bool {
        self.has_news_within(Duration::ZERO)
    }

    /// The same, waiting up to `time`.
    pub(crate) fn has_news_within(&self, time: Duration) -> bool {
        wake::has_input_within(&self.0, time)
    }
}

impl fmt::Debug for Closer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Closer").finish_non_exhaustive()
    }
}
