//! What is sent: opening it by handles, walking it into entries, and applying filters.
//!
//! Must not know the wire or the receive folder.

mod count;
mod extent;
mod filter;
mod found;
mod place;
mod selection;
mod step;
mod surplus;
mod tree;
mod walk;
mod walk_below;
mod walked;

pub use count::{count, has};
pub use filter::{FetchFilter, Filter, IGNORE_FILE, Links};
pub use place::{PlacedWalk, ways};
pub use selection::Selection;
pub use step::WalkStep;
pub use surplus::SurplusDecider;
pub use tree::{Roots, SentNames, TreeReader, mtime_of, outermost};
pub use walk::Walk;
pub use walked::WalkedFolders;
