//! `Heard`: what machines on the network say of themselves while one of them is looked for.
//!
//! Must not be believed: it says where to ask, and whom not to take by chance.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use crate::model::error::{Error, FoundMachine, Result};
use crate::net::{Beacon, Browser, BrowserCloser, Fingerprint, Service, Sighting};
use crate::sys::worker::{self, Worker};

use super::news::News;

/// The most that are kept: more than a network of one office has.
const MAX_HEARD: usize = 256;
/// How long a network has to answer before the one that has answered is the only one.
const SETTLE: Duration = Duration::from_millis(1500);
/// How long it has behind the last one of that name.
const SETTLE_AFTER: Duration = Duration::from_millis(300);

/// A day: for ever, for whoever is closed when it is time.
const LONG: Duration = Duration::from_secs(86_400);

/// Who is there, of one service.
#[derive(Debug)]
pub(super) struct Heard {
    service: Service,
    since: Instant,
    all: Vec<Beacon>,
}

/// How many things that were heard can wait to be looked at.
const MAX_UNHEARD: usize = 1024;

/// Whoever hears others, until it is dropped.
pub(super) struct BeaconFeed {
    closer: BrowserCloser,
    /// How much was heard and not looked at yet.
    unheard: Arc<AtomicUsize>,
}

impl BeaconFeed {
    /// Hears others, and tells it to `tell`. The machines of `keys` come before all others.
    pub(super) fn start(keys: &[Fingerprint], tell: mpsc::Sender<News>) -> Result<Self> {
        let browser = Browser::start(keys)?;
        let (closer, unheard) = (browser.closer(), Arc::<AtomicUsize>::default());
        let heard = Arc::clone(&unheard);
        let hear = move || {
            while let Some(sighting) = browser.next(Instant::now() + LONG) {
                // The user may be asked meanwhile, and nobody looks: a flood is not kept.
                if heard.load(Ordering::Relaxed) >= MAX_UNHEARD {
                    continue;
                }
                heard.fetch_add(1, Ordering::Relaxed);
                if tell.send(News::Heard(sighting)).is_err() {
                    break;
                }
            }
        };
        let spawned = worker::spawn_detached(Worker::Discovery, hear, |_| ());
        spawned.map_err(|source| Error::Thread { source })?;
        Ok(Self { closer, unheard })
    }

    /// One thing that was heard has been looked at.
    pub(super) fn looked_at_one(&self) {
        self.unheard.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for BeaconFeed {
    fn drop(&mut self) {
        self.closer.close();
    }
}

impl Heard {
    pub(super) fn new(service: Service) -> Self {
        Self {
            service,
            since: Instant::now(),
            all: Vec::new(),
        }
    }

    /// Takes note of one; gives it back where it is there, and of the service that is looked for.
    pub(super) fn note(&mut self, sighting: Sighting) -> Option<Beacon> {
        match sighting {
            Sighting::Gone { instance } => {
                self.all.retain(|beacon| beacon.instance != instance);
                None
            }
            Sighting::Found(beacon) if beacon.service == self.service => {
                self.all.retain(|other| other.instance != beacon.instance);
                if self.all.len() < MAX_HEARD {
                    self.all.push(beacon.clone());
                }
                Some(beacon)
            }
            Sighting::Found(_) => None,
        }
    }

    /// When those who have a name have all had the time to say so, where one has just done it.
    pub(super) fn settles(&self) -> Instant {
        (self.since + SETTLE).max(Instant::now() + SETTLE_AFTER)
    }

    /// Those of a name. It may be what the machine calls itself, or what its announcement is
    /// called: none of them comes before the other, as both are only said.
    pub(super) fn named(&self, name: &str) -> Vec<&Beacon> {
        self.all.iter().filter(|b| is_named(b, name)).collect()
    }

    /// All of them.
    pub(super) fn all(&self) -> &[Beacon] {
        &self.all
    }

    /// All of them, to be shown.
    pub(super) fn machines(&self) -> Vec<FoundMachine> {
        let mut all: Vec<_> = self.all.iter().filter_map(machine).collect();
        all.sort_by(|a, b| a.instance.cmp(&b.instance));
        all
    }
}

/// Whether a machine says that it has this name.
pub(super) fn is_named(beacon: &Beacon, name: &str) -> bool {
    same(&beacon.name, name) || same(&beacon.instance, name)
}

/// The port that a receiver announces.
pub(super) fn port(beacon: &Beacon) -> u16 {
    beacon.addresses.first().map_or(0, SocketAddr::port)
}

/// One, to be shown.
pub(super) fn machine(beacon: &Beacon) -> Option<FoundMachine> {
    Some(FoundMachine {
        name: beacon.name.clone(),
        instance: beacon.instance.clone(),
        addr: *beacon.addresses.first()?,
        fingerprint: beacon.fingerprint.to_string(),
    })
}

fn same(a: &str, b: &str) -> bool {
    a.to_lowercase() == b.to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::super::candidates::one_for_each_port;
    use super::*;
    use crate::net::FingerprintStart;

    fn beacon(instance: &str, name: &str, key: u8) -> Sighting {
        Sighting::Found(Beacon {
            name: name.to_owned(),
            instance: instance.to_owned(),
            service: Service::Receiver,
            fingerprint: FingerprintStart::of(&Fingerprint([key; 32])),
            version: 1,
            addresses: vec![([10, 0, 0, key], 9090).into()],
        })
    }

    #[test]
    fn names_are_of_machines_and_of_announcements() {
        let mut heard = Heard::new(Service::Receiver);
        for sighting in [
            beacon("laptop", "laptop", 1),
            beacon("laptop (2)", "laptop", 2),
            beacon("Desktop", "Desktop", 3),
            // The same machine, under two names.
            beacon("Desktop (2)", "Desktop", 3),
        ] {
            assert!(heard.note(sighting).is_some());
        }
        let named = |heard: &Heard, name: &str| {
            let found = one_for_each_port(heard.named(name)).into_iter();
            found.map(|b| b.instance.clone()).collect::<Vec<_>>()
        };
        assert_eq!(named(&heard, "laptop"), ["laptop", "laptop (2)"]);
        assert_eq!(named(&heard, "LAPTOP (2)"), ["laptop (2)"]);
        // Nobody is meant more than another one by what it calls its announcement.
        assert!(heard.note(beacon("LAPTOP", "zzz", 9)).is_some());
        assert_eq!(named(&heard, "laptop").len(), 3);
        // Another receiver of the same machine, and the same one on another network.
        for (instance, port) in [("laptop (3)", 9191), ("laptop (4)", 9090)] {
            let Sighting::Found(mut other) = beacon(instance, "laptop", 1) else {
                continue;
            };
            other.addresses[0].set_port(port);
            assert!(heard.note(Sighting::Found(other)).is_some());
        }
        assert_eq!(
            named(&heard, "laptop"),
            ["LAPTOP", "laptop", "laptop (2)", "laptop (3)"]
        );
        for instance in ["laptop (3)", "laptop (4)"] {
            let instance = instance.to_owned();
            assert_eq!(heard.note(Sighting::Gone { instance }), None);
        }
        assert_eq!(
            heard.note(Sighting::Gone {
                instance: "LAPTOP".to_owned()
            }),
            None
        );
        assert_eq!(named(&heard, "desktop").len(), 1);
        assert_eq!(named(&heard, "lap"), [""; 0]);
        let gone = "laptop".to_owned();
        assert_eq!(heard.note(Sighting::Gone { instance: gone }), None);
        assert_eq!(heard.named("laptop").len(), 1);
    }
}
