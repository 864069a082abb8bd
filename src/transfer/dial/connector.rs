//! `Connector`: from where a receiver is to one that is known and trusted.
//!
//! Must not know what is said to it then.

use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;

use tracing::debug;

use crate::model::error::{Error, Result};
use crate::model::outcome::{Ability, Role};
use crate::model::progress::{Event, Peer, Progress};
use crate::model::prompt::Prompt;
use crate::net::{Channel, Fingerprint, Greeted, Known, Ours, Peers, Tls, greet, say_last};
use crate::wire::{Features, Message};

use super::super::cancel::{Cancel, OnCancel};
use super::super::options::Address;
use super::attempt::{Packets, dial};

/// What it takes to get to know a receiver.
pub(in super::super) struct Connector<'a> {
    pub(in super::super) tls: Tls,
    pub(in super::super) peers: &'a Peers,
    pub(in super::super) prompt: &'a Arc<dyn Prompt>,
    pub(in super::super) progress: &'a Arc<dyn Progress>,
    pub(in super::super) cancel: &'a Cancel,
    pub(in super::super) packets: Packets,
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

impl Connector<'_> {
    /// Connects to a receiver, and pairs with it where that is needed.
    pub(in super::super) fn dial(&self, to: &Address, name: &str, open: bool) -> Result<Dialed> {
        self.greet(to, name, open, true)
    }

    /// Connects to a machine that this one has something else for than files, and pairs with it
    /// where that is needed.
    #[allow(dead_code)]
    pub(in super::super) fn dial_for(
        &self,
        to: &Address,
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

    pub(super) fn pair(&self, to: &Address, name: &str) -> Result<Peer> {
        // With a code to prove who is there, it does not matter who was there before.
        let mut dialed = self.greet(to, name, false, false)?;
        let _ = say_last(&mut dialed.channel, &Message::Leave(()));
        Ok(dialed.greeted.peer)
    }

    fn greet(&self, to: &Address, name: &str, open: bool, alarm: bool) -> Result<Dialed> {
        let (mut channel, addr) = self.connect(to)?;
        let closer = channel.closer.clone();
        let cancel = self.cancel.on_cancel(move || closer.close());
        self.check(to, &channel, alarm)?;
        let ours = Ours {
            fingerprint: self.tls.fingerprint(),
            name,
            open,
            asks: false,
            peers: self.peers,
        };
        let greeted = greet(&mut channel, ours, self.prompt)?;
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

    /// The machine must be the one that was meant, and, with `alarm`, the one that was there
    /// before, if any was.
    fn check(&self, to: &Address, channel: &Channel, alarm: bool) -> Result<()> {
        let seen = channel.fingerprint;
        let all = self.peers.list()?;
        let impostor = |name: String, known: Fingerprint| {
            Err(Error::Impostor {
                peer: channel.peer,
                name,
                known: known.to_string(),
                seen: seen.to_string(),
            })
        };
        if let Some(meant) = to.fingerprint.filter(|meant| *meant != seen) {
            let known = all.iter().find(|k| k.fingerprint == meant);
            let name = known.map_or_else(|| "machine".to_owned(), |k| k.name.clone());
            return impostor(name, meant);
        }
        let at = Some(channel.peer.into());
        let here = |k: &&Known| k.address == at;
        match all.iter().find(here) {
            Some(k) if alarm && k.fingerprint != seen && seen != self.tls.fingerprint() => {
                impostor(k.name.clone(), k.fingerprint)
            }
            _ => Ok(()),
        }
    }

    /// Connects to the first of the host's addresses that answers.
    fn connect(&self, to: &Address) -> Result<(Channel, SocketAddr)> {
        let (host, port) = (to.host.as_str(), to.port);
        let resolve = |source| Error::Resolve {
            host: host.to_owned(),
            source,
        };
        let name = (host.to_owned(), port);
        let addrs = self.cancel.unless(move || Ok(name.to_socket_addrs()))?;
        let mut error = None;
        for addr in addrs.map_err(resolve)? {
            self.progress.event(&Event::Connecting { addr });
            debug!(%addr, "connecting");
            let (tls, packets) = (self.tls.clone(), self.packets.clone());
            match self
                .cancel
                .unless(move || dial(&tls, addr, &packets, |_| ()))
            {
                Ok(channel) => return Ok((channel, addr)),
                Err(Error::Cancelled) => return Err(Error::Cancelled),
                // The first error is about the address that the system prefers.
                Err(e) => error = error.or(Some(e)),
            }
        }
        Err(error.unwrap_or_else(|| resolve(std::io::ErrorKind::NotFound.into())))
    }
}
