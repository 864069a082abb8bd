//! Finding a receiver, and getting to know it: addresses, the channel, who it is, pairing.
//!
//! Must not tell it anything of what is to be sent.

use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tracing::debug;

use crate::model::error::{Error, Result};
use crate::model::outcome::Role;
use crate::model::progress::{Event, Peer, Progress};
use crate::model::prompt::Prompt;
use crate::net::{Channel, Closer, Fingerprint, Known, Peers, Tls};
use crate::net::{FIRST_WORDS, Greeted, Ours, greet, say_last};
use crate::sys::socket;
use crate::wire::Message;

use super::cancel::{Cancel, OnCancel};
use super::options::{Address, Device};

/// How long connecting to one address may take.
const CONNECT: Duration = Duration::from_secs(10);
/// How soon a receiver answers that was silent before because packets were too large, and not
/// because it is slow.
const PROMPT: Duration = Duration::from_secs(3);
/// How many bytes a small packet carries at most: as many as pass every network that has IPv6, and
/// two tunnels in one another.
const SMALL_PACKET: u16 = 1200;

/// Makes this machine and a receiver know each other, so that this one may send to it from then
/// on. Says who it is.
pub fn pair(
    device: &Device,
    to: &Address,
    name: &str,
    prompt: &Arc<dyn Prompt>,
    progress: &Arc<dyn Progress>,
    cancel: &Cancel,
) -> Result<Peer> {
    let connector = Connector {
        tls: Tls::new(&device.identity)?,
        peers: &device.peers,
        prompt,
        progress,
        cancel,
        packets: Packets::default(),
    };
    let dialed = connector.pair(to, name);
    match dialed {
        Err(_) if cancel.is_cancelled() => Err(Error::Cancelled),
        other => other,
    }
}

/// What it takes to get to know a receiver.
pub(super) struct Connector<'a> {
    pub(super) tls: Tls,
    pub(super) peers: &'a Peers,
    pub(super) prompt: &'a Arc<dyn Prompt>,
    pub(super) progress: &'a Arc<dyn Progress>,
    pub(super) cancel: &'a Cancel,
    pub(super) packets: Packets,
}

/// Of what size packets are. Clones are the same.
#[derive(Debug, Clone, Default)]
pub(super) struct Packets(Arc<AtomicBool>);

impl Packets {
    /// On new connections, from now on, they are small, either way.
    pub(super) fn shrink(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// On new connections, from now on, they are as large as the system makes them.
    pub(super) fn grow(&self) {
        self.0.store(false, Ordering::Relaxed);
    }

    /// Others of the same size, which change by themselves.
    pub(super) fn apart(&self) -> Self {
        Self(Arc::new(self.are_small().into()))
    }

    pub(super) fn are_small(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// A receiver that is trusted, and waits for an offer.
pub(super) struct Dialed {
    pub(super) channel: Channel,
    /// Where its lanes are to go.
    pub(super) addr: SocketAddr,
    pub(super) greeted: Greeted,
    /// Ends the channel when the user wants to stop.
    pub(super) cancel: OnCancel,
}

impl Connector<'_> {
    /// Connects to a receiver, and pairs with it where that is needed.
    pub(super) fn dial(&self, to: &Address, name: &str, open: bool) -> Result<Dialed> {
        self.greet(to, name, open, true)
    }

    fn pair(&self, to: &Address, name: &str) -> Result<Peer> {
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

/// Connects to an address. Where somebody is there who says the first word and nothing behind it,
/// it tries again with small packets. Of each connection that it tries, it says before what ends
/// it: `tries`.
pub(super) fn dial(
    tls: &Tls,
    addr: SocketAddr,
    packets: &Packets,
    tries: impl Fn(Closer),
) -> Result<Channel> {
    let connect = |size| {
        let failed = |source| Error::Connect { addr, source };
        let stream = Arc::new(socket::unconnected(addr).map_err(failed)?);
        tries(Closer::of(stream.clone()));
        socket::connect(&stream, addr, CONNECT, size).map_err(failed)?;
        tls.connect(stream, FIRST_WORDS)
    };
    if packets.are_small() {
        return connect(Some(SMALL_PACKET));
    }
    match connect(None) {
        Err(silent @ Error::Silent { .. }) => {
            debug!(%addr, "no answer to what may have been too large: trying small packets");
            let again = Instant::now();
            let channel = connect(Some(SMALL_PACKET)).map_err(|_| silent)?;
            if again.elapsed() < PROMPT {
                packets.shrink();
            }
            Ok(channel)
        }
        other => other,
    }
}
