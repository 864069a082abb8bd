//! `PlacedWalk`: a walk whose entries go into a folder that the receiver has or creates.
//!
//! Must not look that folder up: it need not exist on this machine.

use crate::model::relpath::RelPath;

use super::step::WalkStep;
use super::tree::Roots;
use super::walk::Walk;
use super::walked::WalkedFolders;

/// A walk, preceded by the folders that lead to where its entries go.
#[derive(Debug)]
pub struct PlacedWalk {
    walk: Walk,
    /// The folders that are not announced yet, the outermost last.
    ways: Vec<RelPath>,
    /// How many of them were announced and have not ended.
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

/// The folders that lead to `place`, and `place` itself; the outermost comes last.
#[must_use]
pub fn ways(place: &RelPath) -> Vec<RelPath> {
    let mut all = vec![place.clone()];
    while let Some(above) = all.last().and_then(RelPath::parent) {
        all.push(above);
    }
    all
}
