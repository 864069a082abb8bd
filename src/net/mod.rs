//! Peers: keys, the list of known machines, the greeting, pairing and admission. A `TcpStream` goes
//! in; a peer that was let in comes out, with a [`Channel`] to it.
//!
//! Must not know sessions or the receive folder, nor any messages after the first ones.

mod address;
mod admission;
mod discovery;
mod fingerprint;
mod greeting;
mod identity;
mod messages;
mod network;
mod pairing;
mod peers;
mod pool;
mod slots;
mod tls;
mod trust;
mod watched;

pub use address::{NoPeerAddress, PeerAddress};
pub(crate) use admission::{Admission, Candidate, Stage};
pub use discovery::{
    Announcement, Announcer, Beacon, Browser, BrowserCloser, FingerprintStart, Service, Sighting,
    reaches_others,
};
pub use fingerprint::Fingerprint;
pub(crate) use greeting::{
    Greeted, LetIn, Opening, Request, fetch, greet, hear_request, join, join_room, let_in, offer,
    opening,
};
pub use identity::Identity;
pub(crate) use messages::{
    FIRST_WORDS, LAST_WORDS, aborted, broken, declined_or, hear_up_to, say, say_last, turn_away,
    unexpected, wire_error,
};
pub(crate) use network::Network;
pub(crate) use pairing::PairingAttempts;
pub(crate) use peers::now;
pub use peers::{Known, MAX_NAME_BYTES, Peers, device_name};
#[cfg(feature = "testing")]
pub(crate) use peers::{format, parse};
pub(crate) use pool::{Pool, PoolBounds, PoolHolder};
pub(crate) use slots::{LeastEntries, SessionSize, SessionSlots};
pub(crate) use tls::plain;
pub use tls::{Channel, Closer, MAX_GATHER_BYTES, PIECE_BYTES, Pace, Reader, Tls, Writer};
pub(crate) use trust::Ours;
pub(crate) use watched::WatchedPeers;
