//! `PresenceView`: which machines are there, and what was reported of them.
//!
//! Must not report a claim while it may still be proven, nor anything twice.

use std::collections::{HashMap, HashSet};
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::time::{Duration, Instant};

use super::asker::{Asker, KeyAnswer, MAX_WAITING, Origin};
use super::machine::{Change, Machine, Relation};
use crate::net::{Beacon, Fingerprint, FingerprintStart, Known, PeerAddress, Service, Sighting};
use crate::wire::VERSION;

/// How long it takes until all that one says of itself has come: it says it once on each network,
/// and in each family of addresses.
const SETTLE: Duration = Duration::from_millis(150);
/// The same where it shows its key at each of its addresses.
const SETTLE_PROOFS: Duration = Duration::from_millis(300);
/// How long a machine that answers where it was last has to announce what it is there.
const SETTLE_LAST: Duration = Duration::from_millis(1500);

/// How often a known machine that is not announced is asked again whether it is there.
const AGAIN: Duration = Duration::from_secs(10);

/// What one line is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum ToldLine {
    /// A receiver or a room that has shown its key, by its port: several of one machine can have one
    /// key.
    Proven(Fingerprint, Service, u16),
    /// One that says of itself that its fingerprint begins so, what it is called, and its port.
    Stranger(FingerprintStart, Service, String, u16),
    /// A claim that was not proven.
    Claim(Origin),
}

/// Something that may be there.
struct Instance {
    beacon: Beacon,
    proof: KeyProof,
}

enum KeyProof {
    /// It claims nothing that has to be proven.
    NotNeeded,
    /// So many addresses are to be asked yet; whether one had another key.
    Asked { left: usize, is_other: bool },
    /// This key was shown at these addresses.
    Shown(Fingerprint, Vec<SocketAddr>),
    /// It was not shown.
    Failed { is_other: bool },
}

/// Who is there, and what was told of it.
pub(super) struct PresenceView {
    asker: Asker,
    own: Fingerprint,
    known: Vec<Known>,
    instances: HashMap<Origin, Instance>,
    told: HashMap<ToldLine, Machine>,
    /// What is new, and when it is told of.
    settling: Vec<(Instant, ToldLine)>,
    watch: bool,
    /// When those who are not announced are asked again at their last addresses.
    again: Option<Instant>,
}

impl PresenceView {
    /// One with nobody in it.
    pub(super) fn new(asker: Asker, own: Fingerprint, known: Vec<Known>, watch: bool) -> Self {
        Self {
            asker,
            own,
            known,
            instances: HashMap::new(),
            told: HashMap::new(),
            settling: Vec::new(),
            again: watch.then(|| Instant::now() + AGAIN),
            watch,
        }
    }

    /// When there is something to do next, if there is.
    pub(super) fn due(&self) -> Option<Instant> {
        let settling = self.settling.iter().map(|(at, _)| *at);
        settling.chain(self.again).min()
    }

    /// Asks those who are not announced at their last addresses again, if it is time to.
    pub(super) fn ask_again(&mut self) {
        let now = Instant::now();
        if self.again.take_if(|at| *at <= now).is_none() {
            return;
        }
        self.again = Some(now + AGAIN);
        for key in self.known.iter().map(|known| known.fingerprint) {
            let origin = Origin::LastAddress(key);
            if let Some(last) = self.instances.get(&origin)
                && !self.is_announced(key)
            {
                for addr in &last.beacon.addresses {
                    self.asker.ask(&origin, *addr);
                }
            }
        }
    }

    /// Whether one that has announced itself has shown this key.
    fn is_announced(&self, key: Fingerprint) -> bool {
        self.instances.iter().any(|(of, instance)| {
            let is_it = matches!(instance.proof, KeyProof::Shown(shown, _) if shown == key);
            is_it && matches!(of, Origin::Instance(_))
        })
    }

    /// Has a known one show its key at its last address anew.
    fn ask_anew(&mut self, key: Fingerprint) {
        let origin = Origin::LastAddress(key);
        let Some(last) = self.instances.get_mut(&origin) else {
            return;
        };
        let asked = last.beacon.addresses.iter();
        let left = asked.filter(|addr| self.asker.ask(&origin, **addr)).count();
        let is_other = false;
        last.proof = match left {
            0 => KeyProof::Failed { is_other },
            left => KeyProof::Asked { left, is_other },
        };
    }

    /// Asks all that are known at their last addresses.
    pub(super) fn ask_known(&mut self) {
        for known in &self.known {
            let Some(addr) = known.address.as_ref().and_then(resolved) else {
                continue;
            };
            let origin = Origin::LastAddress(known.fingerprint);
            if !self.asker.ask(&origin, addr) {
                return;
            }
            let beacon = Beacon {
                name: known.name.clone(),
                instance: String::new(),
                service: Service::Receiver,
                fingerprint: FingerprintStart::of(&known.fingerprint),
                version: VERSION,
                addresses: vec![addr],
            };
            let proof = KeyProof::Asked {
                left: 1,
                is_other: false,
            };
            self.instances.insert(origin, Instance { beacon, proof });
        }
    }

    /// Somebody is there, or gone.
    pub(super) fn sighted(&mut self, sighting: Sighting, tell: &mut impl FnMut(&Change)) {
        let beacon = match sighting {
            Sighting::Found(beacon) => beacon,
            Sighting::Gone { instance } => return self.forget(&Origin::Instance(instance), tell),
        };
        let origin = Origin::Instance(beacon.instance.clone());
        let claims = self.claimed(&beacon).is_some();
        let before = self.line(&origin);
        let mut left = 0;
        if claims {
            let asked = beacon.addresses.iter();
            left = asked.filter(|addr| self.asker.ask(&origin, **addr)).count();
        }
        // What it has shown where it still is, it need not show again.
        let before_proof = self.instances.get(&origin).map(|before| &before.proof);
        let shown = before_proof.and_then(|proof| match proof {
            KeyProof::Shown(key, at) if beacon.may_be(key) => {
                let still = |addr: &&SocketAddr| beacon.addresses.contains(addr);
                let at: Vec<_> = at.iter().filter(still).copied().collect();
                (!at.is_empty()).then_some((*key, at))
            }
            _ => None,
        });
        let is_other = false;
        let proof = match (claims, shown, left) {
            (false, ..) => KeyProof::NotNeeded,
            (true, Some((key, at)), _) => KeyProof::Shown(key, at),
            (true, None, 0) => KeyProof::Failed { is_other },
            (true, None, left) => KeyProof::Asked { left, is_other },
        };
        self.instances
            .insert(origin.clone(), Instance { beacon, proof });
        let after = self.line(&origin);
        // While it is asked for its key it is still told of as before.
        if let Some(before) =
            before.filter(|before| after.is_some() && after.as_ref() != Some(before))
        {
            self.tell(&before, tell);
        }
        if let Some(after) = after {
            self.tell(&after, tell);
        }
    }

    /// Somebody was asked for a key.
    pub(super) fn answered(&mut self, answer: KeyAnswer, tell: &mut impl FnMut(&Change)) {
        self.asker.answered();
        let Some(instance) = self.instances.get(&answer.of) else {
            return;
        };
        let meant = self.claimed(&instance.beacon);
        let seen = answer.seen.filter(|seen| meant.as_ref() == Some(seen));
        let Some(instance) = self.instances.get_mut(&answer.of) else {
            return;
        };
        let is_last = matches!(answer.of, Origin::LastAddress(_));
        let mut lines = Vec::new();
        match (&mut instance.proof, seen) {
            (KeyProof::NotNeeded, _) => return,
            // It may be about an address that it had before.
            (_, Some(_)) if !instance.beacon.addresses.contains(&answer.addr) => return,
            (KeyProof::Shown(key, at), Some(seen)) if *key == seen => {
                if !at.contains(&answer.addr) {
                    at.push(answer.addr);
                }
            }
            // One that was there is asked again at its last address alone.
            (KeyProof::Shown(key, _), None) if is_last => {
                lines.push(ToldLine::Proven(
                    *key,
                    Service::Receiver,
                    port(&instance.beacon),
                ));
                let is_other = answer.seen.is_some();
                instance.proof = KeyProof::Failed { is_other };
            }
            (KeyProof::Shown(..), _) => return,
            (proof, Some(seen)) => *proof = KeyProof::Shown(seen, vec![answer.addr]),
            (KeyProof::Asked { left, is_other }, None) => {
                *left = left.saturating_sub(1);
                *is_other |= answer.seen.is_some();
                if *left > 0 {
                    return;
                }
                instance.proof = KeyProof::Failed {
                    is_other: *is_other,
                };
            }
            (KeyProof::Failed { .. }, None) => return,
        }
        lines.extend(self.line(&answer.of));
        // It may have been told of as a receiver, where its room is.
        if let Some(ToldLine::Proven(key, Service::Room | Service::Share, port)) = lines.last() {
            lines.push(ToldLine::Proven(*key, Service::Receiver, *port));
        }
        lines.iter().for_each(|line| self.tell(line, tell));
    }

    /// Tells of those who have had their time to say all that they say.
    pub(super) fn settled(&mut self, tell: &mut impl FnMut(&Change)) {
        let now = Instant::now();
        let settled = self.settling.extract_if(.., |(at, _)| *at <= now);
        for (_, line) in settled.collect::<Vec<_>>() {
            self.tell_now(&line, tell);
        }
    }

    /// Those who did not answer in time are told of as what they are.
    pub(super) fn time_is_over(&mut self, tell: &mut impl FnMut(&Change)) {
        let mut lines: Vec<_> = self.settling.drain(..).map(|(_, line)| line).collect();
        let late: Vec<_> = self.instances.keys().cloned().collect();
        for origin in late {
            if let Some(Instance { proof, .. }) = self.instances.get_mut(&origin)
                && let KeyProof::Asked { is_other, .. } = *proof
            {
                // Who answers yet is told of yet.
                *proof = KeyProof::Failed { is_other };
                lines.extend(self.line(&origin));
            }
        }
        lines.iter().for_each(|line| self.tell_now(line, tell));
        for known in &self.known {
            let is_it = |machine: &Machine| matches!(&machine.relation, Relation::Known(k) if k.fingerprint == known.fingerprint);
            if !self.told.values().any(is_it) {
                tell(&Change::Missing(known.clone()));
            }
        }
    }

    fn forget(&mut self, origin: &Origin, tell: &mut impl FnMut(&Change)) {
        let line = self.line(origin);
        let removed = self.instances.remove(origin);
        // Where it was last it may not be any more, either.
        if let Some(Instance { proof, .. }) = removed
            && let KeyProof::Shown(key, _) = proof
        {
            self.ask_anew(key);
        }
        if let Some(line) = line {
            self.tell(&line, tell);
        }
    }

    /// The key that it claims to have, if that has to be proven.
    fn claimed(&self, beacon: &Beacon) -> Option<Fingerprint> {
        let known = self.known.iter().map(|known| known.fingerprint);
        known.chain([self.own]).find(|key| beacon.may_be(key))
    }

    /// The line that tells of it; none where there is nothing to tell yet.
    fn line(&self, origin: &Origin) -> Option<ToldLine> {
        let Instance { beacon, proof } = self.instances.get(origin)?;
        match proof {
            KeyProof::Asked { .. } => None,
            // Its last address is that of its room.
            KeyProof::Shown(key, _) if self.is_of_a_room(origin, *key, beacon) => None,
            KeyProof::Shown(key, _) => Some(ToldLine::Proven(*key, beacon.service, port(beacon))),
            KeyProof::NotNeeded => {
                let name = beacon.name.clone();
                let (start, service) = (beacon.fingerprint, beacon.service);
                Some(ToldLine::Stranger(start, service, name, port(beacon)))
            }
            // A known one that is not at its last address is no claim of anybody.
            KeyProof::Failed { .. } if matches!(origin, Origin::LastAddress(_)) => None,
            KeyProof::Failed { .. } => Some(ToldLine::Claim(origin.clone())),
        }
    }

    /// Whether where a machine was last now is a room or a share of it, by what it has announced.
    fn is_of_a_room(&self, origin: &Origin, key: Fingerprint, last: &Beacon) -> bool {
        let is_it = |room: &Instance| {
            let at = &room.beacon.addresses;
            room.beacon.service != Service::Receiver
                && matches!(room.proof, KeyProof::Shown(shown, _) if shown == key)
                && last.addresses.iter().any(|addr| at.contains(addr))
        };
        matches!(origin, Origin::LastAddress(_)) && self.instances.values().any(is_it)
    }

    /// Tells of it as soon as it has had its time to say all that it says.
    fn tell(&mut self, line: &ToldLine, tell: &mut impl FnMut(&Change)) {
        let is_gone = self.told.contains_key(line) && self.machine(line).is_none();
        if is_gone || self.settling.len() >= MAX_WAITING {
            self.tell_now(line, tell);
            return;
        }
        let time = match line {
            ToldLine::Proven(key, ..) if !self.is_announced(*key) => SETTLE_LAST,
            ToldLine::Proven(..) => SETTLE_PROOFS,
            _ => SETTLE,
        };
        let at = Instant::now() + time;
        match self.settling.iter_mut().find(|(_, other)| other == line) {
            Some((settles, _)) => *settles = at.min(*settles),
            None => self.settling.push((at, line.clone())),
        }
    }

    fn tell_now(&mut self, line: &ToldLine, tell: &mut impl FnMut(&Change)) {
        let Some(machine) = self.machine(line) else {
            if let Some(machine) = self.told.remove(line) {
                tell(&Change::Gone(machine));
            }
            return;
        };
        let before = self.told.get(line);
        // Told once is enough, unless somebody watches and it moves.
        let same = |before: &Machine| {
            let moved = !machine.addresses.contains(&before.addresses[0]);
            !(self.watch && (moved || before.relation != machine.relation))
        };
        if before.is_some_and(same) {
            return;
        }
        tell(&Change::Here(machine.clone()));
        self.told.insert(line.clone(), machine);
    }

    /// What there is to tell of a line; none where there is nothing any more.
    fn machine(&self, line: &ToldLine) -> Option<Machine> {
        let of_it = |origin: &&Origin| self.line(origin).as_ref() == Some(line);
        let mut origins: Vec<_> = self.instances.keys().filter(of_it).collect();
        // What is announced before where it was last.
        origins.sort_by_key(|origin| match origin {
            Origin::Instance(name) => (0, name.clone()),
            Origin::LastAddress(_) => (1, String::new()),
        });
        let first = self.instances.get(*origins.first()?)?;
        let mut addresses = Vec::new();
        for origin in &origins {
            let Some(Instance { beacon, proof }) = self.instances.get(*origin) else {
                continue;
            };
            let shown =
                |addr: &&SocketAddr| matches!(proof, KeyProof::Shown(_, at) if at.contains(addr));
            addresses.extend(beacon.addresses.iter().filter(shown));
            addresses.extend(beacon.addresses.iter().filter(|addr| !shown(addr)));
        }
        let mut once = HashSet::new();
        addresses.retain(|addr| once.insert(*addr));
        let beacon = &first.beacon;
        let (name, relation) = self.relation(first);
        Some(Machine {
            name,
            relation,
            service: beacon.service,
            fingerprint: beacon.fingerprint,
            version: beacon.version,
            addresses,
        })
    }

    /// Whether more than one of a service has shown this key.
    fn has_others(&self, key: Fingerprint, beacon: &Beacon) -> bool {
        let is_other = |other: &Instance| {
            matches!(other.proof, KeyProof::Shown(shown, _) if shown == key)
                && other.beacon.service == beacon.service
                && port(&other.beacon) != port(beacon)
        };
        self.instances.values().any(is_other)
    }

    /// What it is called, and who it is.
    fn relation(&self, Instance { beacon, proof }: &Instance) -> (String, Relation) {
        let of_key = |key: Fingerprint| self.known.iter().find(|known| known.fingerprint == key);
        let name = beacon.name.clone();
        match proof {
            KeyProof::Shown(key, _) => match of_key(*key) {
                // Another receiver of that machine has its own name.
                Some(known) if !known.is_called(&name) && self.has_others(*key, beacon) => {
                    (name, Relation::Known(known.clone()))
                }
                Some(known) => (known.name.clone(), Relation::Known(known.clone())),
                None => (name, Relation::Own),
            },
            KeyProof::Asked { is_other, .. } | KeyProof::Failed { is_other } => {
                let known = self.claimed(beacon).and_then(of_key);
                let claims = known.map_or_else(|| name.clone(), |known| known.name.clone());
                let is_other = *is_other;
                (name, Relation::Unproven { claims, is_other })
            }
            KeyProof::NotNeeded => {
                let lower = name.to_lowercase();
                let mut known = self.known.iter();
                let relation = match known.find(|known| known.name.to_lowercase() == lower) {
                    Some(known) => Relation::Namesake(known.clone()),
                    None => Relation::New,
                };
                (name, relation)
            }
        }
    }
}

fn port(beacon: &Beacon) -> u16 {
    beacon.addresses.first().map_or(0, SocketAddr::port)
}

/// Only numbers are looked up, and the names of interfaces.
fn resolved(address: &PeerAddress) -> Option<SocketAddr> {
    let found = (address.host(), address.port()).to_socket_addrs();
    found.ok()?.next()
}
