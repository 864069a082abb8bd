//! The exchange of preambles, in the clear, before anything else.
//!
//! Must not take more than its 16 bytes from the socket: the handshake is right behind them.

use std::io::{self, Read as _, Write as _};
use std::net::SocketAddr;
use std::time::Duration;

use super::timed::Timed;
use crate::model::error::{Error, Result};
use crate::wire::{PREAMBLE_BYTES, Preamble, Preambles, VERSION};

/// How long a peer has for its preamble, which it sends without waiting for anything.
const PREAMBLE_TIME: Duration = Duration::from_secs(2);

/// Sends this side's preamble and takes the peer's. One that is no xfer is named at its first
/// wrong byte, or when the rest does not come. Of one that says nothing nobody knows what it is.
pub(super) fn exchange(stream: Timed<'_>, peer: SocketAddr) -> Result<Preambles> {
    let mut stream = stream.within(PREAMBLE_TIME);
    let sent = Preamble::OURS.encode();
    // Not looked at yet: where the peer said something before it went, that tells more.
    let wrote = stream.write_all(&sent);
    let seen = read(stream, peer)?;
    let theirs = Preamble::decode(&seen).ok_or(Error::NotXfer { peer })?;
    if theirs.version != VERSION {
        return Err(Error::Version {
            peer,
            theirs: theirs.version,
            ours: VERSION,
        });
    }
    wrote.map_err(|source| Error::Lost { peer, source })?;
    Ok(Preambles { sent, seen })
}

fn read(mut stream: Timed<'_>, peer: SocketAddr) -> Result<[u8; PREAMBLE_BYTES]> {
    let mut seen = [0; PREAMBLE_BYTES];
    let mut len = 0;
    while len < PREAMBLE_BYTES {
        let ended = || match len {
            0 => Error::Mute { peer },
            _ => Error::NotXfer { peer },
        };
        match stream.read(&mut seen[len..]) {
            Ok(0) => return Err(ended()),
            Ok(got) => len += got,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) if e.kind() == io::ErrorKind::TimedOut => return Err(ended()),
            // A network that fails says nothing about who is there.
            Err(source) => return Err(Error::Lost { peer, source }),
        }
        if !Preamble::may_begin_with(&seen[..len]) {
            return Err(Error::NotXfer { peer });
        }
    }
    Ok(seen)
}
