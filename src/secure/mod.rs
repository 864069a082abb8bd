//! Who is there, and a private line to it: identity, TLS, trust. A `TcpStream` in, a [`Channel`]
//! out.
//!
//! Must not know sessions or the receive directory, nor messages but the first ones. rustls makes the handshake and
//! the keys; the records that carry the data are sealed and opened here, in place, because
//! rustls' own buffers cost a third of the speed.

mod channel;
mod fingerprint;
mod handshake;
mod identity;
mod pace;
mod pairing;
mod peers;
mod preamble;
mod reader;
mod record;
#[cfg(test)]
mod tests;
mod timed;
mod tls;
mod trust;
mod writer;

pub use channel::{Channel, Closer};
pub use fingerprint::Fingerprint;
pub use identity::Identity;
pub use pace::Pace;
pub(crate) use pairing::{Attempt, new_code};
pub use peers::{Known, MAX_NAME_BYTES, Peers, device_name};
pub(crate) use peers::{format, now, parse};
pub use reader::{MAX_GATHER_BYTES, Reader};
pub use tls::Tls;
pub(crate) use tls::plain;
pub(crate) use trust::{Sides, trust};
pub use writer::{PIECE_BYTES, Writer};
