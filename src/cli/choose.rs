//! Which receiver, where none was named: those that are here are listed as they appear, and one is
//! chosen by its number.
//!
//! Must not ask where nobody can answer, nor talk to any of them.

use std::cell::RefCell;
use std::io::{self, IsTerminal as _};
use std::sync::Arc;
use std::time::{Duration, Instant};

use xfer::Error;
use xfer::net::{Beacon, Browser, Known, PeerAddress, Peers, Service, Sighting};
use xfer::transfer::{Cancel, DEFAULT_PORT, DialTarget};

use crate::ui::{Line, TerminalPrompt, Ui};

/// How long they have to answer before the first list. Others are added to it.
const FIRST: Duration = Duration::from_millis(1500);
/// How often it is looked whether the user wants to stop.
const LOOK: Duration = Duration::from_millis(100);
/// The most that are listed.
const MAX_LISTED: usize = 99;
/// The most that are shown of those who have another one's name.
const MAX_PRETENDERS: usize = 8;

/// Whether somebody is there who can choose.
pub(super) fn can_choose() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Asks for one of the machines that are here and offer this: receivers or shares.
pub(super) fn machine(
    ui: &Arc<Ui>,
    cancel: &Cancel,
    peers: &Peers,
    service: Service,
) -> xfer::Result<DialTarget> {
    let (looking, nobody) = match service {
        Service::Share => (
            "Looking for machines that share …",
            "No machine shares anything yet. Each one shows as soon as it does.",
        ),
        _ => (
            "Looking for receivers …",
            "No receiver is here yet. Each one shows as soon as it is.",
        ),
    };
    let of_it = |sighting| match sighting {
        Sighting::Found(beacon) if beacon.service == service => Some(beacon),
        _ => None,
    };
    let known = peers.list()?;
    let keys: Vec<_> = known.iter().map(|known| known.fingerprint).collect();
    let browser = Browser::start(&keys)?;
    ui.say([Line::Trouble(looking.to_owned())]);
    let mut first = Vec::new();
    let end = Instant::now() + FIRST;
    while Instant::now() < end {
        if cancel.is_cancelled() {
            return Err(Error::Cancelled);
        }
        let until = end.min(Instant::now() + LOOK);
        first.extend(browser.next(until).and_then(of_it));
    }
    first.sort_by_key(|beacon| {
        (
            Acquaintance::of(beacon, &known).rank(),
            beacon.name.to_lowercase(),
        )
    });
    let list = RefCell::new(ListedReceivers::default());
    let mut lines: Vec<_> = first
        .into_iter()
        .filter_map(|beacon| listed(&mut list.borrow_mut(), beacon, &known))
        .collect();
    if lines.is_empty() {
        lines.push(nobody.to_owned());
    }
    let has_default = list
        .borrow()
        .machines
        .first()
        .is_some_and(|(_, is_paired)| *is_paired);
    let question = match has_default {
        true => "Which one? A number, or Enter for 1: ",
        false => "Which one? A number: ",
    };
    let look = || {
        while let Some(sighting) = browser.next(Instant::now()) {
            let beacon = of_it(sighting);
            let line = beacon.and_then(|beacon| listed(&mut list.borrow_mut(), beacon, &known));
            if let Some(line) = line {
                ui.interject(&[Line::Trouble(line)]);
            }
        }
    };
    loop {
        let typed =
            TerminalPrompt::ask_while(ui, cancel, std::mem::take(&mut lines), question, &look);
        let Some(typed) = typed else {
            return Err(Error::Cancelled);
        };
        let number = match typed.trim() {
            "" if has_default => Some(1),
            text => text.parse().ok(),
        };
        let list = list.borrow();
        let at = |n: usize| list.machines.get(n.checked_sub(1)?);
        if let Some((target, _)) = number.and_then(at) {
            return Ok(target.clone());
        }
        lines.push("Type one of the numbers above.".to_owned());
    }
}

/// What a machine is to this one, by its own word.
enum Acquaintance<'a> {
    Paired(&'a Known),
    New,
    /// It has the name of a known one, and another key.
    Pretender,
}

impl<'a> Acquaintance<'a> {
    fn of(beacon: &Beacon, all: &'a [Known]) -> Self {
        let offers = |known: &&Known| match beacon.service {
            Service::Share => known.shares,
            _ => known.may_receive,
        };
        let mut receivers = all.iter().filter(offers);
        if let Some(known) = receivers.find(|known| beacon.may_be(&known.fingerprint)) {
            return Self::Paired(known);
        }
        let name = beacon.name.to_lowercase();
        let mut namesakes = all.iter().filter(|known| known.name.to_lowercase() == name);
        match namesakes.all(|known| beacon.may_be(&known.fingerprint)) {
            true => Self::New,
            false => Self::Pretender,
        }
    }

    fn rank(&self) -> u8 {
        match self {
            Self::Paired(_) => 0,
            Self::New => 1,
            Self::Pretender => 2,
        }
    }
}

/// What is listed.
#[derive(Default)]
struct ListedReceivers {
    /// Those that can be chosen, and whether they are paired.
    machines: Vec<(DialTarget, bool)>,
    /// Those that have the name of another one that is known here.
    pretenders: Vec<String>,
}

/// Adds one to the list, and says how it is shown there; none where it is there already.
fn listed(list: &mut ListedReceivers, beacon: Beacon, known: &[Known]) -> Option<String> {
    let at = PeerAddress::from(*beacon.addresses.first()?);
    let (target, name, what) = match Acquaintance::of(&beacon, known) {
        Acquaintance::Pretender => {
            let name = &beacon.name;
            let line = format!("   -) {name} at {at}: not the {name} that is known here");
            let is_new = list.pretenders.len() < MAX_PRETENDERS && !list.pretenders.contains(&line);
            return is_new.then(|| {
                list.pretenders.push(line.clone());
                line
            });
        }
        Acquaintance::Paired(known) => {
            let usual = known
                .address
                .as_ref()
                .map_or(DEFAULT_PORT, PeerAddress::port);
            match known.is_called(&beacon.name) {
                true if at.port() == usual && beacon.service == Service::Receiver => {
                    let name = known.name.clone();
                    (DialTarget::Name(name.clone()), name, "paired")
                }
                // Another receiver that has its key.
                is_called => {
                    let name = match is_called {
                        true => known.name.clone(),
                        false => beacon.name.clone(),
                    };
                    (DialTarget::Announced(Box::new(beacon)), name, "paired")
                }
            }
        }
        Acquaintance::New => {
            let name = beacon.instance.clone();
            (DialTarget::Announced(Box::new(beacon)), name, "new")
        }
    };
    let is_same = |(other, _): &(DialTarget, bool)| match (other, &target) {
        (DialTarget::Announced(a), DialTarget::Announced(b)) => a.instance == b.instance,
        (a, b) => a == b,
    };
    let machines = &mut list.machines;
    if machines.len() >= MAX_LISTED || machines.iter().any(is_same) {
        return None;
    }
    machines.push((target, what == "paired"));
    Some(format!("  {:2}) {name} at {at}, {what}", machines.len()))
}
