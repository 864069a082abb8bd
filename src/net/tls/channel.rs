//! `Channel`: one authenticated, encrypted byte stream to the peer, in two halves.
//!
//! Must not know what is said on it.

use std::fmt;
use std::io;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rustls::ConnectionTrafficSecrets;
use rustls::kernel::KernelConnection;

use super::super::Fingerprint;
use super::pace::Pace;
use super::{Reader, Writer};
use crate::model::progress::Counters;
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
    /// Ends the connection at once: whoever is blocked in either half gets an error or the end.
    pub fn close(&self) {
        // It fails where there is no connection any more, which is what was wanted.
        let _ = self.0.shutdown(Shutdown::Both);
    }

    /// Whether something has come that nobody has read, be it the end. Of a peer that has nothing
    /// to say that is the end.
    pub(crate) fn has_news(&self) -> bool {
        wake::has_input(&self.0)
    }
}

impl fmt::Debug for Closer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Closer").finish_non_exhaustive()
    }
}

/// What makes the next keys of either direction.
pub(super) trait Rekey: Send {
    /// The next keys to seal with.
    fn next_tx(&mut self) -> Result<(u64, ConnectionTrafficSecrets), rustls::Error>;
    /// The next keys to open with.
    fn next_rx(&mut self) -> Result<(u64, ConnectionTrafficSecrets), rustls::Error>;
}

impl<Side: Send> Rekey for KernelConnection<Side> {
    fn next_tx(&mut self) -> Result<(u64, ConnectionTrafficSecrets), rustls::Error> {
        self.update_tx_secret()
    }

    fn next_rx(&mut self) -> Result<(u64, ConnectionTrafficSecrets), rustls::Error> {
        self.update_rx_secret()
    }
}

/// What the two halves share. The lock is taken when keys change, every 2^23 records, and at no
/// other time.
pub(super) struct Shared {
    rekey: Mutex<Box<dyn Rekey>>,
    asked: AtomicBool,
}

impl Shared {
    pub(super) fn new(rekey: Box<dyn Rekey>) -> Self {
        Self {
            rekey: Mutex::new(rekey),
            asked: AtomicBool::new(false),
        }
    }

    /// What comes of asking for the next keys of one direction.
    pub(super) fn rekey(
        &self,
        next: impl FnOnce(&mut dyn Rekey) -> Result<(u64, ConnectionTrafficSecrets), rustls::Error>,
    ) -> io::Result<(u64, ConnectionTrafficSecrets)> {
        let mut rekey = self.rekey.lock().unwrap_or_else(PoisonError::into_inner);
        next(&mut **rekey).map_err(io::Error::other)
    }

    /// The peer asks that the keys to it be changed.
    pub(super) fn ask(&self) {
        self.asked.store(true, Ordering::Release);
    }

    /// Whether the peer has asked; what is found so is not found again.
    pub(super) fn take_asked(&self) -> bool {
        // Read first: a swap for each record would make both halves fight for the cache line.
        self.asked.load(Ordering::Relaxed) && self.asked.swap(false, Ordering::Acquire)
    }
}
