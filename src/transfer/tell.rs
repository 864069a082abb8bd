//! Talking on the two halves of a channel, each in a thread of its own, where there is no session.
//!
//! Must not know what is said.

use std::io::Write as _;
use std::net::SocketAddr;
use std::time::Instant;

use crate::model::error::{Error, Result};
use crate::net::{Reader, Writer, aborted, wire_error};
use crate::wire::{Features, Message, read_small_message, write_message};

use super::link::SILENCE;

/// Writes a message and sends it.
pub(super) fn tell(
    writer: &mut Writer,
    peer: SocketAddr,
    features: Features,
    message: &Message,
) -> Result<()> {
    let mut bytes = Vec::new();
    write_message(&message.for_peer(features), &mut bytes).map_err(|e| Error::protocol(peer, e))?;
    let sent = writer.write_all(&bytes).and_then(|()| writer.flush());
    sent.map_err(|source| Error::Lost { peer, source })
}

/// Reads the next message but for signs of life, of at most so many bytes. A peer that says nothing
/// at all for long is gone.
pub(super) fn next_told(reader: &mut Reader, peer: SocketAddr, most: usize) -> Result<Message> {
    loop {
        reader.set_deadline(Some(Instant::now() + SILENCE));
        match read_small_message(reader, most) {
            Ok(Message::Ping(())) => {}
            Ok(message) => return aborted(peer, message).map_or_else(Ok, Err),
            Err(error) => return Err(wire_error(peer, error, SILENCE)),
        }
    }
}
