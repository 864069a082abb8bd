//! The manifest: walking a tree into entries, and the order that they must come in.
//!
//! Must not know the wire or the receive directory.

mod order;
mod walk;

pub use order::{Order, OrderError};
pub use walk::{Roots, Step, Walk, mtime_of};
