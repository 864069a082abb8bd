//! The listener: accepts connections, gives each a thread of its own, and counts them.
//!
//! Must not know what is said on a connection.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use tracing::debug;

use crate::model::error::{Error, Result};
use crate::model::outcome::Summary;
use crate::model::progress::{Event, Progress};
use crate::model::prompt::Prompt;
use crate::model::room::RoomEvent;
use crate::net::{Admission, Announcement, Announcer, Tls, WatchedPeers, plain};
use crate::store::Store;

use super::super::cancel::Cancel;
use super::super::options::{Device, ReceiveOptions};
use super::super::receive::{Budgets, Sums};
use super::super::share::SharedFiles;
use super::super::talk::Room;
use super::super::talk::TalkPlaces;
#[cfg(feature = "web")]
use super::super::web::{Downloads, Uploads, WebServer, WebSite};
use super::asked::AskedOffers;
use super::connection::serve;
use super::on_done::OnDone;
use super::purpose::Purpose;
use super::running::PeerCommands;
use super::serving::Serving;
use super::shared::{ReceiverSessions, ReceiverShared};
use crate::sys::host;
use crate::sys::socket;
use crate::sys::wake::{Awaited, WakeUp};
use crate::sys::worker::{Panicked, Worker, checkpoint, spawn_detached};

/// How many threads connections can have: those that were let in, those that wait for that, and
/// those that have been turned away and are about to end.
const MAX_THREADS: usize = 2048;
/// How long the listener waits where it cannot accept anything.
const PAUSE: Duration = Duration::from_millis(50);

/// A receiver that listens.
pub struct Receiver {
    listener: TcpListener,
    shared: Arc<ReceiverShared>,
}

impl fmt::Debug for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Receiver").field(&self.listener).finish()
    }
}

impl Receiver {
    /// Opens the receive directory, and listens.
    /// What only a person can do, `prompt` does.
    pub fn bind(device: &Device, options: ReceiveOptions, prompt: Arc<dyn Prompt>) -> Result<Self> {
        Self::bind_with(device, options, Purpose::Receive, prompt)
    }

    /// Listens for those who would like to be in a room, and for nobody else: nothing is received.
    pub fn of_room(
        device: &Device,
        options: ReceiveOptions,
        room: Arc<Room>,
        prompt: Arc<dyn Prompt>,
    ) -> Result<Self> {
        Self::bind_with(device, options, Purpose::Room(room), prompt)
    }

    /// Listens for those who want to fetch `files`, and for nobody else: nothing is received.
    pub fn of_share(
        device: &Device,
        options: ReceiveOptions,
        files: Arc<SharedFiles>,
        prompt: Arc<dyn Prompt>,
    ) -> Result<Self> {
        Self::bind_with(device, options, Purpose::Share(files), prompt)
    }

    fn bind_with(
        device: &Device,
        options: ReceiveOptions,
        purpose: Purpose,
        prompt: Arc<dyn Prompt>,
    ) -> Result<Self> {
        let identity = &device.identity;
        // Said now, and not to the first sender.
        device.peers.list()?;
        // Where the receive directory is the user's home, a sender must not make the list.
        device.peers.create()?;
        let stores_files = matches!(purpose, Purpose::Receive) && options.output.is_none();
        let store = match stores_files {
            true => Some(Store::open(&options.dir, device.own.clone())?),
            false => None,
        };
        let mut stores = HashMap::new();
        let grants = store.as_ref().map(|_| options.grants.values());
        for grant in grants.into_iter().flatten() {
            let Some(dir) = &grant.dir else {
                continue;
            };
            let own = Store::open(dir, device.own.clone())?;
            // A folder that several have has one store.
            let mut all = store.iter().chain(stores.values());
            let same = all.find(|other| other.path() == own.path()).cloned();
            if let Some(other) = &same
                && (grant.quota.is_some() || other.has_quota())
            {
                return Err(Error::SharedQuota { path: dir.clone() });
            }
            if let Some(quota) = grant.quota {
                own.limit(quota);
            }
            stores.insert(dir.clone(), same.unwrap_or(own));
        }
        let sums = match (&options.sums, &store) {
            (Some(sums), Some(store)) => Some(Sums::open(sums, store.path())?),
            _ => None,
        };
        let listener = listen(options.listen)?;
        let wake_up = WakeUp::new().map_err(|source| Error::Listen {
            addr: options.listen,
            source,
        })?;
        let places = if options.once {
            1
        } else {
            options.max_sessions
        };
        // There this receiver may write whatever it gives up.
        let state = device.peers.path();
        let state = state.parent().unwrap_or(Path::new("/"));
        let on_done = OnDone::new(options.starter.as_ref(), state);
        #[cfg(feature = "web")]
        let web = options.web.clone().map(|options| {
            let site = match &purpose {
                Purpose::Share(files) => WebSite::Downloads(Downloads::new(files.roots().clone())),
                _ => WebSite::Uploads(Uploads::default()),
            };
            WebServer::new(options, site)
        });
        Ok(Self {
            listener,
            shared: Arc::new(ReceiverShared {
                tls: Tls::new(identity)?,
                fingerprint: identity.fingerprint(),
                peers: device.peers.clone(),
                known: WatchedPeers::new(device.peers.clone()),
                pairing: Arc::default(),
                prompt,
                asking: AskedOffers::new(),
                talk: TalkPlaces::new(),
                unasked: Mutex::default(),
                store,
                stores,
                sums: sums.map(Arc::new),
                purpose,
                ends: options
                    .lasts
                    .and_then(|time| Instant::now().checked_add(time)),
                options,
                #[cfg(feature = "web")]
                web,
                connections: AtomicUsize::new(0),
                admission: Admission::new(),
                sessions: Mutex::new(ReceiverSessions::new(places)),
                commands: PeerCommands::default(),
                on_done,
                budgets: Budgets::new(),
                changed: Condvar::new(),
                wake_up,
            }),
        })
    }

    /// Where it listens; the port is a real one.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.listener
            .local_addr()
            .unwrap_or(self.shared.options.listen)
    }

    /// Receives until it is cancelled, or with `once` until the first session has ended, and
    /// then says how. Cancelled while it only waits, it ends well, without a summary; but with
    /// `once` something was to come.
    pub fn run(self, progress: &Arc<dyn Progress>, cancel: &Cancel) -> Result<Option<Summary>> {
        let addr = self.local_addr();
        let store = self.shared.store.as_ref();
        let dir = store.map_or(Path::new(super::super::receive::NAME), |store| store.path());
        match &self.shared.purpose {
            Purpose::Receive => progress.event(&Event::Listening { addr, dir }),
            Purpose::Room(room) => {
                let name = &room.host();
                progress.event(&Event::Room(RoomEvent::Opened { addr, name }));
            }
            Purpose::Share(files) => {
                let (named, first) = files.roots().names();
                let first = first.as_str();
                progress.event(&Event::Sharing { addr, named, first });
            }
        }
        let shared = self.shared.clone();
        let _cancel = cancel.on_cancel(move || shared.wake_up.raise());
        let on_done = self.shared.on_done.as_ref();
        let begun = on_done.map(|on_done| on_done.begin(progress)).transpose()?;
        let on_done = on_done.cloned().zip(begun);
        let _stop = on_done.as_ref().map(|(on_done, _)| {
            let on_done = on_done.clone();
            cancel.on_cancel(move || on_done.stop())
        });
        let announcer = self.announce(progress);
        let ended = self.accept(progress, cancel);
        if let Some(room) = self.shared.purpose.room() {
            room.close();
        }
        drop(announcer);
        drop(self.listener);
        self.shared.commands.stop();
        let was_running = self.shared.stop();
        if let Some((on_done, thread)) = on_done {
            on_done.close();
            // A panic in it has been told, and changes nothing.
            let _ = thread.join();
        }
        match ended? {
            Some(first) => first.map(Some),
            None if self.shared.options.once => {
                let mut sessions = self.shared.sessions();
                let lost = sessions.lost.take().map(|(_, error)| Err(error));
                match sessions.first.take().or(lost) {
                    Some(first) => first.map(Some),
                    // Its time is over, and nobody came.
                    None if self.shared.has_ended() && !cancel.is_cancelled() => {
                        Err(Error::NobodyCame)
                    }
                    None => Err(Error::Cancelled),
                }
            }
            None if was_running => Err(Error::Cancelled),
            None => Ok(None),
        }
    }

    /// Tells the network that it is here. Whoever has its address needs no such thing.
    fn announce(&self, progress: &Arc<dyn Progress>) -> Option<Announcer> {
        let options = &self.shared.options;
        let listen = self.local_addr();
        let announcement = Announcement {
            name: options.name.clone(),
            fingerprint: self.shared.fingerprint,
            port: listen.port(),
            service: self.shared.purpose.service(),
        };
        let announced = options
            .announce
            .then(|| Announcer::start(&announcement, listen, progress))?;
        announced
            .map_err(|error| progress.event(&Event::NotAnnounced { error: &error }))
            .ok()
    }

    /// Accepts connections. Gives how the first session ended, or none when it was cancelled.
    fn accept(
        &self,
        progress: &Arc<dyn Progress>,
        cancel: &Cancel,
    ) -> Result<Option<Result<Summary>>> {
        let failed = |source: io::Error| Error::Listen {
            addr: self.local_addr(),
            source,
        };
        // Another thread may have taken the connection that woke this one.
        self.listener.set_nonblocking(true).map_err(failed)?;
        let threadless = |source| Error::Thread { source };
        // Without a thread for a connection it would serve nobody.
        let tried = spawn_detached(Worker::Connection, || {}, drop).map_err(threadless)?;
        let _ = tried.join();
        let mut told = false;
        let mut pause = false;
        loop {
            if pause && cancel.wait(PAUSE) || cancel.is_cancelled() {
                return Ok(None);
            }
            pause = self.shared.connections.load(Ordering::Acquire) >= MAX_THREADS;
            if pause {
                debug!("as many connections as may be: no more are accepted");
            }
            let timeout = match self.shared.first_ended() {
                Ok(ended) => return Ok(Some(ended)),
                Err(timeout) => timeout,
            };
            let left = self.shared.time_left();
            if left.is_some_and(|left| left.is_zero()) {
                return Ok(None);
            }
            // However many connections there are.
            let look = self.shared.look_after_sessions().into_iter();
            let look = look.chain(self.shared.look_after_commands());
            let look = look.chain(self.shared.look_after_room());
            let look = look.chain(self.shared.look_after_uploads());
            if pause {
                continue;
            }
            let timeout = look.chain(timeout).chain(left).min();
            let wake_up = &self.shared.wake_up;
            let waited = wake_up.wait(Awaited::Connection(&self.listener), timeout);
            wake_up.clear();
            match waited.and_then(|_| self.listener.accept()) {
                Ok((stream, peer)) => {
                    debug!(%peer, "connection accepted");
                    let served = self.serve(stream, plain(peer), progress, cancel);
                    // The connection is closed, and its peer may come again: others go on.
                    if let Err(e) = served
                        && !told
                    {
                        told = true;
                        let error = &threadless(e);
                        progress.event(&Event::NotAccepting { error });
                    }
                }
                Err(e) if is_passing(&e) => {}
                // It passes when others end, or not: those who have been let in go on.
                Err(e) => {
                    if host::has_too_much_open(&e) {
                        self.shared.admission.make_room();
                    }
                    if !told {
                        told = true;
                        progress.event(&Event::NotAccepting { error: &failed(e) });
                    }
                    pause = true;
                }
            }
        }
    }

    fn serve(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
        progress: &Arc<dyn Progress>,
        cancel: &Cancel,
    ) -> io::Result<()> {
        let shared = self.shared.clone();
        shared.connections.fetch_add(1, Ordering::AcqRel);
        let counted = CountedConnection(shared.clone());
        let stream = Arc::new(stream);
        let candidate = shared.admission.enter(peer, stream.clone());
        let (progress, cancel) = (progress.clone(), cancel.clone());
        let on_panic = {
            let progress = progress.clone();
            move |panicked: Panicked| {
                progress.event(&Event::Refused {
                    peer,
                    error: &panicked.into(),
                });
            }
        };
        let serve = move || {
            let _counted = counted;
            checkpoint(Worker::Connection);
            let served = stream
                .set_nonblocking(false)
                .map_err(|source| Error::Lost { peer, source })
                .and_then(|()| {
                    let serving = Serving {
                        shared: &shared,
                        candidate: &candidate,
                        progress: &progress,
                        cancel: &cancel,
                    };
                    serve(&serving, stream)
                });
            if let Err(mut error) = served {
                if candidate.was_displaced() {
                    error = Error::Displaced { peer };
                }
                debug!(%peer, "connection refused: {error}");
                // Whoever fetches leaves when it has seen enough: nothing of it was refused.
                let leaves = matches!(shared.purpose, Purpose::Share(_));
                if leaves && matches!(error, Error::Lost { .. }) {
                    return;
                }
                progress.event(&Event::Refused {
                    peer,
                    error: &error,
                });
            }
        };
        spawn_detached(Worker::Connection, serve, on_panic).map(drop)
    }
}

/// A connection that counts, until it is dropped.
struct CountedConnection(Arc<ReceiverShared>);

impl Drop for CountedConnection {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::AcqRel);
    }
}

fn is_passing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted | io::ErrorKind::ConnectionAborted
    )
}

fn listen(addr: SocketAddr) -> Result<TcpListener> {
    match socket::listen(addr) {
        Ok(listener) => Ok(listener),
        // A machine without IPv6 has all its addresses in IPv4.
        Err(e) if addr.is_ipv6() && addr.ip().is_unspecified() && !in_use(&e) => {
            let addr = SocketAddr::from((Ipv4Addr::UNSPECIFIED, addr.port()));
            socket::listen(addr).map_err(|source| Error::Listen { addr, source })
        }
        Err(source) => Err(Error::Listen { addr, source }),
    }
}

fn in_use(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::AddrInUse | io::ErrorKind::PermissionDenied
    )
}
