//! Threads: the one place that starts them, and that turns a panic of one into an error.
//!
//! Must not start one that nobody hears of when it panics. A thread that stops without a word
//! leaves others waiting for it, while the connection goes on pinging: so each one is given what
//! to do then. A thread of a session ends its session, that of a connection the connection. (The
//! screen's, and the question about pairing, may fail unheard: nothing waits for them.)
//!
//! # Threads
//!
//! | [`Worker`] | owns | may wait for |
//! |---|---|---|
//! | (the caller of `Receiver::run`) | the listening socket | connections; at the end, every session |
//! | `Connection` | a connection of a receiver, from its first byte; of a session its control connection, or a lane | its peer, within deadlines; the user, who decides; while pairing, its turn among other attempts; as control: that the planner and the writer get on, so that the peer waits too; as lane: that a finisher is done, that a file may be open, that the first missing chunk comes on another lane, and with `--stdout` whoever reads the output |
//! | `Control` | the sender's control connection; the thread that called for the session | its peer, within deadlines; briefly, a lane that is opening a file; no other thread of the session, until that is over |
//! | `Writer` | the writing half of a control connection | the outbox; its peer, within a deadline |
//! | `Walk` | the walk over what is sent | the disk; the announcer, when it is far ahead of it |
//! | `Announcer` | the manifest | the walk; credit, which outcomes give back |
//! | `Lane` of a sender | a connection, and what it reads | the queue; the disk; the input of a stream; its share of `--limit`; its peer |
//! | (`Lane`, `Control` of a receiver) | names for panics only: the thread is its `Connection` | – |
//! | `Planner` | what is decided about entries, in the manifest's order | the control connection's thread; the disk; the hasher, and room in the outbox, before removals; another session of the same sender that has the folder, for 45 s |
//! | `Hasher` | what is told of held chunks | the planner; the disk; the outbox, when that is full; the sender's answers; another session that has the partial, for 45 s; a partial to close, while 64 are open |
//! | `Finisher` | giving files their names: those of more than one chunk, and small ones that replace others, where the session syncs; copies and sums | the disk, and its turn to hash a hole, and nothing else: lanes may wait for it |
//! | `Command` of a receiver | what a command puts out, and the writing half of its peer's connection | the command; its peer, which its `Connection` watches |
//! | `Command` of a dialer | the writing half of the connection | time; that the command ends, or nobody reads its output |
//! | `OnDone` | what runs behind sessions, one after the other | the sessions; what it runs, for an hour at most |
//! | `LastWords` | closing a session's connections | the peer's end, for as long as last words take |
//! | `Connect` | one call to the system that nobody can interrupt: the resolver; an attempt to connect, which its search can end | the network |
//! | `Pairing` | asking the user to go on with pairing | the user |
//! | `Local` of a receiver | the socket by which other processes of this user find it | these, for seconds |
//! | `Discovery` | the daemon that speaks multicast DNS (a thread of its own, which `mdns-sd` starts), and whom that has seen; for a search, what tells it of them | that daemon; time |
//! | `Speaker` | what its user says in somebody's room | the user; its share of lines in a second; the outbox, when that is full |
//! | `Input` | what is typed, or comes from standard input | the user; the speaker, or the room, when much waits |
//! | `Ui`, `Signals` | the screen; signals | time; signals |
//!
//! A lane may wait to open one more file, which what comes on the control connection makes
//! possible; neither the planner nor a finisher ever waits for a lane, but for the planner with
//! `--stdout`. A thread that reads a control connection decodes and hands on, and neither reads nor
//! writes a file; but for a mirror's questions: while the receiver waits for the answers, there is
//! nothing else to hear.
//!
//! # Locks
//!
//! A thread that has one of these may take one further down, and none further up nor in the same
//! row. What is not here is held alone, and taken by nobody who has one of these.
//!
//! | lock | what is behind it |
//! |---|---|
//! | `receive`: what is being hashed | held while a file is |
//! | `receive`: whose turn among `Turns` it is | held while a piece of a hole is hashed for a list of sums; a finisher takes no other with it |
//! | `serve`: the sessions | who runs, who may join, how the first one ended |
//! | `serve`: the room | who is in it, and in what order things happen there; events are told with it held |
//! | `send`: `EntryTable`; `receive`: the tables of wanted and of large files | entries without an outcome |
//! | `send`: `QueueState` | what waits for a lane |
//! | a file: `send`: what is open of it, what was sent of it; `receive`: its state, or the one file of an `Output` | an attempt and its chunks |
//! | `receive`: `OpenCounts` | which files may be open |
//! | `receive`: `LaneCounts` | how many lanes there are, and wait |
//! | the store's own; among themselves: `opening`, links that take a place; the mark; failed syncs; file systems, failed folders, `InUse`, names, a mirror's surplus, a session's claims | partials, names, claims |
//! | `receive`: `CountedEntries` | a session's summary and the order of its messages |
//! | `LinkState`, when the peer was last heard | a session's error and connections |
//! | `PoolTaken`, the list of `WatchedPeers`, a session's progress | what all sessions have, and who is known |
//! | `OutboxState`, `CreditState`, `receive`: the queues | what waits to be written, to be announced, to be done |
//! | the user interface; among themselves: `asking`, screen, state | what is shown; events are told to it with no lock of the sender's held |

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread::{self, JoinHandle, Scope};

/// The kinds of threads. See the table above.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Worker {
    /// Serves a connection of a receiver, whatever it turns out to be.
    Connection,
    /// Reads a sender's control connection.
    Control,
    /// Writes a control connection.
    Writer,
    /// Walks over what is sent.
    Walk,
    /// Announces what the walk finds.
    Announcer,
    /// Sends or receives the data of files.
    Lane,
    /// Decides about entries.
    Planner,
    /// Hashes what the receiver holds.
    Hasher,
    /// Gives files their names.
    Finisher,
    /// Passes on what a command puts out, or keeps its connection alive.
    Command,
    /// Has run what is to run behind sessions.
    OnDone,
    /// Closes connections when the last words have been heard.
    LastWords,
    /// Does something that nobody can interrupt.
    Connect,
    /// Asks whether pairing is to go on.
    Pairing,
    /// Answers other processes of this user.
    Local,
    /// Announces this machine to the network, or hears of others.
    Discovery,
    /// Says in a room what its user types.
    Speaker,
    /// Reads what the user types.
    Input,
    /// Shows what happens.
    Ui,
    /// Hears signals.
    Signals,
}

impl Worker {
    /// Its name, as a debugger shows it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Connection => "connection",
            Self::Control => "control",
            Self::Writer => "writer",
            Self::Walk => "walk",
            Self::Announcer => "announcer",
            Self::Lane => "lane",
            Self::Planner => "planner",
            Self::Hasher => "hasher",
            Self::Finisher => "finisher",
            Self::Command => "command",
            Self::OnDone => "on done",
            Self::LastWords => "last words",
            Self::Connect => "connect",
            Self::Pairing => "pairing",
            Self::Local => "local",
            Self::Discovery => "discovery",
            Self::Speaker => "speaker",
            Self::Input => "input",
            Self::Ui => "ui",
            Self::Signals => "signals",
        }
    }
}

/// A worker panicked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Panicked {
    /// Which one.
    pub worker: Worker,
}

/// Starts a thread that ends before `scope` does. When it panics, `on_panic` is told.
pub fn spawn_scoped<'scope>(
    scope: &'scope Scope<'scope, '_>,
    worker: Worker,
    run: impl FnOnce() + Send + 'scope,
    on_panic: impl FnOnce(Panicked) + Send + 'scope,
) -> io::Result<()> {
    let thread = thread::Builder::new().name(worker.name().to_owned());
    let spawned = thread.spawn_scoped(scope, move || guarded(worker, run, on_panic));
    spawned.map(drop)
}

/// Starts a thread that goes on for as long as it likes. When it panics, `on_panic` is told.
pub fn spawn_detached(
    worker: Worker,
    run: impl FnOnce() + Send + 'static,
    on_panic: impl FnOnce(Panicked) + Send + 'static,
) -> io::Result<JoinHandle<()>> {
    let thread = thread::Builder::new().name(worker.name().to_owned());
    thread.spawn(move || guarded(worker, run, on_panic))
}

/// Does a worker's work in the thread that calls. When it panics, `on_panic` is told.
pub fn guarded(worker: Worker, run: impl FnOnce(), on_panic: impl FnOnce(Panicked)) {
    caught(worker, run).unwrap_or_else(on_panic);
}

/// Does a worker's work in the thread that calls, and says if it panics.
pub fn caught<T>(worker: Worker, run: impl FnOnce() -> T) -> Result<T, Panicked> {
    // What a panic leaves behind is a session that is over, or a connection: nothing that goes on
    // looks at that again, but for locks, which each are whole between two statements.
    catch_unwind(AssertUnwindSafe(run)).map_err(|_| Panicked { worker })
}

/// Where a test can have a worker panic: at each piece of its work.
#[cfg(not(feature = "testing"))]
#[inline(always)]
pub fn checkpoint(_: Worker) {}

/// Panics where `XFER_TEST_PANIC` names this worker; with `@N` behind it, only the Nth time.
#[cfg(feature = "testing")]
#[allow(clippy::panic)]
pub fn checkpoint(worker: Worker) {
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    static WANTED: LazyLock<Option<(String, u64)>> = LazyLock::new(|| {
        let wanted = std::env::var("XFER_TEST_PANIC").ok()?;
        match wanted.split_once('@') {
            Some((name, nth)) => Some((name.to_owned(), nth.parse().ok()?)),
            None => Some((wanted, 1)),
        }
    });
    static PASSED: AtomicU64 = AtomicU64::new(0);

    if let Some((name, nth)) = &*WANTED
        && name == worker.name()
        && PASSED.fetch_add(1, Ordering::Relaxed) + 1 == *nth
    {
        panic!("a test wants it");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn a_panic_becomes_an_error_of_whoever_asked() {
        let (tell, told) = mpsc::channel();
        let fail = |tell: &mpsc::Sender<Panicked>| {
            let tell = tell.clone();
            move |error| tell.send(error).unwrap()
        };
        thread::scope(|scope| {
            spawn_scoped(scope, Worker::Lane, || panic!("one"), fail(&tell)).unwrap();
        });
        let detached = spawn_detached(Worker::Planner, || panic!("two"), fail(&tell)).unwrap();
        detached.join().unwrap();
        let failed: Vec<_> = told.try_iter().map(|failed| failed.worker).collect();
        assert_eq!(failed, [Worker::Lane, Worker::Planner]);
    }
}
