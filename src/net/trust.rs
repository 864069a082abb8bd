//! Why a peer is let in, if it is.
//!
//! Must not ask anyone or look anything up: both sides decide by what they know, in the same way.

use std::net::SocketAddr;

use super::{Channel, Fingerprint, Peers};
use crate::model::outcome::Role;
use crate::model::progress::Trust;
use crate::wire::Hello;

/// What one side says about itself, and the machines that it knows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ours<'a> {
    pub(crate) fingerprint: Fingerprint,
    pub(crate) name: &'a str,
    pub(crate) open: bool,
    /// Whether its user decides about offers.
    pub(crate) asks: bool,
    pub(crate) peers: &'a Peers,
    /// Whether to save the peer's address as the place where it receives.
    pub(crate) keeps_address: bool,
    /// Whether the user typed the port of that place.
    pub(crate) port_is_typed: bool,
    /// What it does in a transfer.
    pub(crate) role: Role,
}

/// What both sides have said about each other.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sides {
    /// Whether both accept any peer.
    pub(super) open: bool,
    /// Whether each is paired with the other for its role.
    pub(super) paired: bool,
}

impl Sides {
    /// Combines what this side says and what the peer said.
    pub(crate) fn new(our_open: bool, our_known: bool, theirs: &Hello) -> Self {
        Self {
            open: our_open && theirs.open,
            paired: our_known && theirs.known,
        }
    }
}

/// Why the peer of `channel` is trusted; `None` if it is not yet.
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

/// Whether both ends of a connection have the same address. One end may write an IPv4 address as an
/// IPv6 one.
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
