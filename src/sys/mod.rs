//! The operating system: what the layers above need and the standard library does not offer.
//! Nothing outside knows which system it is.
//!
//! Must not know what xfer does with it, nor any layer above: what it tells of has types of its
//! own, of which `model` makes errors and reasons. A port to another system replaces what names the
//! system here and keeps every signature; `worker.rs` and `fs/types.rs` stay.

pub mod commands;
pub mod confine;
pub mod error;
pub mod fs;
pub mod host;
pub mod local;
pub mod lock_holders;
pub mod name;
pub mod own;
pub mod places;
pub(crate) mod private;
pub mod signals;
pub(crate) mod socket;
pub mod stream;
pub mod terminal;
pub mod vectored;
pub(crate) mod wake;
pub mod worker;
