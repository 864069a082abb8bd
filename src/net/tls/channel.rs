//! `Channel`: one authenticated, encrypted byte stream to the peer, in two halves.
//!
//! Must not know what it carries.

use std::fmt;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use super::super::Fingerprint;
use super::timing::Pace;
use super::{Reader, Writer};
use crate::model::progress::Counters;
use crate::sys::socket::{self, Delivery};
use crate::sys::wake;
use crate::wire::Preambles;

/// A stream to a peer that has proven who it is. Its halves are independent: either may block,
/// in a thread of its own, without holding up the other.
#[derive(Debug)]
pub struct Channel {
    /// What the peer says.
    pub reader: Reader,
    /// What is said to it.
    pub writer: Writer,
    /// Where it is.
    pub peer: SocketAddr,
    /// Where this side is.
    pub local: SocketAddr,
    /// What it is known by, proven.
    pub fingerprint: Fingerprint,
    /// What both sides said before the channel was safe, to be compared inside it.
    pub preambles: Preambles,
    /// What both ends of this channel know and nobody else does, for pairing to bind itself to.
    pub(crate) binding: [u8; 32],
    /// What ends it from another thread.
    pub closer: Closer,
}

impl Channel {
    /// From now on it carries a session: it gets the room that this needs, and all that goes
    /// over the socket either way is added to `counters`.
    pub fn carry(&mut self, counters: Arc<Counters>) {
        self.reader.widen();
        self.reader.counters = Some(counters.clone());
        self.writer.counters = Some(counters);
    }

    /// From now on all that is written keeps to a pace, where there is one.
    pub fn keep_to(&mut self, pace: Option<Arc<Pace>>) {
        self.writer.pace = pace;
    }
}

/// Ends a channel from any thread. Clones end the same one.
#[derive(Clone)]
pub struct Closer(pub(super) Arc<TcpStream>);

impl Closer {
    /// What ends this connection, or the attempt to make it.
    pub(crate) fn of(stream: Arc<TcpStream>) -> Self {
        Self(stream)
    }

    /// Ends the connection at once: whoever is blocked in either half gets an error or the end.
    pub fn close(&self) {
        // It fails where there is no connection any more, which is what was wanted.
        let _ = self.0.shutdown(Shutdown::Both);
    }

    /// What has become of what was sent on it; none where the system does not say.
    pub(crate) fn delivery(&self) -> Option<Delivery> {
        socket::delivery(&self.0)
    }

    /// Has the system end it where nothing of what is sent arrives for so long, if it cannot say
    /// what does.
    pub(crate) fn give_up_after(&self, time: Duration) {
        socket::give_up_after(&self.0, time);
    }

    /// Whether something has come that nobody has read, be it the end. Of a peer that has nothing
    /// to say that is the end.
    pub(crate) fn has_news(&self) -> bool {
        self.has_news_within(Duration::ZERO)
    }

    /// The same; waits for it as long as `time`.
    pub(crate) fn has_news_within(&self, time: Duration) -> bool {
        wake::has_input_within(&self.0, time)
    }
}

impl fmt::Debug for Closer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Closer").finish_non_exhaustive()
    }
}
