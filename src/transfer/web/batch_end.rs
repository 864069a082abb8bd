//! How a batch of uploads ends: in order, or because its browser is gone.
//!
//! Must not know HTTP, nor decide when nobody comes back.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::model::error::{Error, Result};
use crate::model::outcome::{Summary, Why};
use crate::model::progress::Event;

use super::batch::{Amount, BatchPhase, EndedBatch, UploadBatch};
use super::means::BatchPlace;

/// How long a batch may be left alone at most. Whoever comes back later begins another one, and its
/// files go on where they stood.
const LEFT_ALONE: Duration = Duration::from_secs(300);
/// How long one may be left alone that has all its files: its page was closed.
const LEFT_COMPLETE: Duration = Duration::from_secs(60);

/// What is left behind by a page that does not come back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LeftBatch {
    /// All that was to come.
    Complete,
    /// A part of it.
    Incomplete,
}

impl UploadBatch {
    /// Whether nobody comes back to it, as it seems, who may be silent for `idle`; and how long until
    /// then at least.
    pub(super) fn is_left(&self, idle: Duration) -> std::result::Result<LeftBatch, Duration> {
        let state = self.state();
        let is_complete = state.files.under_way().is_empty()
            && state.declared.files > 0
            && state.announced.files >= state.declared.files;
        drop(state);
        let (most, left) = match is_complete {
            true => (LEFT_COMPLETE, LeftBatch::Complete),
            false => (LEFT_ALONE, LeftBatch::Incomplete),
        };
        match most.min(idle).saturating_sub(self.alone()) {
            Duration::ZERO => Ok(left),
            left => Err(left),
        }
    }

    /// Ends it: brings what was stored to disk, and tells how it went. Files may be under way still: its
    /// page was closed then, and its browser may come back. Its place is kept until the
    /// answer is dropped. Whoever asks again gets the same answer.
    pub(super) fn end(&self) -> (EndedBatch, Option<Box<dyn BatchPlace>>) {
        if let Some(ended) = self.begin_to_end() {
            return (ended, None);
        }
        let is_cut = self.leave_uploads();
        let lost = is_cut.then(|| Error::Lost {
            peer: self.peer.addr,
            source: std::io::ErrorKind::UnexpectedEof.into(),
        });
        self.bring_to_end(lost)
    }

    /// Ends it without all of its files, because nobody comes back to it. What was stored is brought
    /// to disk.
    pub(super) fn give_up(&self) {
        if self.begin_to_end().is_some() {
            return;
        }
        let seconds = self.alone().as_secs();
        self.leave_uploads();
        let peer = self.peer.addr;
        drop(self.bring_to_end(Some(Error::Silent { peer, seconds })));
    }

    /// Ends the files that are under way; what is there of them stays. Says whether there are any.
    fn leave_uploads(&self) -> bool {
        let uploads = self.state().files.under_way();
        for upload in &uploads {
            upload.fail(Why::Ended, false);
        }
        drop(std::mem::take(&mut self.state().folders));
        !uploads.is_empty()
    }

    /// Brings it to disk. `cut` is why not all of it has come.
    fn bring_to_end(&self, cut: Option<Error>) -> (EndedBatch, Option<Box<dyn BatchPlace>>) {
        {
            // What was announced was all.
            let mut state = self.state();
            state.declared = Amount::default();
            self.update_totals(&state);
        }
        let finished = self.store.finish();
        if finished.is_ok() {
            for not_kept in &self.store.not_kept() {
                let session = self.number;
                self.progress.event(&Event::NotKept { session, not_kept });
            }
        }
        let summary = self.state().summary;
        let answer = finished.is_ok().then_some(summary);
        let ended = finished.and_then(|()| cut.map_or(Ok(summary), Err));
        self.close(ended, answer)
    }

    /// Ends it out of order. What was stored stays, and partials with it.
    pub(super) fn fail(&self, error: Error) {
        if self.begin_to_end().is_some() {
            return;
        }
        self.over.store(true, Ordering::Release);
        self.leave_uploads();
        self.store.leave();
        drop(self.close(Err(error), None));
    }

    /// Has it end, if it has not begun to; else waits for its end, and says how that was.
    fn begin_to_end(&self) -> Option<EndedBatch> {
        let mut state = self.state();
        if state.phase == BatchPhase::Open {
            state.phase = BatchPhase::Ending;
            return None;
        }
        loop {
            if let BatchPhase::Ended(ended) = &state.phase {
                return Some(*ended);
            }
            let waited = self.changed.wait(state);
            state = waited.unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Tells how it ended; `summary` is for its page.
    fn close(
        &self,
        ended: Result<Summary>,
        summary: EndedBatch,
    ) -> (EndedBatch, Option<Box<dyn BatchPlace>>) {
        self.over.store(true, Ordering::Release);
        let session = self.number;
        let mut sums = Ok(());
        if let Some(all) = &self.sums {
            all.settle();
            sums = all.check();
        }
        match &ended {
            Ok(summary) => self.progress.event(&Event::Finished {
                session,
                summary,
                all: summary,
            }),
            Err(error) => self.progress.event(&Event::Failed { session, error }),
        }
        let mut place = self.state().place.take();
        if let Some(place) = &mut place {
            place.ended(&self.peer, ended, sums);
        }
        self.state().phase = BatchPhase::Ended(summary);
        self.changed.notify_all();
        (summary, place)
    }
}
