//! `BatchBound`: what the user agreed to about a batch of uploads.
//!
//! Must not decide what happens to what is taken.

use std::collections::HashSet;

use crate::model::entry::{Entry, FileSize, Kind, Mode, Time};
use crate::model::outcome::Why;
use crate::model::reason::Limit;
use crate::model::relpath::RelPath;
use crate::store::STREAM;
use crate::transfer::receive::OfferBound;
use crate::wire::Contents;

/// What is left of what the user was shown.
#[derive(Debug)]
pub(super) struct BatchBound {
    bound: OfferBound,
    /// Whether nobody knew how many bytes it has.
    is_stream: bool,
    /// The folders that are in no other and were taken. No more than were offered.
    tops: HashSet<Vec<u8>>,
}

/// What is left of it once a file is taken.
#[derive(Debug)]
pub(super) struct LessBound {
    bound: OfferBound,
    new_top: Option<Vec<u8>>,
}

impl BatchBound {
    pub(super) fn new(bound: OfferBound, contents: &Contents) -> Self {
        Self {
            bound,
            is_stream: contents.bytes == Contents::UNKNOWN,
            tops: HashSet::new(),
        }
    }

    /// What is left once a file is taken; fails where that is more than was offered.
    pub(super) fn without(&self, path: &RelPath, size: u64, mtime: Time) -> Result<LessBound, Why> {
        let (mut bound, mut new_top) = (self.bound.clone(), None);
        let kind = match size {
            STREAM if self.is_stream => Kind::Stream,
            size => {
                // The request that a stream comes in is no longer than the user was told.
                let size = if size == STREAM { 0 } else { size };
                let size = FileSize::try_from(size);
                let size = size.map_err(|_| Why::Limit(Limit::Offered))?;
                Kind::File { size }
            }
        };
        let entry = |path: RelPath, kind| Entry {
            id: 0,
            path,
            kind,
            mtime,
            mode: Mode::from_stat(0),
            extras: Vec::new(),
        };
        let top = path.components().next().unwrap_or_default();
        if path.depth() > 1 && !self.tops.contains(top) {
            let path = RelPath::new(top).map_err(Why::Name)?;
            bound.take(&entry(path, Kind::Dir))?;
            new_top = Some(top.to_vec());
        }
        bound.take(&entry(path.clone(), kind))?;
        Ok(LessBound { bound, new_top })
    }

    /// No more than this is left now.
    pub(super) fn shrink(&mut self, less: LessBound) {
        self.bound = less.bound;
        self.tops.extend(less.new_top);
    }
}
