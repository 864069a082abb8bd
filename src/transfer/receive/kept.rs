//! Chunks that another file here already has, copied only if the new file turns out to differ.
//!
//! Must not take more memory for a larger file: of those that come in order, which are nearly
//! all, one hash is kept over all their digests.

use std::collections::BTreeMap;

use crate::model::digest::{Algorithm, ChunkHasher, Digest};

/// The chunks of one file that stay in another one until it is known that they differ.
#[derive(Debug, Default)]
pub(super) struct KeptChunks {
    /// How many there are from the first one on, without a gap.
    run: u64,
    /// The hash over the digests of these; none for none, as of nearly every file.
    hasher: Option<Box<ChunkHasher>>,
    /// Those behind a gap. No chunk is taken that is far ahead of the first missing one, and once
    /// one differs no more are kept: these are few.
    ahead: BTreeMap<u64, Digest>,
}

fn hasher() -> ChunkHasher {
    // The first chunk has the plain hash of its bytes, and this takes any number of them.
    ChunkHasher::new(Algorithm::Sha256, 0, 0)
}

impl KeptChunks {
    /// Takes one more, which has not been there before.
    pub(super) fn push(&mut self, index: u64, digest: Digest) {
        if index != self.run {
            self.ahead.insert(index, digest);
            return;
        }
        let hashed = self.hasher.get_or_insert_with(|| Box::new(hasher()));
        let mut next = Some(digest);
        while let Some(digest) = next {
            hashed.update(&digest.0);
            self.run += 1;
            next = self.ahead.remove(&self.run);
        }
    }

    /// How many there are.
    pub(super) fn count(&self) -> u64 {
        self.run + self.ahead.len() as u64
    }

    /// How many follow each other from the first one on, the hash over their digests, and all
    /// others.
    pub(super) fn into_parts(self) -> (u64, Digest, BTreeMap<u64, Digest>) {
        let hasher = self.hasher.map_or_else(hasher, |hasher| *hasher);
        (self.run, hasher.finish(), self.ahead)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_in_which_they_come_does_not_matter() {
        let digest = |n: u64| Digest([u8::try_from(n).unwrap(); 32]);
        let mut in_order = hasher();
        (0..6).for_each(|n| in_order.update(&digest(n).0));
        let mut kept = KeptChunks::default();
        for n in [3, 0, 2, 7, 1, 5, 4, 9] {
            kept.push(n, digest(n));
        }
        assert_eq!(kept.count(), 8);
        let (run, hash, ahead) = kept.into_parts();
        assert_eq!((run, hash), (6, in_order.finish()));
        assert_eq!(ahead.into_keys().collect::<Vec<_>>(), [7, 9]);
    }

    #[test]
    fn a_very_large_file_takes_no_more_memory() {
        let mut kept = KeptChunks::default();
        for n in 0..1_000_000 {
            // As two lanes bring them.
            kept.push(n ^ 1, Digest([1; 32]));
            assert!(kept.ahead.len() <= 1);
        }
        assert_eq!(kept.count(), 1_000_000);
    }
}
