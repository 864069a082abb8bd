//! `Announcer`: announces this machine on the network.
//!
//! Must not reveal more than the name, the start of the fingerprint, and the port: everyone on the
//! network hears it.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use mdns_sd::{DaemonEvent, IfKind, Receiver, RecvTimeoutError, ServiceDaemon, ServiceInfo};
use tracing::debug;

use super::super::Fingerprint;
use super::beacon::{
    FINGERPRINT_KEY, FingerprintStart, NAME_KEY, SERVICE_KEY, SERVICE_TYPE, Service, VERSION_KEY,
    instance, instance_for,
};
use super::daemon::{self, DaemonWatch};
use crate::model::error::{Error, Result};
use crate::model::progress::{Event, Progress};
use crate::sys::worker::{Worker, checkpoint, spawn_detached};
use crate::wire::VERSION;

/// How often to check how much the daemon keeps.
const LOOK: Duration = Duration::from_secs(2);
/// How many failed attempts in a row to announce before giving up.
const MAX_FAILURES: u32 = 8;

/// What is announced.
#[derive(Debug, Clone)]
pub struct Announcement {
    /// The name that this machine gives itself.
    pub name: String,
    /// The fingerprint of its key.
    pub fingerprint: Fingerprint,
    /// The port that it listens on.
    pub port: u16,
    /// What it offers.
    pub service: Service,
}

/// Announces a service until it is dropped, which withdraws it.
pub struct Announcer {
    shared: Arc<AnnouncerShared>,
    thread: Option<JoinHandle<()>>,
}

struct AnnouncerShared {
    announcement: Announcement,
    listen: SocketAddr,
    progress: Arc<dyn Progress>,
    /// `None` once it is withdrawn.
    daemon: Mutex<Option<ServiceDaemon>>,
    /// Signals that it was withdrawn.
    withdrawn: Condvar,
}

/// Whether machines other than this one can reach this address.
#[must_use]
pub fn reaches_others(listen: SocketAddr) -> bool {
    !listen.ip().to_canonical().is_loopback()
}

impl Announcer {
    /// Announces what listens at `listen` on every network that leads there, and follows this
    /// machine's addresses as they change. Reports later events to `progress`. An address that only
    /// this machine can reach is not announced.
    ///
    /// It runs a thread as long as it exists, which inherits the dropped privileges of the calling
    /// one.
    pub fn start(
        announcement: &Announcement,
        listen: SocketAddr,
        progress: &Arc<dyn Progress>,
    ) -> Result<Self> {
        let mut shared = AnnouncerShared {
            announcement: announcement.clone(),
            listen,
            progress: Arc::clone(progress),
            daemon: Mutex::new(None),
            withdrawn: Condvar::new(),
        };
        if !reaches_others(listen) {
            return Ok(Self {
                shared: Arc::new(shared),
                thread: None,
            });
        }
        let (daemon, told) = shared.announce()?;
        shared.daemon = Mutex::new(Some(daemon));
        let shared = Arc::new(shared);
        let (watching, panicked) = (Arc::clone(&shared), Arc::clone(&shared));
        let watch = move || watching.watch(told);
        let on_panic = move |_| panicked.withdraw();
        let thread = spawn_detached(Worker::Discovery, watch, on_panic);
        let mut announcer = Self {
            shared,
            thread: None,
        };
        announcer.thread = Some(thread.map_err(|source| Error::Thread { source })?);
        Ok(announcer)
    }
}

impl Drop for Announcer {
    fn drop(&mut self) {
        self.shared.withdraw();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl fmt::Debug for Announcer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Announcer")
            .field(&self.shared.announcement)
            .finish()
    }
}

impl AnnouncerShared {
    fn daemon(&self) -> MutexGuard<'_, Option<ServiceDaemon>> {
        self.daemon.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn withdraw(&self) {
        // Not while holding the lock: it takes a while.
        let daemon = self.daemon().take();
        self.withdrawn.notify_all();
        if let Some(daemon) = daemon {
            daemon::stop(&daemon);
        }
    }

    fn announce(&self) -> Result<(ServiceDaemon, Receiver<DaemonEvent>)> {
        let info = info(&self.announcement, self.listen)?;
        let daemon = daemon::start()?;
        let told = daemon
            .monitor()
            .and_then(|told| daemon.register(info).map(|()| told));
        match told {
            Ok(told) => Ok((daemon, told)),
            Err(error) => {
                daemon::stop(&daemon);
                Err(daemon::failed(error))
            }
        }
    }

    /// Handles the daemon's events, until it is withdrawn.
    fn watch(&self, mut told: Receiver<DaemonEvent>) {
        let mut name = None;
        let mut watch = DaemonWatch::new(LOOK);
        loop {
            checkpoint(Worker::Discovery);
            let has_ended = match told.recv_timeout(LOOK) {
                Ok(event) => {
                    self.hear(&event, &mut name);
                    false
                }
                Err(RecvTimeoutError::Timeout) => false,
                Err(RecvTimeoutError::Disconnected) => true,
            };
            let Some(old) = self.daemon().clone() else {
                return;
            };
            if !has_ended && !watch.is_too_large(&old) {
                continue;
            }
            debug!(has_ended, "announcing anew");
            daemon::stop(&old);
            drop(old);
            match self.again(&mut watch) {
                Ok(Some(again)) => told = again,
                Ok(None) => return,
                Err(error) => {
                    *self.daemon() = None;
                    return self.progress.event(&Event::NotAnnounced { error: &error });
                }
            }
        }
    }

    /// Announces again after a pause. `None` if it was withdrawn.
    fn again(&self, watch: &mut DaemonWatch) -> Result<Option<Receiver<DaemonEvent>>> {
        let mut failures = 0;
        loop {
            let open = |daemon: &mut Option<ServiceDaemon>| daemon.is_some();
            let waited = self
                .withdrawn
                .wait_timeout_while(self.daemon(), watch.pause(), open);
            drop(waited);
            let announced = self.announce();
            let mut kept = self.daemon();
            match announced {
                Ok((daemon, _)) if kept.is_none() => {
                    drop(kept);
                    daemon::stop(&daemon);
                    return Ok(None);
                }
                Ok((daemon, told)) => {
                    *kept = Some(daemon);
                    watch.begin();
                    return Ok(Some(told));
                }
                Err(_) if kept.is_none() => return Ok(None),
                Err(error) => {
                    failures += 1;
                    if failures == MAX_FAILURES {
                        return Err(error);
                    }
                }
            }
        }
    }

    fn hear(&self, event: &DaemonEvent, last: &mut Option<String>) {
        debug!(?event, "mDNS");
        let full = match event {
            DaemonEvent::Announce(full, _) => full,
            DaemonEvent::NameChange(change) => &change.new_name,
            _ => return,
        };
        // Its other names are host names.
        let Some(instance) = instance(full) else {
            return;
        };
        // If it was renamed on one network, the next one still announces its first name.
        if last.is_none()
            || matches!(event, DaemonEvent::NameChange(_)) && *last != Some(instance.clone())
        {
            let event = Event::Announced { name: &instance };
            self.progress.event(&event);
            *last = Some(instance);
        }
    }
}

/// The announcement in the form that the daemon needs.
fn info(announcement: &Announcement, listen: SocketAddr) -> Result<ServiceInfo> {
    let start = FingerprintStart::of(&announcement.fingerprint).to_hex();
    let txt = [
        (VERSION_KEY, VERSION.to_string()),
        (FINGERPRINT_KEY, start.clone()),
        (SERVICE_KEY, announcement.service.word().to_owned()),
        (NAME_KEY, announcement.name.clone()),
    ];
    let instance = instance_for(&announcement.name);
    // Not the machine's own host name: a daemon that announces that would see a conflict with
    // another machine.
    let host = format!("xfer-{start}-{}.local.", announcement.port);
    let any = listen.ip().is_unspecified();
    let ips: Vec<IpAddr> = (!any)
        .then(|| listen.ip().to_canonical())
        .into_iter()
        .collect();
    let info = ServiceInfo::new(
        SERVICE_TYPE,
        &instance,
        &host,
        &ips[..],
        announcement.port,
        &txt[..],
    );
    let mut info = info.map_err(daemon::failed)?;
    if any {
        info = info.enable_addr_auto();
        if listen.is_ipv4() {
            info.set_interfaces(vec![IfKind::IPv4]);
        }
    }
    Ok(info)
}
