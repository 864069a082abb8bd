//! `Connector`: from where a receiver is to one that is known and trusted.
//!
//! Must not know what is said to it then.

use std::iter;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tracing::debug;

use crate::model::error::{Error, FoundMachine, Result};
use crate::model::outcome::{Ability, Role};
use crate::model::progress::{Event, Peer, Progress, Trust};
use crate::model::prompt::Prompt;
use crate::net::{
    Beacon, Channel, Fingerprint, FingerprintStart, Greeted, Known, Ours, Peers, Service, Tls,
    greet, say_last,
};
use crate::wire::{Features, Message};

use super::super::cancel::{Cancel, OnCancel};
use super::super::options::{DEFAULT_PORT, Device, DialTarget};
use super::attempt::Packets;
use super::heard::machine;
use super::means::SearchMeans;
use super::reached::Reached;
use super::same_key::{self, Others};
use super::search::Search;
use super::whom::Whom;

/// What it takes to get to know a receiver.
pub(in super::super) struct Connector<'a> {
    pub(in super::super) tls: Tls,
    pub(in super::super) peers: &'a Peers,
    pub(in super::super) prompt: &'a Arc<dyn Prompt>,
    pub(in super::super) progress: &'a Arc<dyn Progress>,
    pub(in super::super) cancel: &'a Cancel,
    pub(in super::super) packets: Packets,
    /// What a machine of the name that is dialed is to offer.
    pub(in super::super) service: Service,
    /// Whether the first one to be dialed is waited for until it is there.
    pub(in super::super) waits: bool,
    /// The one that was dialed: a name is nobody else's from then on.
    dialed: Mutex<Option<Reached>>,
}

/// A receiver that is trusted, and waits for an offer.
pub(in super::super) struct Dialed {
    pub(in super::super) channel: Channel,
    /// Where its lanes are to go.
    pub(in super::super) addr: SocketAddr,
    pub(in super::super) greeted: Greeted,
    /// Ends the channel when the user wants to stop.
    pub(in super::super) cancel: OnCancel,
}

impl Dialed {
    fn reached(&self) -> Reached {
        Reached {
            key: self.channel.fingerprint,
            addr: self.addr,
            told: self.greeted.told.clone(),
        }
    }
}

impl<'a> Connector<'a> {
    /// For this device.
    pub(in super::super) fn new(
        device: &'a Device,
        prompt: &'a Arc<dyn Prompt>,
        progress: &'a Arc<dyn Progress>,
        cancel: &'a Cancel,
    ) -> Result<Self> {
        Ok(Self {
            tls: Tls::new(&device.identity)?,
            peers: &device.peers,
            prompt,
            progress,
            cancel,
            packets: Packets::default(),
            service: Service::Receiver,
            waits: false,
            dialed: Mutex::new(None),
        })
    }

    /// Connects to a receiver, and pairs with it where that is needed.
    pub(in super::super) fn dial(&self, to: &DialTarget, name: &str, open: bool) -> Result<Dialed> {
        self.greet(to, name, open, true)
    }

    /// Connects to a machine that this one has something else for than files, and pairs with it
    /// where that is needed.
    pub(in super::super) fn dial_for(
        &self,
        to: &DialTarget,
        name: &str,
        open: bool,
        ability: Ability,
    ) -> Result<Dialed> {
        let feature = match ability {
            Ability::Commands => Features::COMMANDS,
            Ability::Fetch => Features::FETCH,
            _ => Features::MESSAGES,
        };
        let mut dialed = self.greet(to, name, open, true)?;
        if dialed.channel.preambles.features().has(feature) {
            return Ok(dialed);
        }
        let _ = say_last(&mut dialed.channel, &Message::Leave(()));
        Err(Error::TooOld {
            peer: dialed.channel.peer,
            name: dialed.greeted.peer.name,
            ability,
        })
    }

    pub(super) fn pair(&self, to: &DialTarget, name: &str) -> Result<Peer> {
        // With a code to prove who is there, it does not matter who was there before.
        let mut dialed = self.greet(to, name, false, false)?;
        let _ = say_last(&mut dialed.channel, &Message::Leave(()));
        Ok(dialed.greeted.peer)
    }

    /// What this side does in a transfer.
    fn role(&self) -> Role {
        match self.service {
            Service::Receiver | Service::Room => Role::Sender,
            Service::Share => Role::Receiver,
        }
    }

    fn dialed(&self) -> MutexGuard<'_, Option<Reached>> {
        self.dialed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn means(&self, before: Option<&Reached>) -> SearchMeans<'_> {
        SearchMeans {
            service: self.service,
            waits: self.waits && before.is_none(),
            last: before.map(|before| before.addr),
            prompt: self.prompt,
            tls: &self.tls,
            packets: &self.packets,
            progress: self.progress,
            cancel: self.cancel,
        }
    }

    fn greet(&self, to: &DialTarget, name: &str, open: bool, alarm: bool) -> Result<Dialed> {
        let before = self.dialed().clone();
        let is_first = before.is_none();
        let mut dialed = self.greet_one(to, name, open, alarm, before)?;
        if is_first && let Some(meant) = self.other_than(to, &mut dialed)? {
            dialed = self.greet_one(&meant, name, open, alarm, None)?;
        }
        *self.dialed() = Some(dialed.reached());
        Ok(dialed)
    }

    /// Another receiver that has the key of the one that was greeted, where that is not the one that
    /// is meant: it calls itself otherwise, and is told that nothing follows.
    fn other_than(&self, to: &DialTarget, dialed: &mut Dialed) -> Result<Option<DialTarget>> {
        let DialTarget::Name(name) = to else {
            return Ok(None);
        };
        let reached = dialed.reached();
        let known = self.peers.find(reached.key)?;
        let is_by_key = matches!(dialed.greeted.peer.trust, Trust::Paired | Trust::SameUser)
            && !dialed.greeted.peer.is_new
            && self.service == Service::Receiver;
        // A name with dots is a host's: what its machine calls itself matters to nobody.
        let is_host = name.contains('.') || name.eq_ignore_ascii_case("localhost");
        let told = &reached.told;
        let is_it = told.to_lowercase() == name.to_lowercase()
            || known.as_ref().is_some_and(|known| {
                let by_its_name = known.name.to_lowercase() == name.to_lowercase();
                by_its_name && known.is_called(told)
            });
        if !is_by_key || is_host || is_it {
            return Ok(None);
        }
        debug!(
            told,
            name, "it has another name: are there others with its key?"
        );
        let means = self.means(None);
        let others = match same_key::others(&means, &reached, name)? {
            Others::Named(beacon) => {
                let _ = say_last(&mut dialed.channel, &Message::Leave(()));
                return Ok(Some(DialTarget::Announced(Box::new(beacon))));
            }
            Others::Unnamed(others) => self.proven(others, reached.key)?,
        };
        if others.is_empty() {
            self.note_name(&reached, name);
            return Ok(None);
        }
        let _ = say_last(&mut dialed.channel, &Message::Leave(()));
        let this = FoundMachine {
            name: told.clone(),
            instance: told.clone(),
            addr: reached.addr,
            fingerprint: FingerprintStart::of(&reached.key).to_string(),
        };
        let found: Vec<_> = iter::once(this)
            .chain(others.iter().filter_map(machine))
            .collect();
        match self.prompt.choose(name, &found) {
            Some(0) => Ok(Some(DialTarget::from(reached.addr))),
            Some(at) => {
                let chosen = at.checked_sub(1).and_then(|at| others.into_iter().nth(at));
                Ok(chosen.map(|beacon| DialTarget::Announced(Box::new(beacon))))
            }
            None if self.cancel.is_cancelled() => Err(Error::Cancelled),
            None => Err(Error::Ambiguous {
                name: name.clone(),
                found,
            }),
        }
    }

    /// Those of them that show the key: others only say that they have it.
    fn proven(&self, others: Vec<Beacon>, key: Fingerprint) -> Result<Vec<Beacon>> {
        let mut proven = Vec::new();
        for beacon in others {
            let target = DialTarget::Announced(Box::new(beacon.clone()));
            let whom = Whom::new(
                &target,
                None,
                self.service,
                self.tls.fingerprint(),
                self.peers,
                false,
            )?;
            match Search::new(self.means(None), &target, whom).run() {
                Ok((channel, _)) => {
                    channel.closer.close();
                    if channel.fingerprint == key {
                        proven.push(beacon);
                    }
                }
                Err(Error::Cancelled) => return Err(Error::Cancelled),
                Err(error) => debug!(?beacon, "not there: {error}"),
            }
        }
        Ok(proven)
    }

    /// Notes what the receiver of a paired machine calls itself now: it is the only one.
    fn note_name(&self, reached: &Reached, name: &str) {
        // It only saves time the next time.
        let _ = self.peers.update(|all| {
            let is_it = |known: &&mut Known| {
                known.fingerprint == reached.key && known.name.to_lowercase() == name.to_lowercase()
            };
            if let Some(known) = all.iter_mut().find(is_it) {
                known.calls_itself(&reached.told);
                known.received_at(reached.addr, false);
            }
            Ok(())
        });
    }

    /// Greets the first one that may be the one that is meant.
    fn greet_one(
        &self,
        to: &DialTarget,
        name: &str,
        open: bool,
        alarm: bool,
        before: Option<Reached>,
    ) -> Result<Dialed> {
        if let Some(name) = to.given_name() {
            self.progress.event(&Event::Named { name });
        }
        let means = self.means(before.as_ref());
        let whom = Whom::new(
            to,
            before,
            self.service,
            self.tls.fingerprint(),
            self.peers,
            alarm,
        )?;
        let (mut channel, addr) = Search::new(means, to, whom).run()?;
        let closer = channel.closer.clone();
        let cancel = self.cancel.on_cancel(move || closer.close());
        let ours = Ours {
            fingerprint: self.tls.fingerprint(),
            name,
            open,
            asks: false,
            peers: self.peers,
            // A room is on a port of its own.
            keeps_address: self.service == Service::Receiver,
            port_is_typed: matches!(to, DialTarget::Host { port, .. } if *port != DEFAULT_PORT),
            role: self.role(),
        };
        let greeted = greet(&mut channel, ours, self.prompt)?;
        let name = greeted.peer.name.as_str();
        self.progress.event(&Event::Named { name });
        debug!(
            peer = %channel.peer,
            name = greeted.peer.name,
            fingerprint = %channel.fingerprint,
            trust = ?greeted.peer.trust,
            paired_now = greeted.peer.is_new,
            "connected"
        );
        if greeted.peer.is_new {
            self.progress.event(&Event::Paired {
                caller: &greeted.peer.caller(),
                role: self.role(),
                ability: match self.role() {
                    Role::Sender => Ability::Files,
                    Role::Receiver => Ability::Fetch,
                },
            });
        }
        Ok(Dialed {
            channel,
            addr,
            greeted,
            cancel,
        })
    }
}
