//! What the engines report as they work: typed events, and counters to poll.
//!
//! Must not make sentences: implementations of [`Progress`] do. The engines increment counters
//! without locks. Events are rare: per session, per large file, per entry that needs a word.

use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use crate::model::command::CommandEnd;
use crate::model::entry::{Entry, Kind};
use crate::model::error::Error;
use crate::model::outcome::{
    Ability, LeftOut, NotKept, OnConflict, Outcome, Role, Shares, Summary, Wish,
};
use crate::model::prompt::Caller;
use crate::model::relpath::RelPath;
use crate::model::room::RoomEvent;
use crate::model::talk::TalkLine;
use crate::model::web::WebEvent;

/// Hears what happens. Called from many threads at once; must return soon.
pub trait Progress: Send + Sync + fmt::Debug {
    /// Something happened.
    fn event(&self, event: &Event<'_>);

    /// Whether [`Event::Entry`] is wanted for entries that ended well under their own name too.
    fn wants_every_entry(&self) -> bool {
        false
    }
}

/// Why a peer was let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Trust {
    /// It is the same user on the same machine.
    SameUser,
    /// It is paired with this machine.
    Paired,
    /// Both sides agreed to take part with anyone.
    Open,
    /// It is a browser that knows the address of the page.
    Link,
}

/// The other side of a session.
#[derive(Debug, Clone)]
pub struct Peer {
    /// What it is called here, or else calls itself, made fit to be shown.
    pub name: String,
    /// Its address.
    pub addr: SocketAddr,
    /// The fingerprint of its key.
    pub fingerprint: String,
    /// Why it was let in.
    pub trust: Trust,
    /// Whether it was paired with just now.
    pub is_new: bool,
}

impl Peer {
    /// Who it is, without why it was let in.
    #[must_use]
    pub fn caller(&self) -> Caller {
        Caller {
            name: self.name.clone(),
            addr: self.addr,
            fingerprint: self.fingerprint.clone(),
        }
    }
}

/// Why a machine was thought to be the one that is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mistaken {
    /// That one was there last.
    Place,
    /// It announces itself by that name.
    Name,
}

/// Something that happened.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// The receiver listens.
    Listening {
        /// Where; the port is a real one.
        addr: SocketAddr,
        /// The receive directory.
        dir: &'a Path,
    },
    /// This machine shares files.
    Sharing {
        /// Where it listens; the port is a real one.
        addr: SocketAddr,
        /// How many files and folders its user has named.
        named: u64,
        /// The name of the first.
        first: &'a str,
    },
    /// A connection came to nothing: not xfer, another version, not let in.
    Refused {
        /// From where.
        peer: SocketAddr,
        /// Why.
        error: &'a Error,
    },
    /// This machine and another one know each other from now on.
    Paired {
        /// The other one.
        caller: &'a Caller,
        /// What this side does between them.
        role: Role,
        /// What the one of them that listens lets the other do.
        ability: Ability,
    },
    /// The receiver asks its user about the offer; the sender waits.
    Waiting {
        /// The receiver.
        peer: &'a Peer,
    },
    /// The receiver cannot accept connections for now. It says so once, and tries again.
    NotAccepting {
        /// Why.
        error: &'a Error,
    },
    /// The network has been told that this machine is here.
    Announced {
        /// What it is called there: its own name, unless another machine has that already.
        name: &'a str,
    },
    /// The network is not told that this machine is here, or not any more.
    NotAnnounced {
        /// Why.
        error: &'a Error,
    },
    /// The machine that is dialed has a name: first the one that the user typed, then the one that
    /// it is known by, or gives itself.
    Named {
        /// The name.
        name: &'a str,
    },
    /// The sender is connecting.
    Connecting {
        /// Where to.
        addr: SocketAddr,
    },
    /// A machine is looked for by its name, and is not where it was last.
    Searching {
        /// The name.
        name: &'a str,
    },
    /// A machine answers, or announces itself, where or as the one that is looked for, and has
    /// another key: it is told nothing.
    PassedOver {
        /// The name of the one that is looked for.
        name: &'a str,
        /// Where.
        addr: SocketAddr,
        /// Why it is thought to be the one.
        why: Mistaken,
        /// What it is called here, if it is known.
        is: Option<&'a str>,
    },
    /// The receiver is not there yet, and is waited for.
    Awaiting {
        /// The name or host that was given.
        name: &'a str,
    },
    /// A session begins.
    Started {
        /// A number for it, unique in this process.
        session: u64,
        /// What this side does in it.
        role: Role,
        /// Whether this side dialed: then it is what its user has asked for, and the only one.
        dialed: bool,
        /// The other side.
        peer: &'a Peer,
        /// What the sender would like done with what is there.
        wish: Wish,
        /// What becomes of entries whose name something else has.
        conflict: OnConflict,
        /// Where this side stores what it receives; none where it sends, or stores nothing.
        dir: Option<&'a Path>,
        /// Its counters, to poll.
        counters: &'a Arc<Counters>,
    },
    /// A file of more than one chunk begins to move.
    FileStarted {
        /// The session.
        session: u64,
        /// Its place in the manifest.
        entry: u64,
        /// Its name.
        path: &'a RelPath,
        /// Its size, in bytes.
        size: u64,
        /// How many of its bytes the receiver has verified, to poll.
        verified: &'a Arc<AtomicU64>,
    },
    /// Such a file ended, well or not.
    FileEnded {
        /// The session.
        session: u64,
        /// Its place in the manifest.
        entry: u64,
    },
    /// An entry ended.
    Entry {
        /// The session.
        session: u64,
        /// Its name; where that could not be sent, as the system has it.
        path: &'a Path,
        /// How large it is; 0 where it is no file, or that is not known.
        size: u64,
        /// Whether it is known to be a file.
        is_file: bool,
        /// How.
        outcome: &'a Outcome,
    },
    /// Something was removed, because the sender does not have it; or would be, in a dry run.
    Removed {
        /// The session.
        session: u64,
        /// Its name.
        path: &'a RelPath,
    },
    /// The sender does not send something that its user did not want to be sent. Only said
    /// where [`Progress::wants_every_entry`], or nobody decided that it should not be; what
    /// filters leave out [`Counters::left_out`] counts.
    LeftOut {
        /// The session.
        session: u64,
        /// Where it is.
        path: &'a Path,
        /// Why.
        why: LeftOut,
    },
    /// Something went wrong of which nothing fails.
    Warning {
        /// The session.
        session: u64,
        /// What.
        error: &'a Error,
    },
    /// Something could not be kept of entries that are stored. Once a session for each such thing.
    NotKept {
        /// The session.
        session: u64,
        /// What, and of how many.
        not_kept: &'a NotKept,
    },
    /// What this side has said was shown.
    Shown {
        /// Where.
        peer: &'a Peer,
    },
    /// Somebody has replied to it.
    Replied {
        /// Who.
        peer: &'a Peer,
        /// What.
        line: &'a TalkLine,
    },
    /// A command begins to run here, for a peer.
    CommandStarted {
        /// A number for it, unique in this process.
        run: u64,
        /// Who has it run.
        peer: &'a Peer,
        /// Its name.
        name: &'a str,
    },
    /// A command that ran here for a peer has ended.
    CommandEnded {
        /// Its number.
        run: u64,
        /// Who has had it run.
        peer: &'a Peer,
        /// Its name.
        name: &'a str,
        /// How it ended.
        end: &'a CommandEnd,
        /// How many bytes of its output were passed on.
        bytes: u64,
        /// How long it ran.
        time: Duration,
    },
    /// What runs behind a session has ended.
    OnDoneEnded {
        /// Whose session it was.
        peer: &'a str,
        /// How it ended.
        end: &'a CommandEnd,
        /// The end of what it said to standard error.
        said: &'a str,
    },
    /// The connection is lost, and the sender will try again.
    Retrying {
        /// The session that ended.
        session: u64,
        /// What happened.
        error: &'a Error,
        /// When it will try again.
        wait: Duration,
    },
    /// The session ended in order.
    Finished {
        /// The session.
        session: u64,
        /// How, in numbers.
        summary: &'a Summary,
        /// What it and all that was done before it came to, where a sender went on in it after a
        /// lost connection; else the same.
        all: &'a Summary,
    },
    /// Something happened in a room.
    Room(RoomEvent<'a>),
    /// A browser did something.
    Web(WebEvent<'a>),
    /// The session ended out of order.
    Failed {
        /// The session.
        session: u64,
        /// Why.
        error: &'a Error,
    },
}

/// What a session has done so far. Totals grow until `scanned` is set; what is done grows, but
/// for the bytes of a file that starts anew.
#[derive(Debug, Default)]
pub struct Counters {
    /// Entries found so far.
    pub entries_total: AtomicU64,
    /// Bytes of the files found so far.
    pub bytes_total: AtomicU64,
    /// What was found and left out so far, because the sender's user did not want it to be sent.
    pub left_out: AtomicU64,
    /// Whether these are all.
    pub scanned: AtomicBool,
    /// Entries that have their outcome.
    pub entries_done: AtomicU64,
    /// Bytes that are done: verified by the receiver, or had already.
    pub bytes_done: AtomicU64,
    /// Of these, bytes that did not have to travel.
    pub bytes_kept: AtomicU64,
    /// Bytes written to or read from this session's connections, all told.
    pub bytes_wire: AtomicU64,
    /// What a mirror deletes, once both sides agree on it; 0 before that.
    pub to_delete: AtomicU64,
    /// How much of that is deleted.
    pub deleted: AtomicU64,
    /// Whether the other side's user is asked how much a mirror may delete.
    pub asking: AtomicBool,
    /// Whether what is sent is a stream, which cannot be resumed.
    pub is_stream: AtomicBool,
    /// The entries that are in no folder: what the sender's user has named.
    pub tops: Tops,
    /// What the lanes spent their time with.
    pub times: Times,
}

/// The entries of a session that are in no folder: the first of them, and how many there are.
#[derive(Debug, Default)]
pub struct Tops {
    first: OnceLock<RelPath>,
    count: AtomicU64,
}

impl Tops {
    /// Takes note of an entry.
    pub fn note(&self, path: &RelPath) {
        if path.parent_bytes().is_none() {
            self.first.get_or_init(|| path.clone());
            self.count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The only one, if there is one so far.
    #[must_use]
    pub fn only(&self) -> Option<&RelPath> {
        self.first.get().filter(|_| self.count() == 1)
    }

    /// How many there are so far.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }
}

/// What lanes spent their time with, in nanoseconds of all of them.
#[derive(Debug, Default)]
pub struct Times {
    /// Reading or writing files.
    pub disk: AtomicU64,
    /// Hashing, compressing.
    pub processor: AtomicU64,
    /// Sending, or receiving and waiting for more of it.
    pub network: AtomicU64,
    /// Waiting for something to send.
    pub waiting: AtomicU64,
}

impl Times {
    /// The share of each.
    #[must_use]
    pub fn shares(&self) -> Shares {
        let [disk, processor, network, waiting] =
            [&self.disk, &self.processor, &self.network, &self.waiting].map(Counters::get);
        let all = u128::from(disk) + u128::from(processor) + u128::from(network);
        let all = (all + u128::from(waiting)).max(1);
        let share = |part: u64| u16::try_from(u128::from(part) * 1000 / all).unwrap_or(1000);
        Shares {
            disk: share(disk),
            processor: share(processor),
            network: share(network),
            waiting: share(waiting),
        }
    }
}

/// A clock that a lane has: what time passes is somebody's.
#[derive(Debug)]
pub struct Clock<'a> {
    times: &'a Times,
    since: Instant,
}

impl<'a> Clock<'a> {
    /// Begins to measure.
    #[must_use]
    pub fn new(times: &'a Times) -> Self {
        let since = Instant::now();
        Self { times, since }
    }

    /// The time since the last call, which is taken for what `of` says.
    pub fn lap(&mut self, of: impl FnOnce(&Times) -> &AtomicU64) -> Duration {
        let now = Instant::now();
        let time = now.saturating_duration_since(self.since);
        self.since = now;
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        Counters::add(of(self.times), nanos);
        time
    }
}

impl Counters {
    /// Takes note of an entry that is announced.
    pub fn note(&self, entry: &Entry) {
        self.tops.note(&entry.path);
        if matches!(entry.kind, Kind::Stream) {
            self.is_stream.store(true, Ordering::Relaxed);
        }
    }

    /// Adds to a counter.
    pub fn add(counter: &AtomicU64, n: u64) {
        counter.fetch_add(n, Ordering::Relaxed);
    }

    /// Reads a counter.
    pub fn get(counter: &AtomicU64) -> u64 {
        counter.load(Ordering::Relaxed)
    }
}

/// Hears nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Progress for Silent {
    fn event(&self, _: &Event<'_>) {}
}
