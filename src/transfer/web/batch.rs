//! `UploadBatch`: files that a browser uploads together. To everything else it is a session of a sender
//! that may create, and neither replace nor delete.
//!
//! Must not know HTTP.

use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tracing::debug;

use crate::model::digest::{Algorithm, Digest};
use crate::model::entry::Time;
use crate::model::error::{Action, Error, Result};
use crate::model::outcome::{Outcome, Role, Summary, Why, Wish};
use crate::model::progress::{Counters, Event, Peer, Progress};
use crate::model::relpath::RelPath;
use crate::net::Fingerprint;
use crate::store::{NewFile, Planned, STREAM, StoreSession};
use crate::transfer::receive::SessionSums;
use crate::wire::Contents;

use super::batch_bound::BatchBound;
use super::batch_files::{AnnouncedUpload, BatchFiles, FoundUpload};
use super::batch_folders::BatchFolders;
use super::last_heard::LastHeard;
use super::means::{AskedBatch, BatchPlace, BatchSetup};
use super::upload::{Upload, UploadHearer, UploadStatus};

/// How long a batch may be left alone: a phone that sleeps comes back to it.
const LEFT_ALONE: Duration = Duration::from_secs(3600);
/// How long one may be left alone that has all its files: its page was closed.
const LEFT_COMPLETE: Duration = Duration::from_secs(60);

/// A batch of uploads.
pub(super) struct UploadBatch {
    pub(super) id: String,
    pub(super) owner: Fingerprint,
    peer: Peer,
    number: u64,
    store: Arc<StoreSession>,
    progress: Arc<dyn Progress>,
    counters: Arc<Counters>,
    sums: Option<SessionSums>,
    over: Arc<AtomicBool>,
    heard: LastHeard,
    state: Mutex<BatchState>,
    changed: Condvar,
}

struct BatchState {
    phase: BatchPhase,
    place: Option<Box<dyn BatchPlace>>,
    summary: Summary,
    folders: BatchFolders,
    bound: Option<BatchBound>,
    files: BatchFiles,
    declared: Amount,
    announced: Amount,
}

#[derive(Debug, Clone, Copy, Default)]
struct Amount {
    files: u64,
    bytes: u64,
}

/// How far a batch is.
#[derive(Debug, Clone, PartialEq, Eq)]
enum BatchPhase {
    Open,
    Ending,
    Ended(EndedBatch),
}

/// How a batch ended; none where that was not in order.
pub(super) type EndedBatch = Option<Summary>;

impl fmt::Debug for UploadBatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("UploadBatch").field(&self.number).finish()
    }
}

impl UploadBatch {
    /// Begins a batch; none where that fails, which has been told then.
    pub(super) fn begin(id: String, asked: AskedBatch, setup: BatchSetup) -> Option<Arc<Self>> {
        let contents = &asked.contents;
        let BatchSetup {
            number,
            store,
            progress,
            sums,
            bound,
            place,
        } = setup;
        let over = Arc::new(AtomicBool::new(false));
        let sums = sums.map(|sums| SessionSums {
            sums,
            store: store.clone(),
            is_over: {
                let over = over.clone();
                Box::new(move || over.load(Ordering::Acquire))
            },
            algorithm: Algorithm::Sha256,
            session: number,
            progress: progress.clone(),
        });
        let batch = Arc::new(Self {
            id,
            owner: asked.owner,
            peer: asked.peer,
            number,
            store,
            progress,
            counters: Arc::default(),
            sums,
            over,
            heard: LastHeard::now(),
            state: Mutex::new(BatchState {
                phase: BatchPhase::Open,
                place: Some(place),
                summary: Summary::default(),
                folders: BatchFolders::default(),
                bound: bound.map(|bound| BatchBound::new(bound, contents)),
                files: BatchFiles::default(),
                declared: Amount {
                    files: contents.files,
                    bytes: contents.bytes,
                },
                announced: Amount::default(),
            }),
            changed: Condvar::new(),
        });
        batch.update_totals(&batch.state());
        batch.counters.scanned.store(true, Ordering::Relaxed);
        debug!(session = number, peer = %batch.peer.addr, "batch of uploads begins");
        batch.progress.event(&Event::Started {
            session: number,
            role: Role::Receiver,
            dialed: false,
            peer: &batch.peer,
            wish: Wish::default(),
            conflict: batch.store.conflict(),
            dir: Some(batch.store.path()),
            counters: &batch.counters,
        });
        let root = batch.store.begin().and_then(|()| batch.store.root());
        match root {
            Ok(root) => batch.state().folders.begin(root),
            Err(e) => {
                batch.fail(Error::file(Action::Open, batch.store.path(), e));
                return None;
            }
        }
        Some(batch)
    }

    fn state(&self) -> MutexGuard<'_, BatchState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }

    /// Notes that its page is there.
    pub(super) fn hear(&self) {
        self.heard.hear();
    }

    /// For how long nothing was heard of it.
    pub(super) fn alone(&self) -> Duration {
        self.heard.alone()
    }

    /// Whether nobody comes back to it, as it seems; and how long until then at least.
    pub(super) fn is_left(&self) -> std::result::Result<LeftBatch, Duration> {
        let state = self.state();
        let is_complete = state.files.under_way().is_empty()
            && state.declared.files > 0
            && state.announced.files >= state.declared.files;
        drop(state);
        let (most, left) = match is_complete {
            true => (LEFT_COMPLETE, LeftBatch::Complete),
            false => (LEFT_ALONE, LeftBatch::Incomplete),
        };
        match most.saturating_sub(self.alone()) {
            Duration::ZERO => Ok(left),
            left => Err(left),
        }
    }

    fn update_totals(&self, state: &BatchState) {
        let (declared, announced) = (state.declared, state.announced);
        let made = state.summary.stored - state.summary.files;
        let known = |of: u64| if of == Contents::UNKNOWN { 0 } else { of };
        let files = known(declared.files).max(announced.files) + made;
        self.counters.entries_total.store(files, Ordering::Relaxed);
        let bytes = known(declared.bytes).max(announced.bytes);
        self.counters.bytes_total.store(bytes, Ordering::Relaxed);
    }

    /// Decides about a file. One that was announced before is what it was.
    pub(super) fn announce(
        self: &Arc<Self>,
        path: &RelPath,
        size: u64,
        mtime: Time,
    ) -> AnnouncedUpload {
        self.hear();
        let mut state = self.state();
        if state.phase != BatchPhase::Open {
            return AnnouncedUpload::Over;
        }
        if let Some(known) = state.files.known(path, size) {
            return known;
        }
        if state.files.forget_failed(path) {
            // It is tried again, and counts once.
            state.summary.failed = state.summary.failed.saturating_sub(1);
            self.counters.entries_done.fetch_sub(1, Ordering::Relaxed);
            self.counters.bytes_done.fetch_sub(size, Ordering::Relaxed);
            state.announced.files = state.announced.files.saturating_sub(1);
            state.announced.bytes = state.announced.bytes.saturating_sub(size);
        }
        if state.files.are_many() {
            return AnnouncedUpload::TooMany;
        }
        let planned = self.plan(&mut state, path, size, mtime);
        if matches!(planned, Ok(Planned::InUse(_))) {
            return AnnouncedUpload::InUse;
        }
        let number = state.files.number();
        state.announced.files += 1;
        if size != STREAM {
            state.announced.bytes = state.announced.bytes.saturating_add(size);
        }
        self.update_totals(&state);
        let outcome = match planned {
            Ok(Planned::Incoming(incoming)) => {
                let file = (path.clone(), size);
                let upload = Upload::new(self.clone(), number, file, incoming, self.sums.is_some());
                state.files.add(&upload);
                drop(state);
                if upload.is_large() && size != STREAM {
                    self.progress.event(&Event::FileStarted {
                        session: self.number,
                        entry: number,
                        path,
                        size,
                        verified: &upload.verified,
                    });
                }
                return AnnouncedUpload::Upload(upload);
            }
            Ok(Planned::Settled(outcome)) => outcome,
            Ok(Planned::InUse(_)) => Outcome::Failed(Why::InUse),
            Err(why) => Outcome::Failed(why),
        };
        drop(state);
        let size = if size == STREAM { 0 } else { size };
        let status = self.settle((number, path), size, 0, outcome);
        AnnouncedUpload::Ended(number, status)
    }

    fn plan(
        &self,
        state: &mut BatchState,
        path: &RelPath,
        size: u64,
        mtime: Time,
    ) -> std::result::Result<Planned, Why> {
        let mode = self.store.usual_file_mode();
        if let Some(bound) = &mut state.bound {
            bound.take(path, size, mtime)?;
        }
        let mut made = Vec::new();
        let folder = state
            .folders
            .of(&self.store, path, &mut made, || self.is_over());
        for path in made {
            let outcome = Outcome::Stored(None);
            state.summary.count(&outcome, false, 0, 0);
            self.update_totals(state);
            Counters::add(&self.counters.entries_done, 1);
            self.tell_entry(&path.as_path(), (false, 0), &outcome);
        }
        let folder = folder?;
        self.counters.tops.note(path);
        self.store.announced(&folder, path);
        let file = NewFile {
            size,
            allocated: None,
            mtime,
            mode,
        };
        self.store.file(&folder, path, file)
    }

    /// Counts what became of a file; of its `size`, `counted` bytes have been.
    fn settle(
        &self,
        (number, path): (u64, &RelPath),
        size: u64,
        counted: u64,
        outcome: Outcome,
    ) -> UploadStatus {
        let status = UploadStatus {
            offset: counted,
            ended: Some(outcome.clone()),
        };
        if self.is_over() {
            return status;
        }
        let left = size.saturating_sub(counted);
        Counters::add(&self.counters.bytes_done, left);
        if matches!(outcome, Outcome::Have(_) | Outcome::Kept) {
            Counters::add(&self.counters.bytes_kept, left);
        }
        Counters::add(&self.counters.entries_done, 1);
        let mut state = self.state();
        state.summary.count(&outcome, true, size, 0);
        state.files.settle(number, path, size, &status);
        drop(state);
        self.tell_entry(&path.as_path(), (true, size), &outcome);
        status
    }

    fn tell_entry(&self, path: &Path, (is_file, size): (bool, u64), outcome: &Outcome) {
        if !outcome.is_plain() || self.progress.wants_every_entry() {
            self.progress.event(&Event::Entry {
                session: self.number,
                path,
                size,
                is_file,
                outcome,
            });
        }
    }

    /// A file of it that cannot be stored, whatever its bytes are.
    pub(super) fn refuse(&self, name: &str, why: Why) {
        self.hear();
        let mut state = self.state();
        if state.phase != BatchPhase::Open {
            return;
        }
        state.announced.files += 1;
        let outcome = Outcome::Failed(why);
        state.summary.count(&outcome, true, 0, 0);
        self.update_totals(&state);
        drop(state);
        Counters::add(&self.counters.entries_done, 1);
        self.tell_entry(Path::new(name), (true, 0), &outcome);
    }

    /// One of its files by its number, or how that ended.
    pub(super) fn find(&self, number: u64) -> Option<FoundUpload> {
        self.hear();
        self.state().files.find(number)
    }

    /// Its file of this path that is under way.
    pub(super) fn find_path(&self, path: &RelPath) -> Option<Arc<Upload>> {
        self.state().files.find_path(path)
    }

    /// Ends it: brings what was stored to disk, and tells how it went. Its place is kept until the
    /// answer is dropped. Whoever asks again gets the same answer.
    pub(super) fn end(&self) -> (EndedBatch, Option<Box<dyn BatchPlace>>) {
        if let Some(ended) = self.begin_to_end() {
            return (ended, None);
        }
        let uploads = self.state().files.under_way();
        for upload in uploads {
            upload.fail(Why::Ended, false);
        }
        let folders = std::mem::take(&mut self.state().folders);
        drop(folders);
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
        self.close(finished.map(|()| summary))
    }

    /// Ends it out of order. What was stored stays, and partials with it.
    pub(super) fn fail(&self, error: Error) {
        if self.begin_to_end().is_some() {
            return;
        }
        self.over.store(true, Ordering::Release);
        let uploads = self.state().files.under_way();
        for upload in uploads {
            upload.fail(Why::Ended, false);
        }
        let folders = std::mem::take(&mut self.state().folders);
        drop(folders);
        self.store.leave();
        drop(self.close(Err(error)));
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

    fn close(&self, ended: Result<Summary>) -> (EndedBatch, Option<Box<dyn BatchPlace>>) {
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
        let summary = ended.as_ref().ok().copied();
        let mut place = self.state().place.take();
        if let Some(place) = &mut place {
            place.ended(&self.peer, ended, sums);
        }
        self.state().phase = BatchPhase::Ended(summary);
        self.changed.notify_all();
        (summary, place)
    }

    /// Where its browser is.
    pub(super) fn addr(&self) -> SocketAddr {
        self.peer.addr
    }
}

impl UploadHearer for UploadBatch {
    fn took(&self, bytes: u64) {
        self.hear();
        Counters::add(&self.counters.bytes_done, bytes);
        Counters::add(&self.counters.bytes_wire, bytes);
    }

    fn took_back(&self, bytes: u64) {
        self.counters.bytes_done.fetch_sub(bytes, Ordering::Relaxed);
    }

    fn summed(&self, path: &RelPath, sum: Option<Digest>, outcome: &Outcome) {
        if let Some(sums) = &self.sums {
            sums.add(path, sum, outcome);
        }
    }

    fn ended(&self, upload: &Upload, size: u64, counted: u64, outcome: Outcome) {
        if upload.is_large() && upload.size != STREAM {
            self.progress.event(&Event::FileEnded {
                session: self.number,
                entry: upload.number,
            });
        }
        self.settle((upload.number, &upload.path), size, counted, outcome);
    }
}

/// What is left behind by a page that does not come back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LeftBatch {
    /// All that was to come.
    Complete,
    /// A part of it.
    Incomplete,
}
