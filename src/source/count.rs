//! `count`: how much there is below some roots.
//!
//! Must not keep any of it.

use crate::model::entry::Kind;

use super::step::WalkStep;
use super::tree::Roots;
use super::walk::Walk;
use super::walked::WalkedFolders;

/// How many files there are below some roots at this moment, and how many bytes they have.
#[must_use]
pub fn count(roots: &Roots) -> (u64, u64) {
    Walk::new(roots, &WalkedFolders::default()).fold((0, 0), |(files, bytes), step| match step {
        WalkStep::Found {
            kind: Kind::File { size },
            ..
        } => (files + 1, u64::saturating_add(bytes, size.get())),
        _ => (files, bytes),
    })
}
