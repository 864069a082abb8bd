//! What is sent: walking a tree into entries, and leaving out what a filter names.
//!
//! Must not know the wire or the receive directory.

mod filter;
mod surplus;
mod walk;

pub use filter::{Filter, IGNORE_FILE, Links};
pub use surplus::SurplusDecider;
pub use walk::{Roots, Step, Walk, mtime_of};
