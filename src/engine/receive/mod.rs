//! The receiving engine: listens, lets in, and runs a session for each sender.
//!
//! Must not let one connection hold up another: each has its own thread, and fails alone.

mod hold;
mod lane;
mod planner;
mod session;
mod slot;

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::digest::CHUNK_SIZE;
use crate::error::{Error, Result};
use crate::outcome::{Decline, Role, Summary};
use crate::progress::{Counters, Event, Peer, Progress, Trust};
use crate::secure::{Channel, Fingerprint, Identity, Tls, plain};
use crate::session::{
    FIRST_WORDS, Link, Opening, Ours, PING_INTERVAL, hear_offer, opening, say, say_last,
};
use crate::store::{Access, Store};
use crate::text::Text;
use crate::wire::{Accept, Hello, Join, LaneSecret, Message, Offer, limits};

use super::cancel::Cancel;
use super::next_session;
use super::options::ReceiveOptions;

use session::{Parts, Receiving};

/// How many connections there can be at once, lanes and those that say nothing included.
const MAX_CONNECTIONS: usize = 1024;
/// How many sessions there can be at once.
const MAX_SESSIONS: usize = 64;
/// How long a session's peer can be silent when a later session of the same sender waits for
/// what it has: two pings' time.
const TWIN_SILENCE: Duration = PING_INTERVAL.saturating_mul(2);
/// How long a receiver that ends with its first session waits for a sender whose connection was
/// lost to come back.
const COME_BACK: Duration = Duration::from_secs(90);

/// A receiver that listens.
pub struct Receiver {
    listener: TcpListener,
    shared: Arc<Shared>,
}

impl fmt::Debug for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Receiver").field(&self.listener).finish()
    }
}

struct Shared {
    tls: Tls,
    fingerprint: Fingerprint,
    store: Arc<Store>,
    options: ReceiveOptions,
    connections: AtomicUsize,
    state: Mutex<State>,
    changed: Condvar,
    /// Writing to it wakes the listening thread.
    wake: OwnedFd,
    woken: OwnedFd,
}

#[derive(Default)]
struct State {
    /// Sessions by what their lanes show.
    sessions: HashMap<LaneSecret, Arc<Receiving>>,
    /// Sessions that run, or are about to.
    running: usize,
    /// How the first session ended, where that is what is waited for.
    first: Option<Result<Summary>>,
    /// A session that was lost, and until when it may come back.
    lost: Option<(Instant, Error)>,
}

impl Receiver {
    /// Opens the receive directory, and listens.
    pub fn bind(identity: &Identity, options: ReceiveOptions) -> Result<Self> {
        let store = Store::open(&options.dir)?;
        let listener = listen(options.listen)?;
        let (woken, wake) = rustix::pipe::pipe().map_err(|e| Error::Listen {
            addr: options.listen,
            source: e.into(),
        })?;
        Ok(Self {
            listener,
            shared: Arc::new(Shared {
                tls: Tls::new(identity)?,
                fingerprint: identity.fingerprint(),
                store,
                options,
                connections: AtomicUsize::new(0),
                state: Mutex::default(),
                changed: Condvar::new(),
                wake,
                woken,
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
    /// then says how. Cancelled while it only waits, it ends well, without a summary.
    pub fn run(self, progress: &Arc<dyn Progress>, cancel: &Cancel) -> Result<Option<Summary>> {
        progress.event(&Event::Listening {
            addr: self.local_addr(),
            dir: self.shared.store.path(),
        });
        let shared = self.shared.clone();
        let _cancel = cancel.on_cancel(move || shared.wake());
        let ended = self.accept(progress, cancel);
        drop(self.listener);
        let was_busy = self.shared.stop();
        match ended? {
            Some(first) => first.map(Some),
            None if was_busy => Err(Error::Cancelled),
            None => Ok(None),
        }
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
        loop {
            if cancel.is_cancelled() {
                return Ok(None);
            }
            let timeout = match self.shared.first_ended() {
                Ok(ended) => return Ok(Some(ended)),
                Err(timeout) => timeout,
            };
            let mut fds = [
                PollFd::new(&self.listener, PollFlags::IN),
                PollFd::new(&self.shared.woken, PollFlags::IN),
            ];
            match poll(&mut fds, timeout.as_ref()) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(e) => return Err(failed(e.into())),
            }
            if fds.iter().skip(1).any(|fd| !fd.revents().is_empty()) {
                let mut bytes = [0; 64];
                // What is read says nothing: that it came is all.
                let _ = rustix::io::read(&self.shared.woken, &mut bytes);
            }
            match self.listener.accept() {
                Ok((stream, peer)) => self.serve(stream, plain(peer), progress, cancel),
                Err(e) if is_passing(&e) => {}
                // Too many files are open: nothing to do but let some connection end.
                Err(e) if is_full(&e) => {
                    if cancel.wait(Duration::from_millis(100)) {
                        return Ok(None);
                    }
                }
                Err(e) => return Err(failed(e)),
            }
        }
    }

    fn serve(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
        progress: &Arc<dyn Progress>,
        cancel: &Cancel,
    ) {
        let shared = self.shared.clone();
        if shared.connections.fetch_add(1, Ordering::AcqRel) >= MAX_CONNECTIONS {
            shared.connections.fetch_sub(1, Ordering::AcqRel);
            return;
        }
        let counted = Counted(shared.clone());
        let (progress, cancel) = (progress.clone(), cancel.clone());
        let thread = thread::Builder::new().name("connection".into());
        // Where no thread can be had the connection is closed, and the peer may come again.
        let _ = thread.spawn(move || {
            let _counted = counted;
            let served = stream
                .set_nonblocking(false)
                .map_err(|source| Error::Lost { peer, source })
                .and_then(|()| shared.connection(stream, &progress, &cancel));
            if let Err(error) = served {
                progress.event(&Event::Refused {
                    peer,
                    error: &error,
                });
            }
        });
    }
}

/// A connection that counts, until it is dropped.
struct Counted(Arc<Shared>);

impl Drop for Counted {
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

fn is_full(error: &io::Error) -> bool {
    use rustix::io::Errno;
    matches!(
        error.raw_os_error().map(Errno::from_raw_os_error),
        Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM)
    )
}

fn listen(addr: SocketAddr) -> Result<TcpListener> {
    match TcpListener::bind(addr) {
        Ok(listener) => Ok(listener),
        // A machine without IPv6 has all its addresses in IPv4.
        Err(e) if addr.is_ipv6() && addr.ip().is_unspecified() && !in_use(&e) => {
            let addr = SocketAddr::from((Ipv4Addr::UNSPECIFIED, addr.port()));
            TcpListener::bind(addr).map_err(|source| Error::Listen { addr, source })
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

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes the listening thread.
    fn wake(&self) {
        // A byte for each session that ends: it is read long before the pipe could be full.
        let _ = rustix::io::write(&self.wake, &[0]);
    }

    /// How the first session ended, if that is what is waited for; else how long to wait.
    fn first_ended(&self) -> Result<Result<Summary>, Option<Timespec>> {
        if !self.options.once {
            return Err(None);
        }
        let mut state = self.state();
        if state.running > 0 {
            return Err(None);
        }
        if let Some(first) = state.first.take() {
            return Ok(first);
        }
        let Some((until, error)) = state.lost.take() else {
            return Err(None);
        };
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(Err(error));
        }
        state.lost = Some((until, error));
        Err(Timespec::try_from(left).ok())
    }

    /// Ends every session, and waits for that. Says whether one was not done.
    fn stop(&self) -> bool {
        let mut state = self.state();
        let mut was_busy = false;
        for session in state.sessions.values() {
            // One that has said its summary only waits for its peer to close.
            was_busy |= !session.link.is_over();
            session.link.fail(Error::Cancelled);
        }
        while state.running > 0 {
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        was_busy
    }

    /// Something that ends the sessions of `owner` whose peer has been silent for longer than a
    /// live one ever is. (A session that nobody waits for is given more time.)
    fn end_dead_twins(self: &Arc<Self>, owner: Fingerprint) -> Box<dyn Fn() + Send + Sync> {
        let shared = Arc::downgrade(self);
        Box::new(move || {
            let Some(shared) = shared.upgrade() else {
                return;
            };
            let sessions: Vec<_> = shared.state().sessions.values().cloned().collect();
            for session in sessions {
                if session.owner == owner && session.link.silent_for() > TWIN_SILENCE {
                    session.link.fail(Error::Silent {
                        peer: session.link.peer,
                        seconds: TWIN_SILENCE.as_secs(),
                    });
                }
            }
        })
    }

    /// Serves a connection, to its end. What it returns is why it came to nothing.
    fn connection(
        self: &Arc<Self>,
        stream: TcpStream,
        progress: &Arc<dyn Progress>,
        cancel: &Cancel,
    ) -> Result<()> {
        let mut channel = self.tls.accept(stream, FIRST_WORDS)?;
        match opening(&mut channel)? {
            Opening::Control(hello) => self.control(channel, &hello, progress, cancel),
            Opening::Lane(join) => self.lane(channel, &join),
        }
    }

    fn lane(&self, mut channel: Channel, join: &Join) -> Result<()> {
        let peer = channel.peer;
        let session = self.state().sessions.get(&join.secret).cloned();
        let session = session.filter(|session| {
            session.owner == channel.fingerprint
                && session
                    .lanes_left
                    .fetch_update(Ordering::AcqRel, Ordering::Acquire, |n| n.checked_sub(1))
                    .is_ok()
        });
        let Some(session) = session else {
            let words = Message::Abort(Text::new("there is no such session"));
            say_last(&mut channel, &words)?;
            return Err(Error::protocol(peer, "a lane of no session"));
        };
        channel.count_wire(session.counters.clone());
        let joined = Message::Joined(channel.preambles);
        if let Err(error) = say(&mut channel, &joined) {
            session.link.fail(error);
            return Ok(());
        }
        session.lane(channel);
        Ok(())
    }

    fn control(
        self: &Arc<Self>,
        mut channel: Channel,
        hello: &Hello,
        progress: &Arc<dyn Progress>,
        cancel: &Cancel,
    ) -> Result<()> {
        let ours = Ours {
            fingerprint: self.fingerprint,
            name: &self.options.name,
            open: self.options.open,
        };
        let (peer, offer) = hear_offer(&mut channel, hello, ours)?;
        let Some(_running) = Running::new(self) else {
            // It may be this sender's last session that is in its own way.
            (self.end_dead_twins(channel.fingerprint))();
            return decline(&mut channel, Decline::Busy);
        };
        if offer.chunk_size != CHUNK_SIZE || offer.lanes == 0 {
            let what = Text::new(format!("chunks of {} bytes", offer.chunk_size));
            return decline(&mut channel, Decline::Unsupported(what));
        }
        let access = Access {
            owner: channel.fingerprint.0,
            links_outside: self.options.links_outside,
            existing: peer.trust == Trust::SameUser,
        };
        let store = match self.store.session(access, self.options.sync) {
            Ok(store) => store,
            Err(e) => {
                let what = Text::new(crate::error::reason(&e));
                return decline(&mut channel, Decline::Store(what));
            }
        };
        let ended = self.session(channel, &peer, &offer, store, progress, cancel);
        if self.options.once {
            let mut state = self.state();
            match ended {
                Err(error) if error.is_lost_connection() => {
                    state.lost = Some((Instant::now() + COME_BACK, error));
                }
                other => state.first = state.first.take().or(Some(other)),
            }
        }
        Ok(())
    }

    fn session(
        self: &Arc<Self>,
        mut channel: Channel,
        peer: &Peer,
        offer: &Offer,
        store: Arc<crate::store::StoreSession>,
        progress: &Arc<dyn Progress>,
        cancel: &Cancel,
    ) -> Result<Summary> {
        let accept = Accept {
            lanes: offer.lanes.min(self.options.lanes).min(limits::MAX_LANES),
            secret: secret()?,
            window: self
                .options
                .window
                .clamp(*limits::WINDOW.start(), *limits::WINDOW.end()),
        };
        let counters = Arc::new(Counters::default());
        channel.count_wire(counters.clone());
        let session = Receiving::new(Parts {
            session: next_session(),
            link: Arc::new(Link::new(channel.peer, channel.closer.clone())),
            owner: channel.fingerprint,
            algorithm: offer.algorithm,
            store,
            dir: self.options.dir.clone(),
            progress: progress.clone(),
            counters,
            window: accept.window,
            end_dead_twins: self.end_dead_twins(channel.fingerprint),
            lanes: accept.lanes,
        });
        let number = session.session;
        self.state().sessions.insert(accept.secret, session.clone());
        let _registered = Registered(self, accept.secret);
        progress.event(&Event::Started {
            session: number,
            role: Role::Receiver,
            peer,
            counters: &session.counters,
        });
        // Between the last look at the flag and its place among the sessions it was in nobody's
        // sight.
        if cancel.is_cancelled() {
            session.link.fail(Error::Cancelled);
        }
        let ended = say(&mut channel, &Message::Accept(accept)).and_then(|()| session.run(channel));
        match &ended {
            Ok(summary) => progress.event(&Event::Finished {
                session: number,
                summary,
            }),
            Err(error) => progress.event(&Event::Failed {
                session: number,
                error,
            }),
        }
        ended
    }
}

fn decline(channel: &mut Channel, reason: Decline) -> Result<()> {
    let peer = channel.peer;
    say_last(channel, &Message::Declined(reason.clone()))?;
    Err(Error::Declined { peer, reason })
}

fn secret() -> Result<LaneSecret> {
    let mut secret = [0; 32];
    aws_lc_rs::rand::fill(&mut secret).map_err(|_| Error::State {
        path: "/dev/urandom".into(),
        what: "gives no random numbers".into(),
    })?;
    Ok(LaneSecret(secret))
}

/// A session that counts as running, until it is dropped.
struct Running<'a>(&'a Shared);

impl<'a> Running<'a> {
    /// None where there are too many.
    fn new(shared: &'a Shared) -> Option<Self> {
        let most = if shared.options.once { 1 } else { MAX_SESSIONS };
        let mut state = shared.state();
        if state.running >= most || state.first.is_some() {
            return None;
        }
        state.running += 1;
        Some(Self(shared))
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.state().running -= 1;
        self.0.changed.notify_all();
        self.0.wake();
    }
}

/// A session among those that lanes can join, until it is dropped.
struct Registered<'a>(&'a Shared, LaneSecret);

impl Drop for Registered<'_> {
    fn drop(&mut self) {
        self.0.state().sessions.remove(&self.1);
    }
}
