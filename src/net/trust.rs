//! Why a peer is let in, if it is.
//!
//! Must not ask anyone or look anything up: both sides weigh what they know, in the same way.

use std::net::SocketAddr;

use super::{Channel, Fingerprint, Peers};
use crate::model::progress::Trust;
use crate::wire::Hello;

/// What one side says of itself, and whom it knows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ours<'a> {
    pub(crate) fingerprint: Fingerprint,
    pub(crate) name: &'a str,
    pub(crate) open: bool,
    /// Whether its user is asked about offers.
    pub(crate) asks: bool,
    pub(crate) peers: &'a Peers,
    /// Whether it is kept where the other side is, as the place where it receives.
    pub(crate) keeps_address: bool,
}

/// What both sides have said about each other.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sides {
    /// Whether both take part with anyone.
    pub(super) open: bool,
    /// Whether both are paired with the other one for this.
    pub(super) paired: bool,
}

impl Sides {
    /// Of what this side says, and what the peer has said.
    pub(crate) fn new(our_open: bool, our_known: bool, theirs: &Hello) -> Self {
        Self {
            open: our_open && theirs.open,
            paired: our_known && theirs.known,
        }
    }
}

/// Why the peer at the other end of `channel` is trusted; none where it is not yet.
#[must_use]
pub(crate) fn trust(ours: Fingerprint, channel: &Channel, sides: Sides) -> Option<Trust> {
    if channel.fingerprint == ours && is_same_machine(channel.local, channel.peer) {
        return Some(Trust::SameUser);
    }
    if sides.paired {
        return Some(Trust::Paired);
    }
    sides.open.then_some(Trust::Open)
}

/// Whether both ends of a connection have the same address. A v4 address may be written as a
/// v6 one at one end.
fn is_same_machine(local: SocketAddr, peer: SocketAddr) -> bool {
    local.ip().to_canonical() == peer.ip().to_canonical()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mapped_address_is_the_same_one() {
        let at = |text: &str| text.parse::<SocketAddr>().unwrap();
        assert!(is_same_machine(
            at("[::ffff:10.0.0.1]:9090"),
            at("10.0.0.1:5")
        ));
        assert!(is_same_machine(at("[fe80::1]:9090"), at("[fe80::1]:7")));
        assert!(!is_same_machine(at("10.0.0.1:9090"), at("10.0.0.2:9090")));
    }
}
