//! `Proxy`: a network between sender and receiver that counts, stops and breaks when told to.
//!
//! "Up" is from the sender to the receiver. Connections count from 0 in the order in which they
//! are opened: the control connection of the first session, then its lanes, and so on.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use super::Watched;

#[derive(Default)]
struct State {
    connections: Vec<Connection>,
    /// Where new connections go.
    target: Option<SocketAddr>,
    /// No more than so many bytes go up, over all connections.
    limit: Option<u64>,
    /// Nothing goes either way any more, not even the end of a connection.
    stalled: bool,
    up: u64,
    down: u64,
    closed: bool,
}

impl State {
    /// Whether the end of this connection is not to be passed on.
    fn is_silent(&self, number: usize) -> bool {
        self.stalled || self.connections[number].abandoned
    }
}

struct Connection {
    client: TcpStream,
    server: TcpStream,
    up: u64,
    cut: bool,
    /// The receiver is not to notice the end of it.
    abandoned: bool,
}

impl Connection {
    /// Cuts the sender's side alone, as a network that loses everything.
    fn abandon(&mut self) {
        self.cut = true;
        self.abandoned = true;
        let _ = self.client.shutdown(Shutdown::Both);
    }

    fn cut(&mut self) {
        self.cut = true;
        // One that is gone already needs no cutting.
        let _ = self.client.shutdown(Shutdown::Both);
        let _ = self.server.shutdown(Shutdown::Both);
    }
}

/// A proxy in front of a receiver. Cuts everything when dropped.
pub struct Proxy {
    addr: SocketAddr,
    state: Arc<Watched<State>>,
    acceptor: Option<thread::JoinHandle<()>>,
}

impl Proxy {
    pub fn new(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let state = Arc::new(Watched::new(State {
            target: Some(target),
            ..State::default()
        }));
        let shared = state.clone();
        let acceptor = thread::spawn(move || {
            for client in listener.incoming() {
                if shared.lock().closed {
                    return;
                }
                connect(client.unwrap(), &shared);
            }
        });
        Self {
            addr,
            state,
            acceptor: Some(acceptor),
        }
    }

    /// Where it listens, as an argument of `xfer send`.
    pub fn target(&self) -> String {
        self.addr.to_string()
    }

    /// Leads new connections to another receiver; those that there are stay as they are.
    pub fn lead_to(&self, target: SocketAddr) {
        self.state.update(|state| state.target = Some(target));
    }

    /// How many bytes have gone up and down so far, over all connections.
    pub fn passed(&self) -> (u64, u64) {
        let state = self.state.lock();
        (state.up, state.down)
    }

    /// How many bytes have gone up on the connections from this one on.
    pub fn passed_from(&self, first: usize) -> u64 {
        let state = self.state.lock();
        state.connections.iter().skip(first).map(|c| c.up).sum()
    }

    /// How many connections there have been.
    pub fn connections(&self) -> usize {
        self.state.lock().connections.len()
    }

    /// Lets no more bytes up than these, counted from the beginning, until [`Self::release`].
    pub fn hold_at(&self, bytes: u64) {
        self.state.update(|state| state.limit = Some(bytes));
    }

    /// Lets no more bytes up, from now on.
    pub fn hold(&self) {
        self.state.update(|state| state.limit = Some(state.up));
    }

    pub fn release(&self) {
        self.state.update(|state| state.limit = None);
    }

    /// Lets nothing through any more in either direction, as a network whose cable was pulled:
    /// neither side hears of the other's end.
    pub fn stall(&self) {
        self.state.update(|state| state.stalled = true);
    }

    /// Waits until so many bytes have gone up.
    #[track_caller]
    pub fn wait_for_up(&self, bytes: u64) {
        let reached = self.state.wait(|state| (state.up >= bytes).then_some(()));
        assert!(reached.is_some(), "{:?} of {bytes} bytes", self.passed());
    }

    /// Waits until so many bytes have gone up on some connection but the first: a lane. Says
    /// which.
    #[track_caller]
    pub fn wait_for_lane(&self, bytes: u64) -> usize {
        let lane = self.state.wait(|state| {
            let mut lanes = state.connections.iter().enumerate().skip(1);
            lanes.find(|(_, c)| c.up >= bytes && !c.cut).map(|(n, _)| n)
        });
        lane.expect("no lane has moved so much")
    }

    /// Waits until there have been so many connections.
    #[track_caller]
    pub fn wait_for_connections(&self, count: usize) {
        let reached = self
            .state
            .wait(|state| (state.connections.len() >= count).then_some(()));
        assert!(reached.is_some(), "{} of {count}", self.connections());
    }

    /// Cuts one connection.
    pub fn cut(&self, connection: usize) {
        self.state
            .update(|state| state.connections[connection].cut());
    }

    /// Cuts all connections that there are for the sender; to the receiver they look as if they
    /// were just silent. New ones are fine.
    pub fn abandon_all(&self) {
        self.state
            .update(|state| state.connections.iter_mut().for_each(Connection::abandon));
    }

    /// Cuts all connections that there are; new ones are fine.
    pub fn cut_all(&self) {
        self.state
            .update(|state| state.connections.iter_mut().for_each(Connection::cut));
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.state.update(|state| state.closed = true);
        self.cut_all();
        // Wakes the one who accepts.
        let _ = TcpStream::connect(self.addr);
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
    }
}

fn connect(client: TcpStream, state: &Arc<Watched<State>>) {
    let target = state.lock().target;
    // A receiver that is gone shows as a connection that ends at once.
    let Some(Ok(server)) = target.map(TcpStream::connect) else {
        return;
    };
    let clone = |stream: &TcpStream| stream.try_clone().unwrap();
    let connection = Connection {
        client: clone(&client),
        server: clone(&server),
        up: 0,
        cut: false,
        abandoned: false,
    };
    let number = state.update(|s| {
        s.connections.push(connection);
        s.connections.len() - 1
    });
    let (from, to, shared) = (clone(&client), clone(&server), state.clone());
    thread::spawn(move || {
        let is_over = || shared.lock().is_silent(number);
        pump(from, to, |n| go_up(&shared, number, n), is_over);
    });
    let shared = state.clone();
    thread::spawn(move || {
        let is_over = || shared.lock().is_silent(number);
        pump(server, client, |n| go_down(&shared, number, n), is_over);
    });
}

/// Asks for leave to send `n` bytes up, and waits for it. Says how many may go; none at all on a
/// connection that is cut.
fn go_up(state: &Watched<State>, number: usize, n: usize) -> Option<usize> {
    let allowed = state.wait_forever(|s| {
        if s.connections[number].cut || s.closed {
            return Some(None);
        }
        if s.stalled {
            return None;
        }
        let room = s.limit.map_or(u64::MAX, |limit| limit.saturating_sub(s.up));
        let n = usize::try_from(room).unwrap_or(n).min(n);
        if n == 0 {
            return None;
        }
        s.up += n as u64;
        s.connections[number].up += n as u64;
        Some(Some(n))
    });
    state.update(|_| ());
    allowed
}

/// The same for the way down, where only a network that stalls stops anything.
fn go_down(state: &Watched<State>, number: usize, n: usize) -> Option<usize> {
    let allowed = state.wait_forever(|s| {
        if s.stalled && !s.connections[number].cut && !s.closed {
            return None;
        }
        s.down += n as u64;
        Some(Some(n))
    });
    state.update(|_| ());
    allowed
}

/// Passes on what comes, and how it ends, unless that `is_over`.
fn pump(
    mut from: TcpStream,
    mut to: TcpStream,
    mut leave: impl FnMut(usize) -> Option<usize>,
    is_over: impl Fn() -> bool,
) {
    let mut buffer = vec![0; 64 * 1024];
    let end = loop {
        let n = match from.read(&mut buffer) {
            Ok(0) => break Shutdown::Write,
            Ok(n) => n,
            Err(_) => break Shutdown::Both,
        };
        let mut sent = 0;
        while sent < n {
            let Some(allowed) = leave(n - sent) else {
                return;
            };
            if to.write_all(&buffer[sent..sent + allowed]).is_err() {
                if !is_over() {
                    let _ = from.shutdown(Shutdown::Both);
                }
                return;
            }
            sent += allowed;
        }
    };
    if !is_over() {
        let _ = to.shutdown(end);
    }
}
