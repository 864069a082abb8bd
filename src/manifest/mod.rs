//! The manifest: walking a tree into entries, and the order that they must come in.
//!
//! Must not know the wire or the receive directory.

mod fate;
mod filter;
mod order;
mod walk;

pub use fate::Fates;
pub use filter::{Filter, IGNORE_FILE, Links};
pub use order::{Order, OrderError};
pub use walk::{Roots, Step, Walk, mtime_of};
