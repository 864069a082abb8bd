//! Errors in words for people.
//!
//! Must not say what to do about them (`cli/hints` does), nor make names safe for a terminal (the
//! screen does).

use std::io;
use std::net::SocketAddr;

use xfer::Error;
use xfer::model::error::{Action, CryptoFault};
use xfer::model::outcome::Role;
use xfer::model::reason::AbortReason;
use xfer::net::PeerAddress;

pub(super) use super::outcome_words::{breaks_rule, left_out, not_kept, why, why_many};
pub(super) use super::search_words::passed_over;

use super::decline_words::{aborted, declined, turned_away};
use super::faults::{handshake_fault, pattern_fault, state_fault};
use super::pairing_words;
use super::search_words;
use super::system::{io_error, resolver_error};

/// An address, with its interface by name.
fn at(addr: &SocketAddr) -> PeerAddress {
    PeerAddress::from(*addr)
}

/// Whom an error is about: by name where that is known, otherwise by address.
#[derive(Debug, Clone, Copy, Default)]
struct Naming<'a>(Option<&'a str>);

impl Naming<'_> {
    fn peer(self, peer: &SocketAddr) -> String {
        self.0.map_or_else(|| at(peer).to_string(), str::to_owned)
    }

    /// Also where it is, for errors that depend on the address.
    fn peer_at(self, peer: &SocketAddr) -> String {
        match self.0 {
            Some(name) => format!("{name} ({})", at(peer)),
            None => at(peer).to_string(),
        }
    }
}

/// What went wrong in lines: a head, and a line for each thing that was tried. `peer` is the name
/// of the other machine, where it is known.
pub(crate) fn lines(told: &Error, peer: Option<&str>) -> (String, Vec<String>) {
    let head = match told {
        Error::Unreachable { host, .. } => format!("cannot connect to {host}:"),
        Error::NotFound(search) => format!("cannot find {}:", search.name),
        Error::Ambiguous { name, found } => search_words::several(name, found),
        other => return (error_of(other, peer), Vec::new()),
    };
    (head, search_words::details(told, error))
}

/// What went wrong, in one line, where the other machine's name is not known.
pub(crate) fn error(error: &Error) -> String {
    words(error, Naming(None))
}

/// What went wrong, in one line. `peer` is the name of the other machine, where it is known.
pub(crate) fn error_of(error: &Error, peer: Option<&str>) -> String {
    words(error, Naming(peer))
}

fn words(error: &Error, who: Naming<'_>) -> String {
    match error {
        Error::File {
            action,
            path,
            source,
        } => format!(
            "cannot {} {}: {}",
            verb(*action),
            path.display(),
            io_error(source)
        ),
        Error::SameName { first, second } => {
            let name = first.file_name().unwrap_or_default();
            format!(
                "{} and {} would both become '{}'",
                first.display(),
                second.display(),
                name.display()
            )
        }
        Error::NoName { path } => format!("cannot send {}: it has no name", path.display()),
        Error::Pipe { path } => format!("cannot send {}: it is a pipe", path.display()),
        Error::Own { path } => format!(
            "cannot use {}: xfer keeps its keys and settings there",
            path.display()
        ),
        Error::Pattern { pattern, fault } => {
            let fault = pattern_fault(fault);
            match pattern {
                Some(pattern) => format!("invalid pattern '{pattern}': {fault}"),
                None => format!("invalid patterns: {fault}"),
            }
        }
        Error::State { file, path, fault } => {
            format!("{} {}", path.display(), state_fault(*file, fault))
        }
        Error::NoHome => {
            "cannot find your home directory, where xfer keeps this machine's key".to_owned()
        }
        Error::SharedQuota { path } => format!(
            "cannot set a quota on {}: other machines store files there too",
            path.display()
        ),
        Error::Resolve { host, source } => {
            format!(
                "cannot find the address of {host}: {}",
                resolver_error(source)
            )
        }
        Error::Connect { addr, source } => {
            format!(
                "cannot connect to {}: {}",
                who.peer_at(addr),
                io_error(source)
            )
        }
        Error::Unreachable { .. } | Error::NotFound(_) | Error::Ambiguous { .. } => {
            let (head, details) = lines(error, None);
            format!("{head} {}", details.join("; "))
        }
        Error::Listen { addr, source } => {
            format!("cannot listen on {}: {}", at(addr), io_error(source))
        }
        Error::AlreadyReceiving { .. } | Error::ReceiverGone { .. } => {
            pairing_words::on_this_machine(error)
        }
        Error::NotXfer { peer } => {
            format!("the program that answers at {} is not xfer", at(peer))
        }
        Error::Mute { peer } => format!("{} does not answer", who.peer_at(peer)),
        Error::Version { peer, theirs, ours } => format!(
            "{} speaks version {theirs} of the xfer protocol, this machine speaks version {ours}",
            who.peer_at(peer)
        ),
        Error::Handshake { peer, fault } => format!(
            "cannot set up encryption with {}: {}",
            who.peer_at(peer),
            handshake_fault(fault)
        ),
        Error::Crypto { fault } => match fault {
            CryptoFault::Random => "cannot get random numbers from the system".to_owned(),
            CryptoFault::NewKey => "cannot create a key for this machine".to_owned(),
            CryptoFault::Tls(what) => format!("cannot set up encryption: {what}"),
        },
        Error::SameRole { peer, role } => match role {
            Role::Sender => format!("{} shares files and takes none", who.peer(peer)),
            Role::Receiver => format!("{} receives files and shares none", who.peer(peer)),
        },
        Error::Declined { peer, reason } => declined(&who.peer(peer), reason),
        Error::TurnedAway { name, reason, .. } => turned_away(name, reason),
        Error::OtherPeer { peer, name, is } => {
            format!("{} is no longer {name}: {is} answers there now", at(peer))
        }
        Error::Impostor {
            peer,
            name,
            known,
            seen,
        } => format!(
            "the machine at {} is not the {name} you know: its key is {seen}, {name}'s key is \
             {known}",
            at(peer)
        ),
        Error::CodeNeeded { .. }
        | Error::CodeNotEntered { .. }
        | Error::NoCode { .. }
        | Error::WrongCode { .. }
        | Error::Aborted {
            reason: AbortReason::CodeTimeout,
            ..
        } => pairing_words::error(error),
        Error::NoReply { name, .. } => format!("{name} showed the message, but nobody replied"),
        Error::TooOld { name, ability, .. } => {
            format!("xfer on {name} is too old to let others {ability}")
        }
        Error::NoWays { name, .. } => format!(
            "{name} runs an older xfer, which would change the mode and time of the folder you name"
        ),
        Error::Unpaired { name, .. } => {
            format!("{name} may no longer send here; xfer stopped its transfer")
        }
        Error::Idle { name, seconds, .. } => format!(
            "{name} sent nothing for {seconds} s while others waited; xfer stopped its transfer"
        ),
        Error::Displaced { peer } => format!(
            "closed the connection from {} to make room for newer ones",
            at(peer)
        ),
        Error::Lost { peer, source } if source.kind() == io::ErrorKind::UnexpectedEof => format!(
            "lost the connection to {}: the other side closed it",
            who.peer(peer)
        ),
        Error::Lost { peer, source } => format!(
            "lost the connection to {}: {}",
            who.peer(peer),
            io_error(source)
        ),
        Error::Silent { peer, seconds } => {
            format!("{} has not responded for {seconds} s", who.peer(peer))
        }
        Error::Undelivered {
            peer,
            small_only: true,
            ..
        } => format!("small packets reach {}, large ones do not", who.peer(peer)),
        Error::Undelivered { peer, seconds, .. } => format!(
            "nothing has reached {} for {seconds} s over one of the connections",
            who.peer(peer)
        ),
        Error::Protocol { peer, what } => {
            format!("{} broke the protocol: {what}", who.peer(peer))
        }
        Error::Aborted { peer, reason } => aborted(&who.peer(peer), reason),
        Error::NotOneFile => {
            "standard output takes one file, not a folder or several files".to_owned()
        }
        Error::Spent { source } => format!(
            "{}; standard input cannot be read a second time",
            words(source, who)
        ),
        Error::Discovery { source } => format!("cannot use multicast DNS: {}", io_error(source)),
        Error::Thread { source } => format!("cannot start a thread: {}", io_error(source)),
        Error::Starter { source } => format!(
            "cannot start the process that runs commands: {}",
            io_error(source)
        ),
        Error::Panicked { worker } => format!("bug in xfer: its {worker} thread panicked"),
        Error::Sync { path, source } => format!(
            "cannot write the files received into {} to disk: {}",
            path.display(),
            io_error(source)
        ),
        Error::Unsummed { path } => {
            format!("{} lacks some of the files received", path.display())
        }
        Error::Cancelled => "interrupted".to_owned(),
        Error::NobodyCame => "nobody fetched anything before the time was up".to_owned(),
    }
}

/// The line for a session with `peer` that failed on a machine that listens.
pub(crate) fn failed_session(error: &Error, peer: &str, role: Role) -> String {
    let words = error_of(error, Some(peer));
    match error {
        // The peer's decision is not a failure of xfer.
        Error::Aborted {
            reason: AbortReason::Stopped,
            ..
        } => format!("{words}."),
        _ if words.starts_with(peer) => format!("xfer: {words}"),
        _ if role == Role::Sender => format!("xfer: transfer to {peer} failed: {words}"),
        _ => format!("xfer: transfer from {peer} failed: {words}"),
    }
}

/// What went wrong, and what the next attempt does differently.
pub(crate) fn retrying(error: &Error, peer: Option<&str>) -> String {
    let what = error_of(error, peer);
    match error {
        Error::Undelivered {
            small_only: true, ..
        } => format!("{what}. Switching to small packets"),
        _ => what,
    }
}

fn verb(action: Action) -> &'static str {
    match action {
        Action::Open => "open",
        Action::Create => "create",
        Action::Read => "read",
        Action::Write => "write",
        Action::Send => "send",
        Action::Share => "share",
        Action::ReadPatterns => "read patterns from",
        Action::ReceiveInto => "receive into",
        Action::WriteInto => "write into",
        Action::AddSums => "add sums to",
        Action::Sum => "record the SHA-256 of",
        Action::SortSums => "sort",
        Action::WriteOutput => "write to",
        Action::Pipe => "wait for",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn system_words_have_no_error_number() {
        let e = Error::file(Action::Open, "/x", io::Error::from_raw_os_error(13));
        assert_eq!(error(&e), "cannot open /x: permission denied");
        let e = Error::file(Action::Read, "/x", io::Error::from_raw_os_error(5));
        assert_eq!(error(&e), "cannot read /x: I/O error");
    }

    #[test]
    fn a_peer_goes_by_its_name_where_that_is_known() {
        let peer = ([10, 77, 0, 2], 60674).into();
        let stopped = Error::Aborted {
            peer,
            reason: AbortReason::Stopped,
        };
        assert_eq!(
            error_of(&stopped, Some("desk")),
            "desk cancelled the transfer"
        );
        assert_eq!(error(&stopped), "10.77.0.2:60674 cancelled the transfer");
        let refused = Error::Connect {
            addr: peer,
            source: io::ErrorKind::ConnectionRefused.into(),
        };
        assert_eq!(
            error_of(&refused, Some("desk")),
            "cannot connect to desk (10.77.0.2:60674): connection refused"
        );
    }
}
