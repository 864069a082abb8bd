//! `Connector`: from where a receiver is to one that is known and trusted.
//!
//! Must not know what is said to it then.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tracing::debug;

use crate::model::error::{Error, Result};
use crate::model::outcome::{Ability, Role};
use crate::model::progress::{Event, Peer, Progress};
use crate::model::prompt::Prompt;
use crate::net::{Channel, Fingerprint, Greeted, Ours, Peers, Service, Tls, greet, say_last};
use crate::wire::{Features, Message};

use super::super::cancel::{Cancel, OnCancel};
use super::super::options::{DEFAULT_PORT, Device, DialTarget};
use super::attempt::Packets;
use super::means::SearchMeans;
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
    /// The key of the one that was dialed, and where it was: a name is nobody else's from then on.
    dialed: Mutex<Option<(Fingerprint, SocketAddr)>>,
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
        ability: Ability,
    ) -> Result<Dialed> {
        let feature = match ability {
            Ability::Commands => Features::COMMANDS,
            _ => Features::MESSAGES,
        };
        let mut dialed = self.greet(to, name, false, true)?;
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

    fn dialed(&self) -> MutexGuard<'_, Option<(Fingerprint, SocketAddr)>> {
        self.dialed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn means(&self, before: Option<(Fingerprint, SocketAddr)>) -> SearchMeans<'_> {
        SearchMeans {
            service: self.service,
            waits: self.waits && before.is_none(),
            last: before.map(|(_, addr)| addr),
            prompt: self.prompt,
            tls: &self.tls,
            packets: &self.packets,
            progress: self.progress,
            cancel: self.cancel,
        }
    }

    fn greet(&self, to: &DialTarget, name: &str, open: bool, alarm: bool) -> Result<Dialed> {
        if let Some(name) = to.given_name() {
            self.progress.event(&Event::Named { name });
        }
        let before = *self.dialed();
        let key = before.map(|(key, _)| key);
        let whom = Whom::new(to, key, self.tls.fingerprint(), self.peers, alarm)?;
        let (mut channel, addr) = Search::new(self.means(before), to, whom).run()?;
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
        };
        let greeted = greet(&mut channel, ours, self.prompt)?;
        let name = greeted.peer.name.as_str();
        self.progress.event(&Event::Named { name });
        *self.dialed() = Some((channel.fingerprint, addr));
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
                role: Role::Sender,
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
