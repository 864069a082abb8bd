//! The operating system: what the layers above need of it that the standard library does not
//! give. Nothing outside of here knows which system it is.
//!
//! Must not know what xfer does with it, nor any layer above: what it tells of has types of its
//! own, of which `model` makes errors and reasons. What is Unix's own lies in `unix`; what does not
//! depend on the system lies beside it.

pub mod commands;
pub mod fs;
pub mod own;
pub mod worker;

mod unix;

use unix as system;

pub use system::{
    confine, host, local, lock_holders, name, places, signals, stream, terminal, vectored,
};
pub(crate) use system::{error, private, socket, wake};
