//! Machines on the network, as lines for people and for programs.
//!
//! Must not print, nor know how a machine was found.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;
use xfer::net::{Known, PeerAddress, Service};
use xfer::transfer::{Change, Machine, Relation};
use xfer::wire::VERSION as PROTOCOL;

use super::clock;
use super::events::harmless;
use super::safe::{keep_start, quoted, width};
use super::words::ago;

/// The widths of the columns for names and for addresses.
const NAME_COLUMNS: usize = 16;
const ADDRESS_COLUMNS: usize = 21;
/// Longer names are cut.
const MAX_NAME_COLUMNS: usize = 32;

/// The version in every line for programs.
const VERSION: u8 = 1;

/// The lines for people; more than one only if `all` addresses are wanted.
pub(crate) fn machine_lines(change: &Change, all: bool) -> Vec<String> {
    let (machine, words) = match change {
        Change::Here(machine) => (machine, standing(machine)),
        Change::Gone(machine) => (machine, "gone".to_owned()),
        Change::Missing(known) => return vec![missing(known)],
    };
    let mut addresses = machine
        .addresses
        .iter()
        .map(|addr| PeerAddress::from(*addr));
    let Some(best) = addresses.next() else {
        return Vec::new();
    };
    let mut lines = vec![row(&machine.name, &best.to_string(), &words)];
    if all && matches!(change, Change::Here(_)) {
        lines.extend(addresses.map(|addr| row("", &addr.to_string(), "")));
        lines.push(row(
            "",
            &machine.fingerprint.to_string(),
            "(start of its fingerprint)",
        ));
    }
    lines
}

fn row(name: &str, address: &str, words: &str) -> String {
    let name = keep_start(name, MAX_NAME_COLUMNS);
    let pad = |text: &str, columns: usize| " ".repeat(columns.saturating_sub(width(text)));
    let row = format!(
        "{name}{}  {address}{}  {words}",
        pad(&name, NAME_COLUMNS),
        pad(address, ADDRESS_COLUMNS)
    );
    row.trim_end().to_owned()
}

fn standing(machine: &Machine) -> String {
    let is_room = machine.service == Service::Room;
    let is_share = machine.service == Service::Share;
    let words = match &machine.relation {
        Relation::Known(known) if is_share => {
            let code = if known.shares {
                "paired"
            } else {
                "needs a code"
            };
            format!("{code}; shares files: xfer get {}", quoted(&known.name))
        }
        Relation::Own => "this machine".to_owned(),
        Relation::Known(known) if is_room && !known.may_receive => {
            let chat = quoted(&known.name);
            format!("chat; needs a code: xfer chat {chat}")
        }
        Relation::Known(known) if is_room => {
            format!("paired; chat: xfer chat {}", quoted(&known.name))
        }
        // Another receiver that has its key.
        Relation::Known(known) if known.may_receive && machine.name != known.name => {
            format!("paired as {}; you can send to it", known.name)
        }
        Relation::Known(known) if known.may_receive => "paired; you can send to it".to_owned(),
        Relation::Known(_) => "needs a code before you can send".to_owned(),
        Relation::New => "new; needs a code the first time".to_owned(),
        Relation::Namesake(known) => {
            format!("not the {} you know: different key", known.name)
        }
        Relation::Unproven { claims, is_other } => {
            let why = match is_other {
                true => "has a different key",
                false => "does not answer",
            };
            format!("claims to be {claims}, but {why}")
        }
    };
    let service = match (machine.service, &machine.relation) {
        (_, Relation::Known(_)) | (Service::Receiver, _) => "",
        (Service::Room, _) => "chat; ",
        (Service::Share, _) => "shares files; ",
    };
    let version = match machine.version {
        PROTOCOL => "",
        _ => " (another version of xfer)",
    };
    format!("{service}{words}{version}")
}

fn missing(known: &Known) -> String {
    let seen = UNIX_EPOCH + Duration::from_secs(known.seen);
    // A clock that was set back makes it now.
    let since = SystemTime::now().duration_since(seen).unwrap_or_default();
    let at = known.address.as_ref().map(|at| format!(" at {at}"));
    let words = format!("last seen {}{}", ago(since), at.unwrap_or_default());
    row(&known.name, "not here", &words)
}

/// A line for programs, as `assets/list.schema.json` has it.
#[derive(Debug, Serialize)]
struct MachineEvent<'a> {
    v: u8,
    time: String,
    event: &'static str,
    name: &'a str,
    standing: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    service: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    addresses: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fingerprint: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fingerprint_start: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    protocol: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    takes_files: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_seen: Option<u64>,
}

/// The line for programs.
pub(crate) fn machine_event(change: &Change) -> Option<String> {
    let machine = match change {
        Change::Here(machine) | Change::Gone(machine) => machine,
        Change::Missing(known) => {
            return harmless(&MachineEvent {
                v: VERSION,
                time: clock::now(),
                event: "missing",
                name: &known.name,
                standing: "known",
                service: None,
                address: known.address.as_ref().map(ToString::to_string),
                addresses: Vec::new(),
                fingerprint: Some(known.fingerprint.to_string()),
                fingerprint_start: None,
                protocol: None,
                takes_files: Some(known.may_receive),
                last_seen: Some(known.seen),
            });
        }
    };
    let receives = machine.service == Service::Receiver;
    let known = match &machine.relation {
        Relation::Known(known) => Some(known),
        _ => None,
    };
    let addresses = machine.addresses.iter();
    let addresses: Vec<_> = addresses
        .map(|addr| PeerAddress::from(*addr).to_string())
        .collect();
    harmless(&MachineEvent {
        v: VERSION,
        time: clock::now(),
        event: match change {
            Change::Gone(_) => "gone",
            _ => "here",
        },
        name: &machine.name,
        standing: match &machine.relation {
            Relation::Own => "own",
            Relation::Known(_) => "known",
            Relation::New => "new",
            Relation::Namesake(_) => "namesake",
            Relation::Unproven { .. } => "unproven",
        },
        service: Some(match machine.service {
            Service::Receiver => "receiver",
            Service::Room => "room",
            Service::Share => "share",
        }),
        address: addresses.first().cloned(),
        addresses,
        fingerprint: known.map(|known| known.fingerprint.to_string()),
        fingerprint_start: Some(machine.fingerprint.to_string()),
        protocol: Some(machine.version),
        takes_files: known.map(|known| known.may_receive && receives),
        last_seen: None,
    })
}
