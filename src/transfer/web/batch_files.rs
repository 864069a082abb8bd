//! `BatchFiles`: the files of a batch that are under way, and how others have ended.
//!
//! Must not remember all that have ended: a batch may have any number.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use crate::model::outcome::Outcome;
use crate::model::relpath::RelPath;

use super::upload::{Upload, UploadStatus};

/// How many files of a batch may be under way at once. A page has four.
const MAX_UPLOADS: usize = 16;
/// Of how many files that have ended a batch remembers how: a page may not have heard it.
const MAX_ENDED: usize = 1024;

/// The files of a batch.
#[derive(Default)]
pub(super) struct BatchFiles {
    under_way: HashMap<RelPath, Arc<Upload>>,
    ended: VecDeque<EndedUpload>,
    last: u64,
}

struct EndedUpload {
    number: u64,
    path: RelPath,
    size: u64,
    status: UploadStatus,
    /// Whether it was taken from what the user agreed to.
    bound: bool,
}

/// One that has failed, and is tried again.
pub(super) struct RetriedUpload {
    pub(super) size: u64,
    /// How many of its bytes came.
    pub(super) counted: u64,
    pub(super) bound: bool,
}

/// A file that is under way, or the path of one that has ended, and how.
pub(super) type FoundUpload = Result<Arc<Upload>, (RelPath, UploadStatus)>;

/// What becomes of a file that is announced.
pub(super) enum AnnouncedUpload {
    /// It is to come.
    Upload(Arc<Upload>),
    /// It has ended, and can be asked for by this number.
    Ended(u64, UploadStatus),
    /// Another batch of this browser has it.
    InUse,
    /// Too many are under way.
    TooMany,
    /// The batch has ended.
    Over,
}

impl BatchFiles {
    /// What a file is that was announced before and has not failed.
    pub(super) fn known(&self, path: &RelPath, size: u64) -> Option<AnnouncedUpload> {
        if let Some(upload) = self.under_way.get(path) {
            return Some(match upload.size == size {
                true => AnnouncedUpload::Upload(upload.clone()),
                false => AnnouncedUpload::InUse,
            });
        }
        let same = |ended: &&EndedUpload| ended.path == *path && ended.size == size;
        let ended = self.ended.iter().find(same)?;
        let stored = !ended.has_failed();
        stored.then(|| AnnouncedUpload::Ended(ended.number, ended.status.clone()))
    }

    /// A file that has failed, which is tried again now.
    pub(super) fn failed(&self, path: &RelPath) -> Option<RetriedUpload> {
        let failed = |ended: &&EndedUpload| ended.path == *path && ended.has_failed();
        let ended = self.ended.iter().find(failed)?;
        Some(RetriedUpload {
            size: ended.size,
            counted: ended.status.offset,
            bound: ended.bound,
        })
    }

    /// Forgets a file that has failed.
    pub(super) fn forget_failed(&mut self, path: &RelPath) {
        let failed = |ended: &EndedUpload| ended.path == *path && ended.has_failed();
        if let Some(at) = self.ended.iter().position(failed) {
            self.ended.remove(at);
        }
    }

    /// Whether as many are under way as may be.
    pub(super) fn are_many(&self) -> bool {
        self.under_way.len() >= MAX_UPLOADS
    }

    /// A number for one more file.
    pub(super) fn number(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    /// One more is under way.
    pub(super) fn add(&mut self, upload: &Arc<Upload>) {
        self.under_way.insert(upload.path.clone(), upload.clone());
    }

    /// One has ended.
    pub(super) fn settle(
        &mut self,
        (number, path): (u64, &RelPath),
        size: u64,
        status: &UploadStatus,
        bound: bool,
    ) {
        self.under_way.remove(path);
        if self.ended.len() >= MAX_ENDED {
            self.ended.pop_front();
        }
        self.ended.push_back(EndedUpload {
            number,
            path: path.clone(),
            size,
            status: status.clone(),
            bound,
        });
    }

    /// One by its number, or how that ended.
    pub(super) fn find(&self, number: u64) -> Option<FoundUpload> {
        let mut under_way = self.under_way.values();
        if let Some(upload) = under_way.find(|upload| upload.number == number) {
            return Some(Ok(upload.clone()));
        }
        let ended = self
            .ended
            .iter()
            .rev()
            .find(|ended| ended.number == number)?;
        Some(Err((ended.path.clone(), ended.status.clone())))
    }

    /// One that is under way by its path.
    pub(super) fn find_path(&self, path: &RelPath) -> Option<Arc<Upload>> {
        self.under_way.get(path).cloned()
    }

    /// All that are under way.
    pub(super) fn under_way(&self) -> Vec<Arc<Upload>> {
        self.under_way.values().cloned().collect()
    }
}

impl EndedUpload {
    fn has_failed(&self) -> bool {
        matches!(self.status.ended, Some(Outcome::Failed(_)))
    }
}
