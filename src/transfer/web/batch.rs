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
use crate::model::error::{Action, Error};
use crate::model::outcome::{Outcome, Role, Summary, Why, Wish};
use crate::model::progress::{Counters, Event, Peer, Progress};
use crate::model::relpath::RelPath;
use crate::net::Fingerprint;
use crate::store::{Incoming, NewFile, Planned, STREAM, StoreSession};
use crate::transfer::receive::SessionSums;
use crate::wire::Contents;

use super::batch_bound::BatchBound;
use super::batch_files::{AnnouncedUpload, BatchFiles, FoundUpload, RetriedUpload};
use super::batch_folders::BatchFolders;
use super::last_heard::LastHeard;
use super::means::{AskedBatch, BatchPlace, BatchSetup};
use super::upload::{Upload, UploadHearer, UploadStatus};

/// A batch of uploads.
pub(super) struct UploadBatch {
    pub(super) id: String,
    pub(super) owner: Fingerprint,
    pub(super) peer: Peer,
    pub(super) number: u64,
    pub(super) store: Arc<StoreSession>,
    pub(super) progress: Arc<dyn Progress>,
    pub(super) counters: Arc<Counters>,
    pub(super) sums: Option<SessionSums>,
    pub(super) over: Arc<AtomicBool>,
    heard: LastHeard,
    pub(super) state: Mutex<BatchState>,
    pub(super) changed: Condvar,
}

pub(super) struct BatchState {
    pub(super) phase: BatchPhase,
    pub(super) place: Option<Box<dyn BatchPlace>>,
    pub(super) summary: Summary,
    pub(super) folders: BatchFolders,
    bound: Option<BatchBound>,
    pub(super) files: BatchFiles,
    pub(super) declared: Amount,
    pub(super) announced: Amount,
}

#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Amount {
    pub(super) files: u64,
    pub(super) bytes: u64,
}

impl Amount {
    fn add_bytes(&mut self, bytes: u64) {
        if self.bytes != Contents::UNKNOWN {
            self.bytes = self.bytes.saturating_add(bytes);
        }
    }

    fn remove_bytes(&mut self, bytes: u64) {
        if self.bytes != Contents::UNKNOWN {
            self.bytes = self.bytes.saturating_sub(bytes);
        }
    }
}

/// How far a batch is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum BatchPhase {
    Open,
    Ending,
    Ended(EndedBatch),
}

/// How a batch ended; none where that was not in order.
pub(super) type EndedBatch = Option<Summary>;

/// How many bytes are there of a file that is to come; or how one has ended that is not.
type PlannedUpload = Result<(u64, Incoming), Outcome>;

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
        // Of one that does not come back, nothing can go on.
        let is_whole = !asked.comes_back;
        batch.counters.is_stream.store(is_whole, Ordering::Relaxed);
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

    pub(super) fn state(&self) -> MutexGuard<'_, BatchState> {
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

    pub(super) fn update_totals(&self, state: &BatchState) {
        let (declared, announced) = (state.declared, state.announced);
        let made = state.summary.stored - state.summary.files;
        let known = |of: u64| if of == Contents::UNKNOWN { 0 } else { of };
        let files = known(declared.files).max(announced.files);
        let files = files.saturating_add(made);
        self.counters.entries_total.store(files, Ordering::Relaxed);
        let bytes = known(declared.bytes).max(announced.bytes);
        self.counters.bytes_total.store(bytes, Ordering::Relaxed);
    }

    /// Decides about a file. One that was announced before is what it was, unless this one `is_new`.
    pub(super) fn announce(
        self: &Arc<Self>,
        path: &RelPath,
        size: u64,
        mtime: Time,
        is_new: bool,
    ) -> AnnouncedUpload {
        self.hear();
        let mut state = self.state();
        if state.phase != BatchPhase::Open {
            return AnnouncedUpload::Over;
        }
        let known = || state.files.known(path, size);
        if let Some(known) = (!is_new).then(known).flatten() {
            return known;
        }
        if state.files.are_many() {
            return AnnouncedUpload::TooMany;
        }
        let retried = (!is_new).then(|| state.files.failed(path)).flatten();
        let is_bound = retried
            .as_ref()
            .is_some_and(|one| one.bound && one.size == size);
        let less = match &state.bound {
            Some(bound) if !is_bound => bound.without(path, size, mtime).map(Some),
            _ => Ok(None),
        };
        let (planned, is_bound) = match less {
            Ok(less) => {
                let planned = self.plan(&mut state, path, size, mtime);
                if matches!(planned, Err(Why::InUse)) {
                    return AnnouncedUpload::InUse;
                }
                if let (Some(less), Some(bound), Ok(_)) = (less, &mut state.bound, &planned) {
                    bound.shrink(less);
                }
                let is_bound = is_bound || planned.is_ok();
                (planned, is_bound)
            }
            Err(why) => (Err(why), is_bound),
        };
        if let Some(retried) = retried {
            // It is tried again, and counts once.
            state.files.forget_failed(path);
            state.summary.failed = state.summary.failed.saturating_sub(1);
            self.counters.entries_done.fetch_sub(1, Ordering::Relaxed);
            let RetriedUpload { size, counted, .. } = retried;
            let done = &self.counters.bytes_done;
            done.fetch_sub(counted, Ordering::Relaxed);
            state.announced.files = state.announced.files.saturating_sub(1);
            state.announced.bytes = state.announced.bytes.saturating_sub(counted);
            state.declared.add_bytes(size.saturating_sub(counted));
        }
        let number = state.files.number();
        state.announced.files += 1;
        if size != STREAM {
            state.announced.bytes = state.announced.bytes.saturating_add(size);
        }
        self.update_totals(&state);
        let outcome = match planned {
            Ok(Ok((front, incoming))) => {
                let (file, held) = ((path.clone(), size), (incoming, front));
                let upload = Upload::new(self.clone(), number, file, held, self.sums.is_some());
                state.files.add(&upload);
                drop(state);
                Counters::add(&self.counters.bytes_done, front);
                Counters::add(&self.counters.bytes_kept, front);
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
            Ok(Err(outcome)) => outcome,
            Err(why) => Outcome::Failed(why),
        };
        drop(state);
        let size = if size == STREAM { 0 } else { size };
        let status = self.settle((number, path), (size, 0, 0), outcome, is_bound);
        AnnouncedUpload::Ended(number, status)
    }

    fn plan(
        &self,
        state: &mut BatchState,
        path: &RelPath,
        size: u64,
        mtime: Time,
    ) -> Result<PlannedUpload, Why> {
        let mode = self.store.usual_file_mode();
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
        match self.store.file(&folder, path, file)? {
            Planned::Incoming(incoming) => Ok(Ok((incoming.held_front()?, incoming))),
            Planned::Settled(outcome) => Ok(Err(outcome)),
            Planned::InUse(_) => Err(Why::InUse),
        }
    }

    /// Counts what became of a file; of its `size`, `counted` bytes have been, and `held` of these
    /// were there.
    fn settle(
        &self,
        (number, path): (u64, &RelPath),
        (size, counted, held): (u64, u64, u64),
        outcome: Outcome,
        is_bound: bool,
    ) -> UploadStatus {
        let status = UploadStatus {
            offset: counted,
            ended: Some(outcome.clone()),
        };
        if self.is_over() {
            return status;
        }
        let left = size.saturating_sub(counted);
        let has_failed = matches!(outcome, Outcome::Failed(_));
        // What does not come is not waited for.
        if !has_failed {
            Counters::add(&self.counters.bytes_done, left);
        }
        if matches!(outcome, Outcome::Have(_) | Outcome::Kept) {
            Counters::add(&self.counters.bytes_kept, left);
        }
        Counters::add(&self.counters.entries_done, 1);
        let mut state = self.state();
        state.summary.count(&outcome, true, size, held);
        if has_failed {
            state.announced.remove_bytes(left);
            state.declared.remove_bytes(left);
            self.update_totals(&state);
        }
        state.files.settle((number, path), size, &status, is_bound);
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
        let file = (upload.number, &upload.path);
        self.settle(file, (size, counted, upload.front), outcome, true);
    }
}
