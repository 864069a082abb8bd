//! Pairing: how two machines get to know each other, once, by a short code.
//!
//! Must not decide whether it is needed: the greeting does.

mod attempts;
mod exchange;
mod proof;
mod showing;

pub(crate) use attempts::PairingAttempts;
pub(super) use exchange::{as_receiver, as_sender};
#[cfg(test)]
pub(super) use proof::Attempt;
