//! The library's one error type: what happened, to which file or peer, and its source.
//!
//! Must not make sentences for people: its `Display` is short, for logs. Code that prints an error
//! matches on it.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

pub use crate::model::fault::{CryptoFault, HandshakeFault, PatternFault, StateFault, StateFile};
use crate::model::outcome::Ability;
use crate::model::outcome::{Decline, Role};
use crate::model::reason::AbortReason;

/// Shorthand for a result with this library's error.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What was done to a file or folder when it failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Action {
    /// To open it.
    #[error("open")]
    Open,
    /// To make it.
    #[error("create")]
    Create,
    /// To read it.
    #[error("read")]
    Read,
    /// To write it.
    #[error("write")]
    Write,
    /// To find what is to be sent.
    #[error("send")]
    Send,
    /// To read patterns of what is not to be sent.
    #[error("read patterns from")]
    ReadPatterns,
    /// To look at the folder that is to be received into.
    #[error("receive into")]
    ReceiveInto,
    /// To write into the folder that is received into.
    #[error("write into")]
    WriteInto,
    /// To add to the list of sums.
    #[error("add sums to")]
    AddSums,
    /// To sum a file that was received.
    #[error("sum")]
    Sum,
    /// To put the list of sums in order.
    #[error("sort")]
    SortSums,
    /// To write to standard output.
    #[error("write to")]
    WriteOutput,
    /// To make a pipe for it.
    #[error("make a pipe for")]
    Pipe,
}

/// An address that was tried in vain.
#[derive(Debug)]
pub struct Tried {
    /// The address.
    pub addr: SocketAddr,
    /// Why no connection came of it.
    pub error: Error,
}

/// A machine that announces itself, by its own word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundMachine {
    /// What it calls itself.
    pub name: String,
    /// What its announcement is called.
    pub instance: String,
    /// Where it listens.
    pub addr: SocketAddr,
    /// How the fingerprint begins that it says it has.
    pub fingerprint: String,
}

/// What was done to find a machine by its name.
#[derive(Debug)]
pub struct NotFound {
    /// The name.
    pub name: String,
    /// Where it was last, and when, in seconds since 1970, if it is known here.
    pub last: Option<(String, u64)>,
    /// The addresses that were tried.
    pub tried: Vec<Tried>,
    /// Those who were there, or said to be, and have another key.
    pub passed: Vec<Error>,
    /// What the resolver said, where that was no address.
    pub resolver: Option<io::Error>,
    /// Why nobody could be asked by multicast DNS, where that was so.
    pub deaf: Option<Box<Error>>,
    /// Who is there.
    pub found: Vec<FoundMachine>,
    /// Names of known machines that are nearly the same.
    pub near: Vec<String>,
}

fn listed(tried: &[Tried]) -> String {
    let each: Vec<_> = tried.iter().map(|tried| tried.error.to_string()).collect();
    each.join("; ")
}

/// Everything that can end a session or keep it from starting. What befalls a single entry is
/// not an error but an outcome ([`crate::model::outcome::Why`]): it never stops the rest.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Something about a local file or folder failed.
    #[error("{action} {}: {source}", path.display())]
    File {
        /// What was to be done.
        action: Action,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Two of the paths to send have the same last name, so they would land on each other.
    #[error("{} and {} have the same name", first.display(), second.display())]
    SameName {
        /// The first.
        first: PathBuf,
        /// The second.
        second: PathBuf,
    },
    /// A path to send has no last name that it could get on the other side.
    #[error("{} has no name", path.display())]
    NoName {
        /// The path.
        path: PathBuf,
    },
    /// A path to send, or a folder to receive into, is where this program keeps its own state.
    #[error("{} is xfer's own", path.display())]
    Own {
        /// The path.
        path: PathBuf,
    },
    /// A path to send is a pipe.
    #[error("{} is a pipe", path.display())]
    Pipe {
        /// The path.
        path: PathBuf,
    },
    /// A pattern of what is to be sent means nothing.
    #[error("pattern {pattern:?}: {fault}")]
    Pattern {
        /// The pattern; none where it is all of them together.
        pattern: Option<String>,
        /// What is wrong with it.
        fault: PatternFault,
    },
    /// A file of this program's own state cannot be used.
    #[error("{}: {fault}", path.display())]
    State {
        /// Which.
        file: StateFile,
        /// Where it is.
        path: PathBuf,
        /// What is wrong with it.
        fault: StateFault,
    },
    /// A host name has no address.
    #[error("resolve {host}: {source}")]
    Resolve {
        /// The name as it was given.
        host: String,
        /// What the resolver said.
        source: io::Error,
    },
    /// No connection could be made.
    #[error("connect to {addr}: {source}")]
    Connect {
        /// The address.
        addr: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// No connection could be made to any of several addresses.
    #[error("connect to {host}: {}", listed(tried))]
    Unreachable {
        /// The name that they have.
        host: String,
        /// What became of each.
        tried: Vec<Tried>,
    },
    /// No machine of a name was found.
    #[error("find {}", .0.name)]
    NotFound(Box<NotFound>),
    /// Several machines have a name, and nobody has said which one is meant.
    #[error("{} machines are called {name}", found.len())]
    Ambiguous {
        /// The name.
        name: String,
        /// All that have it.
        found: Vec<FoundMachine>,
    },
    /// The port could not be listened on.
    #[error("listen on {addr}: {source}")]
    Listen {
        /// The address.
        addr: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The network could not be asked who is there, nor told that this machine is.
    #[error("multicast DNS: {source}")]
    Discovery {
        /// What the system said.
        source: io::Error,
    },
    /// What answers there does not speak this protocol.
    #[error("{peer} is not xfer")]
    NotXfer {
        /// Where.
        peer: SocketAddr,
    },
    /// Somebody took the connection, and said nothing at all.
    #[error("{peer} does not answer")]
    Mute {
        /// Where.
        peer: SocketAddr,
    },
    /// The peer speaks another version of the protocol.
    #[error("{peer} speaks version {theirs}, not {ours}")]
    Version {
        /// Where.
        peer: SocketAddr,
        /// The peer's version.
        theirs: u16,
        /// The version spoken here.
        ours: u16,
    },
    /// The encrypted channel could not be set up.
    #[error("handshake with {peer}: {fault}")]
    Handshake {
        /// Where.
        peer: SocketAddr,
        /// Why not.
        fault: HandshakeFault,
    },
    /// The cryptographic library refused to work.
    #[error("cryptography: {fault}")]
    Crypto {
        /// What it could not do.
        fault: CryptoFault,
    },
    /// The user has no home directory, where this program's own state would be.
    #[error("no home directory")]
    NoHome,
    /// A folder is to have a quota, and what others send goes into it, too.
    #[error("quota of {}: shared with others", path.display())]
    SharedQuota {
        /// The folder.
        path: PathBuf,
    },
    /// The peer has the same role, so nobody would receive, or nobody send.
    #[error("{peer} is a {role:?} too")]
    SameRole {
        /// Where.
        peer: SocketAddr,
        /// The role that both have.
        role: Role,
    },
    /// The peer did not let this side in.
    #[error("{peer} declined: {reason}")]
    Declined {
        /// Where.
        peer: SocketAddr,
        /// The peer's reason.
        reason: Decline,
    },
    /// The peer's xfer cannot do what it is asked for: it is from before that.
    #[error("{peer} ({name}) cannot be asked to let this machine {ability}")]
    TooOld {
        /// Where.
        peer: SocketAddr,
        /// What it is called.
        name: String,
        /// What it would have to know of.
        ability: Ability,
    },
    /// The peer has shown what it was asked, and nobody there replies.
    #[error("{peer} ({name}) does not reply")]
    NoReply {
        /// Where.
        peer: SocketAddr,
        /// What it is called.
        name: String,
    },
    /// This side did not let the peer in.
    #[error("{peer} ({name}) was told: {reason}")]
    TurnedAway {
        /// Where.
        peer: SocketAddr,
        /// The name that the peer gives itself.
        name: String,
        /// What the peer was told.
        reason: Decline,
    },
    /// A machine that is known here, or is where a known one was, has another key.
    #[error("{peer} has key {seen}, not that of {name}, {known}")]
    Impostor {
        /// Where.
        peer: SocketAddr,
        /// The name of the known one.
        name: String,
        /// The key of the known one.
        known: String,
        /// The key that was seen.
        seen: String,
    },
    /// A machine that is known here is where another known one was.
    #[error("{peer} is {is}, not {name}")]
    OtherPeer {
        /// Where.
        peer: SocketAddr,
        /// The name of the one that was there.
        name: String,
        /// The name of the one that is there.
        is: String,
    },
    /// The peer shows a code, and nobody is there to type it.
    #[error("{peer} ({name}) shows a code")]
    CodeNeeded {
        /// Where.
        peer: SocketAddr,
        /// The name that the peer gives itself.
        name: String,
    },
    /// The peer was shown a code, and went without it.
    #[error("{peer} ({name}) typed no code")]
    NoCode {
        /// Where.
        peer: SocketAddr,
        /// The name that the peer gives itself.
        name: String,
    },
    /// The two sides do not have the same code, or not the same channel.
    #[error("{peer} ({name}) has another code")]
    WrongCode {
        /// Where.
        peer: SocketAddr,
        /// The name that the peer gives itself.
        name: String,
    },
    /// A connection that had not begun anything was closed, because there were too many.
    #[error("{peer} made room for newer connections")]
    Displaced {
        /// From where.
        peer: SocketAddr,
    },
    /// A session was ended because its sender may not send here any more.
    #[error("{peer} ({name}) may not send here any more")]
    Unpaired {
        /// Where.
        peer: SocketAddr,
        /// What the sender was called here.
        name: String,
    },
    /// A session was ended that stood still, because another one needed its place.
    #[error("{peer} ({name}) sent nothing for {seconds} s, and others waited")]
    Idle {
        /// Where.
        peer: SocketAddr,
        /// What the sender is called here.
        name: String,
        /// For how long, in seconds.
        seconds: u64,
    },
    /// The connection broke.
    #[error("lost {peer}: {source}")]
    Lost {
        /// Where.
        peer: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The peer has not said anything for so long that it must be gone.
    #[error("{peer} is silent for {seconds} s")]
    Silent {
        /// Where.
        peer: SocketAddr,
        /// For how long, in seconds.
        seconds: u64,
    },
    /// The peer is there, but what is sent to it does not arrive.
    #[error("nothing arrives at {peer} for {seconds} s")]
    Undelivered {
        /// Where.
        peer: SocketAddr,
        /// For how long, in seconds.
        seconds: u64,
        /// Whether only small packets do, as it seems.
        small_only: bool,
    },
    /// The peer broke the protocol.
    #[error("{peer} broke the protocol: {what}")]
    Protocol {
        /// Where.
        peer: SocketAddr,
        /// How.
        what: String,
    },
    /// The peer ended the session.
    #[error("{peer} ended it: {reason}")]
    Aborted {
        /// Where.
        peer: SocketAddr,
        /// Its reason.
        reason: AbortReason,
    },
    /// More was offered than one file, where there is only one place for it.
    #[error("more than one file")]
    NotOneFile,
    /// A stream could not be sent to its end, and what was read of it cannot be read again.
    #[error("stream used up: {source}")]
    Spent {
        /// Why not.
        source: Box<Error>,
    },
    /// The system would not start a thread.
    #[error("start a thread: {source}")]
    Thread {
        /// What it said.
        source: io::Error,
    },
    /// The process that starts commands could not be started.
    #[error("start the process that starts commands: {source}")]
    Starter {
        /// What the system said.
        source: io::Error,
    },
    /// A thread of this program panicked: a fault of xfer's.
    #[error("the {worker} thread panicked")]
    Panicked {
        /// Which one.
        worker: &'static str,
    },
    /// What was stored could not be brought to disk.
    #[error("sync {}: {source}", path.display())]
    Sync {
        /// The receive directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// All is well, but not all files that were received are in the list of sums.
    #[error("sums missing in {}", path.display())]
    Unsummed {
        /// The list.
        path: PathBuf,
    },
    /// The user ended it.
    #[error("interrupted")]
    Cancelled,
}

impl Error {
    /// An error of a local file.
    pub fn file(action: Action, path: impl AsRef<Path>, source: io::Error) -> Self {
        Self::File {
            action,
            path: path.as_ref().to_path_buf(),
            source,
        }
    }

    /// A broken rule of the protocol.
    pub fn protocol(peer: SocketAddr, what: impl fmt::Display) -> Self {
        Self::Protocol {
            peer,
            what: what.to_string(),
        }
    }

    /// Whether a new connection to the same peer may well succeed where this one failed.
    #[must_use]
    pub fn is_lost_connection(&self) -> bool {
        matches!(
            self,
            Self::Lost { .. } | Self::Silent { .. } | Self::Mute { .. } | Self::Undelivered { .. }
        )
    }
}
