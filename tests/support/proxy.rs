//! `Proxy`: a network between sender and receiver that counts, stops and breaks when told to, and
//! that is late, slow or silent on some connections and not on others, so that things arrive in
//! another order than they were sent in.
//!
//! "Up" is from the sender to the receiver. Connections count from 0 in the order in which they
//! are opened: the control connection of the first session, then its lanes, and so on.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use super::Watched;

/// How many pieces can be on their way where a connection is late: 64 KiB each at most.
const ON_THE_WAY: usize = 128;

/// A direction of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Way {
    /// From the sender to the receiver.
    Up,
    Down,
}

/// What is the matter with one direction of a connection.
#[derive(Debug, Clone, Copy, Default)]
struct Shape {
    /// How much later everything arrives.
    late: Duration,
    /// How many bytes arrive in a second.
    rate: Option<u64>,
    /// Nothing arrives for now.
    held: bool,
}

#[derive(Default)]
struct State {
    connections: Vec<Connection>,
    /// By the number of a connection, which there need not be yet.
    shapes: HashMap<(usize, Way), Shape>,
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

    fn shape(&self, number: usize, way: Way) -> Shape {
        self.shapes.get(&(number, way)).copied().unwrap_or_default()
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

    fn shape(&self, connection: usize, way: Way, change: impl FnOnce(&mut Shape)) {
        let key = (connection, way);
        self.state
            .update(|state| change(state.shapes.entry(key).or_default()));
    }

    /// Has everything arrive later by so much, on a connection that there is not yet.
    pub fn delay(&self, connection: usize, way: Way, late: Duration) {
        assert!(connection >= self.connections(), "it is there already");
        self.shape(connection, way, |shape| shape.late = late);
    }

    /// Has no more than so many bytes arrive in a second.
    pub fn slow(&self, connection: usize, way: Way, rate: u64) {
        self.shape(connection, way, |shape| shape.rate = Some(rate));
    }

    /// Has nothing arrive on one connection, which there need not be yet, until it is let go.
    pub fn hold_one(&self, connection: usize, way: Way) {
        self.shape(connection, way, |shape| shape.held = true);
    }

    pub fn let_go(&self, connection: usize, way: Way) {
        self.shape(connection, way, |shape| shape.held = false);
    }

    /// Waits until so many bytes have gone up on one connection.
    #[track_caller]
    pub fn wait_for_up_on(&self, connection: usize, bytes: u64) {
        let reached = self.state.wait(|state| {
            let up = state.connections.get(connection).map_or(0, |c| c.up);
            (up >= bytes).then_some(())
        });
        assert!(reached.is_some(), "connection {connection} is stuck");
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

fn clone(stream: &TcpStream) -> TcpStream {
    stream.try_clone().unwrap()
}

fn connect(client: TcpStream, state: &Arc<Watched<State>>) {
    let target = state.lock().target;
    // A receiver that is gone shows as a connection that ends at once.
    let Some(Ok(server)) = target.map(TcpStream::connect) else {
        return;
    };
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
    for (way, from, to) in [
        (Way::Up, clone(&client), clone(&server)),
        (Way::Down, server, client),
    ] {
        let shared = state.clone();
        thread::spawn(move || {
            let is_over = || shared.lock().is_silent(number);
            let leave = |n| go(&shared, number, way, n);
            let late = shared.lock().shape(number, way).late;
            match late.is_zero() {
                true => pump(clone(&from), &from, to, leave, is_over),
                false => pump(Late::new(clone(&from), late), &from, to, leave, is_over),
            }
        });
    }
}

/// Asks for leave to pass `n` bytes on, and waits for it. Says how many may go; none at all on a
/// connection that is cut.
fn go(state: &Watched<State>, number: usize, way: Way, n: usize) -> Option<usize> {
    let allowed = state.wait_forever(|s| {
        if s.closed || s.connections[number].cut {
            // What was on its way down when a connection was cut arrives or not.
            return Some((way == Way::Down && !s.closed).then_some(n));
        }
        if s.stalled || s.shape(number, way).held {
            return None;
        }
        if way == Way::Down {
            s.down += n as u64;
            return Some(Some(n));
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
    if let (Some(n), Some(rate)) = (allowed, state.lock().shape(number, way).rate) {
        thread::sleep(Duration::from_secs_f64(n as f64 / rate as f64));
    }
    allowed
}

/// What is read, but later. It is taken from where it comes from at once: it is on its way.
struct Late {
    pieces: Receiver<(Instant, io::Result<Vec<u8>>)>,
    piece: Vec<u8>,
    at: usize,
}

impl Late {
    fn new(mut from: TcpStream, late: Duration) -> Self {
        let (send, pieces) = sync_channel(ON_THE_WAY);
        thread::spawn(move || {
            let mut buffer = vec![0; 64 * 1024];
            loop {
                let read = from.read(&mut buffer).map(|n| buffer[..n].to_vec());
                let ends = !matches!(&read, Ok(piece) if !piece.is_empty());
                // Nobody waits for it any more where the other side is gone.
                if send.send((Instant::now() + late, read)).is_err() || ends {
                    return;
                }
            }
        });
        Self {
            pieces,
            piece: Vec::new(),
            at: 0,
        }
    }
}

impl Read for Late {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.at == self.piece.len() {
            let Ok((due, piece)) = self.pieces.recv() else {
                return Ok(0);
            };
            thread::sleep(due.saturating_duration_since(Instant::now()));
            (self.piece, self.at) = (piece?, 0);
        }
        let n = (&self.piece[self.at..]).read(buffer)?;
        self.at += n;
        Ok(n)
    }
}

/// Passes on what comes, and how it ends, unless that `is_over`.
fn pump(
    mut read: impl Read,
    from: &TcpStream,
    mut to: TcpStream,
    mut leave: impl FnMut(usize) -> Option<usize>,
    is_over: impl Fn() -> bool,
) {
    let mut buffer = vec![0; 64 * 1024];
    let end = loop {
        let n = match read.read(&mut buffer) {
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
