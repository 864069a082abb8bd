//! `SeenInstances`: a bounded queue of instances that were seen and not yet reported.
//!
//! Must not let strangers crowd out known machines, nor one machine all others.

use std::collections::{HashMap, HashSet, VecDeque};
use std::net::IpAddr;

use super::beacon::{Beacon, FingerprintStart};

/// How many instances of strangers are kept.
const MAX_STRANGERS: usize = 256;
/// How many instances of one machine are kept: of one address, or of one known machine.
const MAX_OF_ONE: usize = 8;

/// A change that was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sighting {
    /// An instance is there, or has changed.
    Found(Beacon),
    /// An instance has gone.
    Gone {
        /// The name of its announcement.
        instance: String,
    },
}

/// Who an instance belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Owner {
    /// A known machine, by its claim.
    Known(FingerprintStart),
    /// The address that it claims.
    Stranger(IpAddr),
}

#[derive(Debug)]
struct SeenInstance {
    owner: Owner,
    /// `None` if it has gone.
    beacon: Option<Beacon>,
    /// Whether it was reported as found.
    told: bool,
    /// Whether it waits to be reported.
    waits: bool,
    /// Increases with each time an instance is seen.
    at: u64,
}

/// The instances that were seen, by name.
#[derive(Debug, Default)]
pub(super) struct SeenInstances {
    known: HashSet<FingerprintStart>,
    all: HashMap<String, SeenInstance>,
    waiting: VecDeque<String>,
    sightings: u64,
    /// The value of `sightings` when the daemon was replaced: older instances are seen again, or
    /// have gone.
    replaced_at: u64,
}

impl SeenInstances {
    /// An empty queue. Machines in `known` do not count as strangers.
    pub(super) fn new(known: HashSet<FingerprintStart>) -> Self {
        Self {
            known,
            ..Self::default()
        }
    }

    /// Notes that an instance is there.
    pub(super) fn found(&mut self, beacon: Beacon) {
        let owner = match beacon.addresses.first() {
            _ if self.known.contains(&beacon.fingerprint) => Owner::Known(beacon.fingerprint),
            Some(first) => Owner::Stranger(first.ip()),
            None => return,
        };
        self.sightings += 1;
        let at = self.sightings;
        let instance = beacon.instance.clone();
        match self.all.get_mut(&instance) {
            Some(seen) => {
                seen.at = at;
                // It was reported already, and has not changed.
                if seen.beacon.as_ref() == Some(&beacon) {
                    return;
                }
                seen.owner = owner;
                seen.beacon = Some(beacon);
            }
            None => {
                self.make_room(owner);
                let seen = SeenInstance {
                    owner,
                    beacon: Some(beacon),
                    told: false,
                    waits: false,
                    at,
                };
                self.all.insert(instance.clone(), seen);
            }
        }
        self.tell(&instance);
    }

    /// Notes that an instance has gone.
    pub(super) fn gone(&mut self, instance: &str) {
        let Some(seen) = self.all.get_mut(instance) else {
            return;
        };
        if seen.told {
            seen.beacon = None;
            self.tell(instance);
        } else {
            self.forget(instance);
        }
    }

    /// Notes that another daemon reports from here on.
    pub(super) fn replaced(&mut self) {
        self.replaced_at = self.sightings;
    }

    /// Notes that the new daemon has had its time: instances that it has not seen have gone.
    pub(super) fn settled(&mut self) {
        let before = self.replaced_at;
        let old = self.all.iter().filter(|(_, seen)| seen.at <= before);
        let old: Vec<_> = old.map(|(instance, _)| instance.clone()).collect();
        old.iter().for_each(|instance| self.gone(instance));
        self.replaced_at = 0;
    }

    /// The next change to report.
    pub(super) fn next(&mut self) -> Option<Sighting> {
        let instance = self.waiting.pop_front()?;
        let seen = self.all.get_mut(&instance)?;
        seen.waits = false;
        match &seen.beacon {
            Some(beacon) => {
                seen.told = true;
                Some(Sighting::Found(beacon.clone()))
            }
            None => {
                self.all.remove(&instance);
                Some(Sighting::Gone { instance })
            }
        }
    }

    fn tell(&mut self, instance: &str) {
        if let Some(seen) = self.all.get_mut(instance)
            && !seen.waits
        {
            seen.waits = true;
            self.waiting.push_back(instance.to_owned());
        }
    }

    fn forget(&mut self, instance: &str) {
        if self.all.remove(instance).is_some_and(|seen| seen.waits) {
            self.waiting.retain(|other| other != instance);
        }
    }

    /// Drops the instance that was seen longest ago, if one more would be too many.
    fn make_room(&mut self, owner: Owner) {
        let live = || self.all.iter().filter(|(_, seen)| seen.beacon.is_some());
        let oldest = |all: &mut dyn Iterator<Item = (&String, &SeenInstance)>, most: usize| {
            let (mut count, mut oldest) = (0, None::<(&String, u64)>);
            for (instance, seen) in all {
                count += 1;
                if oldest.is_none_or(|(_, at)| seen.at < at) {
                    oldest = Some((instance, seen.at));
                }
            }
            (count >= most).then(|| oldest.map(|(instance, _)| instance.clone()))?
        };
        let of_it = oldest(
            &mut live().filter(|(_, seen)| seen.owner == owner),
            MAX_OF_ONE,
        );
        let too_old = of_it.or_else(|| {
            let is_stranger = |owner| matches!(owner, Owner::Stranger(_));
            if !is_stranger(owner) {
                return None;
            }
            let mut strangers = live().filter(|(_, seen)| is_stranger(seen.owner));
            oldest(&mut strangers, MAX_STRANGERS)
        });
        if let Some(instance) = too_old {
            self.gone(&instance);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::beacon::Service;
    use super::*;
    use crate::net::Fingerprint;

    fn start(n: u8) -> FingerprintStart {
        FingerprintStart::of(&Fingerprint([n; 32]))
    }

    fn beacon(instance: &str, key: u8, ip: [u8; 4]) -> Beacon {
        Beacon {
            name: "name".to_owned(),
            instance: instance.to_owned(),
            service: Service::Receiver,
            fingerprint: start(key),
            version: 1,
            addresses: vec![(ip, 9090).into()],
        }
    }

    fn told(seen: &mut SeenInstances) -> Vec<String> {
        let told = std::iter::from_fn(|| seen.next());
        told.map(|sighting| match sighting {
            Sighting::Found(beacon) => beacon.instance,
            Sighting::Gone { instance } => format!("-{instance}"),
        })
        .collect()
    }

    #[test]
    fn each_is_told_of_once_and_again_when_it_has_changed() {
        let mut seen = SeenInstances::default();
        seen.found(beacon("a", 1, [10, 0, 0, 1]));
        seen.found(beacon("a", 1, [10, 0, 0, 1]));
        seen.found(beacon("b", 2, [10, 0, 0, 2]));
        assert_eq!(told(&mut seen), ["a", "b"]);
        seen.found(beacon("a", 1, [10, 0, 0, 1]));
        assert_eq!(told(&mut seen), [""; 0]);
        seen.found(beacon("a", 1, [10, 0, 0, 9]));
        seen.gone("b");
        seen.found(beacon("c", 3, [10, 0, 0, 3]));
        // It was not reported yet.
        seen.gone("c");
        seen.gone("never there");
        assert_eq!(told(&mut seen), ["a", "-b"]);
        seen.gone("a");
        seen.found(beacon("a", 1, [10, 0, 0, 9]));
        assert_eq!(told(&mut seen), ["a"]);
    }

    #[test]
    fn whom_another_daemon_does_not_see_is_gone() {
        let mut seen = SeenInstances::default();
        for n in 1..4 {
            seen.found(beacon(&n.to_string(), n, [10, 0, 0, n]));
        }
        assert_eq!(told(&mut seen), ["1", "2", "3"]);
        seen.replaced();
        seen.found(beacon("2", 2, [10, 0, 0, 2]));
        seen.settled();
        let mut gone = told(&mut seen);
        gone.sort();
        assert_eq!(gone, ["-1", "-3"]);
    }

    #[test]
    fn a_flood_leaves_room_for_others_and_takes_no_more() {
        let mut seen = SeenInstances::new([start(1)].into());
        seen.found(beacon("known", 1, [10, 0, 0, 1]));
        seen.found(beacon("stranger", 2, [10, 0, 0, 2]));
        // All from one machine.
        for n in 0..10_000 {
            seen.found(beacon(&format!("flood {n}"), 3, [10, 0, 0, 3]));
        }
        assert_eq!(seen.all.len(), 2 + MAX_OF_ONE);
        let first = told(&mut seen);
        assert!(first.contains(&"known".to_owned()) && first.contains(&"stranger".to_owned()));
        // Each claims another address.
        for n in 0..60_000_u32 {
            let [_, _, c, d] = n.to_be_bytes();
            seen.found(beacon(&format!("many {n}"), 4, [10, 1, c, d]));
        }
        // Reported ones have gone, but that is not reported yet.
        assert!(seen.all.len() <= 1 + 2 * MAX_STRANGERS);
        assert!(seen.waiting.len() <= 1 + 2 * MAX_STRANGERS);
        assert!(seen.all["known"].beacon.is_some());
        // There is still room for a late one.
        seen.found(beacon("late", 5, [10, 0, 0, 5]));
        assert!(told(&mut seen).contains(&"late".to_owned()));
        // Those that claim to be the known machine take up no more room either.
        for n in 0..1_000 {
            seen.found(beacon(&format!("liar {n}"), 1, [10, 2, 0, 1]));
        }
        let liars = seen
            .all
            .values()
            .filter(|seen| seen.owner == Owner::Known(start(1)));
        assert_eq!(
            liars.filter(|seen| seen.beacon.is_some()).count(),
            MAX_OF_ONE
        );
    }
}
