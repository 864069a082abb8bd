//! The link of a session: the outbox of its control connection, all its sockets, and the one error
//! that ends it.
//!
//! Must not know what the session does.

use std::collections::HashMap;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::thread::Scope;
use std::time::{Duration, Instant};

use tracing::debug;

use crate::model::error::{Error, Result};
use crate::model::reason::{AbortReason, SystemError};
use crate::model::text::Text;
use crate::net::{Channel, Closer, LAST_WORDS, Reader, Writer, wire_error};
use crate::sys::worker::{self, Panicked, Worker};
use crate::wire::{Message, WireError};

use super::liveness::{ALL_UNDELIVERED, UNDELIVERED, Watched, only_small_ones_pass};
use super::outbox::{Outbox, PING_INTERVAL};

/// How long a peer can be silent on its control connection before it counts as gone.
pub(crate) const SILENCE: Duration = Duration::from_secs(30);
/// How often the connections are looked at.
const LOOK: Duration = Duration::from_secs(4);
/// Within how long a peer that is there is heard: three pings' time.
pub(crate) const HEARD: Duration = PING_INTERVAL.saturating_mul(3);

/// Whatever waits for something that never comes once the session is over.
pub(crate) trait Stop: Send + Sync {
    /// Wakes everyone who waits.
    fn stop(&self);
}

#[derive(Debug, Default)]
struct LinkState {
    error: Option<Error>,
    lanes: Vec<(Closer, Watched)>,
    /// Connections that are being made for lanes, by the lane's number.
    dialed: HashMap<u16, Closer>,
    /// Since when there is nothing for lanes to do any more.
    all_done: Option<Instant>,
    /// What was seen of the control connection.
    control: Watched,
    /// When all of them were looked at last.
    looked: Option<Instant>,
    ailment: Ailment,
    over: bool,
    heard_end: bool,
    written: bool,
}

impl LinkState {
    /// Whether nobody needs another lane: those that are about to join have had the time to.
    fn needs_no_lane(&self, now: Instant) -> bool {
        let past = |since| now.saturating_duration_since(since) >= LAST_WORDS;
        self.over || self.all_done.is_some_and(past)
    }

    /// Takes out all connections but the control connection.
    fn take_lanes(&mut self) -> Vec<Closer> {
        let lanes = std::mem::take(&mut self.lanes).into_iter();
        let dialed = std::mem::take(&mut self.dialed).into_values();
        lanes.map(|(lane, _)| lane).chain(dialed).collect()
    }

    fn only_small_ones_pass(&self, now: Instant) -> bool {
        let lanes = self.lanes.iter().map(|(_, watched)| *watched);
        let all: Vec<_> = lanes.chain([self.control]).collect();
        only_small_ones_pass(&all, now)
    }
}

/// What the next session to the same peer is better off with, for what ailed this one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Ailment {
    /// Fewer lanes: one led nowhere.
    pub(crate) lane: bool,
    /// Smaller packets: those of ordinary size do not seem to arrive.
    pub(crate) packets: bool,
}

/// A writer that knows whether something was left half-written.
struct WholeWrites<'a> {
    writer: &'a mut Writer,
    partly: bool,
}

impl WholeWrites<'_> {
    fn whole<T>(&mut self, write: impl FnOnce(&mut Writer) -> io::Result<T>) -> io::Result<T> {
        self.partly = true;
        let written = write(self.writer)?;
        self.partly = false;
        Ok(written)
    }
}

impl Write for WholeWrites<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.whole(|writer| writer.write_all(bytes).map(|()| bytes.len()))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.whole(|writer| writer.flush())
    }
}

/// What all threads of a session share to talk on, and to end it.
pub(crate) struct Link {
    pub(crate) peer: SocketAddr,
    pub(crate) outbox: Outbox,
    control: Closer,
    state: Mutex<LinkState>,
    changed: Condvar,
    stop: OnceLock<Weak<dyn Stop>>,
    heard: Mutex<Instant>,
}

impl Link {
    /// For a session whose control connection is `channel`.
    pub(crate) fn new(channel: &Channel) -> Self {
        Self {
            peer: channel.peer,
            outbox: Outbox::new(channel.preambles.features()),
            control: channel.closer.clone(),
            state: Mutex::default(),
            changed: Condvar::new(),
            stop: OnceLock::new(),
            heard: Mutex::new(Instant::now()),
        }
    }

    fn state(&self) -> MutexGuard<'_, LinkState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts a thread of the session. When it panics, that is the session's end.
    pub(crate) fn spawn<'scope>(
        self: &Arc<Self>,
        scope: &'scope Scope<'scope, '_>,
        worker: Worker,
        run: impl FnOnce() + Send + 'scope,
    ) -> Result<()> {
        let link = self.clone();
        let on_panic = move |panicked: Panicked| link.fail(panicked.into());
        worker::spawn_scoped(scope, worker, run, on_panic)
            .map_err(|source| Error::Thread { source })
    }

    /// Does a worker's work in the thread that calls. When it panics, that is the session's end.
    pub(crate) fn guarded(self: &Arc<Self>, worker: Worker, run: impl FnOnce()) {
        worker::guarded(worker, run, |panicked| self.fail(panicked.into()));
    }

    /// Notes that the peer has said something.
    pub(crate) fn heard(&self) {
        *self.heard.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// For how long the peer has not said anything.
    pub(crate) fn silent_for(&self) -> Duration {
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.elapsed()
    }

    /// Says what is to be stopped when the session is over; at once if it is. Only the first one
    /// counts.
    pub(crate) fn stop_with(&self, stop: Weak<dyn Stop>) {
        let _ = self.stop.set(stop);
        // Whoever ended it before had nothing to stop.
        if self.is_over() {
            self.wake();
        }
    }

    /// Adds a lane's socket, to be closed when the session fails; at once if it has.
    pub(crate) fn add_lane(&self, lane: Closer) {
        lane.give_up_after(UNDELIVERED);
        let mut state = self.state();
        if state.over {
            lane.close();
        } else {
            state.lanes.push((lane, Watched::default()));
        }
    }

    /// Notes on what connection a lane is about to come to be, to be closed when that is of no use
    /// any more; at once if it is not.
    pub(crate) fn dials(&self, lane: u16, connection: Closer) {
        let mut state = self.state();
        if state.needs_no_lane(Instant::now()) {
            connection.close();
        }
        state.dialed.insert(lane, connection);
    }

    /// Notes that a lane is connected, or will not be.
    pub(crate) fn dialed(&self, lane: u16) {
        self.state().dialed.remove(&lane);
    }

    /// Notes that there is nothing for lanes to do any more.
    pub(crate) fn lanes_are_done(&self) {
        self.state().all_done.get_or_insert_with(Instant::now);
    }

    /// Whether there is something for lanes to do, or may be.
    pub(crate) fn has_work_for_lanes(&self) -> bool {
        self.state().all_done.is_none()
    }

    /// Looks whether what was sent arrives, on each connection. Where one leads nowhere while the
    /// peer is there, the session ends. To be called again and again: more often than every few
    /// seconds does no harm.
    pub(crate) fn look(self: &Arc<Self>) {
        let now = Instant::now();
        let is_there = self.silent_for() < HEARD;
        let mut state = self.state();
        let just_now = |looked| now.saturating_duration_since(looked) < LOOK;
        if state.looked.is_some_and(just_now) {
            return;
        }
        state.looked = Some(now);
        if state.needs_no_lane(now) {
            state.dialed.values().for_each(Closer::close);
        }
        if let Some(seen) = self.control.delivery() {
            state.control.look(seen, now);
        }
        for (lane, watched) in &mut state.lanes {
            if let Some(seen) = lane.delivery() {
                watched.look(seen, now);
            }
        }
        let small_only = state.only_small_ones_pass(now);
        let stands_still = |(_, watched): &(_, Watched)| watched.stands_still(now);
        let most = match state.lanes.iter().all(stands_still) && !small_only {
            true => ALL_UNDELIVERED,
            false => UNDELIVERED,
        };
        let is_dead = |(_, watched): &(_, Watched)| watched.is_dead(most, now);
        // Of a peer that is not there the control connection tells, and sooner.
        if !is_there || !state.lanes.iter().any(is_dead) {
            return;
        }
        // Where the size of packets is what is wrong, it is not the lane.
        state.ailment.lane |= !small_only;
        drop(state);
        self.fail(Error::Undelivered {
            peer: self.peer,
            seconds: most.as_secs(),
            small_only,
        });
    }

    /// Notes that a lane could not join.
    pub(crate) fn no_lane(&self) {
        self.state().ailment.lane = true;
    }

    /// What ailed the session.
    pub(crate) fn ailment(&self) -> Ailment {
        self.state().ailment
    }

    /// What a lost connection is, by what was seen of it before.
    fn diagnosed(&self, error: Error, was_there: bool, state: &mut LinkState) -> Error {
        let now = Instant::now();
        match &error {
            Error::Lost { .. } | Error::Silent { .. } if state.only_small_ones_pass(now) => {
                state.ailment.packets = was_there;
                match was_there {
                    true => Error::Undelivered {
                        peer: self.peer,
                        seconds: SILENCE.as_secs(),
                        small_only: true,
                    },
                    false => error,
                }
            }
            // Its system answers, and it does not: what it says may be too large to arrive here.
            Error::Silent { .. } => {
                state.ailment.packets = state.control.has_grown_within(HEARD, now);
                error
            }
            Error::Undelivered { small_only, .. } => {
                state.ailment.packets = *small_only;
                error
            }
            _ => error,
        }
    }

    /// Ends the session with an error. Only the first one counts. The peer is told, unless it
    /// is gone, or knows.
    pub(crate) fn fail(self: &Arc<Self>, error: Error) {
        let was_there = self.silent_for() < HEARD;
        let mut state = self.state();
        if state.over {
            return;
        }
        state.over = true;
        let error = self.diagnosed(error, was_there, &mut state);
        debug!(peer = %self.peer, "session ends: {error}");
        let lanes = match &error {
            Error::Lost { .. } | Error::Silent { .. } | Error::Undelivered { .. } => {
                self.outbox.drop_all();
                self.control.close();
                state.take_lanes()
            }
            Error::Aborted { .. } => {
                self.outbox.drop_all();
                state.take_lanes()
            }
            // A lane that closes would be heard before the words, and taken for a lost
            // connection.
            other => {
                self.outbox.abort(abort_reason(other));
                Vec::new()
            }
        };
        state.error = Some(error);
        drop(state);
        lanes.iter().for_each(Closer::close);
        self.wake();
        self.close_soon();
    }

    /// Closes what is open once the peer has ended its side of the control connection, or has had
    /// the time to. Closing it earlier would reset the connection, and with that lose what the
    /// peer has not read, which is why the session ended. Whoever is stuck reading or writing gets
    /// free.
    pub(crate) fn close_soon(self: &Arc<Self>) {
        let (link, panicked) = (self.clone(), self.clone());
        let wait = move || {
            link.wait_briefly(|state| state.heard_end);
            link.close();
        };
        let closed = worker::spawn_detached(Worker::LastWords, wait, move |_| panicked.close());
        if closed.is_err() {
            self.close();
        }
    }

    fn close(&self) {
        self.control.close();
        let lanes = self.state().take_lanes();
        lanes.iter().for_each(Closer::close);
    }

    /// Waits for something, but not longer than last words take.
    fn wait_briefly(&self, what: impl Fn(&LinkState) -> bool) {
        let end = Instant::now() + LAST_WORDS;
        let mut state = self.state();
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if what(&state) || left.is_zero() {
                return;
            }
            state = self
                .changed
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    /// Closes all connections of a session that is over, once what was to be said is written, or
    /// has had the time to be. For whoever has read the control connection to its end: no thread
    /// of the session waits for the peer any longer.
    pub(crate) fn close_all(&self) {
        self.wait_briefly(|state| state.written);
        self.close();
    }

    /// Ends the session well.
    pub(crate) fn complete(&self) {
        self.state().over = true;
        debug!(peer = %self.peer, "session ends well");
        self.wake();
    }

    fn wake(&self) {
        if let Some(stop) = self.stop.get().and_then(Weak::upgrade) {
            stop.stop();
        }
        self.changed.notify_all();
    }

    pub(crate) fn is_over(&self) -> bool {
        self.state().over
    }

    /// Waits so long, unless the session is over.
    pub(crate) fn is_over_within(&self, time: Duration) {
        let waited = (self.changed).wait_timeout_while(self.state(), time, |state| !state.over);
        drop(waited);
    }

    /// The error of a frame that could not be read.
    pub(crate) fn wire_error(&self, error: WireError) -> Error {
        wire_error(self.peer, error, SILENCE)
    }

    /// Reads the control connection by `listen`, to its end. None where that panics, which is the
    /// session's end.
    pub(crate) fn listen<T>(
        self: &Arc<Self>,
        reader: &mut Reader,
        listen: impl FnOnce(&mut Reader) -> T,
    ) -> Option<T> {
        match worker::caught(Worker::Control, || listen(&mut *reader)) {
            Ok(heard) => Some(heard),
            Err(panicked) => {
                self.fail(panicked.into());
                reader.set_deadline(Some(Instant::now() + LAST_WORDS));
                let _ = reader.drain();
                self.heard_end();
                None
            }
        }
    }

    /// Writes what is put into the outbox, until the session ends, and then ends this direction
    /// of the connection.
    pub(crate) fn write(
        self: &Arc<Self>,
        writer: &mut Writer,
        tick: Duration,
        mut report: impl FnMut() -> Option<Message>,
    ) {
        let mut writer = WholeWrites {
            writer,
            partly: false,
        };
        let run = || self.outbox.run(&mut writer, tick, &mut report);
        let written = worker::caught(Worker::Writer, run).unwrap_or_else(|panicked| {
            self.fail(panicked.into());
            match writer.partly {
                true => Ok(()),
                // Only the last words are left.
                false => self.outbox.run(&mut writer, tick, || None),
            }
        });
        if let Err(source) = written.and_then(|()| writer.writer.finish()) {
            self.fail(Error::Lost {
                peer: self.peer,
                source,
            });
        }
        self.state().written = true;
        self.changed.notify_all();
    }

    /// Says that the peer has ended its direction of the control connection.
    pub(crate) fn heard_end(&self) {
        self.state().heard_end = true;
        self.changed.notify_all();
    }

    /// How the session ended: its error, if it has one.
    pub(crate) fn result(&self) -> Result<()> {
        match self.state().error.take() {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }
}

/// What a peer is told of the error that ends a session. It is told no path.
fn abort_reason(error: &Error) -> AbortReason {
    match error {
        Error::Cancelled => AbortReason::Stopped,
        Error::Unpaired { .. } => AbortReason::Unpaired,
        Error::Idle { .. } => AbortReason::Idle,
        Error::Protocol { what, .. } => AbortReason::Protocol(Text::new(what.as_str())),
        Error::NotOneFile => AbortReason::NotOneFile,
        Error::File { source, .. } => AbortReason::File(SystemError::from(source)),
        Error::Sync { source, .. } => AbortReason::Sync(SystemError::from(source)),
        Error::Thread { source } => AbortReason::Thread(SystemError::from(source)),
        other => AbortReason::Other(Text::new(other.to_string())),
    }
}
