//! `Browser`: collects the machines that announce themselves.
//!
//! Must not keep more than a few hundred, whatever the network sends.

use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use mdns_sd::{Receiver, RecvTimeoutError, ServiceDaemon, ServiceEvent};
use tracing::debug;

use super::super::Fingerprint;
use super::beacon::{Beacon, FingerprintStart, SERVICE_TYPE, instance};
use super::daemon::{self, DaemonWatch};
use super::seen::{SeenInstances, Sighting};
use crate::model::error::{Error, Result};
use crate::sys::worker::{Worker, spawn_detached};

/// How often to check how much the daemon keeps.
const LOOK: Duration = Duration::from_millis(500);
/// How long a new daemon has to find the machines again that the previous one had found.
const SETTLE: Duration = Duration::from_secs(8);
/// How many failed attempts in a row to browse before giving up.
const MAX_FAILURES: u32 = 8;

/// Collects announcements until it is dropped or closed.
pub struct Browser(BrowserCloser);

/// Closes a [`Browser`] from any thread. Clones close the same one.
#[derive(Clone)]
pub struct BrowserCloser(Arc<BrowserShared>);

struct BrowserShared {
    state: Mutex<BrowserState>,
    changed: Condvar,
}

struct BrowserState {
    seen: SeenInstances,
    /// `None` once it is closed.
    daemon: Option<ServiceDaemon>,
}

impl Browser {
    /// Begins to browse. Machines in `known` are always reported, however many strangers there are.
    pub fn start(known: &[Fingerprint]) -> Result<Self> {
        let known = known.iter().map(FingerprintStart::of).collect();
        let (daemon, events) = browse()?;
        let shared = Arc::new(BrowserShared {
            state: Mutex::new(BrowserState {
                seen: SeenInstances::new(known),
                daemon: Some(daemon),
            }),
            changed: Condvar::new(),
        });
        // Dropping it closes it if no thread can be started.
        let browser = Self(BrowserCloser(Arc::clone(&shared)));
        let on_panic = browser.closer();
        let hear = move || shared.hear(events);
        spawn_detached(Worker::Discovery, hear, move |_| on_panic.close())
            .map_err(|source| Error::Thread { source })?;
        Ok(browser)
    }

    /// The next machine that was found or has gone. `None` after `deadline` or once it is closed,
    /// when everything heard has been reported.
    #[must_use]
    pub fn next(&self, deadline: Instant) -> Option<Sighting> {
        let shared = &self.0.0;
        let mut state = shared.state();
        loop {
            if let Some(sighting) = state.seen.next() {
                return Some(sighting);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || state.daemon.is_none() {
                return None;
            }
            state = shared
                .changed
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    /// Whether nothing more comes, because it was closed or cannot continue.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.0.0.state().daemon.is_none()
    }

    /// A handle that closes it.
    #[must_use]
    pub fn closer(&self) -> BrowserCloser {
        self.0.clone()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl BrowserCloser {
    /// Closes it at once, without waiting.
    pub fn close(&self) {
        let daemon = self.0.state().daemon.take();
        self.0.changed.notify_all();
        if let Some(daemon) = daemon {
            let _ = daemon.shutdown();
        }
    }
}

impl BrowserShared {
    fn state(&self) -> MutexGuard<'_, BrowserState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hear(&self, mut events: Receiver<ServiceEvent>) {
        let mut watch = DaemonWatch::new(LOOK);
        let mut settles = None;
        loop {
            let mut has_ended = false;
            match events.recv_timeout(LOOK) {
                Ok(event) => self.note(event),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => has_ended = true,
            }
            let Some(daemon) = self.state().daemon.clone() else {
                return;
            };
            if settles.is_some_and(|at| Instant::now() >= at) {
                settles = None;
                self.state().seen.settled();
                self.changed.notify_all();
            }
            if !has_ended && !watch.is_too_large(&daemon) {
                continue;
            }
            debug!(has_ended, "browsing anew");
            daemon::stop(&daemon);
            drop(daemon);
            let Some(again) = self.again(&mut watch) else {
                return self.close();
            };
            // Measured from the first of several replacements in a row.
            if settles.is_none() {
                self.state().seen.replaced();
            }
            settles = Some(Instant::now() + SETTLE);
            events = again;
        }
    }

    /// Browses again after a pause. `None` if it was closed, or browsing keeps failing.
    fn again(&self, watch: &mut DaemonWatch) -> Option<Receiver<ServiceEvent>> {
        for _ in 0..MAX_FAILURES {
            let open = |state: &mut BrowserState| state.daemon.is_some();
            let waited = self
                .changed
                .wait_timeout_while(self.state(), watch.pause(), open);
            drop(waited);
            let browsing = browse().ok();
            let mut state = self.state();
            match browsing {
                Some((daemon, _)) if state.daemon.is_none() => {
                    let _ = daemon.shutdown();
                    return None;
                }
                Some((daemon, events)) => {
                    state.daemon = Some(daemon);
                    watch.begin();
                    return Some(events);
                }
                None if state.daemon.is_none() => return None,
                None => {}
            }
        }
        None
    }

    fn close(&self) {
        self.state().daemon = None;
        self.changed.notify_all();
    }

    fn note(&self, event: ServiceEvent) {
        match event {
            ServiceEvent::ServiceResolved(found) => {
                let Some(beacon) = Beacon::of(&found) else {
                    return debug!(name = found.fullname, "no beacon of xfer");
                };
                debug!(?beacon, "found");
                self.state().seen.found(beacon);
            }
            ServiceEvent::ServiceRemoved(_, full) => {
                let Some(instance) = instance(&full) else {
                    return;
                };
                debug!(instance, "gone");
                self.state().seen.gone(&instance);
            }
            _ => return,
        }
        self.changed.notify_all();
    }
}

fn browse() -> Result<(ServiceDaemon, Receiver<ServiceEvent>)> {
    let daemon = daemon::start()?;
    match daemon.browse(SERVICE_TYPE) {
        Ok(events) => Ok((daemon, events)),
        Err(error) => {
            let _ = daemon.shutdown();
            Err(daemon::failed(error))
        }
    }
}

impl fmt::Debug for Browser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Browser").finish_non_exhaustive()
    }
}

impl fmt::Debug for BrowserCloser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BrowserCloser").finish_non_exhaustive()
    }
}
