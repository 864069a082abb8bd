//! The library's one error type: what happened, to which file or peer, and its source.
//!
//! Must not know a terminal: the words here are plain facts, and whatever a person should do
//! about them is added where messages are printed.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::model::outcome::{Decline, Role};

/// Shorthand for a result with this library's error.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Everything that can end a session or keep it from starting. What befalls a single entry is
/// not an error but an outcome ([`crate::model::outcome::Why`]): it never stops the rest.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// Something about a local file or folder failed.
    File {
        /// What was being done, as a verb phrase: "open", "create".
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Two of the paths to send have the same last name, so they would land on each other.
    SameName {
        /// The first.
        first: PathBuf,
        /// The second.
        second: PathBuf,
    },
    /// A path to send has no last name that it could get on the other side.
    NoName {
        /// The path.
        path: PathBuf,
    },
    /// A pattern of what is to be sent means nothing.
    Pattern {
        /// The pattern.
        pattern: String,
        /// What is wrong with it.
        what: String,
    },
    /// A file of this program's own state cannot be used.
    State {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// A host name has no address.
    Resolve {
        /// The name as it was given.
        host: String,
        /// What the resolver said.
        source: io::Error,
    },
    /// No connection could be made.
    Connect {
        /// The address.
        addr: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The port could not be listened on.
    Listen {
        /// The address.
        addr: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// What answers there does not speak this protocol.
    NotXfer {
        /// Where.
        peer: SocketAddr,
    },
    /// Somebody took the connection, and said nothing at all.
    Mute {
        /// Where.
        peer: SocketAddr,
    },
    /// The peer speaks another version of the protocol.
    Version {
        /// Where.
        peer: SocketAddr,
        /// The peer's version.
        theirs: u16,
        /// The version spoken here.
        ours: u16,
    },
    /// The encrypted channel could not be set up.
    Handshake {
        /// Where.
        peer: SocketAddr,
        /// What the TLS library said.
        what: String,
    },
    /// The cryptographic library refused to work, before any peer was asked.
    Crypto {
        /// What it said.
        what: String,
    },
    /// The peer has the same role, so nobody would receive, or nobody send.
    SameRole {
        /// Where.
        peer: SocketAddr,
        /// The role that both have.
        role: Role,
    },
    /// The peer did not let this side in.
    Declined {
        /// Where.
        peer: SocketAddr,
        /// The peer's reason.
        reason: Decline,
    },
    /// This side did not let the peer in.
    TurnedAway {
        /// Where.
        peer: SocketAddr,
        /// The name that the peer gives itself.
        name: String,
        /// What the peer was told.
        reason: Decline,
    },
    /// A machine that is known here, or is where a known one was, has another key.
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
    /// The peer shows a code, and nobody is there to type it.
    CodeNeeded {
        /// Where.
        peer: SocketAddr,
        /// The name that the peer gives itself.
        name: String,
    },
    /// The peer was shown a code, and went without it.
    NoCode {
        /// Where.
        peer: SocketAddr,
        /// The name that the peer gives itself.
        name: String,
    },
    /// The two sides do not have the same code, or not the same channel.
    WrongCode {
        /// Where.
        peer: SocketAddr,
        /// The name that the peer gives itself.
        name: String,
    },
    /// A connection that had not begun anything was closed, because there were too many.
    Displaced {
        /// From where.
        peer: SocketAddr,
    },
    /// The connection broke.
    Lost {
        /// Where.
        peer: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The peer has not said anything for so long that it must be gone.
    Silent {
        /// Where.
        peer: SocketAddr,
        /// For how long, in seconds.
        seconds: u64,
    },
    /// The peer broke the protocol.
    Protocol {
        /// Where.
        peer: SocketAddr,
        /// How.
        what: String,
    },
    /// The peer ended the session.
    Aborted {
        /// Where.
        peer: SocketAddr,
        /// Its words.
        why: String,
    },
    /// More was offered than one file, where there is only one place for it.
    NotOneFile,
    /// A stream could not be sent to its end, and what was read of it cannot be read again.
    Spent {
        /// Why not.
        source: Box<Error>,
    },
    /// The system would not start a thread.
    Thread {
        /// What it said.
        source: io::Error,
    },
    /// A thread of this program panicked: a fault of xfer's.
    Panicked {
        /// Which one.
        worker: &'static str,
    },
    /// What was stored could not be brought to disk.
    Sync {
        /// The receive directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// All is well, but not all files that were received are in the list of sums.
    Unsummed {
        /// The list.
        path: PathBuf,
    },
    /// The user ended it.
    Cancelled,
}

impl Error {
    /// An error of a local file.
    pub fn file(doing: &'static str, path: impl AsRef<Path>, source: io::Error) -> Self {
        Self::File {
            doing,
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
            Self::Lost { .. } | Self::Silent { .. } | Self::Mute { .. }
        )
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File {
                doing,
                path,
                source,
            } => write!(f, "cannot {doing} {}: {}", path.display(), reason(source)),
            Self::SameName { first, second } => write!(
                f,
                "{} and {} have the same name and would land on each other",
                first.display(),
                second.display()
            ),
            Self::NoName { path } => {
                write!(f, "{} has no name to give it there", path.display())
            }
            Self::Pattern { pattern, what } => write!(f, "'{pattern}' is no pattern: {what}"),
            Self::State { path, what } => write!(f, "{} {what}", path.display()),
            Self::Resolve { host, source } => {
                write!(f, "cannot find the address of {host}: {}", reason(source))
            }
            Self::Connect { addr, source } => {
                write!(f, "cannot connect to {addr}: {}", reason(source))
            }
            Self::Listen { addr, source } => {
                write!(f, "cannot listen on {addr}: {}", reason(source))
            }
            Self::NotXfer { peer } => write!(f, "what answers at {peer} is not xfer"),
            Self::Mute { peer } => write!(f, "{peer} does not answer"),
            Self::Version { peer, theirs, ours } => write!(
                f,
                "{peer} speaks version {theirs} of the xfer protocol, this side version {ours}"
            ),
            Self::Handshake { peer, what } => {
                write!(f, "no secure channel with {peer}: {what}")
            }
            Self::Crypto { what } => write!(f, "cryptography failed: {what}"),
            Self::SameRole { peer, role } => match role {
                Role::Sender => write!(f, "{peer} is sending too"),
                Role::Receiver => write!(f, "{peer} is receiving too"),
            },
            Self::Declined { peer, reason } => write!(f, "{peer} declined: {reason}"),
            Self::TurnedAway { name, reason, .. } => {
                write!(f, "{name} was not let in: ")?;
                match reason {
                    Decline::Unknown => f.write_str(
                        "the two do not know each other, and there is no terminal to show a code on",
                    ),
                    Decline::NotOpen => f.write_str("it is not known here, and not --open"),
                    Decline::Busy => f.write_str("there are too many sessions"),
                    Decline::Unsupported(what) => write!(f, "it asks for {what}"),
                    Decline::Store(what) => write!(f, "nothing can be stored: {what}"),
                    Decline::Locked => f.write_str("there were too many wrong codes"),
                    Decline::Crowded => f.write_str("too many are waiting to be let in"),
                    Decline::NameTaken => f.write_str("another machine is known here by this name"),
                    Decline::Refused => f.write_str("you said no"),
                    Decline::NoMirror => f.write_str(
                        "it wants to have removed what it does not have, which it may not",
                    ),
                    Decline::Unattended => {
                        f.write_str("there is no terminal to ask about its offer")
                    }
                }
            }
            Self::Impostor {
                peer,
                name,
                known,
                seen,
            } => write!(
                f,
                "the machine at {peer} is not the {name} that is known here: its key is {seen}, \
                 that of {name} is {known}"
            ),
            Self::CodeNeeded { name, .. } => write!(
                f,
                "{name} and this machine do not know each other yet; it shows a code, and nobody \
                 has typed it here"
            ),
            Self::NoCode { name, .. } => {
                write!(
                    f,
                    "{name} has gone without typing the code that is shown here"
                )
            }
            Self::WrongCode { name, .. } => write!(
                f,
                "the code does not fit: it was mistyped, or another machine stands between this \
                 one and {name}"
            ),
            Self::Displaced { peer } => {
                write!(f, "{peer} had to make room for newer connections")
            }
            Self::Lost { peer, source } => {
                write!(f, "lost the connection to {peer}: {}", reason(source))
            }
            Self::Silent { peer, seconds } => {
                write!(f, "{peer} has been silent for {seconds} s")
            }
            Self::Protocol { peer, what } => write!(f, "{peer} broke the protocol: {what}"),
            Self::Aborted { peer, why } => write!(f, "{peer} ended it: {why}"),
            Self::NotOneFile => {
                f.write_str("only a single file, and no folder, goes to standard output")
            }
            Self::Spent { source } => {
                write!(
                    f,
                    "{source}; what was read of the stream cannot be read again"
                )
            }
            Self::Thread { source } => write!(f, "cannot start a thread: {}", reason(source)),
            Self::Panicked { worker } => {
                write!(f, "xfer has a fault: its {worker} thread panicked")
            }
            Self::Sync { path, source } => write!(
                f,
                "what was received into {} could not be brought to disk: {}",
                path.display(),
                reason(source)
            ),
            Self::Unsummed { path } => write!(
                f,
                "not all files that were received have their line in {}",
                path.display()
            ),
            Self::Cancelled => write!(f, "interrupted"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::File { source, .. }
            | Self::Resolve { source, .. }
            | Self::Connect { source, .. }
            | Self::Listen { source, .. }
            | Self::Lost { source, .. }
            | Self::Thread { source }
            | Self::Sync { source, .. } => Some(source),
            Self::Spent { source } => Some(source),
            _ => None,
        }
    }
}

/// The words of an I/O error without the "(os error 13)" that only a programmer reads.
pub(crate) fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    let words = match text.find(" (os error ") {
        Some(at) => &text[..at],
        None => &text,
    };
    match error.kind() {
        io::ErrorKind::UnexpectedEof => "the other side closed it".to_owned(),
        _ => {
            let mut chars = words.chars();
            match (chars.next(), chars.next()) {
                // "Permission denied" reads better in the middle of a sentence in lower case;
                // "I/O error" does not.
                (Some(first), Some(second)) if second.is_lowercase() => {
                    first.to_lowercase().chain(words.chars().skip(1)).collect()
                }
                _ => words.to_owned(),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn system_words_have_no_error_number() {
        let e = Error::file("open", "/x", io::Error::from_raw_os_error(13));
        assert_eq!(e.to_string(), "cannot open /x: permission denied");
        let e = Error::file("read", "/x", io::Error::from_raw_os_error(5));
        assert!(!e.to_string().contains("os error"), "{e}");
    }
}
