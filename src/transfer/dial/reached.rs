//! `Reached`: the receiver that was connected to, by which it is found again.
//!
//! Must not know how it was found.

use std::net::SocketAddr;

use crate::net::Fingerprint;

/// The receiver that was connected to.
#[derive(Debug, Clone)]
pub(super) struct Reached {
    pub(super) key: Fingerprint,
    pub(super) addr: SocketAddr,
    /// What it calls itself.
    pub(super) told: String,
}
