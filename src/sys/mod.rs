//! The operating system: what the layers above need of it that the standard library does not
//! give. Nothing outside of here knows which system it is.
//!
//! Must not know what xfer does with it, nor any layer above: what it tells of has types of its
//! own, of which `model` makes errors and reasons. `unix` and `windows` have the same names
//! and promise the same; what does not depend on the system lies beside them.

pub mod commands;
#[cfg(any(windows, test))]
mod escaped;
pub mod fs;
pub mod name_rules;
pub mod own;
#[cfg(test)]
pub(crate) mod tests;
mod told;
pub mod worker;

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(unix)]
use unix as system;
#[cfg(windows)]
use windows as system;

pub use system::{
    confine, host, local, lock_holders, name, places, shell, signals, stream, terminal, vectored,
};
pub(crate) use system::{error, private, socket, wake};
