//! `Whom`: whose key is taken for the machine that is meant.
//!
//! Must not talk to anybody: a key in, a verdict out.

use std::net::{SocketAddr, ToSocketAddrs as _};

use crate::model::error::{Error, Result};
use crate::net::{Beacon, Fingerprint, FingerprintStart, Known, PeerAddress, Peers, Service};

use super::super::options::{DEFAULT_PORT, DialTarget};
use super::heard::{is_named, port};
use super::reached::Reached;

/// Who is meant, and who is known here.
#[derive(Debug)]
pub(super) struct Whom {
    /// This machine's own key.
    ours: Fingerprint,
    all: Vec<Known>,
    /// What the one that is meant is called, and the key that it must have.
    meant: Option<(String, Fingerprint)>,
    /// The port that the user typed behind its name.
    port: Option<u16>,
    /// The receiver that was connected to before.
    before: Option<Reached>,
    /// Else how the key begins that it must have.
    begins: Option<FingerprintStart>,
    /// Whether another machine where a known one was is an alarm.
    alarm: bool,
}

/// Whether an announcement may be of the one that is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Match {
    /// It has the key, and the name or the place.
    Whole,
    /// It has the key, and another name: another receiver of that machine, or it was renamed.
    KeyOnly,
    No,
}

/// What is to be done with a machine that has proven its key.
#[derive(Debug)]
pub(super) enum Verdict {
    /// It may be the one.
    Take,
    /// It is not, for this reason. Others may be.
    PassOver(Error),
    /// It may be one of those that were passed over, as nobody here knows it.
    Unknown,
}

impl Whom {
    /// By what the user said, or by what it turned out to be `before`.
    pub(super) fn new(
        target: &DialTarget,
        before: Option<Reached>,
        service: Service,
        ours: Fingerprint,
        peers: &Peers,
        alarm: bool,
    ) -> Result<Self> {
        let all = peers.list()?;
        let (mut meant, mut begins, mut at_port) = (None, None, None);
        match (target, before.as_ref().map(|before| before.key)) {
            // An address is a place, but a paired name with a port is still that machine.
            (DialTarget::Host { port, .. }, _) => {
                let known = target
                    .given_name()
                    .and_then(|name| named(&all, name, service));
                meant = known.map(|k| (k.name.clone(), k.fingerprint));
                at_port = Some(*port);
            }
            (_, Some(key)) => meant = Some((target.name().to_owned(), key)),
            (DialTarget::Name(name), None) => {
                meant = named(&all, name, service).map(|k| (k.name.clone(), k.fingerprint));
            }
            (DialTarget::Announced(beacon), None) => begins = Some(beacon.fingerprint),
        }
        Ok(Self {
            ours,
            all,
            meant,
            port: at_port,
            begins,
            before,
            alarm,
        })
    }

    /// The known machine that is meant.
    pub(super) fn known(&self) -> Option<&Known> {
        let (_, key) = self.meant.as_ref()?;
        self.all.iter().find(|known| known.fingerprint == *key)
    }

    /// Where to look for that one first: where it was last, then at the default port of the same
    /// address, as the port may have been for one time only. A typed port replaces both.
    pub(super) fn last_known(&self) -> Vec<SocketAddr> {
        let address = self.known().and_then(|known| known.address.as_ref());
        let Some(at) = address else {
            return Vec::new();
        };
        // It is an address already, which the resolver has nobody to ask about.
        let found = (at.host().as_str(), at.port()).to_socket_addrs();
        let Some(last) = found.ok().and_then(|mut found| found.next()) else {
            return Vec::new();
        };
        let mut places = vec![self.place(last)];
        if self.port.is_none() && last.port() != DEFAULT_PORT {
            let mut usual = last;
            usual.set_port(DEFAULT_PORT);
            places.push(usual);
        }
        places
    }

    /// Where to connect, of an address of the machine that is meant: at the typed port, if any.
    pub(super) fn place(&self, mut addr: SocketAddr) -> SocketAddr {
        addr.set_port(self.port.unwrap_or(addr.port()));
        addr
    }

    /// Whether only one key is taken.
    pub(super) fn is_one(&self) -> bool {
        self.meant.is_some() || self.begins.is_some()
    }

    /// Whether a machine says that it is one that may be meant. For a name that is known here, that
    /// takes its key.
    pub(super) fn may_be(&self, beacon: &Beacon) -> bool {
        match (&self.meant, self.begins) {
            (Some((_, key)), _) => beacon.may_be(key),
            (None, Some(start)) => beacon.fingerprint == start,
            (None, None) => {
                let name = beacon.name.to_lowercase();
                let mut namesakes = self.all.iter().filter(|k| k.name.to_lowercase() == name);
                namesakes.all(|known| beacon.may_be(&known.fingerprint))
            }
        }
    }

    /// Whether an announcement is of the one key that is taken, and of which of its receivers.
    pub(super) fn matches(&self, beacon: &Beacon, target: &DialTarget) -> Match {
        if !self.is_one() || !self.may_be(beacon) {
            return Match::No;
        }
        let is_whole = match (&self.before, target) {
            // It is a place.
            (_, DialTarget::Host { .. }) => true,
            // Nobody else goes on with what it has begun.
            (Some(before), _) if is_named(beacon, &before.told) => true,
            (Some(_), _) => return Match::No,
            (None, DialTarget::Announced(chosen)) => {
                let is_same = beacon.instance == chosen.instance
                    || beacon.name == chosen.name && port(beacon) == port(chosen);
                if !is_same {
                    return Match::No;
                }
                true
            }
            (None, DialTarget::Name(name)) => {
                is_named(beacon, name) || self.known().is_some_and(|k| k.is_called(&beacon.name))
            }
        };
        match is_whole {
            true => Match::Whole,
            false => Match::KeyOnly,
        }
    }

    /// Whether it announces the port at which it is sought where it does not say so.
    pub(super) fn is_usual(&self, beacon: &Beacon) -> bool {
        port(beacon) == self.usual_port()
    }

    /// Where it listens, if on no other port.
    pub(super) fn usual_port(&self) -> u16 {
        let known = self.known().and_then(|known| known.address.as_ref());
        match &self.before {
            Some(before) => before.addr.port(),
            None => known.map_or(DEFAULT_PORT, PeerAddress::port),
        }
    }

    /// The keys of all that are known here.
    pub(super) fn keys(&self) -> Vec<Fingerprint> {
        self.all.iter().map(|known| known.fingerprint).collect()
    }

    /// Those that are known as receivers.
    pub(super) fn receivers(&self) -> impl Iterator<Item = &str> {
        let receivers = self.all.iter().filter(|known| known.may_receive);
        receivers.map(|known| known.name.as_str())
    }

    /// What is wrong with a machine that announces itself by the name of one that is known here, and
    /// says that it has another key.
    pub(super) fn pretender(&self, beacon: &Beacon) -> Option<Error> {
        let name = beacon.name.to_lowercase();
        let namesake = || self.all.iter().find(|k| k.name.to_lowercase() == name);
        let known = self.known().or_else(namesake)?;
        Some(Error::Impostor {
            peer: *beacon.addresses.first()?,
            name: known.name.clone(),
            known: known.fingerprint.to_string(),
            seen: beacon.fingerprint.to_string(),
        })
    }

    /// What is wrong with a machine that was chosen by its announcement, and has another key than
    /// that says.
    pub(super) fn other_key(
        &self,
        peer: SocketAddr,
        target: &DialTarget,
        announced: FingerprintStart,
        seen: Fingerprint,
    ) -> Error {
        Error::Impostor {
            peer,
            name: target.name().to_owned(),
            known: announced.to_string(),
            seen: seen.to_string(),
        }
    }

    /// What to do with a machine that has shown a key. Where one was passed over, only those that
    /// are known are taken.
    pub(super) fn judge(&self, peer: SocketAddr, seen: Fingerprint, wary: bool) -> Verdict {
        let is = self.all.iter().find(|known| known.fingerprint == seen);
        let impostor = |name: &str, known: Fingerprint| {
            let name = name.to_owned();
            Verdict::PassOver(match is {
                Some(other) => Error::OtherPeer {
                    peer,
                    name,
                    is: other.name.clone(),
                },
                None => Error::Impostor {
                    peer,
                    name,
                    known: known.to_string(),
                    seen: seen.to_string(),
                },
            })
        };
        if let Some((name, key)) = &self.meant {
            return match *key == seen {
                true => Verdict::Take,
                false => impostor(name, *key),
            };
        }
        let at = Some(peer.into());
        match self.all.iter().find(|known| known.address == at) {
            Some(was) if self.alarm && was.fingerprint != seen && seen != self.ours => {
                impostor(&was.name, was.fingerprint)
            }
            _ if wary && is.is_none() => Verdict::Unknown,
            _ => Verdict::Take,
        }
    }
}

/// The machine that is known by this name, as one with which this one does that.
fn named<'a>(all: &'a [Known], name: &str, service: Service) -> Option<&'a Known> {
    // Whoever is known by a name is nobody else where files are fetched either.
    let is_meant = |known: &&Known| known.may_receive || service == Service::Share;
    let some = || all.iter().filter(is_meant);
    let exactly = some().find(|known| known.name == name);
    exactly.or_else(|| some().find(|known| known.name.to_lowercase() == name.to_lowercase()))
}
