//! TLS to a peer: a `TcpStream` goes in, a [`Channel`] comes out.
//!
//! Must not know sessions, nor decide who is let in. rustls does the handshake and derives the
//! keys. Records are sealed and opened here, in place, because rustls' own buffers would cost a
//! third of the speed.

mod channel;
mod connect;
mod handshake;
mod reader;
mod record;
#[cfg(test)]
mod tests;
mod timing;
mod writer;

pub use channel::{Channel, Closer};
pub use connect::Tls;
pub(crate) use connect::plain;
pub use reader::{MAX_GATHER_BYTES, Reader};
pub use timing::Pace;
pub use writer::{PIECE_BYTES, Writer};
