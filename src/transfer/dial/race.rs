//! `Race`: attempts to connect to several addresses, as RFC 8305 has it: one after the other, the
//! next one without waiting for long for the last.
//!
//! Must not decide which connection is taken: it is told, and closes the others.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

use tracing::debug;

use crate::model::error::{Error, Result};
use crate::model::progress::{Event, Progress};
use crate::net::{Closer, Tls};
use crate::sys::worker::{self, Worker};

use super::addresses::AddressQueue;
use super::attempt::{Packets, dial};
use super::news::News;

/// How long an attempt is waited for before the next one begins (RFC 8305, section 5).
const NEXT_AFTER: Duration = Duration::from_millis(250);
/// The most attempts at once.
const MAX_AT_ONCE: usize = 8;

/// Attempts that run, and addresses that wait for theirs. What runs when it is dropped is closed.
pub(super) struct Race<'a> {
    tls: Tls,
    packets: Packets,
    progress: &'a Arc<dyn Progress>,
    tell: mpsc::Sender<News>,
    candidates: AddressQueue,
    running: HashMap<SocketAddr, Arc<RunningAttempt>>,
    /// Before that, no further attempt begins beside one that runs.
    next: Instant,
}

/// What ends an attempt.
#[derive(Default)]
struct RunningAttempt(Mutex<AttemptState>);

#[derive(Default)]
struct AttemptState {
    is_over: bool,
    connection: Option<Closer>,
}

impl RunningAttempt {
    /// Closes what it has, and what it may still open.
    fn close(&self) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.is_over = true;
        if let Some(connection) = state.connection.take() {
            connection.close();
        }
    }

    fn tries(&self, connection: Closer) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match state.is_over {
            true => connection.close(),
            false => state.connection = Some(connection),
        }
    }
}

impl<'a> Race<'a> {
    /// One without addresses. How each attempt ends is told to `tell`.
    pub(super) fn new(
        tls: &Tls,
        packets: &Packets,
        progress: &'a Arc<dyn Progress>,
        tell: mpsc::Sender<News>,
    ) -> Self {
        Self {
            tls: tls.clone(),
            packets: packets.clone(),
            progress,
            tell,
            candidates: AddressQueue::default(),
            running: HashMap::new(),
            next: Instant::now(),
        }
    }

    /// An address to try, unless it was tried before.
    pub(super) fn add(&mut self, addr: SocketAddr) {
        self.candidates.add(addr);
    }

    /// An address to try, whether it was tried before or not, unless an attempt runs there.
    pub(super) fn add_again(&mut self, addr: SocketAddr) {
        if !self.running.contains_key(&addr) {
            self.candidates.forget(addr);
            self.candidates.add(addr);
        }
    }

    /// Begins every attempt whose time has come.
    pub(super) fn go_on(&mut self) -> Result<()> {
        while self.due().is_some_and(|due| due <= Instant::now()) {
            let Some(addr) = self.candidates.next() else {
                break;
            };
            self.begin(addr)?;
            self.next = Instant::now() + NEXT_AFTER;
        }
        Ok(())
    }

    /// When the next attempt is to begin, if one is.
    pub(super) fn due(&self) -> Option<Instant> {
        match self.running.len() {
            _ if self.candidates.is_empty() => None,
            0 => Some(self.next.min(Instant::now())),
            MAX_AT_ONCE.. => None,
            _ => Some(self.next),
        }
    }

    /// An attempt has ended: the next one begins at once.
    pub(super) fn ended(&mut self, addr: SocketAddr) {
        self.running.remove(&addr);
        self.next = Instant::now();
    }

    /// Whether nothing runs, and nothing waits.
    pub(super) fn is_over(&self) -> bool {
        self.running.is_empty() && self.candidates.is_empty()
    }

    fn begin(&mut self, addr: SocketAddr) -> Result<()> {
        self.progress.event(&Event::Connecting { addr });
        debug!(%addr, "connecting");
        let attempt = Arc::new(RunningAttempt::default());
        self.running.insert(addr, Arc::clone(&attempt));
        let (tls, packets, tell) = (self.tls.clone(), self.packets.clone(), self.tell.clone());
        let panicked = tell.clone();
        let connect = move || {
            let result = dial(&tls, addr, &packets, |connection| attempt.tries(connection));
            // Nobody listens any more where another one has won.
            let result = Box::new(result);
            let _ = tell.send(News::Tried { addr, result });
        };
        let spawned = worker::spawn_detached(Worker::Connect, connect, move |failed| {
            let result = Box::new(Err(failed.into()));
            let _ = panicked.send(News::Tried { addr, result });
        });
        match spawned {
            Ok(_) => Ok(()),
            Err(source) => Err(Error::Thread { source }),
        }
    }
}

impl Drop for Race<'_> {
    fn drop(&mut self) {
        for attempt in self.running.values() {
            attempt.close();
        }
    }
}
