//! What is sent: opening it by handles, walking it into entries, and applying filters.
//!
//! Must not know the wire or the receive folder.

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
