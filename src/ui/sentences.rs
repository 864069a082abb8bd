//! Reasons and errors in words for people: the only place that makes sentences of them.
//!
//! Must not say what can be done about them (`cli/hints.rs` does), nor make what peers say fit for
//! a terminal (whoever prints does).

use std::io;
use std::net::SocketAddr;

use xfer::Error;
use xfer::model::error::{Action, CryptoFault, FoundMachine, NotFound, Tried};
use xfer::model::outcome::{Decline, Role};
use xfer::model::progress::Mistaken;
use xfer::model::reason::{AbortReason, StoreFault, Unsupported};
use xfer::net::PeerAddress;

pub(super) use super::outcome_words::{left_out, not_kept, why, why_many};

use super::faults::{handshake_fault, pattern_fault, state_fault};
use super::system::{io_error, system};
use super::words;

/// Where a peer is, with the interface by its name.
fn at(addr: &SocketAddr) -> PeerAddress {
    PeerAddress::from(*addr)
}

/// The most machines that are named as those that are here.
const MAX_NAMED: usize = 8;

/// What went wrong in lines for people: what it is, and below it each thing that was tried.
pub(crate) fn lines(told: &Error) -> (String, Vec<String>) {
    let head = match told {
        Error::Unreachable { host, .. } => format!("cannot connect to {host}:"),
        Error::NotFound(search) => format!("cannot find {}:", search.name),
        Error::Ambiguous { name, found } => {
            format!("{} machines here are called {name}:", found.len())
        }
        other => return (error(other), Vec::new()),
    };
    (head, details(told))
}

/// Each thing that was tried, and what came of it.
fn details(error: &Error) -> Vec<String> {
    match error {
        Error::Unreachable { tried, .. } => tried.iter().map(attempt).collect(),
        Error::NotFound(search) => attempts(search),
        Error::Ambiguous { found, .. } => {
            let each = found.iter().map(|machine| {
                let FoundMachine {
                    instance,
                    addr,
                    fingerprint,
                    ..
                } = machine;
                format!("{instance} at {}, whose key begins {fingerprint}", at(addr))
            });
            each.collect()
        }
        _ => Vec::new(),
    }
}

/// What came of an attempt to connect to one of several addresses.
fn attempt(tried: &Tried) -> String {
    format!("{}: {}", at(&tried.addr), reason(tried))
}

fn reason(tried: &Tried) -> String {
    match &tried.error {
        Error::Connect { source, .. } => io_error(source),
        other => error(other),
    }
}

/// What was done to find a machine by its name.
fn attempts(search: &NotFound) -> Vec<String> {
    let NotFound {
        last,
        tried,
        passed,
        resolver,
        deaf,
        found,
        ..
    } = search;
    let mut lines: Vec<_> = tried
        .iter()
        .map(|tried| match last {
            Some((address, seen)) if *address == at(&tried.addr).to_string() => {
                let ago = words::ago_at(*seen);
                format!("at {address}, where it was {ago}: {}", reason(tried))
            }
            _ => format!("at {}", attempt(tried)),
        })
        .collect();
    lines.extend(passed.iter().map(error));
    lines.push(match (deaf.as_deref(), found.len()) {
        (Some(Error::Discovery { source }), _) => {
            format!("by multicast DNS: {}", io_error(source))
        }
        (Some(other), _) => format!("by multicast DNS: {}", error(other)),
        (None, 0) => "by multicast DNS: nobody answers".to_owned(),
        (None, count) => {
            let named = found.iter().take(MAX_NAMED);
            let named =
                named.map(|machine| format!("{} ({})", machine.instance, at(&machine.addr)));
            let named: Vec<_> = named.collect();
            let more = match count.saturating_sub(MAX_NAMED) {
                0 => String::new(),
                more => format!(", and {more} more"),
            };
            let named = named.join(", ");
            format!("by multicast DNS: here are {named}{more}")
        }
    });
    lines.extend((resolver.as_ref()).map(|error| format!("as a host name: {}", io_error(error))));
    lines
}

/// That a machine is not the one that is looked for.
pub(super) fn passed_over(
    name: &str,
    addr: &SocketAddr,
    why: Mistaken,
    is: Option<&str>,
) -> String {
    let addr = at(addr);
    let who = is.unwrap_or("another machine");
    match why {
        Mistaken::Place => {
            format!("{name} is not at {addr} any more: {who} answers there. Looking for it …")
        }
        Mistaken::Name => format!(
            "Not sending to {who} at {addr}: it calls itself {name}, but has another key than the \
             {name} that is known here."
        ),
    }
}

/// What went wrong, without what can be done about it.
pub(crate) fn error(error: &Error) -> String {
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
        Error::SameName { first, second } => format!(
            "{} and {} have the same name, and the receiver can store only one of them",
            first.display(),
            second.display()
        ),
        Error::NoName { path } => format!("{} has no name to send it under", path.display()),
        Error::Pipe { path } => format!("{} is a pipe", path.display()),
        Error::Own { path } => format!(
            "{} is where xfer keeps its key, its settings and whom it knows: no transfer may \
             read or write there",
            path.display()
        ),
        Error::Pattern { pattern, fault } => {
            let fault = pattern_fault(fault);
            match pattern {
                Some(pattern) => format!("'{pattern}' is no pattern: {fault}"),
                None => format!("the patterns cannot be used: {fault}"),
            }
        }
        Error::State { file, path, fault } => {
            format!("{} {}", path.display(), state_fault(*file, fault))
        }
        Error::NoHome => "there is no home directory to keep this machine's key in".to_owned(),
        Error::SharedQuota { path } => format!(
            "cannot keep a quota of {}: what others send goes into it, too",
            path.display()
        ),
        Error::Resolve { host, source } => {
            format!("cannot find the address of {host}: {}", io_error(source))
        }
        Error::Connect { addr, source } => {
            format!(
                "cannot connect to {addr}: {}",
                io_error(source),
                addr = at(addr)
            )
        }
        Error::Unreachable { host, .. } => {
            format!("cannot connect to {host}: {}", details(error).join("; "))
        }
        Error::NotFound(search) => {
            format!("cannot find {}: {}", search.name, details(error).join("; "))
        }
        Error::Ambiguous { name, found } => {
            let (count, details) = (found.len(), details(error).join("; "));
            format!("{count} machines here are called {name}: {details}")
        }
        Error::Listen { addr, source } => {
            format!(
                "cannot listen on {addr}: {}",
                io_error(source),
                addr = at(addr)
            )
        }
        Error::NotXfer { peer } => format!("what answers at {peer} is not xfer", peer = at(peer)),
        Error::Mute { peer } => format!("{peer} does not answer", peer = at(peer)),
        Error::Version { peer, theirs, ours } => {
            format!(
                "{peer} speaks version {theirs} of the xfer protocol, this side version {ours}",
                peer = at(peer)
            )
        }
        Error::Handshake { peer, fault } => {
            format!(
                "no secure channel with {peer}: {}",
                handshake_fault(fault),
                peer = at(peer)
            )
        }
        Error::Crypto { fault } => match fault {
            CryptoFault::Random => "the system gives no random numbers".to_owned(),
            CryptoFault::NewKey => "cannot make a key for this machine".to_owned(),
            CryptoFault::Tls(what) => format!("cannot set up encryption: {what}"),
        },
        Error::SameRole { peer, role } => match role {
            Role::Sender => format!("{peer} is sending too", peer = at(peer)),
            Role::Receiver => format!("{peer} is receiving too", peer = at(peer)),
        },
        Error::Declined { peer, reason } => {
            format!("{peer} declined: {}", declined(reason), peer = at(peer))
        }
        Error::TurnedAway { name, reason, .. } => {
            // Somebody known is let in, and still does not get everything.
            let what = match reason {
                Decline::NotGranted(_)
                | Decline::NoRoom
                | Decline::OnlyRoom
                | Decline::Full
                | Decline::NoCommand
                | Decline::NoArguments => "was declined",
                _ => "was not let in",
            };
            format!("{name} {what}: {}", turned_away(reason))
        }
        Error::OtherPeer { peer, name, is } => format!(
            "{peer} is not {name} any more: {is} has that address now",
            peer = at(peer)
        ),
        Error::Impostor {
            peer,
            name,
            known,
            seen,
        } => format!(
            "the machine at {peer} is not the {name} that is known here: its key is {seen}, that \
             of {name} is {known}",
            peer = at(peer)
        ),
        Error::CodeNeeded { name, .. } => format!(
            "{name} does not know this machine yet. It shows a code, and nobody has typed it here"
        ),
        Error::NoCode { name, .. } => {
            format!("{name} has gone without typing the code that is shown here")
        }
        Error::WrongCode { name, .. } => format!(
            "the code does not fit: it was mistyped, or another machine stands between this one \
             and {name}"
        ),
        Error::NoReply { name, .. } => format!("{name} has shown it, but nobody there replied"),
        Error::TooOld { name, ability, .. } => {
            format!("{name} has an xfer from before one could {ability}")
        }
        Error::Unpaired { name, .. } => {
            format!("{name} may not send here any more: its transfer was ended")
        }
        Error::Idle { name, seconds, .. } => format!(
            "{name} sent nothing for {seconds} s while others waited: its transfer was ended"
        ),
        Error::Displaced { peer } => format!(
            "{peer} had to make room for newer connections",
            peer = at(peer)
        ),
        Error::Lost { peer, source } if source.kind() == io::ErrorKind::UnexpectedEof => {
            format!(
                "lost the connection to {peer}: the other side closed it",
                peer = at(peer)
            )
        }
        Error::Lost { peer, source } => {
            format!(
                "lost the connection to {peer}: {}",
                io_error(source),
                peer = at(peer)
            )
        }
        Error::Silent { peer, seconds } => {
            format!("{peer} has been silent for {seconds} s", peer = at(peer))
        }
        Error::Undelivered {
            peer,
            small_only: true,
            ..
        } => format!(
            "small packets reach {peer}, large ones do not",
            peer = at(peer)
        ),
        Error::Undelivered { peer, seconds, .. } => {
            format!(
                "nothing has arrived over one of the connections to {peer} for {seconds} s",
                peer = at(peer)
            )
        }
        Error::Protocol { peer, what } => {
            format!("{peer} broke the protocol: {what}", peer = at(peer))
        }
        Error::Aborted { peer, reason } => {
            format!("{peer} ended it: {}", aborted(reason), peer = at(peer))
        }
        Error::NotOneFile => ONE_FILE.to_owned(),
        Error::Spent { source } => format!(
            "{}; what was read of the stream cannot be read again",
            self::error(source)
        ),
        Error::Discovery { source } => format!("cannot use multicast DNS: {}", io_error(source)),
        Error::Thread { source } => format!("cannot start a thread: {}", io_error(source)),
        Error::Starter { source } => format!(
            "cannot start the process that starts commands: {}",
            io_error(source)
        ),
        Error::Panicked { worker } => {
            format!("xfer has a fault: its {worker} thread panicked")
        }
        Error::Sync { path, source } => format!(
            "cannot bring to disk what was received into {}: {}",
            path.display(),
            io_error(source)
        ),
        Error::Unsummed { path } => format!(
            "some of the files that were received have no line in {}",
            path.display()
        ),
        Error::Cancelled => "interrupted".to_owned(),
    }
}

/// What went wrong, and what the next attempt does otherwise.
pub(crate) fn retrying(error: &Error) -> String {
    let what = self::error(error);
    match error {
        Error::Undelivered {
            small_only: true, ..
        } => format!("{what}. Sending small ones from now on"),
        _ => what,
    }
}

const ONE_FILE: &str = "only a single file, and no folder, goes to standard output";

fn verb(action: Action) -> &'static str {
    match action {
        Action::Open => "open",
        Action::Create => "create",
        Action::Read => "read",
        Action::Write => "write",
        Action::Send => "send",
        Action::ReadPatterns => "take patterns from",
        Action::ReceiveInto => "receive into",
        Action::WriteInto => "write into",
        Action::AddSums => "add sums to",
        Action::Sum => "write down the SHA-256 of",
        Action::SortSums => "put in order",
        Action::WriteOutput => "write to",
        Action::Pipe => "wait for",
    }
}

/// Why the other side does not take part.
fn declined(reason: &Decline) -> String {
    match reason {
        Decline::Unknown => {
            "it does not know this machine, and has no terminal to show a code on".to_owned()
        }
        Decline::NotOpen => "it was started with --open, and this side was not".to_owned(),
        Decline::TooManySessions => "it has too many sessions at the moment".to_owned(),
        Decline::Unsupported(what) => format!("it cannot do {}", unsupported(*what)),
        Decline::UnsupportedText(what) => format!("it cannot do {what}"),
        Decline::Store(fault) => format!("it cannot store anything: {}", store_fault(fault)),
        Decline::StoreText(what) => format!("it cannot store anything: {what}"),
        Decline::Locked => "it lets in nobody new, after too many wrong codes in a row".to_owned(),
        Decline::Crowded => "too many are waiting to be let in at the moment".to_owned(),
        Decline::NameTaken => {
            "it knows another machine by the same name, with another key".to_owned()
        }
        Decline::Refused => "its user said no".to_owned(),
        Decline::Unattended => "it asks its user about each offer, and nobody is there".to_owned(),
        Decline::NoUpdate => "it does not let you replace files".to_owned(),
        Decline::NoMirror => "it does not let you remove anything".to_owned(),
        Decline::NotGranted(ability) => format!("it does not let this machine {ability}"),
        Decline::NoRoom => "no chat is open there".to_owned(),
        Decline::OnlyRoom => "only a chat is open there".to_owned(),
        Decline::Full => "it takes no more at once".to_owned(),
        Decline::NoCommand => "it offers no command of that name".to_owned(),
        Decline::NoArguments => "it does not take these arguments".to_owned(),
    }
}

/// Why this side does not let the other side in.
fn turned_away(reason: &Decline) -> String {
    match reason {
        Decline::Unknown => {
            "this machine does not know it, and has no terminal to show a code on".to_owned()
        }
        Decline::NotOpen => "it is not known here, and does not send with --open".to_owned(),
        Decline::TooManySessions => "too many sessions are running".to_owned(),
        Decline::Unsupported(what) => format!("it asks for {}", unsupported(*what)),
        Decline::UnsupportedText(what) => format!("it asks for {what}"),
        Decline::Store(fault) => match fault {
            StoreFault::System(error) => format!("nothing can be stored: {}", system(error)),
            StoreFault::FolderRemoved => {
                "the receive folder was removed: start xfer recv again".to_owned()
            }
            StoreFault::PeersUnreadable => "the list of known machines cannot be read".to_owned(),
            StoreFault::PeersUnwritable => {
                "the list of known machines cannot be written".to_owned()
            }
        },
        Decline::StoreText(what) => format!("nothing can be stored: {what}"),
        Decline::Locked => "there were too many wrong codes".to_owned(),
        Decline::Crowded => "too many are waiting to be let in".to_owned(),
        Decline::NameTaken => "another machine is known here by this name".to_owned(),
        Decline::Refused => "you said no".to_owned(),
        Decline::Unattended => "there is no terminal to ask about its offer on".to_owned(),
        Decline::NoUpdate => "it wants to replace files here, and may not".to_owned(),
        Decline::NoMirror => "it wants to remove files here, and may not".to_owned(),
        Decline::NotGranted(ability) => format!("it may not {ability} here"),
        Decline::NoRoom => "no chat is open here".to_owned(),
        Decline::OnlyRoom => "only a chat is open here".to_owned(),
        Decline::Full => "no more are taken at once".to_owned(),
        Decline::NoCommand => "you offer no command of that name".to_owned(),
        Decline::NoArguments => "the command does not take these arguments".to_owned(),
    }
}

fn unsupported(what: Unsupported) -> String {
    match what {
        Unsupported::ChunkSize(bytes) => format!("chunks of {bytes} bytes"),
        Unsupported::NoLanes => "an offer without a lane".to_owned(),
        Unsupported::DryRunToOutput => "a dry run of what goes to standard output".to_owned(),
    }
}

fn store_fault(fault: &StoreFault) -> String {
    match fault {
        StoreFault::System(error) => system(error),
        StoreFault::FolderRemoved => {
            "its folder was removed, and it must be started again".to_owned()
        }
        StoreFault::PeersUnreadable => "it cannot read its list of known machines".to_owned(),
        StoreFault::PeersUnwritable => "it cannot write its list of known machines".to_owned(),
    }
}

/// Why the other side ended the session.
fn aborted(reason: &AbortReason) -> String {
    match reason {
        AbortReason::Stopped => "its user stopped it".to_owned(),
        AbortReason::Protocol(what) => format!("this side broke the protocol: {what}"),
        AbortReason::NotOneFile => ONE_FILE.to_owned(),
        AbortReason::NameTaken => "it knows another machine by this machine's name".to_owned(),
        AbortReason::CodeTimeout => "nobody typed the code in time".to_owned(),
        AbortReason::NoSession => "there is no such session".to_owned(),
        AbortReason::File(error) => format!("a file or folder failed there: {}", system(error)),
        AbortReason::Sync(error) => {
            format!(
                "it cannot bring to disk what it received: {}",
                system(error)
            )
        }
        AbortReason::Thread(error) => format!("it cannot start a thread: {}", system(error)),
        AbortReason::Other(words) => words.to_string(),
        AbortReason::Unpaired => "it does not let this machine do that any more".to_owned(),
        AbortReason::Idle => {
            "nothing was sent for a long time, and others needed the place".to_owned()
        }
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
}
