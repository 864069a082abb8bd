//! What is sent: reaching it by open handles, walking it into entries, and leaving out what a
//! filter names.
//!
//! Must not know the wire or the receive directory.

mod filter;
mod found;
mod surplus;
mod tree;
mod walk;
mod walked;

pub use filter::{Filter, IGNORE_FILE, Links};
pub use surplus::SurplusDecider;
pub use tree::{Roots, TreeReader, mtime_of};
pub use walk::{Walk, WalkStep, count};
pub use walked::WalkedFolders;
