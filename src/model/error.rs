//! The library's one error type: what happened, to which file or peer, and its source.
//!
//! Must not make sentences for people: its `Display` is short, for logs. Code that prints an error
//! matches on it.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use crate::model::action::Action;
pub use crate::model::fault::{CryptoFault, HandshakeFault, PatternFault, StateFault, StateFile};
use crate::model::outcome::{Ability, Decline, Role};
use crate::model::reason::AbortReason;

/// Shorthand for a result with this library's error.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An address that could not be reached.
#[derive(Debug)]
pub struct Tried {
    /// The address.
    pub addr: SocketAddr,
    /// Why no connection was made.
    pub error: Error,
}

/// A machine as it announces itself, unverified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundMachine {
    /// What it calls itself.
    pub name: String,
    /// What its announcement is called.
    pub instance: String,
    /// Where it listens.
    pub addr: SocketAddr,
    /// The start of the fingerprint that it claims.
    pub fingerprint: String,
}

/// How the search for a machine by name went.
#[derive(Debug)]
pub struct NotFound {
    /// The name.
    pub name: String,
    /// Where it was last seen, and when, in seconds since 1970, if it is known.
    pub last: Option<(String, u64)>,
    /// The addresses that failed.
    pub tried: Vec<Tried>,
    /// Machines that were there, or claimed to be, with another key.
    pub passed: Vec<Error>,
    /// The resolver's error, if it found no address.
    pub resolver: Option<io::Error>,
    /// Why multicast DNS could not be used, if so.
    pub deaf: Option<Box<Error>>,
    /// The machines found.
    pub found: Vec<FoundMachine>,
    /// Similar names of known machines, the most similar first.
    pub near: Vec<String>,
    /// The paired receivers, the most similar name first; none if the name is one of theirs.
    pub paired: Vec<String>,
}

fn listed(tried: &[Tried]) -> String {
    let each: Vec<_> = tried.iter().map(|tried| tried.error.to_string()).collect();
    each.join("; ")
}

/// Everything that can end a session or prevent it from starting. A failed entry is not an error
/// but an outcome ([`crate::model::outcome::Why`]): it never stops the rest.
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
    /// Two of the paths to send have the same last name, so they would become the same file.
    #[error("{} and {} have the same name", first.display(), second.display())]
    SameName {
        /// The first.
        first: PathBuf,
        /// The second.
        second: PathBuf,
    },
    /// A path to send has no last name to give it at the receiver.
    #[error("{} has no name", path.display())]
    NoName {
        /// The path.
        path: PathBuf,
    },
    /// A path to send, or a receive folder, is where xfer keeps its own state.
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
    /// A filter pattern is invalid.
    #[error("pattern {pattern:?}: {fault}")]
    Pattern {
        /// The pattern; none if it is all of them together.
        pattern: Option<String>,
        /// What is wrong with it.
        fault: PatternFault,
    },
    /// A file with xfer's own state cannot be used.
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
        /// The host name.
        host: String,
        /// Why each failed.
        tried: Vec<Tried>,
    },
    /// No machine of a name was found.
    #[error("find {}", .0.name)]
    NotFound(Box<NotFound>),
    /// Several machines have this name.
    #[error("{} machines are called {name}", found.len())]
    Ambiguous {
        /// The name.
        name: String,
        /// All that have it.
        found: Vec<FoundMachine>,
    },
    /// Cannot listen on the port.
    #[error("listen on {addr}: {source}")]
    Listen {
        /// The address.
        addr: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// Multicast DNS cannot be used, to search or to announce.
    #[error("multicast DNS: {source}")]
    Discovery {
        /// What the system said.
        source: io::Error,
    },
    /// Something answers there, but not xfer.
    #[error("{peer} is not xfer")]
    NotXfer {
        /// Where.
        peer: SocketAddr,
    },
    /// The connection was accepted, but nothing came.
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
        /// This machine's version.
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
    /// The cryptographic library failed.
    #[error("cryptography: {fault}")]
    Crypto {
        /// What failed.
        fault: CryptoFault,
    },
    /// The user has no home directory for xfer's own state.
    #[error("no home directory")]
    NoHome,
    /// A folder has a quota, but other machines store files there too.
    #[error("quota of {}: shared with others", path.display())]
    SharedQuota {
        /// The folder.
        path: PathBuf,
    },
    /// The peer has the same role, so there is no sender, or no receiver.
    #[error("{peer} is a {role:?} too")]
    SameRole {
        /// Where.
        peer: SocketAddr,
        /// The role that both have.
        role: Role,
    },
    /// The peer declined.
    #[error("{peer} declined: {reason}")]
    Declined {
        /// Where.
        peer: SocketAddr,
        /// The peer's reason.
        reason: Decline,
    },
    /// The peer's xfer is too old for this.
    #[error("{peer} ({name}) cannot be asked to let this machine {ability}")]
    TooOld {
        /// Where.
        peer: SocketAddr,
        /// What it is called.
        name: String,
        /// The ability that it lacks.
        ability: Ability,
    },
    /// The peer's xfer would change the folders that lead to what is sent.
    #[error("{peer} ({name}) would change the folders that lead to what is sent")]
    NoWays {
        /// Where.
        peer: SocketAddr,
        /// What it is called.
        name: String,
    },
    /// The peer showed the question, and nobody there replied.
    #[error("{peer} ({name}) does not reply")]
    NoReply {
        /// Where.
        peer: SocketAddr,
        /// What it is called.
        name: String,
    },
    /// This side turned the peer away.
    #[error("{peer} ({name}) was told: {reason}")]
    TurnedAway {
        /// Where.
        peer: SocketAddr,
        /// The name that the peer gives itself.
        name: String,
        /// What the peer was told.
        reason: Decline,
    },
    /// A machine in the place of a known one, or with its name, has another key.
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
    /// A known machine is at the address of another known one.
    #[error("{peer} is {is}, not {name}")]
    OtherPeer {
        /// Where.
        peer: SocketAddr,
        /// The name of the one expected there.
        name: String,
        /// The name of the one found there.
        is: String,
    },
    /// The peer shows a code, and nobody is here to enter it.
    #[error("{peer} ({name}) shows a code")]
    CodeNeeded {
        /// Where.
        peer: SocketAddr,
        /// The name that the peer gives itself.
        name: String,
    },
    /// The peer shows a code, and this side's user did not want to type it.
    #[error("no code of {peer} ({name}) was entered")]
    CodeNotEntered {
        /// Where.
        peer: SocketAddr,
        /// The name that the peer gives itself.
        name: String,
    },
    /// A code was shown for the peer, and it went without it.
    #[error("{peer} ({name}) typed no code")]
    NoCode {
        /// Where.
        peer: SocketAddr,
        /// The name that the peer gives itself.
        name: String,
        /// Whether it took too long.
        timed_out: bool,
    },
    /// The two sides have different codes, or different channels.
    #[error("{peer} ({name}) has another code")]
    WrongCode {
        /// Where.
        peer: SocketAddr,
        /// The name that the peer gives itself.
        name: String,
        /// What this side does: the receiver shows codes.
        role: Role,
    },
    /// Another receiver of this user has the port.
    #[error("process {process} has {addr}")]
    AlreadyReceiving {
        /// Where this one was to listen.
        addr: SocketAddr,
        /// The other one's process.
        process: u32,
        /// How long ago that started.
        age: Duration,
        /// Where what it receives goes; none for standard output.
        into: Option<PathBuf>,
        /// Whether it has a chat open, and receives nothing.
        is_chat: bool,
        /// Whether it shares files, and receives nothing.
        is_share: bool,
    },
    /// The receiver of this user whose codes were shown has ended.
    #[error("process {process} has ended")]
    ReceiverGone {
        /// Its process.
        process: u32,
    },
    /// An idle connection was closed, because there were too many.
    #[error("{peer} made room for newer connections")]
    Displaced {
        /// From where.
        peer: SocketAddr,
    },
    /// A session was ended because its sender may no longer send here.
    #[error("{peer} ({name}) may not send here any more")]
    Unpaired {
        /// Where.
        peer: SocketAddr,
        /// What the sender was called here.
        name: String,
    },
    /// A session that stood still was ended, because another one needed its place.
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
    /// The peer has been silent for so long that it must be gone.
    #[error("{peer} is silent for {seconds} s")]
    Silent {
        /// Where.
        peer: SocketAddr,
        /// For how long, in seconds.
        seconds: u64,
    },
    /// The peer is there, but data sent to it does not arrive.
    #[error("nothing arrives at {peer} for {seconds} s")]
    Undelivered {
        /// Where.
        peer: SocketAddr,
        /// For how long, in seconds.
        seconds: u64,
        /// Whether small packets seem to arrive.
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
    /// More than one file was offered to a receiver that takes one.
    #[error("more than one file")]
    NotOneFile,
    /// A stream failed, and what was read of it cannot be read again.
    #[error("stream used up: {source}")]
    Spent {
        /// Why not.
        source: Box<Error>,
    },
    /// The system refused to start a thread.
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
    /// A thread panicked: a bug in xfer.
    #[error("the {worker} thread panicked")]
    Panicked {
        /// Which one.
        worker: &'static str,
    },
    /// Stored files could not be written to disk.
    #[error("sync {}: {source}", path.display())]
    Sync {
        /// The receive directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// All files were received, but some are missing from the list of sums.
    #[error("sums missing in {}", path.display())]
    Unsummed {
        /// The list.
        path: PathBuf,
    },
    /// The time was over in which this machine shared, and nobody had fetched what was to be fetched
    /// once.
    #[error("nobody fetched anything before the time was up")]
    NobodyCame,
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

    /// Whether a new connection to the same peer may succeed.
    #[must_use]
    pub fn is_lost_connection(&self) -> bool {
        matches!(
            self,
            Self::Lost { .. } | Self::Silent { .. } | Self::Mute { .. } | Self::Undelivered { .. }
        )
    }
}
