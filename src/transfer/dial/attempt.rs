//! One attempt to connect to one address, up to the channel: with packets of ordinary size, and
//! with small ones where those do not pass.
//!
//! Must not choose the address, nor know who is to be there.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tracing::debug;

use crate::model::error::{Error, Result};
use crate::net::{Channel, Closer, FIRST_WORDS, Tls};
use crate::sys::socket;

/// How long connecting to one address may take.
const CONNECT: Duration = Duration::from_secs(10);
/// How soon a receiver answers that was silent before because packets were too large, and not
/// because it is slow.
const PROMPT: Duration = Duration::from_secs(3);
/// How many bytes a small packet carries at most: as many as pass every network that has IPv6, and
/// two tunnels in one another.
const SMALL_PACKET: u16 = 1200;

/// Of what size packets are. Clones are the same.
#[derive(Debug, Clone, Default)]
pub(in super::super) struct Packets(Arc<AtomicBool>);

impl Packets {
    /// On new connections, from now on, they are small, either way.
    pub(in super::super) fn shrink(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// On new connections, from now on, they are as large as the system makes them.
    pub(in super::super) fn grow(&self) {
        self.0.store(false, Ordering::Relaxed);
    }

    /// Others of the same size, which change by themselves.
    pub(in super::super) fn apart(&self) -> Self {
        Self(Arc::new(self.are_small().into()))
    }

    pub(in super::super) fn are_small(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Connects to an address. Where somebody is there who says the first word and nothing behind it,
/// it tries again with small packets. Of each connection that it tries, it says before what ends
/// it: `tries`.
pub(in super::super) fn dial(
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
