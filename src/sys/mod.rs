//! The operating system: what the layers above need of it that the standard library does not give.
//!
//! Must not know what xfer does with it.

pub(crate) mod advise;
pub mod confine;
pub mod descriptors;
pub mod fs;
pub mod vectored;
pub(crate) mod wake;
