//! Why a peer is let in, if it is.
//!
//! Must not ask anyone or look anything up: what both sides know already, weighed the same way
//! on both. Pairing joins here.

use std::net::SocketAddr;

use super::{Channel, Fingerprint};
use crate::progress::Trust;

/// Why the peer at the other end of `channel` is trusted; none where it is not. `our_open` and
/// `their_open` say whether either side takes part with anyone.
#[must_use]
pub fn trust(
    ours: Fingerprint,
    channel: &Channel,
    our_open: bool,
    their_open: bool,
) -> Option<Trust> {
    if channel.fingerprint == ours && is_same_machine(channel.local, channel.peer) {
        return Some(Trust::SameUser);
    }
    (our_open && their_open).then_some(Trust::Open)
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
