//! What a walk tells without anything being sent: how much there is below some roots, and whether
//! something is.
//!
//! Must not keep any of it, nor look where a walk does not.

use crate::model::entry::Kind;
use crate::model::relpath::RelPath;

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

/// Whether something is below some roots now, and would be sent.
#[must_use]
pub fn has(roots: &Roots, wanted: &RelPath) -> bool {
    let is_it = |step| matches!(step, WalkStep::Found { path, .. } if path == *wanted);
    Walk::of(roots, wanted).any(is_it)
}
