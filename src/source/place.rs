//! `PlacedWalk`: a walk whose entries lie in a folder that is there at the receiver, or is made.
//!
//! Must not look at anything here: that folder need not be on this machine.

use crate::model::relpath::RelPath;

use super::step::WalkStep;
use super::tree::Roots;
use super::walk::Walk;
use super::walked::WalkedFolders;

/// A walk, with the folders that lead to where its entries lie.
#[derive(Debug)]
pub struct PlacedWalk {
    walk: Walk,
    /// The folders that are still to be announced, the outermost last.
    ways: Vec<RelPath>,
    /// How many of them have been.
    open: usize,
}

impl PlacedWalk {
    /// A walk over `roots`, which notes in `walked` where it has been.
    #[must_use]
    pub fn new(roots: &Roots, walked: &WalkedFolders) -> Self {
        Self {
            walk: Walk::new(roots, walked),
            ways: roots.place().map(ways).unwrap_or_default(),
            open: 0,
        }
    }
}

impl Iterator for PlacedWalk {
    type Item = WalkStep;

    fn next(&mut self) -> Option<WalkStep> {
        if let Some(path) = self.ways.pop() {
            self.open += 1;
            return Some(WalkStep::Way { path });
        }
        self.walk.next().or_else(|| {
            self.open = self.open.checked_sub(1)?;
            Some(WalkStep::DirEnd { complete: false })
        })
    }
}

/// The folders that lead to a place, and it itself; the outermost is the last.
#[must_use]
pub fn ways(place: &RelPath) -> Vec<RelPath> {
    let mut all = vec![place.clone()];
    while let Some(above) = all.last().and_then(RelPath::parent) {
        all.push(above);
    }
    all
}
