//! What a search for a machine tried, and what it found, in words for people.
//!
//! Must not say what to do about it (`cli/hints` does).

use std::net::SocketAddr;

use xfer::Error;
use xfer::model::error::{FoundMachine, NotFound, Tried};
use xfer::model::progress::Mistaken;
use xfer::net::PeerAddress;

use super::system::{io_error, resolver_error};
use super::words;

/// How many of the machines found are named.
const MAX_NAMED: usize = 8;

/// Makes a line of an error.
type ErrorWords = fn(&Error) -> String;

/// A line for each thing that was tried, or for each machine that was found. `say` makes a line of
/// any other error.
pub(super) fn details(error: &Error, say: ErrorWords) -> Vec<String> {
    match error {
        Error::Unreachable { tried, .. } => tried.iter().map(|tried| attempt(tried, say)).collect(),
        Error::NotFound(search) => attempts(search, say),
        Error::Ambiguous { found, .. } => {
            let each = found.iter().map(|machine| one_of_several(machine, found));
            each.collect()
        }
        _ => Vec::new(),
    }
}

/// What several machines, or several receivers of one machine, have in common.
pub(crate) fn several(name: &str, found: &[FoundMachine]) -> String {
    match is_one_machine(found) {
        true => format!("{name} has {} receivers:", found.len()),
        false => format!("{} machines are called {name}:", found.len()),
    }
}

/// One of several: by its name and place, and by its key where they have more than one.
pub(crate) fn one_of_several(machine: &FoundMachine, all: &[FoundMachine]) -> String {
    let FoundMachine {
        name,
        instance,
        addr,
        fingerprint,
    } = machine;
    match is_one_machine(all) {
        true => format!("{name} at {}", at(addr)),
        false => format!("{instance} at {}, key {fingerprint}…", at(addr)),
    }
}

fn is_one_machine(found: &[FoundMachine]) -> bool {
    found
        .windows(2)
        .all(|two| two[0].fingerprint == two[1].fingerprint)
}

/// An address, and why connecting to it failed.
fn attempt(tried: &Tried, say: ErrorWords) -> String {
    format!("{}: {}", at(&tried.addr), reason(tried, say))
}

fn reason(tried: &Tried, say: ErrorWords) -> String {
    match &tried.error {
        Error::Connect { source, .. } => io_error(source),
        other => say(other),
    }
}

/// An address, with its interface by name.
fn at(addr: &SocketAddr) -> PeerAddress {
    PeerAddress::from(*addr)
}

/// What a search by name tried.
fn attempts(search: &NotFound, say: ErrorWords) -> Vec<String> {
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
                format!(
                    "at {address}, last seen there {ago}: {}",
                    reason(tried, say)
                )
            }
            _ => format!("at {}", attempt(tried, say)),
        })
        .collect();
    lines.extend(passed.iter().map(say));
    lines.push(match (deaf.as_deref(), found.len()) {
        (Some(Error::Discovery { source }), _) => {
            format!("by multicast DNS: {}", io_error(source))
        }
        (Some(other), _) => format!("by multicast DNS: {}", say(other)),
        (None, 0) => "by multicast DNS: no answer".to_owned(),
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
            format!("by multicast DNS: only {named}{more}")
        }
    });
    lines.extend(
        (resolver.as_ref()).map(|error| format!("as a host name: {}", resolver_error(error))),
    );
    lines
}

/// Says that a machine is not the one looked for.
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
            format!("{name} is no longer at {addr}: {who} answers there. Looking for {name} …")
        }
        Mistaken::Name => format!(
            "Not sending to {who} at {addr}: it calls itself {name}, but its key is not that of \
             the {name} you know."
        ),
    }
}
