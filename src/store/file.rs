//! A file that is being received: what is held of it already, what was promised to it, and its
//! chunks as they come. How it gets its name is told elsewhere.
//!
//! Must not verify anything: what it is told to write has been verified, but for what it copies
//! itself from a file that is there, which it hashes as it copies.

use std::fmt;
use std::io::{self, IoSlice};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

use cap_std::fs::{File, FileExt};
use rustix::fs::{AtFlags, SeekFrom};

use crate::model::digest::{
    Algorithm, CHUNK_SIZE, Digest, ZEROS, chunk_digest, chunk_len, chunk_offset,
};
use crate::model::entry::{Mode, Time};
use crate::model::outcome::Why;
use crate::model::relpath::RelPath;
use crate::sys::advise;
use crate::sys::vectored;

use super::folder::{Folder, open_file};
use super::in_use::{Identity, identity};
use super::name::{partial_id, partial_name};
use super::partial::{self, OpenError, Partial};
use super::plan::Plan;
use super::session::{LOCK_LOOK, LOCK_WAIT};
use super::space::why_full;
use super::why::{is_full, why};
use super::{STREAM, StoreSession};

/// Writeback is started each time so many chunks have been written.
const WRITEBACK_CHUNKS: u64 = 8;
/// With how many open no further one is resumed, but waited for.
const MAX_RESUMED: usize = 64;

/// A file that is being received. Chunks may be written by many threads at once, each by one.
pub struct Incoming {
    pub(super) session: Arc<StoreSession>,
    pub(super) folder: Arc<Folder>,
    pub(super) path: RelPath,
    pub(super) size: u64,
    pub(super) mtime: Time,
    pub(super) mode: Mode,
    pub(super) plan: Plan,
    id: String,
    /// Whether others are told that it is being received.
    is_large: bool,
    resumes: bool,
    partial: OnceLock<Partial>,
    /// The file that may be the same, or an older version.
    existing: Mutex<Existing>,
    /// Whether it has ended. Its partial, if it had one, is its own no more: that has its name, or
    /// is gone.
    over: AtomicBool,
    opening: Mutex<()>,
    /// Of the space that was promised to it, what it has not used yet.
    promised: AtomicU64,
    /// Space that it needs only if it is not what is here already: to be promised by then.
    unpromised: AtomicU64,
}

impl fmt::Debug for Incoming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Incoming").field(&self.path).finish()
    }
}

/// A file that is there, of which chunks are held. It is not open while the sender is told what
/// they are: thousands may wait for that.
#[derive(Debug, Default)]
enum Existing {
    /// Nothing is known to be held of one.
    #[default]
    None,
    /// Chunks of this one are held.
    Known(Stamp),
    /// The same, and they are being copied.
    Open(Arc<File>),
}

/// What tells whether a file is still the one that was hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    identity: Identity,
    size: i64,
    mtime: (i64, i64),
}

impl Stamp {
    fn of(file: &File) -> io::Result<Self> {
        let stat = rustix::fs::fstat(file)?;
        // Their types are not the same everywhere.
        #[allow(clippy::unnecessary_cast, clippy::cast_possible_wrap)]
        Ok(Self {
            identity: identity(&stat),
            size: stat.st_size as i64,
            mtime: (stat.st_mtime as i64, stat.st_mtime_nsec as i64),
        })
    }
}

/// What the receiver has of a file, to be hashed: a partial, and a file that may be the same or
/// an older version.
#[derive(Debug)]
pub struct HeldFile {
    incoming: Arc<Incoming>,
    existing: Option<File>,
}

/// Where a chunk that is held is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeldIn {
    /// In the partial, where it is to be.
    Partial,
    /// In a file that stays, so that it must be copied should others differ.
    Existing,
}

impl HeldFile {
    /// Reads chunk `index`. None where nothing of it is here, or it cannot be read.
    pub fn read(&self, index: u64, buffer: &mut Vec<u8>) -> Option<HeldIn> {
        let (offset, length) = (chunk_offset(index), chunk_len(self.incoming.size, index));
        buffer.resize(length as usize, 0);
        // One that was made just now has only what the sender has sent since.
        if let Some(partial) = self.incoming.partial.get()
            && self.incoming.resumes
            && !is_hole(&partial.file, offset, length.into())
        {
            partial.file.read_exact_at(buffer, offset).ok()?;
            return Some(HeldIn::Partial);
        }
        let existing = self.existing.as_ref()?;
        existing.read_exact_at(buffer, offset).ok()?;
        Some(HeldIn::Existing)
    }
}

/// Removes the partial of a file that does not need one any more, if there is one.
pub(super) fn drop_needless(session: &StoreSession, folder: &Folder, path: &RelPath) {
    if session.partials.is_empty() {
        return;
    }
    let id = partial_id(&session.owner, path);
    // It is only in the way of nobody: should it stay, its age removes it.
    if session.partials.contains(&id) && partial::remove(folder, &id).unwrap_or(false) {
        let _ = session.store.with_state(partial::PARTIALS, |records| {
            partial::remove_record(records, &id)
        });
    }
}

/// What a file is known by to other sessions.
fn busy_key(folder: &Folder, path: &RelPath) -> Option<(Identity, Vec<u8>)> {
    Some((folder.identity()?, path.file_name().to_vec()))
}

fn changed() -> Why {
    Why::ChangedThere
}

/// Whether nothing was ever written to `file` from `offset` on for `len` bytes. Where the file
/// system cannot say, something was.
fn is_hole(file: &File, offset: u64, len: u64) -> bool {
    match rustix::fs::seek(file, SeekFrom::Data(offset)) {
        Ok(data) => data >= offset.saturating_add(len),
        Err(e) => e == rustix::io::Errno::NXIO,
    }
}

impl Incoming {
    pub(super) fn new(
        session: &Arc<StoreSession>,
        folder: &Arc<Folder>,
        path: &RelPath,
        size: u64,
        mtime: Time,
        mode: Mode,
        plan: Plan,
    ) -> Result<Self, Why> {
        let mut id = String::new();
        let mut allocated = None;
        let mut is_large = false;
        if size == STREAM {
            // Nothing of it is ever resumed; what is there under its partial's name is emptied.
            id = partial_id(&session.owner, path);
            is_large = true;
        } else if size > u64::from(CHUNK_SIZE) {
            id = partial_id(&session.owner, path);
            // In a new folder too: it may be that of an earlier attempt.
            allocated = partial::allocated(folder, &id).map_err(|e| why(&e))?;
            is_large = true;
        } else {
            drop_needless(session, folder, path);
        }
        if is_large && let Some(key) = busy_key(folder, path) {
            session.store.busy.files.add(key);
        }
        let may_be_here = plan.may_be_here();
        let incoming = Self {
            is_large,
            session: session.clone(),
            folder: folder.clone(),
            path: path.clone(),
            size,
            mtime,
            mode,
            plan,
            id,
            resumes: allocated.is_some(),
            partial: OnceLock::new(),
            existing: Mutex::default(),
            over: AtomicBool::new(false),
            opening: Mutex::new(()),
            promised: AtomicU64::new(0),
            unpromised: AtomicU64::new(match size {
                // Nobody knows how much; a full disk is met where it is written to.
                STREAM => 0,
                size => size.saturating_sub(allocated.unwrap_or(0)),
            }),
        };
        if !may_be_here || incoming.resumes {
            incoming.ask_for_space()?;
        }
        Ok(incoming)
    }

    /// Has the space promised that it needs, if that has not been done.
    pub(super) fn ask_for_space(&self) -> Result<(), Why> {
        let bytes = self.unpromised.swap(0, Ordering::Relaxed);
        if bytes > 0 {
            let space = &self.session.store.space;
            let promised = self.folder.with(|dir| Ok(space.promise(dir, bytes)));
            promised.map_err(|e| why(&e))??;
            self.promised.fetch_add(bytes, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Gives back what was promised and not used, because nothing more comes.
    pub fn give_back_space(&self) {
        let bytes = self.promised.swap(0, Ordering::Relaxed);
        self.session.store.space.give_back(bytes);
    }

    /// Its path in the manifest.
    #[must_use]
    pub fn path(&self) -> &RelPath {
        &self.path
    }

    /// Its size, in bytes; [`STREAM`] for a stream.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Whether it is a stream.
    #[must_use]
    pub fn is_stream(&self) -> bool {
        self.size == STREAM
    }

    /// The folder it goes into.
    #[must_use]
    pub fn folder(&self) -> &Arc<Folder> {
        &self.folder
    }

    /// Whether there may be something of it here already.
    #[must_use]
    pub fn has_held(&self) -> bool {
        self.resumes || self.existing_name().is_some()
    }

    /// Whether all of it may be in a file that is here already.
    #[must_use]
    pub fn may_be_here(&self) -> bool {
        !self.resumes && !self.is_stream() && self.plan.may_be_here()
    }

    /// The file of which chunks may be the same.
    pub(super) fn existing_name(&self) -> Option<&[u8]> {
        match &self.plan {
            _ if self.is_stream() => None,
            Plan::Compare { existing: name, .. }
            | Plan::Mend(name)
            | Plan::Replace {
                name, held: true, ..
            } => Some(name),
            _ => None,
        }
    }

    /// Opens what is here of it: its partial, and the file that may be the same. A partial that
    /// another session has is waited for: it may be one whose connection is lost, and which has
    /// not noticed yet. `give_up` is asked from time to time.
    pub fn open_held(self: &Arc<Self>, give_up: impl Fn() -> bool) -> Result<HeldFile, Why> {
        if self.resumes {
            // Each of these stays open until it is whole.
            while self.session.open_partials() >= MAX_RESUMED && !give_up() {
                self.session.store.wait_for_release(LOCK_LOOK);
            }
            let end = Instant::now() + LOCK_WAIT;
            while let Err(why) = self.partial() {
                if why != Why::InUse || give_up() || Instant::now() >= end {
                    return Err(why);
                }
                self.session.store.wait_for_release(LOCK_LOOK);
            }
        }
        // One that is gone, or cannot be read, holds nothing.
        let open = |name| self.folder.with(|dir| open_file(dir, name)).ok();
        let existing = self.existing_name().and_then(open);
        if let Some(stamp) = existing.as_ref().and_then(|file| Stamp::of(file).ok()) {
            *self.lock_existing() = Existing::Known(stamp);
        }
        Ok(HeldFile {
            incoming: self.clone(),
            existing,
        })
    }

    fn lock_existing(&self) -> MutexGuard<'_, Existing> {
        self.existing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The file of which chunks are held; none where there is none. Fails where it is not what it
    /// was when it was hashed.
    pub(super) fn open_existing(&self) -> Result<Option<Arc<File>>, Why> {
        let mut existing = self.lock_existing();
        let (stamp, name) = match (&*existing, self.existing_name()) {
            (Existing::Open(file), _) => return Ok(Some(file.clone())),
            (Existing::Known(stamp), Some(name)) => (*stamp, name),
            _ => return Ok(None),
        };
        let opened = self.folder.with(|dir| open_file(dir, name));
        let file = opened.map_err(|e| self.why(&e))?;
        if Stamp::of(&file).map_err(|e| self.why(&e))? != stamp {
            return Err(changed());
        }
        let file = Arc::new(file);
        *existing = Existing::Open(file.clone());
        Ok(Some(file))
    }

    pub(super) fn partial(&self) -> Result<&Partial, Why> {
        if let Some(partial) = self.partial.get() {
            return Ok(partial);
        }
        let _opening = self.lock();
        if let Some(partial) = self.partial.get() {
            return Ok(partial);
        }
        self.ask_for_space()?;
        // A small file whose content had to be compared has not needed an id so far.
        let session = &self.session;
        session.mark().map_err(|e| why(&e))?;
        let record = || {
            session.store.with_state(partial::PARTIALS, |records| {
                let (id, owner, path) = (self.id(), &session.owner, &self.path);
                partial::write_record(records, &id, owner, path, self.size, self.mtime)
            })
        };
        let size = if self.is_stream() { 0 } else { self.size };
        match partial::open(&self.folder, &self.id(), size, record) {
            Ok(partial) => {
                self.session.partials_open.fetch_add(1, Ordering::Relaxed);
                Ok(self.partial.get_or_init(|| partial))
            }
            Err(OpenError::Busy) => Err(Why::InUse),
            Err(OpenError::Io(e)) => Err(self.why(&e)),
        }
    }

    pub(super) fn id(&self) -> String {
        if self.id.is_empty() {
            partial_id(&self.session.owner, &self.path)
        } else {
            self.id.clone()
        }
    }

    fn lock(&self) -> MutexGuard<'_, ()> {
        self.opening.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn why(&self, error: &io::Error) -> Why {
        let needed = self.promised.load(Ordering::Relaxed);
        let full = || self.folder.with(|dir| Ok(why_full(dir, needed)));
        let full = is_full(error).then(full).and_then(Result::ok).flatten();
        full.unwrap_or_else(|| why(error))
    }

    pub(super) fn settle(&self, bytes: u64) {
        let taken = |p: u64| Some(p.saturating_sub(bytes));
        if let Ok(before) = self
            .promised
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, taken)
        {
            self.session.store.space.settle(bytes.min(before));
        }
    }

    /// Writes chunk `index`, which is in `data`.
    pub fn write(&self, index: u64, data: &mut [IoSlice<'_>]) -> Result<(), Why> {
        let partial = self.partial()?;
        if self.is_stream() {
            // Nothing was promised to it: nobody knows how much it needs.
            let bytes = data.iter().map(|piece| piece.len() as u64).sum();
            self.session.store.space.take(bytes)?;
        }
        vectored::write_all_at(&partial.file, data, chunk_offset(index))
            .map_err(|e| self.why(&e))?;
        self.settle(chunk_len(self.size, index).into());
        if index % WRITEBACK_CHUNKS == WRITEBACK_CHUNKS - 1 {
            let start = chunk_offset(index + 1 - WRITEBACK_CHUNKS);
            let length = WRITEBACK_CHUNKS * u64::from(CHUNK_SIZE);
            advise::written(&partial.file, start, length);
        }
        Ok(())
    }

    /// Makes chunk `index` all zeros.
    pub fn write_hole(&self, index: u64) -> Result<(), Why> {
        let partial = self.partial()?;
        let len = chunk_len(self.size, index);
        if partial.fresh || is_hole(&partial.file, chunk_offset(index), len.into()) {
            self.settle(len.into());
            return Ok(());
        }
        self.write(index, &mut [IoSlice::new(&ZEROS[..len as usize])])
    }

    /// Copies chunk `index` from the file that is here to the partial, if it still has `digest`.
    pub fn copy_held(
        &self,
        algorithm: Algorithm,
        index: u64,
        digest: Digest,
        buffer: &mut Vec<u8>,
    ) -> Result<(), Why> {
        let existing = self.open_existing()?.ok_or(Why::Damaged)?;
        buffer.resize(chunk_len(self.size, index) as usize, 0);
        existing
            .read_exact_at(buffer, chunk_offset(index))
            .map_err(|e| self.why(&e))?;
        if chunk_digest(algorithm, self.size, index, buffer) != digest {
            return Err(changed());
        }
        if buffer.iter().all(|&byte| byte == 0) {
            return self.write_hole(index);
        }
        self.write(index, &mut [IoSlice::new(buffer)])
    }

    /// Gives a stream its size, before [`Self::commit`]: it may end with a hole.
    pub fn end_stream(&self, size: u64) -> Result<(), Why> {
        let partial = self.partial()?;
        rustix::fs::ftruncate(&partial.file, size).map_err(|e| self.why(&e.into()))
    }

    /// Throws away what was received, because it is not what was sent.
    pub fn discard(&self) {
        self.remove_partial();
        self.forget();
        self.end();
    }

    pub(super) fn end(&self) {
        self.over.store(true, Ordering::Release);
    }

    pub(super) fn remove_partial(&self) {
        if self.partial.get().is_some() {
            let name = partial_name(&self.id());
            // A partial that stays costs space, and is found again by its record.
            let _ = self
                .folder
                .with(|dir| Ok(rustix::fs::unlinkat(dir, name, AtFlags::empty())?));
        }
    }

    /// Removes the partial's record. One that stays is found without its partial, and removed.
    pub(super) fn forget(&self) {
        let _ = self.session.store.with_state(partial::PARTIALS, |records| {
            partial::remove_record(records, &self.id())
        });
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        self.give_back_space();
        if !self.over.load(Ordering::Acquire) {
            self.folder.lacks();
            if self.is_stream() && self.partial.get().is_some() {
                // Nobody can ever go on with it.
                self.discard();
            }
        }
        let store = &self.session.store;
        if self.is_large
            && let Some(key) = busy_key(&self.folder, &self.path)
        {
            store.busy.files.remove(&key);
        }
        if let Some(partial) = self.partial.take() {
            drop(partial);
            self.session.partials_open.fetch_sub(1, Ordering::Relaxed);
            store.released.1.notify_all();
        }
    }
}
