//! Where the lanes of a session come from, whichever side it is: the machine that dialed the control
//! connection dials them, the one that listened waits for them.
//!
//! Must not know what travels on a lane.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tracing::debug;

use crate::model::error::{Error, Result};
use crate::net::{Channel, Fingerprint, Tls, join, say};
use crate::wire::{LaneSecret, Message};

use super::dial::{Packets, dial};
use super::link::{Link, SILENCE};

/// Where the lanes of a session come from.
pub(super) enum LaneSource<'a> {
    /// They are dialed.
    Dialed(LaneDialer<'a>),
    /// They arrive.
    Arriving(Arc<ArrivingLanes>),
}

/// A lane that has joined the session.
pub(super) struct JoinedLane {
    pub(super) channel: Channel,
    /// Tells whoever brought it when it has ended.
    _held: Option<HeldLane>,
}

impl LaneSource<'_> {
    /// The lane of this number; `None` where the session does without it.
    pub(super) fn lane(&self, number: u16, link: &Arc<Link>) -> Result<Option<JoinedLane>> {
        match self {
            Self::Dialed(dialer) => {
                let lane = dialer.lane(number, link)?;
                Ok(lane.map(|channel| JoinedLane {
                    channel,
                    _held: None,
                }))
            }
            Self::Arriving(lanes) => Ok(lanes.next()),
        }
    }

    /// Notes that there is nothing for lanes to do any more: those that are not here are not
    /// waited for.
    pub(super) fn close(&self) {
        if let Self::Arriving(lanes) = self {
            lanes.close();
        }
    }
}

/// Dials lanes, and joins the session with them.
pub(super) struct LaneDialer<'a> {
    tls: &'a Tls,
    /// Where they go.
    addr: SocketAddr,
    /// Who is there.
    expected: Fingerprint,
    packets: &'a Packets,
    secret: LaneSecret,
    /// How many of them are connected, or may yet be.
    hoped_for: AtomicU16,
}

impl<'a> LaneDialer<'a> {
    pub(super) fn new(
        tls: &'a Tls,
        packets: &'a Packets,
        (addr, expected): (SocketAddr, Fingerprint),
        (lanes, secret): (u16, LaneSecret),
    ) -> Self {
        Self {
            tls,
            addr,
            expected,
            packets,
            secret,
            hoped_for: AtomicU16::new(lanes),
        }
    }

    /// Connects the lane of this number. Where that fails for a reason of this connection alone,
    /// the session goes on without it, as long as there are others or nothing is left to do.
    pub(super) fn lane(&self, number: u16, link: &Arc<Link>) -> Result<Option<Channel>> {
        let connected = self.connect(number, link);
        link.dialed(number);
        let mut channel = match connected {
            Ok(channel) => channel,
            Err(error) => {
                if leads_nowhere(&error) {
                    link.no_lane();
                }
                let others = self.hoped_for.fetch_sub(1, Ordering::AcqRel) - 1;
                let can_do_without = others > 0 || !link.has_work_for_lanes();
                if is_of_the_connection(&error) && can_do_without && !link.is_over() {
                    debug!(peer = %link.peer, others, "one lane fewer: {error}");
                    return Ok(None);
                }
                return Err(gone(error));
            }
        };
        link.add_lane(channel.closer.clone());
        // From here on the other side counts on it.
        let joined = join(&mut channel, self.secret);
        if joined.as_ref().is_err_and(leads_nowhere) {
            link.no_lane();
        }
        joined.map_err(gone)?;
        Ok(Some(channel))
    }

    fn connect(&self, number: u16, link: &Link) -> Result<Channel> {
        let tries = |connection| link.dials(number, connection);
        // What one of many has to do with says nothing of the others.
        let channel = dial(self.tls, self.addr, &self.packets.apart(), tries)?;
        match channel.fingerprint == self.expected {
            true => Ok(channel),
            false => Err(Error::protocol(self.addr, "a lane leads to another device")),
        }
    }
}

/// Whether a lane could not join because nothing came of it, where a control connection is.
fn leads_nowhere(error: &Error) -> bool {
    match error {
        Error::Connect { source, .. } => source.kind() == std::io::ErrorKind::TimedOut,
        Error::Silent { .. } | Error::Mute { .. } => true,
        _ => false,
    }
}

/// Whether a lane could not be connected for what may be true of that connection alone.
fn is_of_the_connection(error: &Error) -> bool {
    matches!(
        error,
        Error::Connect { .. } | Error::Lost { .. } | Error::Silent { .. } | Error::Mute { .. }
    )
}

/// Why a lane could not join: the session that it would join is gone, or about to be, which is a
/// lost connection like any other.
fn gone(error: Error) -> Error {
    match error {
        Error::Aborted { peer, .. } => Error::Lost {
            peer,
            source: std::io::ErrorKind::ConnectionReset.into(),
        },
        error => error,
    }
}

/// The lanes that arrive for a session.
#[derive(Default)]
pub(super) struct ArrivingLanes {
    state: Mutex<Arrivals>,
    changed: Condvar,
}

#[derive(Default)]
struct Arrivals {
    /// Those that nobody has taken yet.
    waiting: VecDeque<JoinedLane>,
    /// Whether no more are waited for.
    closed: bool,
}

/// A lane at work, until this is dropped.
struct HeldLane(Arc<LaneEnd>);

#[derive(Default)]
struct LaneEnd {
    ended: Mutex<bool>,
    changed: Condvar,
}

impl Drop for HeldLane {
    fn drop(&mut self) {
        *self.0.ended.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.0.changed.notify_all();
    }
}

impl LaneEnd {
    fn wait(&self) {
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.changed.wait_while(ended, |ended| !*ended);
        drop(waited);
    }
}

impl ArrivingLanes {
    fn state(&self) -> MutexGuard<'_, Arrivals> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands over a lane that has joined, and waits until it has ended. One that comes too late
    /// ends at once.
    pub(super) fn arrive(&self, mut channel: Channel) {
        let end = Arc::new(LaneEnd::default());
        {
            let mut state = self.state();
            if !state.closed {
                state.waiting.push_back(JoinedLane {
                    channel,
                    _held: Some(HeldLane(end.clone())),
                });
                drop(state);
                self.changed.notify_all();
                return end.wait();
            }
        }
        // Its peer counts on it: it hears that nothing comes.
        let said = say(&mut channel, &Message::LaneEnd(()));
        if said.is_ok() && channel.writer.finish().is_ok() {
            let deadline = Instant::now() + SILENCE;
            channel.reader.set_deadline(Some(deadline));
            let _ = channel.reader.drain();
        }
    }

    /// Waits for the next one; none once it is closed.
    fn next(&self) -> Option<JoinedLane> {
        let state = self.state();
        let waited = self
            .changed
            .wait_while(state, |state| state.waiting.is_empty() && !state.closed);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner);
        state.waiting.pop_front()
    }

    /// No more are waited for.
    pub(super) fn close(&self) {
        self.state().closed = true;
        self.changed.notify_all();
    }

    /// The same, and those that nobody has taken end.
    pub(super) fn stop(&self) {
        let left = {
            let mut state = self.state();
            state.closed = true;
            std::mem::take(&mut state.waiting)
        };
        self.changed.notify_all();
        drop(left);
    }
}
